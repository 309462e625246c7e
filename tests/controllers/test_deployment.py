from collections.abc import Sequence
from typing import Any

import pytest

from ekslab.kube.api.requests import Object
from ekslab.kube.api.well_known import DEPLOYMENTS, PODS, REPLICA_SETS
from ekslab.kube.controllers.deployment.controller import DeploymentController
from ekslab.kube.controllers.deployment.plan import plan
from ekslab.kube.controllers.deployment.view import (
    fence_posts,
    template_hash,
    view_deployment,
    view_set,
)
from ekslab.kube.controllers.replica_set.controller import ReplicaSetController
from ekslab.kube.runtime.controller import Controller
from tests.controllers.world import World, deployment, lived, sizes, template


def controllers(world: World) -> Sequence[Controller[Any]]:
    return [
        DeploymentController(world.tools("deployment-controller"), world.pods),
        ReplicaSetController(world.tools("replicaset-controller"), world.pods),
    ]


@pytest.mark.parametrize(
    ("surge", "unavailable", "replicas", "expected"),
    [
        pytest.param("25%", "25%", 6, (2, 1), id="surge rounds up, unavailable down"),
        pytest.param(0, 0, 5, (0, 1), id="both zero: one may be missing"),
        pytest.param("0%", "10%", 5, (0, 1), id="both round to zero"),
        pytest.param(3, 2, 10, (3, 2), id="plain numbers"),
    ],
)
def test_surge_and_unavailability_are_pods(
    surge: int | str, unavailable: int | str, replicas: int, expected: tuple[int, int]
) -> None:
    assert fence_posts(surge, unavailable, replicas) == expected


def test_the_template_hash_is_short_safe_and_ignores_itself() -> None:
    one = template_hash(template(), 0)
    hashed = template(app="web", **{"pod-template-hash": one})
    assert template_hash(hashed, 0) == one
    assert template_hash(template(), 1) != one
    assert template_hash(template("other"), 0) != one
    assert set(one) <= set("bcdfghjklmnpqrstvwxz2456789")
    assert len(one) <= 10


def sets_of(*rows: tuple[str, int, int]) -> list[Object]:
    """Sets as (image, replicas, available), oldest first."""
    return [
        {
            "metadata": {
                "name": f"web-{number}", "namespace": "ns", "uid": f"u{number}",
                "creationTimestamp": f"2026-01-01T00:00:0{number}Z",
                "annotations": {
                    "deployment.kubernetes.io/revision": str(number + 1),
                    "deployment.kubernetes.io/desired-replicas": "10",
                    "deployment.kubernetes.io/max-replicas": "13",
                },
            },
            "spec": {"replicas": replicas, "template": template(image)},
            "status": {"replicas": replicas, "availableReplicas": available},
        }
        for number, (image, replicas, available) in enumerate(rows)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("rows", "wanted", "after"),
    [
        pytest.param([("old", 10, 10)], 10, [8], id="a new set is made; the old may lose 2"),
        pytest.param(
            [("old", 8, 8), ("new", 5, 0)], 10, [8, 5], id="nothing moves while none is available"
        ),
        pytest.param(
            [("old", 8, 8), ("new", 5, 3)], 10, [5, 5], id="each available one lets one go"
        ),
        pytest.param([("old", 5, 5), ("new", 5, 5)], 10, [5, 8], id="room above is used first"),
        pytest.param([("old", 8, 5), ("new", 5, 0)], 10, [8, 5], id="unhealthy ones wait too"),
        pytest.param([("old", 10, 6), ("new", 3, 0)], 10, [8, 3], id="unhealthy ones go first"),
        pytest.param([("old", 0, 0), ("new", 10, 10)], 10, [0, 10], id="done"),
        pytest.param([("old", 10, 10), ("new", 10, 10)], 10, [0, 10], id="the new ones suffice"),
    ],
)
def test_a_rolling_step(rows: list[tuple[str, int, int]], wanted: int, after: list[int]) -> None:
    obj = deployment(replicas=wanted, image="new")
    step = plan(
        view_deployment(obj),
        [view_set(one) for one in sets_of(*rows)],
        owner_reference={},
        old_pods_run=False,
    )
    by_name = {one.name: one.replicas for one in step.sets}
    assert [by_name[f"web-{number}"] for number in range(len(rows))] == after


