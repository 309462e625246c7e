"""ResourceQuotas: what objects use, how it is counted, and that nobody gets more."""

import asyncio
from typing import Any

import pytest

from ekslab.kube.api import quota
from ekslab.kube.api.errors import ApiError
from ekslab.kube.api.requests import Object
from ekslab.kube.api.well_known import CONFIG_MAPS, DEPLOYMENTS, PODS, RESOURCE_QUOTAS, SERVICES
from ekslab.kube.controllers.resource_quota import plan
from tests.controllers.test_in_cluster import Lab, lived, web


def box(name: str = "main", *, requests: Object | None = None, limits: Object | None = None) -> Any:
    return {
        "name": name,
        "image": "nginx",
        "resources": {"requests": requests or {}, "limits": limits or {}},
    }


def pod(*boxes: Object, name: str = "p", **spec: Any) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"containers": list(boxes) or [box()], **spec},
    }


def told(usage: quota.Usage) -> dict[str, str]:
    return {name: str(amount) for name, amount in usage.items()}


@pytest.mark.parametrize(
    ("qualified", "obj", "expected"),
    [
        pytest.param(
            "pods",
            pod(box(requests={"cpu": "250m", "memory": "64Mi"}, limits={"memory": "1Gi"}),
                box("b", requests={"cpu": "1"})),
            {"count/pods": "1", "pods": "1", "cpu": "1250m", "requests.cpu": "1250m",
             "memory": "64Mi", "requests.memory": "64Mi", "limits.memory": "1Gi"},
            id="a pod is the sum of its containers",
        ),
        pytest.param(
            "pods", {**pod(box(requests={"cpu": "1"})), "status": {"phase": "Succeeded"}},
            {"count/pods": "1"}, id="a pod that has ended is only a name",
        ),
        pytest.param(
            "services", {"spec": {"type": "LoadBalancer", "ports": [{}, {}]}},
            {"count/services": "1", "services": "1", "services.loadbalancers": "1",
             "services.nodeports": "2"},
            id="a load balancer has node ports",
        ),
        pytest.param(
            "persistentvolumeclaims",
            {"metadata": {}, "spec": {"storageClassName": "gp3",
                                      "resources": {"requests": {"storage": "8Gi"}}}},
            {"count/persistentvolumeclaims": "1", "persistentvolumeclaims": "1",
             "requests.storage": "8Gi", "gp3.storageclass.storage.k8s.io/requests.storage": "8Gi",
             "gp3.storageclass.storage.k8s.io/persistentvolumeclaims": "1"},
            id="a claim counts for its class too",
        ),
        pytest.param("deployments.apps", {}, {"count/deployments.apps": "1"}, id="anything else"),
    ],
)  # fmt: skip
def test_an_object_uses_what_upstream_counts(
    qualified: str, obj: Object, expected: dict[str, str]
) -> None:
    assert told(quota.usage(qualified, obj)) == expected


@pytest.mark.parametrize(
    ("scope", "obj", "expected"),
    [
        pytest.param("BestEffort", pod(), True, id="asks for nothing"),
        pytest.param("BestEffort", pod(box(requests={"cpu": "1"})), False, id="asks for something"),
        pytest.param("Terminating", pod(activeDeadlineSeconds=5), True, id="has a deadline"),
        pytest.param("NotTerminating", pod(), True, id="has none"),
        pytest.param("PriorityClass", pod(priorityClassName="high"), True, id="has a class"),
    ],
)
def test_a_scope_picks_pods(scope: str, obj: Object, *, expected: bool) -> None:
    assert quota.covers({"spec": {"scopes": [scope]}}, "pods", obj) is expected


def test_the_status_counts_only_what_is_asked_for() -> None:
    wish = {"pods": "5", "requests.cpu": "2", "count/secrets": "9"}
    things = {"pods": [pod(box(requests={"cpu": "500m"})), pod()], "secrets": []}
    assert plan.status({"spec": {"hard": wish}}, things) == {
        "hard": wish,
        "used": {"count/secrets": "0", "pods": "2", "requests.cpu": "500m"},
    }


