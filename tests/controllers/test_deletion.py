"""What happens when things are deleted: namespaces, owners, nodes."""

from collections.abc import Sequence
from typing import Any

import pytest

from ekslab.kube.api.requests import Object
from ekslab.kube.api.resources import Resource, ResourceInfo
from ekslab.kube.api.well_known import (
    CONFIG_MAPS,
    DEPLOYMENTS,
    NAMESPACES,
    PODS,
    REPLICA_SETS,
)
from ekslab.kube.controllers.deployment.controller import DeploymentController
from ekslab.kube.controllers.garbage_collector.controller import GarbageCollector
from ekslab.kube.controllers.garbage_collector.plan import Delete, DropOwners, Standing, decide
from ekslab.kube.controllers.namespace.controller import NamespaceController
from ekslab.kube.controllers.pod_gc.controller import PodGarbageCollector
from ekslab.kube.controllers.replica_set.controller import ReplicaSetController
from ekslab.kube.runtime.controller import Controller
from tests.controllers.world import World, deployment, lived, pod

_VERBS = (
    "create", "delete", "deletecollection", "get", "list", "patch", "update", "watch",
)  # fmt: skip


def info(resource: Resource, kind: str, *, namespaced: bool = True) -> ResourceInfo:
    return ResourceInfo(
        resource=resource, kind=kind, list_kind=kind + "List", singular=kind.lower(),
        namespaced=namespaced, verbs=_VERBS, type_name=kind,
    )  # fmt: skip


RESOURCES = [
    info(CONFIG_MAPS, "ConfigMap"),
    info(PODS, "Pod"),
    info(REPLICA_SETS, "ReplicaSet"),
    info(DEPLOYMENTS, "Deployment"),
    info(NAMESPACES, "Namespace", namespaced=False),
]


def controllers(world: World) -> Sequence[Controller[Any]]:
    return [
        GarbageCollector(world.tools("generic-garbage-collector"), lambda: RESOURCES),
        NamespaceController(world.tools("namespace-controller"), lambda: RESOURCES),
        DeploymentController(world.tools("deployment-controller"), world.pods),
        ReplicaSetController(world.tools("replicaset-controller"), world.pods),
        PodGarbageCollector(world.tools("pod-garbage-collector"), world.pods),
    ]


def config_map(name: str, *owners: Object, **meta: Any) -> Object:
    return {
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": "ns", "ownerReferences": list(owners), **meta},
    }  # fmt: skip


def owned_by(owner: Object, **more: Any) -> Object:
    meta = owner["metadata"]
    return {
        "apiVersion": owner["apiVersion"], "kind": owner["kind"],
        "name": meta["name"], "uid": meta["uid"], **more,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("standings", "finalizers", "action"),
    [
        pytest.param([Standing.SOLID], [], None, id="its owner is there"),
        pytest.param([Standing.DANGLING], [], Delete("Background"), id="its owner is gone"),
        pytest.param(
            [Standing.SOLID, Standing.DANGLING],
            [],
            DropOwners(({"uid": "0"},)),
            id="one of two is gone",
        ),
        pytest.param([Standing.WAITING], [], Delete("Foreground"), id="its owner waits for it"),
        pytest.param(
            [Standing.DANGLING], ["orphan"], Delete("Orphan"), id="its own policy is kept"
        ),
    ],
)
def test_what_becomes_of_a_dependent(
    standings: list[Standing], finalizers: list[str], action: object
) -> None:
    owners = [{"uid": str(number)} for number in range(len(standings))]
    obj = {"metadata": {"ownerReferences": owners, "finalizers": finalizers}}
    standing = {str(number): one for number, one in enumerate(standings)}
    assert decide(obj, standing, has_dependents=True) == action


