"""What the controllers of jobs and cron jobs do, on virtual time."""

import pytest

from ekslab.kube.api.well_known import CRON_JOBS, JOBS, PODS
from tests.conformance.api import Object
from tests.conformance.objects import job, template
from tests.conformance.running import Running, condition, lived, owner_of

conformance = pytest.mark.conformance

LASTING = {"simulated.ekslab.dev/duration": "1h"}
INDEX = "batch.kubernetes.io/job-completion-index"


def lasting(name: str, **spec: object) -> Object:
    """A job whose pods run for an hour."""
    body = job(name, **spec)
    body["spec"]["template"]["metadata"]["annotations"] = dict(LASTING)
    return body


async def every_minute(lab: Running, **spec: object) -> None:
    """Make a cron job whose jobs last longer than the minute between them."""
    template_of_job = {"spec": lasting("any")["spec"]}
    body = {"schedule": "*/1 * * * *", "jobTemplate": template_of_job, **spec}
    await lab.create(CRON_JOBS, {"metadata": {"name": "cron"}, "spec": body})


def active(lab: Running) -> list[str]:
    """The jobs a cron job says are active."""
    status = lab.one(CRON_JOBS, "cron").get("status", {})
    return [one["name"] for one in status.get("active", ())]


# Cron jobs


@conformance("cronjob-suspend")
@lived()
async def test_a_suspended_cron_job_makes_no_job(lab: Running) -> None:
    await every_minute(lab, suspend=True)
    await lab.sleep(300)
    assert lab.names(JOBS) == []


@conformance("cronjob-forbid")
@lived()
async def test_forbid_lets_no_second_job_start(lab: Running) -> None:
    await every_minute(lab, concurrencyPolicy="Forbid")
    await lab.until(lambda: len(active(lab)) == 1)
    first = lab.names(JOBS)
    await lab.sleep(200)
    assert lab.names(JOBS) == first == active(lab)


@conformance("cronjob-replace")
@lived()
async def test_replace_puts_a_newer_job_in_the_place_of_the_running(lab: Running) -> None:
    await every_minute(lab, concurrencyPolicy="Replace")
    await lab.until(lambda: len(active(lab)) == 1)
    (first,) = lab.names(JOBS)
    await lab.until(lambda: first not in lab.names(JOBS) and len(active(lab)) == 1)
    assert lab.names(JOBS) == active(lab)


@conformance("cronjob-allow")
@lived()
async def test_allow_adds_job_to_job(lab: Running) -> None:
    await every_minute(lab, concurrencyPolicy="Allow")
    await lab.until(lambda: len(active(lab)) == 3)
    assert sorted(active(lab)) == lab.names(JOBS)


# Jobs


@conformance("job-delete")
@lived()
async def test_a_deleted_job_takes_its_pods_along(lab: Running) -> None:
    await lab.create(JOBS, lasting("work", parallelism=2, completions=4))
    await lab.until(lambda: lab.one(JOBS, "work").get("status", {}).get("active") == 2)
    await lab.until(lambda: lab.ready() == 2)
    assert len(lab.all(PODS)) == 2
    await lab.delete(JOBS, "work", propagation="Foreground")
    await lab.until(lambda: lab.names(JOBS) == [])
    assert lab.names(PODS) == []


@conformance("job-adopt-release")
@lived()
async def test_a_job_adopts_what_fits_and_releases_what_does_not(lab: Running) -> None:
    made = await lab.create(JOBS, lasting("work", parallelism=2, completions=4))
    uid = made["metadata"]["uid"]
    await lab.until(lambda: lab.ready() == 2)
    name = lab.names(PODS)[0]
    await lab.patch(PODS, name, {"metadata": {"ownerReferences": None}})
    await lab.until(lambda: owner_of(lab.one(PODS, name)) == uid)
    labels = dict.fromkeys(lab.one(PODS, name)["metadata"]["labels"])
    await lab.patch(PODS, name, {"metadata": {"labels": labels}})
    await lab.until(lambda: owner_of(lab.one(PODS, name)) == "")


@conformance("job-indexed")
@lived()
async def test_pods_of_an_indexed_job_know_their_indexes(lab: Running) -> None:
    spec = {"completions": 4, "parallelism": 2, "completionMode": "Indexed"}
    await lab.create(JOBS, job("work", **spec))
    await lab.until(lambda: condition(lab.one(JOBS, "work"), "Complete"))
    pods = lab.all(PODS)
    indexes = [one["metadata"]["annotations"][INDEX] for one in pods]
    assert sorted(indexes) == ["0", "1", "2", "3"]
    for pod, index in zip(pods, indexes, strict=True):
        assert pod["metadata"]["labels"][INDEX] == index
        assert pod["spec"]["hostname"] == f"work-{index}"
        (variable,) = pod["spec"]["containers"][0]["env"]
        assert variable["name"] == "JOB_COMPLETION_INDEX"
        path = variable["valueFrom"]["fieldRef"]["fieldPath"]
        assert path == f"metadata.labels['{INDEX}']"
    status = lab.one(JOBS, "work")["status"]
    assert (status["succeeded"], status["completedIndexes"]) == (4, "0-3")


@conformance("job-lifecycle")
@lived()
async def test_a_suspended_job_is_changed_resumed_and_deleted(lab: Running) -> None:
    await lab.create(JOBS, job("work", completions=2, parallelism=2, suspend=True))
    await lab.until(lambda: condition(lab.one(JOBS, "work"), "Suspended"))
    await lab.patch(JOBS, "work", {"metadata": {"labels": {"patched": "yes"}}})
    await lab.put(JOBS, "work", {"metadata": {"annotations": {"put": "yes"}}})
    page = await lab.client.list(JOBS, label_selector="patched=yes")
    (found,) = (item.object for item in page.items)
    assert found["metadata"]["annotations"]["put"] == "yes"
    assert lab.names(PODS) == []
    await lab.patch(JOBS, "work", {"spec": {"suspend": False}})
    await lab.until(lambda: condition(lab.one(JOBS, "work"), "Complete"))
    assert lab.one(JOBS, "work")["status"]["succeeded"] == 2
    await lab.client.delete_collection(JOBS, "default", label_selector="patched=yes")
    await lab.until(lambda: lab.names(JOBS) == [])


@conformance("job-pfp-exit-code")
@lived()
async def test_an_exit_code_of_a_rule_fails_the_whole_job(lab: Running) -> None:
    rule = {"containerName": "main", "operator": "In", "values": [42]}
    policy = {"rules": [{"action": "FailJob", "onExitCodes": rule}]}
    body = job("work", completions=4, parallelism=2, backoffLimit=6, podFailurePolicy=policy)
    body["spec"]["template"] = template("work", restartPolicy="Never")
    annotations = {"simulated.ekslab.dev/exit-code": "42"}
    body["spec"]["template"]["metadata"]["annotations"] = annotations
    await lab.create(JOBS, body)
    await lab.until(lambda: condition(lab.one(JOBS, "work"), "Failed"))
    found = lab.one(JOBS, "work")
    assert condition(found, "Failed")["reason"] == "PodFailurePolicy"
    assert 1 <= found["status"]["failed"] <= 2
    assert "exit code 42" in condition(found, "Failed")["message"]
