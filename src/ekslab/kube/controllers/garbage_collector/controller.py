"""The garbage collector: watches every type, keeps the owner graph, deletes. Key: one object.

Upstream: `pkg/controller/garbagecollector`. Objects without owners and finalizers cost nothing
here: they are told apart by their bytes, without being decoded.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, ClassVar, Final

from ekslab.kube.api.errors import ApiError
from ekslab.kube.api.objects import Item
from ekslab.kube.api.requests import Object
from ekslab.kube.api.resources import Resource, ResourceInfo
from ekslab.kube.controllers.garbage_collector.plan import (
    FOREGROUND,
    ORPHAN,
    Delete,
    DropOwners,
    OwnerGraph,
    Standing,
    Subject,
    blocked_owners,
    blocks,
    decide,
    is_ending,
    without_owner,
)
from ekslab.kube.runtime.batches import all_of
from ekslab.kube.runtime.controller import DONE, Controller, Result, Toolbox

if TYPE_CHECKING:
    from ekslab.kube.client.informers import Informer

_IGNORED: Final = frozenset({"events", "events.events.k8s.io"})
_NEEDED_VERBS: Final = frozenset({"list", "watch", "delete"})
_NEW_TYPES_EVERY_S: Final = 30.0
_SYNC: Final = Subject(Resource("", "", ""), "", "", "sync")
_TRIES: Final = 5


class GarbageCollector(Controller[Subject]):
    """Deletes what nobody owns any more. `resources` gives the types served now."""

    name: ClassVar[str] = "generic-garbage-collector"
    workers: ClassVar[int] = 20

    def __init__(self, tools: Toolbox, resources: Callable[[], Sequence[ResourceInfo]]) -> None:
        super().__init__(tools)
        self._resources = resources
        self._graph = OwnerGraph()
        self._informers_by_type: dict[tuple[str, str], Informer] = {}
        self._watched: dict[Resource, ResourceInfo] = {}
        self._watch_types()
        self.queue.add(_SYNC)

    def _watch_types(self) -> None:
        """Watch each type once, in the version it is served first, and know its kinds."""
        seen = {info.resource.qualified: info.resource for info in self._watched.values()}
        for info in self._resources():
            resource = info.resource
            if resource.qualified in _IGNORED or not set(info.verbs) >= _NEEDED_VERBS:
                continue
            if resource.qualified not in seen:
                seen[resource.qualified] = resource
                self._watched[resource] = info
                self.watch(resource, self._listener(resource))
            informer = self.tools.informers.informer(seen[resource.qualified])
            self._informers_by_type[resource.api_version, info.kind] = informer

    def _listener(self, resource: Resource) -> Callable[[Item | None, Item | None], None]:
        def changed(old: Item | None, new: Item | None) -> None:
            if new is None:
                assert old is not None
                self._gone(resource, old)
            elif old is None or old.segments[0] != new.segments[0]:
                # Owners, finalizers and deletion are all in the metadata; a new status is not.
                self._there(resource, new)

        return changed

    def _there(self, resource: Resource, item: Item) -> None:
        metadata = item.segments[0]
        subject = Subject(resource, item.namespace, item.name, item.uid)
        if b'"ownerReferences"' in metadata:
            owners = item.object["metadata"].get("ownerReferences") or ()
            if self._graph.owners(subject) != {one["uid"] for one in owners}:
                self._graph.set_owners(subject, (one["uid"] for one in owners))
                if any(self._owner_item(item, one) is None for one in owners):
                    self.queue.add(subject)
            blocked = blocked_owners(item.object)
            for one in owners:
                if one["uid"] not in blocked:
                    self._ask_waiting_owner(item, one)
        elif self._graph.owners(subject):
            self._graph.set_owners(subject, ())
        if b'"deletionTimestamp"' in metadata and (
            is_ending(item.object, FOREGROUND) or is_ending(item.object, ORPHAN)
        ):
            self.queue.add(subject)

    def _gone(self, resource: Resource, item: Item) -> None:
        subject = Subject(resource, item.namespace, item.name, item.uid)
        self._graph.set_owners(subject, ())
        if b'"ownerReferences"' in item.segments[0]:
            for one in item.object["metadata"].get("ownerReferences") or ():
                self._ask_waiting_owner(item, one)
        for dependent in self._graph.dependents(item.uid):
            self.queue.add(dependent)

    def _ask_waiting_owner(self, item: Item, reference: Object) -> None:
        owner = self._owner_item(item, reference)
        if owner is None or b'"deletionTimestamp"' not in owner.segments[0]:
            return
        if is_ending(owner.object, FOREGROUND):
            informer = self._informers_by_type[reference["apiVersion"], reference["kind"]]
            self.queue.add(Subject(informer.resource, owner.namespace, owner.name, owner.uid))

    def _owner_item(self, item: Item, reference: Object) -> Item | None:
        """The owner as our copy has it: in the dependent's namespace, or cluster-scoped."""
        informer = self._informers_by_type.get((reference["apiVersion"], reference["kind"]))
        if informer is None:
            return None
        is_namespaced = self._watched[informer.resource].namespaced
        owner = informer.get(item.namespace if is_namespaced else "", reference["name"])
        return owner if owner is not None and owner.uid == reference["uid"] else None

    async def reconcile(self, key: Subject) -> Result:
        """Bring one object in line with its owners, or its dependents with it."""
        if key is _SYNC:
            self._watch_types()
            return Result(requeue_after_s=_NEW_TYPES_EVERY_S)
        if self._is_settled(key):
            return DONE
        obj = await self._read(key)
        if obj is None:
            return DONE
        if is_ending(obj, ORPHAN):
            return await self._let_dependents_go(key, obj)
        if is_ending(obj, FOREGROUND):
            return await self._end_dependents(key, obj)
        if "deletionTimestamp" in obj["metadata"]:
            return DONE
        owners = obj["metadata"].get("ownerReferences") or ()
        standing = {one["uid"]: await self._standing(key, one) for one in owners}
        has_dependents = bool(self._graph.dependents(key.uid))
        match decide(obj, standing, has_dependents=has_dependents):
            case Delete(propagation):
                await self._delete(key, obj, propagation)
            case DropOwners(owners):
                await self._patch(key, obj, {"ownerReferences": list(owners)})
            case None:
                pass
        return DONE

    def _is_settled(self, key: Subject) -> bool:
        """Whether our copy shows at once that there is nothing to do: after a restart every
        object is asked about before its owner has been read.
        """
        item = self._item(key)
        if item is None or b'"deletionTimestamp"' in item.segments[0]:
            return False
        found = [
            self._owner_item(item, one)
            for one in item.object["metadata"].get("ownerReferences") or ()
        ]
        return all(
            owner is not None and b'"deletionTimestamp"' not in owner.segments[0] for owner in found
        )

    async def _read(self, key: Subject) -> Object | None:
        try:
            obj = await self.client.get(key.resource, key.name, key.namespace)
        except ApiError as error:
            if error.code != 404:
                raise
            return None
        return obj if obj["metadata"]["uid"] == key.uid else None

    async def _standing(self, key: Subject, reference: Object) -> Standing:
        informer = self._informers_by_type.get((reference["apiVersion"], reference["kind"]))
        if informer is None:
            # A type that is not served (yet): upstream does not delete on such grounds either.
            return Standing.SOLID
        namespace = key.namespace if self._watched[informer.resource].namespaced else ""
        item = informer.get(namespace, reference["name"])
        if item is None or item.uid != reference["uid"]:
            owner_key = Subject(informer.resource, namespace, reference["name"], reference["uid"])
            owner = await self._read(owner_key)
        else:
            owner = item.object
        if owner is None:
            return Standing.DANGLING
        return Standing.WAITING if is_ending(owner, FOREGROUND) else Standing.SOLID

    async def _delete(self, key: Subject, obj: Object, propagation: str) -> None:
        try:
            await self.client.delete(
                key.resource,
                key.name,
                key.namespace,
                uid=key.uid,
                revision=int(obj["metadata"]["resourceVersion"]),
                propagation=propagation,
            )
        except ApiError as error:
            if error.code != 404:
                raise

    async def _end_dependents(self, key: Subject, obj: Object) -> Result:
        """Foreground: delete the dependents; once none blocks, let the owner go."""
        blocking = False
        for dependent in self._graph.dependents(key.uid):
            item = self._item(dependent)
            if item is None:
                continue
            blocking = blocking or blocks(item.object, key.uid)
            if not is_ending(item.object, FOREGROUND):
                self.queue.add(dependent)
        if not blocking:
            await self._drop_finalizer(key, obj, FOREGROUND)
        return DONE

    async def _let_dependents_go(self, key: Subject, obj: Object) -> Result:
        """Orphan: take the reference to the owner out of all dependents, then let it go."""
        outcome = await all_of(
            [self._release(one, key.uid) for one in self._graph.dependents(key.uid)]
        )
        if outcome.error is not None:
            raise outcome.error
        await self._drop_finalizer(key, obj, ORPHAN)
        return DONE

    async def _release(self, dependent: Subject, owner_uid: str) -> None:
        for attempt in range(_TRIES):
            obj = await self._read(dependent)
            if obj is None:
                return
            owners = without_owner(obj, owner_uid)
            try:
                await self._patch(dependent, obj, {"ownerReferences": owners or None})
                return
            except ApiError as error:
                if error.code == 404:
                    return
                if error.code != 409 or attempt == _TRIES - 1:
                    raise

    async def _drop_finalizer(self, key: Subject, obj: Object, finalizer: str) -> None:
        left = [one for one in obj["metadata"]["finalizers"] if one != finalizer]
        await self._patch(key, obj, {"finalizers": left or None})

    async def _patch(self, key: Subject, obj: Object, metadata: Object) -> None:
        meta = {**metadata, "uid": key.uid, "resourceVersion": obj["metadata"]["resourceVersion"]}
        await self.client.patch(key.resource, key.name, key.namespace, patch={"metadata": meta})

    def _item(self, subject: Subject) -> Item | None:
        item = self.tools.informers.informer(subject.resource).get(subject.namespace, subject.name)
        return item if item is not None and item.uid == subject.uid else None
