"""The watch hub: who hears of which change.

Watchers that ask the same question (resource, namespace, node) are one *audience*. A change looks
up the few audiences it concerns, two to six dict lookups, however many watchers there are; 5,000
node agents that each watch their own pods cost a pod's change nothing. At the end of a tick each
audience gets its events as one tuple that its watchers share, so a delivery is one append per
watcher and tick, not one per event.

Every delivery to a reader has its price, however many events it brings. What comes for a large
audience right after a delivery therefore waits a little (60 us for each watcher, 60 ms at 1,000:
about twice what the delivery takes) and reaches all of them together, as one tuple; in between
there is time for the writers. The first event after a quiet time is delivered at once.

A watcher has a bounded queue. One that falls behind is ended and what it had is dropped; its
reader resumes from the revision it saw last.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Final

from ekslab.kube.store.port import StoreEvent

_Question = tuple[str, str, str]  # resource, namespace or "", node name or ""
_BATCH_MOST: Final = 1_024
_SMALL_AUDIENCE: Final = 32
_REST_S_PER_WATCHER: Final = 60e-6
_REST_S_MOST: Final = 0.1


class _Audience:
    """Watchers that ask the same question."""

    __slots__ = ("events", "timer", "watchers")

    def __init__(self) -> None:
        self.watchers: dict[HubWatch, None] = {}
        self.events: list[StoreEvent] = []
        self.timer: asyncio.TimerHandle | None = None

    def deliver(self) -> None:
        """The events of a tick are there: hand them out, unless the last ones just were."""
        if self.timer is None or len(self.events) >= _BATCH_MOST:
            self.hand_out()

    def close(self) -> None:
        """Nobody listens any more."""
        self.events = []
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

    def hand_out(self) -> None:
        """Hand what has come to every watcher and wake their readers."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        if not self.events:
            return
        batch = tuple(self.events)
        self.events = []
        for watcher in list(self.watchers):
            watcher.push(batch)
            watcher.wake()
        count = len(self.watchers)
        if count > _SMALL_AUDIENCE:
            delay_s = min(count * _REST_S_PER_WATCHER, _REST_S_MOST)
            self.timer = asyncio.get_running_loop().call_later(delay_s, self.hand_out)


class HubWatch:
    """One watcher: an iterator over batches of events. See `port.StoreWatch`."""

    def __init__(
        self,
        *,
        after: int,
        backlog: Sequence[StoreEvent],
        queue_most: int,
        published: Callable[[], int],
        audience: _Audience,
        leave: Callable[["HubWatch"], None],
    ) -> None:
        self._queue: deque[Sequence[StoreEvent]] = deque(
            backlog[start : start + _BATCH_MOST] for start in range(0, len(backlog), _BATCH_MOST)
        )
        self._after = after
        self._delivered = after
        self._waiting = len(backlog)
        # The backlog is bounded by the history; the bound of the queue is for what comes after.
        self._waiting_most = queue_most + len(backlog)
        self._published = published
        self._audience = audience
        self._leave = leave
        self._reader: asyncio.Future[None] | None = None
        self._ended = False
        self._nudged = False

    def __aiter__(self) -> AsyncIterator[Sequence[StoreEvent]]:
        return self

    async def __anext__(self) -> Sequence[StoreEvent]:
        while not self._queue:
            if self._ended:
                raise StopAsyncIteration
            if self._nudged:
                self._nudged = False
                return ()
            self._reader = asyncio.get_running_loop().create_future()
            await self._reader
        return self._take()

    @property
    def progress(self) -> int:
        """See `port.StoreWatch.progress`."""
        if self._queue or self._ended or self._audience.events:
            return self._delivered
        return max(self._published(), self._after)

    @property
    def ended(self) -> bool:
        """True once nothing more will come."""
        return self._ended

    def nudge(self) -> None:
        """See `port.StoreWatch.nudge`."""
        if self._reader is not None and not self._reader.done():
            self._nudged = True
            self.wake()

    def close(self) -> None:
        """See `port.StoreWatch.close`."""
        if not self._ended:
            self._ended = True
            self._queue.clear()
            self._leave(self)
            self.wake()

    def push(self, batch: Sequence[StoreEvent]) -> None:
        """Queue events behind those that wait; more than the bound ends the watch."""
        if batch[0].revision <= self._after:
            batch = [event for event in batch if event.revision > self._after]
            if not batch:
                return
        self._waiting += len(batch)
        if self._waiting > self._waiting_most:
            self.close()
        else:
            self._queue.append(batch)

    def wake(self) -> None:
        """Let the reader look again."""
        reader = self._reader
        if reader is None or reader.done():
            return
        if self._queue or self._ended or self._nudged:
            reader.set_result(None)

    def _take(self) -> Sequence[StoreEvent]:
        self._nudged = False
        batch = self._queue.popleft()
        if self._queue and len(batch) < _BATCH_MOST:
            joined = list(batch)
            while self._queue and len(joined) < _BATCH_MOST:
                joined.extend(self._queue.popleft())
            batch = joined
        self._waiting -= len(batch)
        self._delivered = batch[-1].revision
        return batch


class Hub:
    """All open watches of one store."""

    def __init__(self, *, queue_most: int, published: Callable[[], int]) -> None:
        self._queue_most = queue_most
        self._published = published
        self._audiences: dict[_Question, _Audience] = {}

    def __len__(self) -> int:
        return sum(len(audience.watchers) for audience in self._audiences.values())

    def join(self, question: _Question, *, after: int, past: Sequence[StoreEvent]) -> HubWatch:
        """A new watcher of (resource, namespace, node); `past` are the resource's events behind
        `after`, of which it gets those that concern it.
        """
        backlog = [event for event in past if question in set(_questions(event))]
        audience = self._audiences.setdefault(question, _Audience())
        audience.hand_out()  # what waits there is part of the newcomer's past

        def leave(watch: HubWatch) -> None:
            audience.watchers.pop(watch, None)
            if not audience.watchers and self._audiences.get(question) is audience:
                del self._audiences[question]
                audience.close()

        watch = HubWatch(
            after=after,
            backlog=backlog,
            queue_most=self._queue_most,
            published=self._published,
            audience=audience,
            leave=leave,
        )
        audience.watchers[watch] = None
        return watch

    def publish(self, events: Sequence[StoreEvent]) -> None:
        """Deliver the events of one tick."""
        concerned: dict[_Question, _Audience] = {}
        audiences = self._audiences
        for event in events:
            for question in _questions(event):
                audience = audiences.get(question)
                if audience is not None:
                    audience.events.append(event)
                    concerned[question] = audience
        for audience in concerned.values():
            audience.deliver()

    def close(self) -> None:
        """End every watch."""
        for audience in list(self._audiences.values()):
            for watcher in list(audience.watchers):
                watcher.close()


def _questions(event: StoreEvent) -> Iterator[_Question]:
    """The questions this event is an answer to, each once."""
    item = event.item
    resource, namespace = item.resource, item.namespace
    yield resource, "", ""
    if namespace:
        yield resource, namespace, ""
    if resource != "pods":
        return
    node = item.fields.get("spec.nodeName", "")
    before = event.previous.fields.get("spec.nodeName", "") if event.previous is not None else ""
    for name in (node, before) if node != before else (node,):
        if name:
            yield resource, "", name
            yield resource, namespace, name
