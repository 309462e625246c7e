"""A whole lab on one loop of virtual time: the account, the bridge and its clusters.

The same parts as in the daemon, without its processes and sockets: the bridge gets the cloud's
ports themselves, and clusters serve no port.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from ekslab.bridge.aws.client import AwsClient
from ekslab.bridge.aws.credentials import Session
from ekslab.bridge.bridge import Bridge, Surroundings
from ekslab.cloud.cloud import Cloud, CloudConfig
from ekslab.cloud.keys import Keys
from ekslab.cloud.sessions import Session as CloudSession
from ekslab.kit.clock import Clock, LoopClock, WallClock
from ekslab.kit.ids import Ids
from ekslab.kit.rng import Rng
from ekslab.kit.tasks import TaskGroup
from ekslab.kit.virtual import VirtualLoop
from ekslab.kube.api.schema import catalog
from ekslab.testing import waiting
from ekslab.testing.cluster import EPOCH_S, TestCluster

T = TypeVar("T")


class _Credentials:
    """The cloud's sessions as the bridge asks for them (port `CredentialSource`)."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    async def service_session(self, service: str) -> Session:
        return _session(await self._cloud.service_session(service))

    async def instance_session(self, instance_id: str) -> Session:
        return _session(await self._cloud.instance_session(instance_id))


def _session(found: CloudSession) -> Session:
    keys = Keys(found.access_key_id, found.secret_access_key, found.session_token)
    return Session(keys, found.expires_s)


class TestLab:
    """An account with its bridge, and what tests ask of them."""

    __test__ = False  # pytest: this is no test case

    def __init__(self, cloud: Cloud, bridge: Bridge, *, clock: Clock) -> None:
        account = cloud.account
        keys = Keys(account.access_key_id, account.secret_access_key)
        self.cloud = cloud
        self.bridge = bridge
        self.clock = clock
        self.aws = self.client(keys)

    def client(self, keys: Keys) -> AwsClient:
        """An AWS client with these keys."""
        return AwsClient(
            self.cloud.endpoint,
            lambda: keys,
            region=self.cloud.config.region,
            wall_clock=WallClock(),
        )

    async def create_cluster(self, name: str, **more: Any) -> TestCluster:
        """Create an EKS cluster and wait until it is ACTIVE."""
        account = self.cloud.account
        body: Mapping[str, Any] = {
            "name": name,
            "roleArn": account.cluster_role_arn,
            "resourcesVpcConfig": {"subnetIds": list(account.private_subnets)},
            **more,
        }
        await self.aws.eks("POST", "/clusters", body)
        await self.until(lambda: self.described("eks:cluster", name).get("status") == "ACTIVE")
        running = self.bridge.control_planes.get(name)
        assert running is not None, "an ACTIVE cluster runs"
        return TestCluster(running.cluster, clock=self.clock)

    async def create_nodegroup(self, cluster: str, name: str, nodes: int, **more: Any) -> None:
        """Create a managed node group and wait until it is ACTIVE."""
        account = self.cloud.account
        body: Mapping[str, Any] = {
            "nodegroupName": name,
            "nodeRole": account.node_role_arn,
            "subnets": list(account.private_subnets),
            "scalingConfig": {"minSize": 0, "desiredSize": nodes, "maxSize": max(nodes, 10)},
            **more,
        }
        await self.aws.eks("POST", f"/clusters/{cluster}/node-groups", body)
        ident = f"{cluster}/{name}"
        await self.until(lambda: self.described("eks:nodegroup", ident).get("status") == "ACTIVE")

    def described(self, kind: str, ident: str) -> Mapping[str, Any]:
        """An object of the account as the change feed shows it; empty if there is none."""
        return self.bridge.mirror.get(kind, ident) or {}

    def instances(self, cluster: str) -> list[Mapping[str, Any]]:
        """The running instances of a cluster."""
        return [
            instance
            for _, instance in self.bridge.mirror.all("ec2:instance")
            if instance["State"]["Name"] == "running"
            and {"Key": "eks:cluster-name", "Value": cluster} in (instance.get("Tags") or [])
        ]

    async def until(
        self, condition: Callable[[], object], *, patience_s: float = waiting.PATIENCE_S
    ) -> None:
        """Wait until a condition holds, in lab time; see `waiting.until`."""
        await waiting.until(self.clock, condition, patience_s=patience_s)


def run_lab(scenario: Callable[[TestLab], Awaitable[T]], *, seed: int = 0) -> T:
    """Run a scenario against a fresh account and its bridge on virtual time.

    One at a time in a process: moto keeps its state in the process.
    """
    loop = VirtualLoop()
    try:
        return loop.run_until_complete(_run(scenario, loop, seed=seed))
    finally:
        loop.close()


async def _run(
    scenario: Callable[[TestLab], Awaitable[T]], loop: asyncio.AbstractEventLoop, *, seed: int
) -> T:
    clock, wall_clock, rng = LoopClock(loop, epoch_s=EPOCH_S), WallClock(), Rng(seed)
    config = CloudConfig(
        kubernetes_versions=catalog.SUPPORTED_VERSIONS, default_version=catalog.DEFAULT_VERSION
    )
    cloud = Cloud(config, clock=clock, wall_clock=wall_clock, ids=Ids(rng.fork("cloud")))
    await cloud.start()
    bridge = Bridge(
        Surroundings(
            endpoint=cloud.endpoint,
            feed=cloud.feed,
            reports=cloud.reports,
            credentials=_Credentials(cloud),
            account=config.account_id,
            region=config.region,
            clock=clock,
            wall_clock=wall_clock,
            rng=rng.fork("bridge"),
            data_dir=None,
            listen=False,
        )
    )
    try:
        async with TaskGroup("lab") as tasks:
            tasks.start(bridge.run(), name="bridge")
            await bridge.mirror.wait_synced()
            given = await scenario(TestLab(cloud, bridge, clock=clock))
            tasks.cancel()
    finally:
        await cloud.stop()
    return given
