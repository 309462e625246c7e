"""Workloads as objects: their verbs, statuses and scales. No node is needed for any of it."""

import pytest

from tests.conformance.api import Api, Collection, Object
from tests.conformance.objects import job, template, workload
from tests.conformance.verbs import (
    changed,
    discovered,
    keeps_status,
    labelled,
    part_of,
    takes_all_verbs,
)

conformance = pytest.mark.conformance

CONDITION = {"type": "Shown", "status": "True", "reason": "Patched", "message": "by PATCH"}
OTHER_CONDITION = {**CONDITION, "reason": "Put", "message": "by PUT"}


def is_listed_and_deleted_by_its_label(collection: Collection, name: str) -> None:
    """A label selects the object for a list, here and in all namespaces, and for deletion."""
    chosen = f"app={name}"
    assert collection.names(labelSelector=chosen) == [name]
    assert collection.everywhere().names(labelSelector=chosen) == [name]
    collection.delete_all(labelSelector=chosen)
    assert collection.names(labelSelector=chosen) == []


def scales(collection: Collection, name: str, *, to: int) -> None:
    """The scale is read, written, and read back; the object follows."""
    scale = collection.get(name, "scale")
    assert (scale["kind"], scale["apiVersion"]) == ("Scale", "autoscaling/v1")
    assert scale["spec"]["replicas"] == collection.get(name)["spec"]["replicas"] != to
    written = changed(collection, name, {"spec": {"replicas": to}}, "scale")
    assert written["spec"]["replicas"] == to
    assert collection.get(name, "scale")["spec"]["replicas"] == to
    assert collection.get(name)["spec"]["replicas"] == to


@conformance("cronjob-api")
def test_cron_jobs_take_all_verbs_and_keep_a_status(api: Api, namespace: str) -> None:
    discovered(api, "batch/v1", "cronjobs", "cronjobs/status")
    cron_jobs = api.at("batch/v1", "cronjobs", namespace)

    def cron_job(name: str) -> Object:
        return {"spec": {"schedule": "0 0 1 1 *", "jobTemplate": {"spec": job(name)["spec"]}}}

    takes_all_verbs(cron_jobs, cron_job)
    cron_jobs.create({"metadata": {"name": "kept"}, **cron_job("kept")})
    keeps_status(
        cron_jobs, "kept",
        patched={"lastScheduleTime": "2026-01-01T00:00:00Z"},
        put={"lastScheduleTime": "2026-02-01T00:00:00Z"},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("plural", "spec"),
    [
        pytest.param("daemonsets", {}, marks=conformance("daemonset-status")),
        pytest.param("deployments", {"replicas": 1}, marks=conformance("deployment-status")),
        pytest.param("replicasets", {"replicas": 1}, marks=conformance("replicaset-status")),
        pytest.param(
            "statefulsets",
            {"replicas": 1, "serviceName": "kept"},
            marks=conformance("statefulset-status"),
        ),
    ],
)
def test_conditions_of_a_workload_are_kept(
    api: Api, namespace: str, plural: str, spec: Object
) -> None:
    workloads = api.at("apps/v1", plural, namespace)
    workloads.create(workload("kept", **spec))
    assert "status" in workloads.get("kept", "status")
    body = {"status": {"conditions": [CONDITION]}}
    answer = workloads.patch("kept", body, "status")
    assert has_condition(answer, CONDITION)
    assert has_condition(workloads.get("kept", "status"), CONDITION)
    answer = changed(workloads, "kept", {"status": {"conditions": [OTHER_CONDITION]}}, "status")
    assert has_condition(answer, OTHER_CONDITION)
    assert has_condition(workloads.get("kept"), OTHER_CONDITION)


def has_condition(obj: Object, wanted: Object) -> bool:
    """Whether a condition is there; controllers may have put theirs beside it."""
    return any(part_of(wanted, one) for one in obj["status"].get("conditions", ()))


@pytest.mark.parametrize(
    ("plural", "spec"),
    [
        pytest.param("daemonsets", {}, marks=conformance("daemonset-list-delete")),
        pytest.param("replicasets", {"replicas": 2}, marks=conformance("replicaset-list-delete")),
    ],
)
def test_a_workload_is_listed_and_deleted_by_its_label(
    api: Api, namespace: str, plural: str, spec: Object
) -> None:
    workloads = api.at("apps/v1", plural, namespace)
    name = f"listed-{plural}"
    workloads.create(workload(name, **spec))
    workloads.create(workload("other", **spec))
    is_listed_and_deleted_by_its_label(workloads, name)
    assert workloads.names() == ["other"]


@conformance("statefulset-list-patch-delete")
def test_a_stateful_set_is_listed_patched_and_deleted(api: Api, namespace: str) -> None:
    sets = api.at("apps/v1", "statefulsets", namespace)
    sets.create(workload("patched", serviceName="patched", replicas=1))
    containers = [{"name": "main", "image": "nginx:2"}]
    body = {**labelled(patched="yes"), "spec": {"template": {"spec": {"containers": containers}}}}
    answer = sets.patch("patched", body)
    assert answer["metadata"]["labels"] == {"app": "patched", "patched": "yes"}
    assert answer["spec"]["template"]["spec"]["containers"][0]["image"] == "nginx:2"
    assert sets.names(labelSelector="patched=yes") == ["patched"]
    is_listed_and_deleted_by_its_label(sets, "patched")


