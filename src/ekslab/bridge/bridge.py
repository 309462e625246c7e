"""Composes the bridge: everything that gives the account's EKS objects an effect.

change feed -> Mirror -> ControlPlanes -> a Cluster with IAM login, default add-ons,
-> NodeGroupController -> launch templates, Auto Scaling groups
-> Machines -> node agents with addresses of their subnets
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ekslab.bridge.addons import default as default_addons
from ekslab.bridge.aws.client import AwsClient, AwsError
from ekslab.bridge.aws.credentials import CredentialSource, RenewedKeys
from ekslab.bridge.aws.mirror import Mirror
from ekslab.bridge.components import keep_running
from ekslab.bridge.control_planes import ControlPlaneRecord, ControlPlanes, RunningControlPlane
from ekslab.bridge.identity import arns
from ekslab.bridge.identity.access_policies import AccessPolicyAuthorizer
from ekslab.bridge.identity.authenticator import IamAuthenticator, Mappings
from ekslab.cloud.ports import ChangeFeed, Endpoint, Reports
from ekslab.kit.clock import Clock, WallClock
from ekslab.kit.ids import Ids
from ekslab.kit.rng import Rng
from ekslab.kit.tasks import Service, TaskGroup
from ekslab.kube.api.objects import Item
from ekslab.kube.api.requests import UserInfo
from ekslab.kube.api.well_known import CONFIG_MAPS, KUBE_SYSTEM
from ekslab.kube.cluster import Cluster, ClusterConfig

if TYPE_CHECKING:
    from ekslab.bridge.kubernetes_side import KubernetesSide
    from ekslab.bridge.nodes.group_controller import NodeGroupController
    from ekslab.bridge.nodes.machines import Machines
    from ekslab.bridge.nodes.sizes import InstanceType

_BOOTSTRAPPER: Final = UserInfo(name="eks:bootstrapper", groups=("system:masters",))
_RENEWAL_CHECK_S: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What the bridge stands between and on."""

    endpoint: Endpoint
    feed: ChangeFeed
    reports: Reports
    credentials: CredentialSource
    account: str
    region: str
    clock: Clock
    wall_clock: WallClock
    rng: Rng
    data_dir: Path | None
    listen: bool = True


