"""PodDisruptionBudgets: their numbers, and evictions that ask for them."""

from typing import Any

import pytest

from ekslab.kube.api.errors import ApiError
from ekslab.kube.api.objects import encode
from ekslab.kube.api.requests import Object
from ekslab.kube.api.well_known import CRON_JOBS, DEPLOYMENTS, POD_DISRUPTION_BUDGETS, PODS
from ekslab.kube.controllers.disruption import plan
from ekslab.kube.runtime.pods import PodFacts, pod_facts
from tests.controllers.test_in_cluster import Lab, lived, web
from tests.controllers.world import pod


def budget(**spec: Any) -> Object:
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {"selector": {"matchLabels": {"app": "web"}}, **spec},
    }


@pytest.mark.parametrize(
    ("spec", "pods", "scale", "expected", "desired"),
    [
        pytest.param({"minAvailable": 2}, 3, 0, 3, 2, id="a number of what is there"),
        pytest.param({"minAvailable": "50%"}, 3, 5, 5, 3, id="a share of what is wanted, up"),
        pytest.param({"maxUnavailable": 1}, 3, 5, 5, 4, id="all but one of what is wanted"),
        pytest.param({"maxUnavailable": "30%"}, 5, 5, 5, 3, id="a share may go, rounded up"),
        pytest.param({"maxUnavailable": 9}, 3, 3, 3, 0, id="all may go"),
        pytest.param({}, 3, 0, 3, 0, id="nothing asked for"),
    ],
)
def test_a_budget_asks_for_so_many_healthy_pods(
    spec: Object, pods: int, scale: int, expected: int, desired: int
) -> None:
    found = plan.demand(budget(**spec), pods=pods, scale=scale)
    assert (found.expected, found.desired_healthy) == (expected, desired)


def facts(name: str, *, ready: bool = True, deleting: bool = False) -> PodFacts:
    obj = pod(name)
    value = "True" if ready else "False"
    obj["status"] = {"phase": "Running", "conditions": [{"type": "Ready", "status": value}]}
    if deleting:
        obj["metadata"]["deletionTimestamp"] = "1970-01-01T00:00:00Z"
    return pod_facts(encode(obj, resource="pods", revision=1))


def test_evicted_pods_are_awaited_for_two_minutes() -> None:
    noted = {"a": "1970-01-01T00:00:00Z", "b": "1970-01-01T00:01:00Z", "gone": "x"}
    pods = [facts("a"), facts("b"), facts("c"), facts("d", deleting=True), facts("e", ready=False)]
    found = plan.disrupted({**budget(), "status": {"disruptedPods": noted}}, pods, now_s=150.0)
    assert found.awaited == {"b": "1970-01-01T00:01:00Z"}
    assert [one.name for one in found.overdue] == ["a"]
    assert found.look_again_s == 30.0
    assert plan.healthy(pods, found.awaited) == 2


def test_a_budget_without_pods_allows_nothing() -> None:
    status = plan.status(budget(), plan.Demand(0, 0), 0, {}, now_s=0.0)
    assert status["disruptionsAllowed"] == 0
    assert status["conditions"][0]["reason"] == "InsufficientPods"


def the_status(lab: Lab) -> Object:
    (found,) = lab.all(POD_DISRUPTION_BUDGETS)
    status: Object = found.get("status") or {}
    return status


def told(lab: Lab) -> Object:
    """The condition DisruptionAllowed."""
    (found,) = the_status(lab).get("conditions") or [{}]
    condition: Object = found
    return condition


def allowed(lab: Lab, count: int) -> bool:
    status = the_status(lab)
    return status.get("disruptionsAllowed") == count and status.get("observedGeneration") == 1


async def evict(lab: Lab, name: str) -> None:
    body = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": name, "namespace": "default"},
    }
    await lab.client.create(PODS, body, subresource="eviction", name=name)


def test_evictions_take_turns_as_the_budget_allows() -> None:
    async def story(lab: Lab) -> None:
        await lab.client.create(POD_DISRUPTION_BUDGETS, budget(maxUnavailable=1))
        await lab.client.create(DEPLOYMENTS, web(replicas=2))
        await lab.until(lambda: lab.is_rolled_out(2))
        await lab.until(lambda: allowed(lab, 1))
        status = the_status(lab)
        assert (status["currentHealthy"], status["desiredHealthy"], status["expectedPods"]) == (
            2, 1, 2,
        )  # fmt: skip
        assert status["conditions"][0]["reason"] == "SufficientPods"
        first, second = [one["metadata"]["name"] for one in lab.all(PODS)]
        await evict(lab, first)
        taken = await lab.client.get(POD_DISRUPTION_BUDGETS, "web", "default")
        assert taken["status"]["disruptionsAllowed"] == 0
        with pytest.raises(ApiError) as refused:
            await evict(lab, second)
        assert refused.value.code == 429
        (cause,) = refused.value.details["causes"]
        assert cause["reason"] == "DisruptionBudget"
        await lab.until(lambda: allowed(lab, 1))
        assert "disruptedPods" not in the_status(lab)
        await evict(lab, second)
        await lab.until(lambda: allowed(lab, 1) and lab.is_rolled_out(2))
        names = {one["metadata"]["name"] for one in lab.all(PODS)}
        assert not names & {first, second}

    lived(story)


def test_a_budget_for_pods_whose_owners_have_no_scale_allows_nothing() -> None:
    async def story(lab: Lab) -> None:
        await lab.client.create(POD_DISRUPTION_BUDGETS, budget(maxUnavailable=1))
        owner = await lab.client.create(CRON_JOBS, {
            "apiVersion": "batch/v1", "kind": "CronJob",
            "metadata": {"name": "never", "namespace": "default"},
            "spec": {
                "schedule": "0 0 1 1 *",
                "jobTemplate": {"spec": {"template": {"spec": {
                    "containers": [{"name": "c", "image": "c"}], "restartPolicy": "Never",
                }}}},
            },
        })  # fmt: skip
        owned = pod("p", app="web")
        owned["metadata"]["namespace"] = "default"
        owned["metadata"]["ownerReferences"] = [{
            "apiVersion": "batch/v1", "kind": "CronJob", "name": "never", "controller": True,
            "uid": owner["metadata"]["uid"],
        }]  # fmt: skip
        await lab.client.create(PODS, owned)
        await lab.until(lambda: told(lab).get("reason") == "SyncFailed")
        assert told(lab)["message"] == "cronjobs.batch does not implement the scale subresource"

    lived(story)
