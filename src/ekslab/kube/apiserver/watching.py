"""WATCH: changes from a revision on, filtered, with bookmarks.

Upstream: `apiserver/pkg/storage/cacher` (initial events, bookmarks, streaming lists) and
`pkg/endpoints/handlers/watch.go`. An object that stops matching the selectors leaves as DELETED,
one that starts to match comes as ADDED, so a filtered watch is a watch of the filtered set.
"""

from collections.abc import AsyncIterator, Sequence
from typing import Final

from ekslab.kit.clock import Clock, Timer
from ekslab.kube.api import errors
from ekslab.kube.api.ports import WatchEvent
from ekslab.kube.api.requests import ApiRequest
from ekslab.kube.apiserver.options import ListOptions, list_options
from ekslab.kube.apiserver.reading import Selection, selection, too_large_revision
from ekslab.kube.apiserver.registry import Served
from ekslab.kube.store.port import CompactedError, Store, StoreEvent, StoreWatch

BOOKMARK_EVERY_S: Final = 60.0
_TIMEOUT_LEAST_S: Final = 1_800.0
_BATCH_MOST: Final = 512


def too_old_revision(asked: int, oldest: int) -> errors.ApiError:
    """410: changes after this revision are no longer kept."""
    return errors.expired(f"too old resource version: {asked} ({oldest})")


class ServedWatch:
    """One open watch. Iterate it; `close` it. See `api.ports.Watch`."""

    def __init__(
        self,
        source: StoreWatch | None,
        *,
        served: Served,
        chosen: Selection,
        initial: Sequence[WatchEvent],
        unfiltered: "Unfiltered | None" = None,
        error: errors.ApiError | None = None,
    ) -> None:
        self._source = source
        self._served = served
        self._chosen = chosen
        self._initial = initial
        self._unfiltered = unfiltered
        self._error = error
        self._timers: list[Timer] = []
        self._bookmark_due = False

    def start_timers(self, clock: Clock, *, bookmarks: bool, timeout_s: float) -> None:
        """End the watch after `timeout_s`, and send a bookmark now and then."""
        self._timers.append(clock.call_later(timeout_s, self.close))
        if bookmarks:
            self._plan_bookmark(clock)

    def _plan_bookmark(self, clock: Clock) -> None:
        def due() -> None:
            self._bookmark_due = True
            if self._source is not None:
                self._source.nudge()
                self._timers[1:] = [clock.call_later(BOOKMARK_EVERY_S, due)]

        self._timers[1:] = [clock.call_later(BOOKMARK_EVERY_S, due)]

    def close(self) -> None:
        """End the watch; iterating ends."""
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        if self._source is not None:
            self._source.close()

    async def __aiter__(self) -> AsyncIterator[Sequence[WatchEvent]]:
        initial = self._initial
        self._initial = ()
        for start in range(0, len(initial), _BATCH_MOST):
            yield initial[start : start + _BATCH_MOST]
        if self._error is not None:
            raise self._error
        source = self._source
        if source is None:
            return
        async for batch in source:
            unfiltered = self._unfiltered
            events = self._filtered(batch) if unfiltered is None else unfiltered.of(batch)
            if self._bookmark_due:
                self._bookmark_due = False
                events = [*events, WatchEvent("BOOKMARK", source.progress)]
            if events:
                yield events

    def _filtered(self, batch: Sequence[StoreEvent]) -> list[WatchEvent]:
        """The changes of the filtered set."""
        events = []
        everything = self._chosen.everything
        matches = self._chosen.matches
        for event in batch:
            now = not event.deleted and (everything or matches(event.item))
            before = event.previous is not None and (everything or matches(event.previous))
            if now:
                kind = "MODIFIED" if before else "ADDED"
            elif before:
                kind = "DELETED"
            else:
                continue
            item = event.item if self._served.convert is None else self._served.item_of(event.item)
            events.append(WatchEvent(kind, event.revision, item))
        return events


class Unfiltered:
    """Events for those who watch all of a type: made once for the batch that they share.

    The watchers of an audience take it one after the other, so the last one is all to remember.
    """

    def __init__(self) -> None:
        self._batch: Sequence[StoreEvent] = ()
        self._events: Sequence[WatchEvent] = ()

    def of(self, batch: Sequence[StoreEvent]) -> Sequence[WatchEvent]:
        """The batch as it is told; shared, not to be changed."""
        if batch is not self._batch:
            self._events = [WatchEvent(_kind(event), event.revision, event.item) for event in batch]
            self._batch = batch
        return self._events


def _kind(event: StoreEvent) -> str:
    if event.deleted:
        return "DELETED"
    return "ADDED" if event.previous is None else "MODIFIED"


class Watcher:
    """Opens watches."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._unfiltered = Unfiltered()

    async def watch(self, served: Served, request: ApiRequest) -> ServedWatch:
        """Open a watch by the rules of resourceVersion and sendInitialEvents.

        A revision that is gone gives a watch whose iteration raises 410: clients expect it in the
        stream.

        Raises:
            ApiError: 400 or 422 for bad parameters.
        """
        options = list_options(request)
        chosen = selection(served, options)
        namespace = request.namespace
        from_state = options.initial_events or (
            options.initial_events is None and not options.revision
        )
        initial: list[WatchEvent] = []
        if from_state:
            if options.revision and options.revision > self._store.revision:
                raise too_large_revision(options.revision, self._store.revision)
            after, initial = await self._state(served, namespace, chosen)
            if options.initial_events and options.bookmarks:
                initial.append(WatchEvent("BOOKMARK", after, initial_events_end=True))
        else:
            after = options.revision or self._store.revision
        try:
            source = self._store.watch(
                served.storage, namespace, after=after, node_name=chosen.node_name
            )
        except CompactedError as gone:
            error = too_old_revision(after, gone.oldest)
            return ServedWatch(None, served=served, chosen=chosen, initial=(), error=error)
        as_it_is = chosen.everything and served.convert is None
        watch = ServedWatch(
            source,
            served=served,
            chosen=chosen,
            initial=initial,
            unfiltered=self._unfiltered if as_it_is else None,
        )
        watch.start_timers(self._clock, bookmarks=options.bookmarks, timeout_s=_timeout_s(options))
        return watch

    async def _state(
        self, served: Served, namespace: str, chosen: Selection
    ) -> tuple[int, list[WatchEvent]]:
        """The revision of the state and an ADDED event for each object of it that matches."""
        page = await self._store.list(served.storage, namespace)
        return page.revision, [
            WatchEvent("ADDED", item.revision, served.item_of(item))
            for item in page.items
            if chosen.everything or chosen.matches(item)
        ]


def _timeout_s(options: ListOptions) -> float:
    """How long a watch lives: what was asked for, else upstream's least (30 minutes)."""
    return float(options.timeout_s) if options.timeout_s else _TIMEOUT_LEAST_S
