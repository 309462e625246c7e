"""The port of the store, as the API server needs it.

Semantics are etcd's: one revision counter, compare-and-swap on the revision of the key, range at a
revision, watch from a revision, compaction. Reads and watches never see what is not durable;
writers do see each other's staged writes (`get_latest`), so that two writers of one tick cannot
both win.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from ekslab.kube.api.objects import Item


class RevisionConflictError(Exception):
    """The key is not at the expected revision. `current` is what it holds (None: nothing)."""

    def __init__(self, current: Item | None) -> None:
        super().__init__("revision conflict")
        self.current = current


class CompactedError(Exception):
    """The revision asked for is older than the history that is kept."""

    def __init__(self, oldest: int) -> None:
        super().__init__(f"compacted: oldest revision is {oldest}")
        self.oldest = oldest


class StoreError(Exception):
    """The write could not be made durable (a full disk). Nothing of it is visible."""


class StoreLockedError(StoreError):
    """Another process has the store open."""


class StoreFormatError(StoreError):
    """What lies there is no store, or one of another version."""


class Key(NamedTuple):
    """Where an object lives: `resource` is `Resource.qualified`, namespace "" if cluster-scoped.

    A tuple, like all that is made for every write: cheap to make and to hash.
    """

    resource: str
    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class Page:
    """Objects in key order at one revision; `remaining` counts those behind the page."""

    items: Sequence[Item]
    revision: int
    remaining: int = 0


class StoreEvent(NamedTuple):
    """One change. `previous` is None for a creation; for a deletion `item` is the last state of
    the object, with the revision of the deletion.
    """

    revision: int
    item: Item
    previous: Item | None
    deleted: bool


class StoreWatch(Protocol):
    """Changes of one resource in revision order, each once, none left out."""

    def __aiter__(self) -> AsyncIterator[Sequence[StoreEvent]]:
        """Batches of events. Ends when the watcher was too slow (its bounded queue was full) or
        the store closes.
        """

    @property
    def progress(self) -> int:
        """All changes up to this revision have been delivered: the revision of a bookmark."""

    def nudge(self) -> None:
        """Wake the reader with an empty batch, if it waits: timers and bookmarks use it."""

    def close(self) -> None:
        """End the watch."""


class Store(Protocol):
    """A revisioned store of encoded objects."""

    @property
    def revision(self) -> int:
        """The newest published revision."""

    def published(self, key: Key) -> Item | None:
        """The published object, from memory: what authorizers and admission decide by."""

    def published_all(self, resource: str, namespace: str = "") -> Sequence[Item]:
        """All published objects of a resource in key order, from memory."""

    def changed(self, resource: str) -> int:
        """Revision of the newest published change of a resource (0: none yet)."""

    async def get(self, key: Key) -> Item | None:
        """The published object."""

    async def get_latest(self, key: Key) -> Item | None:
        """The newest object including writes that are not durable yet: what a writer compares."""

    async def list(
        self,
        resource: str,
        namespace: str = "",
        *,
        revision: int = 0,
        after: tuple[str, str] | None = None,
        limit: int = 0,
    ) -> Page:
        """Objects of a resource in key order, in a namespace or ("") everywhere, at a revision
        (0: the newest), behind the key `after`, at most `limit` (0: all).

        Raises:
            CompactedError: `revision` is no longer kept.
            ValueError: `revision` lies in the future.
        """

    async def put(self, key: Key, encode: Callable[[int], Item], *, expect: int) -> Item:
        """Write what `encode(revision)` gives, if the key is at revision `expect` (0: absent).
        Returns when the write is durable and published. `encode` is called at once, synchronously.

        Raises:
            RevisionConflictError: the key is at another revision; nothing was written.
            StoreError: the write could not be made durable; nothing was written.
        """

    async def delete(self, key: Key, encode: Callable[[int], Item], *, expect: int) -> Item:
        """Remove the key if it is at revision `expect`; `encode` gives the last state.

        Raises:
            RevisionConflictError, StoreError: as `put`.
        """

    def watch(
        self, resource: str, namespace: str = "", *, after: int, node_name: str = ""
    ) -> StoreWatch:
        """Follow changes with revision > `after`. With `node_name`, only pods whose `fields` have
        that `spec.nodeName` now or before the change (an index, not a filter).

        Raises:
            CompactedError: changes after `after` are no longer kept.
        """

    async def compact(self, revision: int) -> None:
        """Forget history up to `revision`; objects stay."""

    def check(self) -> None:
        """Succeed if a write would be durable now: after one that was not, this tries again.

        Raises:
            StoreError: it would not, or the store is closed.
        """

    async def close(self) -> None:
        """End all watches, make everything durable, release the files."""
