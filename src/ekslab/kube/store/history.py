"""What happened lately: events in revision order, kept per resource and bounded as a whole.

It answers two questions: which events lie behind a revision (a watch that catches up), and what
did a key hold at a revision (a list that pages through a snapshot). Both walk from the newest
event backwards, because both are asked about the recent past.
"""

from collections import deque

from ekslab.kube.api.objects import Item
from ekslab.kube.store.index import Place
from ekslab.kube.store.port import CompactedError, StoreEvent


class History:
    """Events behind the revision `compacted`, at most `events_most` of them and only as many as
    pin `bytes_most` bytes of states that are no longer current.
    """

    def __init__(self, *, events_most: int, bytes_most: int) -> None:
        self._events: deque[StoreEvent] = deque()
        self._resources: dict[str, deque[StoreEvent]] = {}
        self._events_most = events_most
        self._bytes_most = bytes_most
        self._lost: list[tuple[int, int]] = []
        self._pinned: set[int] = set()
        self._pinned_bytes = 0
        self.compacted = 0

    def __len__(self) -> int:
        return len(self._events)

    def append(self, event: StoreEvent) -> None:
        """Add the newest event."""
        self._events.append(event)
        resource = event.item.resource
        events = self._resources.get(resource)
        if events is None:
            events = self._resources[resource] = deque()
        events.append(event)
        if event.previous is not None:
            self._pinned.add(event.previous.revision)
        self._pinned_bytes += _pinned_bytes(event)

    def lose(self, low: int, high: int) -> None:
        """Revisions between `low` and `high`, both excluded, may have been seen by somebody and
        are gone (an unclean end): nobody can go on from them.
        """
        self._lost.append((low, high))

    def check(self, revision: int) -> None:
        """Make sure that the events behind `revision` are all known.

        Raises:
            CompactedError: they are not.
        """
        if revision < self.compacted:
            raise CompactedError(self.compacted)
        for low, high in self._lost:
            if low < revision < high:
                raise CompactedError(high)

    def has(self, revision: int) -> bool:
        """Whether the change of this revision, or the state it made, is part of the history."""
        return revision > self.compacted or revision in self._pinned

    def since(self, resource: str, after: int) -> list[StoreEvent]:
        """Events of a resource with a revision behind `after`, in order."""
        found: list[StoreEvent] = []
        for event in reversed(self._resources.get(resource, ())):
            if event.revision <= after:
                break
            found.append(event)
        found.reverse()
        return found

    def undone(self, resource: str, revision: int) -> dict[Place, Item | None]:
        """What the keys that have changed since `revision` held at it (None: nothing)."""
        # Walking backwards, the oldest change of a key writes last: its previous state wins.
        return {
            event.item.key: event.previous for event in reversed(self.since(resource, revision))
        }

    def trim(self) -> None:
        """Forget the oldest events beyond the bounds."""
        while len(self._events) > self._events_most or self._pinned_bytes > self._bytes_most:
            self._forget_oldest()

    def compact(self, revision: int) -> None:
        """Forget all events up to `revision`."""
        while self._events and self._events[0].revision <= revision:
            self._forget_oldest()
        self.compacted = max(self.compacted, revision)

    def _forget_oldest(self) -> None:
        event = self._events.popleft()
        self._resources[event.item.resource].popleft()
        if event.previous is not None:
            self._pinned.discard(event.previous.revision)
        self._pinned_bytes -= _pinned_bytes(event)
        self.compacted = event.revision
        self._lost = [span for span in self._lost if span[1] > event.revision]
        event.item.forget_encodings()


def _pinned_bytes(event: StoreEvent) -> int:
    """Bytes that only the history holds on to: the state before, and the last of a deleted."""
    total = sum(map(len, event.previous.segments)) if event.previous is not None else 0
    return total + sum(map(len, event.item.segments)) if event.deleted else total
