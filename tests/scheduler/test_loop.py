"""The scheduler against an API in memory, on virtual time."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator

import pytest

from ekslab.kit.clock import LoopClock
from ekslab.kit.rng import Rng
from ekslab.kit.virtual import VirtualLoop
from ekslab.kube.api.errors import conflict
from ekslab.kube.api.requests import Object
from ekslab.kube.api.resources import Resource
from ekslab.kube.api.well_known import NODES, PODS, REPLICA_SETS
from ekslab.kube.scheduler.loop import Scheduler
from tests.fakes.memory_api import MemoryApi, MemoryClient
from tests.scheduler.builders import node, pod

Story = Callable[["Lab"], Awaitable[None]]


class Lab:
    def __init__(self, clock: LoopClock) -> None:
        self.clock = clock
        self.api = MemoryApi(clock)
        self.user: MemoryClient = self.api.client("user")
        self.scheduler = Scheduler(self.api.client("scheduler"), clock=clock, rng=Rng(7))

    async def nodes(self, *nodes: Object) -> None:
        for one in nodes:
            await self.user.create(NODES, one)

    async def pods(self, *pods: Object) -> None:
        for one in pods:
            await self.user.create(PODS, one)

    async def settle(self, seconds: float = 0.5) -> None:
        await asyncio.sleep(seconds)

    def pod(self, name: str) -> Object:
        return self.api.items["pods", "default", name].object

    def node_of(self, name: str) -> str:
        return self.pod(name)["spec"].get("nodeName", "")

    def condition(self, name: str) -> Object:
        rows = self.pod(name)["status"].get("conditions", [])
        return next((row for row in rows if row["type"] == "PodScheduled"), {})

    def events(self, reason: str) -> list[str]:
        found = [item.object for key, item in self.api.items.items() if key[0] == "events"]
        return [one["message"] for one in found if one["reason"] == reason]


@pytest.fixture
def tell() -> Iterator[Callable[[Story], None]]:
    loop = VirtualLoop()

    async def play(story: Story) -> None:
        lab = Lab(LoopClock(loop, epoch_s=1_800_000_000))
        task = loop.create_task(lab.scheduler.run())
        try:
            await story(lab)
            assert not task.done()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    yield lambda story: loop.run_until_complete(play(story))
    loop.close()


def test_a_pod_is_bound_and_an_event_says_where(tell: Callable[[Story], None]) -> None:
    async def story(lab: Lab) -> None:
        await lab.nodes(node("a"))
        await lab.pods(pod("web"))
        await lab.settle()
        assert lab.node_of("web") == "a"
        assert lab.events("Scheduled") == ["Successfully assigned default/web to a"]

    tell(story)


def test_pods_of_another_scheduler_are_left_alone(tell: Callable[[Story], None]) -> None:
    async def story(lab: Lab) -> None:
        await lab.nodes(node("a"))
        await lab.pods({**pod("web"), "spec": {**pod()["spec"], "schedulerName": "mine"}})
        await lab.settle(400)
        assert lab.node_of("web") == ""
        assert lab.condition("web") == {}

    tell(story)


def test_a_pod_that_fits_nowhere_says_why_and_is_bound_when_a_node_comes(
    tell: Callable[[Story], None],
) -> None:
    async def story(lab: Lab) -> None:
        await lab.nodes(node("a", cpu="1"))
        await lab.pods(pod("web", cpu="2"))
        await lab.settle()
        condition = lab.condition("web")
        message = (
            "0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available:"
            " 1 Preemption is not helpful for scheduling."
        )
        assert (condition["status"], condition["reason"]) == ("False", "Unschedulable")
        assert condition["message"] == message
        assert lab.events("FailedScheduling") == [message]
        why = lab.scheduler.why_pending("default", "web")
        assert why is not None
        assert why.plugins == {"NodeResourcesFit": 1}
        await lab.nodes(node("b"))
        await lab.settle(2)
        assert lab.node_of("web") == "b"
        assert lab.scheduler.why_pending("default", "web") is None

    tell(story)


def test_without_any_node_pods_wait_for_the_first(tell: Callable[[Story], None]) -> None:
    async def story(lab: Lab) -> None:
        await lab.pods(pod("web"))
        await lab.settle()
        assert lab.condition("web")["message"] == "no nodes available to schedule pods"
        await lab.nodes(node("a"))
        await lab.settle(2)
        assert lab.node_of("web") == "a"

    tell(story)


def test_a_gated_pod_waits_for_its_gates(tell: Callable[[Story], None]) -> None:
    async def story(lab: Lab) -> None:
        await lab.nodes(node("a"))
        await lab.pods(pod("web", schedulingGates=[{"name": "example.com/wait"}]))
        await lab.settle(30)
        assert lab.node_of("web") == ""
        await lab.user.patch(PODS, "web", "default", patch={"spec": {"schedulingGates": None}})
        await lab.settle()
        assert lab.node_of("web") == "a"

    tell(story)


def test_replicas_spread_over_nodes(tell: Callable[[Story], None]) -> None:
    async def story(lab: Lab) -> None:
        await lab.nodes(*(node(f"{zone}{i}", zone=zone) for zone in "abc" for i in (1, 2)))
        owner = await lab.user.create(
            REPLICA_SETS,
            {
                "apiVersion": "apps/v1",
                "kind": "ReplicaSet",
                "metadata": {"name": "web", "namespace": "default"},
                "spec": {"selector": {"matchLabels": {"app": "web"}}},
            },
        )
        await lab.settle()
        await lab.pods(*(pod(f"web-{i}", labels={"app": "web"}, owner=owner) for i in range(6)))
        await lab.settle()
        assert len({lab.node_of(f"web-{i}") for i in range(6)}) == 6

    tell(story)


def test_room_of_a_finished_pod_is_used_again(tell: Callable[[Story], None]) -> None:
    async def story(lab: Lab) -> None:
        await lab.nodes(node("a", cpu="1"))
        await lab.pods(pod("job", cpu="1"), pod("next", cpu="1"))
        await lab.settle()
        first, second = ("job", "next") if lab.node_of("job") else ("next", "job")
        assert lab.node_of(second) == ""
        done = {"status": {"phase": "Succeeded"}}
        await lab.user.patch(PODS, first, "default", patch=done, subresource="status")
        await lab.settle(2)
        assert lab.node_of(second) == "a"

    tell(story)


def test_a_refused_binding_is_forgotten_and_tried_again(tell: Callable[[Story], None]) -> None:
    async def story(lab: Lab) -> None:
        await lab.nodes(node("a", cpu="1"))
        refused = []

        def refuse(user: str, verb: str, resource: Resource) -> None:
            if (user, verb, resource) == ("scheduler", "create", PODS) and len(refused) < 2:
                refused.append(lab.clock.now())
                raise conflict("", "pods", "web")

        lab.api.refuse = refuse
        await lab.pods(pod("web", cpu="1"))
        await lab.settle(10)
        assert lab.node_of("web") == "a"
        assert round(refused[1] - refused[0]) == 1

    tell(story)


def test_no_node_is_given_more_than_it_has(tell: Callable[[Story], None]) -> None:
    async def story(lab: Lab) -> None:
        await lab.nodes(*(node(f"n{i}", cpu="2") for i in range(3)))
        await lab.pods(*(pod(f"web-{i}", cpu="1") for i in range(8)))
        await lab.settle()
        used = [lab.node_of(f"web-{i}") for i in range(8)]
        assert sorted(used) == ["", "", "n0", "n0", "n1", "n1", "n2", "n2"]

    tell(story)


def test_a_more_important_pod_takes_the_place_of_the_least_important(
    tell: Callable[[Story], None],
) -> None:
    async def story(lab: Lab) -> None:
        await lab.nodes(node("a", cpu="2"))
        await lab.pods(pod("low", cpu="1", priority=1), pod("mid", cpu="1", priority=5))
        await lab.settle()
        await lab.pods(pod("vip", cpu="1", priority=10))
        await lab.settle()
        low = lab.pod("low")
        assert "deletionTimestamp" in low["metadata"]
        target = next(c for c in low["status"]["conditions"] if c["type"] == "DisruptionTarget")
        assert target["reason"] == "PreemptionByScheduler"
        assert "deletionTimestamp" not in lab.pod("mid")["metadata"]
        assert lab.pod("vip")["status"]["nominatedNodeName"] == "a"
        vip = lab.pod("vip")["metadata"]["uid"]
        assert lab.events("Preempted") == [f"Preempted by pod {vip} on node a"]
        await lab.pods(pod("late", cpu="1", priority=2))
        await lab.user.delete(PODS, "low", "default", grace_period_s=0)
        await lab.settle(12)
        assert (lab.node_of("vip"), lab.node_of("late")) == ("a", "")

    tell(story)


def test_a_pod_that_never_preempts_waits(tell: Callable[[Story], None]) -> None:
    async def story(lab: Lab) -> None:
        await lab.nodes(node("a", cpu="1"))
        await lab.pods(pod("low", cpu="1", priority=1))
        await lab.settle()
        await lab.pods(pod("vip", cpu="1", priority=10, preemptionPolicy="Never"))
        await lab.settle()
        assert "deletionTimestamp" not in lab.pod("low")["metadata"]
        assert lab.condition("vip")["message"] == (
            "0/1 nodes are available: 1 Insufficient cpu."
            " preemption: not eligible due to preemptionPolicy=Never."
        )

    tell(story)


def test_a_pod_waits_for_its_volume_claim(tell: Callable[[Story], None]) -> None:
    async def story(lab: Lab) -> None:
        await lab.nodes(node("a"))
        claim = {"name": "data", "persistentVolumeClaim": {"claimName": "data"}}
        await lab.pods(pod("db", volumes=[claim]))
        await lab.settle()
        message = '0/1 nodes are available: persistentvolumeclaim "data" not found.'
        assert lab.condition("db")["message"] == message

    tell(story)


def test_one_seed_gives_one_history() -> None:
    def history() -> list[str]:
        loop = VirtualLoop()

        async def play() -> list[str]:
            lab = Lab(LoopClock(loop, epoch_s=1_800_000_000))
            task = loop.create_task(lab.scheduler.run())
            await lab.nodes(*(node(f"n{i}") for i in range(5)))
            await lab.pods(*(pod(f"web-{i}") for i in range(20)))
            await lab.settle()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            return [lab.node_of(f"web-{i}") for i in range(20)]

        try:
            return loop.run_until_complete(play())
        finally:
            loop.close()

    assert history() == history()