class Bridge:
    """The bridge of one account in one region."""

    def __init__(self, surroundings: Surroundings) -> None:
        self._around = surroundings
        around = surroundings
        self.mirror = Mirror(around.feed, clock=around.clock)
        self.control_planes = ControlPlanes(
            mirror=self.mirror,
            reports=around.reports,
            launcher=_Launcher(self),
            data_dir=around.data_dir,
            account=around.account,
            region=around.region,
            clock=around.clock,
            ids=Ids(around.rng.fork("control-planes")),
            on_up=self._on_up,
            on_down=self._on_down,
        )
        self._groups: NodeGroupController | None = None
        self._machines: Machines | None = None

    @property
    def surroundings(self) -> Surroundings:
        """What it was made with."""
        return self._around

    def side(self, name: str) -> "KubernetesSide | None":
        """The Kubernetes side of a cluster, None while it does not run."""
        running = self.control_planes.get(name)
        return running.side if isinstance(running, _Running) else None

    async def size_of(self, instance_type: str) -> "InstanceType":
        """What an instance type gives to pods.

        Raises:
            AwsError: there is no such type, or the account is not there yet.
        """
        if self._machines is None:
            raise AwsError("ServiceUnavailable", 503, "the account is not up yet")
        return await self._machines.size(instance_type)

    async def run(self) -> None:
        """Run until cancelled."""
        from ekslab.bridge.nodes.group_controller import NodeGroupController
        from ekslab.bridge.nodes.machines import Machines

        around = self._around
        async with TaskGroup("bridge") as tasks:
            tasks.start(self.mirror.run(), name="mirror")
            await self.mirror.wait_synced()
            session = await around.credentials.service_session("eks-nodegroup.amazonaws.com")
            keys = RenewedKeys(session, wall_clock=around.wall_clock)
            tasks.start(self._renew(keys), name="credentials")
            aws = AwsClient(
                around.endpoint, keys.current, region=around.region, wall_clock=around.wall_clock
            )
            self._groups = NodeGroupController(
                mirror=self.mirror,
                reports=around.reports,
                aws=aws,
                cluster_nodes=self.side,
                account=around.account,
                clock=around.clock,
            )
            self._machines = Machines(
                mirror=self.mirror,
                endpoint=around.endpoint,
                aws=aws,
                credentials=around.credentials,
                host_of=self.side,
                clock=around.clock,
                wall_clock=around.wall_clock,
            )
            tasks.start(self.control_planes.run(), name="control-planes")
            tasks.start(self._groups.run(), name="node-groups")
            tasks.start(self._machines.run(), name="machines")
            for running in self.control_planes.all():
                self._on_up(running.record.name)

    async def _renew(self, keys: RenewedKeys) -> None:
        while True:
            await self._around.clock.sleep(_RENEWAL_CHECK_S)
            if keys.due:
                keys.set(
                    await self._around.credentials.service_session("eks-nodegroup.amazonaws.com")
                )

    def _on_up(self, cluster: str) -> None:
        if self._groups is not None and self._machines is not None:
            self._groups.nudge_cluster(cluster)
            self._machines.nudge_cluster(cluster)
            side = self.side(cluster)
            if side is not None:
                side.nodes.on_change(self._on_node(cluster))

    def _on_node(self, cluster: str) -> "_NodeListener":
        return _NodeListener(self, cluster)

    def node_changed(self, cluster: str, nodegroup: str) -> None:
        """A node of the group came, went or changed."""
        if self._groups is not None:
            self._groups.nudge(cluster, nodegroup)

    def _on_down(self, cluster: str) -> None:
        if self._machines is not None:
            self._machines.forget_cluster(cluster)


class _NodeListener:
    def __init__(self, bridge: Bridge, cluster: str) -> None:
        self._bridge = bridge
        self._cluster = cluster

    def __call__(self, old: Item | None, new: Item | None) -> None:
        item = new or old
        group = item.labels.get("eks.amazonaws.com/nodegroup") if item else None
        if group:
            self._bridge.node_changed(self._cluster, group)


class _Running:
    """A control plane and what EKS runs for it."""

    def __init__(
        self, record: ControlPlaneRecord, cluster: Cluster, side: "KubernetesSide", *, clock: Clock
    ) -> None:
        self.record = record
        self.cluster = cluster
        self.side = side
        components = keep_running(side.run, cluster=record.name, clock=clock)
        self._service = Service(components, name=f"eks-{record.name}")

    async def stop(self) -> None:
        """Stop it; what it holds stays on disk."""
        await self._service.stop()
        await self.cluster.stop()


