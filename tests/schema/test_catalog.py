"""The tables of facts, as upstream's discovery would tell them."""

import pytest

from ekslab.kube.api import well_known
from ekslab.kube.api.resources import Resource
from ekslab.kube.api.schema.catalog import (
    DEFAULT_VERSION,
    SUPPORTED_VERSIONS,
    Catalog,
    UnsupportedVersionError,
    load,
)
from ekslab.kube.api.schema.model import Kind, ListType, Presence

POD_SPEC = "io.k8s.api.core.v1.PodSpec"


@pytest.fixture(params=SUPPORTED_VERSIONS)
def catalog(request: pytest.FixtureRequest) -> Catalog:
    return load(request.param)


def test_every_version_is_loaded_once_and_knows_its_sources(catalog):
    assert load(catalog.version) is catalog
    assert catalog.about["sources"]
    assert len(catalog.resources) >= 66


def test_a_version_that_is_not_offered_is_refused_with_those_that_are():
    with pytest.raises(UnsupportedVersionError, match=r"1\.34, 1\.35, 1\.36$"):
        load("1.12")


def test_every_resource_and_subresource_has_a_type(catalog):
    for info in catalog.resources.values():
        assert catalog.schema_of(info).kind is Kind.OBJECT
        assert catalog.schema_of(info).fields
        if "list" in info.verbs:
            assert info.type_name + "List" in catalog.types
        for sub in info.subresources:
            if sub.name not in {"attach", "exec", "portforward", "proxy"}:
                assert catalog.schema_of_kind(sub.group, sub.version, sub.kind) is not None


def test_every_reference_between_types_is_to_a_known_type(catalog):
    for schema in catalog.types.values():
        for field in schema.fields.values():
            inner = field
            while inner.element is not None:
                inner = inner.element
            if inner.kind is Kind.OBJECT:
                assert catalog.type(inner.name).fields is inner.fields


def test_keys_of_map_lists_are_fields_of_their_elements(catalog):
    for schema in catalog.types.values():
        for field in schema.fields.values():
            if field.list_type is ListType.MAP:
                assert field.map_keys
                assert field.element is not None
                assert set(field.map_keys) <= set(field.element.fields)
                assert set(field.key_defaults) <= set(field.map_keys)


def test_well_known_resources_are_served(catalog):
    named = [value for value in vars(well_known).values() if isinstance(value, Resource)]
    assert len(named) > 25
    assert [resource for resource in named if resource not in catalog.resources] == []


def test_only_stable_versions_are_served(catalog):
    versions = {info.resource.version for info in catalog.resources.values()}
    assert versions == {"v1", "v2"}


def test_groups_come_in_upstreams_order(catalog):
    groups = list(dict.fromkeys(info.resource.group for info in catalog.resources.values()))
    assert groups[:6] == [
        "",
        "apiregistration.k8s.io",
        "apps",
        "events.k8s.io",
        "authentication.k8s.io",
        "authorization.k8s.io",
    ]
    kinds = [key for key in catalog.by_kind if key[1] == "HorizontalPodAutoscaler"]
    assert [version for version, _ in kinds] == ["autoscaling/v2", "autoscaling/v1"]


@pytest.mark.parametrize(
    ("plural", "group", "short", "categories", "namespaced"),
    [
        pytest.param("pods", "", ("po",), ("all",), True, id="pods"),
        pytest.param("nodes", "", ("no",), (), False, id="nodes"),
        pytest.param("deployments", "apps", ("deploy",), ("all",), True, id="deployments"),
        pytest.param("ingresses", "networking.k8s.io", ("ing",), (), True, id="ingresses"),
        pytest.param(
            "customresourcedefinitions",
            "apiextensions.k8s.io",
            ("crd", "crds"),
            ("api-extensions",),
            False,
            id="crds",
        ),
    ],
)
def test_names_and_scope_are_upstreams(plural, group, short, categories, namespaced):
    info = load().resources[Resource(group, "v1", plural)]
    assert (info.short_names, info.categories, info.namespaced) == (short, categories, namespaced)
    assert info.list_kind == info.kind + "List"


def test_pods_have_upstreams_subresources():
    info = load().by_kind["v1", "Pod"]
    assert [sub.name for sub in info.subresources] == [
        "attach", "binding", "ephemeralcontainers", "eviction", "exec", "log", "portforward",
        "proxy", "resize", "status",
    ]  # fmt: skip
    eviction = info.subresource("eviction")
    assert eviction is not None
    assert (eviction.group, eviction.kind, eviction.verbs) == ("policy", "Eviction", ("create",))


def test_merge_facts_are_there():
    spec = load().type(POD_SPEC)
    containers = spec.fields["containers"]
    assert containers.list_type is ListType.MAP
    assert containers.map_keys == ("name",)
    assert (containers.patch_strategy, containers.patch_merge_key) == (("merge",), "name")
    volumes = spec.fields["volumes"]
    assert volumes.patch_strategy == ("merge", "retainKeys")
    ports = load().type("io.k8s.api.core.v1.Container").fields["ports"]
    assert ports.map_keys == ("containerPort", "protocol")
    assert ports.key_defaults == {"protocol": "TCP"}
    assert spec.fields["nodeSelector"].atomic


def test_go_facts_are_there():
    spec = load().type(POD_SPEC)
    assert spec.fields["containers"].go_type == "[]v1.Container"
    assert spec.fields["hostNetwork"].presence is Presence.VALUE
    assert spec.fields["terminationGracePeriodSeconds"].presence is Presence.POINTER
    assert spec.fields["restartPolicy"].enum == ("Always", "Never", "OnFailure")


def test_events_and_autoscalers_are_stored_in_one_place():
    catalog = load(DEFAULT_VERSION)
    events = catalog.resources[Resource("events.k8s.io", "v1", "events")]
    assert catalog.stored_as(events).resource == well_known.EVENTS
    scalers = catalog.by_kind["autoscaling/v1", "HorizontalPodAutoscaler"]
    assert catalog.stored_as(scalers).resource.version == "v2"
    assert scalers.storage_version == "v2"
