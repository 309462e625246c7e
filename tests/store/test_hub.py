"""Large audiences: who is told when, and that waiting together loses nothing. On virtual time."""

import asyncio
from collections.abc import Sequence

import pytest

from ekslab.kit.virtual import VirtualLoop
from ekslab.kube.store.hub import Hub, HubWatch
from ekslab.kube.store.port import StoreEvent
from tests.store.builders import item_of, key

MANY = 1_000
ALL = ("configmaps", "", "")


class Site:
    """A hub, and what its readers were told: when, and which revisions."""

    def __init__(self) -> None:
        self.published = 1
        self.hub = Hub(queue_most=10_000, published=lambda: self.published)

    def publish(self) -> StoreEvent:
        self.published += 1
        item = item_of(key("a"), self.published)(self.published)
        event = StoreEvent(self.published, item, None, deleted=False)
        self.hub.publish([event])
        return event

    def join(self, *, after: int = 1, past: Sequence[StoreEvent] = ()) -> HubWatch:
        return self.hub.join(ALL, after=after, past=past)


async def told(watch: HubWatch, seen: list[tuple[float, list[int]]]) -> None:
    async for batch in watch:
        now_s = asyncio.get_running_loop().time()
        seen.append((now_s, [event.revision for event in batch]))


def run(story) -> None:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(story())


@pytest.mark.parametrize(
    ("watchers", "expected"),
    [
        pytest.param(3, [(0.0, [2]), (0.01, [3]), (0.02, [4]), (0.5, [5])], id="few hear at once"),
        pytest.param(
            MANY,
            [(0.0, [2]), (0.06, [3, 4]), (0.5, [5])],
            id="many hear the first at once and what follows together",
        ),
    ],
)
def test_when_an_audience_is_told(watchers, expected):
    async def story() -> None:
        site = Site()
        seen: list[list[tuple[float, list[int]]]] = [[] for _ in range(watchers)]
        watches = [site.join() for _ in range(watchers)]
        async with asyncio.TaskGroup() as tasks:
            for watch, mine in zip(watches, seen, strict=True):
                tasks.create_task(told(watch, mine))
            await asyncio.sleep(0)
            for pause_s in (0.01, 0.01, 0.48, 0.0):
                site.publish()
                await asyncio.sleep(pause_s)
            site.hub.close()
        for mine in seen:
            assert [(pytest.approx(when), which) for when, which in mine] == expected

    run(story)


def test_who_joins_while_events_wait_is_told_each_once():
    async def story() -> None:
        site = Site()
        watches = [site.join() for _ in range(MANY)]
        events = [site.publish(), site.publish()]  # the second waits
        late = site.join(after=1, past=events)
        events.append(site.publish())
        seen: list[tuple[float, list[int]]] = []
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(told(late, seen))
            await asyncio.sleep(1)
            site.hub.close()
        assert [revision for _, batch in seen for revision in batch] == [2, 3, 4]
        assert all(watch.ended for watch in watches)

    run(story)


def test_a_bookmark_does_not_run_ahead_of_what_waits():
    async def story() -> None:
        site = Site()
        watch, *_ = [site.join() for _ in range(MANY)]
        site.publish()
        site.publish()
        await anext(aiter(watch))
        assert watch.progress == 2, "3 was published, and waits"
        await asyncio.sleep(1)
        await anext(aiter(watch))
        assert watch.progress == 3
        site.hub.close()

    run(story)