class _Launcher:
    """Starts a control plane with IAM login, access policies and EKS's components."""

    def __init__(self, bridge: Bridge) -> None:
        self._bridge = bridge

    async def launch(self, record: ControlPlaneRecord, *, data_dir: Path | None) -> _Running:
        """See `Launcher`."""
        around = self._bridge.surroundings
        facts = _ClusterFacts(self._bridge.mirror, record.name)
        authenticator = IamAuthenticator(
            cluster=record.name,
            endpoint=around.endpoint,
            mappings=facts.mappings(),
            clock=around.clock,
            wall_clock=around.wall_clock,
        )
        cluster = Cluster(
            ClusterConfig(
                name=record.name,
                kubernetes_version=record.version,
                service_cidr=record.service_cidr,
                issuer=record.issuer,
                data_dir=data_dir,
                port=record.port if around.listen else None,
            ),
            clock=around.clock,
            wall_clock=around.wall_clock,
            rng=around.rng.fork(record.name),
            authenticators=[authenticator],
        )
        cluster.add_authorizer(
            AccessPolicyAuthorizer(facts.associated_policies, cluster.role_allows)
        )
        facts.cluster = cluster
        await cluster.serve()
        await cluster.apply(default_addons.own_objects(), user=_BOOTSTRAPPER, field_manager="eks")
        cluster.run_components()
        from ekslab.bridge.kubernetes_side import KubernetesSide  # the endpoint is open first

        side = KubernetesSide(
            cluster,
            name=record.name,
            region=around.region,
            authenticator=cluster.authenticator,
            instance=lambda ident: self._bridge.mirror.get("ec2:instance", ident),
            uses_aws_auth=facts.uses_aws_auth,
        )
        return _Running(record, cluster, side, clock=around.clock)

    async def confirmed(self, running: RunningControlPlane, described: Mapping[str, Any]) -> None:
        """Install the default add-ons, once, unless the cluster was asked for without them."""
        if not described.get("_bootstrapSelfManagedAddons", True):
            return
        around = self._bridge.surroundings
        record = running.record
        vpc = described["resourcesVpcConfig"]
        facts = default_addons.ClusterFacts(
            name=record.name,
            region=around.region,
            vpc=str(vpc.get("vpcId") or ""),
            endpoint=running.cluster.url,
            kubernetes_version=record.version,
            kubernetes_release=running.cluster.git_version.partition("-")[0],
            service_cidr=record.service_cidr,
        )
        objects = default_addons.self_managed_addons(facts)
        await running.cluster.apply(objects, user=_BOOTSTRAPPER, field_manager="eks")

    async def announce(self, running: RunningControlPlane, described: Mapping[str, Any]) -> None:
        """The interfaces that EKS made for this cluster are where the VPC reaches it."""
        assert isinstance(running, _Running)
        wanted = f"Amazon EKS {described['name']}"
        addresses = [
            interface["PrivateIpAddress"]
            for _, interface in self._bridge.mirror.all("ec2:network-interface")
            if interface.get("Description") == wanted
        ]
        if addresses:
            await running.side.announce(addresses)


class _ClusterFacts:
    """What the account says of one cluster, asked anew each time."""

    def __init__(self, mirror: Mirror, name: str) -> None:
        self._mirror = mirror
        self._name = name
        self.cluster: Cluster | None = None

    def mappings(self) -> Mappings:
        """Where the cluster's authenticator looks."""
        return Mappings(
            mode=self._mode,
            access_entries=self._access_entries,
            aws_auth=self._aws_auth,
            creator=self._creator,
            private_dns_name=self._private_dns_name,
        )

    def associated_policies(self, principal: str) -> Iterable[Mapping[str, Any]]:
        """Access policies of a principal (canonical ARN in lower case)."""
        for entry in self._access_entries():
            if arns.without_path(entry["principalArn"]).lower() == principal:
                return entry.get("associatedAccessPolicies") or ()
        return ()

    def uses_aws_auth(self) -> bool:
        """Whether node roles need a line in `aws-auth`."""
        return "CONFIG_MAP" in self._mode()

    def _described(self) -> Mapping[str, Any]:
        for _, cluster in self._mirror.all("eks:cluster"):
            if cluster["name"] == self._name:
                return cluster
        return {}

    def _mode(self) -> str:
        access = self._described().get("accessConfig") or {}
        return str(access.get("authenticationMode") or "")

    def _access_entries(self) -> list[Mapping[str, Any]]:
        return [
            entry
            for _, entry in self._mirror.all("eks:access-entry")
            if entry["clusterName"] == self._name
        ]

    def _creator(self) -> str | None:
        creator = self._described().get("_creator") or {}
        return creator.get("arn")

    def _aws_auth(self) -> Mapping[str, str] | None:
        assert self.cluster is not None
        item = self.cluster.lister.get(CONFIG_MAPS, "aws-auth", KUBE_SYSTEM)
        return item.object.get("data") if item is not None else None

    def _private_dns_name(self, instance_id: str) -> str | None:
        instance = self._mirror.get("ec2:instance", instance_id)
        return instance.get("PrivateDnsName") if instance is not None else None