async def give(lab: Lab, **hard: str) -> None:
    """Make a quota, and wait until it is in force; `__` stands for `.` in names."""
    await lab.client.create(RESOURCE_QUOTAS, {
        "apiVersion": "v1", "kind": "ResourceQuota",
        "metadata": {"name": "q", "namespace": "default"},
        "spec": {"hard": {name.replace("__", "."): text for name, text in hard.items()}},
    })  # fmt: skip
    await lab.until(lambda: used(lab))


def used(lab: Lab) -> dict[str, str]:
    (found,) = lab.all(RESOURCE_QUOTAS)
    counted: dict[str, str] = (found.get("status") or {}).get("used") or {}
    return counted


async def refusal(lab: Lab, obj: Object) -> str:
    with pytest.raises(ApiError) as refused:
        await lab.client.create(PODS, obj)
    assert refused.value.code == 403
    return refused.value.message


def test_of_many_at_once_no_more_come_in_than_the_quota_allows() -> None:
    async def story(lab: Lab) -> None:
        await give(lab, pods="3", configmaps="9")
        counted = int(used(lab)["configmaps"])
        wanted = [lab.client.create(PODS, pod(name=f"p{number}")) for number in range(10)]
        results = await asyncio.gather(*wanted, return_exceptions=True)
        refused = [str(one) for one in results if isinstance(one, ApiError)]
        assert len(refused) == 7
        assert used(lab) == {"configmaps": str(counted), "pods": "3"}
        assert await refusal(lab, pod(name="one-more")) == (
            'pods "one-more" is forbidden: exceeded quota: q, requested: pods=1, used: pods=3,'
            " limited: pods=3"
        )
        await lab.client.delete(PODS, lab.all(PODS)[0]["metadata"]["name"], "default")
        await lab.until(lambda: used(lab)["pods"] == "2")
        await lab.client.create(PODS, pod(name="one-more"))

    lived(story)


def test_a_pod_says_what_it_needs_where_that_is_counted() -> None:
    async def story(lab: Lab) -> None:
        await give(lab, limits__cpu="2", requests__memory="1Gi")
        silent = pod(box("a"), box("b", limits={"cpu": "1"}, requests={"memory": "1Mi"}))
        assert await refusal(lab, silent) == (
            'pods "p" is forbidden: failed quota: q: must specify limits.cpu for: a;'
            " requests.memory for: a"
        )
        big = pod(box(limits={"cpu": "3"}, requests={"memory": "2Gi"}))
        assert "exceeded quota: q, requested: limits.cpu=3,requests.memory=2Gi, used:" in (
            await refusal(lab, big)
        )

    lived(story)


def test_what_failed_after_it_was_counted_is_counted_anew() -> None:
    async def story(lab: Lab) -> None:
        await give(lab, services="5", **{"count/configmaps": "100"})
        before = used(lab)
        config_map = {
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "kube-root-ca.crt", "namespace": "default"},
        }  # fmt: skip
        with pytest.raises(ApiError):
            await lab.client.create(CONFIG_MAPS, config_map)
        await lab.clock.sleep(2)
        assert used(lab) == before
        await lab.client.create(SERVICES, {
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": "s", "namespace": "default"}, "spec": {"ports": [{"port": 80}]},
        })  # fmt: skip
        assert int(used(lab)["services"]) == int(before["services"]) + 1

    lived(story)


def test_a_deployment_gets_as_far_as_its_quota_and_on_when_that_grows() -> None:
    async def story(lab: Lab) -> None:
        await give(lab, pods="2")
        await lab.client.create(DEPLOYMENTS, web(replicas=4))
        await lab.until(lambda: len(lab.all(PODS)) == 2)
        await lab.clock.sleep(2)
        assert len(lab.all(PODS)) == 2
        patch = {"spec": {"hard": {"pods": "10"}}}
        await lab.client.patch(RESOURCE_QUOTAS, "q", "default", patch=patch)
        # Its back-off has doubled with each refusal, as upstream's.
        await lab.until(lambda: lab.is_rolled_out(4), within_s=600)
        await lab.until(lambda: used(lab)["pods"] == "4")

    lived(story)