@pytest.mark.parametrize(
    ("rows", "wanted", "after"),
    [
        pytest.param([("old", 8, 8), ("new", 5, 5)], 20, [15, 10], id="up"),
        pytest.param([("old", 8, 8), ("new", 5, 5)], 5, [4, 3], id="down"),
        pytest.param([("old", 8, 8), ("new", 5, 5)], 0, [0, 0], id="to nothing"),
        pytest.param([("new", 10, 10)], 3, [3], id="one set takes it all"),
        pytest.param(
            [("old", 3, 3), ("new", 10, 10)], 10, [0, 10], id="a full one ends the others"
        ),
    ],
)
def test_scaling_in_the_middle_of_a_rollout_keeps_proportions(
    rows: list[tuple[str, int, int]], wanted: int, after: list[int]
) -> None:
    obj = deployment(replicas=wanted, image="new", paused=True)
    step = plan(
        view_deployment(obj),
        [view_set(one) for one in sets_of(*rows)],
        owner_reference={},
        old_pods_run=False,
    )
    by_name = {one.name: one.replicas for one in step.sets}
    assert [by_name[f"web-{number}"] for number in range(len(rows))] == after


def test_a_new_deployment_becomes_available() -> None:
    async def story(world: World) -> None:
        await world.client.create(DEPLOYMENTS, deployment(replicas=6))
        await world.pass_s(10)
        found = world.the(DEPLOYMENTS, "web")
        status = {key: value for key, value in found["status"].items() if key != "conditions"}
        assert status == {
            "observedGeneration": 1, "replicas": 6, "updatedReplicas": 6,
            "readyReplicas": 6, "availableReplicas": 6,
        }  # fmt: skip
        assert world.conditions(DEPLOYMENTS, "web") == {
            "Available": "True MinimumReplicasAvailable",
            "Progressing": "True NewReplicaSetAvailable",
        }
        assert found["metadata"]["annotations"] == {"deployment.kubernetes.io/revision": "1"}
        (one,) = world.all(REPLICA_SETS)
        suffix = one["metadata"]["labels"]["pod-template-hash"]
        name = one["metadata"]["name"]
        assert name == f"web-{suffix}"
        assert one["spec"]["selector"]["matchLabels"] == {
            "app": "web", "pod-template-hash": suffix,
        }  # fmt: skip
        assert one["metadata"]["annotations"] == {
            "deployment.kubernetes.io/revision": "1",
            "deployment.kubernetes.io/desired-replicas": "6",
            "deployment.kubernetes.io/max-replicas": "8",
        }
        assert world.said("web") == [
            ("ScalingReplicaSet", f"Scaled up replica set {name} from 0 to 6")
        ]
        messages = {entry["type"]: entry["message"] for entry in found["status"]["conditions"]}
        assert messages == {
            "Available": "Deployment has minimum availability.",
            "Progressing": f'ReplicaSet "{name}" has successfully progressed.',
        }

    lived(controllers, story)


def test_an_update_rolls_within_its_bounds_and_going_back_reuses_the_old_set() -> None:
    async def story(world: World) -> None:
        await world.client.create(DEPLOYMENTS, deployment(replicas=6))
        await world.pass_s(10)

        def use(image: str) -> Any:
            return lambda obj: obj["spec"]["template"]["spec"]["containers"][0].update(image=image)

        await world.change(DEPLOYMENTS, "web", use("other"))
        most, least = 0, 6
        for _ in range(200):
            await world.pass_s(0.1)
            most = max(most, sum(sizes(world).values()))
            ready = [
                pod for pod in world.all(PODS)
                if pod["status"].get("conditions") and "deletionTimestamp" not in pod["metadata"]
            ]  # fmt: skip
            least = min(least, len(ready))
        assert (most, least) == (8, 5)
        assert sizes(world) == {"1": 0, "2": 6}
        await world.change(DEPLOYMENTS, "web", use("nginx"))
        await world.pass_s(20)
        assert sizes(world) == {"2": 0, "3": 6}
        back = next(one for one in world.all(REPLICA_SETS) if one["spec"]["replicas"])
        annotations = back["metadata"]["annotations"]
        assert annotations["deployment.kubernetes.io/revision-history"] == "1"
        revision = world.the(DEPLOYMENTS, "web")["metadata"]["annotations"]
        assert revision["deployment.kubernetes.io/revision"] == "3"

    lived(controllers, story)


