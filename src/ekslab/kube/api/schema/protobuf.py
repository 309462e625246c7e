r"""Protobuf bodies of built-in types, decoded to plain objects in the wire's JSON spelling.

kubectl and controller-runtime send `application/vnd.kubernetes.protobuf` without falling back:
`k8s\0`, then a `runtime.Unknown` whose `raw` is the object (apimachinery `pkg/runtime/serializer/
protobuf`). Field numbers come from a table of facts (`facts/protobuf.json.gz`), names from the
schema: a message field the JSON type does not have is a Go struct embedded inline, and its fields
belong to its parent (`Volume.volumeSource`). What comes out is checked like any other body.
"""

import base64
import gzip
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Final

import orjson

from ekslab.kit.clock import rfc3339, rfc3339_micro
from ekslab.kube.api.errors import ApiError, bad_request
from ekslab.kube.api.requests import Object
from ekslab.kube.api.schema.catalog import Catalog
from ekslab.kube.api.schema.model import Schema

MEDIA_TYPE: Final = "application/vnd.kubernetes.protobuf"
_MAGIC: Final = b"k8s\x00"
_UNKNOWN: Final = "k8s.io.apimachinery.pkg.runtime.Unknown"
_META: Final = "k8s.io.apimachinery.pkg.apis.meta.v1."
_EXTENSIONS: Final = "k8s.io.apiextensions_apiserver.pkg.apis.apiextensions.v1."
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_VARINT_BYTES_MOST: Final = 10

_Convert = Callable[[Any], Any]
_Message = Mapping[str, tuple[int, str]]


class _WrongWireError(Exception):
    """The bytes are no such message."""


@dataclass(frozen=True, slots=True)
class _Field:
    """One field of a message: where it goes and what becomes of its value.

    `wire` is the wire type it must have. An inline field's fields go to the parent; a map entry is
    a message of key and value.
    """

    name: str
    wire: int
    convert: _Convert
    repeated: bool = False
    is_map: bool = False
    inline: bool = False


_Plan = dict[int, _Field]


