"""What controllers of deployments, replica sets, daemon sets and budgets do, on virtual time."""

import pytest

from ekslab.kube.api.errors import ApiError
from ekslab.kube.api.well_known import (
    CONTROLLER_REVISIONS,
    DAEMON_SETS,
    DEPLOYMENTS,
    EVENTS,
    NODES,
    POD_DISRUPTION_BUDGETS,
    PODS,
    REPLICA_SETS,
    REPLICATION_CONTROLLERS,
    RESOURCE_QUOTAS,
)
from tests.conformance.api import Object
from tests.conformance.objects import UNREADY, controller, new_image, pod, workload
from tests.conformance.running import Running, condition, image_of, is_ready, lived, owner_of

conformance = pytest.mark.conformance

REVISION = "deployment.kubernetes.io/revision"


# Deployments


def rolled_out(lab: Running, name: str, replicas: int) -> bool:
    """Whether a Deployment has as many pods as it wants, all new and available."""
    found = lab.one(DEPLOYMENTS, name)
    status = found.get("status", {})
    keys = ("replicas", "updatedReplicas", "availableReplicas")
    seen = status.get("observedGeneration") == found["metadata"]["generation"]
    return seen and {status.get(key, 0) for key in keys} == {replicas}


@conformance("deployment-lifecycle")
@lived()
async def test_a_deployment_lives(lab: Running) -> None:
    made = await lab.create(DEPLOYMENTS, workload("web", replicas=2))
    seen = await lab.follow(DEPLOYMENTS, made)
    await lab.until(lambda: lab.one(DEPLOYMENTS, "web").get("status", {}).get("readyReplicas") == 2)
    await lab.patch(DEPLOYMENTS, "web", {"metadata": {"labels": {"patched": "yes"}}})
    await lab.patch(DEPLOYMENTS, "web", new_image("nginx:2"))
    await lab.until(lambda: {image_of(one) for one in lab.all(PODS)} == {"nginx:2"})
    await lab.until(lambda: rolled_out(lab, "web", 2))
    await lab.patch(DEPLOYMENTS, "web", {"spec": {"replicas": 3}}, "scale")
    await lab.until(lambda: rolled_out(lab, "web", 3))
    shown = {"type": "Shown", "status": "True", "reason": "Patched", "message": "here"}
    await lab.patch(DEPLOYMENTS, "web", {"status": {"conditions": [shown]}}, "status")
    status = await lab.client.get(DEPLOYMENTS, "web", "default", subresource="status")
    assert condition(status, "Shown")["reason"] == "Patched"
    await lab.delete(DEPLOYMENTS, "web")
    steps = (
        lambda obj: obj.get("status", {}).get("readyReplicas") == 2,
        lambda obj: obj["metadata"]["labels"].get("patched") == "yes",
        lambda obj: image_of(obj) == "nginx:2",
        lambda obj: obj["spec"]["replicas"] == 3,
        lambda obj: condition(obj, "Shown"),
    )
    told = await seen.until_deleted()
    for step in steps:
        assert any(kind == "MODIFIED" and step(obj) for kind, obj in told)


@conformance("deployment-scale")
@lived()
async def test_the_scale_of_a_deployment_changes_its_pods(lab: Running) -> None:
    await lab.create(DEPLOYMENTS, workload("web", replicas=1))
    await lab.until(lambda: rolled_out(lab, "web", 1))
    scale = await lab.client.get(DEPLOYMENTS, "web", "default", subresource="scale")
    assert scale["spec"]["replicas"] == scale["status"]["replicas"] == 1
    await lab.put(DEPLOYMENTS, "web", {"spec": {"replicas": 2}}, "scale")
    assert lab.one(DEPLOYMENTS, "web")["spec"]["replicas"] == 2
    await lab.until(lambda: lab.ready() == 2)
    await lab.patch(DEPLOYMENTS, "web", {"spec": {"replicas": 4}}, "scale")
    assert lab.one(DEPLOYMENTS, "web")["spec"]["replicas"] == 4
    await lab.until(lambda: lab.ready() == 4)


