"""Controllers against the real API server, scheduler and simulated nodes, on virtual time."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from ekslab.kit.clock import LoopClock, WallClock
from ekslab.kit.rng import Rng
from ekslab.kit.virtual import VirtualLoop
from ekslab.kube.api.requests import Object
from ekslab.kube.api.resources import Resource
from ekslab.kube.api.well_known import (
    CLUSTER_ROLE_BINDINGS,
    DAEMON_SETS,
    DEPLOYMENTS,
    ENDPOINT_SLICES,
    EVENTS,
    NAMESPACES,
    PODS,
    REPLICA_SETS,
    SERVICES,
)
from ekslab.kube.cluster import ADMIN, Cluster, ClusterConfig
from tests.controllers.world import deployment

if TYPE_CHECKING:
    from ekslab.kube.api.ports import Client


class Lab:
    """A cluster with nodes, and its administrator."""

    def __init__(self) -> None:
        self.clock = LoopClock(asyncio.get_running_loop(), epoch_s=1_700_000_000)
        self.cluster = Cluster(
            ClusterConfig(name="test", port=None),
            clock=self.clock,
            wall_clock=WallClock(),
            rng=Rng(1),
        )
        self.client: Client = self.cluster.client(ADMIN)

    def all(self, resource: Resource, namespace: str = "default") -> list[Object]:
        return [item.object for item in self.cluster.lister.list(resource, namespace)]

    async def until(self, what: Callable[[], object], *, within_s: float = 120) -> None:
        for _ in range(int(within_s / 0.25)):
            if what():
                return
            await self.clock.sleep(0.25)
        raise AssertionError("did not come to pass")

    def is_rolled_out(self, replicas: int) -> bool:
        (found,) = self.all(DEPLOYMENTS)
        status = found.get("status", {})
        keys = ("replicas", "updatedReplicas", "availableReplicas")
        return {status.get(key, 0) for key in keys} == {replicas} and (
            status["observedGeneration"] == found["metadata"]["generation"]
        )


def lived(story: Callable[[Lab], Awaitable[None]], *, nodes: int = 3) -> None:
    async def main() -> None:
        lab = Lab()
        await lab.cluster.start()
        await lab.cluster.add_nodes(nodes)
        await story(lab)
        await lab.cluster.stop()

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(main())


def web(**more: Any) -> Object:
    obj = deployment(**more)
    obj["metadata"]["namespace"] = "default"
    return obj


def test_a_deployment_runs_rolls_scales_and_goes_with_all_it_made() -> None:
    async def story(lab: Lab) -> None:
        await lab.client.create(SERVICES, {
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": "web", "namespace": "default"},
            "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]},
        })  # fmt: skip
        await lab.client.create(DEPLOYMENTS, web(replicas=6))
        await lab.until(lambda: lab.is_rolled_out(6))
        (found,) = lab.all(DEPLOYMENTS)
        assert found["metadata"]["generation"] == 1
        assert found["metadata"]["annotations"] == {"deployment.kubernetes.io/revision": "1"}
        await lab.clock.sleep(2)
        (one,) = [
            one for one in lab.all(ENDPOINT_SLICES)
            if one["metadata"]["labels"]["kubernetes.io/service-name"] == "web"
        ]  # fmt: skip
        assert len(one["endpoints"]) == 6
        addresses = {pod["status"]["podIP"] for pod in lab.all(PODS)}
        assert {endpoint["addresses"][0] for endpoint in one["endpoints"]} == addresses
        image = {"name": "main", "image": "nginx:2"}
        await lab.client.patch(
            DEPLOYMENTS, "web", "default",
            patch={"spec": {"template": {"spec": {"containers": [image]}}}},
        )  # fmt: skip
        await lab.until(lambda: lab.is_rolled_out(6))
        revisions = {
            one["metadata"]["annotations"]["deployment.kubernetes.io/revision"]:
            one["spec"]["replicas"] for one in lab.all(REPLICA_SETS)
        }  # fmt: skip
        assert revisions == {"1": 0, "2": 6}
        await lab.client.patch(DEPLOYMENTS, "web", "default", patch={"spec": {"replicas": 2}})
        await lab.until(lambda: lab.is_rolled_out(2) and len(lab.all(PODS)) == 2)
        reasons = [
            (event["reason"], event["source"]["component"]) for event in lab.all(EVENTS)
            if event["involvedObject"]["kind"] in {"Deployment", "ReplicaSet"}
        ]  # fmt: skip
        assert set(reasons) == {
            ("ScalingReplicaSet", "deployment-controller"),
            ("SuccessfulCreate", "replicaset-controller"),
            ("SuccessfulDelete", "replicaset-controller"),
        }
        await lab.client.delete(DEPLOYMENTS, "web", "default", propagation="Background")
        await lab.until(lambda: not lab.all(PODS) and not lab.all(REPLICA_SETS))

    lived(story)


def test_a_daemon_set_covers_all_nodes_and_a_namespace_takes_its_content_along() -> None:
    async def story(lab: Lab) -> None:
        await lab.client.create(
            NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "ns"}}
        )
        await lab.client.create(DAEMON_SETS, {
            "apiVersion": "apps/v1", "kind": "DaemonSet",
            "metadata": {"name": "agent", "namespace": "ns"},
            "spec": {
                "selector": {"matchLabels": {"app": "agent"}},
                "template": {
                    "metadata": {"labels": {"app": "agent"}},
                    "spec": {"containers": [{"name": "a", "image": "agent"}]},
                },
            },
        })  # fmt: skip
        await lab.until(
            lambda: lab.all(DAEMON_SETS, "ns")[0].get("status", {}).get("numberAvailable") == 3
        )
        nodes = {pod["spec"]["nodeName"] for pod in lab.all(PODS, "ns")}
        assert len(nodes) == 3
        await lab.client.delete(NAMESPACES, "ns")
        await lab.until(lambda: lab.cluster.lister.get(NAMESPACES, "ns") is None)
        assert lab.all(PODS, "ns") == []

    lived(story)


def test_a_controller_without_its_binding_is_refused_alone_and_recovers() -> None:
    async def story(lab: Lab) -> None:
        name = "system:controller:replicaset-controller"
        binding = await lab.client.get(CLUSTER_ROLE_BINDINGS, name)
        await lab.client.delete(CLUSTER_ROLE_BINDINGS, name)
        await lab.client.create(DEPLOYMENTS, web())
        await lab.clock.sleep(20)
        assert len(lab.all(REPLICA_SETS)) == 1, "the deployment controller goes on"
        assert lab.all(PODS) == [], "the replica set controller may not"
        meta = {"name": name}
        await lab.client.create(
            CLUSTER_ROLE_BINDINGS,
            {key: value for key, value in binding.items() if key != "metadata"}
            | {"metadata": meta},
        )
        await lab.until(lambda: lab.is_rolled_out(3))

    lived(story)
