"""What is used of a quota. Pure. Rules of upstream `pkg/controller/resourcequota`."""

from collections.abc import Iterable, Mapping

from ekslab.kube.api import quota
from ekslab.kube.api.requests import Object


def status(obj: Object, things: Mapping[str, Iterable[Object]]) -> Object:
    """The status: the limits as they are wished, and what the objects (by type) use of them.

    Names whose type is not in `things` are not counted.
    """
    wanted = quota.hard(obj, part="spec")
    used: dict[str, str] = {}
    for qualified, objects in things.items():
        names = {name for name in wanted if quota.type_of(name) == qualified}
        summed = quota.total(
            (quota.usage(qualified, one) for one in objects if quota.covers(obj, qualified, one)),
            names.__contains__,
        )
        used |= {name: str(summed[name]) if name in summed else "0" for name in names}
    return {"hard": dict(wanted), "used": dict(sorted(used.items()))}


def changes_usage(old: Object, new: Object, qualified: str) -> bool:
    """Whether a change of an object can change what it uses."""
    if qualified == "pods":
        return quota.is_over(old) != quota.is_over(new)
    is_sized = qualified in {"services", "persistentvolumeclaims"}
    return is_sized and old.get("spec") != new.get("spec")
