"""Which names a definition may have, and its conditions: pure functions.

Upstream: apiextensions-apiserver `pkg/controller/status/naming_controller.go`.
"""

from collections.abc import Iterable
from typing import Any, Final

from ekslab.kube.api.objects import editable
from ekslab.kube.api.requests import Object

_CONFLICTS: Final = {  # field -> reason
    "plural": "PluralConflict",
    "singular": "SingularConflict",
    "shortNames": "ShortNamesConflict",
    "kind": "KindConflict",
    "listKind": "ListKindConflict",
}
_KINDS: Final = frozenset({"kind", "listKind"})


def condition(obj: Object, kind: str) -> Object | None:
    """The condition of that type, or None."""
    conditions = (obj.get("status") or {}).get("conditions") or ()
    return next((each for each in conditions if each["type"] == kind), None)


def is_true(obj: Object, kind: str) -> bool:
    """Whether the condition of that type is True."""
    return (condition(obj, kind) or {}).get("status") == "True"


def with_condition(
    status: Object, kind: str, value: str, reason: str, message: str, *, now: str
) -> Object:
    """A status with this condition; the time of its transition stays while its value does."""
    before = condition({"status": status}, kind)
    if before is not None and before["status"] == value:
        now = before.get("lastTransitionTime") or now
    new = {"type": kind, "status": value, "lastTransitionTime": now,
           "reason": reason, "message": message}  # fmt: skip
    conditions = list(status.get("conditions") or ())
    if before is None:
        conditions.append(new)
    else:
        conditions = [new if each is before else each for each in conditions]
    return {**status, "conditions": conditions}


def named(obj: Object, everybody: Iterable[Object], *, now: str) -> Object:
    """The status of a definition with the names it may have among its group's."""
    wanted = obj["spec"]["names"]
    resources, kinds = _taken(obj, everybody)
    status = editable(obj.get("status") or {})
    before = status.get("acceptedNames") or {}
    accepted: dict[str, Any] = {}
    conflict = None
    for field, reason in _CONFLICTS.items():
        used = kinds if field in _KINDS else resources
        values = wanted.get(field)
        clash = next((each for each in _listed(values) if each in used), None)
        if clash is not None:
            conflict = conflict or (reason, f'"{clash}" is already in use')
            values = before.get(field)
        if values:
            accepted[field] = values
    if wanted.get("categories"):
        accepted["categories"] = wanted["categories"]
    accepted.setdefault("plural", "")
    accepted.setdefault("kind", "")
    status["acceptedNames"] = accepted
    value = "True" if conflict is None else "False"
    reason, message = conflict or ("NoConflicts", "no conflicts found")
    status = with_condition(status, "NamesAccepted", value, reason, message, now=now)
    established = condition({"status": status}, "Established")
    if established is not None and established["status"] == "True":
        return status
    reason, message = "NotAccepted", "not all names are accepted"
    if conflict is None:
        reason, message = "Installing", "the initial names have been accepted"
    return with_condition(status, "Established", "False", reason, message, now=now)


def _listed(values: Any) -> list[str]:
    if isinstance(values, list):
        return values
    return [values] if values else []


def _taken(obj: Object, everybody: Iterable[Object]) -> tuple[set[str], set[str]]:
    """Names of resources and of kinds that others of the group have."""
    resources: set[str] = set()
    kinds: set[str] = set()
    for other in everybody:
        same_group = other["spec"]["group"] == obj["spec"]["group"]
        if not same_group or other["metadata"]["name"] == obj["metadata"]["name"]:
            continue
        theirs = (other.get("status") or {}).get("acceptedNames") or {}
        for field in ("plural", "singular", "shortNames"):
            resources.update(_listed(theirs.get(field)))
        for field in _KINDS:
            kinds.update(_listed(theirs.get(field)))
    return resources, kinds
