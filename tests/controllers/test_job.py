"""Jobs: what the plan decides, and whole lives of Jobs on simulated nodes."""

from typing import Any

import pytest

from ekslab.kube.api.requests import Object
from ekslab.kube.api.well_known import EVENTS, JOBS, PODS
from ekslab.kube.controllers.job import indexes, policies
from ekslab.kube.controllers.job.plan import Backoff
from tests.controllers.test_in_cluster import Lab, lived

SIMULATED = "simulated.ekslab.dev"


def job(*, notes: dict[str, str] | None = None, restart: str = "Never", **spec: Any) -> Object:
    pod_spec = {"containers": [{"name": "main", "image": "busybox"}], "restartPolicy": restart}
    marks = {f"{SIMULATED}/{key}": value for key, value in (notes or {}).items()}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "sum", "namespace": "default"},
        "spec": {"template": {"metadata": {"annotations": marks}, "spec": pod_spec}, **spec},
    }


@pytest.mark.parametrize(
    ("numbers", "text"),
    [
        pytest.param([], "", id="none"),
        pytest.param([3], "3", id="one"),
        pytest.param([1, 2], "1,2", id="two neighbours"),
        pytest.param([0, 2, 3, 4, 7], "0,2-4,7", id="a range among others"),
    ],
)
def test_indexes_are_written_as_ranges_and_read_back(numbers: list[int], text: str) -> None:
    assert indexes.text(numbers) == text
    assert indexes.parse(text, below=100) == set(numbers)


@pytest.mark.parametrize(
    ("failures", "since_s", "remaining_s"),
    [
        pytest.param(0, 0.0, 0.0, id="no failure, no pause"),
        pytest.param(1, 4.0, 6.0, id="ten seconds after the first"),
        pytest.param(3, 0.0, 40.0, id="doubled each time"),
        pytest.param(20, 0.0, 600.0, id="ten minutes at most"),
        pytest.param(2, 30.0, 0.0, id="over"),
    ],
)
def test_failures_make_the_next_pod_wait(failures: int, since_s: float, remaining_s: float) -> None:
    assert Backoff(failures, 1000.0).remaining_s(1000.0 + since_s) == remaining_s


FAILED_POD: Object = {
    "metadata": {"namespace": "ns", "name": "p"},
    "status": {
        "containerStatuses": [{"name": "main", "state": {"terminated": {"exitCode": 42}}}],
        "conditions": [{"type": "DisruptionTarget", "status": "True"}],
    },
}


def exit_rule(action: str, operator: str, *values: int) -> Object:
    return {"action": action, "onExitCodes": {"operator": operator, "values": list(values)}}


@pytest.mark.parametrize(
    ("rule", "action", "message"),
    [
        pytest.param(
            exit_rule("FailJob", "In", 42), "FailJob",
            "Container main for pod ns/p failed with exit code 42 matching FailJob rule at index 1",
            id="exit code",
        ),
        pytest.param(exit_rule("FailJob", "NotIn", 42), "", "", id="not this exit code"),
        pytest.param(
            {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}, "Ignore",
            "Pod ns/p has condition DisruptionTarget matching Ignore rule at index 1",
            id="condition",
        ),
    ],
)  # fmt: skip
def test_a_failure_is_judged_by_the_first_rule_that_fits(
    rule: Object, action: str, message: str
) -> None:
    first = {"action": "Count", "onPodConditions": [{"type": "Other"}]}
    verdict = policies.judge({"rules": [first, rule]}, FAILED_POD)
    assert (verdict.action, verdict.message) == (action, message)
    assert verdict.counts == (action != "Ignore")


def the_job(lab: Lab) -> Object:
    (found,) = lab.all(JOBS)
    return found


def state(lab: Lab) -> dict[str, str]:
    """Reasons of the conditions that are True."""
    conditions = (the_job(lab).get("status") or {}).get("conditions", [])
    return {one["type"]: one["reason"] for one in conditions if one["status"] == "True"}


