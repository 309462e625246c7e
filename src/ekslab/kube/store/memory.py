"""The store: published objects in memory, durable through a journal.

One tick, as a worked example. Two requests run in the same turn of the event loop:

    put a  -> staged at revision 8, the writer waits      overlay {a@8}       index {}
    put b  -> staged at revision 9, the writer waits      overlay {a@8, b@9}
    flush  -> journal.commit([8, 9]), one transaction
              then, in revision order: index, history, watchers, and both writers go on

Reads and watches look at the index only, so they never see what is not durable; writers compare
with the overlay (`get_latest`), so two of them cannot both win. A failed commit fails every writer
of the tick, and the overlay is dropped with all that was built on it; its revisions are not used
again.

Events and Leases do not wait for the disk: upstream loses the former after an hour anyway, and a
lost heartbeat is sent again in ten seconds. They are published at the end of the tick and logged
with the next durable batch, after `UNSYNCED_S` seconds at the latest. A crash may lose them; the
revisions they had are then never given to anything else (`Journal.ceiling`).
"""

import asyncio
import heapq
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from ekslab.kit.clock import stopwatch_s
from ekslab.kube.api.objects import Item
from ekslab.kube.store.history import History
from ekslab.kube.store.hub import Hub
from ekslab.kube.store.index import Index, Place
from ekslab.kube.store.journal import Journal, NoJournal, Standing
from ekslab.kube.store.port import (
    Key,
    Page,
    RevisionConflictError,
    StoreError,
    StoreEvent,
    StoreWatch,
)

UNSYNCED: Final = frozenset({"events", "events.events.k8s.io", "leases.coordination.k8s.io"})
UNSYNCED_S: Final = 1.0
_UNSYNCED_MOST: Final = 4_096


@dataclass(frozen=True, slots=True)
class Stats:
    """How the store does: objects per resource, bytes on disk, commits and their seconds."""

    objects: dict[str, int]
    watchers: int
    history_events: int
    size_bytes: int
    commits: int
    commit_s: float


@dataclass(slots=True)
class _Batch:
    """The writes of one tick: their events, who waits for them, and what the keys will hold."""

    events: list[StoreEvent] = field(default_factory=list)
    writers: list[asyncio.Future[Item]] = field(default_factory=list)
    overlay: dict[Key, Item | None] = field(default_factory=dict)
    must_sync: bool = False