@conformance("deployment-recreate")
@lived()
async def test_recreate_starts_no_new_pod_before_the_old_are_gone(lab: Running) -> None:
    await lab.create(DEPLOYMENTS, workload("web", replicas=3, strategy={"type": "Recreate"}))
    await lab.until(lambda: rolled_out(lab, "web", 3))
    await lab.patch(DEPLOYMENTS, "web", new_image("nginx:2"))
    await lab.until(lambda: "nginx:2" in seen_together(lab))
    await lab.until(lambda: seen_together(lab) and rolled_out(lab, "web", 3))


def seen_together(lab: Running) -> set[str]:
    """The images of all pods, which are never of two kinds."""
    images = {image_of(one) for one in lab.all(PODS)}
    assert len(images) <= 1
    return images


@conformance("deployment-rolling-update")
@lived()
async def test_a_rolling_update_adopts_the_old_and_scales_it_down(lab: Running) -> None:
    await lab.create(REPLICA_SETS, workload("old", replicas=2) | {})
    await lab.until(lambda: lab.ready() == 2)
    found = lab.one(REPLICA_SETS, "old")
    body = workload("old", replicas=2)
    body["metadata"]["name"] = "web"
    body["spec"]["template"]["spec"]["containers"][0]["image"] = "nginx:2"
    made = await lab.create(DEPLOYMENTS, body)
    await lab.until(lambda: rolled_out(lab, "web", 2))
    await lab.until(lambda: len(lab.all(PODS)) == 2)
    old = lab.one(REPLICA_SETS, "old")
    assert old["metadata"]["uid"] == found["metadata"]["uid"]
    assert owner_of(old) == made["metadata"]["uid"]
    assert old["spec"]["replicas"] == 0
    (new,) = (one for one in lab.all(REPLICA_SETS) if one["metadata"]["name"] != "old")
    assert int(new["metadata"]["annotations"][REVISION]) > int(
        old["metadata"]["annotations"].get(REVISION, "0")
    )


@conformance("deployment-history-limit")
@lived()
async def test_with_a_limit_of_0_no_old_replica_set_stays(lab: Running) -> None:
    await lab.create(DEPLOYMENTS, workload("web", replicas=1, revisionHistoryLimit=0))
    await lab.until(lambda: rolled_out(lab, "web", 1))
    (old,) = lab.names(REPLICA_SETS)
    await lab.patch(DEPLOYMENTS, "web", new_image("nginx:2"))
    await lab.until(lambda: lab.find(REPLICA_SETS, old) is None)
    await lab.until(lambda: rolled_out(lab, "web", 1))
    assert len(lab.names(REPLICA_SETS)) == 1


@conformance("deployment-proportional")
@lived(nodes=3)
async def test_scaling_a_stuck_rollout_is_shared_in_proportion(lab: Running) -> None:
    rolling = {"maxSurge": 3, "maxUnavailable": 2}
    strategy = {"type": "RollingUpdate", "rollingUpdate": rolling}
    await lab.create(DEPLOYMENTS, workload("web", replicas=10, strategy=strategy))
    await lab.until(lambda: rolled_out(lab, "web", 10))
    (old,) = lab.names(REPLICA_SETS)
    await lab.patch(DEPLOYMENTS, "web", new_image("nginx:404", **UNREADY))

    def sizes() -> tuple[int, int]:
        sets = {one["metadata"]["name"]: one["spec"]["replicas"] for one in lab.all(REPLICA_SETS)}
        return sets.pop(old), sum(sets.values())

    await lab.until(lambda: sizes() == (8, 5))
    await lab.patch(DEPLOYMENTS, "web", {"spec": {"replicas": 30}})
    # 30 and a surge of 3 make 33: of the 20 more, 12 go to the 8 old ones, 8 to the 5 new.
    await lab.until(lambda: sizes() == (20, 13))


