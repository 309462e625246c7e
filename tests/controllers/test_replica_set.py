from collections.abc import Sequence
from typing import Any

import pytest

from ekslab.kit.bug import Bug
from ekslab.kube.api import errors
from ekslab.kube.api.objects import encode
from ekslab.kube.api.resources import Resource
from ekslab.kube.api.well_known import PODS, REPLICA_SETS
from ekslab.kube.controllers.replica_set.controller import ReplicaSetController
from ekslab.kube.controllers.replica_set.plan import by_deletion, plan
from ekslab.kube.runtime.batches import slow_start
from ekslab.kube.runtime.controller import Controller
from ekslab.kube.runtime.pods import PodFacts
from tests.controllers.world import World, lived, pod, pods_of, replica_set


def controllers(world: World) -> Sequence[Controller[Any]]:
    return [ReplicaSetController(world.tools("replicaset-controller"), world.pods)]


def facts(name: str, **more: Any) -> PodFacts:
    obj = pod(name)
    obj["metadata"]["uid"] = f"uid-{name}"
    if "cost" in more:
        cost = {"controller.kubernetes.io/pod-deletion-cost": more.pop("cost")}
        obj["metadata"]["annotations"] = cost
    known: dict[str, Any] = {
        "owner_uid": "o", "owner_kind": "ReplicaSet", "owner_name": "set", "phase": "Running",
        "node_name": "n1", "created_s": 100.0, "is_deleting": False, "is_ready": True,
        "ready_since_s": 100.0, "restarts": 0,
    }  # fmt: skip
    return PodFacts(item=encode(obj, resource="pods", revision=1), **(known | more))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param({"node_name": ""}, {}, id="unbound before bound"),
        pytest.param({"phase": "Pending"}, {}, id="pending before running"),
        pytest.param({"is_ready": False}, {}, id="not ready before ready"),
        pytest.param({"cost": "-5"}, {"cost": "3"}, id="cheap before dear"),
        pytest.param({"node_name": "crowded"}, {}, id="crowded before alone"),
        pytest.param({"ready_since_s": 900.0}, {"ready_since_s": 10.0}, id="newly ready first"),
        pytest.param({"restarts": 4}, {"restarts": 1}, id="often restarted first"),
        pytest.param({"created_s": 990.0}, {"created_s": 10.0}, id="young before old"),
    ],
)
def test_pods_are_lost_in_upstreams_order(first: dict[str, Any], second: dict[str, Any]) -> None:
    a, b = facts("a", **first), facts("b", **second)
    related = [a, b, facts("x", node_name="crowded"), facts("y", node_name="crowded")]
    for order in ([a, b], [b, a]):
        assert [one.name for one in by_deletion(order, related, now_s=1000.0)] == ["a", "b"]


@pytest.mark.parametrize(
    ("wanted", "there", "create", "delete"),
    [
        pytest.param(3, 3, 0, 0, id="enough"),
        pytest.param(3, 1, 2, 0, id="too few"),
        pytest.param(1, 3, 0, 2, id="too many"),
        pytest.param(0, 2, 0, 2, id="none wanted"),
        pytest.param(2000, 0, 500, 0, id="a burst is bounded"),
    ],
)
def test_the_gap_is_closed(wanted: int, there: int, create: int, delete: int) -> None:
    pods = [facts(f"p{number}") for number in range(there)]
    decided = plan(wanted, pods, pods, now_s=1000.0)
    assert (decided.create, len(decided.delete)) == (create, delete)


async def test_creation_starts_slowly_and_stops_at_the_first_batch_with_an_error() -> None:
    calls = 0

    async def refused_from_the_fourth() -> None:
        nonlocal calls
        calls += 1
        if calls >= 4:
            raise errors.forbidden("", "pods", "", "exceeded quota")

    outcome = await slow_start(100, refused_from_the_fourth)
    assert (outcome.succeeded, outcome.failed, outcome.skipped) == (3, 4, 93)
    assert calls == 7


async def test_a_mistake_of_ours_is_not_taken_for_a_refusal() -> None:
    async def mistaken() -> None:
        raise Bug("no")

    with pytest.raises(Bug):
        await slow_start(1, mistaken)


