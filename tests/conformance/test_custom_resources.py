"""Custom resources: definitions, their objects, discovery, field validation and OpenAPI."""

import json
from typing import Any

import pytest

from tests.conformance.api import APPLY, Api, Object, refused
from tests.conformance.custom import OPEN, defined, definition, definitions, is_established, version
from tests.conformance.kubectl import Kubectl

conformance = pytest.mark.conformance
AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
TEXT = {"type": "string"}
NUMBER = {"type": "integer"}


def an_object(**properties: Any) -> Object:
    return {"type": "object", "properties": properties}


def custom(group: str, kind: str, name: str = "one", *, at: str = "v1", **parts: Any) -> Object:
    return {"apiVersion": f"{group}/{at}", "kind": kind, "metadata": {"name": name}, **parts}


@conformance("crd-create-delete", "aggregated-discovery-client-crd")
@conformance("aggregated-discovery-accept-crd")
def test_a_definition_is_established_found_by_discovery_and_deleted(api: Api) -> None:
    group = "create.example.com"
    with defined(api, definition(group, "Thing")):
        reply = api.ask("GET", "/apis", accept=AGGREGATED)
        assert reply.headers["Content-Type"] == AGGREGATED
        found = {each["metadata"]["name"]: each for each in reply.body["items"]}
        (served,) = found[group]["versions"]
        assert served["version"] == "v1"
        assert [each["resource"] for each in served["resources"]] == ["things"]
        listed = api.do("GET", f"/apis/{group}/v1")
        assert [each["kind"] for each in listed["resources"]] == ["Thing"]
    assert api.ask("GET", f"/apis/{group}").code == 404
    assert definitions(api).gone(f"things.{group}")


@conformance("crd-watch")
def test_objects_of_a_definition_are_watched(api: Api) -> None:
    group = "watch.example.com"
    with defined(api, definition(group, "Thing", scope="Cluster")):
        things = api.at(f"{group}/v1", "things")
        with things.watch() as watch:
            things.create(custom(group, "Thing", spec={"a": 1}))
            assert watch.next()[0] == "ADDED"
            things.patch("one", {"spec": {"a": 2}})
            kind, obj = watch.next()
            assert (kind, obj["spec"]) == ("MODIFIED", {"a": 2})
            things.delete("one")
            assert watch.next()[0] == "DELETED"


@conformance("crd-defaulting")
def test_defaults_reach_what_was_stored_before_them(api: Api, namespace: str) -> None:
    group = "defaulting.example.com"

    def schema(**defaults: int) -> Object:
        fields = {name: {**NUMBER, "default": value} for name, value in defaults.items()}
        return an_object(spec=an_object(**{"a": NUMBER, "b": NUMBER} | fields))

    with defined(api, definition(group, "Thing", version(schema=schema()))):
        things = api.at(f"{group}/v1", "things", namespace)
        things.create(custom(group, "Thing", "old", spec={}))

        def redefine(wire: Object, name: str, expected: Object) -> None:
            """The definition is followed, not awaited: ask until it is."""
            versions = [version(schema=wire)]
            definitions(api).patch(f"things.{group}", {"spec": {"versions": versions}})
            while things.get(name)["spec"] != expected:
                pass

        redefine(schema(a=1), "old", {"a": 1})
        assert things.create(custom(group, "Thing", "new", spec={}))["spec"] == {"a": 1}
        redefine(schema(b=2), "old", {"b": 2})
        assert things.get("new")["spec"] == {"a": 1, "b": 2}


def test_a_definition_that_goes_takes_its_objects_with_it(api: Api, namespace: str) -> None:
    group = "emptied.example.com"
    made = definition(group, "Thing")
    with defined(api, made):
        api.at(f"{group}/v1", "things", namespace).create(custom(group, "Thing"))
    with defined(api, made):
        assert api.at(f"{group}/v1", "things", namespace).names() == []


def strict(api: Api, path: str, body: object) -> Object:
    return api.do("POST", f"{path}?fieldValidation=Strict", body)


def strictly_applied(api: Api, path: str, body: Object) -> Object:
    name = body["metadata"]["name"]
    options = "fieldManager=test&fieldValidation=Strict"
    return api.do("PATCH", f"{path}/{name}?{options}", body, content_type=APPLY)


@conformance("fieldvalidation-cr-no-schema")
def test_without_a_schema_any_field_is_known(api: Api) -> None:
    group = "noschema.example.com"
    with defined(api, definition(group, "Thing", scope="Cluster")):
        path = f"/apis/{group}/v1/things"
        strict(api, path, custom(group, "Thing", odd={"field": 1}))
        applied = strictly_applied(api, path, custom(group, "Thing", "two", odd={"field": 1}))
        assert applied["odd"] == {"field": 1}


