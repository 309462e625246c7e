"""The durable journal: an append-only log of everything that was written.

One frame per tick, on the disk before anybody hears of it. A frame holds records, each one revision
of one object, and what is known of the log as a whole; so the last frame says how to go on, and a
frame that was cut short takes all of its writes with it. Opening reads the log once and rebuilds
the objects and their history.

**Cleaning.** A log that only grows is mostly old. When it has grown to twice what was needed of it
last time, its segments are emptied from the oldest on: every commit also writes again what is still
needed of a portion of the old end, four times as large as itself, and a segment that was gone
through is dropped. There is no second process, no pause, and nothing to be atomic about but the
frame. As an example, with a key `a` that was put at 5 and at 9, while 5 is in the history still:

    segment 1: [a@5] [b@6]   segment 2: [a@9]   cleaning 1 writes   a@5 PAST, b@6   into segment 2

A record that is only history says so (`PAST`), because it now stands behind the one that
replaced it. All others stand before, and are dropped before: what was deleted never comes back.

**Revisions never mean two things.** Events and Leases are published before they are durable, so a
crash may lose revisions that somebody has seen. `ceiling` is durable and bounds what may be
published. After an unclean end the counter starts behind it, and the span in between goes to
`lost`: whoever asks to go on from there is told that it is gone, and lists again.

    log holds up to 41, ceiling 10000, kill -9   ->  opens at revision 10001, lost (41, 10001)
"""

import gc
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import orjson

from ekslab.kube.api.objects import Item
from ekslab.kube.store.journal import Standing, Standings
from ekslab.kube.store.memory import MemoryStore
from ekslab.kube.store.port import StoreError, StoreEvent, StoreFormatError
from ekslab.kube.store.records import (
    DELETION,
    PAST,
    PLAIN,
    STATE,
    Cipher,
    Record,
    as_past,
    item_of,
    key_of,
    record,
    records,
)
from ekslab.kube.store.segments import SEGMENT_BYTES, Segment, SegmentLog

CEILING_STEP: Final = 10_000
GROWTH_BYTES: Final = 16 << 20
_CLEAN_FACTOR: Final = 4
_CLEAN_LEAST_BYTES: Final = 64 << 10
_CLEAN_MOST_BYTES: Final = 1 << 20


@dataclass(slots=True)
class _Whole:
    """What every frame says of the log as a whole."""

    ceiling: int = 1
    compacted: int = 1
    clean: int = 1
    """The revision of a clean end; 0 while the store is open."""
    first: int = 1
    """The oldest segment that is needed."""
    lost: list[tuple[int, int]] = field(default_factory=list)


@dataclass(slots=True)
class Recovered:
    """What the log held: see `MemoryStore.recover`."""

    revision: int
    compacted: int
    objects: dict[tuple[str, str, str], Item] = field(default_factory=dict)
    events: list[StoreEvent] = field(default_factory=list)
    lost: list[tuple[int, int]] = field(default_factory=list)


