from collections.abc import Sequence
from typing import Any

import pytest

from ekslab.kube.api.objects import encode
from ekslab.kube.api.requests import Object
from ekslab.kube.api.well_known import ENDPOINT_SLICES, ENDPOINTS, NODES, PODS, SERVICES
from ekslab.kube.controllers.endpoint_slice.controller import EndpointSliceController
from ekslab.kube.controllers.endpoint_slice.plan import plan
from ekslab.kube.controllers.endpoints.controller import EndpointsController
from ekslab.kube.runtime.controller import Controller
from ekslab.kube.runtime.pods import pod_facts
from tests.controllers.world import World, lived, pod


def controllers(world: World) -> Sequence[Controller[Any]]:
    return [
        EndpointSliceController(world.tools("endpointslice-controller"), world.pods),
        EndpointsController(world.tools("endpoint-controller"), world.pods),
    ]


def service(**spec: Any) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web", "namespace": "ns", "uid": "u", "labels": {"team": "a"}},
        "spec": {
            "selector": {"app": "web"},
            "ports": [{"name": "http", "port": 80, "protocol": "TCP", "targetPort": 8080}],
            "ipFamilies": ["IPv4"],
            "clusterIP": "10.96.0.10",
            **spec,
        },
    }


def slice_of(name: str, pods: Sequence[int], ports: Sequence[Object] | None = None) -> Object:
    return {
        "metadata": {
            "name": name,
            "labels": {
                "team": "a",
                "kubernetes.io/service-name": "web",
                "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
            },
        },
        "addressType": "IPv4",
        "ports": ports or [{"name": "http", "port": 8080, "protocol": "TCP"}],
        "endpoints": [endpoint(number) for number in pods],
    }


def endpoint(number: int) -> Object:
    return {
        "addresses": [f"10.0.{number // 256}.{number % 256}"],
        "conditions": {"ready": True, "serving": True, "terminating": False},
        "targetRef": {
            "kind": "Pod", "namespace": "ns", "name": f"p{number}", "uid": f"uid{number}",
        },
        "nodeName": "n", "zone": "z",
    }  # fmt: skip


def facts(number: int) -> Any:
    obj = pod(f"p{number}", node="n", app="web")
    obj["metadata"]["uid"] = f"uid{number}"
    obj["status"] = {
        "phase": "Running",
        "podIP": f"10.0.{number // 256}.{number % 256}",
        "conditions": [{"type": "Ready", "status": "True"}],
    }
    return pod_facts(encode(obj, resource="pods", revision=1))


@pytest.mark.parametrize(
    ("slices", "pods", "created", "updated", "deleted"),
    [
        pytest.param({}, range(0), [0], {}, [], id="nobody: one empty slice"),
        pytest.param({}, range(3), [3], {}, [], id="some: one slice"),
        pytest.param({}, range(250), [100, 100, 50], {}, [], id="many: a hundred each"),
        pytest.param({"a": range(3)}, range(3), [], {}, [], id="nothing changed, nothing written"),
        pytest.param({"a": range(3)}, range(4), [], {"a": 4}, [], id="one more goes in"),
        pytest.param({"a": range(3)}, range(1, 3), [], {"a": 2}, [], id="one less"),
        pytest.param(
            {"a": range(100), "b": range(100, 150)}, range(152), [], {"b": 52}, [],
            id="the full one is left alone",
        ),
        pytest.param(
            {"a": range(90), "b": range(90, 140)}, range(1, 141), [], {"a": 90}, [],
            id="what is written anyway is filled first",
        ),
        pytest.param(
            {"a": range(2), "b": range(2, 4)}, range(2), [], {}, ["b"], id="an empty one goes",
        ),
        pytest.param({"a": range(100)}, range(101), [1], {}, [], id="no room: another slice"),
    ],
)  # fmt: skip
def test_slices_are_written_as_little_as_possible(
    slices: dict[str, range],
    pods: range,
    created: list[int],
    updated: dict[str, int],
    deleted: list[str],
) -> None:
    existing = [slice_of(name, list(numbers)) for name, numbers in slices.items()]
    decided = plan(service(), [facts(number) for number in pods], {"n": "z"}, existing, {})
    assert [len(one["endpoints"]) for one in decided.create] == created
    found = {one["metadata"]["name"]: len(one["endpoints"]) for one in decided.update}
    assert (found, decided.delete) == (updated, deleted)


