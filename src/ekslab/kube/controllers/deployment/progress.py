"""The status of a Deployment: counts, and the conditions Available, Progressing, ReplicaFailure.

Rules and words of upstream `pkg/controller/deployment/{progress,sync}.go` and
`util/deployment_util.go`. `kubectl rollout status` reads what is written here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ekslab.kit.clock import rfc3339
from ekslab.kube.api.requests import Object
from ekslab.kube.controllers.deployment.plan import Step
from ekslab.kube.controllers.deployment.view import DeploymentView, SetView
from ekslab.kube.runtime.pods import condition, time_s

_TIMED_OUT: Final = "ProgressDeadlineExceeded"
_AVAILABLE: Final = "NewReplicaSetAvailable"


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition before it has its times."""

    type: str
    status: str
    reason: str
    message: str


def status(step: Step, *, now_s: float) -> Object:
    """The status after a step. Counts of zero are left out, as on the wire."""
    deployment = step.deployment
    new = _counts(deployment, step.sets, step.new)
    conditions = [_availability(deployment, new)]
    old = list(deployment.status.get("conditions") or ())
    if deployment.deadline_s is None:
        old = [entry for entry in old if entry["type"] != "Progressing"]
    held = _with_all(old, _acknowledged(step), now_s)
    held = _with_all(held, conditions, now_s)
    if step.is_rollout:
        held = _with_progress(step, held, new, now_s)
        held = _with_failure(step, held, now_s)
    if held:
        new["conditions"] = held
    return new


def bare_status(deployment: DeploymentView, sets: Sequence[SetView], *, now_s: float) -> Object:
    """The status of a deployment that is being deleted: counted, nothing decided."""
    step = Step(deployment, None, list(sets), is_rollout=False)
    return status(step, now_s=now_s)


def failed_status(deployment: DeploymentView, message: str, *, now_s: float) -> Object:
    """The status when the new replica set could not be made."""
    new = dict(deployment.status)
    if deployment.deadline_s is not None:
        failure = Condition("Progressing", "False", "ReplicaSetCreateError", message)
        new["conditions"] = _with_all(list(new.get("conditions") or ()), [failure], now_s)
    return new


def stuck_check_s(deployment: DeploymentView, new: Object, *, now_s: float) -> float | None:
    """When to look whether a rollout that does not move has timed out; None if it is none."""
    current = condition({"status": new}, "Progressing")
    if deployment.deadline_s is None or current is None:
        return None
    if _is_complete(deployment, new) or current["reason"] == _TIMED_OUT:
        return None
    left_s = time_s(current.get("lastUpdateTime")) + deployment.deadline_s - now_s
    return max(0.0, left_s) + 1.0


def _counts(deployment: DeploymentView, sets: Sequence[SetView], new: SetView | None) -> Object:
    available = sum(one.available for one in sets)
    counts = {
        "observedGeneration": deployment.obj["metadata"].get("generation", 0),
        "replicas": sum(one.actual for one in sets),
        "updatedReplicas": new.actual if new else 0,
        "readyReplicas": sum(one.ready for one in sets),
        "availableReplicas": available,
        "unavailableReplicas": max(0, sum(one.replicas for one in sets) - available),
    }
    status: Object = {key: count for key, count in counts.items() if count}
    if deployment.status.get("collisionCount") is not None:
        status["collisionCount"] = deployment.status["collisionCount"]
    return status


def _availability(deployment: DeploymentView, new: Object) -> Condition:
    if new.get("availableReplicas", 0) >= deployment.replicas - deployment.max_unavailable:
        return Condition(
            "Available", "True", "MinimumReplicasAvailable",
            "Deployment has minimum availability.",
        )  # fmt: skip
    return Condition(
        "Available", "False", "MinimumReplicasUnavailable",
        "Deployment does not have minimum availability.",
    )  # fmt: skip