class MemoryStore:
    """A `port.Store` in memory; with a journal, a durable one."""

    def __init__(
        self,
        *,
        history_events: int = 100_000,
        history_bytes: int = 128 << 20,
        watcher_queue: int = 16_384,
        first_revision: int = 1,
        journal: Journal | None = None,
    ) -> None:
        self._journal = journal or NoJournal()
        self._index = Index()
        self._history = History(events_most=history_events, bytes_most=history_bytes)
        self._history.compacted = first_revision
        self._hub = Hub(queue_most=watcher_queue, published=lambda: self._published)
        self._published = first_revision
        self._issued = first_revision
        self._changed: dict[str, int] = {}
        self._batch = _Batch()
        self._unsynced: list[StoreEvent] = []
        self._synced_compacted = first_revision
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False
        self._has_failed = False
        self._commits = 0
        self._commit_s = 0.0

    @property
    def revision(self) -> int:
        """The newest published revision."""
        return self._published

    async def get(self, key: Key) -> Item | None:
        """See `port.Store.get`."""
        return self._index.get(key.resource, key.namespace, key.name)

    async def get_latest(self, key: Key) -> Item | None:
        """See `port.Store.get_latest`."""
        return self._latest(key)

    def published(self, key: Key) -> Item | None:
        """See `port.Store.published`."""
        return self._index.get(key.resource, key.namespace, key.name)

    def published_all(self, resource: str, namespace: str = "") -> Sequence[Item]:
        """See `port.Store.published_all`."""
        return self._index.all(resource, namespace)

    def changed(self, resource: str) -> int:
        """See `port.Store.changed`."""
        return self._changed.get(resource, 0)

    async def list(
        self,
        resource: str,
        namespace: str = "",
        *,
        revision: int = 0,
        after: Place | None = None,
        limit: int = 0,
    ) -> Page:
        """See `port.Store.list`."""
        revision = revision or self._published
        if revision > self._published:
            raise ValueError(f"revision {revision} is behind the newest, {self._published}")
        if revision == self._published:
            if after is None and not limit:
                return Page(items=self._index.all(resource, namespace), revision=revision)
            undone: dict[Place, Item | None] = {}
        else:
            self._history.check(revision)
            undone = self._history.undone(resource, revision)
        return self._page(resource, namespace, undone, revision=revision, after=after, limit=limit)

    async def put(self, key: Key, encode: Callable[[int], Item], *, expect: int) -> Item:
        """See `port.Store.put`."""
        return await self._stage(key, encode, expect=expect, deleted=False)

    async def delete(self, key: Key, encode: Callable[[int], Item], *, expect: int) -> Item:
        """See `port.Store.delete`."""
        return await self._stage(key, encode, expect=expect, deleted=True)

    def watch(
        self, resource: str, namespace: str = "", *, after: int, node_name: str = ""
    ) -> StoreWatch:
        """See `port.Store.watch`."""
        self._history.check(after)
        past = self._history.since(resource, after)
        watch = self._hub.join((resource, namespace, node_name), after=after, past=past)
        if self._closed:
            watch.close()
        return watch

    async def compact(self, revision: int) -> None:
        """See `port.Store.compact`."""
        self._history.compact(min(revision, self._published))
        self._sync_later()

    def check(self) -> None:
        """See `port.Store.check`."""
        if self._closed:
            raise StoreError("the store is closed")
        if self._has_failed:
            self._commit([])

    async def close(self) -> None:
        """See `port.Store.close`."""
        if self._closed:
            return
        self._flush()
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        self._hub.close()
        try:
            self._commit([])
        finally:
            self._journal.close(revision=self._issued)

    def stats(self) -> Stats:
        """Numbers for the meters."""
        return Stats(
            objects=self._index.counts(),
            watchers=len(self._hub),
            history_events=len(self._history),
            size_bytes=self._journal.size_bytes(),
            commits=self._commits,
            commit_s=self._commit_s,
        )

    def recover(
        self,
        objects: Iterable[Item],
        events: Iterable[StoreEvent],
        *,
        compacted: int,
        lost: Iterable[tuple[int, int]],
    ) -> None:
        """Take over what a journal has kept, before anything else is asked of the store.

        `objects` are the current states, `events` the history behind the revision `compacted`,
        `lost` the spans (see `History.lose`) of earlier unclean ends.
        """
        scopes: dict[tuple[str, str], dict[str, Item]] = {}
        for item in objects:
            scopes.setdefault((item.resource, item.namespace), {})[item.name] = item
            if item.revision > self._changed.get(item.resource, 0):
                self._changed[item.resource] = item.revision
        for (resource, namespace), items in scopes.items():
            self._index.load(resource, namespace, items)
        self._history.compacted = compacted
        for low, high in lost:
            self._history.lose(low, high)
        for event in events:
            self._history.append(event)
        self._history.trim()

    def _latest(self, key: Key) -> Item | None:
        overlay = self._batch.overlay
        if overlay and key in overlay:
            return overlay[key]
        return self._index.get(key.resource, key.namespace, key.name)

    def _stage(
        self, key: Key, encode: Callable[[int], Item], *, expect: int, deleted: bool
    ) -> asyncio.Future[Item]:
        if self._closed:
            raise StoreError("the store is closed")
        current = self._latest(key)
        if (current.revision if current is not None else 0) != expect or (
            deleted and current is None
        ):
            raise RevisionConflictError(current)
        revision = self._issued + 1
        item = encode(revision)
        self._issued = revision
        batch = self._batch
        loop = asyncio.get_running_loop()
        if not batch.events:
            loop.call_soon(self._flush)
        writer: asyncio.Future[Item] = loop.create_future()
        batch.events.append(StoreEvent(revision, item, current, deleted))
        batch.writers.append(writer)
        batch.overlay[key] = None if deleted else item
        batch.must_sync = batch.must_sync or key.resource not in UNSYNCED
        return writer

    def _flush(self) -> None:
        """The end of the tick: durable, then visible."""
        batch = self._batch
        if not batch.events:
            return
        self._batch = _Batch()
        waiting = len(self._unsynced) + len(batch.events)
        must_sync = (
            batch.must_sync
            or waiting > _UNSYNCED_MOST
            or batch.events[-1].revision > self._journal.ceiling
        )
        try:
            if must_sync:
                self._commit(batch.events)
            else:
                self._unsynced.extend(batch.events)
                self._sync_later()
        except Exception as error:
            for writer in batch.writers:
                if not writer.done():
                    writer.set_exception(error)
            if not isinstance(error, StoreError):
                raise
            return
        self._publish(batch)

    def _commit(self, events: Sequence[StoreEvent]) -> None:
        """Make what waits and `events` durable."""
        compacted = self._history.compacted
        started_s = stopwatch_s()
        self._has_failed = True
        self._journal.commit(
            [*self._unsynced, *events] if self._unsynced else events,
            compacted=compacted,
            standings=self._standing,
        )
        self._commit_s += stopwatch_s() - started_s
        self._has_failed = False
        self._commits += 1
        self._unsynced = []
        self._synced_compacted = compacted

    def _standing(self, key: Key, revision: int) -> Standing:
        """See `journal.Standings`."""
        current = self._index.get(key.resource, key.namespace, key.name)
        if current is not None and current.revision == revision:
            return Standing.CURRENT
        return Standing.PAST if self._history.has(revision) else Standing.GONE

    def _sync_later(self) -> None:
        if self._timer is None and not self._closed:
            self._timer = asyncio.get_running_loop().call_later(UNSYNCED_S, self._sync)

    def _sync(self) -> None:
        self._timer = None
        if self._unsynced or self._history.compacted != self._synced_compacted:
            try:
                self._commit([])
            except StoreError:
                # Nobody waits for these; they stay and are tried again (bounded: see _flush).
                self._sync_later()

    def _publish(self, batch: _Batch) -> None:
        index, history, changed = self._index, self._history, self._changed
        for event in batch.events:
            if event.deleted:
                index.remove(event.item)
            else:
                index.set(event.item)
            if event.previous is not None:
                event.previous.forget_encodings()
            history.append(event)
            changed[event.item.resource] = event.revision
        self._published = batch.events[-1].revision
        self._hub.publish(batch.events)
        for writer, event in zip(batch.writers, batch.events, strict=True):
            if not writer.done():
                writer.set_result(event.item)
        history.trim()

    def _page(
        self,
        resource: str,
        namespace: str,
        undone: dict[Place, Item | None],
        *,
        revision: int,
        after: Place | None,
        limit: int,
    ) -> Page:
        """A page at a revision: the index as it is, but for the keys in `undone`."""
        restored: dict[Place, Item] = {}
        replaced = 0
        for place, item in undone.items():
            if (namespace and place[0] != namespace) or (after is not None and place <= after):
                continue
            if item is not None:
                restored[place] = item
            replaced += self._index.get(resource, *place) is not None
        current: Iterable[Item] = self._index.behind(resource, namespace, after)
        if undone:
            unchanged = (item for item in current if item.key not in undone)
            past = [restored[place] for place in sorted(restored)]
            current = heapq.merge(unchanged, past, key=lambda item: item.key)
        items = list(islice(current, limit or None))
        total = self._index.count_behind(resource, namespace, after) - replaced + len(restored)
        return Page(items=items, revision=revision, remaining=total - len(items))
