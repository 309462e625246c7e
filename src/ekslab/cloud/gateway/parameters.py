"""What AWS refuses before an operation begins: moto takes nearly anything, and does something.

The rules come from botocore's models: the operations a service has, the members a request must
have, and for IAM and Auto Scaling the bounds and patterns of strings. The words are those of the
services: EC2's `MissingParameter`, the validation errors of the query services.
"""

import functools
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ekslab.cloud.gateway import shapes
from ekslab.cloud.gateway.faults import AwsFault, Protocol
from ekslab.cloud.gateway.routing import Route, service_model

_VALIDATED: Final = frozenset({"iam", "autoscaling"})
_POLICIES: Final = frozenset({"AssumeRolePolicyDocument", "PolicyDocument"})
_NAME_PATTERN: Final = r"[\w+=,.@-]+"
_EC2_IDS: Final[Mapping[str, tuple[str, str]]] = {
    "InstanceId": ("i", "InvalidInstanceID.Malformed"),
    "ImageId": ("ami", "InvalidAMIID.Malformed"),
}
# Operations that give no pages of things named by id, and EC2's name for the ids.
_WHOLE_BY_ID: Final[Mapping[str, tuple[str, str]]] = {
    "DescribeInstances": ("InstanceId", "instancesSet"),
    "DescribeInstanceStatus": ("InstanceId", "instancesSet"),
    "DescribeNetworkInterfaces": ("NetworkInterfaceId", "networkInterfaceIdSet"),
    "DescribeVolumes": ("VolumeId", "volumeSet"),
}
# Where the model says nothing: EC2 API reference, `MaxResults`.
_PAGE_LEAST: Final = 5
_PAGE_MOST: Final = 1000
_NUMBERS: Final = frozenset({"integer", "long"})
_NUMBER: Final = re.compile(r"[-+]?[0-9]{1,18}")
_HEX: Final = re.compile(r"[0-9a-f]{8}(?:[0-9a-f]{9})?")


@dataclass(frozen=True, slots=True)
class _Member:
    """A member of a request: `wire` is its name in the form, `field` the one in messages.

    `least` and `most` bound the length of a string and the value of a number.
    """

    wire: str
    field: str
    required: bool
    kind: str
    least: int | None
    most: int | None
    pattern: str

    def is_given(self, parameters: Mapping[str, str]) -> bool:
        prefix = self.wire + "."
        return self.wire in parameters or any(name.startswith(prefix) for name in parameters)


def check(route: Route, body: bytes) -> None:
    """Refuse what the service itself would refuse at once.

    Raises:
        AwsFault: in the service's words.
    """
    if route.protocol is Protocol.JSON:
        _check_json(route, body)
        return
    if route.protocol not in {Protocol.QUERY, Protocol.EC2}:
        return
    model = service_model(route.service)
    if model is None:
        return
    if not route.action:
        raise AwsFault("MissingAction", "The request is missing an action or a required parameter.")
    if route.action not in model.operation_names:
        raise _unknown_action(route, model.api_version)
    members = _members(route.service, route.action)
    refuse = _check_ec2 if route.protocol is Protocol.EC2 else _check_query
    refuse(route, members)


def _check_json(route: Route, body: bytes) -> None:
    # DynamoDB and its streams sign by one name.
    found = (service_model(route.service), service_model(route.service + "streams"))
    models = [model for model in found if model is not None]
    model = next((model for model in models if route.action in model.operation_names), None)
    if model is None:
        if models:
            raise AwsFault(
                "UnknownOperationException",
                "The requested operation is not recognized by the service.",
            )
        return
    shape = model.operation_model(route.action).input_shape
    problem = shapes.problem_of(shape, _decoded(body)) if shape is not None else ""
    if problem:
        raise AwsFault("ValidationException", problem)


def _decoded(body: bytes) -> Mapping[str, Any]:
    try:
        decoded = json.loads(body or b"{}")
    except (ValueError, RecursionError):
        raise AwsFault("SerializationException", "The request body is not valid JSON.") from None
    if not isinstance(decoded, dict):
        raise AwsFault(
            "SerializationException", "Start of structure or map found where not expected."
        )
    return decoded


def _unknown_action(route: Route, version: str) -> AwsFault:
    if route.protocol is Protocol.EC2:
        text = f"The action {route.action} is not valid for this web service."
    else:
        text = f"Could not find operation {route.action} for version {version}"
    return AwsFault("InvalidAction", text)


