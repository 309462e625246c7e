"""What a Job has come to, and which pods to make or delete. Pure.

Rules of upstream `pkg/controller/job/job_controller.go` (syncJob, manageJob),
`indexed_job_utils.go` and `backoff_utils.go`. How finished pods are counted is in `counting`.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from ekslab.kit.clock import rfc3339
from ekslab.kube.api.requests import Object
from ekslab.kube.controllers.job import indexes, policies
from ekslab.kube.runtime.pods import PodFacts, condition, time_s

BURST: Final = 500
"""Most pods made, deleted or counted in one reconcile (upstream: MaxPodCreateDeletePerSync)."""

FINALIZER: Final = "batch.kubernetes.io/job-tracking"
FAILURES: Final = "batch.kubernetes.io/job-index-failure-count"
IGNORED_FAILURES: Final = "batch.kubernetes.io/job-index-ignored-failure-count"

_BACKOFF_FIRST_S: Final = 10.0
_BACKOFF_MOST_S: Final = 600.0
_PHASE_RANK: Final = {"Pending": 0, "": 0, "Unknown": 1, "Running": 2}


@dataclass(frozen=True, slots=True)
class Backoff:
    """Failures in a row, and when the last was."""

    failures: int = 0
    last_s: float = 0.0

    def remaining_s(self, now_s: float) -> float:
        """How long no pod should be made: 10 s, 20 s, ... 10 min after the last failure."""
        if self.failures == 0:
            return 0.0
        pause_s = min(_BACKOFF_MOST_S, _BACKOFF_FIRST_S * 2.0 ** min(self.failures - 1, 30))
        return max(0.0, self.last_s + pause_s - now_s)


@dataclass(frozen=True, slots=True)
class Scene:
    """All a decision looks at. `pods` are the Job's; `untracked` the uids of those whose finalizer
    was taken away, though the copies here may still show it.
    """

    job: Object
    pods: Sequence[PodFacts]
    untracked: Collection[str]
    backoff: Backoff
    now_s: float


@dataclass(slots=True)
class View:
    """What the Job has come to.

    Attributes:
        tracked: pods that still have to be counted.
        failed_pods: those of them that have failed.
        finished: the condition that ends the Job, without its last word (FailureTarget,
            SuccessCriteriaMet), or the final Failed if FailureTarget was already said.
        delayed: per index, the failed pod that is kept because it holds the index's failures.
        look_again_s: when the deadline comes.
    """

    scene: Scene
    active: list[PodFacts]
    tracked: list[PodFacts]
    failed_pods: list[PodFacts]
    terminating: int
    succeeded: int
    failed: int
    backoff: Backoff
    start_time: str
    finished: Object | None = None
    succeeded_indexes: frozenset[int] = frozenset()
    failed_indexes: frozenset[int] = frozenset()
    delayed: Mapping[int, PodFacts] = field(default_factory=dict)
    look_again_s: float | None = None

    @property
    def spec(self) -> Object:
        """The Job's spec."""
        spec: Object = self.scene.job["spec"]
        return spec

    @property
    def is_indexed(self) -> bool:
        """Whether its pods have indexes."""
        return bool(self.spec.get("completionMode") == "Indexed")

    @property
    def per_index(self) -> int | None:
        """`backoffLimitPerIndex`."""
        limit: int | None = self.spec.get("backoffLimitPerIndex")
        return limit if self.is_indexed else None


@dataclass(frozen=True, slots=True)
class Action:
    """Make so many pods (of these indexes, for an indexed Job), or delete these; or come again."""

    create: int = 0
    create_indexes: tuple[int, ...] = ()
    delete: tuple[PodFacts, ...] = ()
    wait_s: float | None = None


def is_finished(job: Object) -> bool:
    """Whether it is Complete or Failed for good."""
    return any(
        (condition(job, kind) or {}).get("status") == "True" for kind in ("Complete", "Failed")
    )


def is_suspended(job: Object) -> bool:
    """Whether it asks to be suspended."""
    return bool(job["spec"].get("suspend"))


def has_finalizer(pod: PodFacts) -> bool:
    """Whether the pod still has to be counted."""
    return FINALIZER in (pod.item.object["metadata"].get("finalizers") or ())


