"""Endpoints of Services, as the controllers keep them, on virtual time."""

import pytest

from ekslab.kube.api.well_known import ENDPOINT_SLICES, ENDPOINTS, PODS, SERVICES
from tests.conformance.api import Object
from tests.conformance.objects import pod, service
from tests.conformance.running import Running, lived

conformance = pytest.mark.conformance


def slices(lab: Running, name: str) -> list[Object]:
    """The slices of a Service."""
    return lab.all(ENDPOINT_SLICES, **{"kubernetes.io/service-name": name})


def addresses(lab: Running, name: str, port: int | None = None) -> set[str]:
    """The addresses behind a Service, of those with a port; slices and Endpoints say the same."""
    by_slices = {
        address
        for piece in slices(lab, name)
        if port is None or port in [one["port"] for one in piece["ports"]]
        for endpoint in piece["endpoints"] or ()
        for address in endpoint["addresses"]
    }
    found = lab.find(ENDPOINTS, name) or {}
    by_endpoints = {
        one["ip"]
        for subset in found.get("subsets") or ()
        if port is None or port in [one["port"] for one in subset["ports"]]
        for one in subset.get("addresses", ())
    }
    return by_slices if by_slices == by_endpoints else {"they differ"}


def ips(lab: Running, *names: str) -> set[str]:
    return {str(lab.one(PODS, name)["status"]["podIP"]) for name in names}


def with_port(name: str, port: int, label: str) -> Object:
    body = pod(name, labels={"app": label})
    body["spec"]["containers"][0]["ports"] = [{"name": f"p{port}", "containerPort": port}]
    return body


@conformance("endpointslice-selector-service")
@lived(nodes=0)
async def test_endpoints_come_and_go_with_their_service(lab: Running) -> None:
    await lab.create(SERVICES, service("web", selector={"app": "none"}))
    await lab.until(lambda: lab.find(ENDPOINTS, "web") and slices(lab, "web"))
    assert addresses(lab, "web") == set()
    await lab.delete(SERVICES, "web")
    await lab.until(lambda: not lab.find(ENDPOINTS, "web") and not slices(lab, "web"))


@conformance("endpointslice-pods")
@lived()
async def test_pods_of_a_selector_are_in_its_endpoints(lab: Running) -> None:
    await lab.create(PODS, with_port("web-1", 3000, "web"))
    await lab.create(PODS, with_port("web-2", 3000, "web"))
    ports = [{"name": "named", "port": 80, "targetPort": "p3000"}]
    await lab.create(SERVICES, service("web", selector={"app": "web"}, ports=ports))
    await lab.until(lambda: lab.ready() == 2 and len(addresses(lab, "web", 3000)) == 2)
    assert addresses(lab, "web", 3000) == ips(lab, "web-1", "web-2")
    (piece,) = slices(lab, "web")
    told = {one["targetRef"]["name"]: one for one in piece["endpoints"]}
    for name in ("web-1", "web-2"):
        assert told[name]["conditions"]["ready"] is True
        assert told[name]["nodeName"] == lab.one(PODS, name)["spec"]["nodeName"]


@conformance("service-endpoint-latency")
@lived()
async def test_endpoints_of_new_services_are_there_soon(lab: Running) -> None:
    await lab.create(PODS, pod("pause", labels={"app": "pause"}))
    await lab.until(lambda: lab.ready() == 1)
    wanted = ips(lab, "pause")
    took = []
    for number in range(100):
        name = f"latency-{number}"
        before = lab.clock.now()
        await lab.create(SERVICES, service(name, selector={"app": "pause"}))
        await lab.until(lambda name=name: addresses(lab, name) == wanted)
        took.append(lab.clock.now() - before)
    took.sort()
    assert took[50] <= 20
    assert took[98] <= 50
