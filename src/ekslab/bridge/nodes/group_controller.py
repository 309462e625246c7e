"""Managed node groups: keeps a launch template and an Auto Scaling group for each, as the EKS
service does with its service-linked role, and reports how the group does.

Level-triggered by group: looks at the group as the change feed shows it, makes what is missing,
changes what differs, and says ACTIVE once as many nodes are Ready as are desired. What the AWS
side holds is asked of AWS each time, so that a crash between two calls leaves nothing double.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

from ekslab.bridge.aws.client import AwsClient, AwsError
from ekslab.bridge.aws.mirror import Mirror
from ekslab.bridge.nodes import groups
from ekslab.bridge.reconciling import ReconcileLoop
from ekslab.cloud.ports import NodegroupReport, Reports
from ekslab.kit import logs
from ekslab.kit.clock import Clock

_WORKERS: Final = 4
_JOIN_TIMEOUT_S: Final = 15 * 60.0
_LOOK_AGAIN_S: Final = 2.0
_NOT_FOUND: Final = frozenset(
    {
        "InvalidLaunchTemplateName.NotFoundException",
        "InvalidLaunchTemplateId.NotFound",
        "NoSuchEntity",
        "ValidationError",
    }
)


class ClusterNodes(Protocol):
    """What a node group needs of the Kubernetes side of its cluster."""

    def ready_nodes(self, nodegroup: str) -> int:
        """How many nodes of the group are Ready."""

    async def apply_group(self, nodegroup: Mapping[str, Any]) -> None:
        """Bring labels and taints of the group's nodes in line, and let its role log in."""

    async def drain_group(self, nodegroup: str) -> None:
        """Take the group's pods off its nodes before they go."""


