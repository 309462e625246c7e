"""The real kubectl against a cluster where pods run; real time, so only what needs it."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance.api import Api, Object
from tests.conformance.cluster import ServedCluster
from tests.conformance.kubectl import Kubectl
from tests.conformance.objects import controller
from tests.conformance.running import is_ready

conformance = pytest.mark.conformance


@pytest.fixture(scope="module")
def served() -> Iterator[ServedCluster]:
    """A cluster of one node."""
    served = ServedCluster(nodes=1)
    yield served
    served.stop()


@pytest.fixture(scope="module")
def files(served: ServedCluster, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Certificate and key of its administrator."""
    return served.credentials(tmp_path_factory.mktemp("running"), "admin", "system:masters")


@pytest.fixture(scope="module")
def api(served: ServedCluster, files: tuple[Path, Path]) -> Iterator[Api]:
    """That cluster, asked by its administrator."""
    api = served.api(certificate=files)
    yield api
    api.close()


@pytest.fixture(scope="module")
def kubectl(served: ServedCluster, files: tuple[Path, Path]) -> Kubectl:
    """The real kubectl of its administrator."""
    return Kubectl(served.kubeconfig(files[0].parent, *files))


def ready_pods(api: Api, namespace: str, app: str, count: int) -> list[Object]:
    """The pods of an app, once there are so many and all of them are Ready."""
    pods = api.at("v1", "pods", namespace)
    known: dict[str, Object] = {}
    with pods.watch(labelSelector=f"app={app}") as watch:
        while len(known) != count or not all(map(is_ready, known.values())):
            kind, obj = watch.next()
            known[obj["metadata"]["name"]] = obj
            if kind == "DELETED":
                del known[obj["metadata"]["name"]]
    return list(known.values())


def make_controller(kubectl: Kubectl, namespace: str, name: str, replicas: int) -> None:
    """Create a ReplicationController whose pods serve at port 6379."""
    body = controller(name, replicas=replicas)
    container = body["spec"]["template"]["spec"]["containers"][0]
    container["ports"] = [{"name": "redis-server", "containerPort": 6379}]
    text = json.dumps({"apiVersion": "v1", "kind": "ReplicationController", **body})
    assert kubectl(f"create -n {namespace} -f -", stdin=text) == (
        f"replicationcontroller/{name} created\n"
    )


@conformance("kubectl-update-demo-scale")
def test_scale_takes_running_pods_from_two_to_one_and_back(
    api: Api, kubectl: Kubectl, namespace: str
) -> None:
    make_controller(kubectl, namespace, "demo", 2)
    ready_pods(api, namespace, "demo", 2)
    for replicas in (1, 2):
        command = f"scale -n {namespace} rc demo --replicas={replicas} --timeout=5m"
        assert kubectl(command) == "replicationcontroller/demo scaled\n"
        ready_pods(api, namespace, "demo", replicas)


@conformance("kubectl-patch")
def test_patch_annotates_every_pod_of_a_controller(
    api: Api, kubectl: Kubectl, namespace: str
) -> None:
    make_controller(kubectl, namespace, "patched", 2)
    patch = json.dumps({"metadata": {"annotations": {"x": "y"}}})
    for pod in ready_pods(api, namespace, "patched", 2):
        kubectl(f"patch -n {namespace} pod {pod['metadata']['name']} -p '{patch}'")
    pods = api.at("v1", "pods", namespace).list(labelSelector="app=patched")["items"]
    assert [pod["metadata"]["annotations"]["x"] for pod in pods] == ["y", "y"]


@conformance("kubectl-expose")
def test_expose_makes_services_of_a_controller_and_of_a_service(
    api: Api, kubectl: Kubectl, namespace: str
) -> None:
    make_controller(kubectl, namespace, "agnhost", 1)
    (pod,) = ready_pods(api, namespace, "agnhost", 1)
    kubectl(f"expose -n {namespace} rc agnhost --name=rm2 --port=1234 --target-port=6379")
    kubectl(f"expose -n {namespace} service rm2 --name=rm3 --port=2345 --target-port=6379")
    services, endpoints = (api.at("v1", plural, namespace) for plural in ("services", "endpoints"))
    for name, port in (("rm2", 1234), ("rm3", 2345)):
        (told,) = services.get(name)["spec"]["ports"]
        assert (told["port"], told["targetPort"]) == (port, 6379)
        with endpoints.watch(fieldSelector=f"metadata.name={name}") as watch:
            _, found = watch.next()
            while not found.get("subsets"):
                _, found = watch.next()
        (subset,) = found["subsets"]
        assert [one["ip"] for one in subset["addresses"]] == [pod["status"]["podIP"]]
        assert [one["port"] for one in subset["ports"]] == [6379]


def lines(told: str) -> dict[str, str]:
    """The first value behind each `Name:` of a description."""
    found: dict[str, str] = {}
    for name, value in re.findall(r"^\s*([A-Z][\w ()-]*):[ \t]*(.*)$", told, re.MULTILINE):
        found.setdefault(name, value)
    return found


@conformance("kubectl-describe")
def test_describe_tells_of_pod_controller_service_node_and_namespace(
    api: Api, kubectl: Kubectl, namespace: str
) -> None:
    make_controller(kubectl, namespace, "agnhost", 1)
    (pod,) = ready_pods(api, namespace, "agnhost", 1)
    name, node = pod["metadata"]["name"], pod["spec"]["nodeName"]
    kubectl(f"expose -n {namespace} rc agnhost --name=web --port=80 --target-port=redis-server")

    told = kubectl(f"describe -n {namespace} pod {name}")
    found = lines(told)
    assert (found["Name"], found["Namespace"]) == (name, namespace)
    assert found["Node"].startswith(f"{node}/")
    assert (found["Labels"], found["Status"]) == ("app=agnhost", "Running")
    assert found["IP"] == pod["status"]["podIP"]
    assert found["Controlled By"] == "ReplicationController/agnhost"
    assert (found["Image"], found["State"], found["Ready"]) == ("nginx:1", "Running", "True")
    for reason in ("Scheduled", "Pulled", "Created", "Started"):
        assert re.search(rf"^\s+Normal\s+{reason}\s", told, re.MULTILINE), told

    told = kubectl(f"describe -n {namespace} rc agnhost")
    found = lines(told)
    assert (found["Name"], found["Namespace"]) == ("agnhost", namespace)
    assert found["Selector"] == found["Labels"] == "app=agnhost"
    assert found["Replicas"] == "1 current / 1 desired"
    assert found["Pods Status"] == "1 Running / 0 Waiting / 0 Succeeded / 0 Failed"
    assert "SuccessfulCreate" in told

    found = lines(kubectl(f"describe -n {namespace} service web"))
    assert (found["Name"], found["Namespace"], found["Type"]) == ("web", namespace, "ClusterIP")
    assert (found["Labels"], found["Selector"]) == ("app=agnhost", "app=agnhost")
    assert found["TargetPort"] == "redis-server/TCP"
    assert found["Endpoints"] == f"{pod['status']['podIP']}:6379"

    told = kubectl(f"describe node {node}")
    assert lines(told)["Name"] == node
    for word in ("Labels:", "Conditions:", "MemoryPressure", "Ready", "Capacity:", "cpu:",
                 "Addresses:", "Kubelet Version:", name):  # fmt: skip
        assert word in told

    found = lines(kubectl(f"describe namespace {namespace}"))
    assert (found["Name"], found["Status"]) == (namespace, "Active")
