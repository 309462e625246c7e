"""The CronJob controller: watches, keys, reads and writes. Decisions are in `plan`.

Upstream: `pkg/controller/cronjob/cronjob_controllerv2.go`. A Job's name says which start it is of,
so that no start happens twice.
"""

import zoneinfo
from datetime import UTC, tzinfo
from email.utils import formatdate
from typing import ClassVar, Final

from ekslab.kube.api.errors import ApiError
from ekslab.kube.api.objects import Item, editable
from ekslab.kube.api.requests import Object
from ekslab.kube.api.well_known import CRON_JOBS, JOBS
from ekslab.kube.client.informers import Key
from ekslab.kube.controllers.cron_job import plan
from ekslab.kube.controllers.cron_job.schedule import Schedule, parse
from ekslab.kube.runtime.commit import commit
from ekslab.kube.runtime.controller import DONE, Controller, Result, Toolbox
from ekslab.kube.runtime.ownership import owner_uid
from ekslab.kube.runtime.pods import controller_of

_LATER_S: Final = 0.1
"""Looked at a little after the full minute, as upstream (nextScheduleDelta)."""

_ACTIVE: Final = (
    "Not starting job because prior execution is running and concurrency policy is Forbid"
)
_TOO_MANY: Final = (
    "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew"
)


class CronJobController(Controller[Key]):
    """Makes Jobs when their time has come."""

    name: ClassVar[str] = "cronjob-controller"

    def __init__(self, tools: Toolbox) -> None:
        super().__init__(tools)
        self._written: dict[Key, int] = {}
        self._cron_jobs = self.watch(CRON_JOBS, self._changed)
        self._jobs = self.watch(JOBS, self._job_changed)
        self._jobs.add_index("owner", owner_uid)

    def _changed(self, old: Item | None, new: Item | None) -> None:
        if new is not None:
            self.queue.add(new.key)
        elif old is not None:
            self._written.pop(old.key, None)

    def _job_changed(self, old: Item | None, new: Item | None) -> None:
        for item in (old, new):
            owner = controller_of(item.object) if item is not None else None
            if item is not None and owner is not None and owner["kind"] == "CronJob":
                self.queue.add((item.namespace, owner["name"]))

    async def reconcile(self, key: Key) -> Result:
        """Note what became of the Jobs, start the next one, forget the oldest."""
        item = self._cron_jobs.get(*key)
        if item is None or item.revision < self._written.get(key, 0):
            return DONE
        cron_job = item.object
        jobs = [one.object for one in self._jobs.by_index("owner", item.uid)]
        record = plan.record(cron_job, jobs)
        for kind, reason, message in record.events:
            (self.events.warning if kind == "Warning" else self.events.normal)(
                cron_job, reason, message
            )
        status, next_s = await self._start(cron_job, record.status)
        written = await commit(self.client, CRON_JOBS, cron_job, {**cron_job, "status": status})
        self._written[key] = int(written["metadata"]["resourceVersion"])
        for job in plan.outdated(cron_job, jobs):
            await self._delete(cron_job, job["metadata"]["name"], job["metadata"]["uid"])
        if next_s is None:
            return DONE
        return Result(requeue_after_s=max(0.0, next_s + _LATER_S - self.clock.now()))

    async def _start(self, cron_job: Object, status: Object) -> tuple[Object, float | None]:
        """Make the Job that is due, if there is one. Returns the status then, and when the next is
        due.
        """
        spec, now_s = cron_job["spec"], self.clock.now()
        if "deletionTimestamp" in cron_job["metadata"]:
            return status, None
        found = self._schedule(cron_job)
        if found is None or spec.get("suspend"):
            return status, None
        schedule, zone = found
        due = plan.due(cron_job, schedule, now_s)
        moment_s, next_s = due.moment_s, due.next_s
        if moment_s is None:
            return status, next_s
        if due.missed > plan.TOO_MANY:
            self.events.warning(cron_job, "TooManyMissedTimes", _TOO_MANY)
        if plan.is_too_late(cron_job, moment_s, now_s):
            told = formatdate(moment_s).replace("-0000", "+0000")
            text = f"Missed scheduled time to start a job: {told}"
            self.events.warning(cron_job, "MissSchedule", text)
            return status, next_s
        active = status.get("active") or []
        if any(one["name"] == plan.job_name(cron_job, moment_s) for one in active):
            return status, next_s
        policy = spec.get("concurrencyPolicy", "Allow")
        if policy == "Forbid" and active:
            self.events.normal(cron_job, "JobAlreadyActive", _ACTIVE)
            return status, next_s
        if policy == "Replace" and active:
            for one in active:
                await self._delete(cron_job, one["name"], one["uid"])
            status = {key: value for key, value in status.items() if key != "active"}
        job = await self._create(cron_job, moment_s, zone)
        return (plan.with_start(status, job, moment_s) if job is not None else status), next_s

    def _schedule(self, cron_job: Object) -> tuple[Schedule, tzinfo] | None:
        spec = cron_job["spec"]
        text, zone_name = spec["schedule"], spec.get("timeZone")
        zone: tzinfo = UTC
        if zone_name:
            try:
                zone = zoneinfo.ZoneInfo(zone_name)
            except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
                why = f'invalid timeZone: "{zone_name}": unknown time zone {zone_name}'
                self.events.warning(cron_job, "UnknownTimeZone", why)
                return None
        try:
            return parse(text, zone), zone
        except ValueError as error:
            why = f'unparseable schedule: "{text}" : {error}'
            self.events.warning(cron_job, "UnparseableSchedule", why)
            return None

    async def _create(self, cron_job: Object, moment_s: float, zone: tzinfo) -> Object | None:
        wanted = plan.new_job(cron_job, moment_s, zone)
        try:
            job = await self.client.create(JOBS, editable(wanted))
        except ApiError as error:
            if error.reason == "AlreadyExists":
                return await self._existing(cron_job, wanted["metadata"]["name"])
            causes = (error.details or {}).get("causes") or ()
            if any(cause.get("reason") == "NamespaceTerminating" for cause in causes):
                return None
            text = f"Error creating job: {error.message}"
            self.events.warning(cron_job, "FailedCreate", text)
            raise
        self.events.normal(cron_job, "SuccessfulCreate", f"Created job {job['metadata']['name']}")
        return job

    async def _existing(self, cron_job: Object, name: str) -> Object | None:
        """The Job of that name, if it is ours and runs: made before the status could be written."""
        meta = cron_job["metadata"]
        job = await self.client.get(JOBS, name, meta["namespace"])
        owner = controller_of(job)
        if owner is None or owner["uid"] != meta["uid"] or plan.outcome(job):
            return None
        return job

    async def _delete(self, cron_job: Object, name: str, uid: str) -> None:
        namespace = cron_job["metadata"]["namespace"]
        try:
            await self.client.delete(JOBS, name, namespace, uid=uid, propagation="Background")
        except ApiError as error:
            if error.code in {404, 409}:
                return
            self.events.warning(cron_job, "FailedDelete", f"Deleted job: {error.message}")
            raise
        self.events.normal(cron_job, "SuccessfulDelete", f"Deleted job {name}")
