"""Garbage collection, the end of namespaces, and quotas, on virtual time."""

import pytest

from ekslab.kube.api.errors import ApiError
from ekslab.kube.api.well_known import (
    CONFIG_MAPS,
    DEPLOYMENTS,
    NAMESPACES,
    PODS,
    REPLICA_SETS,
    REPLICATION_CONTROLLERS,
    RESOURCE_QUOTAS,
    SECRETS,
    SERVICES,
)
from tests.conformance.api import Object
from tests.conformance.objects import config_map, controller, pod, service, workload
from tests.conformance.running import Running, lived, owner_of

conformance = pytest.mark.conformance


# Garbage collection


@conformance("gc-deployment-background")
@lived()
async def test_in_the_background_a_deployment_takes_all_it_made_along(lab: Running) -> None:
    await lab.create(DEPLOYMENTS, workload("web", replicas=2))
    await lab.until(lambda: lab.ready() == 2)
    await lab.delete(DEPLOYMENTS, "web", propagation="Background")
    assert lab.find(DEPLOYMENTS, "web") is None
    await lab.until(lambda: lab.names(REPLICA_SETS) == lab.names(PODS) == [])


@conformance("gc-deployment-orphan")
@lived()
async def test_orphans_of_a_deployment_stay_without_owner(lab: Running) -> None:
    await lab.create(DEPLOYMENTS, workload("web", replicas=2))
    await lab.until(lambda: lab.ready() == 2)
    pods = lab.names(PODS)
    await lab.delete(DEPLOYMENTS, "web", propagation="Orphan")
    await lab.until(lambda: lab.find(DEPLOYMENTS, "web") is None)
    await lab.sleep(60)
    (left,) = lab.all(REPLICA_SETS)
    assert owner_of(left) == ""
    assert "ownerReferences" not in left["metadata"]
    assert lab.names(PODS) == pods


@conformance("gc-cycle")
@lived()
async def test_a_ring_of_owners_goes_when_one_of_it_is_deleted(lab: Running) -> None:
    made = {}
    for name in ("pod1", "pod2", "pod3"):
        made[name] = await lab.create(PODS, pod(name))
    for name, owner in (("pod1", "pod3"), ("pod2", "pod1"), ("pod3", "pod2")):
        uid = made[owner]["metadata"]["uid"]
        reference = {"apiVersion": "v1", "kind": "Pod", "name": owner, "uid": uid}
        more = {"controller": True, "blockOwnerDeletion": True}
        await lab.patch(PODS, name, {"metadata": {"ownerReferences": [{**reference, **more}]}})
    await lab.until(lambda: lab.ready() == 3)
    await lab.delete(PODS, "pod1")
    await lab.until(lambda: lab.names(PODS) == [])


@conformance("gc-rc-background")
@lived()
async def test_in_the_background_the_pods_of_a_controller_follow_it(lab: Running) -> None:
    await lab.create(REPLICATION_CONTROLLERS, controller("web", replicas=2))
    await lab.until(lambda: lab.ready() == 2)
    await lab.delete(REPLICATION_CONTROLLERS, "web", propagation="Background")
    assert lab.find(REPLICATION_CONTROLLERS, "web") is None
    await lab.until(lambda: lab.names(PODS) == [])


@conformance("gc-rc-foreground")
@lived()
async def test_in_the_foreground_a_controller_waits_for_its_last_pod(lab: Running) -> None:
    await lab.create(REPLICATION_CONTROLLERS, controller("web", replicas=10))
    await lab.until(lambda: lab.ready() == 10)
    await lab.delete(REPLICATION_CONTROLLERS, "web", propagation="Foreground")
    found = lab.one(REPLICATION_CONTROLLERS, "web")["metadata"]
    assert "deletionTimestamp" in found
    assert found["finalizers"] == ["foregroundDeletion"]
    while lab.names(PODS):
        assert lab.find(REPLICATION_CONTROLLERS, "web") is not None
        await lab.sleep(0.05)
    await lab.until(lambda: lab.find(REPLICATION_CONTROLLERS, "web") is None)


