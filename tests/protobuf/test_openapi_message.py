"""The OpenAPI document as a message, read back field by field."""

from typing import Any

from ekslab.kube.api.protobuf import facts
from ekslab.kube.api.protobuf.openapi import openapi_message
from ekslab.kube.api.protobuf.reading import Readers
from ekslab.kube.api.requests import Object

POD: dict[str, Any] = {
    "type": "object",
    "description": "Pod is ...",
    "required": ["spec"],
    "properties": {
        "spec": {"$ref": "#/definitions/PodSpec"},
        "names": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
    },
    "x-kubernetes-group-version-kind": [{"group": "", "kind": "Pod", "version": "v1"}],
}
OPERATION = {
    "operationId": "listPods",
    "parameters": [
        {"name": "watch", "in": "query", "type": "boolean", "uniqueItems": True},
        {"name": "body", "in": "body", "schema": {"$ref": "#/definitions/Pod"}},
    ],
    "responses": {"200": {"description": "OK", "schema": {"$ref": "#/definitions/PodList"}}},
    "x-kubernetes-action": "list",
}
DOCUMENT = {
    "swagger": "2.0",
    "info": {"title": "Kubernetes", "version": "v1.36.0"},
    "paths": {"/api/v1/pods": {"get": OPERATION}},
    "definitions": {"Pod": POD},
    "securityDefinitions": {"BearerToken": {"type": "apiKey", "in": "header", "name": "a"}},
    "security": [{"BearerToken": []}],
}


def no_envelope(_raw: bytes, _depth: int) -> Object:
    raise AssertionError("an OpenAPI document holds no objects")


def test_a_document_becomes_a_message_of_named_values():
    found = Readers(facts.load(), no_envelope).read(
        "openapi.v2.Document", openapi_message(DOCUMENT)
    )
    assert found["info"] == {"title": "Kubernetes", "version": "v1.36.0"}
    ((path,), (definition,)) = found["paths"]["path"], found["definitions"]["additional_properties"]
    assert (path["name"], definition["name"]) == ("/api/v1/pods", "Pod")
    operation = path["value"]["get"]
    watch, body = operation["parameters"]
    assert watch["parameter"]["non_body_parameter"]["query_parameter_sub_schema"] == {
        "name": "watch", "in": "query", "type": "boolean", "unique_items": True,
    }  # fmt: skip
    assert body["parameter"]["body_parameter"]["schema"] == {"_ref": "#/definitions/Pod"}
    schema = {"schema": {"_ref": "#/definitions/PodList"}}
    response = {"response": {"description": "OK", "schema": schema}}
    assert operation["responses"] == {"response_code": [{"name": "200", "value": response}]}
    extension = {"name": "x-kubernetes-action", "value": {"yaml": '"list"\n'}}
    assert operation["vendor_extension"] == [extension]
    pod = definition["value"]
    assert (pod["type"], pod["required"]) == ({"value": ["object"]}, ["spec"])
    fields = {entry["name"]: entry["value"] for entry in pod["properties"]["additional_properties"]}
    assert fields["spec"] == {"_ref": "#/definitions/PodSpec"}
    assert fields["names"]["items"] == {"schema": [{"type": {"value": ["string"]}}]}
    assert fields["labels"]["additional_properties"] == {"schema": {"type": {"value": ["string"]}}}
    assert found["security"] == [
        {"additional_properties": [{"name": "BearerToken", "value": {}}]}
    ]  # fmt: skip
