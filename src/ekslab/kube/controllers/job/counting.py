"""How finished pods of a Job are counted, each exactly once. Pure.

Upstream: `trackJobStatusAndRemoveFinalizers`. A finished pod is first noted in
`status.uncountedTerminatedPods`, then its finalizer is taken away, then it moves from the note into
the count. Whoever dies in between finds either the note or the finalizer.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from ekslab.kit.clock import rfc3339
from ekslab.kube.api.requests import Object
from ekslab.kube.controllers.job import indexes, policies
from ekslab.kube.controllers.job.plan import (
    BURST,
    View,
    index_of,
    is_failed,
    new_condition,
)
from ekslab.kube.runtime.pods import PodFacts, condition


@dataclass(frozen=True, slots=True)
class Tally:
    """The status with finished pods noted, whose finalizers may then go; the Job's last word
    (Complete, Failed), to be said when all is counted.
    """

    status: Object
    release: Sequence[PodFacts]
    last_word: Object | None


def note(view: View, status: Object, finished: Object | None) -> Tally:
    """Note finished pods and the coming end. `status` is private to the caller and changed."""
    noted = status["uncountedTerminatedPods"]
    status_before = view.scene.job.get("status") or {}
    counted = indexes.parse(
        status_before.get("completedIndexes", ""), below=view.spec.get("completions") or 0
    )
    pods = sorted(view.tracked, key=lambda pod: index_of(pod) or 0) if view.is_indexed else (
        view.tracked
    )  # fmt: skip
    release: list[PodFacts] = []
    new_indexes: set[int] = set()
    for pod in pods:
        if not _may_go(view, pod, finished):
            continue
        release.append(pod)
        index = index_of(pod)
        is_valid = not view.is_indexed or (index is not None and index < view.spec["completions"])
        if pod.phase == "Succeeded" and pod.uid not in noted.get("failed", ()):
            if view.is_indexed:
                if is_valid and index is not None and index not in counted:
                    new_indexes.add(index)
            elif pod.uid not in noted.get("succeeded", ()):
                noted["succeeded"] = [*noted.get("succeeded", ()), pod.uid]
        elif _counts_as_failed(view, pod, finished) and is_valid:
            verdict = policies.judge(view.spec.get("podFailurePolicy"), pod.item.object)
            if verdict.counts and pod.uid not in noted.get("failed", ()):
                noted["failed"] = [*noted.get("failed", ()), pod.uid]
        noted_count = sum(map(len, noted.values())) + len(new_indexes)
        if noted_count >= BURST:
            finished = None
            break
    if view.is_indexed:
        _note_indexes(view, status, counted | new_indexes)
    return Tally(status, release, _announce(view, status, finished))


def _may_go(view: View, pod: PodFacts, finished: Object | None) -> bool:
    job = view.scene.job
    if "deletionTimestamp" in job["metadata"] or finished is not None or pod.phase == "Succeeded":
        return True
    if not is_failed(pod, job):
        return False
    index = index_of(pod)
    held = view.delayed.get(index) if index is not None else None
    return held is None or held.uid != pod.uid


def _counts_as_failed(view: View, pod: PodFacts, finished: Object | None) -> bool:
    # When a Job has failed, each of its pods that has not ended has failed with it.
    has_failed = finished is not None and finished["type"] != "SuccessCriteriaMet"
    return is_failed(pod, view.scene.job) or has_failed


def _note_indexes(view: View, status: Object, succeeded: Collection[int]) -> None:
    _put(status, "succeeded", len(succeeded))
    _put(status, "completedIndexes", indexes.text(succeeded))
    if view.per_index is not None:
        # Unlike completedIndexes this is there, empty, from the start.
        status["failedIndexes"] = indexes.text(view.failed_indexes)


def _put(status: Object, key: str, value: int | str) -> None:
    """Set a field that is left out when it is zero or empty."""
    if value:
        status[key] = value
    else:
        status.pop(key, None)


def _announce(view: View, status: Object, finished: Object | None) -> Object | None:
    """Say that the Job is about to end; returns the condition that will end it."""
    if finished is None or finished["type"] == "Failed":
        return finished
    conditions = status.setdefault("conditions", [])
    if all(one["type"] != finished["type"] for one in conditions):
        conditions.append(finished)
    last = "Complete" if finished["type"] == "SuccessCriteriaMet" else "Failed"
    return new_condition(last, finished["reason"], finished["message"], view.scene.now_s)


def count(status: Object, with_finalizer: Collection[str], *, is_indexed: bool) -> Object:
    """The status with noted pods that have lost their finalizer moved into the counts."""
    noted = status["uncountedTerminatedPods"]
    left: dict[str, list[str]] = {}
    new = {**status}
    for kind in ("succeeded", "failed"):
        uids = noted.get(kind) or []
        kept = [uid for uid in uids if uid in with_finalizer]
        if kept:
            left[kind] = kept
        if kind == "failed" or not is_indexed:
            _put(new, kind, new.get(kind, 0) + len(uids) - len(kept))
    new["uncountedTerminatedPods"] = left
    return new


def finish(status: Object, last_word: Object | None, now_s: float) -> Object | None:
    """The status of the ended Job, or None while something is still to be waited for."""
    if last_word is None or status["uncountedTerminatedPods"] or status.get("terminating"):
        return None
    new = {**status, "conditions": [*(status.get("conditions") or ()), last_word]}
    if last_word["type"] == "Complete":
        new["completionTime"] = rfc3339(now_s)
    return new


def with_suspension(job: Object, status: Object, *, suspended: bool, now_s: float) -> str:
    """Keep the Suspended condition of a private status. Returns what has happened: "Suspended",
    "Resumed" or "".
    """
    old = condition(job, "Suspended")
    if suspended == (old is not None and old["status"] == "True"):
        return ""
    word = "Suspended" if suspended else "Resumed"
    new = new_condition("Suspended", f"Job{word}", f"Job {word.lower()}", now_s)
    new["status"] = "True" if suspended else "False"
    others = [one for one in status.get("conditions") or () if one["type"] != "Suspended"]
    status["conditions"] = [*others, new]
    return word
