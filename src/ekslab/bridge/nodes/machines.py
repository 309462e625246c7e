"""Machines: a node agent for every EC2 instance that belongs to a cluster.

What user data and kubelet do on AWS: the instance comes up, logs in to its cluster with its role's
credentials through IAM as everybody does, and is `system:node:<private dns name>` from then on. An
instance that stops or is terminated, by anyone and through any API, takes its node agent with it.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

from ekslab.bridge.aws.client import AwsClient
from ekslab.bridge.aws.credentials import CredentialSource, RenewedKeys
from ekslab.bridge.aws.mirror import Mirror
from ekslab.bridge.nodes import groups, sizes
from ekslab.bridge.nodes.sizes import InstanceType
from ekslab.bridge.reconciling import ReconcileLoop
from ekslab.bridge.vpc_cni.ipamd import AddressManager, Machine
from ekslab.bridge.vpc_cni.pool import Pool
from ekslab.cloud.login_token import eks_token
from ekslab.cloud.ports import Endpoint
from ekslab.kit import logs
from ekslab.kit.clock import Clock, WallClock
from ekslab.kit.tasks import TaskGroup

_WORKERS: Final = 8
_RUNNING: Final = frozenset({"pending", "running"})
_CREDENTIALS_CHECK_S: Final = 60.0


class MachineHost(Protocol):
    """The Kubernetes side of one cluster, where node agents run."""

    async def boot(self, boot: "Boot") -> None:
        """Log the node in with its token and start its agent.

        Raises:
            ApiError: the login was refused; try again later.
        """

    async def halt(self, node_name: str) -> None:
        """The machine is gone: its agent falls silent at once."""


class Boot:
    """Everything a node agent of an instance starts with."""

    def __init__(
        self,
        *,
        instance: Mapping[str, Any],
        size: InstanceType,
        nodegroup: Mapping[str, Any] | None,
        token: Callable[[], str],
        addresses: AddressManager,
    ) -> None:
        self.instance = instance
        self.size = size
        self.nodegroup = nodegroup
        self.token = token
        self.addresses = addresses

    @property
    def node_name(self) -> str:
        """The instance's private DNS name."""
        return str(self.instance["PrivateDnsName"])

    @property
    def volume_gib(self) -> int:
        """The size of its root volume: the node group's `diskSize`, or what EKS takes."""
        return int((self.nodegroup or {}).get("diskSize") or sizes.VOLUME_GIB)

    @property
    def zone(self) -> str:
        """Its availability zone."""
        return str(self.instance["Placement"]["AvailabilityZone"])