class NodeGroupController:
    """Reconciles every managed node group of the account."""

    def __init__(
        self,
        *,
        mirror: Mirror,
        reports: Reports,
        aws: AwsClient,
        cluster_nodes: Callable[[str], ClusterNodes | None],
        account: str,
        clock: Clock,
    ) -> None:
        """`cluster_nodes` gives the Kubernetes side of a cluster, None while it is not running."""
        self._mirror = mirror
        self._reports = reports
        self._aws = aws
        self._cluster_nodes = cluster_nodes
        self._account = account
        self._clock = clock
        self._loop = ReconcileLoop(self._look, name="node-groups", clock=clock, workers=_WORKERS)
        self._since: dict[str, float] = {}
        self._log = logs.get("node-groups")

    def nudge(self, cluster: str, nodegroup: str) -> None:
        """Nodes of this group changed: look at it."""
        self._loop.add(f"{cluster}/{nodegroup}")

    def nudge_cluster(self, cluster: str) -> None:
        """The cluster came up: look at all of its groups."""
        for ident, group in self._mirror.all("eks:nodegroup"):
            if group["clusterName"] == cluster:
                self._loop.add(ident)

    async def run(self) -> None:
        """Reconcile until cancelled."""
        self._mirror.on_change("eks:nodegroup", lambda ident, _old, _new: self._loop.add(ident))
        await self._loop.run()

    async def _look(self, ident: str) -> float:
        """Reconcile one group; a group whose AWS side is refused for good says so."""
        try:
            return await self._reconcile(ident)
        except AwsError as error:
            await self._report_refusal(ident, error)
            raise

    async def _reconcile(self, ident: str) -> float:
        """Look at one group; gives after how many seconds to look again (0: when it changes)."""
        group = self._mirror.get("eks:nodegroup", ident)
        if group is None:
            self._since.pop(ident, None)
            return 0.0
        if group["status"] == "DELETING":
            return await self._delete(group)
        cluster = self._cluster_of(group)
        kubernetes = self._cluster_nodes(group["clusterName"])
        if cluster is None or kubernetes is None:
            return _LOOK_AGAIN_S
        await kubernetes.apply_group(group)
        await self._ensure_profile(group)
        await self._ensure_template(group, cluster)
        await self._ensure_autoscaling_group(group)
        return await self._report(ident, group, kubernetes)

    def _cluster_of(self, group: Mapping[str, Any]) -> Mapping[str, Any] | None:
        for _, cluster in self._mirror.all("eks:cluster"):
            if cluster["name"] == group["clusterName"]:
                return cluster
        return None

    async def _ensure_profile(self, group: Mapping[str, Any]) -> None:
        name = groups.instance_profile_name(group)
        try:
            answer = await self._aws.query("iam", "GetInstanceProfile", InstanceProfileName=name)
            profile = answer["GetInstanceProfileResult"]["InstanceProfile"]
        except AwsError as error:
            if error.code != "NoSuchEntity":
                raise
            await self._aws.query("iam", "CreateInstanceProfile", InstanceProfileName=name)
            profile = {}
        if not profile.get("Roles"):
            await self._aws.query(
                "iam",
                "AddRoleToInstanceProfile",
                InstanceProfileName=name,
                RoleName=groups.role_name(group),
            )

    async def _ensure_template(self, group: Mapping[str, Any], cluster: Mapping[str, Any]) -> None:
        name = groups.launch_template_name(group)
        try:
            found = await self._aws.query(
                "ec2", "DescribeLaunchTemplates", LaunchTemplateName=[name]
            )
        except AwsError as error:
            if error.code not in _NOT_FOUND:
                raise
            found = {}
        if found.get("launchTemplates"):
            return
        data = groups.launch_template_data(group, cluster, image_id=self.image_of(group))
        await self._aws.query(
            "ec2", "CreateLaunchTemplate", LaunchTemplateName=name, LaunchTemplateData=data
        )

    def image_of(self, group: Mapping[str, Any]) -> str:
        """The AMI of the group, as the cloud's SSM parameters name it for its type."""
        image: str = group.get("_imageId") or "ami-0ek51ab0000000001"
        return image

    async def _ensure_autoscaling_group(self, group: Mapping[str, Any]) -> None:
        name = groups.autoscaling_group_name(group)
        least, desired, most = groups.scaling(group)
        found = await self._describe(name)
        if found is None:
            tags = [
                {
                    "Key": key,
                    "Value": value,
                    "ResourceId": name,
                    "ResourceType": "auto-scaling-group",
                    "PropagateAtLaunch": key in groups.instance_tags(group),
                }
                for key, value in groups.group_tags(group).items()
            ]
            await self._aws.query(
                "autoscaling",
                "CreateAutoScalingGroup",
                AutoScalingGroupName=name,
                LaunchTemplate={
                    "LaunchTemplateName": groups.launch_template_name(group),
                    "Version": "$Latest",
                },
                MinSize=least,
                MaxSize=most,
                DesiredCapacity=desired,
                VPCZoneIdentifier=",".join(group["subnets"]),
                Tags=tags,
            )
            return
        current = tuple(int(found[key]) for key in ("MinSize", "DesiredCapacity", "MaxSize"))
        if current != (least, desired, most):
            await self._aws.query(
                "autoscaling",
                "UpdateAutoScalingGroup",
                AutoScalingGroupName=name,
                MinSize=least,
                MaxSize=most,
                DesiredCapacity=desired,
            )

    async def _describe(self, name: str) -> dict[str, Any] | None:
        answer = await self._aws.query(
            "autoscaling", "DescribeAutoScalingGroups", AutoScalingGroupNames=[name]
        )
        rows = answer["DescribeAutoScalingGroupsResult"].get("AutoScalingGroups") or []
        return rows[0] if rows else None

    async def _report(
        self, ident: str, group: Mapping[str, Any], kubernetes: ClusterNodes
    ) -> float:
        _, desired, _ = groups.scaling(group)
        ready = kubernetes.ready_nodes(group["nodegroupName"])
        status, issues, again_s = group["status"], [], 0.0
        if ready >= desired:
            status = "ACTIVE"
            self._since.pop(ident, None)
        elif status in {"CREATING", "UPDATING"}:
            waited_s = self._clock.now() - self._since.setdefault(ident, self._clock.now())
            again_s = max(1.0, _JOIN_TIMEOUT_S - waited_s)
            if waited_s >= _JOIN_TIMEOUT_S:
                status, again_s = "CREATE_FAILED", 0.0
                issues = [_join_failure()]
        if status != group["status"] or not group.get("resources"):
            await self._reports.nodegroup(self._made(group, status, issues))
        return again_s

    def _made(
        self, group: Mapping[str, Any], status: str, issues: list[dict[str, Any]]
    ) -> NodegroupReport:
        return NodegroupReport(
            account=self._account,
            region=self._aws.region,
            cluster=group["clusterName"],
            nodegroup=group["nodegroupName"],
            status=status,
            autoscaling_groups=(groups.autoscaling_group_name(group),),
            issues=issues,
        )

    async def _report_refusal(self, ident: str, error: AwsError) -> None:
        """A group whose AWS side is refused for good says so in its health."""
        group = self._mirror.get("eks:nodegroup", ident)
        if group is None or error.retryable or group["status"] != "CREATING":
            return
        if self._loop.failures(ident) > 5:
            issue = {"code": "AsgInstanceLaunchFailures", "message": str(error), "resourceIds": []}
            await self._reports.nodegroup(self._made(group, "CREATE_FAILED", [issue]))

    async def _delete(self, group: Mapping[str, Any]) -> float:
        kubernetes = self._cluster_nodes(group["clusterName"])
        if kubernetes is not None:
            await kubernetes.drain_group(group["nodegroupName"])
        name = groups.autoscaling_group_name(group)
        if await self._describe(name) is not None:
            await self._aws.query(
                "autoscaling", "DeleteAutoScalingGroup", AutoScalingGroupName=name, ForceDelete=True
            )
        profile = {"InstanceProfileName": groups.instance_profile_name(group)}
        role = {"RoleName": groups.role_name(group)}
        template = {"LaunchTemplateName": groups.launch_template_name(group)}
        await self._unless_gone("ec2", "DeleteLaunchTemplate", template)
        await self._unless_gone("iam", "RemoveRoleFromInstanceProfile", {**profile, **role})
        await self._unless_gone("iam", "DeleteInstanceProfile", profile)
        await self._reports.nodegroup(self._made(group, "DELETED", []))
        return 0.0

    async def _unless_gone(self, service: str, action: str, names: Mapping[str, str]) -> None:
        try:
            await self._aws.query(service, action, **names)
        except AwsError as error:
            if error.code not in _NOT_FOUND:
                raise


def _join_failure() -> dict[str, Any]:
    return {
        "code": "NodeCreationFailure",
        "message": "Instances failed to join the kubernetes cluster",
        "resourceIds": [],
    }