class LogJournal:
    """A `journal.Journal` in a directory."""

    def __init__(
        self,
        directory: Path,
        *,
        segment_bytes: int = SEGMENT_BYTES,
        growth_bytes: int = GROWTH_BYTES,
        cipher: Cipher = PLAIN,
    ) -> None:
        """Open or make the log and lock it; `cipher` seals what it says it seals.

        Raises:
            StoreLockedError, StoreFormatError, StoreError: with one sentence for the user.
        """
        self._directory = directory
        self._cipher = cipher
        with self._explained("open"):
            self._log = SegmentLog(directory, segment_bytes=segment_bytes)
        newest = self._log.newest
        self._whole = _read(memoryview(newest))[0] if newest is not None else _Whole()
        self._cleaner = _Cleaner(self._log, growth_bytes)

    @property
    def ceiling(self) -> int:
        """See `Journal.ceiling`."""
        return self._whole.ceiling

    def recover(self) -> Recovered:
        """Read everything, and begin a new life of the store."""
        whole = self._whole
        oldest = self._log.segments[0]
        if self._log.newest is not None and oldest.number > whole.first:
            self._log.close()
            missing = f"of the store in {self._directory} the segments before {oldest.path.name}"
            raise StoreFormatError(f"{missing} are missing, from {whole.first:010}.log on")
        while self._log.segments[0].number < whole.first:
            self._log.drop_oldest()
        with self._explained("read"):
            entries = self._entries() if self._log.newest is not None else {}
            found = Recovered(whole.clean or whole.ceiling + 1, whole.compacted, lost=whole.lost)
            newest = max(entries, default=1)
            ordered = (entries[revision] for revision in sorted(entries))
            _replay(ordered, found, self._cipher)
        if not whole.clean:
            found.lost.append((newest, found.revision))
        whole.clean = 0
        whole.ceiling = found.revision + CEILING_STEP
        self._append()
        return found

    def commit(self, events: Sequence[StoreEvent], *, compacted: int, standings: Standings) -> None:
        """See `Journal.commit`."""
        whole, before = self._whole, (self._whole.ceiling, self._whole.compacted, self._whole.first)
        newest = events[-1].revision if events else 0
        if newest + CEILING_STEP // 2 > whole.ceiling:
            whole.ceiling = newest + CEILING_STEP
        whole.compacted = compacted
        added = [record(event, self._cipher) for event in events]
        kept = self._cleaner.carry(sum(map(len, added)), standings)
        whole.first = self._cleaner.first
        try:
            self._append(*kept, *added)
        except StoreError:
            whole.ceiling, whole.compacted, whole.first = before
            raise
        self._cleaner.carried()

    def size_bytes(self) -> int:
        """See `Journal.size_bytes`."""
        return self._log.size_bytes

    def close(self, *, revision: int) -> None:
        """See `Journal.close`."""
        self._whole.clean = revision
        try:
            self._append()
        finally:
            self._log.close()

    def _entries(self) -> dict[int, Record]:
        """All records by revision. Of a revision that was written again the later copy counts."""
        return {
            found.revision: found
            for segment in self._log.segments
            for found in _records_of(self._log, segment)
        }

    def _append(self, *entries: bytes) -> None:
        whole = self._whole
        whole.lost = [span for span in whole.lost if span[1] > whole.compacted]
        said = orjson.dumps(whole)
        with self._explained("write to"):
            self._log.append(b"".join((len(said).to_bytes(4, "little"), said, *entries)))

    @contextmanager
    def _explained(self, doing: str) -> Iterator[None]:
        """Turn the errors of the operating system into ours."""
        try:
            yield
        except OSError as error:
            text = f"cannot {doing} the store in {self._directory}: {error.strerror}"
            raise StoreError(text) from error


