"""The log below the durable store: cut anywhere, damaged, cleaned and used again."""

import asyncio
import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from ekslab.kube.api.objects import Item
from ekslab.kube.store.log import open_store
from ekslab.kube.store.memory import MemoryStore
from ekslab.kube.store.port import CompactedError, StoreFormatError
from ekslab.kube.store.segments import SegmentLog
from tests.store.builders import delete, key, put, value_of

SEGMENT_BYTES = 4096


def small_store(directory: Path, *, history_events: int = 10) -> MemoryStore:
    """A store that begins a new segment every few writes, and cleans all the time."""
    return open_store(
        directory,
        history_events=history_events,
        segment_bytes=SEGMENT_BYTES,
        growth_bytes=SEGMENT_BYTES,
    )


def kill(store: MemoryStore) -> None:
    store._journal._log.close()  # type: ignore[attr-defined]


def wait_upkeep(log: SegmentLog) -> None:
    if log._upkeep is not None:
        log._upkeep.join()


def payloads(log: SegmentLog) -> list[bytes]:
    """Everything in a log that is closed for good."""
    newest = [log.newest] if log.newest is not None else []
    earlier = [bytes(each) for segment in log.segments[:-1] for each in log.frames(segment)]
    return [*earlier, *newest]


async def write(store: MemoryStore, name: str, value: object) -> Item:
    """Put, and let the next segment be ready in time, so that every run has the same files."""
    item = await put(store, key(name), value)
    wait_upkeep(store._journal._log)  # type: ignore[attr-defined]
    return item


def state(store: MemoryStore) -> dict[str, object]:
    return {item.name: value_of(item) for item in store.published_all("configmaps")}


def test_a_log_cut_at_any_byte_holds_the_frames_before_the_cut(tmp_path: Path) -> None:
    log = SegmentLog(tmp_path)
    ends = []
    for number in range(5):
        log.append(b"frame %d " % number * (number + 1))
        ends.append(log.used_bytes)
    log.close()
    segment = tmp_path / "0000000001.log"
    whole = segment.read_bytes()
    for cut, fill in itertools.product(range(ends[-1]), (b"", b"\0", b"\xff")):
        segment.write_bytes(whole[:cut] + fill * (ends[-1] - cut))
        try:
            log = SegmentLog(tmp_path)
        except StoreFormatError:
            assert cut < ends[0], "only the first write can leave something that is no store"
            continue
        count = sum(end <= cut for end in ends)
        assert log.newest == (b"frame %d " % (count - 1) * count if count else None), cut
        assert log.used_bytes == (ends[count - 1] if count else 0)
        log.close()


def test_after_a_cut_the_log_goes_on_and_what_was_cut_stays_away(tmp_path: Path) -> None:
    log = SegmentLog(tmp_path)
    log.append(b"kept")
    end = log.used_bytes
    log.append(b"cut short")
    log.append(b"behind it, and whole")
    log.close()
    segment = tmp_path / "0000000001.log"
    data = bytearray(segment.read_bytes())
    data[end + 9] ^= 1
    segment.write_bytes(data)
    log = SegmentLog(tmp_path)
    assert log.newest == b"kept"
    log.append(b"cut_short")  # as long as the first frame that was lost
    log.close()
    log = SegmentLog(tmp_path)
    assert log.newest == b"cut_short"
    log.close()


def numbered(count: int) -> Iterator[bytes]:
    return (b"%05d" % number * 50 for number in range(count))


def test_segments_follow_each_other_and_dropped_ones_are_used_again(tmp_path: Path) -> None:
    log = SegmentLog(tmp_path, segment_bytes=SEGMENT_BYTES)
    inodes = set()
    for number, payload in enumerate(numbered(400)):
        log.append(payload)
        wait_upkeep(log)
        inodes |= {path.stat().st_ino for path in tmp_path.glob("*.log")}
        if number % 50 == 0 and len(log.segments) > 2:
            log.drop_oldest()
    kept = [segment.number for segment in log.segments]
    assert kept == list(range(kept[0], kept[0] + len(kept)))
    assert len(inodes) < kept[-1], "some files had a second life"
    log.close()
    log = SegmentLog(tmp_path, segment_bytes=SEGMENT_BYTES)
    assert [segment.number for segment in log.segments] == kept
    found = payloads(log)
    assert found[-1] == list(numbered(400))[-1]
    assert found[:-1] == sorted(found[:-1])
    log.close()


