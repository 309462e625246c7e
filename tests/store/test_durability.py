"""What outlives the process: reopening, crashes, full disks, foreign directories."""

import asyncio
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ekslab.kube.store.log import CEILING_STEP, open_store
from ekslab.kube.store.memory import MemoryStore
from ekslab.kube.store.port import (
    CompactedError,
    StoreError,
    StoreFormatError,
    StoreLockedError,
)
from tests.store.builders import delete, item_of, key, put, value_of

EVENT = key("e", resource="events")


def kill(store: MemoryStore) -> None:
    """End a store as SIGKILL would: nothing more is written, and the lock goes."""
    store._journal._log.close()  # type: ignore[attr-defined]


async def contents(store: MemoryStore) -> dict[str, object]:
    page = await store.list("configmaps")
    return {item.name: (item.revision, value_of(item), dict(item.labels)) for item in page.items}


async def test_everything_is_there_after_a_clean_end(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    for number in range(3):
        await put(store, key(f"n{number}"), number)
    await put(store, key("n1"), "changed", node="n")
    await delete(store, key("n0"))
    await put(store, EVENT, "seen")
    before, revision = await contents(store), store.revision
    json = (await store.list("configmaps")).items[0].json()
    await store.close()

    store = open_store(tmp_path)
    assert await contents(store) == before
    assert store.revision == revision
    found = (await store.list("configmaps")).items[0]
    assert found.json() == json
    assert found.fields == {"spec.nodeName": "n"}
    assert store.changed("configmaps") == found.revision
    assert value_of((await store.list("events")).items[0]) == "seen"
    await store.close()


async def test_history_goes_on_over_a_restart(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    start = store.revision
    old = await put(store, key("a"), 1)
    await put(store, key("a"), 2)
    await delete(store, key("a"))
    await store.close()
    store = open_store(tmp_path)
    assert [value_of(i) for i in (await store.list("configmaps", revision=old.revision)).items] == [
        1
    ]
    batch = await anext(aiter(store.watch("configmaps", after=start)))
    assert [(event.deleted, event.previous is None) for event in batch] == [
        (False, True),
        (False, False),
        (True, False),
    ]
    await store.close()


async def test_history_is_bounded_on_disk_too(tmp_path: Path) -> None:
    store = open_store(tmp_path, history_events=10, segment_bytes=4096, growth_bytes=4096)
    start = store.revision
    for number in range(2_000):
        await put(store, key("a"), number)
    await put(store, key("gone"), 1)
    await delete(store, key("gone"))
    for number in range(20):
        await put(store, key("b"), number)
    assert store.stats().size_bytes < 8 * 4096
    with pytest.raises(CompactedError):
        store.watch("configmaps", after=start)
    kill(store)
    store = open_store(tmp_path, history_events=10)
    assert {name: value for name, (_, value, _) in (await contents(store)).items()} == {  # type: ignore[misc]
        "a": 1_999,
        "b": 19,
    }
    with pytest.raises(CompactedError):
        store.watch("configmaps", after=start)
    await store.close()


async def test_after_a_kill_revisions_leap_over_what_somebody_may_have_seen(
    tmp_path: Path,
) -> None:
    store = open_store(tmp_path)
    durable = await put(store, key("a"), 1)
    lost = await put(store, EVENT, "not on disk yet")
    assert store.published(EVENT) is lost
    kill(store)

    store = open_store(tmp_path)
    assert list(await contents(store)) == ["a"]
    assert store.published(EVENT) is None
    assert store.revision > lost.revision + CEILING_STEP // 2 - 1
    store.watch("configmaps", after=durable.revision).close()
    with pytest.raises(CompactedError):
        store.watch("configmaps", after=lost.revision)
    with pytest.raises(CompactedError):
        await store.list("configmaps", revision=lost.revision)
    again = await put(store, key("a"), 2)
    assert again.revision > store.watch("configmaps", after=store.revision).progress - 1
    kill(store)

    store = open_store(tmp_path)
    with pytest.raises(CompactedError):
        store.watch("configmaps", after=lost.revision)
    await store.close()


async def test_events_are_durable_a_second_later(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    await put(store, EVENT, "kept")
    store._sync()  # what the timer does
    kill(store)
    store = open_store(tmp_path)
    assert store.published(EVENT) is not None
    await store.close()


async def test_events_never_outrun_the_durable_ceiling(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    ceiling = store._journal.ceiling
    async with asyncio.TaskGroup() as group:
        for number in range(CEILING_STEP + 10):
            where = key(f"e{number}", resource="events")
            group.create_task(store.put(where, item_of(where, number), expect=0))
    assert store.revision > ceiling
    assert store._journal.ceiling >= store.revision
    await store.close()


async def test_a_failed_commit_is_seen_by_nobody(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    start = store.revision
    kept = await put(store, key("a"), 1)
    watch = store.watch("configmaps", after=kept.revision)
    tasks = [
        asyncio.ensure_future(put(store, key("big"), "x" * 1_000_000)),  # noqa: TID251 - gathered
        asyncio.ensure_future(put(store, key("small"), 1)),  # noqa: TID251 - gathered
    ]
    with files_of_at_most(500_000):
        errors = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(error, StoreError) for error in errors)
    assert str(errors[0]) == f"cannot write to the store in {tmp_path}: File too large"
    assert await contents(store) == {"a": (kept.revision, 1, {"v": "1"})}
    assert await store.get_latest(key("small")) is None
    assert store.revision == kept.revision

    later = await put(store, key("small"), 2)
    assert later.revision > kept.revision + 2, "revisions of the failed commit are not used again"
    assert [event.revision for event in await anext(aiter(watch))] == [later.revision]
    assert len(store.watch("configmaps", after=start)._queue[0]) == 2  # type: ignore[attr-defined]
    kill(store)
    store = open_store(tmp_path)
    assert list(await contents(store)) == ["a", "small"]
    await store.close()


@contextmanager
def files_of_at_most(size_bytes: int) -> Iterator[None]:
    """A disk on which no file may grow beyond this."""
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)


def test_a_second_opener_is_told_who_is_in_the_way(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    code = (
        "import sys; from pathlib import Path; from ekslab.kube.store.log import open_store\n"
        "try: open_store(Path(sys.argv[1]))\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    found = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert found.stdout.startswith(StoreLockedError.__name__)
    assert "is in use by another process" in found.stdout
    asyncio.run(store.close())
    asyncio.run(open_store(tmp_path).close())


async def test_a_store_of_another_version_is_left_alone(tmp_path: Path) -> None:
    await open_store(tmp_path).close()
    segment = tmp_path / "0000000001.log"
    content = segment.read_bytes().replace(b"ekslab store 2", b"ekslab store 9")
    segment.write_bytes(content)
    with pytest.raises(StoreFormatError, match="has format 9, this version of ekslab reads"):
        open_store(tmp_path)
    assert segment.read_bytes() == content


def test_the_database_of_the_first_format_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "store.db").write_bytes(b"SQLite format 3")
    with pytest.raises(StoreFormatError, match="has format 1, this version of ekslab reads format"):
        open_store(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["store.db"]


@pytest.mark.parametrize("content", [b"no store " * 100, b""], ids=["garbage", "empty"])
def test_what_is_no_store_is_refused_and_an_empty_file_is_filled(
    tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "0000000001.log").write_bytes(content)
    if content:
        with pytest.raises(StoreFormatError, match="is not a store of ekslab"):
            open_store(tmp_path)
    else:
        asyncio.run(open_store(tmp_path).close())


def test_a_place_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match=r"^cannot open the store in .*file/store: Not a dir"):
        open_store(tmp_path / "file" / "store")


def test_nobody_else_may_read_the_store(tmp_path: Path) -> None:
    store = open_store(tmp_path / "new")
    assert (tmp_path / "new").stat().st_mode & 0o077 == 0
    assert (tmp_path / "new" / "0000000001.log").stat().st_mode & 0o077 == 0
    asyncio.run(store.close())


_WRITER = """
import asyncio, sys
from pathlib import Path
from ekslab.kube.store.log import open_store
from tests.store.builders import key, put

async def write(store, name):
    for number in range(1_000_000):
        item = await put(store, key(name), number)
        print(name, number, item.revision, flush=True)

async def main():
    store = open_store(
        Path(sys.argv[1]), history_events=50, segment_bytes=16384, growth_bytes=16384
    )
    async with asyncio.TaskGroup() as group:
        for name in "abcdefgh":
            group.create_task(write(store, name))

asyncio.run(main())
"""


async def test_what_was_acknowledged_survives_sigkill_under_load(tmp_path: Path) -> None:
    newest = 0
    for _ in range(3):
        acknowledged = _write_until_killed(tmp_path, lines=400)
        store = open_store(tmp_path, history_events=50)
        for name, (number, revision) in acknowledged.items():
            item = store.published(key(name))
            assert item is not None, name
            assert item.revision >= revision > newest
            assert value_of(item) >= number
            assert value_of(item) == int(item.labels["v"]), "nothing is half done"
        newest = max(item.revision for item in store.published_all("configmaps"))
        assert store.revision > newest
        kill(store)


def _write_until_killed(directory: Path, *, lines: int) -> dict[str, tuple[int, int]]:
    process = subprocess.Popen(
        [sys.executable, "-c", _WRITER, str(directory)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.getcwd()},  # noqa: PTH109 - as the child sees it
    )
    assert process.stdout is not None
    acknowledged: dict[str, tuple[int, int]] = {}
    with process:
        for count, line in enumerate(process.stdout):
            if count == lines:
                process.send_signal(signal.SIGKILL)
            if not line.endswith("\n"):
                break  # the kill cut this one
            name, number, revision = line.split()
            acknowledged[name] = (int(number), int(revision))
    assert process.returncode == -signal.SIGKILL
    return acknowledged


def test_a_full_disk_is_one_sentence_and_loses_nothing(tmp_path: Path) -> None:
    code = """
import asyncio, sys
from pathlib import Path
from ekslab.kube.store.log import open_store
from ekslab.kube.store.port import StoreError
from tests.store.builders import key, put

async def main():
    store = open_store(Path(sys.argv[1]))
    try:
        for number in range(1000):
            await put(store, key("a"), [number, "x" * 4000])
            print(number, flush=True)
    except StoreError as error:
        print(error, flush=True)

asyncio.run(main())
"""

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))

    found = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        preexec_fn=limit,
        env={**os.environ, "PYTHONPATH": os.getcwd()},  # noqa: PTH109 - as the child sees it
    )
    *numbers, sentence = found.stdout.splitlines()
    assert sentence.startswith(f"cannot write to the store in {tmp_path}: ")
    assert len(numbers) > 5
    store = open_store(tmp_path)
    item = store.published(key("a"))
    assert item is not None
    assert value_of(item)[0] == int(numbers[-1])
    asyncio.run(store.close())