def only_replaces_failed(job: Object) -> bool:
    """Whether a pod that is being deleted counts only when it has ended."""
    return bool(job["spec"].get("podReplacementPolicy") == "Failed")


def is_failed(pod: PodFacts, job: Object) -> bool:
    """Whether a pod counts as failed (upstream: isPodFailed)."""
    if pod.phase == "Failed":
        return True
    return pod.is_deleting and pod.phase != "Succeeded" and not only_replaces_failed(job)


def index_of(pod: PodFacts) -> int | None:
    """The completion index of a pod, None for none."""
    return indexes.of(pod.item.object["metadata"].get("annotations"))


def new_condition(kind: str, reason: str, message: str, now_s: float) -> Object:
    """A Job condition that is True from now on."""
    return {
        "type": kind,
        "status": "True",
        "lastProbeTime": rfc3339(now_s),
        "lastTransitionTime": rfc3339(now_s),
        "reason": reason,
        "message": message,
    }


def look(scene: Scene) -> View:
    """See what the Job has come to."""
    job, status = scene.job, scene.job.get("status") or {}
    uncounted = status.get("uncountedTerminatedPods") or {}
    tracked = [pod for pod in scene.pods if has_finalizer(pod) and pod.uid not in scene.untracked]
    countable = [pod for pod in tracked if _has_valid_index(pod, job)]
    policy = job["spec"].get("podFailurePolicy")
    old_succeeded = uncounted.get("succeeded") or ()
    old_failed = uncounted.get("failed") or ()
    new_succeeded = [
        pod for pod in countable if pod.phase == "Succeeded" and pod.uid not in old_succeeded
    ]
    failed_pods = [pod for pod in countable if is_failed(pod, job)]
    new_failed = [pod for pod in failed_pods if pod.uid not in old_failed]
    counting = [pod for pod in new_failed if policies.judge(policy, pod.item.object).counts]
    starts = "" if is_suspended(job) else rfc3339(scene.now_s)
    view = View(
        scene=scene,
        active=[pod for pod in scene.pods if pod.is_active],
        tracked=tracked,
        failed_pods=failed_pods,
        terminating=sum(pod.is_deleting and not pod.is_terminal for pod in scene.pods),
        succeeded=status.get("succeeded", 0) + len(new_succeeded) + len(old_succeeded),
        failed=status.get("failed", 0) + len(counting) + len(old_failed),
        backoff=_backoff(scene.backoff, new_succeeded, new_failed),
        start_time=status.get("startTime") or starts,
    )
    view.finished = _ended_before(view) or _failed_by_now(view)
    if view.is_indexed:
        _look_at_indexes(view)
    return view


def _has_valid_index(pod: PodFacts, job: Object) -> bool:
    if job["spec"].get("completionMode") != "Indexed":
        return True
    index = index_of(pod)
    return index is not None and index < job["spec"].get("completions", 0)


def _backoff(old: Backoff, succeeded: Sequence[PodFacts], failed: Sequence[PodFacts]) -> Backoff:
    """Failures since the last success (upstream: newBackoffRecord)."""
    if not succeeded and not failed:
        return old
    ends = [ended_s(pod) for pod in failed]
    if not succeeded:
        return Backoff(old.failures + len(ends), max(old.last_s, *ends))
    last_success_s = max(ended_s(pod) for pod in succeeded)
    ends = [end_s for end_s in ends if end_s > last_success_s]
    return Backoff(len(ends), max(ends, default=0.0))


def ended_s(pod: PodFacts) -> float:
    """When a pod ended: its last container, or else its deletion, or else its Ready condition."""
    obj = pod.item.object
    boxes = (obj.get("status") or {}).get("containerStatuses") or ()
    ended = [(box.get("state") or {}).get("terminated") or {} for box in boxes]
    times = [time_s(one.get("finishedAt")) for one in ended if one]
    if times and len(times) == len(boxes):
        return max(times)
    deleted = time_s(obj["metadata"].get("deletionTimestamp"))
    if deleted:
        return deleted
    return time_s((condition(obj, "Ready") or {}).get("lastTransitionTime")) or pod.created_s