class _Cleaner:
    """Goes through the log in rounds, from its oldest segment to what was its last one when the
    round began, and says what has to be written again.
    """

    def __init__(self, log: SegmentLog, growth_bytes: int) -> None:
        self._log = log
        self._growth_bytes = growth_bytes
        self._due_bytes = log.used_bytes + growth_bytes
        self._records: Iterator[Record] | None = None
        self._last = 0
        self._kept_bytes = 0
        self._carrying: list[bytes] = []
        self._is_emptied = False

    @property
    def first(self) -> int:
        """The oldest segment that is needed, once what is carried was written."""
        return self._log.segments[self._is_emptied].number

    def carry(self, added_bytes: int, standings: Standings) -> list[bytes]:
        """What goes into the next frame, which adds `added_bytes`, of the oldest segment."""
        if self._records is None:
            if not self._is_due():
                return []
            self._records = _records_of(self._log, self._log.segments[0])
        portion = max(added_bytes * _CLEAN_FACTOR, _CLEAN_LEAST_BYTES)
        # A frame that failed is tried again as it was.
        left_bytes = 0 if self._carrying else min(portion, _CLEAN_MOST_BYTES)
        while left_bytes > 0 and not self._is_emptied:
            try:
                found = next(self._records, None)
            except StoreFormatError:
                # The segment stays for whoever wants to mend it; what is in memory goes on.
                self._due_bytes, self._last, self._records = sys.maxsize, 0, None
                break
            if found is None:
                self._is_emptied = True
                break
            left_bytes -= len(found.raw)
            self._carrying += _kept(found, standings(key_of(found), found.revision))
        return self._carrying

    def carried(self) -> None:
        """The frame was written, with all that was carried."""
        self._kept_bytes += sum(map(len, self._carrying))
        self._carrying = []
        if self._is_emptied:
            self._is_emptied = False
            self._records = None
            self._log.drop_oldest()
            if self._log.segments[0].number > self._last:
                self._due_bytes = 2 * self._kept_bytes + self._growth_bytes

    def _is_due(self) -> bool:
        """Whether the oldest segment is to be emptied: a round goes on, or has to begin."""
        segments = self._log.segments
        if segments[0].number <= self._last:
            return True
        if len(segments) == 1 or self._log.used_bytes < self._due_bytes:
            return False
        self._last = segments[-2].number
        self._kept_bytes = 0
        return True


def open_store(
    directory: Path,
    *,
    history_events: int = 100_000,
    history_bytes: int = 128 << 20,
    watcher_queue: int = 16_384,
    segment_bytes: int = SEGMENT_BYTES,
    growth_bytes: int = GROWTH_BYTES,
    cipher: Cipher = PLAIN,
) -> MemoryStore:
    """The durable store in a directory, made if it is not there; `cipher` seals what it holds.

    Raises:
        StoreLockedError, StoreFormatError, StoreError: with one sentence for the user.
    """
    journal = LogJournal(
        directory, segment_bytes=segment_bytes, growth_bytes=growth_bytes, cipher=cipher
    )
    # Hundreds of thousands of objects that all stay: collecting while they are made finds nothing.
    collecting = gc.isenabled()
    gc.disable()
    try:
        found = journal.recover()
        store = MemoryStore(
            history_events=history_events,
            history_bytes=history_bytes,
            watcher_queue=watcher_queue,
            first_revision=found.revision,
            journal=journal,
        )
        store.recover(
            found.objects.values(), found.events, compacted=found.compacted, lost=found.lost
        )
    finally:
        if collecting:
            gc.enable()
    return store


def _read(payload: memoryview) -> tuple[_Whole, memoryview]:
    """What a frame says of the whole, and its records."""
    start = 4 + int.from_bytes(payload[:4], "little")
    said: dict[str, Any] = orjson.loads(payload[4:start])
    said["lost"] = [(low, high) for low, high in said["lost"]]
    return _Whole(**said), payload[start:]


def _records_of(log: SegmentLog, segment: Segment) -> Iterator[Record]:
    for payload in log.frames(segment):
        yield from records(_read(payload)[1])


def _kept(found: Record, standing: Standing) -> Iterator[bytes]:
    """The record as it is written again, if it is."""
    if standing is Standing.PAST and found.kind == STATE:
        yield as_past(found)
    elif standing is not Standing.GONE:
        yield bytes(found.raw)


def _replay(entries: Iterable[Record], found: Recovered, cipher: Cipher) -> None:
    """Go through the records in the order of their revisions, keeping state and history."""
    objects, events = found.objects, found.events
    past: dict[tuple[str, str, str], Item] = {}
    for entry in entries:
        item, previous = item_of(entry, cipher)
        key = (item.resource, item.namespace, item.name)
        before = objects.pop(key, None) or past.pop(key, None)
        if entry.kind == STATE:
            objects[key] = item
        elif entry.kind == PAST:
            past[key] = item
        if entry.revision > found.compacted:
            is_deletion = entry.kind == DELETION
            events.append(
                StoreEvent(entry.revision, item, before if previous else None, is_deletion)
            )