@conformance("gc-rc-orphan")
@lived()
async def test_orphans_of_a_controller_stay_without_owner(lab: Running) -> None:
    await lab.create(REPLICATION_CONTROLLERS, controller("web", replicas=10))
    await lab.until(lambda: lab.ready() == 10)
    pods = lab.names(PODS)
    await lab.delete(REPLICATION_CONTROLLERS, "web", propagation="Orphan")
    await lab.until(lambda: lab.find(REPLICATION_CONTROLLERS, "web") is None)
    await lab.sleep(60)
    assert lab.names(PODS) == pods
    assert {owner_of(one) for one in lab.all(PODS)} == {""}


@conformance("gc-multi-owner")
@lived()
async def test_a_pod_with_another_owner_outlives_the_first(lab: Running) -> None:
    await lab.create(REPLICATION_CONTROLLERS, controller("going", replicas=10))
    stays = await lab.create(REPLICATION_CONTROLLERS, controller("staying", replicas=0))
    await lab.until(lambda: lab.ready() == 10)
    shared = lab.names(PODS)[:5]
    second = {"apiVersion": "v1", "kind": "ReplicationController", "name": "staying"}
    for name in shared:
        owners = lab.one(PODS, name)["metadata"]["ownerReferences"]
        both = [*owners, {**second, "uid": stays["metadata"]["uid"]}]
        await lab.patch(PODS, name, {"metadata": {"ownerReferences": both}})
    await lab.delete(REPLICATION_CONTROLLERS, "going", propagation="Foreground")
    await lab.until(lambda: lab.find(REPLICATION_CONTROLLERS, "going") is None)
    await lab.sleep(60)
    assert lab.names(PODS) == shared
    assert not any("deletionTimestamp" in one["metadata"] for one in lab.all(PODS))


# The end of a namespace


@conformance("namespace-delete-pods")
@lived()
async def test_pods_go_before_their_namespace(lab: Running) -> None:
    await lab.create_namespace("short")
    await lab.create(PODS, pod("web"), namespace="short")
    await lab.until(lambda: lab.one(PODS, "web", namespace="short")["status"].get("podIP"))
    await lab.delete(NAMESPACES, "short", namespace="")
    assert lab.one(NAMESPACES, "short", namespace="")["status"]["phase"] == "Terminating"
    await lab.until(lambda: lab.names(PODS, "short") == [])
    await lab.until(lambda: lab.find(NAMESPACES, "short", namespace="") is None)
    await lab.create_namespace("short")
    assert lab.names(PODS, "short") == []


@conformance("namespace-delete-services")
@lived()
async def test_services_go_with_their_namespace(lab: Running) -> None:
    await lab.create_namespace("short")
    await lab.create(SERVICES, service("web"), namespace="short")
    await lab.delete(NAMESPACES, "short", namespace="")
    await lab.until(lambda: lab.find(NAMESPACES, "short", namespace="") is None)
    await lab.create_namespace("short")
    assert lab.names(SERVICES, "short") == []


# Quotas


async def make_quota(lab: Running, name: str, hard: Object, **spec: object) -> None:
    """Make a quota, and wait until it is counted."""
    await lab.create(RESOURCE_QUOTAS, {"metadata": {"name": name}, "spec": {"hard": hard, **spec}})
    await lab.until(lambda: status(lab, name).get("hard") == hard)


def status(lab: Running, name: str) -> Object:
    found: Object = lab.one(RESOURCE_QUOTAS, name).get("status", {})
    return found


def used(lab: Running, name: str = "quota") -> Object:
    found: Object = status(lab, name).get("used", {})
    return found


async def refusal(lab: Running, body: Object) -> ApiError:
    """How the creation of a pod is refused."""
    with pytest.raises(ApiError) as refused:
        await lab.create(PODS, body)
    return refused.value


def asking(name: str, requests: Object, limits: Object | None = None, **spec: object) -> Object:
    """A pod that asks for resources."""
    body = pod(name, **spec)
    asked = {"requests": requests, "limits": limits or {}}
    body["spec"]["containers"][0]["resources"] = asked
    return body