@conformance("deployment-rollover")
@lived()
async def test_another_change_rolls_over_a_rollout_under_way(lab: Running) -> None:
    await lab.create(DEPLOYMENTS, workload("web", replicas=2))
    await lab.until(lambda: rolled_out(lab, "web", 2))
    await lab.patch(DEPLOYMENTS, "web", new_image("nginx:404", **UNREADY))
    await lab.until(lambda: len(lab.names(REPLICA_SETS)) == 2)
    await lab.patch(DEPLOYMENTS, "web", new_image("nginx:3", **dict.fromkeys(UNREADY)))
    await lab.until(lambda: len(lab.names(REPLICA_SETS)) == 3)
    await lab.until(lambda: rolled_out(lab, "web", 2))
    sizes = {image_of(one): one["spec"]["replicas"] for one in lab.all(REPLICA_SETS)}
    assert sizes == {"nginx:1": 0, "nginx:404": 0, "nginx:3": 2}


# Replica sets


@conformance("replicaset-scale")
@lived()
async def test_the_scale_of_a_replica_set_changes_its_spec(lab: Running) -> None:
    await lab.create(REPLICA_SETS, workload("web", replicas=1))
    await lab.until(lambda: lab.ready() == 1)
    scale = await lab.client.get(REPLICA_SETS, "web", "default", subresource="scale")
    assert scale["spec"]["replicas"] == 1
    await lab.put(REPLICA_SETS, "web", {"spec": {"replicas": 2}}, "scale")
    assert lab.one(REPLICA_SETS, "web")["spec"]["replicas"] == 2
    await lab.patch(REPLICA_SETS, "web", {"spec": {"replicas": 4}}, "scale")
    assert lab.one(REPLICA_SETS, "web")["spec"]["replicas"] == 4


@conformance("replicaset-replace-patch")
@lived()
async def test_a_replica_set_is_scaled_and_patched(lab: Running) -> None:
    await lab.create(REPLICA_SETS, workload("web", replicas=1))
    await lab.until(lambda: lab.ready() == 1)
    await lab.put(REPLICA_SETS, "web", {"spec": {"replicas": 2}})
    await lab.until(lambda: lab.one(REPLICA_SETS, "web")["status"].get("availableReplicas") == 2)
    change = new_image("nginx:2") | {"metadata": {"labels": {"patched": "yes"}}}
    change["spec"]["replicas"] = 3
    await lab.patch(REPLICA_SETS, "web", change)
    found = lab.one(REPLICA_SETS, "web")
    assert (found["spec"]["replicas"], image_of(found)) == (3, "nginx:2")
    assert found["metadata"]["labels"]["patched"] == "yes"
    await lab.until(lambda: lab.ready() == 3)


@conformance("replicaset-adopt-release")
@lived()
async def test_a_replica_set_adopts_what_fits_and_releases_what_does_not(lab: Running) -> None:
    await lab.create(PODS, pod("loose", labels={"app": "web"}))
    made = await lab.create(REPLICA_SETS, workload("web", replicas=1))
    uid = made["metadata"]["uid"]
    await lab.until(lambda: owner_of(lab.one(PODS, "loose")) == uid)
    assert lab.names(PODS) == ["loose"]
    await lab.patch(PODS, "loose", {"metadata": {"labels": {"app": "other"}}})
    await lab.until(lambda: owner_of(lab.one(PODS, "loose")) == "")
    await lab.until(lambda: len(lab.names(PODS, app="web")) == 1)


# Replication controllers


@conformance("rc-adopt")
@lived()
async def test_a_controller_adopts_a_loose_pod(lab: Running) -> None:
    await lab.create(PODS, pod("loose", labels={"app": "web"}))
    made = await lab.create(REPLICATION_CONTROLLERS, controller("web", replicas=1))
    await lab.until(lambda: owner_of(lab.one(PODS, "loose")) == made["metadata"]["uid"])
    assert lab.names(PODS) == ["loose"]


@conformance("rc-release")
@lived()
async def test_a_controller_releases_a_pod_of_another_label(lab: Running) -> None:
    await lab.create(REPLICATION_CONTROLLERS, controller("web", replicas=1))
    await lab.until(lambda: lab.ready() == 1)
    (name,) = lab.names(PODS)
    await lab.patch(PODS, name, {"metadata": {"labels": {"app": "other"}}})
    await lab.until(lambda: owner_of(lab.one(PODS, name)) == "")
    await lab.until(lambda: len(lab.names(PODS, app="web")) == 1)