@conformance("fieldvalidation-cr-valid", "fieldvalidation-cr-unknown")
def test_with_a_schema_unknown_fields_are_refused_by_name(api: Api) -> None:
    group = "strict.example.com"
    schema = an_object(spec=an_object(a=NUMBER))
    with defined(api, definition(group, "Thing", version(schema=schema), scope="Cluster")):
        path = f"/apis/{group}/v1/things"
        strict(api, path, custom(group, "Thing", spec={"a": 1}))
        strictly_applied(api, path, custom(group, "Thing", "two", spec={"a": 1}))
        wrong = custom(group, "Thing", "three", spec={"a": 1, "odd": 2})
        for call in (strict, strictly_applied):
            status = refused(lambda call=call: call(api, path, wrong))
            assert status["code"] == 400
            assert 'unknown field "spec.odd"' in status["message"]


@conformance("fieldvalidation-cr-duplicates")
def test_duplicates_are_refused_even_where_anything_goes(api: Api) -> None:
    group = "duplicates.example.com"
    with defined(api, definition(group, "Thing", scope="Cluster")):
        body = json.dumps(custom(group, "Thing", spec={"a": 1}))
        body = body.replace('"a": 1', '"a": 1, "a": 2')
        status = refused(lambda: strict(api, f"/apis/{group}/v1/things", body))
        assert 'duplicate field "spec.a"' in status["message"]


@conformance("fieldvalidation-cr-metadata")
def test_metadata_is_known_in_the_object_and_in_objects_within(api: Api) -> None:
    group = "metadata.example.com"
    part = {**OPEN, "x-kubernetes-embedded-resource": True}
    schema = an_object(spec=an_object(template=part))
    with defined(api, definition(group, "Thing", version(schema=schema), scope="Cluster")):
        inner = {"apiVersion": "v1", "kind": "Any", "metadata": {"name": "x", "odd": 1}}
        body = custom(group, "Thing", spec={"template": inner})
        body["metadata"]["strange"] = 1
        status = refused(lambda: strict(api, f"/apis/{group}/v1/things", body))
        assert 'unknown field "metadata.strange"' in status["message"]
        assert 'unknown field "spec.template.metadata.odd"' in status["message"]


_LOOKS_MOST = 50


def published(api: Api) -> frozenset[str]:
    """The names of all definitions of OpenAPI v2 that are of ours."""
    found = api.do("GET", "/openapi/v2")["definitions"]
    return frozenset(name for name in found if name.startswith("com.example."))


@conformance("crd-openapi-groups", "crd-openapi-kinds", "crd-openapi-versions")
def test_all_groups_versions_and_kinds_are_published(api: Api) -> None:
    made = (
        definition("one.example.com", "Apple"),
        definition("one.example.com", "Pear"),
        definition("two.example.com", "Fig", version("v1"), version("v2", storage=False)),
    )
    with defined(api, *made):
        assert published(api) >= {
            "com.example.one.v1.Apple",
            "com.example.one.v1.Pear",
            "com.example.two.v1.Fig",
            "com.example.two.v2.Fig",
        }
        third = api.do("GET", "/openapi/v3/apis/two.example.com/v2")
        assert "com.example.two.v2.FigList" in third["components"]["schemas"]
        assert "apis/one.example.com/v1" in api.do("GET", "/openapi/v3")["paths"]


@conformance("crd-openapi-unserve", "crd-openapi-rename")
def test_what_is_published_follows_the_definition(api: Api) -> None:
    group = "follow.example.com"
    first, second = version("v1"), version("v2", storage=False)
    with defined(api, definition(group, "Thing", first, second)):
        prefix = "com.example.follow."

        def ours() -> frozenset[str]:
            return frozenset(name for name in published(api) if name.startswith(prefix))

        def publish(*versions: Object) -> None:
            """Change the definition, and wait until it is followed."""
            definitions(api).patch(f"things.{group}", {"spec": {"versions": list(versions)}})
            wanted = {each["name"] for each in versions if each["served"]}
            for _ in range(_LOOKS_MOST):
                if {name.removeprefix(prefix).split(".")[0] for name in ours()} == wanted:
                    return
            raise AssertionError(f"never published: {wanted}, but {ours()}")

        publish(first, {**second, "name": "v3"})
        assert ours() == {f"{prefix}{v}.Thing{s}" for v in ("v1", "v3") for s in ("", "List")}
        publish(first, {**second, "name": "v3", "served": False})
        assert ours() == {f"{prefix}v1.Thing", f"{prefix}v1.ThingList"}