def test_recreate_ends_the_old_pods_before_new_ones_start() -> None:
    async def story(world: World) -> None:
        await world.client.create(DEPLOYMENTS, deployment(strategy={"type": "Recreate"}))
        await world.pass_s(10)
        await world.change(
            DEPLOYMENTS, "web",
            lambda obj: obj["spec"]["template"]["spec"]["containers"][0].update(image="other"),
        )  # fmt: skip
        images = set()
        for _ in range(100):
            await world.pass_s(0.1)
            found = {pod["spec"]["containers"][0]["image"] for pod in world.all(PODS)}
            assert len(found) <= 1
            images |= found
        assert images == {"nginx", "other"}
        assert world.the(DEPLOYMENTS, "web")["status"]["availableReplicas"] == 3

    lived(controllers, story)


def test_a_rollout_that_does_not_move_times_out() -> None:
    async def story(world: World) -> None:
        obj = deployment(image="broken", progressDeadlineSeconds=60)
        await world.client.create(DEPLOYMENTS, obj)
        await world.pass_s(30)
        assert world.conditions(DEPLOYMENTS, "web")["Progressing"].startswith("True")
        await world.pass_s(60)
        assert world.conditions(DEPLOYMENTS, "web") == {
            "Available": "False MinimumReplicasUnavailable",
            "Progressing": "False ProgressDeadlineExceeded",
        }

    lived(controllers, story)


def test_a_paused_deployment_does_not_roll_but_scales() -> None:
    async def story(world: World) -> None:
        await world.client.create(DEPLOYMENTS, deployment())
        await world.pass_s(10)

        def pause(obj: Object) -> None:
            obj["spec"]["paused"] = True
            obj["spec"]["replicas"] = 5
            obj["spec"]["template"]["spec"]["containers"][0]["image"] = "other"

        await world.change(DEPLOYMENTS, "web", pause)
        await world.pass_s(10)
        assert sizes(world) == {"1": 5}
        assert world.conditions(DEPLOYMENTS, "web")["Progressing"] == "Unknown DeploymentPaused"
        await world.change(DEPLOYMENTS, "web", lambda obj: obj["spec"].update(paused=False))
        await world.pass_s(20)
        assert sizes(world) == {"1": 0, "2": 5}

    lived(controllers, story)


def test_history_beyond_the_limit_is_forgotten() -> None:
    async def story(world: World) -> None:
        await world.client.create(DEPLOYMENTS, deployment(replicas=1, revisionHistoryLimit=1))
        for image in "abc":
            await world.pass_s(20)
            await world.change(
                DEPLOYMENTS, "web",
                lambda obj, image=image: obj["spec"]["template"]["spec"]["containers"][0].update(
                    image=image
                ),
            )  # fmt: skip
        await world.pass_s(20)
        assert sizes(world) == {"3": 0, "4": 1}

    lived(controllers, story)


def test_a_name_that_is_taken_makes_another_hash() -> None:
    async def story(world: World) -> None:
        taken = template_hash(template(), 0)
        foreign = {
            "apiVersion": "apps/v1", "kind": "ReplicaSet",
            "metadata": {"name": f"web-{taken}", "namespace": "ns", "labels": {"app": "x"}},
            "spec": {
                "replicas": 0,
                "selector": {"matchLabels": {"app": "x"}},
                "template": template("else", app="x"),
            },
        }  # fmt: skip
        await world.client.create(REPLICA_SETS, foreign)
        await world.client.create(DEPLOYMENTS, deployment())
        await world.pass_s(10)
        status = world.the(DEPLOYMENTS, "web")["status"]
        assert (status["collisionCount"], status["availableReplicas"]) == (1, 3)

    lived(controllers, story)
