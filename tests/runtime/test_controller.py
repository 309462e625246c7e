import asyncio
import itertools
from collections.abc import Awaitable, Callable
from typing import ClassVar

import pytest

from ekslab.kit.bug import Bug
from ekslab.kit.clock import LoopClock
from ekslab.kit.ids import Ids
from ekslab.kit.rng import Rng
from ekslab.kit.tasks import TaskGroup
from ekslab.kit.virtual import VirtualLoop
from ekslab.kube.api import errors
from ekslab.kube.api.objects import Item
from ekslab.kube.api.resources import Resource
from ekslab.kube.api.well_known import CONFIG_MAPS, EVENTS
from ekslab.kube.client.informers import InformerFactory, Key
from ekslab.kube.runtime.controller import (
    DONE,
    Controller,
    ControllerRunner,
    Result,
    TerminalError,
    Toolbox,
)
from ekslab.kube.runtime.events import EventRecorder
from tests.fakes.memory_api import MemoryApi


class Stamper(Controller[Key]):
    """Stamps config maps; does what `moods` says when it meets a name."""

    name: ClassVar[str] = "stamper"

    def __init__(self, tools: Toolbox, moods: dict[str, list[Exception | Result]]) -> None:
        super().__init__(tools)
        self.moods = moods
        self.times: dict[str, list[float]] = {}
        self.maps = self.watch(CONFIG_MAPS, self._changed)

    def _changed(self, _old: Item | None, new: Item | None) -> None:
        if new is not None and not new.labels:
            self.queue.add(new.key)

    async def reconcile(self, key: Key) -> Result:
        namespace, name = key
        self.times.setdefault(name, []).append(self.clock.now())
        moods = self.moods.get(name)
        if moods:
            mood = moods.pop(0)
            if isinstance(mood, Exception):
                raise mood
            return mood
        stamp = {"metadata": {"labels": {"stamped": "yes"}}}
        await self.client.patch(CONFIG_MAPS, name, namespace, patch=stamp)
        return DONE


class World:
    def __init__(self) -> None:
        self.clock = LoopClock(asyncio.get_running_loop(), epoch_s=1_700_000_000)
        self.api = MemoryApi(self.clock)
        self.informers = InformerFactory(self.api.client("shared"), clock=self.clock)

    def tools(self, user: str) -> Toolbox:
        client = self.api.client(user)
        return Toolbox(
            client=client,
            informers=self.informers,
            events=EventRecorder(client, component=user, clock=self.clock),
            clock=self.clock,
            rng=Rng(1),
            ids=Ids(Rng(1)),
        )

    async def make(self, name: str) -> None:
        meta = {"name": name, "namespace": "ns"}
        obj = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta}
        await self.api.client().create(CONFIG_MAPS, obj)

    def is_stamped(self, name: str) -> bool:
        return bool(self.api.items["configmaps", "ns", name].labels)


def lived(story: Callable[[World], Awaitable[None]]) -> None:
    async def main() -> None:
        await story(World())

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(main())


@pytest.mark.parametrize(
    ("moods", "gaps"),
    [
        pytest.param([], [], id="success is not repeated"),
        pytest.param(
            [errors.conflict("", "configmaps", "a")] * 3,
            [0.005, 0.010, 0.020],
            id="an API error backs off",
        ),
        pytest.param([KeyError("odd object")], [0.005], id="so does an unforeseen object"),
        pytest.param([Result(requeue_after_s=7)], [7], id="asked to be called again"),
    ],
)
def test_a_reconcile_is_repeated_as_its_outcome_asks(
    moods: list[Exception | Result], gaps: list[float]
) -> None:
    async def story(world: World) -> None:
        controller = Stamper(world.tools("stamper"), {"a": list(moods)})
        async with TaskGroup("test") as group:
            group.start(ControllerRunner([controller]).run(), name="run")
            await world.make("a")
            await world.clock.sleep(100)
            group.cancel()
        times = controller.times["a"]
        measured = [later - sooner for sooner, later in itertools.pairwise(times)]
        assert measured == pytest.approx(gaps, abs=1e-4)
        assert world.is_stamped("a")

    lived(story)


