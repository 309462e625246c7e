"""Owner references, and who belongs to whom (upstream: `controller_ref_manager.go`).

A controller owns what names it as controller. It adopts what its selector matches and nobody
controls; it releases what it controls and its selector no longer matches.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from ekslab.kube.api.errors import ApiError
from ekslab.kube.api.objects import Item
from ekslab.kube.api.ports import Client
from ekslab.kube.api.requests import Object
from ekslab.kube.api.resources import Resource
from ekslab.kube.runtime.pods import PodFacts, controller_of
from ekslab.kube.runtime.selection import Matcher


def owner_reference(owner: Object) -> Object:
    """The controlling owner reference to `owner` (upstream: metav1.NewControllerRef)."""
    meta = owner["metadata"]
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": meta["name"],
        "uid": meta["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def owner_uid(item: Item) -> list[str]:
    """Index function: the uid of the controlling owner."""
    owner = controller_of(item.object)
    return [owner["uid"]] if owner is not None else []


def orphan_namespace(item: Item) -> list[str]:
    """Index function: the namespace, for objects that nothing controls."""
    return [item.namespace] if controller_of(item.object) is None else []


T = TypeVar("T", Item, PodFacts)


@dataclass(frozen=True, slots=True)
class Claim(Generic[T]):
    """What a controller has, and what it should take or let go."""

    kept: Sequence[T]
    adopt: Sequence[T]
    release: Sequence[T]


def claim(owned: Iterable[T], orphans: Iterable[T], matches: Matcher) -> Claim[T]:
    """Sort what is owned and what is nobody's by a selector."""
    kept: list[T] = []
    release: list[T] = []
    for thing in owned:
        (kept if matches(thing.labels) else release).append(thing)
    adopt = [orphan for orphan in orphans if matches(orphan.labels) and not _is_ending(orphan)]
    return Claim(kept, adopt, release)


def _is_ending(thing: Item | PodFacts) -> bool:
    if isinstance(thing, PodFacts):
        return not thing.is_active
    return "deletionTimestamp" in thing.object["metadata"]


class Claims:
    """Takes and lets go in the name of one owner."""

    def __init__(self, client: Client, owner_resource: Resource, resource: Resource) -> None:
        self._client = client
        self._owner_resource = owner_resource
        self._resource = resource

    async def carry_out(
        self, owner: Object, *, adopt: Iterable[Item], release: Iterable[Item]
    ) -> list[Object]:
        """Adopt and release. Returns what was adopted, as it is now.

        Raises:
            ApiError: 409 if somebody else changed one of them meanwhile.
        """
        adopted: list[Object] = []
        wanted = list(adopt)
        if wanted and await self._may_adopt(owner):
            reference = owner_reference(owner)
            for item in wanted:
                owners = [*(item.object["metadata"].get("ownerReferences") or ()), reference]
                adopted.append(await self._write(item, owners))
        uid = owner["metadata"]["uid"]
        for item in release:
            owners = [
                one for one in item.object["metadata"]["ownerReferences"] if one["uid"] != uid
            ]
            try:
                await self._write(item, owners)
            except ApiError as error:
                if error.code != 404:
                    raise
        return adopted

    async def _may_adopt(self, owner: Object) -> bool:
        # The copy may be old: an owner that is gone or going must not take anything.
        meta = owner["metadata"]
        fresh = await self._client.get(
            self._owner_resource, meta["name"], meta.get("namespace", "")
        )
        fresh_meta = fresh["metadata"]
        return fresh_meta["uid"] == meta["uid"] and "deletionTimestamp" not in fresh_meta

    async def _write(self, item: Item, owners: Sequence[Object]) -> Object:
        change = {
            "metadata": {
                "uid": item.uid,
                "resourceVersion": item.resource_version,
                "ownerReferences": list(owners) or None,
            }
        }
        return await self._client.patch(self._resource, item.name, item.namespace, patch=change)