class Machines:
    """Reconciles every instance of the account with the node agents that run."""

    def __init__(
        self,
        *,
        mirror: Mirror,
        endpoint: Endpoint,
        aws: AwsClient,
        credentials: CredentialSource,
        host_of: Callable[[str], MachineHost | None],
        clock: Clock,
        wall_clock: WallClock,
    ) -> None:
        """`host_of` gives the Kubernetes side of a cluster, None while it is not running."""
        self._mirror = mirror
        self._endpoint = endpoint
        self._aws = aws
        self._credentials = credentials
        self._host_of = host_of
        self._clock = clock
        self._wall_clock = wall_clock
        self._loop = ReconcileLoop(self._reconcile, name="machines", clock=clock, workers=_WORKERS)
        self._running: dict[str, _Running] = {}
        self._sizes: dict[str, InstanceType] = {}
        self._log = logs.get("machines")

    def nudge_cluster(self, cluster: str) -> None:
        """The cluster came up: look at all of its instances."""
        for ident, instance in self._mirror.all("ec2:instance"):
            if groups.owner(tags_of(instance))[0] == cluster:
                self._loop.add(ident)

    def forget_cluster(self, cluster: str) -> None:
        """The cluster is gone, and its agents with it."""
        for ident in [i for i, one in self._running.items() if one.cluster == cluster]:
            self._running.pop(ident).stop()

    async def run(self) -> None:
        """Reconcile until cancelled."""
        self._mirror.on_change("ec2:instance", lambda ident, _old, _new: self._loop.add(ident))
        async with TaskGroup("machines") as tasks:
            self._tasks = tasks
            tasks.start(self._renew_credentials(), name="credentials")
            await self._loop.run()

    async def _reconcile(self, ident: str) -> float:
        instance = self._mirror.get("ec2:instance", ident)
        alive = instance is not None and instance["State"]["Name"] in _RUNNING
        running = self._running.get(ident)
        if running is not None and not alive:
            del self._running[ident]
            running.stop()
            await running.host.halt(running.node_name)
        elif running is None and alive and instance is not None:
            await self._boot(ident, instance)
        return 0.0

    async def _boot(self, ident: str, instance: Mapping[str, Any]) -> None:
        cluster, group_name = groups.owner(tags_of(instance))
        host = self._host_of(cluster) if cluster else None
        if host is None:
            return  # nudge_cluster brings it back when its cluster is up
        size = await self.size(instance["InstanceType"])
        keys = RenewedKeys(
            await self._credentials.instance_session(ident), wall_clock=self._wall_clock
        )
        addresses = self._addresses(instance, size, keys, cluster)
        boot = Boot(
            instance=instance,
            size=size,
            nodegroup=self._mirror.get("eks:nodegroup", f"{cluster}/{group_name}"),
            token=lambda: eks_token(
                cluster, keys.current(), region=self._aws.region, now_s=self._wall_clock.now()
            ),
            addresses=addresses,
        )
        await host.boot(boot)
        filler = self._tasks.start(addresses.run(), name=f"addresses-{ident}")
        self._running[ident] = _Running(host, boot.node_name, cluster, keys, filler.cancel)

    def _addresses(
        self, instance: Mapping[str, Any], size: InstanceType, keys: RenewedKeys, cluster: str
    ) -> AddressManager:
        pool = Pool(size.interfaces, size.addresses_per_interface, size.max_pods)
        for interface in self._interfaces(instance["InstanceId"]):
            rows = interface.get("PrivateIpAddresses") or ()
            secondary = [row["PrivateIpAddress"] for row in rows if not row.get("Primary")]
            pool.hold(interface["NetworkInterfaceId"], secondary)
        machine = Machine(
            instance_id=instance["InstanceId"],
            subnet_id=instance["SubnetId"],
            security_groups=tuple(g["GroupId"] for g in instance.get("SecurityGroups") or ()),
            cluster=cluster,
        )
        ec2 = AwsClient(
            self._endpoint, keys.current, region=self._aws.region, wall_clock=self._wall_clock
        )
        return AddressManager(machine, pool, ec2=ec2, clock=self._clock)

    def _interfaces(self, instance_id: str) -> list[Mapping[str, Any]]:
        found = [
            interface
            for _, interface in self._mirror.all("ec2:network-interface")
            if (interface.get("Attachment") or {}).get("InstanceId") == instance_id
        ]
        return sorted(found, key=lambda one: int(one["Attachment"].get("DeviceIndex") or 0))

    async def size(self, name: str) -> InstanceType:
        """What an instance type gives, as EC2 describes it.

        Raises:
            AwsError: there is no such type.
        """
        size = self._sizes.get(name)
        if size is None:
            answer = await self._aws.query("ec2", "DescribeInstanceTypes", InstanceType=[name])
            size = self._sizes[name] = sizes.read(answer["instanceTypeSet"][0])
        return size

    async def _renew_credentials(self) -> None:
        while True:
            await self._clock.sleep(_CREDENTIALS_CHECK_S)
            for ident, running in list(self._running.items()):
                if running.keys.due:
                    try:
                        running.keys.set(await self._credentials.instance_session(ident))
                    except LookupError as error:
                        self._log.info("no credentials", instance=ident, error=str(error))


class _Running:
    def __init__(
        self,
        host: MachineHost,
        node_name: str,
        cluster: str,
        keys: RenewedKeys,
        stop: Callable[[], object],
    ) -> None:
        self.host = host
        self.node_name = node_name
        self.cluster = cluster
        self.keys = keys
        self._stop = stop

    def stop(self) -> None:
        self._stop()


def tags_of(described: Mapping[str, Any]) -> dict[str, str]:
    """The tags of an EC2 object as a plain mapping."""
    return {row["Key"]: row["Value"] for row in described.get("Tags") or ()}