def test_ready_pods_appear_with_node_and_zone_and_terminating_ones_still_serve() -> None:
    async def story(world: World) -> None:
        zone = {"topology.kubernetes.io/zone": "us-east-1a"}
        await world.client.create(NODES, {
            "apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-1", "labels": zone},
            "spec": {},
        })  # fmt: skip
        await world.client.create(SERVICES, service())
        await world.client.create(PODS, pod("p", app="web"))
        await world.client.create(PODS, pod("other", app="else"))
        await world.pass_s(3)
        (found,) = world.all(ENDPOINT_SLICES)
        assert found["metadata"]["name"].startswith("web-")
        assert found["metadata"]["labels"] == {
            "team": "a",
            "kubernetes.io/service-name": "web",
            "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
        }
        assert found["metadata"]["ownerReferences"][0]["kind"] == "Service"
        assert found["ports"] == [{"name": "http", "port": 8080, "protocol": "TCP"}]
        (one,) = found["endpoints"]
        assert (one["addresses"], one["nodeName"], one["zone"]) == (
            ["10.0.0.7"], "node-1", "us-east-1a",
        )  # fmt: skip
        assert one["conditions"] == {"ready": True, "serving": True, "terminating": False}
        old = world.the(ENDPOINTS, "web")
        assert old["subsets"] == [{
            "addresses": [{
                "ip": "10.0.0.7", "nodeName": "node-1",
                "targetRef": {
                    "kind": "Pod", "name": "p", "namespace": "ns",
                    "uid": world.the(PODS, "p")["metadata"]["uid"],
                },
            }],
            "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
        }]  # fmt: skip
        await world.client.delete(PODS, "p", "ns")
        await world.pass_s(0.5)
        (found,) = world.all(ENDPOINT_SLICES)
        assert found["endpoints"][0]["conditions"] == {
            "ready": False, "serving": True, "terminating": True,
        }  # fmt: skip
        assert "subsets" not in world.the(ENDPOINTS, "web")
        await world.pass_s(3)
        (found,) = world.all(ENDPOINT_SLICES)
        assert (found["endpoints"], found["ports"]) == ([], [])

    lived(controllers, story)


def test_a_pod_that_is_not_ready_is_listed_as_such_and_comes_when_it_is() -> None:
    async def story(world: World) -> None:
        await world.client.create(SERVICES, service())
        await world.client.create(PODS, pod("p", app="web"))
        await world.pass_s(3)
        world.set_ready("p", ready=False)
        await world.pass_s(1)
        (found,) = world.all(ENDPOINT_SLICES)
        assert found["endpoints"][0]["conditions"]["ready"] is False
        (subset,) = world.the(ENDPOINTS, "web")["subsets"]
        assert "addresses" not in subset
        assert len(subset["notReadyAddresses"]) == 1
        await world.client.delete(SERVICES, "web", "ns")
        await world.pass_s(1)
        assert world.get(ENDPOINTS, "web") is None

    lived(controllers, story)


def test_named_ports_are_looked_up_in_each_pod() -> None:
    named = [{"name": "http", "port": 80, "protocol": "TCP", "targetPort": "web"}]
    pods = []
    for number, port in enumerate([8080, 8080, 9090]):
        one = facts(number)
        obj = one.item.object
        obj["spec"]["containers"][0]["ports"] = [{"name": "web", "containerPort": port}]
        pods.append(pod_facts(encode(obj, resource="pods", revision=2)))
    decided = plan(service(ports=named), pods, {}, [], {})
    found = {one["ports"][0]["port"]: len(one["endpoints"]) for one in decided.create}
    assert found == {8080: 2, 9090: 1}


def test_a_service_without_selector_is_left_alone() -> None:
    async def story(world: World) -> None:
        await world.client.create(SERVICES, service(selector=None))
        await world.pass_s(3)
        assert world.all(ENDPOINT_SLICES) == []
        assert world.all(ENDPOINTS) == []

    lived(controllers, story)


def test_a_big_service_is_written_a_few_times_not_once_a_pod() -> None:
    async def story(world: World) -> None:
        await world.client.create(SERVICES, service())
        for number in range(600):
            await world.client.create(PODS, pod(f"p{number}", app="web"))
        await world.pass_s(10)
        counts = sorted(len(one["endpoints"]) for one in world.all(ENDPOINT_SLICES))
        assert counts == [100] * 6
        writes = [call for call in world.api.calls if call[2] == "endpointslices.discovery.k8s.io"]
        assert len(writes) < 60

    lived(controllers, story)
