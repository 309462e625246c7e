import asyncio
from collections.abc import Awaitable, Callable

import pytest

from ekslab.kit.clock import LoopClock
from ekslab.kit.tasks import TaskGroup
from ekslab.kit.virtual import VirtualLoop
from ekslab.kube.api import errors
from ekslab.kube.api.objects import Item
from ekslab.kube.api.well_known import CONFIG_MAPS
from ekslab.kube.client.informers import Informer, InformerFactory, State
from tests.fakes.memory_api import MemoryApi, MemoryClient


class World:
    """An API, a client, a running informer of config maps, and what it told."""

    def __init__(self) -> None:
        self.clock = LoopClock(asyncio.get_running_loop(), epoch_s=1_700_000_000)
        self.api = MemoryApi(self.clock)
        self.client: MemoryClient = self.api.client()
        self.informer = Informer(self.client, CONFIG_MAPS, clock=self.clock)
        self.told: list[str] = []

    def listen(self) -> None:
        self.informer.on_change(self._note)

    def _note(self, old: Item | None, new: Item | None) -> None:
        item = new or old
        assert item is not None
        sign = "+" if old is None else "-" if new is None else "~"
        self.told.append(f"{sign}{item.name}")

    async def make(self, name: str, **data: str) -> None:
        meta = {"name": name, "namespace": "ns"}
        await self.client.create(CONFIG_MAPS, {
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data,
        })  # fmt: skip

    async def settle(self) -> None:
        await self.clock.sleep(0.01)


def lived(story: Callable[[World], Awaitable[None]]) -> None:
    async def main() -> None:
        world = World()
        async with TaskGroup("test") as group:
            group.start(world.informer.run(), name="informer")
            await story(world)
            group.cancel()

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(main())


def test_what_was_there_before_and_what_comes_later_are_both_seen_in_order() -> None:
    async def story(world: World) -> None:
        await world.make("a")
        world.listen()
        await world.informer.wait_synced()
        await world.make("b")
        await world.client.patch(CONFIG_MAPS, "a", "ns", patch={"data": {"k": "v"}})
        await world.client.delete(CONFIG_MAPS, "b", "ns")
        await world.settle()
        assert world.told == ["+a", "+b", "~a", "-b"]
        assert [item.name for item in world.informer.list("ns")] == ["a"]
        assert world.informer.list("other") == []

    lived(story)


def test_a_late_listener_is_told_of_what_is_there() -> None:
    async def story(world: World) -> None:
        await world.make("a")
        await world.informer.wait_synced()
        await world.settle()
        world.listen()
        assert world.told == ["+a"]

    lived(story)


def test_a_watch_that_ends_goes_on_from_its_revision_without_listing_again() -> None:
    async def story(world: World) -> None:
        world.listen()
        await world.informer.wait_synced()
        await world.clock.sleep(5)
        await world.make("a")
        await world.settle()
        world.api.end_watches()
        await world.make("b")
        await world.clock.sleep(2)
        assert world.told == ["+a", "+b"]
        assert [call[1] for call in world.api.calls].count("list") == 1

    lived(story)


def test_a_forgotten_revision_makes_it_list_again_and_tell_only_differences() -> None:
    async def story(world: World) -> None:
        await world.make("kept")
        await world.make("goes")
        world.listen()
        await world.informer.wait_synced()
        await world.clock.sleep(5)

        def refuse(_user: str, verb: str, _resource: object) -> None:
            if verb == "watch":
                raise errors.service_unavailable("restarting")

        world.api.refuse = refuse
        world.api.end_watches()
        await world.clock.sleep(1)
        await world.client.delete(CONFIG_MAPS, "goes", "ns")
        await world.make("new")
        world.api.forget_history()
        world.api.refuse = lambda *_: None
        await world.clock.sleep(60)
        assert world.told == ["+kept", "+goes", "-goes", "+new"]
        assert world.informer.state is State.WATCHING

    lived(story)


def test_an_object_made_anew_under_its_name_is_two_changes() -> None:
    async def story(world: World) -> None:
        await world.make("a")
        world.listen()
        await world.informer.wait_synced()
        await world.clock.sleep(5)
        world.api.end_watches()
        await world.client.delete(CONFIG_MAPS, "a", "ns")
        await world.make("a")
        world.api.forget_history()
        await world.clock.sleep(60)
        assert world.told == ["+a", "-a", "+a"]

    lived(story)


@pytest.mark.parametrize(
    ("code", "most_calls"),
    [pytest.param(403, 12, id="forbidden"), pytest.param(503, 12, id="unavailable")],
)
def test_a_server_that_refuses_is_asked_ever_more_slowly_until_it_answers(
    code: int, most_calls: int
) -> None:
    async def story(world: World) -> None:
        def refuse(_user: str, verb: str, _resource: object) -> None:
            if verb == "list":
                raise errors.ApiError(code, "No", "no")

        world.api.refuse = refuse
        await world.clock.sleep(200)
        assert 5 < len(world.api.calls) < most_calls
        assert not world.informer.has_synced
        world.api.refuse = lambda *_: None
        await world.clock.sleep(31)
        assert world.informer.has_synced

    lived(story)


def test_an_index_follows_changes_and_forgets_what_is_gone() -> None:
    async def story(world: World) -> None:
        world.informer.add_index("color", lambda item: item.object.get("data", {}).values())
        await world.make("a", color="red")
        await world.make("b", color="red")
        await world.informer.wait_synced()
        await world.client.patch(CONFIG_MAPS, "a", "ns", patch={"data": {"color": "blue"}})
        await world.client.delete(CONFIG_MAPS, "b", "ns")
        await world.settle()
        assert world.informer.by_index("color", "red") == []
        assert [item.name for item in world.informer.by_index("color", "blue")] == ["a"]

    lived(story)


def test_a_factory_gives_everybody_the_same_informer_and_runs_late_ones() -> None:
    async def story(world: World) -> None:
        factory = InformerFactory(world.client, clock=world.clock)
        async with TaskGroup("factory") as group:
            group.start(factory.run(), name="factory")
            await world.settle()
            await world.make("a")
            informer = factory.informer(CONFIG_MAPS)
            assert informer is factory.informer(CONFIG_MAPS)
            await factory.wait_synced()
            assert informer.get("ns", "a") is not None
            group.cancel()

    lived(story)
