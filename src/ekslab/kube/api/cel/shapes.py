"""Schemas as types of expressions: of custom resources (OpenAPI v3), and of built-in types.

What a schema says of sizes is kept beside the types, for estimates of cost. Fields that cannot be
named in CEL, or whose type is not known, are not there. Upstream: apiserver
`pkg/cel/common/schemas.go` (sizes and formats), `pkg/cel/escaping.go` (names), `pkg/cel/types.go`.
"""

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from itertools import count
from typing import Any, Final

from ekslab.kube.api.cel import numbers
from ekslab.kube.api.cel.failures import CelError
from ekslab.kube.api.cel.types import (
    BOOL,
    BYTES,
    DOUBLE,
    DURATION,
    DYN,
    INT,
    STRING,
    TIMESTAMP,
    Shape,
    Type,
    list_of,
    map_of,
)  # fmt: skip
from ekslab.kube.api.cel.values import Duration, MapList, SetList, timestamp
from ekslab.kube.api.schema.model import Kind, Schema

REQUEST_BYTES_MOST: Final = 3 * 1024 * 1024
_TEXT_MOST: Final = REQUEST_BYTES_MOST - 2
_RESERVED: Final = frozenset(
    {
        "true", "false", "null", "in", "as", "break", "const", "continue", "else", "for",
        "function", "if", "import", "let", "loop", "package", "namespace", "return", "var",
        "void", "while",
    }
)  # fmt: skip
_ESCAPES: Final = {"__": "__underscores__", ".": "__dot__", "-": "__dash__", "/": "__slash__"}
_numbers: Final = count(1)


def escaped(name: str) -> str | None:
    """The identifier that stands for a field's name; None if there can be none."""
    if not re.fullmatch(r"[A-Za-z_./-][A-Za-z0-9_./-]*", name):
        return None
    if name in _RESERVED:
        return f"__{name}__"
    return re.sub(r"__|[./-]", lambda match: _ESCAPES[match.group()], name)


def shape_of(schema: Mapping[str, Any], *, is_root: bool, name: str = "") -> Shape | None:
    """The shape of values of a structural schema; None if expressions cannot see them. At the root
    of a resource, apiVersion, kind and two names of its metadata are there whatever it says.
    """
    name = name or f"selfType{next(_numbers)}"
    if schema.get("x-kubernetes-int-or-string"):
        longest = schema.get("maxLength")
        most = _TEXT_MOST if longest is None else max(longest, 0) * 4
        return Shape(type=DYN, most=most, least_bytes=1)
    kind = schema.get("type")
    if is_root:
        kind = "object"
        schema = with_object_meta(schema)
    match kind:
        case "array":
            return _array(schema, name)
        case "object":
            return _object(schema, name)
        case "string":
            return _string(schema)
        case "boolean":
            return Shape(type=BOOL, least_bytes=4)
        case "number":
            return Shape(type=DOUBLE, read=_double)
        case "integer":
            return Shape(type=INT)
    return None


