"""`/openapi/v2` as the message `openapi.v2.Document`, the only form client-go asks for.

Upstream: kube-openapi `pkg/handler` and the gnostic models. Maps become lists of named values,
alternatives become messages with one field set, and what starts with `x-` becomes YAML text (JSON
is YAML).
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson

from ekslab.kube.api.protobuf import facts
from ekslab.kube.api.protobuf.writing import Writers

MEDIA_TYPE: Final = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
ASKED_FOR: Final = frozenset(
    {MEDIA_TYPE, "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"}
)

_Json = Mapping[str, Any]
_Shape = Callable[[Any], Any]
_SUB_SCHEMA: Final = {
    "query": "query_parameter_sub_schema",
    "path": "path_parameter_sub_schema",
    "header": "header_parameter_sub_schema",
    "formData": "form_data_parameter_sub_schema",
}
_METHODS: Final = ("get", "put", "post", "delete", "options", "head", "patch")


def openapi_message(document: _Json) -> bytes:
    """The message of an OpenAPI v2 document, decoded from its JSON."""
    shaped = _shaped(
        document,
        paths=lambda paths: {"path": _named(paths, _path_item)},
        definitions=lambda types: {"additional_properties": _named(types, _schema)},
        securityDefinitions=lambda found: {
            "additional_properties": _named(found, lambda one: {"api_key_security": _shaped(one)})
        },
        security=lambda found: [
            {"additional_properties": _named(one, lambda scopes: {"value": scopes})}
            for one in found
        ],
        info=_shaped,
    )
    return Writers(facts.load()).write("openapi.v2.Document", shaped)


def _shaped(node: _Json, **shapes: _Shape) -> dict[str, Any]:
    """An object with the message's names; fields of `shapes` are made by them, others kept."""
    found: dict[str, Any] = {}
    extensions = []
    for name, value in node.items():
        if name.startswith("x-"):
            text = orjson.dumps(value).decode() + "\n"
            extensions.append({"name": name, "value": {"yaml": text}})
        else:
            shape = shapes.get(name)
            found[_snake(name)] = value if shape is None else shape(value)
    if extensions:
        found["vendor_extension"] = extensions
    return found


def _snake(name: str) -> str:
    """`operationId` -> `operation_id`, `$ref` -> `_ref`."""
    letters = [f"_{letter.lower()}" if letter.isupper() else letter for letter in name]
    return "".join(letters).replace("$", "_")


def _named(values: _Json, shape: _Shape) -> list[dict[str, Any]]:
    return [{"name": name, "value": shape(value)} for name, value in values.items()]


def _path_item(item: _Json) -> dict[str, Any]:
    return _shaped(item, parameters=_parameters, **dict.fromkeys(_METHODS, _operation))


def _operation(operation: _Json) -> dict[str, Any]:
    return _shaped(
        operation,
        parameters=_parameters,
        responses=lambda codes: {"response_code": _named(codes, _response)},
    )


def _parameters(parameters: list[_Json]) -> list[dict[str, Any]]:
    return [_parameter(parameter) for parameter in parameters]


def _parameter(parameter: _Json) -> dict[str, Any]:
    if "$ref" in parameter:
        return {"json_reference": _shaped(parameter)}
    if parameter["in"] == "body":
        return {"parameter": {"body_parameter": _shaped(parameter, schema=_schema)}}
    sub_schema = {_SUB_SCHEMA[parameter["in"]]: _shaped(parameter)}
    return {"parameter": {"non_body_parameter": sub_schema}}


def _response(response: _Json) -> dict[str, Any]:
    if "$ref" in response:
        return {"json_reference": _shaped(response)}
    return {"response": _shaped(response, schema=lambda schema: {"schema": _schema(schema)})}


def _schema(schema: _Json) -> dict[str, Any]:
    return _shaped(
        schema,
        type=lambda name: {"value": [name] if isinstance(name, str) else name},
        properties=lambda fields: {"additional_properties": _named(fields, _schema)},
        items=lambda element: {"schema": [_schema(element)]},
        additionalProperties=_additional,
        default=_any,
        enum=lambda values: [_any(value) for value in values],
    )


def _additional(value: Any) -> dict[str, Any]:
    return {"boolean": value} if isinstance(value, bool) else {"schema": _schema(value)}


def _any(value: Any) -> dict[str, str]:
    return {"yaml": orjson.dumps(value).decode() + "\n"}
