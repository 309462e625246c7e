"""From messages to objects: one compiled reader per message.

A reader fills a dict that is there already, as Go's `Unmarshal` fills a struct: a message that
comes twice is merged, an embedded one fills the object that embeds it. Then it adds what Go's JSON
encoder writes although it is zero. Compiled when a message first comes by.
"""

import base64
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from ekslab.kube.api.protobuf import scalars
from ekslab.kube.api.protobuf.facts import WRITTEN, Facts, Field
from ekslab.kube.api.protobuf.wire import (
    BYTES,
    DEPTH_MOST,
    FIXED64,
    VARINT,
    MessageError,
    fields_of,
    int32,
    int64,
    passed_over,
    sized,
    text,
    too_deep,
    unexpected_end,
    varint,
    wrong_wire,
)
from ekslab.kube.api.requests import Object

Read = Callable[[bytes, int, int, Object, int], None]
"""Fills an object from a message: data, first, behind, object, how deep it lies."""

_OfBytes = Callable[[bytes, int, int, int], Any]  # data, first, behind, depth -> value
_OfVarint = Callable[[int], Any]
_TakeBytes = Callable[[Object, bytes, int, int, int], None]
_TakeVarint = Callable[[Object, int], None]

_KEY: Final = 0x0A
_VALUE_BYTES: Final = 0x12
_DOUBLE: Final = struct.Struct("<d")
_VARINTS: Final[dict[str, _OfVarint]] = {"i4": int32, "i8": int64, "b": bool}
_NO_ZERO: Final = "LMryeu"  # first letters of codes whose zero is never written
_ZEROS: Final[dict[str, Any]] = {
    "s": "", "i4": 0, "i8": 0, "b": False, "n": 0, "q": "0", "x": 0, "t": None, "m": None,
}  # fmt: skip


def _of_text(data: bytes, first: int, behind: int, _depth: int) -> str:
    try:
        return data[first:behind].decode()
    except UnicodeDecodeError:
        return text(data[first:behind])


def _of_bytes(data: bytes, first: int, behind: int, _depth: int) -> str:
    return base64.b64encode(data[first:behind]).decode()


def _of_small(convert: Callable[[bytes], Any]) -> _OfBytes:
    def of(data: bytes, first: int, behind: int, _depth: int) -> Any:
        return convert(data[first:behind])

    return of


@dataclass(slots=True)
class _Plan:
    """How a message is read: what takes a field, by its tag; names are by number."""

    message: str
    zeros: list[tuple[str, Callable[[], Any]]]
    of_bytes: dict[int, _TakeBytes] = field(default_factory=dict)
    of_varint: dict[int, _TakeVarint] = field(default_factory=dict)
    doubles: dict[int, str] = field(default_factory=dict)
    names: dict[int, str] = field(default_factory=dict)

    def rare(self, data: bytes, pos: int, end: int, tag: int, out: Object) -> int:
        """Take a double or pass over an unknown field; the position behind it."""
        if tag in self.doubles:
            if pos + 8 > end:
                raise unexpected_end()
            out[self.doubles[tag]] = _json_number(_DOUBLE.unpack_from(data, pos)[0])
            return pos + 8
        if tag >> 3 in self.names:
            raise wrong_wire(tag, self.names[tag >> 3])
        return passed_over(data, pos, end, tag, message=self.message)


def _reader_of(plan: _Plan) -> Read:
    """The loop over the fields of one message: all time is spent here."""
    of_bytes, of_varint, zeros, rare = plan.of_bytes, plan.of_varint, plan.zeros, plan.rare

    def read(data: bytes, pos: int, end: int, out: Object, depth: int) -> None:
        if depth > DEPTH_MOST:
            raise too_deep()
        while pos < end:
            tag = data[pos]
            pos += 1
            if tag > 0x7F:
                tag, pos = varint(data, pos - 1, end)
            if tag in of_bytes:
                if pos < end and (size := data[pos]) < 0x80 and pos + size < end:
                    pos += 1  # the common case of `sized`, without a call
                    behind = pos + size
                else:
                    pos, behind = sized(data, pos, end)
                of_bytes[tag](out, data, pos, behind, depth)
                pos = behind
            elif tag in of_varint:
                value, pos = varint(data, pos, end)
                of_varint[tag](out, value)
            else:
                pos = rare(data, pos, end, tag, out)
        for name, zero in zeros:
            if name not in out:
                out[name] = zero()

    return read