@conformance("rc-quota-failure")
@lived()
async def test_a_controller_says_that_a_quota_stops_it(lab: Running) -> None:
    quota = {"metadata": {"name": "quota"}, "spec": {"hard": {"pods": "2"}}}
    await lab.create(RESOURCE_QUOTAS, quota)
    await lab.until(lambda: lab.one(RESOURCE_QUOTAS, "quota").get("status", {}).get("used"))
    await lab.create(REPLICATION_CONTROLLERS, controller("web", replicas=3))

    def failure() -> Object:
        return condition(lab.one(REPLICATION_CONTROLLERS, "web"), "ReplicaFailure")

    await lab.until(failure)
    assert failure()["reason"] == "FailedCreate"
    assert "exceeded quota: quota" in failure()["message"]
    await lab.patch(REPLICATION_CONTROLLERS, "web", {"spec": {"replicas": 2}})
    await lab.until(lambda: not failure())


@conformance("rc-lifecycle")
@lived()
async def test_a_controller_lives(lab: Running) -> None:
    made = await lab.create(REPLICATION_CONTROLLERS, controller("web", replicas=1))
    seen = await lab.follow(REPLICATION_CONTROLLERS, made)
    await lab.until(lambda: lab.ready() == 1)
    await lab.patch(REPLICATION_CONTROLLERS, "web", {"metadata": {"labels": {"patched": "yes"}}})
    page = await lab.client.list(REPLICATION_CONTROLLERS, label_selector="patched=yes")
    assert [item.name for item in page.items] == ["web"]
    shown = {"type": "Shown", "status": "True", "reason": "Patched", "message": "here"}
    body = {"status": {"conditions": [shown]}}
    await lab.patch(REPLICATION_CONTROLLERS, "web", body, "status")
    read = await lab.client.get(REPLICATION_CONTROLLERS, "web", "default", subresource="status")
    assert condition(read, "Shown")["reason"] == "Patched"
    await lab.patch(REPLICATION_CONTROLLERS, "web", {"spec": {"replicas": 2}}, "scale")
    await lab.until(lambda: lab.ready() == 2)
    await lab.put(REPLICATION_CONTROLLERS, "web", {"metadata": {"annotations": {"put": "yes"}}})
    await lab.client.delete_collection(
        REPLICATION_CONTROLLERS, "default", label_selector="patched=yes"
    )
    steps = (
        lambda obj: obj["metadata"]["labels"].get("patched") == "yes",
        lambda obj: condition(obj, "Shown"),
        lambda obj: obj["spec"]["replicas"] == 2,
        lambda obj: obj.get("status", {}).get("readyReplicas") == 2,
        lambda obj: obj["metadata"].get("annotations", {}).get("put") == "yes",
    )
    told = await seen.until_deleted()
    for step in steps:
        assert any(kind == "MODIFIED" and step(obj) for kind, obj in told)


# Daemon sets


def pod_nodes(lab: Running, **labels: str) -> list[str]:
    """The nodes that live pods with these labels are on."""
    pods = [one for one in lab.all(PODS, **labels) if "deletionTimestamp" not in one["metadata"]]
    return sorted(one["spec"].get("nodeName", "") for one in pods)


@conformance("daemonset-simple")
@lived(nodes=3)
async def test_every_node_has_a_daemon_and_gets_a_lost_one_back(lab: Running) -> None:
    await lab.create(DAEMON_SETS, workload("agent"))
    await lab.until(lambda: lab.ready() == 3)
    assert pod_nodes(lab) == lab.names(NODES, "")
    lost = lab.names(PODS)[0]
    await lab.delete(PODS, lost)
    await lab.until(lambda: lab.find(PODS, lost) is None and lab.ready() == 3)
    assert pod_nodes(lab) == lab.names(NODES, "")


