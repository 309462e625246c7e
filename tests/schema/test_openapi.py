"""OpenAPI documents: complete, consistent, and with what kubectl looks for."""

import json

import pytest

from ekslab.kube.api.schema.catalog import load
from ekslab.kube.apiserver.openapi import OpenApi

API = OpenApi(load())


@pytest.fixture(scope="module")
def documents() -> dict[str, dict]:
    index = json.loads(API.v3_index())["paths"]
    return {path: json.loads(API.v3_document(path) or b"null") for path in index}


@pytest.fixture(scope="module")
def swagger() -> dict:
    return json.loads(API.v2())


def references(value: object) -> set[str]:
    if isinstance(value, dict):
        own = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
        return own.union(*(references(item) for item in value.values()))
    if isinstance(value, list):
        return set().union(*(references(item) for item in value))
    return set()


def test_every_group_version_has_a_document_with_a_hash(documents):
    assert {"api/v1", "apis/apps/v1", "apis/autoscaling/v2", "version"} <= set(documents)
    for path, document in documents.items():
        assert document["openapi"] == "3.0.0", path
    url = json.loads(API.v3_index())["paths"]["apis/apps/v1"]["serverRelativeURL"]
    assert url.startswith("/openapi/v3/apis/apps/v1?hash=")


def test_every_reference_resolves(documents, swagger):
    for document in documents.values():
        known = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
        assert references(document) <= known
    assert references(swagger) <= {f"#/definitions/{name}" for name in swagger["definitions"]}


def test_operation_ids_are_unique(documents, swagger):
    for paths in (*(document["paths"] for document in documents.values()), swagger["paths"]):
        ids = [
            operation["operationId"]
            for path in paths.values()
            for method, operation in path.items()
            if method != "parameters"
        ]
        assert len(ids) == len(set(ids))


def test_every_resource_has_its_paths(documents):
    paths = {path for document in documents.values() for path in document["paths"]}
    assert {
        "/api/v1/pods",
        "/api/v1/namespaces/{namespace}/pods",
        "/api/v1/namespaces/{namespace}/pods/{name}",
        "/api/v1/namespaces/{namespace}/pods/{name}/log",
        "/api/v1/nodes/{name}/proxy/{path}",
        "/apis/apps/v1/namespaces/{namespace}/deployments/{name}/scale",
        "/apis/rbac.authorization.k8s.io/v1/clusterroles/{name}",
    } <= paths


def test_kubectl_finds_that_patch_knows_field_validation_and_dry_run(documents):
    for document in documents.values():
        for path in document["paths"].values():
            if path.get("patch", {}).get("x-kubernetes-action") == "patch":
                names = {parameter["name"] for parameter in path["patch"]["parameters"]}
                assert {"fieldValidation", "dryRun", "fieldManager", "force"} <= names


def test_explain_finds_text_enumeration_and_default(documents):
    schemas = documents["api/v1"]["components"]["schemas"]
    container = schemas["io.k8s.api.core.v1.Container"]
    assert container["description"].startswith("A single application container")
    assert container["required"] == ["name"]
    policy = container["properties"]["imagePullPolicy"]
    assert policy["enum"] == ["Always", "IfNotPresent", "Never"]
    assert policy["description"].startswith("Image pull policy.")
    resources = container["properties"]["resources"]
    assert resources["default"] == {}
    assert resources["allOf"][0]["$ref"].endswith("io.k8s.api.core.v1.ResourceRequirements")


def test_every_field_that_upstream_describes_is_described(documents):
    bare = {
        name.rpartition(".")[2]
        for document in documents.values()
        for name, schema in document["components"]["schemas"].items()
        for value in schema.get("properties", {}).values()
        if not value.get("description")
    }
    as_upstream = {
        "CertificateSigningRequest", "CertificateSigningRequestList", "ExternalDocumentation",
        "Info", "JSONSchemaProps",
    }  # fmt: skip
    gone_in_the_models = {"Device", "NodeAllocatableResourceClaimStatus",
                          "NodeAllocatableResourceMapping"}  # fmt: skip
    assert bare == as_upstream | gone_in_the_models


def test_texts_of_fields_with_odd_names_are_found(documents):
    schemas = documents["apis/apiextensions.k8s.io/v1"]["components"]["schemas"]
    name = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps"
    field = schemas[name]["properties"]["x-kubernetes-list-type"]
    assert field["description"].startswith("x-kubernetes-list-type annotates an array")


def test_strategic_merge_finds_its_keys_in_both_dialects(documents, swagger):
    v3 = documents["api/v1"]["components"]["schemas"]
    for schemas in (v3, swagger["definitions"]):
        containers = schemas["io.k8s.api.core.v1.PodSpec"]["properties"]["containers"]
        assert containers["x-kubernetes-patch-merge-key"] == "name"
        assert containers["x-kubernetes-patch-strategy"] == "merge"
        assert containers["x-kubernetes-list-map-keys"] == ["name"]


def test_types_name_their_kinds(swagger):
    pod = swagger["definitions"]["io.k8s.api.core.v1.Pod"]
    assert pod["x-kubernetes-group-version-kind"] == [{"group": "", "kind": "Pod", "version": "v1"}]


def test_documents_are_made_once_and_shared():
    assert API.document("v3/api/v1") is API.document("v3/api/v1")
    assert API.document("v3/apis/none/v1") is None
    assert API.document("v4") is None
    shared = API.document("v2")
    assert shared is not None
    assert shared.content == API.v2()
    assert shared.etag
