"""Informers: a local copy of the objects of one type, kept current by list and watch.

The copy follows the server as an explicit state machine, as client-go's reflector does (and as
kube-rs `watcher.rs` writes it down):

    EMPTY     --list-->   LISTED     everything is read, at one revision
    LISTED    --watch-->  WATCHING   changes after that revision arrive
    WATCHING  --end-->    LISTED     the server ended the stream: go on from the last revision
    any       --410-->    EMPTY      that revision is forgotten there: read everything again
    any       --error-->  the same   after a pause that doubles, 0.8 s to 30 s

Items are shared with whoever else holds them: never copied, never changed, decoded when asked.
Callbacks are synchronous and see every change in order; they may only note it (put a key into a
queue), never wait.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from typing import Final

from ekslab.kit import logs
from ekslab.kit.clock import Clock
from ekslab.kit.tasks import TaskGroup
from ekslab.kube.api.errors import ApiError
from ekslab.kube.api.objects import Item
from ekslab.kube.api.ports import Client, Watch, WatchEvent
from ekslab.kube.api.resources import Resource

Key = tuple[str, str]
"""`(namespace, name)`, as `Item.key`."""

OnChange = Callable[[Item | None, Item | None], None]
"""Told of each change: `(None, new)` added, `(old, new)` changed, `(old, None)` gone."""

IndexFunction = Callable[[Item], Iterable[str]]

_BACKOFF_FIRST_S: Final = 0.8
_BACKOFF_MOST_S: Final = 30.0
_SHORT_WATCH_S: Final = 1.0
_PAGE_LIMIT: Final = 5_000
_YIELD_EVERY: Final = 128
_BY_NAMESPACE: Final = "namespace"

_log = logs.get("informer")


class State(Enum):
    """Where an informer stands with its server."""

    EMPTY = "empty"
    LISTED = "listed"
    WATCHING = "watching"


class _Index:
    """Items by the keys a function gives them. Remembers the keys, so that taking an item out
    does not compute them again.
    """

    def __init__(self, function: IndexFunction) -> None:
        self._function = function
        self._by_key: dict[str, dict[Key, Item]] = {}
        self._keys_of: dict[Key, tuple[str, ...]] = {}

    def put(self, where: Key, item: Item) -> None:
        keys = tuple(self._function(item))
        before = self._keys_of.get(where, ())
        if before != keys:
            self._move(where, before, keys)
        for key in keys:
            self._by_key[key][where] = item

    def _move(self, where: Key, before: tuple[str, ...], keys: tuple[str, ...]) -> None:
        self._take(where, before)
        if keys:
            self._keys_of[where] = keys
        for key in keys:
            self._by_key.setdefault(key, {})

    def remove(self, where: Key) -> None:
        self._take(where, self._keys_of.get(where, ()))

    def _take(self, where: Key, keys: tuple[str, ...]) -> None:
        for key in keys:
            held = self._by_key[key]
            del held[where]
            if not held:
                del self._by_key[key]
        self._keys_of.pop(where, None)

    def get(self, key: str) -> list[Item]:
        return list(self._by_key.get(key, {}).values())


def _namespace(item: Item) -> tuple[str]:
    return (item.namespace,)


class Informer:
    """A current copy of the objects of one type that match the selectors.

    Reads are synchronous. `run` keeps the copy current until it is cancelled.
    """

    def __init__(
        self,
        client: Client,
        resource: Resource,
        *,
        clock: Clock,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
    ) -> None:
        self.resource = resource
        self.state = State.EMPTY
        self.revision = 0
        self._client = client
        self._clock = clock
        self._namespace = namespace
        self._label_selector = label_selector
        self._field_selector = field_selector
        self._items: dict[Key, Item] = {}
        self._indexes: dict[str, _Index] = {}
        self._callbacks: list[OnChange] = []
        self._synced = asyncio.Event()
        self._failures = 0

    @property
    def has_synced(self) -> bool:
        """Whether everything has been read once."""
        return self._synced.is_set()

    async def wait_synced(self) -> None:
        """Wait until everything has been read once."""
        await self._synced.wait()

    def __len__(self) -> int:
        return len(self._items)

    def get(self, namespace: str, name: str) -> Item | None:
        """The object of that name, or None; namespace "" for cluster-scoped types."""
        return self._items.get((namespace, name))

    def list(self, namespace: str = "") -> "Sequence[Item]":
        """The objects of a namespace, or ("") all of them."""
        if not namespace:
            return [*self._items.values()]
        self.add_index(_BY_NAMESPACE, _namespace)  # kept from when it is first asked for
        return self._indexes[_BY_NAMESPACE].get(namespace)

    def by_index(self, name: str, key: str) -> "Sequence[Item]":
        """The objects to which the index function `name` gave `key`."""
        return self._indexes[name].get(key)

    def add_index(self, name: str, function: IndexFunction) -> None:
        """Keep objects findable by the keys `function(item)` gives; a known name is kept as is."""
        if name in self._indexes:
            return
        index = self._indexes[name] = _Index(function)
        for where, item in self._items.items():
            index.put(where, item)

    def on_change(self, callback: OnChange) -> None:
        """Call `callback` at each change from now on; objects already here are given as added."""
        self._callbacks.append(callback)
        for item in list(self._items.values()):
            callback(None, item)

    async def run(self) -> None:
        """Keep the copy current. Never ends by itself; errors of the server are waited out."""
        while True:
            try:
                await self._step()
            except ApiError as error:
                if error.code == 410:
                    self.state = State.EMPTY
                    continue
                if self.state is State.WATCHING:
                    self.state = State.LISTED
                self._failures += 1
                pause_s = self._pause_s()
                _log.warning(
                    "list and watch failed",
                    resource=self.resource.qualified,
                    code=error.code,
                    error=error.message,
                    retry_in_s=pause_s,
                )
                await self._clock.sleep(pause_s)

    def _pause_s(self) -> float:
        return min(_BACKOFF_MOST_S, _BACKOFF_FIRST_S * 2.0 ** min(self._failures - 1, 10))

    async def _step(self) -> None:
        if self.state is State.EMPTY:
            await self._list()
            self.state = State.LISTED
        watch = await self._client.watch(
            self.resource,
            self._namespace,
            revision=self.revision,
            label_selector=self._label_selector,
            field_selector=self._field_selector,
        )
        self.state = State.WATCHING
        since_s, from_revision = self._clock.now(), self.revision
        try:
            await self._follow(watch)
        finally:
            watch.close()
        self.state = State.LISTED
        if self.revision == from_revision and self._clock.now() - since_s < _SHORT_WATCH_S:
            # A server that ends every watch at once must not make us spin.
            self._failures += 1
            await self._clock.sleep(self._pause_s())

    async def _list(self) -> None:
        found: dict[Key, Item] = {}
        token, revision = "", 0
        while True:
            page = await self._client.list(
                self.resource,
                self._namespace,
                label_selector=self._label_selector,
                field_selector=self._field_selector,
                limit=_PAGE_LIMIT,
                continue_token=token,
            )
            found.update((item.key, item) for item in page.items)
            token, revision = page.continue_token, page.revision
            if not token:
                break
        await self._replace(found)
        self.revision = revision
        self._failures = 0
        self._synced.set()

    async def _replace(self, found: Mapping[Key, Item]) -> None:
        for gone in [key for key in self._items if key not in found]:
            self._remove(gone)
        for count, (key, item) in enumerate(found.items(), start=1):
            known = self._items.get(key)
            if known is None or known.revision != item.revision:
                self._put(item)
            if count % _YIELD_EVERY == 0:
                await asyncio.sleep(0)

    async def _follow(self, watch: Watch) -> None:
        async for events in watch:
            for start in range(0, len(events), _YIELD_EVERY):
                if start:
                    await asyncio.sleep(0)
                for event in events[start : start + _YIELD_EVERY]:
                    self._apply(event)
            self._failures = 0

    def _apply(self, event: WatchEvent) -> None:
        if event.item is not None:
            if event.type == "DELETED":
                self._remove(event.item.key)
            else:
                self._put(event.item)
        self.revision = event.revision

    def _put(self, item: Item) -> None:
        where = item.key
        old = self._items.get(where)
        if old is not None and old.uid != item.uid:
            # Deleted and made anew while nobody looked: two changes, not one.
            self._remove(where)
            old = None
        self._items[where] = item
        for index in self._indexes.values():
            index.put(where, item)
        for callback in self._callbacks:
            callback(old, item)

    def _remove(self, key: Key) -> None:
        old = self._items.pop(key, None)
        if old is None:
            return
        for index in self._indexes.values():
            index.remove(key)
        for callback in self._callbacks:
            callback(old, None)


class InformerFactory:
    """One informer a type, shared by all who look through the same client."""

    def __init__(self, client: Client, *, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._informers: dict[Resource, Informer] = {}
        self._group: TaskGroup | None = None

    def informer(self, resource: Resource) -> Informer:
        """The informer of a type, over all namespaces; made when first asked for."""
        informer = self._informers.get(resource)
        if informer is None:
            informer = self._informers[resource] = Informer(
                self._client, resource, clock=self._clock
            )
            if self._group is not None:
                self._group.start(informer.run(), name=resource.qualified)
        return informer

    async def wait_synced(self) -> None:
        """Wait until every informer asked for so far has read everything once."""
        for informer in list(self._informers.values()):
            await informer.wait_synced()

    async def run(self) -> None:
        """Run all informers, also those asked for later, until cancelled."""
        async with TaskGroup("informers") as group:
            self._group = group
            try:
                for resource, informer in list(self._informers.items()):
                    group.start(informer.run(), name=resource.qualified)
                await asyncio.get_running_loop().create_future()
            finally:
                self._group = None
