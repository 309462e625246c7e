"""One cluster on one loop of virtual time."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from ekslab.kit.clock import Clock, LoopClock, WallClock
from ekslab.kit.rng import Rng
from ekslab.kit.virtual import VirtualLoop
from ekslab.kube.api.objects import Item
from ekslab.kube.api.ports import Client
from ekslab.kube.api.requests import UserInfo
from ekslab.kube.api.schema import catalog
from ekslab.kube.api.well_known import NODES, PODS
from ekslab.kube.cluster import ADMIN, Cluster, ClusterConfig
from ekslab.testing import waiting

T = TypeVar("T")

EPOCH_S: Final = 1_800_000_000.0


class TestCluster:
    """A cluster in this process, with what tests ask of it."""

    __test__ = False  # pytest: this is no test case

    def __init__(self, cluster: Cluster, *, clock: Clock) -> None:
        self.cluster = cluster
        self.clock = clock
        self.admin: Client = cluster.client(ADMIN, field_manager="test")

    def client(self, user: str, *groups: str) -> Client:
        """A client of another identity."""
        return self.cluster.client(UserInfo(user, groups), field_manager="test")

    async def add_nodes(self, count: int) -> None:
        """Boot simulated nodes and wait until they are Ready."""
        wanted = len(self.cluster.lister.list(NODES)) + count
        await self.cluster.add_nodes(count)
        await self.until(lambda: self.ready_nodes() == wanted)

    async def until(
        self, condition: Callable[[], object], *, patience_s: float = waiting.PATIENCE_S
    ) -> None:
        """Wait until a condition holds, in lab time; see `waiting.until`."""
        await waiting.until(self.clock, condition, patience_s=patience_s)

    def pods(self, namespace: str = "default") -> list[Item]:
        """The pods of a namespace."""
        return list(self.cluster.lister.list(PODS, namespace))

    def ready_pods(self, namespace: str = "default") -> int:
        """How many pods of a namespace are Ready."""
        return sum(1 for pod in self.pods(namespace) if _is_ready(pod))

    def ready_nodes(self) -> int:
        """How many nodes are Ready."""
        return sum(1 for node in self.cluster.lister.list(NODES) if _is_ready(node))


def run_virtual(
    scenario: Callable[[TestCluster], Awaitable[T]],
    *,
    nodes: int = 0,
    seed: int = 0,
    kubernetes_version: str = catalog.DEFAULT_VERSION,
) -> T:
    """Run a scenario against a fresh cluster on virtual time and give what it gives."""
    loop = VirtualLoop()
    try:
        return loop.run_until_complete(
            _run(scenario, loop, nodes=nodes, seed=seed, version=kubernetes_version)
        )
    finally:
        loop.close()


async def _run(
    scenario: Callable[[TestCluster], Awaitable[T]],
    loop: asyncio.AbstractEventLoop,
    *,
    nodes: int,
    seed: int,
    version: str,
) -> T:
    clock = LoopClock(loop, epoch_s=EPOCH_S)
    config = ClusterConfig(name="test", kubernetes_version=version, port=None)
    cluster = Cluster(config, clock=clock, wall_clock=WallClock(), rng=Rng(seed))
    await cluster.start()
    try:
        fixture = TestCluster(cluster, clock=clock)
        if nodes:
            await fixture.add_nodes(nodes)
        return await scenario(fixture)
    finally:
        await cluster.stop()


def _is_ready(item: Item) -> bool:
    conditions = (item.object.get("status") or {}).get("conditions") or ()
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