def said(lab: Lab) -> dict[str, str]:
    return {
        event["reason"]: event["message"]
        for event in lab.all(EVENTS)
        if event["involvedObject"]["kind"] == "Job"
    }


def test_a_job_completes_and_goes_after_its_time_to_live() -> None:
    async def story(lab: Lab) -> None:
        wanted = job(completions=4, parallelism=2, ttlSecondsAfterFinished=60)
        await lab.client.create(JOBS, wanted)
        await lab.until(lambda: the_job(lab).get("status", {}).get("active") == 2)
        await lab.until(lambda: "Complete" in state(lab))
        done = the_job(lab)["status"]
        assert done["succeeded"] == 4
        assert done["uncountedTerminatedPods"] == {}
        assert done["completionTime"] > done["startTime"]
        assert (done["ready"], done["terminating"]) == (0, 0)
        assert not done.keys() & {"active", "failed"}
        assert state(lab) == {
            "SuccessCriteriaMet": "CompletionsReached", "Complete": "CompletionsReached",
        }  # fmt: skip
        pods = lab.all(PODS)
        assert len(pods) == 4
        uid = the_job(lab)["metadata"]["uid"]
        for one in pods:
            assert one["metadata"]["labels"] == {
                "batch.kubernetes.io/controller-uid": uid, "controller-uid": uid,
                "batch.kubernetes.io/job-name": "sum", "job-name": "sum",
            }  # fmt: skip
            assert not one["metadata"].get("finalizers")
        await lab.clock.sleep(2)
        assert said(lab)["Completed"] == "Job completed"
        await lab.clock.sleep(50)
        assert len(lab.all(JOBS)) == 1
        await lab.until(lambda: not lab.all(JOBS) and not lab.all(PODS))

    lived(story)


def test_an_indexed_job_runs_each_index_once() -> None:
    async def story(lab: Lab) -> None:
        await lab.client.create(JOBS, job(completions=5, parallelism=3, completionMode="Indexed"))
        await lab.until(lambda: "Complete" in state(lab))
        assert the_job(lab)["status"]["completedIndexes"] == "0-4"
        pods = lab.all(PODS)
        numbers = {
            one["metadata"]["labels"]["batch.kubernetes.io/job-completion-index"] for one in pods
        }
        assert numbers == set("01234")
        assert len(pods) == 5
        (one,) = [one for one in pods if one["metadata"]["generateName"] == "sum-3-"]
        assert one["spec"]["hostname"] == "sum-3"
        assert one["spec"]["containers"][0]["env"][0]["name"] == "JOB_COMPLETION_INDEX"

    lived(story)


def test_a_job_fails_when_it_failed_too_often() -> None:
    async def story(lab: Lab) -> None:
        await lab.client.create(JOBS, job(notes={"failure": "crash"}, backoffLimit=2))
        await lab.until(lambda: "Failed" in state(lab), within_s=300)
        assert state(lab) == {
            "FailureTarget": "BackoffLimitExceeded", "Failed": "BackoffLimitExceeded",
        }  # fmt: skip
        assert the_job(lab)["status"]["failed"] == 3
        assert len(lab.all(PODS)) == 3
        await lab.clock.sleep(2)
        assert said(lab)["BackoffLimitExceeded"] == "Job has reached the specified backoff limit"

    lived(story)


def test_restarts_of_a_pod_count_as_failures() -> None:
    async def story(lab: Lab) -> None:
        wanted = job(notes={"failure": "crash"}, restart="OnFailure", backoffLimit=1)
        await lab.client.create(JOBS, wanted)
        await lab.until(lambda: "Failed" in state(lab), within_s=300)
        assert state(lab)["Failed"] == "BackoffLimitExceeded"
        await lab.until(lambda: not lab.all(PODS))

    lived(story)


