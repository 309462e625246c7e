"""Services, endpoints and ingresses as objects."""

import pytest

from ekslab.kube.api.well_known import ENDPOINT_SLICES, ENDPOINTS
from ekslab.testing.lab import TestLab, run_lab
from tests.conformance.api import Api, Object
from tests.conformance.objects import service
from tests.conformance.verbs import discovered, keeps_status, labelled, takes_all_verbs

conformance = pytest.mark.conformance

DISCOVERY = "discovery.k8s.io/v1"
NETWORKING = "networking.k8s.io/v1"


@conformance("service-kubernetes-exists")
def test_there_is_a_service_of_the_api_itself(api: Api) -> None:
    found = api.at("v1", "services", "default").get("kubernetes")
    assert [(one["name"], one["port"]) for one in found["spec"]["ports"]] == [("https", 443)]


@conformance("service-find-all-namespaces")
def test_the_service_of_the_api_is_found_among_all(api: Api) -> None:
    found = [item["metadata"] for item in api.at("v1", "services").list()["items"]]
    assert ("default", "kubernetes") in [(meta["namespace"], meta["name"]) for meta in found]


@conformance("endpointslice-apiserver")
def test_the_service_of_the_api_leads_to_the_control_planes_interfaces() -> None:
    async def scenario(lab: TestLab) -> None:
        cluster = await lab.create_cluster("dev")
        endpoints = await cluster.admin.get(ENDPOINTS, "kubernetes", "default")
        (subset,) = endpoints["subsets"]
        addresses = [one["ip"] for one in subset["addresses"]]
        chosen = "kubernetes.io/service-name=kubernetes"
        page = await cluster.admin.list(ENDPOINT_SLICES, "default", label_selector=chosen)
        (piece,) = (item.object for item in page.items)
        assert [ip for one in piece["endpoints"] for ip in one["addresses"]] == addresses
        assert [one["name"] for one in subset["ports"]] == ["https"]
        assert [one["name"] for one in piece["ports"]] == ["https"]
        interfaces = (one for _, one in lab.bridge.mirror.all("ec2:network-interface"))
        own = [i["PrivateIpAddress"] for i in interfaces if i["Description"] == "Amazon EKS dev"]
        assert sorted(addresses) == sorted(own)
        assert len(addresses) >= 2

    run_lab(scenario)


@conformance("endpointslice-api")
def test_endpoint_slices_take_all_verbs(api: Api, namespace: str) -> None:
    discovered(api, DISCOVERY, "endpointslices")
    takes_all_verbs(
        api.at(DISCOVERY, "endpointslices", namespace),
        lambda _: {"addressType": "IPv4", "endpoints": [{"addresses": ["10.1.2.3"]}]},
    )


def ingress(_: str) -> Object:
    backend = {"service": {"name": "web", "port": {"number": 80}}}
    return {"spec": {"defaultBackend": backend}}


@conformance("ingress-api")
def test_ingresses_take_all_verbs_and_keep_a_status(api: Api, namespace: str) -> None:
    discovered(api, NETWORKING, "ingresses", "ingresses/status")
    ingresses = api.at(NETWORKING, "ingresses", namespace)
    takes_all_verbs(ingresses, ingress)
    ingresses.create({"metadata": {"name": "kept"}, **ingress("kept")})
    keeps_status(
        ingresses, "kept",
        patched={"loadBalancer": {"ingress": [{"ip": "169.1.1.1"}]}},
        put={"loadBalancer": {"ingress": [{"ip": "169.1.1.2"}, {"hostname": "a.example.com"}]}},
    )  # fmt: skip


@conformance("ingressclass-api")
def test_ingress_classes_take_all_verbs(api: Api) -> None:
    discovered(api, NETWORKING, "ingressclasses")
    takes_all_verbs(
        api.at(NETWORKING, "ingressclasses"), lambda _: {"spec": {"controller": "example.com/one"}}
    )


@conformance("service-status-lifecycle")
def test_status_and_labels_of_a_service_are_written_and_watched(api: Api, namespace: str) -> None:
    services = api.at("v1", "services", namespace)
    services.create(service("kept", {"show": "status"}, type="LoadBalancer"))
    with services.watch(labelSelector="show=status") as watch:
        assert watch.next()[0] == "ADDED"
        keeps_status(
            services, "kept",
            patched={"loadBalancer": {"ingress": [{"ip": "203.0.113.1"}]}},
            put={"conditions": [{"type": "Shown", "status": "True", "reason": "Put",
                                 "message": "here", "lastTransitionTime": "2026-01-01T00:00:00Z"}]},
        )  # fmt: skip
        seen = watch.until("MODIFIED", lambda one: "ingress" in one["status"]["loadBalancer"])
        assert seen["metadata"]["annotations"]["patched"] == "status"
        watch.until("MODIFIED", lambda one: one["status"].get("conditions"))
        services.patch("kept", labelled(patched="yes"))
        watch.until("MODIFIED", lambda one: one["metadata"]["labels"].get("patched"))
        services.delete("kept")
        watch.until("DELETED")


@conformance("service-delete-collection")
def test_services_are_deleted_by_their_label(api: Api, namespace: str) -> None:
    services = api.at("v1", "services", namespace)
    for name in ("one", "two"):
        services.create(service(name, {"show": "collection"}))
    services.create(service("other"))
    assert len(services.names()) == 3
    services.delete_all(labelSelector="show=collection")
    assert services.names() == ["other"]


@conformance("endpoints-lifecycle")
def test_endpoints_are_watched_through_their_life(api: Api, namespace: str) -> None:
    endpoints = api.at("v1", "endpoints", namespace)
    subset = {"addresses": [{"ip": "10.0.0.24"}], "ports": [{"name": "http", "port": 80}]}
    chosen = f"show={namespace}"
    with endpoints.watch(labelSelector=chosen) as watch:
        body = {"metadata": {"name": "shown", "labels": {"show": namespace}}, "subsets": [subset]}
        made = endpoints.create(body)
        assert watch.next() == ("ADDED", made)
        assert endpoints.everywhere().names(labelSelector=chosen) == ["shown"]
        made["metadata"]["labels"]["put"] = "yes"
        put = endpoints.replace(made)
        assert watch.next() == ("MODIFIED", put)
        other = {"addresses": [{"ip": "10.0.0.25"}], "ports": [{"name": "http", "port": 8080}]}
        patched = endpoints.patch("shown", {"subsets": [other]})
        assert watch.next() == ("MODIFIED", patched)
        (found,) = endpoints.get("shown")["subsets"]
        assert [one["ip"] for one in found["addresses"]] == ["10.0.0.25"]
        assert [one["port"] for one in found["ports"]] == [8080]
        endpoints.delete_all(labelSelector=chosen)
        assert watch.next()[0] == "DELETED"
    assert endpoints.gone("shown")