def _check_ec2(route: Route, members: tuple[_Member, ...]) -> None:
    for member in members:
        if member.required and not member.is_given(route.parameters):
            raise AwsFault(
                "MissingParameter", f"The request must contain the parameter {member.field}"
            )
        value = route.parameters.get(member.wire)
        if value is not None and member.kind in _NUMBERS:
            _check_ec2_number(member, value)
    _check_page_by_id(route)
    for name, value in route.parameters.items():
        kind = _EC2_IDS.get(name.partition(".")[0])
        if kind is None or "." in name.partition(".")[2]:
            continue
        prefix, code = kind
        head, _, tail = value.partition("-")
        if head != prefix or not _HEX.fullmatch(tail):
            raise AwsFault(code, f'Invalid id: "{value}"')


def _check_ec2_number(member: _Member, value: str) -> None:
    refused = f"Value ( {value} ) for parameter {member.field} is invalid."
    if not _NUMBER.fullmatch(value):
        raise AwsFault("InvalidParameterValue", f"{refused} Expecting a number.")
    if member.wire == "MaxResults":
        least, most = member.least or _PAGE_LEAST, member.most or _PAGE_MOST
        if int(value) < least:
            text = (
                f"{refused} Expecting a value greater than {least}."  # as EC2 says for "at least"
            )
            raise AwsFault("InvalidParameterValue", text)
        if int(value) > most:
            text = f"{refused} Expecting a value less than {most}."
            raise AwsFault("InvalidParameterValue", text)


def _check_page_by_id(route: Route) -> None:
    prefix, ids = _WHOLE_BY_ID.get(route.action, ("", ""))
    if ids and "MaxResults" in route.parameters and f"{prefix}.1" in route.parameters:
        raise AwsFault(
            "InvalidParameterCombination",
            f"The parameter {ids} cannot be used with the parameter maxResults",
        )


def _check_query(route: Route, members: tuple[_Member, ...]) -> None:
    if route.service not in _VALIDATED:
        return
    problems = []
    for member in members:
        value = route.parameters.get(member.wire)
        if value is not None:
            problems += _problems_of(member, value)
        elif member.required and not member.is_given(route.parameters):
            problems.append(
                f"Value null at '{member.field}' failed to satisfy constraint: Member must not be"
                " null"
            )
    if problems:
        errors = "error" if len(problems) == 1 else "errors"
        text = f"{len(problems)} validation {errors} detected: " + "; ".join(problems)
        raise AwsFault("ValidationError", text)
    for member in members:
        value = route.parameters.get(member.wire)
        if value is None:
            continue
        if member.pattern == _NAME_PATTERN and not re.fullmatch(_NAME_PATTERN, value, re.ASCII):
            raise AwsFault(
                "ValidationError",
                f"The specified value for {member.field} is invalid. It must contain only"
                " alphanumeric characters and/or the following: +=,.@_-",
            )
        if member.wire in _POLICIES and not _is_json_object(value):
            raise AwsFault("MalformedPolicyDocument", "This policy contains invalid Json")


def _problems_of(member: _Member, value: str) -> list[str]:
    if member.kind in _NUMBERS:
        if not _NUMBER.fullmatch(value):
            raise AwsFault("MalformedInput", f"{value} at {member.field} is no number")
        size, what = int(value), "value"
    elif member.kind == "string":
        size, what = len(value), "length"
    else:
        return []
    failed = f"Value at '{member.field}' failed to satisfy constraint: Member must have {what}"
    if member.least is not None and size < member.least:
        return [f"{failed} greater than or equal to {member.least}"]
    if member.most is not None and size > member.most:
        return [f"{failed} less than or equal to {member.most}"]
    return []


def _is_json_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False


@functools.lru_cache(maxsize=512)
def _members(service: str, action: str) -> tuple[_Member, ...]:
    """The members of an operation's request that there is something to say about."""
    shape = service_model(service).operation_model(action).input_shape  # type: ignore[union-attr]
    if shape is None:
        return ()
    required = set(shape.required_members)
    wire_name = _ec2_name if service == "ec2" else _query_name
    return tuple(
        _member(name, member, required=name in required, wire_name=wire_name)
        for name, member in shape.members.items()
    )


def _member(
    name: str, shape: Any, *, required: bool, wire_name: Callable[[str, Any], str]
) -> _Member:
    limits = shape.metadata if shape.type_name in {"string", *_NUMBERS} else {}
    return _Member(
        wire=wire_name(name, shape),
        field=name[0].lower() + name[1:],
        required=required,
        kind=shape.type_name,
        least=limits.get("min"),
        most=limits.get("max"),
        pattern=limits.get("pattern", ""),
    )


def _query_name(name: str, shape: Any) -> str:
    found: str = shape.serialization.get("name", name)
    return found


def _ec2_name(name: str, shape: Any) -> str:
    """As botocore writes it (`EC2Serializer`): the query name, else the location's, capitalized."""
    found: str = shape.serialization.get("queryName") or shape.serialization.get("name") or name
    return found[0].upper() + found[1:]