def test_deleting_a_deployment_takes_its_sets_and_pods_along() -> None:
    async def story(world: World) -> None:
        await world.client.create(DEPLOYMENTS, deployment())
        await world.pass_s(10)
        assert len(world.all(PODS)) == 3
        await world.client.delete(DEPLOYMENTS, "web", "ns", propagation="Background")
        await world.pass_s(10)
        assert world.all(REPLICA_SETS) == []
        assert world.all(PODS) == []

    lived(controllers, story)


def test_foreground_deletion_ends_the_owner_last() -> None:
    async def story(world: World) -> None:
        await world.client.create(DEPLOYMENTS, deployment())
        await world.pass_s(10)
        await world.client.delete(DEPLOYMENTS, "web", "ns", propagation="Foreground")
        await world.pass_s(0.5)
        assert world.get(DEPLOYMENTS, "web") is not None
        await world.pass_s(10)
        assert world.all(PODS) == []
        assert world.all(REPLICA_SETS) == []
        assert world.get(DEPLOYMENTS, "web") is None

    lived(controllers, story)


def test_orphaning_leaves_the_dependents_and_takes_the_reference_away() -> None:
    async def story(world: World) -> None:
        owner = await world.client.create(CONFIG_MAPS, config_map("owner"))
        await world.client.create(CONFIG_MAPS, config_map("child", owned_by(owner)))
        await world.pass_s(1)
        await world.client.delete(CONFIG_MAPS, "owner", "ns", propagation="Orphan")
        await world.pass_s(1)
        assert world.get(CONFIG_MAPS, "owner") is None
        assert not world.the(CONFIG_MAPS, "child")["metadata"].get("ownerReferences")

    lived(controllers, story)


def test_a_new_object_of_the_same_name_is_another_owner() -> None:
    async def story(world: World) -> None:
        owner = await world.client.create(CONFIG_MAPS, config_map("owner"))
        wrong = owned_by(owner) | {"uid": "somebody-else"}
        await world.client.create(CONFIG_MAPS, config_map("child", wrong))
        await world.client.create(CONFIG_MAPS, config_map("mixed", wrong, owned_by(owner)))
        await world.pass_s(1)
        assert world.get(CONFIG_MAPS, "child") is None
        left = world.the(CONFIG_MAPS, "mixed")["metadata"]["ownerReferences"]
        assert [one["uid"] for one in left] == [owner["metadata"]["uid"]]

    lived(controllers, story)


def test_a_namespace_goes_when_all_that_is_in_it_has_gone() -> None:
    async def story(world: World) -> None:
        await world.client.create(NAMESPACES, {
            "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "ns"},
            "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"},
        })  # fmt: skip
        held = config_map("held", finalizers=["example.com/hold"])
        await world.client.create(CONFIG_MAPS, held)
        await world.client.create(PODS, pod("p", app="x"))
        await world.pass_s(5)
        await world.client.delete(NAMESPACES, "ns")
        await world.pass_s(10)
        found = world.the(NAMESPACES, "ns", "")
        assert found["status"]["phase"] == "Terminating"
        told = {entry["type"]: entry for entry in found["status"]["conditions"]}
        assert told["NamespaceContentRemaining"]["message"] == (
            "Some resources are remaining: configmaps. has 1 resource instances"
        )
        assert told["NamespaceFinalizersRemaining"]["message"] == (
            "Some content in the namespace has finalizers remaining:"
            " example.com/hold in 1 resource instances"
        )
        assert told["NamespaceDeletionDiscoveryFailure"]["status"] == "False"
        assert world.all(PODS) == []
        await world.change(CONFIG_MAPS, "held", lambda obj: obj["metadata"].update(finalizers=[]))
        await world.pass_s(10)
        assert world.get(NAMESPACES, "ns", "") is None

    lived(controllers, story)


def test_pods_of_a_node_that_is_gone_are_swept_after_their_quarantine() -> None:
    async def story(world: World) -> None:
        await world.client.create(PODS, pod("p", node="gone", app="x"))
        await world.pass_s(30)
        assert world.get(PODS, "p") is not None
        await world.pass_s(40)
        assert world.get(PODS, "p") is None

    lived(controllers, story)
