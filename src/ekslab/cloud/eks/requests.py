"""Requests of the EKS API: labels, query and body gathered and checked by botocore's model."""

import re
from collections.abc import Mapping
from typing import Any

import orjson

from ekslab.cloud.eks.faults import invalid_parameter
from ekslab.cloud.gateway import shapes
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
    problem = shapes.problem_of(shape, params)
    if problem:
        raise invalid_parameter(problem)
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
        if not re.fullmatch(r"-?\d{1,19}", text):
            raise invalid_parameter(f"Value '{text}' at '{name}' is not a number")
        return int(text)
    if shape.type_name == "boolean":
        return text.lower() == "true"
    return text