@conformance("daemonset-node-selector")
@lived(nodes=2)
async def test_daemons_follow_the_labels_of_nodes(lab: Running) -> None:
    first, second = lab.names(NODES, "")
    body = workload("agent")
    body["spec"]["template"]["spec"]["nodeSelector"] = {"color": "blue"}
    await lab.create(DAEMON_SETS, body)
    await lab.sleep(30)
    assert pod_nodes(lab) == []
    await lab.patch(NODES, first, {"metadata": {"labels": {"color": "blue"}}}, namespace="")
    await lab.until(lambda: lab.ready() == 1)
    assert pod_nodes(lab) == [first]
    await lab.patch(NODES, first, {"metadata": {"labels": {"color": "green"}}}, namespace="")
    await lab.until(lambda: lab.names(PODS) == [])
    green = {"spec": {"template": {"spec": {"nodeSelector": {"color": "green"}}}}}
    await lab.patch(DAEMON_SETS, "agent", green)
    await lab.until(lambda: lab.ready() == 1)
    assert pod_nodes(lab) == [first] != [second]


@conformance("daemonset-retry-failed")
@lived(nodes=2)
async def test_a_failed_daemon_is_replaced_on_its_node(lab: Running) -> None:
    await lab.create(DAEMON_SETS, workload("agent"))
    await lab.until(lambda: lab.ready() == 2)
    failed = lab.all(PODS)[0]
    name = failed["metadata"]["name"]
    await lab.patch(PODS, name, {"status": {"phase": "Failed"}}, "status")
    await lab.until(lambda: lab.find(PODS, name) is None and lab.ready() == 2)
    assert pod_nodes(lab) == lab.names(NODES, "")


@conformance("daemonset-rolling-update")
@lived(nodes=3)
async def test_a_changed_daemon_is_replaced_on_every_node(lab: Running) -> None:
    await lab.create(DAEMON_SETS, workload("agent"))
    await lab.until(lambda: lab.ready() == 3)
    (before,) = {one["metadata"]["labels"]["controller-revision-hash"] for one in lab.all(PODS)}
    await lab.patch(DAEMON_SETS, "agent", new_image("nginx:2"))
    await lab.until(lambda: {image_of(one) for one in lab.all(PODS)} == {"nginx:2"})
    await lab.until(lambda: lab.ready() == 3)
    (after,) = {one["metadata"]["labels"]["controller-revision-hash"] for one in lab.all(PODS)}
    assert after != before
    hashes = {one["metadata"]["labels"]["controller-revision-hash"]
              for one in lab.all(CONTROLLER_REVISIONS)}  # fmt: skip
    assert hashes == {before, after}
    assert pod_nodes(lab) == lab.names(NODES, "")


@conformance("daemonset-rollback")
@lived(nodes=3)
async def test_rolling_back_leaves_healthy_daemons_alone(lab: Running) -> None:
    await lab.create(DAEMON_SETS, workload("agent"))
    await lab.until(lambda: lab.ready() == 3)
    uids = {one["metadata"]["uid"] for one in lab.all(PODS)}
    broken = {"simulated.ekslab.dev/failure": "image-pull"}
    await lab.patch(DAEMON_SETS, "agent", new_image("foo:non-existent", **broken))
    await lab.until(lambda: "foo:non-existent" in {image_of(one) for one in lab.all(PODS)})
    await lab.sleep(60)
    healthy = {one["metadata"]["uid"] for one in lab.all(PODS) if is_ready(one)}
    assert len(healthy) == 2
    assert healthy < uids
    await lab.patch(DAEMON_SETS, "agent", new_image("nginx:1", **dict.fromkeys(broken)))
    await lab.until(lambda: lab.ready() == 3)
    assert healthy < {one["metadata"]["uid"] for one in lab.all(PODS)}


