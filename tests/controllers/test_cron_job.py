"""CronJobs: schedules, what is due, and the Jobs they make."""

import zoneinfo
from datetime import UTC, datetime
from typing import Any

import pytest

from ekslab.kit.clock import parse_rfc3339, rfc3339
from ekslab.kube.api.requests import Object
from ekslab.kube.api.well_known import CRON_JOBS, EVENTS, JOBS
from ekslab.kube.controllers.cron_job import plan
from ekslab.kube.controllers.cron_job.schedule import parse
from tests.controllers.test_in_cluster import Lab, lived

BERLIN = "Europe/Berlin"


@pytest.mark.parametrize(
    ("text", "zone", "since", "expected"),
    [
        pytest.param("* * * * *", "UTC", "2026-01-01T00:00:30Z", "2026-01-01T00:01:00Z", id="all"),
        pytest.param("*/15 * * * *", "UTC", "2026-01-01T00:46:00Z", "2026-01-01T01:00:00Z",
                     id="quarter hours"),
        pytest.param("30 9-17/4 * * mon-fri", "UTC", "2026-01-02T17:31:00Z",
                     "2026-01-05T09:30:00Z", id="over the weekend"),
        pytest.param("0 0 13 * 5", "UTC", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z",
                     id="the 13th or a friday"),
        pytest.param("0 0 */2 * 5", "UTC", "2026-01-03T00:00:00Z", "2026-01-05T00:00:00Z",
                     id="a star with steps is no star"),
        pytest.param("0 0 29 2 *", "UTC", "2026-03-01T00:00:00Z", "2028-02-29T00:00:00Z",
                     id="leap day"),
        pytest.param("@monthly", "UTC", "2026-01-31T12:00:00Z", "2026-02-01T00:00:00Z",
                     id="descriptor"),
        pytest.param("@every 90s", "UTC", "2026-01-01T00:00:10Z", "2026-01-01T00:01:40Z",
                     id="constant delay"),
        pytest.param("0 6 * * *", BERLIN, "2026-07-01T00:00:00Z", "2026-07-01T04:00:00Z",
                     id="summer in Berlin"),
        pytest.param("30 2 * * *", BERLIN, "2026-03-28T12:00:00Z", "2026-03-30T00:30:00Z",
                     id="an hour that is left out"),
        pytest.param("0 * * * *", BERLIN, "2026-10-25T00:00:00Z", "2026-10-25T01:00:00Z",
                     id="an hour that comes twice"),
    ],
)  # fmt: skip
def test_a_schedule_knows_its_next_time(text: str, zone: str, since: str, expected: str) -> None:
    found = parse(text, zoneinfo.ZoneInfo(zone)).after(parse_rfc3339(since))
    assert found is not None
    assert rfc3339(found) == expected


def test_a_day_that_never_comes_has_no_next_time() -> None:
    assert parse("0 0 31 2 *", UTC).after(0.0) is None


def cron(schedule: str = "*/5 * * * *", *, run_s: str = "2s", **spec: Any) -> Object:
    marks = {"simulated.ekslab.dev/duration": run_s}
    pod_spec = {"containers": [{"name": "c", "image": "busybox"}], "restartPolicy": "Never"}
    template = {"metadata": {"annotations": marks}, "spec": pod_spec}
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": "tick", "namespace": "default"},
        "spec": {"schedule": schedule, "jobTemplate": {"spec": {"template": template}}, **spec},
    }


def seen(schedule: str, *, last: str, now: str, **spec: Any) -> plan.Due:
    obj = cron(schedule, **spec)
    obj["metadata"]["creationTimestamp"] = "2020-01-01T00:00:00Z"
    obj["status"] = {"lastScheduleTime": last}
    return plan.due(obj, parse(schedule, UTC), parse_rfc3339(now))


def text(moment_s: float | None) -> str:
    return datetime.fromtimestamp(moment_s, UTC).strftime("%dT%H:%M") if moment_s else ""


