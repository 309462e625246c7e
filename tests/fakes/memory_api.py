"""A Kubernetes API in a dict: enough of it for informers and controllers, and no more.

It keeps revisions, uids, generations, the split of spec and status, finalizers and deletion, label
and field selectors, and watches. It knows no schema, no defaults, no admission.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from ekslab.kit.clock import Clock, rfc3339
from ekslab.kit.ids import Ids
from ekslab.kit.rng import Rng
from ekslab.kube.api import errors
from ekslab.kube.api.objects import Item, editable, encode
from ekslab.kube.api.ports import ListPage, PatchType, WatchEvent
from ekslab.kube.api.requests import Object
from ekslab.kube.api.resources import Resource

Refuse = Callable[[str, str, Resource], None]


class MemoryApi:
    """The store and its rules. `oldest` is the last revision that is forgotten (410 before it)."""

    def __init__(self, clock: Clock, *, seed: int = 1) -> None:
        self.clock = clock
        self.ids = Ids(Rng(seed))
        self.revision = 0
        self.oldest = 0
        self.items: dict[tuple[str, str, str], Item] = {}
        self.history: list[tuple[int, str, Item, Item | None]] = []
        self.watches: list[MemoryWatch] = []
        self.calls: list[tuple[str, str, str, str]] = []
        self.refuse: Refuse = lambda _user, _verb, _resource: None

    def client(self, user: str = "test") -> "MemoryClient":
        return MemoryClient(self, user)

    def forget_history(self) -> None:
        self.oldest = self.revision

    def end_watches(self) -> None:
        for watch in list(self.watches):
            watch.close()

    def write(self, resource: Resource, obj: Object, kind: str) -> Item:
        self.revision += 1
        fields = {"metadata.name": obj["metadata"]["name"]}
        if resource.plural == "pods":
            fields["spec.nodeName"] = obj["spec"].get("nodeName", "")
        item = encode(obj, resource=resource.qualified, revision=self.revision, fields=fields)
        where = (resource.qualified, item.namespace, item.name)
        before = self.items.get(where)
        if kind == "DELETED":
            del self.items[where]
        else:
            self.items[where] = item
        self.history.append((self.revision, kind, item, before))
        for watch in list(self.watches):
            watch.offer(self.revision, kind, item, before)
        return item


def selects(label_selector: str, field_selector: str, item: Item) -> bool:
    labels = [term.split("=", 1) for term in label_selector.split(",") if term]
    fields = [term.split("=", 1) for term in field_selector.split(",") if term]
    return all(item.labels.get(key) == value for key, value in labels) and all(
        item.fields.get(key) == value for key, value in fields
    )


class MemoryWatch:
    def __init__(self, api: MemoryApi, wants: Callable[[Item], bool]) -> None:
        self._api = api
        self._wants = wants
        self._events: asyncio.Queue[WatchEvent | None] = asyncio.Queue()

    def offer(self, revision: int, kind: str, item: Item, before: Item | None) -> None:
        was, now = before is not None and self._wants(before), self._wants(item)
        if kind == "DELETED":
            now = False
        if was or now:
            kind = "ADDED" if not was else "MODIFIED" if now else "DELETED"
            self._events.put_nowait(WatchEvent(kind, revision, item))

    async def __aiter__(self) -> AsyncIterator[Sequence[WatchEvent]]:
        while (event := await self._events.get()) is not None:
            batch = [event]
            while not self._events.empty() and (more := self._events.get_nowait()) is not None:
                batch.append(more)
            yield batch

    def close(self) -> None:
        if self in self._api.watches:
            self._api.watches.remove(self)
        self._events.put_nowait(None)


class MemoryClient:
    def __init__(self, api: MemoryApi, user: str) -> None:
        self._api = api
        self._user = user

    async def _enter(self, verb: str, resource: Resource, name: str = "", sub: str = "") -> None:
        await asyncio.sleep(0)
        self._api.calls.append((self._user, verb, f"{resource.qualified}/{sub}".strip("/"), name))
        self._api.refuse(self._user, verb, resource)

    def _item(self, resource: Resource, namespace: str, name: str) -> Item:
        item = self._api.items.get((resource.qualified, namespace, name))
        if item is None:
            raise errors.not_found(resource.group, resource.plural, name)
        return item

    async def get(
        self, resource: Resource, name: str, namespace: str = "", *, subresource: str = ""
    ) -> Object:
        await self._enter("get", resource, name, subresource)
        return self._item(resource, namespace, name).object

    async def list(
        self,
        resource: Resource,
        namespace: str = "",
        *,
        label_selector: str = "",
        field_selector: str = "",
        limit: int = 0,
        continue_token: str = "",
    ) -> ListPage:
        await self._enter("list", resource)
        found = sorted(
            (item for (qualified, ns, _), item in self._api.items.items()
             if qualified == resource.qualified and namespace in ("", ns)
             and selects(label_selector, field_selector, item)),
            key=lambda item: item.key,
        )  # fmt: skip
        start = int(continue_token or 0)
        end = start + limit if limit else len(found)
        token = str(end) if end < len(found) else ""
        return ListPage(found[start:end], self._api.revision, token)

    async def watch(
        self,
        resource: Resource,
        namespace: str = "",
        *,
        revision: int,
        label_selector: str = "",
        field_selector: str = "",
    ) -> MemoryWatch:
        await self._enter("watch", resource)
        if revision < self._api.oldest:
            raise errors.expired(f"too old resource version: {revision} ({self._api.oldest})")

        def wants(item: Item) -> bool:
            return (
                item.resource == resource.qualified
                and namespace in ("", item.namespace)
                and selects(label_selector, field_selector, item)
            )

        watch = MemoryWatch(self._api, wants)
        for at, kind, item, before in self._api.history:
            if at > revision:
                watch.offer(at, kind, item, before)
        self._api.watches.append(watch)
        return watch

    async def create(
        self, resource: Resource, obj: Object, *, subresource: str = "", name: str = ""
    ) -> Object:
        await self._enter("create", resource, name or obj["metadata"].get("name", ""), subresource)
        meta = obj["metadata"]
        if subresource == "binding":
            pod = editable(self._item(resource, meta.get("namespace", ""), name).object)
            pod["spec"]["nodeName"] = obj["target"]["name"]
            self._api.write(resource, pod, "MODIFIED")
            return obj
        if not meta.get("name"):
            meta["name"] = meta["generateName"] + self._api.ids.suffix()
        where = (resource.qualified, meta.get("namespace", ""), meta["name"])
        if where in self._api.items:
            raise errors.already_exists(resource.group, resource.plural, meta["name"])
        meta["uid"] = self._api.ids.uid()
        meta["creationTimestamp"] = rfc3339(self._api.clock.now())
        meta.pop("resourceVersion", None)
        if "spec" in obj:
            meta["generation"] = 1
        if resource.plural == "pods":
            obj.setdefault("status", {"phase": "Pending"})
        return self._api.write(resource, obj, "ADDED").object

    async def update(self, resource: Resource, obj: Object, *, subresource: str = "") -> Object:
        meta = obj["metadata"]
        await self._enter("update", resource, meta["name"], subresource)
        item = self._item(resource, meta.get("namespace", ""), meta["name"])
        if meta.get("resourceVersion") not in (None, "", item.resource_version):
            raise errors.conflict(resource.group, resource.plural, item.name)
        return self._store(resource, item, obj, subresource)

    def _store(self, resource: Resource, item: Item, obj: Object, subresource: str) -> Object:
        old = item.object
        if subresource == "status":
            # As upstream's strategies do: metadata may be written through the status door too.
            annotations = obj["metadata"].get("annotations")
            new = {**editable(old), "status": obj.get("status", {})}
            if annotations:
                new["metadata"]["annotations"] = annotations
        elif subresource == "finalize":
            new = {**editable(old), "spec": obj["spec"]}
        else:
            new = {**obj}
            if "status" in old:
                new["status"] = old["status"]
            meta = new["metadata"] = {**obj["metadata"]}
            for kept in ("uid", "creationTimestamp", "generation", "deletionTimestamp"):
                if kept in old["metadata"]:
                    meta[kept] = old["metadata"][kept]
            if old.get("spec") != new.get("spec"):
                meta["generation"] = meta.get("generation", 0) + 1
        before, after = ({**one, "metadata": {**one["metadata"], "resourceVersion": ""}}
                         for one in (old, new))  # fmt: skip
        if before == after:
            return old
        ended = "deletionTimestamp" in new["metadata"] and not self._held(resource, new)
        return self._api.write(resource, new, "DELETED" if ended else "MODIFIED").object

    def _held(self, resource: Resource, obj: Object) -> bool:
        if resource.plural == "namespaces":
            return bool(obj["spec"].get("finalizers"))
        if resource.plural == "pods" and obj["spec"].get("nodeName"):
            return True
        return bool(obj["metadata"].get("finalizers"))

    async def patch(
        self,
        resource: Resource,
        name: str,
        namespace: str = "",
        *,
        patch: Object | Sequence[Object],
        patch_type: PatchType = PatchType.MERGE,
        subresource: str = "",
    ) -> Object:
        await self._enter("patch", resource, name, subresource)
        assert isinstance(patch, dict)
        assert patch_type is not PatchType.JSON
        item = self._item(resource, namespace, name)
        wanted = patch.get("metadata", {})
        if wanted.get("uid", item.uid) != item.uid:
            raise errors.conflict(resource.group, resource.plural, name, "the UID does not match")
        if wanted.get("resourceVersion", item.resource_version) != item.resource_version:
            raise errors.conflict(resource.group, resource.plural, name)
        return self._store(resource, item, merged(editable(item.object), patch), subresource)

    async def delete(
        self,
        resource: Resource,
        name: str,
        namespace: str = "",
        *,
        uid: str = "",
        revision: int = 0,
        grace_period_s: int | None = None,
        propagation: str = "",
    ) -> None:
        await self._enter("delete", resource, name)
        item = self._item(resource, namespace, name)
        if (uid and uid != item.uid) or (revision and revision != item.revision):
            raise errors.conflict(resource.group, resource.plural, name, "precondition failed")
        obj = editable(item.object)
        finalizer = {"Foreground": "foregroundDeletion", "Orphan": "orphan"}.get(propagation)
        if finalizer:
            obj["metadata"].setdefault("finalizers", []).append(finalizer)
        if grace_period_s == 0 and not finalizer and not obj["metadata"].get("finalizers"):
            self._api.write(resource, obj, "DELETED")
            return
        if not self._held(resource, obj):
            self._api.write(resource, obj, "DELETED")
        elif "deletionTimestamp" not in obj["metadata"]:
            obj["metadata"]["deletionTimestamp"] = rfc3339(self._api.clock.now())
            if resource.plural == "namespaces":
                obj.setdefault("status", {})["phase"] = "Terminating"
            self._api.write(resource, obj, "MODIFIED")

    async def delete_collection(
        self, resource: Resource, namespace: str = "", *, label_selector: str = ""
    ) -> None:
        await self._enter("deletecollection", resource)
        for item in (await self.list(resource, namespace, label_selector=label_selector)).items:
            await self.delete(resource, item.name, item.namespace)


def merged(target: Any, patch: Any) -> Any:
    """JSON merge patch (RFC 7396); conditions of a status are merged by type."""
    if not isinstance(patch, dict):
        return patch
    if not isinstance(target, dict):
        target = {}
    for key, value in patch.items():
        if value is None:
            target.pop(key, None)
        elif key == "conditions" and isinstance(target.get(key), list):
            held = {entry["type"]: entry for entry in target[key]}
            held.update({entry["type"]: merged(held.get(entry["type"]), entry) for entry in value})
            target[key] = list(held.values())
        else:
            target[key] = merged(target.get(key), value)
    return target
