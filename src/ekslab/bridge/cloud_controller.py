"""The cloud controller manager's part for nodes: names a new node's place, removes a lost one.

Upstream: k8s.io/cloud-provider `controllers/node` (labels a node and takes the `uninitialized`
taint off it) and `controllers/nodelifecycle` (deletes nodes that are not Ready and whose instance
does not exist any more), with cloud-provider-aws's labels.
"""

import hashlib
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final

from ekslab.kube.api.errors import ApiError
from ekslab.kube.api.objects import Item
from ekslab.kube.api.ports import PatchType
from ekslab.kube.api.requests import Object
from ekslab.kube.api.well_known import NODES
from ekslab.kube.runtime.controller import DONE, Controller, Result, Toolbox

UNINITIALIZED_TAINT: Final = "node.cloudprovider.kubernetes.io/uninitialized"
_GONE: Final = frozenset({"terminated", "shutting-down"})
_CHECK_S: Final = 5.0  # upstream looks every 5 s (--node-monitor-period)

InstanceOf = Callable[[str], Mapping[str, Any] | None]
"""An instance by its id, in the wire form of EC2; None if there is none (any more)."""


class CloudController(Controller[str]):
    """Reconciles nodes by name with the instances behind them."""

    name: ClassVar[str] = "cloud-node-controller"

    def __init__(self, tools: Toolbox, *, cluster: str, region: str, instance: InstanceOf) -> None:
        super().__init__(tools)
        self._cluster = cluster
        self._region = region
        self._instance = instance
        self._lost_since: dict[str, float] = {}
        self._nodes = self.watch(NODES, self._on_node)

    def nudge(self, node_name: str) -> None:
        """Something happened to the node's instance."""
        self.queue.add(node_name)

    def _on_node(self, old: Item | None, new: Item | None) -> None:
        changed = new or old
        assert changed is not None
        self.queue.add(changed.name)

    async def reconcile(self, key: str) -> Result:
        """Initialize the node, or delete it if its instance is gone."""
        item = self._nodes.get("", key)
        if item is None:
            return DONE
        node = item.object
        instance_id = instance_id_of(node)
        if instance_id is None:
            return DONE  # a node without AWS is none of the cloud's business
        instance = self._instance(instance_id)
        if instance is None or instance["State"]["Name"] in _GONE:
            return await self._delete_lost(node)
        if any(taint["key"] == UNINITIALIZED_TAINT for taint in node["spec"].get("taints") or ()):
            await self._initialize(node, instance)
        return DONE

    async def _delete_lost(self, node: Object) -> Result:
        name = node["metadata"]["name"]
        lost_since = self._lost_since.setdefault(name, self.clock.now())
        if _is_ready(node) or self.clock.now() < lost_since + _CHECK_S:
            return Result(requeue_after_s=_CHECK_S)
        self.events.normal(
            node,
            "DeletingNode",
            f"Deleting node {node['metadata']['name']} because it does not exist in the"
            " cloud provider",
        )
        try:
            await self.client.delete(NODES, node["metadata"]["name"], uid=node["metadata"]["uid"])
        except ApiError as error:
            if error.code != 404:
                raise
        return DONE

    async def _initialize(self, node: Object, instance: Mapping[str, Any]) -> None:
        taints = [t for t in node["spec"]["taints"] if t["key"] != UNINITIALIZED_TAINT]
        patch: Object = {
            "metadata": {
                "resourceVersion": node["metadata"]["resourceVersion"],
                "labels": place_labels(instance, region=self._region, cluster=self._cluster),
            },
            "spec": {"taints": taints or None},
        }
        await self.client.patch(
            NODES, node["metadata"]["name"], patch=patch, patch_type=PatchType.MERGE
        )


def instance_id_of(node: Object) -> str | None:
    """The EC2 instance behind a node: the end of `aws:///<zone>/<instance id>`."""
    provider_id: str = node["spec"].get("providerID") or ""
    if not provider_id.startswith("aws:///"):
        return None
    return provider_id.rsplit("/", 1)[-1]


def place_labels(instance: Mapping[str, Any], *, region: str, cluster: str) -> dict[str, str]:
    """The labels that the cloud provider puts on a node."""
    zone = instance["Placement"]["AvailabilityZone"]
    zone_id = instance["Placement"].get("AvailabilityZoneId")
    kind = instance["InstanceType"]
    return {
        **({"topology.k8s.aws/zone-id": zone_id} if zone_id else {}),
        "beta.kubernetes.io/instance-type": kind,
        "failure-domain.beta.kubernetes.io/region": region,
        "failure-domain.beta.kubernetes.io/zone": zone,
        "k8s.io/cloud-provider-aws": hashlib.md5(cluster.encode()).hexdigest(),  # noqa: S324 - a label
        "node.kubernetes.io/instance-type": kind,
        "topology.kubernetes.io/region": region,
        "topology.kubernetes.io/zone": zone,
    }


def _is_ready(node: Object) -> bool:
    conditions = (node.get("status") or {}).get("conditions") or ()
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
