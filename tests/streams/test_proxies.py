"""HTTP through the API server to pods, Services and nodes."""

import pytest

from tests.conformance.api import Api, refused
from tests.streams.pods import Pods

pytestmark = pytest.mark.usefixtures("pods")
POD = "/api/v1/namespaces/default/pods"
SERVICE = "/api/v1/namespaces/default/services"


@pytest.fixture(scope="module")
def service(api: Api, pods: Pods) -> str:
    """A Service before the pod `full`, when its endpoints are there."""
    del pods
    spec = {
        "selector": {"app": "full"},
        "ports": [{"name": "http", "port": 80, "targetPort": 8080}],
    }
    slices = api.at("discovery.k8s.io/v1", "endpointslices", "default")
    api.at("v1", "services", "default").create({"metadata": {"name": "front"}, "spec": spec})
    with slices.watch() as watch:
        while True:
            _, found = watch.next()
            if found["metadata"]["name"].startswith("front-") and found.get("endpoints"):
                return "front"


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD"])
def test_every_method_reaches_the_pod(api: Api, method: str) -> None:
    reply = api.ask(method, f"{POD}/web/proxy/some/path?x=1")
    assert reply.code == 200
    said = f"pod default/web on node sim-1, port 80, was asked {method} /some/path?x=1\n"
    if method == "HEAD":
        assert reply.content == b""
    else:
        assert reply.content.decode().partition("ekslab: ")[2].startswith("pod default/web on ")
        assert reply.content.decode().endswith(said.partition(", ")[2])


@pytest.mark.parametrize("name", ["http:front:80", "front:http", "https:front:http"])
def test_a_service_leads_to_its_pod(api: Api, service: str, name: str) -> None:
    del service
    told = api.ask("GET", f"{SERVICE}/{name}/proxy/").content.decode()
    assert "pod default/full on node" in told
    assert "port 8080, was asked GET /" in told


def test_a_path_without_an_end_is_led_to_one_with(api: Api) -> None:
    reply = api.ask("GET", f"{POD}/web:80/proxy")
    assert (reply.code, reply.headers["Location"]) == (301, f"{POD}/web:80/proxy/")


def test_what_cannot_be_reached_is_refused_in_upstreams_words(api: Api, service: str) -> None:
    del service
    status = refused(lambda: api.do("GET", f"{SERVICE}/front:81/proxy/"))
    assert (status["code"], status["message"]) == (
        503,
        'no service port 81 found for service "front"',
    )
    status = refused(lambda: api.do("GET", f"{SERVICE}/kubernetes:http/proxy/"))
    assert status["message"] == 'no endpoints available for service "kubernetes:http"'
    status = refused(lambda: api.do("GET", f"{POD}/a:b:c:d/proxy/"))
    assert status["message"] == 'invalid pod request "a:b:c:d"'
    assert refused(lambda: api.do("GET", f"{POD}/nobody/proxy/"))["code"] == 404


def test_a_nodes_agent_answers(api: Api) -> None:
    (node,) = api.at("v1", "nodes").names()
    assert api.ask("GET", f"/api/v1/nodes/{node}/proxy/healthz").content == b"ok"
    listed = api.do("GET", f"/api/v1/nodes/{node}:10250/proxy/pods")
    assert "web" in [one["metadata"]["name"] for one in listed["items"]]