def _acknowledged(step: Step) -> list[Condition]:
    """What is said of the new set itself and of pausing, before progress is judged."""
    deployment = step.deployment
    if deployment.deadline_s is None:
        return []
    current = condition(deployment.obj, "Progressing")
    reason = current["reason"] if current else ""
    if deployment.is_paused and reason not in {"DeploymentPaused", _TIMED_OUT}:
        return [Condition("Progressing", "Unknown", "DeploymentPaused", "Deployment is paused")]
    if not deployment.is_paused and reason == "DeploymentPaused":
        return [Condition("Progressing", "Unknown", "DeploymentResumed", "Deployment is resumed")]
    if step.create is not None and step.new is not None:
        message = f'Created new replica set "{step.new.name}"'
        return [Condition("Progressing", "True", "NewReplicaSetCreated", message)]
    if step.found and step.new is not None and current is None:
        message = f'Found new replica set "{step.new.name}"'
        return [Condition("Progressing", "True", "FoundNewReplicaSet", message)]
    return []


def _with_progress(step: Step, held: list[Object], new: Object, now_s: float) -> list[Object]:
    deployment = step.deployment
    current = condition({"status": {"conditions": held}}, "Progressing")
    is_over = (
        new.get("replicas", 0) == new.get("updatedReplicas", 0)
        and current is not None
        and current["reason"] == _AVAILABLE
    )
    if deployment.deadline_s is None or is_over:
        return held
    subject = f'ReplicaSet "{step.new.name}"' if step.new else f'Deployment "{deployment.name}"'
    if _is_complete(deployment, new):
        message = f"{subject} has successfully progressed."
        return _with_all(held, [Condition("Progressing", "True", _AVAILABLE, message)], now_s)
    if _is_progressing(deployment.status, new):
        message = f"{subject} is progressing."
        moved = Condition("Progressing", "True", "ReplicaSetUpdated", message)
        kept = [entry for entry in held if entry["type"] != "Progressing"]
        entry = _timed(moved, now_s)
        if current is not None and current["status"] == "True":
            entry["lastTransitionTime"] = current["lastTransitionTime"]
        return [*kept, entry]
    if _is_timed_out(deployment, current, now_s):
        message = f"{subject} has timed out progressing."
        return _with_all(held, [Condition("Progressing", "False", _TIMED_OUT, message)], now_s)
    return held


def _is_complete(deployment: DeploymentView, new: Object) -> bool:
    counts = {new.get(key, 0) for key in ("updatedReplicas", "replicas", "availableReplicas")}
    return counts == {deployment.replicas}


def _is_progressing(old: Object, new: Object) -> bool:
    def leftover(status: Object) -> int:
        count: int = status.get("replicas", 0) - status.get("updatedReplicas", 0)
        return count

    return leftover(new) < leftover(old) or any(
        new.get(key, 0) > old.get(key, 0)
        for key in ("updatedReplicas", "readyReplicas", "availableReplicas")
    )


def _is_timed_out(deployment: DeploymentView, current: Object | None, now_s: float) -> bool:
    if deployment.deadline_s is None or current is None or current["reason"] == _AVAILABLE:
        return False
    if current["reason"] == _TIMED_OUT:
        return True
    return time_s(current.get("lastUpdateTime")) + deployment.deadline_s < now_s


def _with_failure(step: Step, held: list[Object], now_s: float) -> list[Object]:
    candidates = [*([step.new] if step.new else []), *step.old]
    for one in candidates:
        failure = condition(one.obj, "ReplicaFailure")
        if failure is not None:
            told = Condition(
                "ReplicaFailure", failure["status"], failure["reason"], failure["message"]
            )
            return _with_all(held, [told], now_s)
    return [entry for entry in held if entry["type"] != "ReplicaFailure"]


def _with_all(held: list[Object], conditions: Sequence[Condition], now_s: float) -> list[Object]:
    """Put conditions in; one of the same status and reason is left as it is (upstream:
    SetDeploymentCondition), one of the same status keeps its transition time.
    """
    for new in conditions:
        old = next((entry for entry in held if entry["type"] == new.type), None)
        if old is not None and (old["status"], old["reason"]) == (new.status, new.reason):
            continue
        entry = _timed(new, now_s)
        if old is not None and old["status"] == new.status:
            entry["lastTransitionTime"] = old["lastTransitionTime"]
        held = [*(one for one in held if one["type"] != new.type), entry]
    return held


def _timed(new: Condition, now_s: float) -> Object:
    time = rfc3339(now_s)
    return {
        "type": new.type,
        "status": new.status,
        "lastUpdateTime": time,
        "lastTransitionTime": time,
        "reason": new.reason,
        "message": new.message,
    }
