"""What every store promises, told to each of them."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ekslab.kube.store.log import open_store
from ekslab.kube.store.memory import MemoryStore
from ekslab.kube.store.port import (
    CompactedError,
    Key,
    RevisionConflictError,
    Store,
    StoreError,
    StoreEvent,
    StoreWatch,
)
from tests.store.builders import delete, item_of, key, put, value_of


@pytest.fixture(params=["memory", "log"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[MemoryStore]:
    if request.param == "memory":
        store = MemoryStore(history_events=1_000, watcher_queue=100)
    else:
        store = open_store(tmp_path, history_events=1_000, watcher_queue=100)
    yield store
    await store.close()


async def names(store: Store, namespace: str = "", **how: object) -> list[str]:
    page = await store.list("configmaps", namespace, **how)  # type: ignore[arg-type]
    return [f"{item.namespace}/{item.name}={value_of(item)}" for item in page.items]


async def collect(watch: StoreWatch, count: int) -> list[StoreEvent]:
    events: list[StoreEvent] = []
    async for batch in watch:
        events.extend(batch)
        if len(events) >= count:
            break
    return events


async def test_a_write_is_read_back_with_its_revision(store: Store) -> None:
    written = await put(store, key("a"), 1)
    assert written.revision == store.revision
    assert await store.get(key("a")) is written
    assert store.published(key("a")) is written
    assert store.published_all("configmaps", "default") == [written]
    assert store.changed("configmaps") == written.revision
    assert await store.get(key("a", namespace="other")) is None


async def test_a_write_at_the_wrong_revision_conflicts_and_writes_nothing(store: Store) -> None:
    written = await put(store, key("a"), 1)
    with pytest.raises(RevisionConflictError) as caught:
        await store.put(key("a"), item_of(key("a"), 2), expect=0)
    assert caught.value.current is written
    with pytest.raises(RevisionConflictError) as caught:
        await store.put(key("b"), item_of(key("b"), 2), expect=written.revision)
    assert caught.value.current is None
    with pytest.raises(RevisionConflictError):
        await store.delete(key("nothing"), item_of(key("nothing"), 2), expect=0)
    assert await names(store) == ["default/a=1"]
    assert store.revision == written.revision


async def test_writers_of_one_tick_see_each_other_and_readers_do_not(store: Store) -> None:
    async with asyncio.TaskGroup() as group:
        first = group.create_task(put(store, key("a"), 1))
        await asyncio.sleep(0)
        latest = await store.get_latest(key("a"))
        assert latest is not None
        assert await store.get(key("a")) is None
        second = group.create_task(
            store.put(key("a"), item_of(key("a"), 2), expect=latest.revision)
        )
        with pytest.raises(RevisionConflictError):
            await store.put(key("a"), item_of(key("a"), 3), expect=0)
    assert second.result().revision == first.result().revision + 1
    assert await names(store) == ["default/a=2"]


async def test_a_failing_encoder_costs_nobody_a_revision(store: Store) -> None:
    before = await put(store, key("a"), 1)

    def broken(revision: int) -> object:
        raise LookupError(revision)

    with pytest.raises(LookupError):
        await store.put(key("b"), broken, expect=0)  # type: ignore[arg-type]
    after = await put(store, key("c"), 1)
    assert after.revision == before.revision + 1


async def test_a_cancelled_writer_does_not_disturb_the_others(store: Store) -> None:
    async with asyncio.TaskGroup() as group:
        cancelled = group.create_task(put(store, key("a"), 1))
        other = group.create_task(put(store, key("b"), 2))
        await asyncio.sleep(0)
        cancelled.cancel()
    assert other.result().revision == store.revision
    assert await names(store) == ["default/a=1", "default/b=2"]


async def test_lists_are_in_key_order_and_stay_in_their_namespace(store: Store) -> None:
    for namespace, name in [("b", "x"), ("a", "z"), ("b", "a"), ("a", "b"), ("", "root")]:
        await put(store, key(name, namespace=namespace), 0)
    await put(store, key("p", resource="pods"), 0)
    assert await names(store) == ["/root=0", "a/b=0", "a/z=0", "b/a=0", "b/x=0"]
    assert await names(store, "a") == ["a/b=0", "a/z=0"]
    assert await names(store, "none") == []
    assert (await store.list("secrets")).items == []


@pytest.mark.parametrize("namespace", ["", "b"])
async def test_pages_join_to_the_snapshot_they_started_from(store: Store, namespace: str) -> None:
    for place in ["a/1", "a/2", "b/1", "b/2", "b/3", "c/1"]:
        where = Key("configmaps", *place.split("/"))
        await put(store, where, "old")
    whole = await names(store, namespace)
    first = await store.list("configmaps", namespace, limit=2)
    assert first.remaining == len(whole) - 2
    await delete(store, key("3", namespace="b"))
    await put(store, key("2", namespace="b"), "new")
    await put(store, key("0", namespace="b"), "new")
    await put(store, key("9", namespace="b"), "new")
    await delete(store, key("1", namespace="c"))
    items, remaining = list(first.items), first.remaining
    while remaining:
        page = await store.list(
            "configmaps", namespace, revision=first.revision, after=items[-1].key, limit=2
        )
        assert page.revision == first.revision
        assert page.remaining == remaining - len(page.items)
        items += page.items
        remaining = page.remaining
    assert [f"{item.namespace}/{item.name}={value_of(item)}" for item in items] == whole


async def test_a_list_at_a_revision_nobody_has_is_refused(store: Store) -> None:
    written = await put(store, key("a"), 1)
    with pytest.raises(ValueError, match="newest"):
        await store.list("configmaps", revision=written.revision + 1)
    await put(store, key("a"), 2)
    await store.compact(store.revision)
    with pytest.raises(CompactedError) as caught:
        await store.list("configmaps", revision=written.revision)
    assert caught.value.oldest == store.revision
    with pytest.raises(CompactedError):
        store.watch("configmaps", after=written.revision)
    assert await names(store, revision=store.revision) == ["default/a=2"]


async def test_a_watch_tells_creations_updates_and_deletions(store: Store) -> None:
    start = store.revision
    watch = store.watch("configmaps", after=start)
    await put(store, key("a"), 1)
    await put(store, key("a"), 2)
    await delete(store, key("a"))
    created, updated, deleted = await collect(watch, 3)
    assert (created.previous, created.deleted) == (None, False)
    assert updated.previous is created.item
    assert deleted.deleted
    assert deleted.item.revision == deleted.revision == start + 3
    assert deleted.previous is updated.item
    late = await collect(store.watch("configmaps", after=start), 3)
    assert late == [created, updated, deleted]


async def test_a_watch_hears_only_of_its_namespace_and_node(store: Store) -> None:
    start = store.revision
    watches = {
        "all": store.watch("pods", after=start),
        "ns": store.watch("pods", "a", after=start),
        "node": store.watch("pods", after=start, node_name="n1"),
        "both": store.watch("pods", "a", after=start, node_name="n1"),
    }
    here, there = (key("p", namespace=name, resource="pods") for name in "ab")
    await put(store, here, "pending")
    await put(store, here, "bound", node="n1")
    await put(store, there, "bound", node="n1")
    await put(store, here, "moved", node="n2")
    await put(store, here, "gone", node="n2")
    await put(store, key("other"), 0)
    expected = {
        "all": ["pending", "bound", "bound", "moved", "gone"],
        "ns": ["pending", "bound", "moved", "gone"],
        "node": ["bound", "bound", "moved"],
        "both": ["bound", "moved"],
    }
    for name, values in expected.items():
        events = await collect(watches[name], len(values))
        assert [value_of(event.item) for event in events] == values, name
        question = {"ns": "a", "both": "a"}.get(name, ""), {"node": "n1", "both": "n1"}.get(name)
        past = store.watch("pods", question[0], after=start, node_name=question[1] or "")
        assert await collect(past, len(values)) == events, name


async def test_progress_follows_the_store_while_nothing_waits(store: Store) -> None:
    watch = store.watch("configmaps", after=store.revision)
    other = await put(store, key("x", resource="secrets"), 1)
    assert watch.progress == other.revision
    mine = await put(store, key("a"), 1)
    assert watch.progress < mine.revision
    await collect(watch, 1)
    assert watch.progress == mine.revision


async def test_a_nudge_wakes_a_waiting_reader_with_nothing(store: Store) -> None:
    watch = store.watch("configmaps", after=store.revision)
    reader = asyncio.ensure_future(anext(aiter(watch)))  # noqa: TID251 - the test owns it
    await asyncio.sleep(0)
    watch.nudge()
    assert list(await reader) == []


async def test_a_reader_that_is_too_slow_is_ended(store: Store) -> None:
    start = store.revision
    watch = store.watch("configmaps", after=start)
    for number in range(101):
        await put(store, key("a"), number)
    assert [event async for batch in watch for event in batch] == []
    again = await collect(store.watch("configmaps", after=start), 101)
    assert [value_of(event.item) for event in again] == list(range(101))


async def test_a_large_audience_hears_everything(store: Store) -> None:
    watches = [store.watch("configmaps", after=store.revision) for _ in range(200)]
    async with asyncio.TaskGroup() as group:
        readers = [group.create_task(collect(watch, 5)) for watch in watches]
        for number in range(5):
            await put(store, key("a"), number)
    for reader in readers:
        assert [value_of(event.item) for event in reader.result()] == list(range(5))


async def test_closing_ends_watches_and_refuses_writes(store: Store) -> None:
    watch = store.watch("configmaps", after=store.revision)
    await put(store, key("a"), 1)
    await store.close()
    assert [batch async for batch in watch] == []
    with pytest.raises(StoreError, match="closed"):
        await put(store, key("b"), 1)
    assert await names(store) == ["default/a=1"]