class ProtobufDecoder:
    """Decodes protobuf bodies of one catalog's types."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._types = {_message_name(name): schema for name, schema in catalog.types.items()}
        self._plans: dict[tuple[str, str], _Plan] = {}  # bounded by the types there are

    def decode(self, raw: bytes, *, kind: str) -> Object:
        """The object of an enveloped body; `kind` is what errors call it.

        Raises:
            ApiError: 400, these bytes are no such object.
        """
        if not raw.startswith(_MAGIC):
            expected = " ".join(str(byte) for byte in _MAGIC)
            why = (
                "provided data does not appear to be a protobuf message,"
                f" expected prefix [{expected}]"
            )
            raise _unrecognized(kind, why)
        try:
            unknown = _read(raw[len(_MAGIC) :], self._plan(_UNKNOWN, None))
            said = unknown.get("typeMeta", {})
            api_version, said_kind = said.get("apiVersion", ""), said.get("kind", "")
            body = base64.b64decode(unknown.get("raw", ""))
            schema = self._schema(api_version, said_kind)
            if schema is None:
                return {"apiVersion": api_version, "kind": said_kind}
            obj = _read(body, self._plan(_message_name(schema.name), schema))
        except (_WrongWireError, RecursionError, UnicodeDecodeError, ValueError) as error:
            raise _unrecognized(kind, f"proto: {error}") from None
        return {"apiVersion": api_version, "kind": said_kind, **obj}

    def _schema(self, api_version: str, kind: str) -> Schema | None:
        group, _, version = api_version.rpartition("/")
        found = self._catalog.schema_of_kind(group, version, kind)
        if found is None and kind.endswith("Options"):
            return self._catalog.meta_type(kind)
        return found

    def _plan(self, name: str, schema: Schema | None) -> _Plan:
        key = (name, schema.name if schema is not None else "")
        plan = self._plans.get(key)
        if plan is None:
            plan = self._plans[key] = {}  # found by itself while its fields are planned
            names = {_plain(known): known for known in schema.fields} if schema else {}
            for field, (number, code) in _messages().get(name, {}).items():
                plan[number] = self._field(name, field, code, schema, names)
        return plan

    def _field(
        self, owner: str, field: str, code: str, schema: Schema | None, names: Mapping[str, str]
    ) -> _Field:
        name = names.get(_plain(field), field)
        inner = schema.fields.get(name) if schema is not None else None
        if code.startswith("map<"):
            value = code[4:-1].partition(",")[2]
            element = inner.element if inner is not None else None
            part = self._value("value", owner, value, element)
            entry: _Plan = {1: _Field("key", _BYTES, _text), 2: part}
            return _Field(name, _BYTES, lambda raw: _read(raw, entry), is_map=True)
        if code.startswith("[]"):
            element = inner.element if inner is not None else None
            one = self._value(name, owner, code[2:], element)
            return _Field(name, one.wire, one.convert, repeated=True)
        found = self._value(name, owner, code, inner)
        if schema is not None and inner is None and self._is_inline(owner, code, schema):
            plan = self._plan(_resolved(code, owner), schema)
            return _Field(name, _BYTES, lambda raw: _read(raw, plan), inline=True)
        return found

    def _is_inline(self, owner: str, code: str, schema: Schema) -> bool:
        embedded = _messages().get(_resolved(code, owner))
        known = {_plain(name) for name in schema.fields}
        return bool(embedded) and all(_plain(name) in known for name in embedded or ())

    def _value(self, name: str, owner: str, code: str, schema: Schema | None) -> _Field:
        scalar = _SCALARS.get(code)
        if scalar is not None:
            return _Field(name, *scalar)
        message = _resolved(code, owner)
        special = _SPECIAL.get(message)
        if special is None and message.endswith((".ExtraValue", ".Verbs")):
            special = _items
        known = schema if schema is not None and schema.fields else self._types.get(message)
        memo: list[_Plan] = []

        def convert(raw: bytes) -> Any:
            if not memo:
                memo.append(self._plan(message, known))
            read = _read(raw, memo[0])
            return read if special is None else special(read)

        return _Field(name, _BYTES, convert)


@cache
def protobuf_decoder(catalog: Catalog) -> ProtobufDecoder:
    """The decoder of a catalog, shared by all tenants of its version."""
    return ProtobufDecoder(catalog)


@cache
def _messages() -> Mapping[str, _Message]:
    packed = resources.files(__package__).joinpath("facts", "protobuf.json.gz").read_bytes()
    messages: Mapping[str, _Message] = orjson.loads(gzip.decompress(packed))["messages"]
    return messages


def _message_name(type_name: str) -> str:
    """`io.k8s.api.core.v1.Pod` -> `k8s.io.api.core.v1.Pod`."""
    return "k8s.io." + type_name.removeprefix("io.k8s.").replace("-", "_")


def _resolved(code: str, owner: str) -> str:
    name = code.lstrip(".")
    return name if "." in name else f"{owner.rpartition('.')[0]}.{name}"


def _plain(name: str) -> str:
    """A name without what Go, protobuf and JSON spell differently: `xKubernetesX`, `$ref`."""
    return "".join(char for char in name if char.isalnum()).lower()


def _unrecognized(kind: str, why: str) -> ApiError:
    return bad_request(f"the object provided is unrecognized (must be of type {kind}): {why}")


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    for index in range(at, min(at + _VARINT_BYTES_MOST, len(raw))):
        byte = raw[index]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, index + 1
        shift += 7
    raise _WrongWireError("unexpected EOF")


def _read(raw: bytes, plan: _Plan) -> Object:
    """One message; fields that are not planned are passed over."""
    result: Object = {}
    at, end = 0, len(raw)
    while at < end:
        tag, at = _varint(raw, at)
        wire = tag & 7
        value: Any
        if wire == _VARINT:
            value, at = _varint(raw, at)
        else:
            if wire == _BYTES:
                length, at = _varint(raw, at)
            elif wire in {_FIXED64, _FIXED32}:
                length = 8 if wire == _FIXED64 else 4
            else:
                raise _WrongWireError(f"illegal wireType {wire}")
            value, at = raw[at : at + length], at + length
            if at > end:
                raise _WrongWireError("unexpected EOF")
        field = plan.get(tag >> 3)
        if field is not None:
            _keep(result, field, wire, value)
    return result


def _keep(result: Object, field: _Field, wire: int, value: Any) -> None:
    if field.repeated and wire == _BYTES and field.wire == _VARINT:
        at = 0
        while at < len(value):
            number, at = _varint(value, at)
            result.setdefault(field.name, []).append(field.convert(number))
        return
    if wire != field.wire:
        raise _WrongWireError(f"wrong wireType = {wire} for field {field.name}")
    converted = field.convert(value)
    if field.inline:
        result.update(converted)
    elif field.is_map:
        entries = result.setdefault(field.name, {})
        entries[converted.get("key", "")] = converted.get("value", "")
    elif field.repeated:
        result.setdefault(field.name, []).append(converted)
    elif converted is not None:
        result[field.name] = converted


def _text(raw: bytes) -> str:
    return raw.decode()


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _double(raw: bytes) -> float:
    number: float = struct.unpack("<d", raw)[0]
    return number


_SCALARS: Final[Mapping[str, tuple[int, _Convert]]] = {
    "string": (_BYTES, _text),
    "bytes": (_BYTES, _base64),
    "bool": (_VARINT, bool),
    "int32": (_VARINT, _signed),
    "int64": (_VARINT, _signed),
    "double": (_FIXED64, _double),
}


def _time(read: Object) -> str | None:
    """Go's zero time has no seconds: it is null in JSON."""
    seconds = read.get("seconds", 0)
    return rfc3339(seconds) if seconds or read.get("nanos") else None


