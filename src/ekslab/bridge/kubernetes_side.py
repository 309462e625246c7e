"""The Kubernetes side of one EKS cluster, as EKS's own components see it.

Each acts as the user that EKS gives it and RBAC applies: node groups as `eks:node-manager`, the
cloud controller as `eks:cloud-controller-manager`, node agents as whoever they log in as.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from ekslab.bridge import api_endpoints
from ekslab.bridge.cloud_controller import CloudController, InstanceOf
from ekslab.bridge.identity import config_map
from ekslab.bridge.nodes import groups, labels, sizes
from ekslab.bridge.nodes.machines import Boot
from ekslab.kit import logs
from ekslab.kit.tasks import TaskGroup
from ekslab.kube.api.errors import ApiError
from ekslab.kube.api.objects import Item
from ekslab.kube.api.ports import Authenticator, Client, Credentials, PatchType
from ekslab.kube.api.requests import Object, UserInfo
from ekslab.kube.api.well_known import CONFIG_MAPS, KUBE_SYSTEM, NODES, PODS
from ekslab.kube.client.informers import Informer
from ekslab.kube.cluster import ADMIN, Cluster
from ekslab.kube.node.simulated.agent import NodeSpec
from ekslab.kube.runtime.controller import ControllerRunner

_NODE_MANAGER: Final = UserInfo(name="eks:node-manager", groups=("system:authenticated",))
_CLOUD_CONTROLLER: Final = UserInfo(
    name="eks:cloud-controller-manager", groups=("system:authenticated",)
)
_GROUP_LABEL: Final = "eks.amazonaws.com/nodegroup"


class KubernetesSide:
    """Implements `ClusterNodes` (for node groups) and `MachineHost` (for machines)."""

    def __init__(
        self,
        cluster: Cluster,
        *,
        name: str,
        region: str,
        authenticator: Authenticator,
        instance: InstanceOf,
        uses_aws_auth: Callable[[], bool],
    ) -> None:
        self.cluster = cluster
        self._name = name
        self._authenticator = authenticator
        self._uses_aws_auth = uses_aws_auth
        self._control_plane: Client = cluster.client(ADMIN, field_manager="kube-apiserver")
        self._manager: Client = cluster.client(_NODE_MANAGER, field_manager="eks")
        tools = cluster.toolbox(_CLOUD_CONTROLLER, component="cloud-node-controller")
        self._cloud_controller = CloudController(
            tools, cluster=name, region=region, instance=instance
        )
        self._nodes: Informer = tools.informers.informer(NODES)
        self._log = logs.get("eks").bind(cluster=name)

    async def run(self) -> None:
        """Run the cloud controller until cancelled. Run again, it looks at every node anew."""
        for item in self._nodes.list():
            self._cloud_controller.nudge(item.name)
        async with TaskGroup(f"eks-{self._name}") as tasks:
            tasks.start(ControllerRunner([self._cloud_controller]).run(), name="cloud-controller")

    @property
    def nodes(self) -> Informer:
        """The cluster's nodes."""
        return self._nodes

    def count_ready(self) -> int:
        """How many nodes are Ready."""
        return sum(1 for item in self._nodes.list() if is_ready(item.object))

    def ready_nodes(self, nodegroup: str) -> int:
        """How many nodes of the group are Ready and have been given their place."""
        return sum(1 for item in self._of_group(nodegroup) if is_ready(item.object))

    def _of_group(self, nodegroup: str) -> list[Item]:
        return [i for i in self._nodes.list() if i.labels.get(_GROUP_LABEL) == nodegroup]

    async def announce(self, addresses: Sequence[str]) -> None:
        """Say where the API server is, as EKS does: at the control plane's interfaces in the VPC.

        The server itself listens on loopback, which Endpoints may not name.
        """
        for resource, wanted in api_endpoints.objects(addresses):
            current = await self._control_plane.get(resource, "kubernetes", "default")
            if any(current.get(key) != value for key, value in wanted.items()):
                await self._control_plane.patch(resource, "kubernetes", "default", patch=wanted)

    async def apply_group(self, nodegroup: Mapping[str, Any]) -> None:
        """Bring labels and taints of the group's nodes in line; in the ConfigMap modes write the
        line of its role into `aws-auth`.
        """
        if self._uses_aws_auth():
            await self._add_role(str(nodegroup["nodeRole"]))
        for item in self._of_group(str(nodegroup["nodegroupName"])):
            patch = _group_patch(item.object, nodegroup)
            if patch:
                await self._manager.patch(NODES, item.name, patch=patch, patch_type=PatchType.MERGE)

    async def _add_role(self, role_arn: str) -> None:
        try:
            current = await self._manager.get(CONFIG_MAPS, "aws-auth", KUBE_SYSTEM)
        except ApiError as error:
            if error.code != 404:
                raise
            await self._manager.create(CONFIG_MAPS, config_map.with_node_role(None, role_arn))
            return
        wanted = config_map.with_node_role(current, role_arn)
        if wanted is not current:
            await self._manager.update(CONFIG_MAPS, wanted)

    async def drain_group(self, nodegroup: str) -> None:
        """Cordon the group's nodes and evict their pods, as far as disruption budgets let it."""
        for item in self._of_group(nodegroup):
            if not item.object["spec"].get("unschedulable"):
                await self._manager.patch(NODES, item.name, patch={"spec": {"unschedulable": True}})
            await self._evict(item.name)

    async def _evict(self, node_name: str) -> None:
        page = await self._manager.list(PODS, field_selector=f"spec.nodeName={node_name}")
        for pod in page.items:
            owners = pod.object["metadata"].get("ownerReferences") or ()
            if any(owner["kind"] == "DaemonSet" for owner in owners):
                continue
            eviction = {
                "apiVersion": "policy/v1",
                "kind": "Eviction",
                "metadata": {"name": pod.name, "namespace": pod.namespace},
            }
            try:
                await self._manager.create(PODS, eviction, subresource="eviction", name=pod.name)
            except ApiError as error:
                self._log.info("not evicted", pod=pod.name, code=error.code)

    async def boot(self, boot: Boot) -> None:
        """Log the node in with its role's token and start its agent. See `MachineHost`."""
        credentials = Credentials(bearer_token=boot.token())
        user = await self._authenticator.authenticate(credentials)
        assert user is not None, "the token of a node is an IAM token"
        client = self.cluster.client(user, field_manager="kubelet")
        spec = NodeSpec(
            name=boot.node_name,
            provider_id=labels.provider_id(boot.instance),
            labels=labels.kubelet_labels(boot.instance, boot.size, boot.nodegroup),
            annotations=labels.kubelet_annotations(boot.instance),
            taints=labels.kubelet_taints(boot.nodegroup),
            capacity=sizes.capacity(boot.size, volume_gib=boot.volume_gib),
            allocatable=sizes.allocatable(boot.size, volume_gib=boot.volume_gib),
            addresses=labels.addresses(boot.instance),
            architecture=boot.size.architecture,
            kubelet_version=self.cluster.git_version,
        )
        self.cluster.nodes.add(spec, client, boot.addresses)

    async def halt(self, node_name: str) -> None:
        """The machine shuts down: the agent says so, and falls silent."""
        await self.cluster.nodes.shut_down(node_name)
        self._cloud_controller.nudge(node_name)


def _group_patch(node: Object, nodegroup: Mapping[str, Any]) -> Object:
    """What to change on a node so that it has the labels and taints of its group."""
    has = node["metadata"].get("labels") or {}
    wants = nodegroup.get("labels") or {}
    patch: Object = {}
    changed = {key: value for key, value in wants.items() if has.get(key) != value}
    if changed:
        patch["metadata"] = {"labels": changed}
    taints = node["spec"].get("taints") or []
    group_taints = groups.node_taints(nodegroup)
    identity = {(taint["key"], taint["effect"]) for taint in group_taints}
    others = [taint for taint in taints if (taint["key"], taint["effect"]) not in identity]
    if [*others, *group_taints] != taints and any(t not in taints for t in group_taints):
        patch["spec"] = {"taints": [*others, *group_taints]}
    return patch


def is_ready(node: Object) -> bool:
    """Whether a node's Ready condition is True."""
    conditions = (node.get("status") or {}).get("conditions") or ()
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
