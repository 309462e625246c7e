"""Requests of the EKS API: labels, query and body gathered and checked by botocore's model.

Required members, types, lengths, ranges, patterns and enumerations of the model are checked; what
the model does not know is ignored, as AWS does. Texts follow the validation errors of AWS's
services ("1 validation error detected: Value ... failed to satisfy constraint: ...").
"""

import re
from collections.abc import Mapping
from typing import Any

import orjson

from ekslab.cloud.eks.faults import invalid_parameter
from ekslab.cloud.gateway.faults import AwsFault
from ekslab.cloud.gateway.routing import Route, service_model
from ekslab.cloud.gateway.sigv4 import query_pairs
from ekslab.cloud.ports import AwsRequest

Params = dict[str, Any]


def read_params(request: AwsRequest, route: Route) -> Params:
    """The members of the operation's input, checked.

    Raises:
        AwsFault: the body is no JSON object, or a member does not fit the model.
    """
    model = service_model("eks")
    assert model is not None
    shape = model.operation_model(route.action).input_shape
    if shape is None:
        return {}
    body = _read_body(request)
    query: dict[str, list[str]] = {}
    for name, text in query_pairs(request.query):
        query.setdefault(name, []).append(text)
    params: Params = {}
    value: Any
    for name, member in shape.members.items():
        traits = member.serialization
        wire_name = traits.get("name", name)
        match traits.get("location"):
            case "uri":
                value = route.parameters.get(wire_name)
            case "querystring":
                value = _from_query(member, query.get(wire_name), name)
            case _:
                value = body.get(wire_name)
        if value is not None:
            params[name] = value
    _check_structure(shape, params, "")
    return params


def _read_body(request: AwsRequest) -> Mapping[str, Any]:
    if not request.body:
        return {}
    try:
        body = orjson.loads(request.body)
    except orjson.JSONDecodeError:
        raise AwsFault("SerializationException", "The request body is not valid JSON.") from None
    if not isinstance(body, dict):
        raise AwsFault(
            "SerializationException", "Start of structure or map found where not expected."
        )
    return body


def _from_query(shape: Any, values: list[str] | None, name: str) -> Any:
    if not values:
        return None
    if shape.type_name == "list":
        return values
    text = values[0]
    if shape.type_name in {"integer", "long"}:
        if not re.fullmatch(r"-?\d+", text):
            raise invalid_parameter(f"Value '{text}' at '{name}' is not a number")
        return int(text)
    if shape.type_name == "boolean":
        return text.lower() == "true"
    return text


def _check_structure(shape: Any, value: Mapping[str, Any], path: str) -> None:
    for name in shape.required_members:
        if value.get(name) is None:
            raise invalid_parameter(
                f"1 validation error detected: Value null at '{path}{name}' failed to satisfy "
                "constraint: Member must not be null"
            )
    for name, member in shape.members.items():
        if value.get(name) is not None:
            _check(member, value[name], f"{path}{name}")


def _check(shape: Any, value: Any, path: str) -> None:
    expected = _TYPES.get(shape.type_name)
    if expected is not None and (
        not isinstance(value, expected)
        or (isinstance(value, bool) and shape.type_name != "boolean")
    ):
        raise invalid_parameter(f"Invalid type for '{path}': expected {shape.type_name}")
    match shape.type_name:
        case "structure":
            _check_structure(shape, value, f"{path}.")
        case "list":
            _check_size(shape, len(value), value, path)
            for index, item in enumerate(value, start=1):
                _check(shape.member, item, f"{path}.{index}.member")
        case "map":
            _check_size(shape, len(value), value, path)
            for key, item in value.items():
                _check(shape.key, key, path)
                _check(shape.value, item, f"{path}.{key}.member")
        case "string":
            _check_text(shape, value, path)
        case "integer" | "long" | "double" | "float":
            _check_range(shape, value, path)


_TYPES: Mapping[str, tuple[type, ...]] = {
    "structure": (dict,),
    "list": (list,),
    "map": (dict,),
    "string": (str,),
    "integer": (int,),
    "long": (int,),
    "double": (int, float),
    "float": (int, float),
    "boolean": (bool,),
}


def _fails(value: Any, path: str, constraint: str) -> AwsFault:
    return invalid_parameter(
        f"1 validation error detected: Value '{value}' at '{path}' failed to satisfy constraint: "
        f"Member must {constraint}"
    )


def _check_text(shape: Any, value: str, path: str) -> None:
    _check_size(shape, len(value), value, path)
    pattern = shape.metadata.get("pattern")
    if pattern and not re.fullmatch(pattern, value):
        raise _fails(value, path, f"satisfy regular expression pattern: {pattern}")
    values = shape.metadata.get("enum")
    if values and value not in values:
        raise _fails(value, path, f"satisfy enum value set: [{', '.join(values)}]")


def _check_size(shape: Any, size: int, value: Any, path: str) -> None:
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    if least is not None and size < least:
        raise _fails(value, path, f"have length greater than or equal to {least}")
    if most is not None and size > most:
        raise _fails(value, path, f"have length less than or equal to {most}")


def _check_range(shape: Any, value: float, path: str) -> None:
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    if least is not None and value < least:
        raise _fails(value, path, f"have value greater than or equal to {least}")
    if most is not None and value > most:
        raise _fails(value, path, f"have value less than or equal to {most}")