def with_object_meta(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """The schema of a resource with what every resource has."""
    text = {"type": "string"}
    names = {"name": text, "generateName": text}
    added = {
        "kind": text,
        "apiVersion": text,
        "metadata": {"type": "object", "properties": names},
    }
    return {**schema, "type": "object", "properties": {**(schema.get("properties") or {}), **added}}


def _array(schema: Mapping[str, Any], name: str) -> Shape | None:
    items = schema.get("items")
    if items is None:
        return None
    embedded = bool(items.get("x-kubernetes-embedded-resource"))
    element = shape_of(items, is_root=embedded, name=f"{name}.@idx")
    if element is None:
        return None
    most = schema.get("maxItems")
    if most is None:
        most = _TEXT_MOST // (element.least_bytes + 1)
    shape = Shape(type=list_of(element.type), element=element, most=max(most, 0), least_bytes=2)
    shape.read = _list_reader(schema, element.read)
    return shape


def _list_reader(
    schema: Mapping[str, Any], read: Callable[[Any], Any] | None
) -> Callable[[Any], Any] | None:
    keys = tuple(schema.get("x-kubernetes-list-map-keys") or ())
    kind = schema.get("x-kubernetes-list-type")

    def elements(value: Any) -> list[Any]:
        if read is None:
            return list(value)
        return [None if each is None else read(each) for each in value]

    if kind == "set":
        return lambda value: SetList(elements(value))
    if kind == "map" and keys:
        return lambda value: MapList(elements(value), keys)
    return None if read is None else elements


def _object(schema: Mapping[str, Any], name: str) -> Shape | None:
    extra = schema.get("additionalProperties")
    if isinstance(extra, Mapping):
        return _map(schema, extra, name)
    fields: dict[str, Shape] = {}
    wire: dict[str, str] = {}
    required = frozenset(schema.get("required") or ())
    least = 2
    for field, part in (schema.get("properties") or {}).items():
        embedded = bool(part.get("x-kubernetes-embedded-resource"))
        shape = shape_of(part, is_root=embedded, name=f"{name}.{field}")
        if shape is None:
            continue
        identifier = escaped(field)
        if identifier is not None:
            fields[identifier] = shape
            if identifier != field:
                wire[identifier] = field
        if field in required and "default" not in part:
            least += len(field) + shape.least_bytes + 4
    made = Shape(type=DYN, fields=fields, wire=wire, least_bytes=least)
    made.type = Type(name, shape=made)
    return made


def _map(schema: Mapping[str, Any], extra: Mapping[str, Any], name: str) -> Shape | None:
    embedded = bool(extra.get("x-kubernetes-embedded-resource"))
    element = shape_of(extra, is_root=embedded, name=f"{name}.@elem")
    if element is None:
        return None
    most = schema.get("maxProperties")
    if most is None:
        most = _TEXT_MOST // (element.least_bytes + 6)
    key = Shape(type=STRING, most=0, least_bytes=2)
    kind = map_of(STRING, element.type)
    shape = Shape(type=kind, element=element, key=key, most=max(most, 0), least_bytes=2)
    read = element.read
    if read is not None:
        shape.read = lambda value: {
            key: None if each is None else read(each) for key, each in value.items()
        }
    return shape


def _string(schema: Mapping[str, Any]) -> Shape:
    longest = schema.get("maxLength")
    match schema.get("format"):
        case "byte":
            most = _TEXT_MOST if longest is None else max(longest, 0)
            return Shape(type=BYTES, most=most, least_bytes=2, read=_bytes)
        case "duration":
            return Shape(type=DURATION, most=32, least_bytes=3, read=_duration)
        case "date":
            return Shape(type=TIMESTAMP, most=12, least_bytes=12, read=_date)
        case "date-time":
            return Shape(type=TIMESTAMP, most=32, least_bytes=21, read=_time)
    if longest is not None:
        most = max(longest, 0) * 4
    elif schema.get("enum"):
        most = max(len(each.encode()) for each in schema["enum"] if isinstance(each, str))
    else:
        most = _TEXT_MOST
    return Shape(type=STRING, most=most, least_bytes=2)


def _double(value: Any) -> Any:
    return float(value) if value.__class__ is int else value


def _bytes(value: str) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise CelError("illegal base64 data") from None


def _duration(value: str) -> Duration:
    parsed = numbers.parse_duration(value)
    if parsed is None:
        raise CelError(f'unable to parse duration "{value}"')
    return Duration(parsed)


def _date(value: str) -> Any:
    return _time(f"{value}T00:00:00Z")


def _time(value: str) -> Any:
    parsed = numbers.parse_timestamp(value)
    if parsed is None:
        raise CelError(f'unable to parse time "{value}"')
    return timestamp(parsed)


_KINDS: Final[Mapping[Kind, Type]] = {
    Kind.STRING: STRING,
    Kind.INTEGER: INT,
    Kind.BOOLEAN: BOOL,
    Kind.INT_OR_STRING: DYN,
    Kind.ANY: DYN,
}


def built_in(schema: Schema, *, known: dict[int, Shape] | None = None) -> Shape:
    """The shape of a built-in type, as upstream makes it of its OpenAPI: quantities are texts or
    numbers, and so `dyn`; types that hold themselves end in `dyn`.
    """
    known = {} if known is None else known
    match schema.kind:
        case Kind.OBJECT if schema.fields:
            return _built_in_object(schema, known)
        case Kind.LIST if schema.element is not None:
            element = built_in(schema.element, known=known)
            kind = list_of(element.type)
            return Shape(type=kind, element=element, most=_TEXT_MOST, read=_each(element.read))
        case Kind.MAP if schema.element is not None:
            element = built_in(schema.element, known=known)
            return Shape(type=map_of(STRING, element.type), element=element, most=_TEXT_MOST)
        case Kind.TIME | Kind.MICRO_TIME:
            return Shape(type=TIMESTAMP, most=32, read=_time)
        case Kind.BYTES:
            return Shape(type=BYTES, most=_TEXT_MOST, read=_bytes)
        case Kind.NUMBER:
            return Shape(type=DOUBLE, read=_double)
    return Shape(type=_KINDS.get(schema.kind, DYN), most=_TEXT_MOST)


def _built_in_object(schema: Schema, known: dict[int, Shape]) -> Shape:
    # Fields of one type share their table of fields, whatever stands around it.
    found = known.get(id(schema.fields))
    if found is not None:
        return found
    made = Shape(type=DYN, most=0)
    made.type = Type(schema.name.replace("/", "."), shape=made)
    known[id(schema.fields)] = made
    names = [(escaped(name), name, part) for name, part in schema.fields.items()]
    made.fields = {
        identifier: built_in(part, known=known) for identifier, _, part in names if identifier
    }
    made.wire = {
        identifier: name for identifier, name, _ in names if identifier and identifier != name
    }
    return made


def _each(read: Callable[[Any], Any] | None) -> Callable[[Any], Any] | None:
    if read is None:
        return None
    return lambda value: [None if each is None else read(each) for each in value]