def test_a_segment_without_a_successor_grows(tmp_path: Path) -> None:
    log = SegmentLog(tmp_path, segment_bytes=SEGMENT_BYTES)
    log.append(b"x" * 1_000_000)
    log.append(b"y")
    log.close()
    log = SegmentLog(tmp_path)
    assert log.newest == b"y"
    log.close()


@pytest.mark.parametrize("how", ["flip", "cut", "missing"])
async def test_damage_in_the_middle_is_told_and_never_taken_for_the_end(
    tmp_path: Path, how: str
) -> None:
    store = small_store(tmp_path, history_events=1_000)
    for number in range(300):
        await write(store, f"n{number}", number)
    segments = store._journal._log.segments  # type: ignore[attr-defined]
    assert len(segments) > 3
    victim = segments[1]
    await store.close()
    data = bytearray(victim.path.read_bytes())
    if how == "missing":
        victim.path.unlink()
    elif how == "cut":
        os.truncate(victim.path, victim.end - 1)
    else:
        data[victim.end // 2] ^= 1
        victim.path.write_bytes(data)
    with pytest.raises(StoreFormatError, match="does not follow" if how == "missing" else "damage"):
        small_store(tmp_path)


async def test_a_missing_beginning_is_told(tmp_path: Path) -> None:
    store = small_store(tmp_path, history_events=1_000)
    for number in range(300):
        await write(store, f"n{number}", number)
    oldest = store._journal._log.segments[0]  # type: ignore[attr-defined]
    await store.close()
    data = oldest.path.read_bytes()
    oldest.path.unlink()
    for _ in range(2):
        with pytest.raises(StoreFormatError, match=f"missing, from {oldest.number:010}"):
            small_store(tmp_path)
    oldest.path.write_bytes(data)
    store = small_store(tmp_path)
    assert len(state(store)) == 300
    await store.close()


async def test_what_was_deleted_never_comes_back_however_the_log_is_cleaned(
    tmp_path: Path,
) -> None:
    expected: dict[str, object] = {"static": "stays"}
    store = small_store(tmp_path)
    await write(store, "static", "stays")
    for number in range(1_200):
        name = f"n{number * 7 % 13}"
        if name in expected and number % 3 == 0:
            await delete(store, key(name))
            del expected[name]
        else:
            await write(store, name, number)
            expected[name] = number
        if number % 40 == 39:
            old = store.revision
            kill(store)
            store = small_store(tmp_path)
            assert state(store) == expected
            with pytest.raises(CompactedError):
                store.watch("configmaps", after=old - 11)
            store.watch("configmaps", after=old - 10).close()
    assert store._journal._log.segments[0].number > 10  # type: ignore[attr-defined]
    assert store.stats().size_bytes < 12 * SEGMENT_BYTES
    await store.close()


async def test_cleaning_keeps_what_the_history_holds(tmp_path: Path) -> None:
    store = small_store(tmp_path, history_events=30)
    old = await write(store, "a", "before")
    for number in range(300):
        await write(store, "b", number)
    assert store._journal._log.segments[0].number > 1  # type: ignore[attr-defined]
    start = store.revision
    await write(store, "a", "after")
    for number in range(20):
        await write(store, "b", "x" * 300 + str(number))
    kill(store)
    store = small_store(tmp_path, history_events=30)
    batch = await anext(aiter(store.watch("configmaps", after=start)))
    assert batch[0].previous is not None
    assert (batch[0].previous.revision, value_of(batch[0].previous)) == (old.revision, "before")
    page = await store.list("configmaps", revision=start)
    assert [value_of(item) for item in page.items] == ["before", 299]
    await store.close()


async def test_damage_met_while_cleaning_stops_the_cleaning_alone(tmp_path: Path) -> None:
    store = small_store(tmp_path)
    for number in range(40):
        await write(store, "a", number)
        wait_upkeep(store._journal._log)  # type: ignore[attr-defined]
    oldest = store._journal._log.segments[0]  # type: ignore[attr-defined]
    data = bytearray(oldest.path.read_bytes())
    data[oldest.end // 2] ^= 1
    with oldest.path.open("r+b") as file:
        file.write(data)
    for number in range(200):
        await write(store, "a", number)
    assert store._journal._log.segments[0] is oldest  # type: ignore[attr-defined]
    assert state(store) == {"a": 199}
    kill(store)
    with pytest.raises(StoreFormatError, match="is damaged at byte"):
        small_store(tmp_path)


def test_two_stores_of_one_process_do_not_share_a_directory(tmp_path: Path) -> None:
    store = small_store(tmp_path)
    with pytest.raises(Exception, match="in use by another process"):
        small_store(tmp_path)
    asyncio.run(store.close())