def test_a_set_gets_its_pods_status_and_events() -> None:
    async def story(world: World) -> None:
        await world.client.create(REPLICA_SETS, replica_set())
        await world.pass_s(5)
        status = world.the(REPLICA_SETS, "set")["status"]
        assert status == {
            "replicas": 3, "readyReplicas": 3, "availableReplicas": 3,
            "fullyLabeledReplicas": 3, "observedGeneration": 1,
        }  # fmt: skip
        one = world.all(PODS)[0]
        assert one["metadata"]["name"].startswith("set-")
        owner = one["metadata"]["ownerReferences"][0]
        assert (owner["kind"], owner["controller"], owner["blockOwnerDeletion"]) == (
            "ReplicaSet", True, True,
        )  # fmt: skip
        names = pods_of(world, "set")
        assert sorted(world.said("set")) == sorted(
            ("SuccessfulCreate", f"Created pod: {name}") for name in names
        )

    lived(controllers, story)


def test_exactly_as_many_pods_are_made_as_asked_for_even_in_bursts() -> None:
    async def story(world: World) -> None:
        await world.client.create(REPLICA_SETS, replica_set(replicas=1200))
        await world.pass_s(30)
        assert len(world.all(PODS)) == 1200
        assert world.the(REPLICA_SETS, "set")["status"]["availableReplicas"] == 1200
        creations = [call for call in world.api.calls if call[1:3] == ("create", "pods")]
        assert len(creations) == 1200
        counts = [call for call in world.api.calls if call[2] == "replicasets.apps/status"]
        assert len(counts) < 30

    lived(controllers, story)


def test_scaling_down_deletes_and_a_lost_pod_is_replaced() -> None:
    async def story(world: World) -> None:
        await world.client.create(REPLICA_SETS, replica_set())
        await world.pass_s(5)
        await world.client.patch(REPLICA_SETS, "set", "ns", patch={"spec": {"replicas": 1}})
        await world.pass_s(5)
        (left,) = pods_of(world, "set")
        assert ("SuccessfulDelete", f"Deleted pod: {left}") not in world.said("set")
        await world.client.delete(PODS, left, "ns")
        await world.pass_s(5)
        (other,) = pods_of(world, "set")
        assert other != left

    lived(controllers, story)


def test_an_orphan_that_matches_is_adopted_and_one_that_no_longer_does_is_released() -> None:
    async def story(world: World) -> None:
        await world.client.create(PODS, pod("stray", app="web"))
        await world.client.create(REPLICA_SETS, replica_set(replicas=2))
        await world.pass_s(5)
        assert "stray" in pods_of(world, "set")
        assert len(pods_of(world, "set")) == 2
        await world.client.patch(PODS, "stray", "ns", patch={"metadata": {"labels": {"app": "x"}}})
        await world.pass_s(5)
        assert "stray" not in pods_of(world, "set")
        assert "ownerReferences" not in world.the(PODS, "stray")["metadata"]
        assert len(pods_of(world, "set")) == 2

    lived(controllers, story)


def test_pods_count_as_available_only_after_min_ready_seconds() -> None:
    async def story(world: World) -> None:
        await world.client.create(REPLICA_SETS, replica_set(minReadySeconds=10))
        await world.pass_s(5)
        status = world.the(REPLICA_SETS, "set")["status"]
        assert (status["readyReplicas"], status.get("availableReplicas")) == (3, None)
        await world.pass_s(10)
        assert world.the(REPLICA_SETS, "set")["status"]["availableReplicas"] == 3

    lived(controllers, story)


def test_a_refused_pod_is_told_in_events_and_condition_and_tried_again() -> None:
    async def story(world: World) -> None:
        def refuse(user: str, verb: str, resource: Resource) -> None:
            if (user, verb, resource) == ("replicaset-controller", "create", PODS):
                raise errors.forbidden("", "pods", "set-", "exceeded quota: q")

        world.api.refuse = refuse
        await world.client.create(REPLICA_SETS, replica_set())
        await world.pass_s(5)
        assert world.conditions(REPLICA_SETS, "set") == {"ReplicaFailure": "True FailedCreate"}
        assert (
            "FailedCreate",
            'Error creating: pods "set-" is forbidden: exceeded quota: q',
        ) in world.said("set")
        world.api.refuse = lambda *_: None
        await world.pass_s(60)
        assert world.conditions(REPLICA_SETS, "set") == {}
        assert len(world.all(PODS)) == 3

    lived(controllers, story)
