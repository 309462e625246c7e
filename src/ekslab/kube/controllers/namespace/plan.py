"""What is left in a namespace that is being deleted, as conditions. Pure.

Words of upstream `pkg/controller/namespace/deletion/status_condition_utils.go`.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from ekslab.kit.clock import rfc3339
from ekslab.kube.api.requests import Object
from ekslab.kube.api.resources import Resource

KUBERNETES: Final = "kubernetes"
"""The finalizer this controller takes away."""

_FINE: Final = (
    (
        "NamespaceDeletionDiscoveryFailure",
        "ResourcesDiscovered",
        "All resources successfully discovered",
    ),
    (
        "NamespaceDeletionGroupVersionParsingFailure",
        "ParsedGroupVersions",
        "All legacy kube types successfully parsed",
    ),
    (
        "NamespaceDeletionContentFailure",
        "ContentDeleted",
        "All content successfully deleted, may be waiting on finalization",
    ),
    ("NamespaceContentRemaining", "ContentRemoved", "All content successfully removed"),
    (
        "NamespaceFinalizersRemaining",
        "ContentHasNoFinalizers",
        "All content-preserving finalizers finished",
    ),
)


@dataclass(slots=True)
class Leftovers:
    """What a pass over a namespace's content found still there, and what failed."""

    counts: dict[Resource, int] = field(default_factory=dict)
    finalizers: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        """Nothing is left and nothing failed."""
        return not self.failures and not any(self.counts.values())


def is_content(verbs: Sequence[str], *, namespaced: bool) -> bool:
    """Whether objects of a type are content to be deleted."""
    return namespaced and "list" in verbs and ("delete" in verbs or "deletecollection" in verbs)


def conditions(old: Sequence[Object], left: Leftovers, *, now_s: float) -> list[Object]:
    """The namespace's conditions after a pass; the time of one that did not turn is kept."""
    troubles = _troubles(left)
    before = {entry["type"]: entry for entry in old}
    for kind, reason, message in _FINE:
        if kind in troubles:
            bad_reason, bad_message = troubles[kind]
            new = _condition(kind, "True", bad_reason, bad_message, now_s)
        else:
            new = _condition(kind, "False", reason, message, now_s)
        known = before.get(kind)
        if known is not None and known["status"] == new["status"]:
            new["lastTransitionTime"] = known["lastTransitionTime"]
        before[kind] = new
    return list(before.values())


def without_finalizer(namespace: Object) -> Object:
    """The namespace without our finalizer; parts are shared with the old one."""
    spec = namespace.get("spec") or {}
    left = [one for one in spec.get("finalizers") or () if one != KUBERNETES]
    return {**namespace, "spec": {**spec, "finalizers": left}}


def _troubles(left: Leftovers) -> Mapping[str, tuple[str, str]]:
    troubles: dict[str, tuple[str, str]] = {}
    if left.failures:
        text = ", ".join(sorted(left.failures))
        troubles["NamespaceDeletionContentFailure"] = (
            "ContentDeletionFailed",
            f"Failed to delete all resource types, {len(left.failures)} remaining: {text}",
        )
    remaining = [
        f"{resource.plural}.{resource.group} has {count} resource instances"
        for resource, count in left.counts.items()
        if count
    ]
    if remaining:
        troubles["NamespaceContentRemaining"] = (
            "SomeResourcesRemain",
            "Some resources are remaining: " + ", ".join(sorted(remaining)),
        )
    held = [f"{name} in {count} resource instances" for name, count in left.finalizers.items()]
    if held:
        troubles["NamespaceFinalizersRemaining"] = (
            "SomeFinalizersRemain",
            "Some content in the namespace has finalizers remaining: " + ", ".join(sorted(held)),
        )
    return troubles


def _condition(kind: str, status: str, reason: str, message: str, now_s: float) -> Object:
    return {
        "type": kind,
        "status": status,
        "lastTransitionTime": rfc3339(now_s),
        "reason": reason,
        "message": message,
    }
