"""Tables of custom objects: the name, and the columns their definition asks for.

Upstream: apiextensions-apiserver `pkg/registry/customresource/tableconvertor/tableconvertor.go`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import orjson

from ekslab.kit.clock import parse_rfc3339
from ekslab.kube.api.structural.paths import BadPathError, compile_path
from ekslab.kube.apiserver.tables.durations import human_duration

Object = dict[str, Any]

_NAME: Final = {
    "name": "Name",
    "type": "string",
    "format": "name",
    "description": (
        "Name must be unique within a namespace. Is required when creating resources, although some"
        " resources may allow a client to request the generation of an appropriate name"
        " automatically. Name is primarily intended for creation idempotence and configuration"
        " definition. Cannot be updated. More info:"
        " https://kubernetes.io/docs/concepts/overview/working-with-objects/names/#names"
    ),
    "priority": 0,
}
_AGE: Final = {
    "name": "Age",
    "type": "date",
    "description": (
        "CreationTimestamp is a timestamp representing the server time when this object was"
        " created. It is not guaranteed to be set in happens-before order across separate"
        " operations. Clients may not set this value. It is represented in RFC3339 form and is in"
        " UTC.\n\nPopulated by the system. Read-only. Null for lists. More info:"
        " https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md"
        "#metadata"
    ),
    "jsonPath": ".metadata.creationTimestamp",
}


class Printer:
    """The table of one version: `columns` and how their cells are found."""

    def __init__(self, wanted: Sequence[Mapping[str, Any]]) -> None:
        wanted = wanted or (_AGE,)
        self.columns = [_NAME, *map(_column, wanted)]
        self._finders = [(each["type"], _finder(each["jsonPath"])) for each in wanted]

    def cells(self, obj: Object, now: float) -> list[Any]:
        """The cells of one object, in the order of the columns."""
        found: list[Any] = [obj["metadata"].get("name", "")]
        for kind, find in self._finders:
            values = find(obj)
            found.append(_cell(values, kind, now) if values else None)
        return found


def _column(wanted: Mapping[str, Any]) -> Object:
    said = wanted.get("description") or (
        "Custom resource definition column (in JSONPath format): " + wanted["jsonPath"]
    )
    return {
        "name": wanted["name"],
        "type": wanted["type"],
        "format": wanted.get("format", ""),
        "description": said,
        "priority": wanted.get("priority", 0),
    }


def _finder(path: str) -> Callable[[Any], list[Any]]:
    try:
        return compile_path(path)
    except BadPathError:
        return lambda _obj: []


def _cell(values: Sequence[Any], kind: str, now: float) -> Any:
    value = values[0]
    if kind == "string":
        if len(values) > 1:
            return " ".join(map(_text, values))
        return None if value is None else _text(value)
    if kind == "integer" and isinstance(value, int | float) and not isinstance(value, bool):
        return int(value)
    if kind == "number" and isinstance(value, int | float) and not isinstance(value, bool):
        return value
    if kind == "boolean" and isinstance(value, bool):
        return value
    if kind == "date" and isinstance(value, str):
        try:
            return human_duration(now - parse_rfc3339(value))
        except ValueError:
            return "<invalid>"
    return None


def _text(value: Any) -> str:
    """A value as it is printed: texts bare, everything else as JSON."""
    return value if isinstance(value, str) else orjson.dumps(value).decode()