def test_a_job_fails_at_its_deadline_and_its_pods_go() -> None:
    async def story(lab: Lab) -> None:
        wanted = job(notes={"duration": "1h"}, parallelism=2, activeDeadlineSeconds=20)
        await lab.client.create(JOBS, wanted)
        await lab.until(lambda: the_job(lab).get("status", {}).get("ready") == 2)
        await lab.until(lambda: "FailureTarget" in state(lab))
        await lab.until(lambda: "Failed" in state(lab))
        assert state(lab)["Failed"] == "DeadlineExceeded"
        assert lab.all(PODS) == []
        status = the_job(lab)["status"]
        assert (status["failed"], status.get("active", 0), status["terminating"]) == (2, 0, 0)

    lived(story)


def test_a_suspended_job_has_no_pods_and_goes_on_later() -> None:
    async def story(lab: Lab) -> None:
        await lab.client.create(JOBS, job(notes={"duration": "5s"}))
        await lab.until(lambda: the_job(lab).get("status", {}).get("ready") == 1)
        await lab.client.patch(JOBS, "sum", "default", patch={"spec": {"suspend": True}})
        await lab.until(lambda: state(lab).get("Suspended") == "JobSuspended")
        await lab.until(lambda: not lab.all(PODS))
        assert "failed" not in the_job(lab)["status"]
        await lab.client.patch(JOBS, "sum", "default", patch={"spec": {"suspend": False}})
        await lab.until(lambda: "Complete" in state(lab))
        assert {"Suspended", "Resumed", "Completed"} <= said(lab).keys()

    lived(story)


def test_an_exit_code_may_fail_the_job_at_once() -> None:
    async def story(lab: Lab) -> None:
        notes = {"duration": "1s", "exit-code": "42"}
        policy = {"rules": [exit_rule("FailJob", "In", 42)]}
        await lab.client.create(JOBS, job(notes=notes, podFailurePolicy=policy))
        await lab.until(lambda: "Failed" in state(lab))
        assert state(lab)["Failed"] == "PodFailurePolicy"
        assert len(lab.all(PODS)) == 1

    lived(story)


def test_indexes_have_retries_of_their_own() -> None:
    async def story(lab: Lab) -> None:
        wanted = job(
            notes={"failure": "crash"}, completions=2, parallelism=2,
            completionMode="Indexed", backoffLimitPerIndex=1,
        )  # fmt: skip
        await lab.client.create(JOBS, wanted)
        await lab.until(lambda: "Failed" in state(lab), within_s=300)
        assert state(lab)["Failed"] == "FailedIndexes"
        status = the_job(lab)["status"]
        assert (status["failedIndexes"], status["failed"]) == ("0,1", 4)

    lived(story)


def test_a_success_policy_ends_a_job_before_all_is_done() -> None:
    async def story(lab: Lab) -> None:
        wanted = job(
            completions=3, parallelism=1, completionMode="Indexed",
            successPolicy={"rules": [{"succeededIndexes": "0"}]},
        )  # fmt: skip
        await lab.client.create(JOBS, wanted)
        await lab.until(lambda: "Complete" in state(lab))
        assert state(lab)["Complete"] == "SuccessPolicy"
        assert the_job(lab)["status"]["completedIndexes"] == "0"

    lived(story)


@pytest.mark.parametrize("propagation", ["Background", "Foreground"])
def test_a_job_that_is_deleted_takes_its_pods_along(propagation: str) -> None:
    async def story(lab: Lab) -> None:
        await lab.client.create(JOBS, job(notes={"duration": "1h"}, parallelism=2))
        await lab.until(lambda: len(lab.all(PODS)) == 2)
        await lab.client.delete(JOBS, "sum", "default", propagation=propagation)
        await lab.until(lambda: not lab.all(JOBS) and not lab.all(PODS))

    lived(story)


def test_a_hundred_pods_are_counted_each_once() -> None:
    async def story(lab: Lab) -> None:
        await lab.client.create(JOBS, job(completions=120, parallelism=40))
        await lab.until(lambda: "Complete" in state(lab), within_s=600)
        assert the_job(lab)["status"]["succeeded"] == 120
        assert len(lab.all(PODS)) == 120

    lived(story, nodes=6)