@pytest.mark.parametrize(
    ("due", "moment", "missed", "following"),
    [
        pytest.param(
            seen("0 * * * *", last="2026-01-01T05:00:00Z", now="2026-01-01T05:30:00Z"),
            "", 0, "01T06:00", id="not yet",
        ),
        pytest.param(
            seen("0 * * * *", last="2026-01-01T05:00:00Z", now="2026-01-01T06:00:00Z"),
            "01T06:00", 0, "01T07:00", id="now",
        ),
        pytest.param(
            seen("0 * * * *", last="2026-01-01T05:00:00Z", now="2026-01-01T09:10:00Z"),
            "01T09:00", 3, "01T10:00", id="only the last of several",
        ),
        pytest.param(
            seen("* * * * *", last="2025-01-01T00:00:00Z", now="2026-01-01T09:10:30Z"),
            "01T09:10", 101, "01T09:11", id="after a year",
        ),
        pytest.param(
            seen("0 * * * *", last="2025-01-01T00:00:00Z", now="2026-01-01T09:10:00Z",
                 startingDeadlineSeconds=60), "", 0, "01T10:00", id="past the deadline",
        ),
    ],
)  # fmt: skip
def test_the_last_start_that_was_missed_is_due(
    due: plan.Due, moment: str, missed: int, following: str
) -> None:
    assert (text(due.moment_s), due.missed, text(due.next_s)) == (moment, missed, following)


def names(lab: Lab) -> list[str]:
    return [one["metadata"]["name"] for one in lab.all(JOBS)]


def the_status(lab: Lab) -> Object:
    (found,) = lab.all(CRON_JOBS)
    status: Object = found.get("status") or {}
    return status


def reasons(lab: Lab) -> set[str]:
    return {
        event["reason"] for event in lab.all(EVENTS) if event["involvedObject"]["kind"] == "CronJob"
    }


def test_jobs_come_by_the_clock_and_three_are_kept() -> None:
    async def story(lab: Lab) -> None:
        await lab.client.create(CRON_JOBS, cron(timeZone=BERLIN))
        await lab.until(lambda: len(names(lab)) == 1, within_s=301)
        assert lab.clock.now() % 300 < 1
        (job,) = lab.all(JOBS)
        minute = int(lab.clock.now()) // 60
        assert job["metadata"]["name"] == f"tick-{minute}"
        due_at = job["metadata"]["annotations"]["batch.kubernetes.io/cronjob-scheduled-timestamp"]
        assert due_at.endswith("+01:00")
        assert parse_rfc3339(due_at) == minute * 60
        await lab.until(lambda: the_status(lab).get("active"))
        await lab.until(lambda: "lastSuccessfulTime" in the_status(lab))
        assert "active" not in the_status(lab)
        await lab.clock.sleep(5 * 300)
        assert len(names(lab)) == 3
        await lab.clock.sleep(2)
        assert {"SuccessfulCreate", "SawCompletedJob", "SuccessfulDelete"} == reasons(lab)
        await lab.client.delete(CRON_JOBS, "tick", "default", propagation="Background")
        await lab.until(lambda: not names(lab))

    lived(story)


@pytest.mark.parametrize(
    ("policy", "running", "reason"),
    [
        pytest.param("Allow", 3, "SuccessfulCreate", id="allow"),
        pytest.param("Forbid", 1, "JobAlreadyActive", id="forbid"),
        pytest.param("Replace", 1, "SuccessfulDelete", id="replace"),
    ],
)
def test_jobs_overlap_as_the_policy_says(policy: str, running: int, reason: str) -> None:
    async def story(lab: Lab) -> None:
        wanted = cron("* * * * *", run_s="1h", concurrencyPolicy=policy)
        await lab.client.create(CRON_JOBS, wanted)
        await lab.clock.sleep(60 * 3 - lab.clock.now() % 60 + 5)
        assert len(names(lab)) == running
        assert len(the_status(lab)["active"]) == running
        assert reason in reasons(lab)

    lived(story)


def test_a_suspended_cron_job_makes_no_jobs_until_it_may() -> None:
    async def story(lab: Lab) -> None:
        await lab.client.create(CRON_JOBS, cron("* * * * *", suspend=True))
        await lab.clock.sleep(600)
        assert names(lab) == []
        await lab.client.patch(CRON_JOBS, "tick", "default", patch={"spec": {"suspend": False}})
        await lab.until(lambda: len(names(lab)) == 1, within_s=2)

    lived(story)
