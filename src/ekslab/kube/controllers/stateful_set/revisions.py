"""The ControllerRevisions of a StatefulSet: which to make, renumber, forget. Pure.

Upstream: `stateful_set_control.go` (getStatefulSetRevisions, truncateHistory).
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from ekslab.kube.api.requests import Object
from ekslab.kube.runtime import history

_HASH: Final = "controller.kubernetes.io/hash"
_HISTORY_LIMIT: Final = 10


@dataclass(frozen=True, slots=True)
class Update:
    """The revision of the template as it is; `change` is to be written: "create", "renumber" or
    "" for nothing.
    """

    revision: Object
    change: str


def update_revision(obj: Object, revisions: Sequence[Object], collision_count: int) -> Update:
    """The newest revision that keeps the template, or one to be made."""
    template, newest = obj["spec"]["template"], history.newest_number(revisions)
    equal = [one for one in revisions if history.is_of(one, template)]
    if not equal:
        new = history.new_revision(
            obj, template, number=newest + 1, collision_count=collision_count
        )
        labels = new["metadata"]["labels"]
        labels[_HASH] = labels.pop(history.HASH_LABEL)
        return Update(new, "create")
    last = max(equal, key=lambda one: one["revision"])
    if last["revision"] == newest:
        return Update(last, "")
    return Update({**last, "revision": newest + 1}, "renumber")


def current_revision(obj: Object, revisions: Sequence[Object], update: Object) -> Object:
    """The revision the status calls current; at the beginning that of the template."""
    name = (obj.get("status") or {}).get("currentRevision", "")
    return next((one for one in revisions if one["metadata"]["name"] == name), update)


def template_of(revision: Object) -> Object:
    """The template a revision keeps."""
    kept = revision["data"]["spec"]["template"]
    return {key: value for key, value in kept.items() if key != "$patch"}


def surplus(obj: Object, revisions: Sequence[Object], live: Collection[str]) -> list[Object]:
    """The oldest revisions beyond the limit that nothing uses."""
    unused = [one for one in revisions if one["metadata"]["name"] not in live]
    unused.sort(key=lambda one: one["revision"])
    limit = obj["spec"].get("revisionHistoryLimit", _HISTORY_LIMIT)
    return unused[: max(0, len(unused) - limit)]
