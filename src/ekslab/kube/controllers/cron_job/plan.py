"""When a CronJob makes its next Job, and what becomes of the old ones. Pure.

Rules of upstream `pkg/controller/cronjob/{cronjob_controllerv2,utils}.go`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Final

from ekslab.kit.clock import rfc3339
from ekslab.kube.api.requests import Object
from ekslab.kube.controllers.cron_job.schedule import Schedule
from ekslab.kube.runtime.ownership import owner_reference
from ekslab.kube.runtime.pods import condition, time_s

SCHEDULED: Final = "batch.kubernetes.io/cronjob-scheduled-timestamp"
TOO_MANY: Final = 100
_HOUR_S: Final = 3600.0
_LOOK_BACK_S: Final = tuple(_HOUR_S * hours for hours in (1, 24, 24 * 32, 24 * 366, 24 * 366 * 5))


@dataclass(frozen=True, slots=True)
class Due:
    """When a Job should have been started last (None: not yet), how many starts were missed
    before (counted to a little over `TOO_MANY`), and when the next one comes (None: never).
    """

    moment_s: float | None
    missed: int
    next_s: float | None


def due(cron_job: Object, schedule: Schedule, now_s: float) -> Due:
    """Look at the schedule since the last start (upstream: mostRecentScheduleTime)."""
    meta, spec = cron_job["metadata"], cron_job["spec"]
    last = (cron_job.get("status") or {}).get("lastScheduleTime")
    earliest_s = time_s(last or meta["creationTimestamp"])
    deadline_s = spec.get("startingDeadlineSeconds")
    if deadline_s is not None:
        earliest_s = max(earliest_s, now_s - deadline_s)
    moment_s, count, next_s = _walk(schedule, earliest_s, now_s)
    if count > TOO_MANY:
        # Too many to walk through them all: look back further and further for the last one.
        for back_s in _LOOK_BACK_S:
            moment_s, _, next_s = _walk(schedule, max(earliest_s, now_s - back_s), now_s)
            if moment_s is not None:
                break
    return Due(moment_s, max(0, count - 1), next_s)


def _walk(
    schedule: Schedule, since_s: float, now_s: float
) -> tuple[float | None, int, float | None]:
    """The last start until now, how many there were (a few more than `TOO_MANY` at most), and the
    next.
    """
    moment_s, count = None, 0
    next_s = schedule.after(since_s)
    while next_s is not None and next_s <= now_s and count <= TOO_MANY + 1:
        moment_s, count = next_s, count + 1
        next_s = schedule.after(next_s)
    return moment_s, count, next_s


def is_too_late(cron_job: Object, moment_s: float, now_s: float) -> bool:
    """Whether the deadline for starting has passed."""
    deadline_s = cron_job["spec"].get("startingDeadlineSeconds")
    return deadline_s is not None and moment_s + deadline_s < now_s


def job_name(cron_job: Object, moment_s: float) -> str:
    """One name a start: the minute it was due."""
    return f"{cron_job['metadata']['name']}-{int(moment_s) // 60}"


def new_job(cron_job: Object, moment_s: float, zone: tzinfo) -> Object:
    """The Job of one start. Parts are shared with the CronJob."""
    meta, template = cron_job["metadata"], cron_job["spec"]["jobTemplate"]
    template_meta = template.get("metadata") or {}
    due_at = datetime.fromtimestamp(int(moment_s), zone).isoformat().replace("+00:00", "Z")
    job_meta: Object = {
        "name": job_name(cron_job, moment_s),
        "namespace": meta["namespace"],
        "annotations": {**(template_meta.get("annotations") or {}), SCHEDULED: due_at},
        "ownerReferences": [owner_reference(cron_job)],
    }
    if template_meta.get("labels"):
        job_meta["labels"] = template_meta["labels"]
    spec = template["spec"]
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": job_meta, "spec": spec}


def outcome(job: Object) -> str:
    """`Complete` or `Failed`; "" while it runs."""
    for kind in ("Complete", "Failed"):
        if (condition(job, kind) or {}).get("status") == "True":
            return kind
    return ""


@dataclass(frozen=True, slots=True)
class Record:
    """What the Jobs that are there say: the status with that in it, and what to tell (type,
    reason, message).
    """

    status: Object
    events: tuple[tuple[str, str, str], ...]


def record(cron_job: Object, jobs: Sequence[Object]) -> Record:
    """Compare the list of active Jobs with the Jobs themselves."""
    status = dict(cron_job.get("status") or {})
    active = {one["uid"]: one for one in status.get("active") or ()}
    events: list[tuple[str, str, str]] = []
    for job in jobs:
        uid, name, ended = job["metadata"]["uid"], job["metadata"]["name"], outcome(job)
        if uid not in active and not ended:
            text = f"Saw a job that the controller did not create or forgot: {name}"
            events.append(("Warning", "UnexpectedJob", text))
        elif uid in active and ended:
            del active[uid]
            text = f"Saw completed job: {name}, condition: {ended}"
            events.append(("Normal", "SawCompletedJob", text))
        if ended == "Complete":
            completed = (job.get("status") or {}).get("completionTime")
            if time_s(completed) > time_s(status.get("lastSuccessfulTime")):
                status["lastSuccessfulTime"] = completed
    there = {job["metadata"]["uid"] for job in jobs}
    for uid in [uid for uid in active if uid not in there]:
        gone = active.pop(uid)
        events.append(("Normal", "MissingJob", f"Active job went missing: {gone['name']}"))
    status["active"] = list(active.values())
    if not status["active"]:
        del status["active"]
    return Record(status, tuple(events))


def with_start(status: Object, job: Object, moment_s: float) -> Object:
    """The status after a Job was made."""
    meta = job["metadata"]
    reference = {
        "kind": "Job",
        "namespace": meta["namespace"],
        "name": meta["name"],
        "uid": meta["uid"],
        "apiVersion": "batch/v1",
        "resourceVersion": meta["resourceVersion"],
    }
    active = [*(status.get("active") or ()), reference]
    return {**status, "active": active, "lastScheduleTime": rfc3339(moment_s)}


def outdated(cron_job: Object, jobs: Sequence[Object]) -> list[Object]:
    """Finished Jobs beyond the history limits, the oldest first."""
    found: list[Object] = []
    for kind, limit in (
        ("Complete", cron_job["spec"].get("successfulJobsHistoryLimit")),
        ("Failed", cron_job["spec"].get("failedJobsHistoryLimit")),
    ):
        if limit is None:
            continue
        ended = [job for job in jobs if outcome(job) == kind]
        ended.sort(key=lambda job: (_started_s(job), job["metadata"]["name"]))
        found += ended[: max(0, len(ended) - limit)]
    return found


def _started_s(job: Object) -> float:
    return time_s((job.get("status") or {}).get("startTime"))