class Readers:
    """The readers of all messages of a table."""

    def __init__(self, facts: Facts, enveloped: Callable[[bytes, int], Object]) -> None:
        self._facts = facts
        self._enveloped = enveloped
        self._readers: dict[str, Read] = {}
        self._compiling: set[str] = set()
        self._of_bytes: dict[str, _OfBytes] = {
            "s": _of_text,
            "y": _of_bytes,
            "q": _of_small(scalars.quantity_of),
            "t": _of_small(scalars.time_of),
            "m": _of_small(scalars.micro_time_of),
            "x": _of_small(scalars.int_or_string_of),
            "e": _of_small(scalars.strings_of),
            "r": self._of_raw,
        }

    def read(self, message: str, raw: bytes, *, depth: int = 0) -> Object:
        """The object in a message.

        Raises:
            MessageError: it is no such message.
        """
        found: Object = {}
        self._reader(message)(raw, 0, len(raw), found, depth)
        return found

    def _reader(self, message: str) -> Read:
        reader = self._readers.get(message)
        if reader is None:
            self._compiling.add(message)
            reader = self._readers[message] = self._compiled(message)
            self._compiling.remove(message)
        return reader

    def _compiled(self, message: str) -> Read:
        plan = _Plan(message.rpartition(".")[2], zeros=self._zeros(message))
        for row in self._facts.messages[message]:
            plan.names[row.number] = row.name
            varint_of = _VARINTS.get(row.code.removeprefix("L"))
            if varint_of is not None:
                plan.of_varint[row.number << 3 | VARINT] = _varint_taker(row, varint_of)
                if row.code[0] == "L":
                    plan.of_bytes[row.number << 3 | BYTES] = _packed_taker(row.name, varint_of)
            elif row.code == "n":
                plan.doubles[row.number << 3 | FIXED64] = row.name
            else:
                plan.of_bytes[row.number << 3 | BYTES] = self._bytes_taker(row)
        return _reader_of(plan)

    def _bytes_taker(self, row: Field) -> _TakeBytes:
        name, code = row.name, row.code
        if code[0] == "I":
            return self._embedded_taker(code[2:])
        if code[0] == "L":
            return _list_taker(name, self._of(code[1:]))
        if code[0] == "M":
            return self._map_taker(name, code[1:])
        if code[0] == "@":
            return self._object_taker(name, code[1:])
        of = self._of(code)
        if not row.keeps_zero or code in {"t", "m", "r"} or code[0] == "u":
            none_only = row.keeps_zero or code not in {"s", "y"}

            def take_unless_zero(
                out: Object, data: bytes, first: int, behind: int, depth: int
            ) -> None:
                value = of(data, first, behind, depth)
                if value is None or not (none_only or value):
                    out.pop(name, None)
                else:
                    out[name] = value

            return take_unless_zero

        def take(out: Object, data: bytes, first: int, behind: int, depth: int) -> None:
            out[name] = of(data, first, behind, depth)

        return take

    def _embedded_taker(self, message: str) -> _TakeBytes:
        read = self._lazily(message)

        def take(out: Object, data: bytes, first: int, behind: int, depth: int) -> None:
            read(data, first, behind, out, depth + 1)

        return take

    def _object_taker(self, name: str, message: str) -> _TakeBytes:
        read = self._lazily(message)

        def take(out: Object, data: bytes, first: int, behind: int, depth: int) -> None:
            inner = out.get(name)
            if inner is None:
                inner = out[name] = {}
            read(data, first, behind, inner, depth + 1)

        return take

    def _map_taker(self, name: str, code: str) -> _TakeBytes:
        of = self._of(code)

        def take(out: Object, data: bytes, first: int, behind: int, depth: int) -> None:
            key, begin, end = "", 0, 0
            for tag, start, stop in fields_of(data, first, behind, name):
                if tag == _KEY:
                    key = _of_text(data, start, stop, 0)
                elif tag == _VALUE_BYTES:
                    begin, end = start, stop
            found = out.get(name)
            if found is None:
                found = out[name] = {}
            found[key] = of(data, begin, end, depth)

        return take

    def _lazily(self, message: str) -> Read:
        """The reader of a message that may be just being compiled: types refer to themselves."""
        if message not in self._compiling:
            return self._reader(message)
        readers = self._readers

        def read(data: bytes, pos: int, end: int, out: Object, depth: int) -> None:
            readers[message](data, pos, end, out, depth)

        return read

    def _of(self, code: str) -> _OfBytes:
        """What makes a value of the bytes of a field, a list element or a map's value."""
        if code[0] == "u":
            return self._of_union(code[1], code[3:])
        if code[0] != "@":
            return self._of_bytes[code]
        read = self._lazily(code[1:])

        def of(data: bytes, first: int, behind: int, depth: int) -> Object:
            found: Object = {}
            read(data, first, behind, found, depth + 1)
            return found

        return of

    def _of_raw(self, data: bytes, first: int, behind: int, depth: int) -> Any:
        """JSON kept as text, or an object in an envelope of its own; None for nothing."""
        raw = b""
        for tag, start, stop in fields_of(data, first, behind, "RawExtension"):
            if tag == _KEY:
                raw = data[start:stop]
        if not raw:
            return None
        if raw.startswith(b"k8s\x00"):
            return self._enveloped(raw, depth + 1)
        try:
            return orjson.loads(raw)
        except orjson.JSONDecodeError as error:
            raise MessageError(f"invalid JSON in a raw field: {error}") from None

    def _of_union(self, kind: str, message: str) -> _OfBytes:
        """JSONSchemaPropsOr...: field 1 is the schema, or for OrBool the boolean; 2 the other."""
        of_schema = self._of("@" + message)

        def of(data: bytes, first: int, behind: int, depth: int) -> Any:
            schema: Any = None
            several: list[Any] = []
            allows = False
            for tag, start, stop in fields_of(data, first, behind, message):
                if tag == (_VALUE_BYTES if kind == "b" else _KEY):
                    schema = of_schema(data, start, stop, depth)
                elif tag == _VALUE_BYTES:
                    of_element = of_schema if kind == "a" else _of_text
                    several.append(of_element(data, start, stop, depth))
                elif kind == "b" and tag >> 3 == 1:
                    allows = bool(start)
            if kind == "b":
                return schema if schema is not None else allows
            return several or schema

        return of

    def _zeros(self, message: str) -> list[tuple[str, Callable[[], Any]]]:
        """What Go writes although it holds nothing, also by embedded messages."""
        found: list[tuple[str, Callable[[], Any]]] = []
        for row in self._facts.messages[message]:
            if row.code[0] == "I":
                found += self._zeros(row.code[2:])
            elif row.presence == WRITTEN and row.code[0] not in _NO_ZERO:
                found.append((row.name, self._zero(row.code)))
        return found

    def _zero(self, code: str) -> Callable[[], Any]:
        if code[0] != "@":
            value = _ZEROS[code]
            return lambda: value
        message = code[1:]
        return lambda: self.read(message, b"")


def _json_number(value: float) -> float | int:
    """A double as JSON has it: Go writes whole numbers without a point."""
    return int(value) if value.is_integer() and abs(value) < 1e21 else value


def _list_taker(name: str, of: _OfBytes) -> _TakeBytes:
    def take(out: Object, data: bytes, first: int, behind: int, depth: int) -> None:
        value = of(data, first, behind, depth)
        found = out.get(name)
        if found is None:
            out[name] = [value]
        else:
            found.append(value)

    return take


def _varint_taker(row: Field, of: _OfVarint) -> _TakeVarint:
    name, keeps_zero = row.name, row.keeps_zero

    def take(out: Object, value: int) -> None:
        if value or keeps_zero:
            out[name] = of(value)
        else:
            out.pop(name, None)

    def append(out: Object, value: int) -> None:
        out.setdefault(name, []).append(of(value))

    return append if row.code[0] == "L" else take


def _packed_taker(name: str, of: _OfVarint) -> _TakeBytes:
    def take(out: Object, data: bytes, first: int, behind: int, _depth: int) -> None:
        while first < behind:
            value, first = varint(data, first, behind)
            out.setdefault(name, []).append(of(value))

    return take