@conformance("quota-prompt-status")
@lived(nodes=0)
async def test_a_quota_is_counted_at_once(lab: Running) -> None:
    before = lab.clock.now()
    await make_quota(lab, "quota", {"resourcequotas": "1", "pods": "5"})
    assert used(lab) == {"resourcequotas": "1", "pods": "0"}
    assert lab.clock.now() - before < 10


@conformance("quota-status")
@lived(nodes=0)
async def test_the_status_of_a_quota_is_written_and_brought_back(lab: Running) -> None:
    hard = {"cpu": "500m", "memory": "500Mi"}
    await make_quota(lab, "quota", hard)
    for verb, other in ((lab.put, {"cpu": "1"}), (lab.patch, {"cpu": "2", "memory": "1Gi"})):
        await verb(RESOURCE_QUOTAS, "quota", {"status": {"hard": other}}, "status")
        read = await lab.client.get(RESOURCE_QUOTAS, "quota", "default", subresource="status")
        assert read["status"]["hard"] == {**hard, **other}
        assert read["spec"]["hard"] == hard
        await lab.until(lambda: status(lab, "quota")["hard"] == hard)


@conformance("quota-pod")
@lived(nodes=0)
async def test_what_pods_ask_for_counts_until_they_are_gone(lab: Running) -> None:
    hard = {
        "pods": "5",
        "cpu": "1",
        "memory": "500Mi",
        "requests.ephemeral-storage": "50Gi",
        "requests.example.com/dongle": "3",
    }
    await make_quota(lab, "quota", hard)
    assert set(used(lab).values()) == {"0"}
    requests = {"cpu": "500m", "memory": "252Mi", "ephemeral-storage": "30Gi"}
    dongles = {"example.com/dongle": "2"}
    await lab.create(PODS, asking("one", {**requests, **dongles}, dongles))
    await lab.until(lambda: used(lab)["pods"] == "1")
    counted = {
        "pods": "1",
        "cpu": "500m",
        "memory": "252Mi",
        "requests.ephemeral-storage": "30Gi",
        "requests.example.com/dongle": "2",
    }
    assert used(lab) == counted
    for body in (
        asking("two", {"cpu": "600m", "memory": "100Mi"}),
        asking("two", {"cpu": "100m", "memory": "100Mi", **dongles}, dongles),
    ):
        error = await refusal(lab, body)
        assert (error.code, error.reason) == (403, "Forbidden")
        assert "exceeded quota: quota" in error.message
    more = {"name": "main", "image": "nginx:1", "resources": {"requests": {"cpu": "100m"}}}
    with pytest.raises(ApiError):
        await lab.patch(PODS, "one", {"spec": {"containers": [more]}})
    assert used(lab) == counted
    await lab.delete(PODS, "one", grace_period_s=0)
    await lab.until(lambda: used(lab)["pods"] == "0")
    assert set(used(lab).values()) == {"0"}


@pytest.mark.parametrize(
    ("counted", "resource", "body"),
    [
        pytest.param(
            "configmaps", CONFIG_MAPS, config_map("one"), marks=conformance("quota-configmap")
        ),
        pytest.param(
            "secrets",
            SECRETS,
            {"metadata": {"name": "one"}, "data": {}},
            marks=conformance("quota-secret"),
        ),
        pytest.param(
            "count/replicasets.apps",
            REPLICA_SETS,
            workload("one", replicas=0),
            marks=conformance("quota-replicaset"),
        ),
        pytest.param(
            "replicationcontrollers",
            REPLICATION_CONTROLLERS,
            controller("one", replicas=0),
            marks=conformance("quota-rc"),
        ),
    ],
)
@lived(nodes=0)
async def test_objects_are_counted_while_they_live(
    lab: Running, counted: str, resource, body: Object
) -> None:
    await lab.until(lambda: lab.find(CONFIG_MAPS, "kube-root-ca.crt"))
    before = len(lab.all(resource))
    await make_quota(lab, "quota", {counted: "10"})
    await lab.until(lambda: used(lab).get(counted) == str(before))
    await lab.create(resource, body)
    await lab.until(lambda: used(lab)[counted] == str(before + 1))
    await lab.delete(resource, "one", propagation="Background")
    await lab.until(lambda: used(lab)[counted] == str(before))