def test_a_terminal_error_waits_for_the_object_to_change() -> None:
    async def story(world: World) -> None:
        controller = Stamper(world.tools("stamper"), {"a": [TerminalError("hopeless")]})
        async with TaskGroup("test") as group:
            group.start(ControllerRunner([controller]).run(), name="run")
            await world.make("a")
            await world.clock.sleep(1000)
            assert not world.is_stamped("a")
            await world.api.client().patch(CONFIG_MAPS, "a", "ns", patch={"data": {"x": "y"}})
            await world.clock.sleep(1)
            assert world.is_stamped("a")
            group.cancel()

    lived(story)


def test_one_controller_that_is_forbidden_does_not_stop_the_others_and_recovers() -> None:
    async def story(world: World) -> None:
        barred = Stamper(world.tools("barred"), {})
        other = Stamper(world.tools("other"), {})

        def refuse(user: str, verb: str, resource: Resource) -> None:
            if user == "barred" and verb == "patch":
                raise errors.forbidden("", resource.plural, "a", "no binding")

        world.api.refuse = refuse
        async with TaskGroup("test") as group:
            group.start(ControllerRunner([barred, other]).run(), name="run")
            await world.make("a")
            await world.clock.sleep(10)
            assert world.is_stamped("a")
            assert len(barred.times["a"]) > 5
            world.api.refuse = lambda *_: None
            await world.clock.sleep(20)
            count = len(barred.times["a"])
            await world.clock.sleep(2000)
            assert len(barred.times["a"]) == count
            group.cancel()

    lived(story)


def test_our_own_mistake_ends_them_all() -> None:
    async def story(world: World) -> None:
        controller = Stamper(world.tools("stamper"), {"a": [Bug("cannot be")]})
        await world.make("a")
        with pytest.raises(ExceptionGroup) as caught:
            await ControllerRunner([controller]).run()
        assert caught.group_contains(Bug)

    lived(story)


class Recorded:
    """A recorder about one object, and what of it is written."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.recorder = EventRecorder(
            world.api.client(), component="kubelet", host="node-1", clock=world.clock
        )

    def about(self, name: str) -> dict[str, object]:
        meta = {"name": name, "namespace": "ns", "uid": f"uid-{name}"}
        return {"apiVersion": "v1", "kind": "Pod", "metadata": meta}

    async def events(self) -> list[dict[str, object]]:
        async with TaskGroup("write") as group:
            group.start(self.recorder.run(), name="recorder")
            await self.world.clock.sleep(1)
            group.cancel()
        page = await self.world.api.client().list(EVENTS)
        return [item.object for item in page.items]


def test_the_same_event_again_counts_up() -> None:
    async def story(world: World) -> None:
        recorded = Recorded(world)
        for _ in range(3):
            recorded.recorder.warning(recorded.about("p"), "BackOff", "restarting")
        (event,) = await recorded.events()
        assert event["count"] == 3
        recorded.recorder.warning(recorded.about("p"), "BackOff", "restarting")
        (event,) = await recorded.events()
        assert event["count"] == 4
        assert event["firstTimestamp"] != event["lastTimestamp"]
        assert event["source"] == {"component": "kubelet", "host": "node-1"}
        assert event["involvedObject"] == {
            "apiVersion": "v1", "kind": "Pod", "namespace": "ns", "name": "p", "uid": "uid-p",
        }  # fmt: skip

    lived(story)


def test_ten_messages_of_one_reason_are_combined() -> None:
    async def story(world: World) -> None:
        recorded = Recorded(world)
        for number in range(12):
            recorded.recorder.normal(recorded.about("p"), "Created", f"container {number}")
        events = await recorded.events()
        assert len(events) == 10
        assert [e["message"] for e in events if e["count"] == 3] == [
            "(combined from similar events): container 11"
        ]

    lived(story)


def test_about_one_object_25_events_are_written_at_once() -> None:
    async def story(world: World) -> None:
        recorded = Recorded(world)
        for number in range(40):
            recorded.recorder.normal(recorded.about("p"), f"Reason{number}", "x")
        recorded.recorder.normal(recorded.about("q"), "Other", "x")
        assert len(await recorded.events()) == 26

    lived(story)
