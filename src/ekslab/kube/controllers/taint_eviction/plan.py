"""When a pod must leave a tainted node. Pure.

Rules of upstream `pkg/controller/tainteviction/taint_eviction.go`. Upstream counts from the moment
it sees the taint; here from the taint's own time, so that a restart does not begin anew, and as
upstream does for a taint that has none (`kubectl taint` gives it none).
"""

from collections.abc import Sequence

from ekslab.kit.clock import rfc3339, rfc3339_micro
from ekslab.kube.api.placement import Taint, Toleration
from ekslab.kube.api.requests import Object
from ekslab.kube.runtime.pods import time_s


def no_execute(node: Object, *, known: Sequence[Object] = (), now_s: float) -> list[Object]:
    """The node's taints that evict, each with its time: its own, or when it was first seen.

    `known` are those that were found at the look before.
    """
    seen = {(one["key"], one.get("value")): one["timeAdded"] for one in known}
    now = rfc3339_micro(now_s)
    return [
        {"timeAdded": seen.get((one["key"], one.get("value")), now), **one}
        for one in (node.get("spec") or {}).get("taints") or ()
        if one["effect"] == "NoExecute"
    ]


def leave_at_s(
    taints: Sequence[Object], tolerations: Sequence[Object], *, since_s: float, now_s: float
) -> float | None:
    """The time at which a pod must go; None if it may stay for good.

    `since_s` is when the pod came to be. A taint that nothing tolerates: at once. Else the
    shortest `tolerationSeconds` of those tolerations that are used counts.
    """
    limits: list[float] = []
    begin_s = since_s
    for taint in taints:
        matching = [one for one in tolerations if _bears(one, taint)]
        if not matching:
            return now_s
        begin_s = max(begin_s, time_s(taint.get("timeAdded")))
        limits += [
            float(one["tolerationSeconds"]) for one in matching
            if one.get("tolerationSeconds") is not None
        ]  # fmt: skip
    return begin_s + max(0.0, min(limits)) if limits else None


def _bears(toleration: Object, taint: Object) -> bool:
    parsed = Toleration(
        toleration.get("key") or "",
        toleration.get("operator") or "Equal",
        toleration.get("value") or "",
        toleration.get("effect") or "",
    )
    return parsed.tolerates(Taint(taint["key"], taint.get("value") or "", taint["effect"]))


def disrupted_status(pod: Object, now_s: float) -> Object:
    """The status patch that says why the pod goes."""
    others = [
        one
        for one in (pod.get("status") or {}).get("conditions") or ()
        if one["type"] != "DisruptionTarget"
    ]
    told = {
        "type": "DisruptionTarget",
        "status": "True",
        "lastTransitionTime": rfc3339(now_s),
        "reason": "DeletionByTaintManager",
        "message": "Taint manager: deleting due to NoExecute taint",
    }
    return {"conditions": [*others, told]}