@conformance("quota-service")
@lived(nodes=0)
async def test_services_are_counted_by_their_type(lab: Running) -> None:
    hard = {"services": "10", "services.nodeports": "1", "services.loadbalancers": "1"}
    await lab.create_namespace("counted")
    body = {"metadata": {"name": "quota"}, "spec": {"hard": hard}}
    await lab.create(RESOURCE_QUOTAS, body, namespace="counted")

    def found() -> Object:
        quota = lab.one(RESOURCE_QUOTAS, "quota", namespace="counted")
        counts: Object = quota.get("status", {}).get("used", {})
        return counts

    def is_used(services: int, node_ports: int, balancers: int) -> bool:
        counts = map(str, (services, node_ports, balancers))
        return found() == dict(zip(hard, counts, strict=True))

    await lab.until(lambda: is_used(0, 0, 0))
    await lab.create(SERVICES, service("plain"), namespace="counted")
    await lab.create(SERVICES, service("port", type="NodePort"), namespace="counted")
    await lab.until(lambda: is_used(2, 1, 0))
    with pytest.raises(ApiError) as refused:
        await lab.create(SERVICES, service("more", type="NodePort"), namespace="counted")
    assert "exceeded quota: quota" in refused.value.message
    balancer = service("balancer", type="LoadBalancer", allocateLoadBalancerNodePorts=False)
    await lab.create(SERVICES, balancer, namespace="counted")
    await lab.until(lambda: is_used(3, 1, 1))
    for name in ("plain", "port", "balancer"):
        await lab.delete(SERVICES, name, namespace="counted")
    await lab.until(lambda: is_used(0, 0, 0))


@conformance("quota-scope-besteffort")
@lived(nodes=0)
async def test_a_pod_counts_in_the_scope_of_its_quality(lab: Running) -> None:
    await make_quota(lab, "best-effort", {"pods": "5"}, scopes=["BestEffort"])
    await make_quota(lab, "not-best-effort", {"pods": "5"}, scopes=["NotBestEffort"])

    async def counts(best_effort: str, other: str) -> None:
        await lab.until(
            lambda: (
                used(lab, "best-effort")["pods"] == best_effort
                and used(lab, "not-best-effort")["pods"] == other
            )
        )

    await lab.create(PODS, pod("careless"))
    await counts("1", "0")
    await lab.delete(PODS, "careless", grace_period_s=0)
    await counts("0", "0")
    await lab.create(PODS, asking("careful", {"cpu": "500m"}, {"cpu": "1"}))
    await counts("0", "1")
    await lab.delete(PODS, "careful", grace_period_s=0)
    await counts("0", "0")


@conformance("quota-scope-terminating")
@lived(nodes=0)
async def test_a_pod_with_a_deadline_counts_as_terminating(lab: Running) -> None:
    hard = {"pods": "5", "requests.cpu": "1", "limits.memory": "1Gi"}
    await make_quota(lab, "ending", hard, scopes=["Terminating"])
    await make_quota(lab, "lasting", hard, scopes=["NotTerminating"])
    nothing = {"pods": "0", "requests.cpu": "0", "limits.memory": "0"}
    counted = {"pods": "1", "requests.cpu": "500m", "limits.memory": "400Mi"}

    async def counts(ending: Object, lasting: Object) -> None:
        await lab.until(lambda: (used(lab, "ending"), used(lab, "lasting")) == (ending, lasting))

    sizes = {"cpu": "500m", "memory": "200Mi"}, {"cpu": "1", "memory": "400Mi"}
    await lab.create(PODS, asking("lasting", *sizes))
    await counts(nothing, counted)
    await lab.delete(PODS, "lasting", grace_period_s=0)
    await counts(nothing, nothing)
    await lab.create(PODS, asking("ending", *sizes, activeDeadlineSeconds=3600))
    await counts(counted, nothing)
    await lab.delete(PODS, "ending", grace_period_s=0)
    await counts(nothing, nothing)