def _ended_before(view: View) -> Object | None:
    """What an earlier reconcile has decided."""
    job, now_s = view.scene.job, view.scene.now_s
    met = condition(job, "SuccessCriteriaMet")
    if met is not None and met["status"] == "True":
        return met
    target = condition(job, "FailureTarget")
    if target is not None and target["status"] == "True":
        return new_condition("Failed", target["reason"], target["message"], now_s)
    return None


def _failed_by_now(view: View) -> Object | None:
    """Whether the Job has failed, in upstream's order of reasons."""
    job, spec, now_s = view.scene.job, view.spec, view.scene.now_s
    policy = spec.get("podFailurePolicy")
    for pod in view.scene.pods if policy else ():
        verdict = policies.judge(policy, pod.item.object)
        if verdict.action == "FailJob" and is_failed(pod, job):
            return new_condition("FailureTarget", "PodFailurePolicy", verdict.message, now_s)
    limit = spec.get("backoffLimit", 6)
    if view.failed > limit or _restarted_too_often(view, limit):
        why = "Job has reached the specified backoff limit"
        return new_condition("FailureTarget", "BackoffLimitExceeded", why, now_s)
    deadline = spec.get("activeDeadlineSeconds")
    if deadline is not None and view.start_time and not is_suspended(job):
        left_s = time_s(view.start_time) + deadline - now_s
        if left_s <= 0:
            why = "Job was active longer than specified deadline"
            return new_condition("FailureTarget", "DeadlineExceeded", why, now_s)
        view.look_again_s = left_s
    return None


def _restarted_too_often(view: View, limit: int) -> bool:
    """Restarts of OnFailure pods count as failures (upstream: pastBackoffLimitOnFailure)."""
    if view.spec["template"]["spec"].get("restartPolicy") != "OnFailure":
        return False
    restarts = 0
    for pod in view.scene.pods:
        if pod.phase in {"Running", "Pending"} and pod.restarts:
            status = pod.item.object.get("status") or {}
            for part in ("initContainerStatuses", "containerStatuses"):
                restarts += sum(box.get("restartCount", 0) for box in status.get(part) or ())
    return restarts > 0 if limit == 0 else restarts >= limit


def _look_at_indexes(view: View) -> None:
    status, completions = view.scene.job.get("status") or {}, view.spec["completions"]
    before = indexes.parse(status.get("completedIndexes", ""), below=completions)
    new = {
        index_of(pod) for pod in view.tracked
        if pod.phase == "Succeeded" and _has_valid_index(pod, view.scene.job)
    }  # fmt: skip
    view.succeeded_indexes = before | {index for index in new if index is not None}
    view.succeeded = len(view.succeeded_indexes)
    if view.per_index is not None:
        _look_at_failed_indexes(view, status.get("failedIndexes", ""), view.per_index)
    if view.finished is None:
        met = policies.success(view.spec.get("successPolicy"), completions, view.succeeded_indexes)
        if met:
            view.finished = new_condition(
                "SuccessCriteriaMet", "SuccessPolicy", met, view.scene.now_s
            )


def _look_at_failed_indexes(view: View, before: str, limit: int) -> None:
    """Indexes that used up their own retries (upstream: calculateFailedIndexes)."""
    completions, now_s = view.spec["completions"], view.scene.now_s
    policy = view.spec.get("podFailurePolicy")
    failed = set(indexes.parse(before, below=completions))
    for pod in view.failed_pods:
        gives_up = policies.judge(policy, pod.item.object).action == "FailIndex"
        index = index_of(pod)
        if index is not None and (gives_up or failures_of(pod) >= limit):
            failed.add(index)
    view.failed_indexes = frozenset(failed - view.succeeded_indexes)
    delayed: dict[int, PodFacts] = {}
    for pod in view.failed_pods:
        index = index_of(pod)
        if index is None or index in view.failed_indexes or index in view.succeeded_indexes:
            continue
        held = delayed.get(index)
        if held is None or _attempts(held) <= _attempts(pod):
            delayed[index] = pod
    view.delayed = delayed
    if view.finished is not None:
        return
    most = view.spec.get("maxFailedIndexes")
    if most is not None and len(view.failed_indexes) > most:
        why = "Job has exceeded the specified maximal number of failed indexes"
        view.finished = new_condition("FailureTarget", "MaxFailedIndexesExceeded", why, now_s)
    elif view.failed_indexes and len(failed | view.succeeded_indexes) >= completions:
        why = "Job has failed indexes"
        view.finished = new_condition("FailureTarget", "FailedIndexes", why, now_s)


