r"""Objects in protobuf as they travel: `k8s\0`, then a `runtime.Unknown` that says what is inside.

Upstream: apimachinery `pkg/runtime/serializer/protobuf/protobuf.go`. A worked example, the
Namespace `a` with all else empty:

    6b 38 73 00                            the prefix
    0a 0f                                  Unknown.typeMeta, 15 bytes
       0a 02 "v1"  12 09 "Namespace"          its apiVersion and kind
    12 ..                                  Unknown.raw
       0a ..  0a 01 "a" ..                    Namespace.metadata, with its name
       12 00  1a 02 0a 00                     its empty spec; its status with an empty phase
    1a 00 22 00                            Unknown.contentEncoding and contentType, empty

A watch is a sequence of `WatchEvent` messages without an envelope, each after its length in four
bytes; the object inside has its envelope.
"""

import binascii
from functools import cache
from typing import Final

from ekslab.kube.api.errors import ApiError, bad_request
from ekslab.kube.api.protobuf import facts
from ekslab.kube.api.protobuf.reading import Readers
from ekslab.kube.api.protobuf.wire import (
    MessageError,
    bytes_field,
    fields_of,
    text,
)
from ekslab.kube.api.protobuf.writing import Writers
from ekslab.kube.api.requests import Object
from ekslab.kube.api.schema.checking import cannot_be_handled

PREFIX: Final = b"k8s\x00"

_FIELD_1: Final = 0x0A
_FIELD_2: Final = 0x12
_EMPTY_CODING: Final = b"\x1a\x00\x22\x00"
_SUMMARY_BYTES: Final = 30
_TROUBLES: Final = (MessageError, TypeError, ValueError, AttributeError, KeyError, RecursionError,
                    binascii.Error)  # fmt: skip


class _UndecodableError(Exception):
    """A body that is no object; `said` is `(apiVersion, kind)` as far as it was read."""

    def __init__(self, why: str, said: tuple[str, str] = ("", "")) -> None:
        super().__init__(why)
        self.said = said


def decode(raw: bytes, *, kind: str = "Object", api_version: str = "") -> Object:
    """The object in a body, as Go's JSON of it would be.

    Args:
        raw: the body.
        kind: what it is to be; stands in for an absent kind, as `api_version` for the version.
        api_version: may be empty.

    Raises:
        ApiError: 400 in upstream's words.
    """
    try:
        return _decoded(raw, 0, kind, api_version)
    except _UndecodableError as failure:
        said_version, said_kind = failure.said
        if said_kind:
            why = cannot_be_handled(kind, said_version, str(failure), said_kind=said_kind)
        else:
            why = bad_request(
                f"the object provided is unrecognized (must be of type {kind}): {failure}"
                f" ({_summary(raw)})"
            )
        raise why from None


def supports(api_version: str, kind: str) -> bool:
    """Whether objects of a kind can travel as protobuf: built-in ones, and no Table."""
    return facts.load().message_of(api_version, kind) is not None


def encode(obj: Object) -> bytes:
    """The body of an object of a built-in kind.

    Raises:
        ApiError: 406, its kind has no message.
    """
    api_version, kind = obj.get("apiVersion", ""), obj.get("kind", "")
    message = facts.load().message_of(api_version, kind)
    if message is None:
        raise _not_marshalable(kind)
    try:
        content = _writers().write(message, obj)
    except _TROUBLES:
        raise _not_marshalable(kind) from None
    type_meta = bytes_field(1, api_version.encode()) + bytes_field(2, kind.encode())
    return b"".join((PREFIX, bytes_field(1, type_meta), bytes_field(2, content), _EMPTY_CODING))


def watch_frame(event: str, obj: Object) -> bytes:
    """One event of a watch (ADDED, MODIFIED, DELETED, BOOKMARK, ERROR) with its length before it.

    Raises:
        ApiError: 406, the object's kind has no message.
    """
    embedded = bytes_field(2, bytes_field(1, encode(obj)))
    content = bytes_field(1, event.encode()) + embedded
    return len(content).to_bytes(4, "big") + content


def _not_marshalable(kind: str) -> ApiError:
    """406 in the words of upstream's `errNotMarshalable`."""
    message = (
        f"object *{kind} does not implement the protobuf marshalling interface and cannot be"
        " encoded to a protobuf message"
    )
    return ApiError(406, "NotAcceptable", message)


def _decoded(raw: bytes, depth: int, kind: str, api_version: str) -> Object:
    if not raw:
        raise _UndecodableError("empty data")
    if not raw.startswith(PREFIX):
        raise _UndecodableError(
            "provided data does not appear to be a protobuf message, expected prefix"
            f" [{' '.join(str(byte) for byte in PREFIX)}]"
        )
    if len(raw) == len(PREFIX):
        raise _UndecodableError("empty body")
    try:
        said_version, said_kind, content = _unwrapped(raw)
    except MessageError as error:
        raise _UndecodableError(str(error)) from None
    said_version, said_kind = said_version or api_version, said_kind or kind
    message = facts.load().message_of(said_version, said_kind)
    if message is None:
        raise _UndecodableError(
            f'no kind "{said_kind}" is registered for version "{said_version}" in scheme'
            ' "pkg/api/legacyscheme/scheme.go:30"',
            (said_version, said_kind),
        )
    found: Object = {"kind": said_kind, "apiVersion": said_version}
    try:
        found.update(_readers().read(message, content, depth=depth))
    except MessageError as error:
        raise _UndecodableError(str(error), (said_version, said_kind)) from None
    return found


def _unwrapped(raw: bytes) -> tuple[str, str, bytes]:
    """`(apiVersion, kind, content)` of a `runtime.Unknown` behind the prefix."""
    api_version = kind = ""
    content = b""
    for tag, first, behind in fields_of(raw, len(PREFIX), len(raw), "Unknown"):
        if tag == _FIELD_1:
            for inner, begin, end in fields_of(raw, first, behind, "TypeMeta"):
                if inner == _FIELD_1:
                    api_version = text(raw[begin:end])
                elif inner == _FIELD_2:
                    kind = text(raw[begin:end])
        elif tag == _FIELD_2:
            content = raw[first:behind]
    return api_version, kind, content


def _embedded(raw: bytes, depth: int) -> Object:
    """An object in its own envelope inside of another message."""
    try:
        return _decoded(raw, depth, "", "")
    except _UndecodableError as failure:
        raise MessageError(str(failure)) from None


@cache
def _readers() -> Readers:
    return Readers(facts.load(), _embedded)


@cache
def _writers() -> Writers:
    return Writers(facts.load())


def _summary(raw: bytes) -> str:
    """The beginning of a body for an error, in hex."""
    if not raw:
        return "<empty>"
    return raw[:_SUMMARY_BYTES].hex() + (" ..." if len(raw) > _SUMMARY_BYTES else "")
