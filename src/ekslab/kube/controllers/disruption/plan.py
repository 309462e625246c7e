"""How many pods of a budget are healthy, must be, and may go. Pure.

Rules of upstream `pkg/controller/disruption/disruption.go` and
`pkg/apis/policy/.../poddisruptionbudget/helper.go`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from ekslab.kit.clock import rfc3339
from ekslab.kube.api.requests import Object
from ekslab.kube.runtime.pods import PodFacts, condition, time_s
from ekslab.kube.runtime.portions import portion

DELETION_TIMEOUT_S: Final = 120.0
"""How long an eviction that was allowed may take until the pod is deleted."""

STALE_AFTER_S: Final = 120.0
"""How long a pod may be called the target of a disruption without being deleted."""

_ALLOWED: Final = "DisruptionAllowed"
_TARGET: Final = "DisruptionTarget"


@dataclass(frozen=True, slots=True)
class Demand:
    """How many pods there should be, and how many of them healthy."""

    expected: int
    desired_healthy: int


@dataclass(frozen=True, slots=True)
class Disrupted:
    """Evicted pods that are not yet deleted (name: when), those that were never deleted, and when
    to look again (None: no need).
    """

    awaited: Mapping[str, str]
    overdue: tuple[PodFacts, ...]
    look_again_s: float | None


def needs_scale(budget: Object) -> bool:
    """Whether the budget is about how many pods their owners want, and not how many there are."""
    spec = budget.get("spec") or {}
    return "maxUnavailable" in spec or isinstance(spec.get("minAvailable"), str)


def demand(budget: Object, *, pods: int, scale: int) -> Demand:
    """What the budget asks for: of `pods` that are there, of `scale` that their owners want."""
    spec = budget.get("spec") or {}
    if "maxUnavailable" in spec:
        most = portion(spec["maxUnavailable"], scale, round_up=True)
        return Demand(scale, max(0, scale - most))
    least = spec.get("minAvailable")
    if isinstance(least, str):
        return Demand(scale, portion(least, scale, round_up=True))
    return Demand(pods, least or 0)


def disrupted(budget: Object, pods: Sequence[PodFacts], *, now_s: float) -> Disrupted:
    """Which of the evictions the API server has noted down are still to come."""
    noted = (budget.get("status") or {}).get("disruptedPods") or {}
    awaited: dict[str, str] = {}
    overdue: list[PodFacts] = []
    again: list[float] = []
    for pod in pods:
        if pod.is_deleting or pod.name not in noted:
            continue
        ends_s = time_s(noted[pod.name]) + DELETION_TIMEOUT_S
        if ends_s < now_s:
            overdue.append(pod)
            continue
        awaited[pod.name] = noted[pod.name]
        again.append(ends_s - now_s)
    look_again_s = max(1.0, min(again)) if again else None
    return Disrupted(awaited, tuple(overdue), look_again_s)


def healthy(pods: Sequence[PodFacts], awaited: Mapping[str, str]) -> int:
    """How many pods are Ready and stay."""
    return sum(pod.is_ready and not pod.is_deleting and pod.name not in awaited for pod in pods)


def status(
    budget: Object, wanted: Demand, current: int, awaited: Mapping[str, str], *, now_s: float
) -> Object:
    """The status. A budget without pods allows nothing, until its pods are seen."""
    allowed = max(0, current - wanted.desired_healthy) if wanted.expected > 0 else 0
    generation = budget["metadata"].get("generation", 0)
    told = ("True", "SufficientPods", "") if allowed else ("False", "InsufficientPods", "")
    new: Object = {}
    if generation:
        new["observedGeneration"] = generation
    if awaited:
        new["disruptedPods"] = dict(awaited)
    return {
        **new,
        "disruptionsAllowed": allowed,
        "currentHealthy": current,
        "desiredHealthy": wanted.desired_healthy,
        "expectedPods": wanted.expected,
        "conditions": _with_condition(budget, generation, told, now_s),
    }


def failed_status(budget: Object, why: str, *, now_s: float) -> Object:
    """The status when the numbers cannot be known: nothing may go (upstream: failSafe)."""
    old = budget.get("status") or {}
    told = ("False", "SyncFailed", why)
    generation = old.get("observedGeneration", 0)
    conditions = _with_condition(budget, generation, told, now_s)
    return {**old, "disruptionsAllowed": 0, "conditions": conditions}


def _with_condition(
    budget: Object, generation: int, told: tuple[str, str, str], now_s: float
) -> list[Object]:
    value, reason, message = told
    old = condition(budget, _ALLOWED)
    since = rfc3339(now_s)
    if old is not None and old.get("status") == value:
        since = old["lastTransitionTime"]
    new: Object = {
        "type": _ALLOWED,
        "status": value,
        "lastTransitionTime": since,
        "reason": reason,
        "message": message,
    }
    if generation:
        new["observedGeneration"] = generation
    others = [
        one
        for one in (budget.get("status") or {}).get("conditions") or ()
        if one["type"] != _ALLOWED
    ]
    return [*others, new]


def stale_in_s(pod: PodFacts, now_s: float) -> float | None:
    """In how many seconds the pod's DisruptionTarget condition is stale; None if it has none."""
    if pod.is_terminal or pod.is_deleting:
        return None
    target = condition(pod.item.object, _TARGET)
    if target is None or target.get("status") != "True":
        return None
    return max(0.0, time_s(target.get("lastTransitionTime")) + STALE_AFTER_S - now_s)


def no_longer_target(pod: Object, now_s: float) -> Object:
    """The status of a pod that was to be disrupted and was not."""
    status = pod.get("status") or {}
    conditions = [
        {"type": _TARGET, "status": "False", "lastTransitionTime": rfc3339(now_s)}
        if one["type"] == _TARGET
        else one
        for one in status.get("conditions") or ()
    ]
    return {**status, "conditions": conditions}