def _micro_time(read: Object) -> str | None:
    seconds, nanos = read.get("seconds", 0), read.get("nanos", 0)
    return rfc3339_micro(seconds + nanos / 1e9) if seconds or nanos else None


def _duration(read: Object) -> str:
    """As Go's `Duration.String` writes whole seconds; fractions keep their digits."""
    seconds = read.get("duration", 0) / 1e9
    return f"{seconds:.9f}".rstrip("0").rstrip(".") + "s"


def _int_or_string(read: Object) -> int | str:
    if read.get("type", 0):
        return str(read.get("strVal", ""))
    return int(read.get("intVal", 0))


def _embedded_json(read: Object) -> Any:
    raw = base64.b64decode(read.get("raw") or read.get("Raw") or "")
    return orjson.loads(raw) if raw else None


def _items(read: Object) -> Any:
    return read.get("items", [])


def _schema_or_array(read: Object) -> Any:
    return read["schema"] if "schema" in read else read.get("jSONSchemas", [])


def _schema_or_bool(read: Object) -> Any:
    return read["schema"] if "schema" in read else read.get("allows", False)


def _schema_or_strings(read: Object) -> Any:
    return read["schema"] if "schema" in read else read.get("property", [])


def _quantity(read: Object) -> str:
    return str(read.get("string") or "0")


_SPECIAL: Final[Mapping[str, _Convert]] = {
    _META + "Time": _time,
    _META + "MicroTime": _micro_time,
    _META + "Duration": _duration,
    _META + "FieldsV1": _embedded_json,
    "k8s.io.apimachinery.pkg.runtime.RawExtension": _embedded_json,
    "k8s.io.apimachinery.pkg.api.resource.Quantity": _quantity,
    "k8s.io.apimachinery.pkg.util.intstr.IntOrString": _int_or_string,
    _EXTENSIONS + "JSON": _embedded_json,
    _EXTENSIONS + "JSONSchemaPropsOrArray": _schema_or_array,
    _EXTENSIONS + "JSONSchemaPropsOrBool": _schema_or_bool,
    _EXTENSIONS + "JSONSchemaPropsOrStringArray": _schema_or_strings,
}