def failures_of(pod: PodFacts) -> int:
    """How often the pod's index had failed before this pod."""
    return _number(pod, FAILURES)


def _attempts(pod: PodFacts) -> int:
    return _number(pod, FAILURES) + _number(pod, IGNORED_FAILURES)


def _number(pod: PodFacts, annotation: str) -> int:
    value = (pod.item.object["metadata"].get("annotations") or {}).get(annotation, "0")
    return int(value) if value.isdecimal() else 0


def manage(view: View) -> Action:
    """Which pods to make or to delete while the Job goes on (upstream: manageJob)."""
    active = len(view.active)
    if is_suspended(view.scene.job):
        return Action(delete=tuple(view.active[:BURST]))
    wanted = _wanted_active(view)
    surplus = _for_removal(view, max(0, active - wanted))
    if surplus:
        return Action(delete=tuple(surplus[:BURST]))
    terminating = view.terminating if only_replaces_failed(view.scene.job) else 0
    missing = min(wanted - terminating - active, BURST)
    if missing <= 0:
        return Action()
    if view.per_index is None:
        pause_s = view.backoff.remaining_s(view.scene.now_s)
        if pause_s > 0:
            return Action(wait_s=pause_s)
    if not view.is_indexed:
        return Action(create=missing)
    pending = _pending_indexes(view, missing)
    wait_s = None
    if view.per_index is not None:
        now_s = view.scene.now_s
        waits = {
            index: Backoff(_attempts(pod) + 1, ended_s(pod)).remaining_s(now_s)
            for index, pod in view.delayed.items()
        }
        later = [waits[index] for index in pending if waits.get(index, 0.0) > 0]
        wait_s = min(later) if later else None
        pending = [index for index in pending if waits.get(index, 0.0) <= 0]
    return Action(create=len(pending), create_indexes=tuple(pending), wait_s=wait_s)


def _wanted_active(view: View) -> int:
    parallelism: int = view.spec.get("parallelism", 1)
    completions: int | None = view.spec.get("completions")
    if completions is None:
        # A work queue: once one pod has succeeded, the others may finish and no more are made.
        return len(view.active) if view.succeeded > 0 else parallelism
    remaining = completions - view.succeeded
    if view.per_index is not None:
        remaining -= len(view.failed_indexes)
    return max(0, min(remaining, parallelism))


def _for_removal(view: View, at_least: int) -> list[PodFacts]:
    """Pods with an index that another has or nobody needs; then the least useful ones."""
    surplus: list[PodFacts] = []
    left: list[PodFacts] = []
    seen: set[int] = set()
    ordered = sorted(view.active, key=_usefulness, reverse=True)
    for pod in ordered:
        index = index_of(pod) if view.is_indexed else None
        is_unneeded = view.is_indexed and (
            index is None or index >= view.spec["completions"] or index in seen
        )
        (surplus if is_unneeded else left).append(pod)
        if index is not None:
            seen.add(index)
    missing = max(0, at_least - len(surplus))
    return [*surplus, *reversed(left[len(left) - missing :])]


def _usefulness(pod: PodFacts) -> tuple[object, ...]:
    """Bound, running, ready for long, seldom restarted, old: the order of upstream's ActivePods."""
    rank = _PHASE_RANK.get(pod.phase, 1)
    since = -pod.ready_since_s if pod.is_ready else 0.0
    return (bool(pod.node_name), rank, pod.is_ready, since, -pod.restarts, -pod.created_s, pod.name)


def _pending_indexes(view: View, count: int) -> list[int]:
    """The lowest indexes without success, failure or a pod (upstream: firstPendingIndexes)."""
    busy = set(view.succeeded_indexes | view.failed_indexes)
    holders = list(view.active)
    if only_replaces_failed(view.scene.job):
        holders += [pod for pod in view.scene.pods if pod.is_deleting and not pod.is_terminal]
    busy.update(index for index in map(index_of, holders) if index is not None)
    found: list[int] = []
    for index in range(view.spec["completions"]):
        if len(found) == count:
            break
        if index not in busy:
            found.append(index)
    return found
