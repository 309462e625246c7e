"""From objects to messages: one compiled writer per message, byte for byte what Go's code writes.

Fields stand by ascending number; what is no pointer in Go is written even when it holds nothing;
maps by ascending keys. Upstream: `MarshalToSizedBuffer` in `generated.pb.go`.
"""

import base64
import struct
from collections.abc import Callable
from typing import Any, Final

import orjson

from ekslab.kube.api.protobuf import scalars
from ekslab.kube.api.protobuf.facts import POINTER, Facts, Field
from ekslab.kube.api.protobuf.wire import (
    BYTES,
    DEPTH_MOST,
    FIXED64,
    VARINT,
    bytes_field,
    tag_bytes,
    too_deep,
    varint_bytes,
)
from ekslab.kube.api.requests import Object

_Payload = Callable[[Any, int], bytes]  # value, depth -> bytes behind the length
_Write = Callable[[list[bytes], Any, int], None]
_Row = tuple[str, _Write, bytes]  # name, writer, what stands for an absent one

_LENGTHS: Final = tuple(varint_bytes(size) for size in range(2_048))
_VARINTS: Final = frozenset({"i4", "i8", "b"})


def _length(size: int) -> bytes:
    return _LENGTHS[size] if size < 2_048 else varint_bytes(size)


def _text(value: Any, _depth: int) -> bytes:
    encoded: bytes = value.encode()
    return encoded


def _bytes(value: Any, _depth: int) -> bytes:
    return base64.b64decode(value)


def _raw(value: Any, _depth: int) -> bytes:
    return bytes_field(1, orjson.dumps(value))


_PAYLOADS: Final[dict[str, _Payload]] = {
    "s": _text,
    "y": _bytes,
    "q": lambda value, _depth: scalars.quantity_bytes(value),
    "t": lambda value, _depth: b"" if value is None else scalars.time_bytes(value),
    "m": lambda value, _depth: b"" if value is None else scalars.micro_time_bytes(value),
    "x": lambda value, _depth: scalars.int_or_string_bytes(value),
    "e": lambda value, _depth: scalars.strings_bytes(value),
    "r": _raw,
}
_ABSENT: Final = {"s": b"", "q": b"\x0a\x010", "t": b"", "m": b"", "x": b"\x08\x00\x10\x00\x1a\x00",
                  "r": b""}  # fmt: skip


class Writers:
    """The writers of all messages of a table."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self._writers: dict[str, _Payload] = {}
        self._compiling: set[str] = set()

    def write(self, message: str, obj: Object) -> bytes:
        """The message of an object; what the message does not know is left out.

        Raises:
            MessageError: it lies too deep.
        """
        return self._writer(message)(obj, 0)

    def _writer(self, message: str) -> _Payload:
        writer = self._writers.get(message)
        if writer is None:
            self._compiling.add(message)
            writer = self._writers[message] = self._compiled(message)
            self._compiling.remove(message)
        return writer

    def _compiled(self, message: str) -> _Payload:
        rows: list[_Row] = [self._row(row) for row in self._facts.messages[message]]

        def write(obj: Any, depth: int) -> bytes:
            if depth > DEPTH_MOST:
                raise too_deep()
            parts: list[bytes] = []
            get = obj.get
            for name, put, absent in rows:
                value = get(name) if name else obj
                if value is None:
                    if absent:
                        parts.append(absent)
                else:
                    put(parts, value, depth)
            return b"".join(parts)

        return write

    def _row(self, row: Field) -> _Row:
        code, number = row.code, row.number
        if code[0] == "L":
            return row.name, self._list_writer(number, code[1:]), b""
        if code[0] == "M":
            return row.name, self._map_writer(number, code[1:]), b""
        absent = b""
        if code in _VARINTS or code == "n":
            wire = VARINT if code in _VARINTS else FIXED64
            if row.presence != POINTER:
                absent = tag_bytes(number, wire) + (b"\0" if wire == VARINT else bytes(8))
            return row.name, _scalar_writer(number, code), absent
        if row.presence != POINTER and (code[0] == "@" or code in _ABSENT):
            empty = self._writer(code[1:])({}, 0) if code[0] == "@" else _ABSENT[code]
            absent = bytes_field(number, empty)
        return row.name, _field_writer(number, self._payload(code.removeprefix("I"))), absent

    def _payload(self, code: str) -> _Payload:
        if code[0] == "u":
            return self._union(code[1], code[3:])
        if code[0] != "@":
            return _PAYLOADS[code]
        message = code[1:]
        if message not in self._compiling:
            known = self._writer(message)
            return lambda value, depth: known(value, depth + 1)
        writers = self._writers  # a type that refers to itself
        return lambda value, depth: writers[message](value, depth + 1)

    def _list_writer(self, number: int, code: str) -> _Write:
        if code in _VARINTS:
            put = _scalar_writer(number, code)

            def write_scalars(parts: list[bytes], value: Any, depth: int) -> None:
                for element in value:
                    put(parts, element, depth)

            return write_scalars
        payload = self._payload(code)
        tag = tag_bytes(number, BYTES)

        def write(parts: list[bytes], value: Any, depth: int) -> None:
            for element in value:
                content = payload(element, depth)
                parts += (tag, _length(len(content)), content)

        return write

    def _map_writer(self, number: int, code: str) -> _Write:
        payload = self._payload(code)
        tag = tag_bytes(number, BYTES)

        def write(parts: list[bytes], value: Any, depth: int) -> None:
            for key in sorted(value):
                name = key.encode()
                content = payload(value[key], depth)
                head = b"\x0a" + _length(len(name)) + name + b"\x12" + _length(len(content))
                parts += (tag, _length(len(head) + len(content)), head, content)

        return write

    def _union(self, kind: str, message: str) -> _Payload:
        """JSONSchemaPropsOr...; see `Readers._of_union`."""
        schema = self._payload("@" + message)

        def payload(value: Any, depth: int) -> bytes:
            if kind == "b":
                if isinstance(value, bool):
                    return b"\x08\x01" if value else b"\x08\x00"
                return b"\x08\x01" + bytes_field(2, schema(value, depth))
            if not isinstance(value, list):
                return bytes_field(1, schema(value, depth))
            element = schema if kind == "a" else _text
            return b"".join([bytes_field(2, element(each, depth)) for each in value])

        return payload


def _field_writer(number: int, payload: _Payload) -> _Write:
    tag = tag_bytes(number, BYTES)

    def write(parts: list[bytes], value: Any, depth: int) -> None:
        content = payload(value, depth)
        parts += (tag, _length(len(content)), content)

    return write


def _scalar_writer(number: int, code: str) -> _Write:
    if code == "n":
        tag = tag_bytes(number, FIXED64)

        def write_double(parts: list[bytes], value: Any, _depth: int) -> None:
            parts += (tag, struct.pack("<d", value))

        return write_double
    tag = tag_bytes(number, VARINT)

    def write(parts: list[bytes], value: Any, _depth: int) -> None:
        parts += (tag, varint_bytes(value))

    return write
