"""The owner graph, and what to do with an object whose owners changed. Pure.

Rules of upstream `pkg/controller/garbagecollector/{garbagecollector,graph_builder}.go`:

- an object all of whose owners are gone is deleted;
- if some are left, the references to those gone are taken away;
- an owner that is deleted with `foregroundDeletion` waits until its blocking dependents are gone;
- an owner that is deleted with `orphan` lets its dependents go first.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final, NamedTuple

from ekslab.kube.api.requests import Object
from ekslab.kube.api.resources import Resource

FOREGROUND: Final = "foregroundDeletion"
ORPHAN: Final = "orphan"


class Subject(NamedTuple):
    """An object by identity: one name may have belonged to several uids."""

    resource: Resource
    namespace: str
    name: str
    uid: str


class Standing(Enum):
    """How an owner stands to its dependent."""

    SOLID = "solid"
    DANGLING = "dangling"
    WAITING = "waiting"  # deleted in the foreground, waits for its dependents


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete the object, with this propagation policy."""

    propagation: str


@dataclass(frozen=True, slots=True)
class DropOwners:
    """Leave only these owner references."""

    owners: tuple[Object, ...]


Action = Delete | DropOwners | None


def decide(obj: Object, standing: Mapping[str, Standing], *, has_dependents: bool) -> Action:
    """What becomes of an object. `standing` says of each owner, by uid, how it stands."""
    owners: Sequence[Object] = obj["metadata"].get("ownerReferences") or ()
    if not owners:
        return None
    solid = tuple(one for one in owners if standing[one["uid"]] is Standing.SOLID)
    if solid:
        return None if len(solid) == len(owners) else DropOwners(solid)
    is_awaited = any(standing[one["uid"]] is Standing.WAITING for one in owners)
    if is_awaited and has_dependents:
        return Delete("Foreground")
    finalizers = obj["metadata"].get("finalizers") or ()
    if ORPHAN in finalizers:
        return Delete("Orphan")
    if FOREGROUND in finalizers:
        return Delete("Foreground")
    return Delete("Background")


def is_ending(obj: Object, finalizer: str) -> bool:
    """Whether the object is being deleted and waits for that finalizer."""
    meta = obj["metadata"]
    return "deletionTimestamp" in meta and finalizer in (meta.get("finalizers") or ())


def blocked_owners(obj: Object) -> frozenset[str]:
    """The uids of the owners that the object keeps from being deleted in the foreground."""
    return frozenset(
        one["uid"]
        for one in obj["metadata"].get("ownerReferences") or ()
        if one.get("blockOwnerDeletion")
    )


def blocks(obj: Object, owner_uid: str) -> bool:
    """Whether the object keeps this owner from being deleted in the foreground."""
    return owner_uid in blocked_owners(obj)


def without_owner(obj: Object, owner_uid: str) -> list[Object]:
    """The owner references but one."""
    owners = obj["metadata"].get("ownerReferences") or ()
    return [one for one in owners if one["uid"] != owner_uid]


class OwnerGraph:
    """Who depends on whom, by uid."""

    def __init__(self) -> None:
        self._owners: dict[Subject, frozenset[str]] = {}
        self._dependents: dict[str, dict[Subject, None]] = {}

    def set_owners(self, subject: Subject, owners: Iterable[str]) -> None:
        """Note the owners of an object; none if it is gone."""
        new = frozenset(owners)
        old = self._owners.get(subject, frozenset())
        for uid in sorted(old - new):
            held = self._dependents[uid]
            del held[subject]
            if not held:
                del self._dependents[uid]
        for uid in sorted(new - old):
            self._dependents.setdefault(uid, {})[subject] = None
        if new:
            self._owners[subject] = new
        else:
            self._owners.pop(subject, None)

    def owners(self, subject: Subject) -> frozenset[str]:
        """The uids an object depends on."""
        return self._owners.get(subject, frozenset())

    def dependents(self, uid: str) -> list[Subject]:
        """The objects that depend on a uid."""
        return list(self._dependents.get(uid, {}))