@conformance("controllerrevision-lifecycle")
@lived(nodes=1)
async def test_revisions_of_a_daemon_set_live(lab: Running) -> None:
    await lab.create(DAEMON_SETS, workload("agent"))
    await lab.until(lambda: lab.ready() == 1)
    (first,) = lab.all(CONTROLLER_REVISIONS, app="agent")
    await lab.patch(CONTROLLER_REVISIONS, name_of(first), {"metadata": {"labels": {"a": "b"}}})
    assert lab.names(CONTROLLER_REVISIONS, a="b") == [name_of(first)]
    by_hand = {"metadata": {"name": "by-hand", "labels": {"app": "agent"}},
               "data": first["data"], "revision": first["revision"] + 1}  # fmt: skip
    owner = {**first["metadata"]["ownerReferences"][0]}
    by_hand["metadata"]["ownerReferences"] = [owner]
    await lab.create(CONTROLLER_REVISIONS, by_hand)
    assert len(lab.all(CONTROLLER_REVISIONS, app="agent")) == 2
    await lab.delete(CONTROLLER_REVISIONS, name_of(first))
    assert lab.names(CONTROLLER_REVISIONS, app="agent") == ["by-hand"]
    await lab.put(CONTROLLER_REVISIONS, "by-hand", {"metadata": {"labels": {"c": "d"}}})
    assert lab.one(CONTROLLER_REVISIONS, "by-hand")["metadata"]["labels"]["c"] == "d"
    await lab.patch(DAEMON_SETS, "agent", new_image("nginx:2"))
    await lab.until(lambda: len(lab.all(CONTROLLER_REVISIONS, app="agent")) == 2)
    await lab.client.delete_collection(CONTROLLER_REVISIONS, "default", label_selector="c=d")
    (left,) = lab.all(CONTROLLER_REVISIONS, app="agent")
    assert left["revision"] == 3


def name_of(obj: Object) -> str:
    return str(obj["metadata"]["name"])


# Disruption budgets


@conformance("pdb-status-observed")
@lived()
async def test_a_budget_of_healthy_pods_allows_disruptions(lab: Running) -> None:
    await lab.create(REPLICA_SETS, workload("web", replicas=3))
    await lab.until(lambda: lab.ready() == 3)
    spec = {"selector": {"matchLabels": {"app": "web"}}, "minAvailable": 1}
    body = {"metadata": {"name": "web"}, "spec": spec}
    await lab.create(POD_DISRUPTION_BUDGETS, body)
    await lab.until(lambda: allowed(lab, "web") == 2)
    status = lab.one(POD_DISRUPTION_BUDGETS, "web")["status"]
    assert (status["currentHealthy"], status["desiredHealthy"], status["expectedPods"]) == (3, 1, 3)
    assert status["observedGeneration"] == 1


def allowed(lab: Running, name: str) -> int:
    status = lab.one(POD_DISRUPTION_BUDGETS, name).get("status", {})
    return int(status.get("disruptionsAllowed", 0))


@conformance("pdb-block-eviction")
@lived()
async def test_a_budget_blocks_evictions_until_it_allows_them(lab: Running) -> None:
    await lab.create(REPLICA_SETS, workload("web", replicas=2))
    await lab.until(lambda: lab.ready() == 2)
    spec = {"selector": {"matchLabels": {"app": "web"}}, "minAvailable": 2}
    await lab.create(POD_DISRUPTION_BUDGETS, {"metadata": {"name": "web"}, "spec": spec})
    await lab.until(lambda: lab.one(POD_DISRUPTION_BUDGETS, "web").get("status"))
    name = lab.names(PODS)[0]
    eviction = {"metadata": {"name": name, "namespace": "default"}}
    eviction |= {"apiVersion": "policy/v1", "kind": "Eviction"}
    with pytest.raises(ApiError) as refused:
        await lab.client.create(PODS, dict(eviction), subresource="eviction", name=name)
    assert (refused.value.code, refused.value.reason) == (429, "TooManyRequests")
    assert "deletionTimestamp" not in lab.one(PODS, name)["metadata"]
    await lab.put(POD_DISRUPTION_BUDGETS, "web", {"spec": {"minAvailable": 1}})
    await lab.until(lambda: allowed(lab, "web") == 1)
    await lab.client.create(PODS, dict(eviction), subresource="eviction", name=name)
    assert "deletionTimestamp" in lab.one(PODS, name)["metadata"]
    assert not [one for one in lab.all(EVENTS) if one["type"] == "Warning"]