@conformance("crd-openapi-validation")
def test_kubectl_validates_and_explains_by_the_schema(
    api: Api, kubectl: Kubectl, namespace: str
) -> None:
    group = "validation.example.com"
    bar = {**an_object(name=TEXT, age=NUMBER), "required": ["name"]}
    spec = {
        **an_object(bars={"type": "array", "items": bar, "description": "All the bars."}),
        "description": "What is wanted.",
    }
    made = definition(
        group, "Foo", version(schema={**an_object(spec=spec), "description": "A foo."})
    )
    with defined(api, made):
        good = json.dumps(custom(group, "Foo", spec={"bars": [{"name": "a", "age": 3}]}))
        for verb in ("create", "apply", "delete"):
            kubectl(f"-n {namespace} {verb} -f -", stdin=good)
        odd = json.dumps(custom(group, "Foo", spec={"bars": [{"name": "a", "size": 3}]}))
        lacking = json.dumps(custom(group, "Foo", spec={"bars": [{"age": 3}]}))
        for verb in ("create", "apply"):
            said = kubectl(f"-n {namespace} {verb} -f -", stdin=odd, expect=1)
            assert 'unknown field "spec.bars[0].size"' in said
            said = kubectl(f"-n {namespace} {verb} -f -", stdin=lacking, expect=1)
            assert "spec.bars[0].name: Required value" in said
        assert "A foo." in kubectl("explain foos")
        assert "What is wanted." in kubectl("explain foos.spec")
        assert "All the bars." in kubectl("explain foos.spec.bars")
        assert "-required-" in kubectl("explain foos.spec.bars")
        assert 'field "age2" does not exist' in kubectl("explain foos.spec.bars.age2", expect=1)


@conformance("crd-openapi-no-schema", "crd-openapi-preserve-root", "crd-openapi-preserve-embedded")
def test_kubectl_takes_any_field_where_anything_goes(
    api: Api, kubectl: Kubectl, namespace: str
) -> None:
    within = an_object(spec={**OPEN, "description": "Anything."})
    made = (
        definition("open.example.com", "Free"),
        definition("within.example.com", "Half", version(schema=within)),
    )
    with defined(api, *made):
        for group, kind in (("open.example.com", "Free"), ("within.example.com", "Half")):
            body = json.dumps(custom(group, kind, spec={"any": {"thing": [1]}}))
            for verb in ("create", "apply", "delete"):
                kubectl(f"-n {namespace} {verb} -f -", stdin=body)
        said = kubectl("explain frees")
        assert "KIND:       Free" in said
        assert "DESCRIPTION:" in said
        assert "Anything." in kubectl("explain halfs.spec")


def test_scale_and_columns_are_the_definitions_own(
    api: Api, kubectl: Kubectl, namespace: str
) -> None:
    group = "scaled.example.com"
    parts = {
        "subresources": {
            "status": {},
            "scale": {
                "specReplicasPath": ".spec.size",
                "statusReplicasPath": ".status.size",
                "labelSelectorPath": ".status.selector",
            },
        },
        "additionalPrinterColumns": [
            {"name": "Size", "type": "integer", "jsonPath": ".spec.size"},
            {
                "name": "Ready",
                "type": "string",
                "jsonPath": '.status.conditions[?(@.type=="Ready")].status',
            },
        ],
    }
    schema = an_object(spec=an_object(size=NUMBER), status=OPEN)
    with defined(api, definition(group, "Thing", version(schema=schema, **parts))):
        things = api.at(f"{group}/v1", "things", namespace)
        things.create(custom(group, "Thing", spec={"size": 1}, status={"size": 9}))
        kubectl(f"-n {namespace} scale thing one --replicas=3")
        conditions = [{"type": "Ready", "status": "True"}]
        status = {"size": 2, "selector": "a=b", "conditions": conditions}
        things.patch("one", {"status": status, "spec": {"size": 7}}, "status")
        lines = kubectl(f"-n {namespace} get things").splitlines()
        assert [line.split() for line in lines] == [["NAME", "SIZE", "READY"], ["one", "3", "True"]]
        scale = things.get("one", "scale")
        assert (scale["spec"], scale["status"]) == (
            {"replicas": 3},
            {"replicas": 2, "selector": "a=b"},
        )
        assert things.get("one")["metadata"]["generation"] == 2


def test_a_namespace_takes_custom_objects_with_it(api: Api) -> None:
    group = "homes.example.com"
    with defined(api, definition(group, "Thing")):
        spaces = api.at("v1", "namespaces")
        spaces.create({"metadata": {"name": "home-of-things"}})
        things = api.at(f"{group}/v1", "things")
        path = f"/apis/{group}/v1/namespaces/home-of-things/things"
        api.do("POST", path, custom(group, "Thing"))
        with things.watch() as watch:
            spaces.delete("home-of-things")
            watch.until("DELETED")


def test_established_says_that_objects_can_be_made(api: Api) -> None:
    """No client has to wait once the condition is there."""
    group = "prompt.example.com"
    with defined(api, definition(group, "Thing", scope="Cluster")):
        assert is_established(definitions(api).get(f"things.{group}"))
        api.at(f"{group}/v1", "things").create(custom(group, "Thing"))