@conformance("statefulset-scale")
def test_a_stateful_set_has_a_scale(api: Api, namespace: str) -> None:
    sets = api.at("apps/v1", "statefulsets", namespace)
    sets.create(workload("scaled", serviceName="scaled", replicas=1))
    scales(sets, "scaled", to=2)


@conformance("rc-scale")
def test_a_replication_controller_has_a_scale(api: Api, namespace: str) -> None:
    controllers = api.at("v1", "replicationcontrollers", namespace)
    spec = {"replicas": 1, "selector": {"app": "scaled"}, "template": template("scaled")}
    controllers.create({"metadata": {"name": "scaled"}, "spec": spec})
    scales(controllers, "scaled", to=2)


@conformance("job-status")
def test_the_status_of_a_job_is_patched_and_put(api: Api, namespace: str) -> None:
    jobs = api.at("batch/v1", "jobs", namespace)
    jobs.create(job("kept", parallelism=2, completions=4))
    annotations = {"patched": "status"}
    body = {"metadata": {"annotations": annotations}, "status": {"conditions": [CONDITION]}}
    answer = jobs.patch("kept", body, "status")
    assert answer["metadata"]["annotations"]["patched"] == "status"
    assert has_condition(answer, CONDITION)
    assert has_condition(jobs.get("kept", "status"), CONDITION)
    answer = changed(jobs, "kept", {"status": {"conditions": [OTHER_CONDITION]}}, "status")
    assert has_condition(answer, OTHER_CONDITION)
    assert has_condition(jobs.get("kept", "status"), OTHER_CONDITION)


# Disruption budgets


def budget(name: str, labels: dict[str, str] | None = None, **spec: object) -> Object:
    selector = {"matchLabels": {"app": name}}
    return {"metadata": {"name": name, "labels": labels or {}},
            "spec": {"selector": selector, **spec}}  # fmt: skip


@conformance("pdb-list-delete")
def test_budgets_are_listed_and_deleted_by_their_label(api: Api, namespace: str) -> None:
    labels = {"show": "pdb-list"}
    api.at("v1", "namespaces").create({"metadata": {"name": f"{namespace}-2"}})
    here = api.at("policy/v1", "poddisruptionbudgets", namespace)
    there = api.at("policy/v1", "poddisruptionbudgets", f"{namespace}-2")
    for name in ("one", "two"):
        here.create(budget(name, labels, minAvailable=1))
    there.create(budget("three", labels, minAvailable=1))
    here.create(budget("other", minAvailable=1))
    assert here.names(labelSelector="show=pdb-list") == ["one", "two"]
    everywhere = here.everywhere().names(labelSelector="show=pdb-list")
    assert sorted(everywhere) == ["one", "three", "two"]
    here.delete_all(labelSelector="show=pdb-list")
    assert here.names() == ["other"]
    assert here.everywhere().names(labelSelector="show=pdb-list") == ["three"]


@conformance("pdb-create")
@pytest.mark.parametrize("least", [2, "30%"])
def test_a_budget_is_created_updated_patched_and_deleted(
    api: Api, namespace: str, least: object
) -> None:
    budgets = api.at("policy/v1", "poddisruptionbudgets", namespace)
    made = budgets.create(budget("budget", minAvailable=least))
    assert made["spec"]["minAvailable"] == least
    answer = changed(budgets, "budget", {"spec": {"minAvailable": 3}})
    assert answer["spec"]["minAvailable"] == 3
    answer = budgets.patch("budget", {"spec": {"minAvailable": "50%"}})
    assert answer["spec"]["minAvailable"] == budgets.get("budget")["spec"]["minAvailable"] == "50%"
    budgets.delete("budget")
    assert budgets.gone("budget")


@conformance("pdb-status-write")
def test_the_status_of_a_budget_is_patched_and_put(api: Api, namespace: str) -> None:
    budgets = api.at("policy/v1", "poddisruptionbudgets", namespace)
    made = budgets.create(budget("budget", minAvailable=1))
    disrupted = {"disruptedPods": {"web-0": "2026-01-01T00:00:00Z"}}
    with budgets.watch(resourceVersion=made["metadata"]["resourceVersion"]) as watch:
        patched = budgets.patch("budget", {"status": disrupted}, "status")
        put = changed(budgets, "budget", {"status": {"disruptedPods": None}}, "status")
        assert part_of(disrupted, patched["status"])
        assert "disruptedPods" not in put["status"]
        # The controller drops pods that are none; that each write was stored, the watch tells.
        for written in (patched, put):
            watch.until("MODIFIED", lambda seen, written=written: seen == written)
