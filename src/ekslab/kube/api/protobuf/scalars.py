"""Messages that are one value in JSON: quantities, instants, int-or-string.

Upstream: `Marshal` and `Unmarshal` of apimachinery `pkg/api/resource/quantity_proto.go`,
`pkg/apis/meta/v1/{time,micro_time}_proto.go` and `pkg/util/intstr`. Each pair of functions goes
between the bytes of the message, without tag and length, and the value in JSON.
"""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

from ekslab.kube.api.protobuf.wire import (
    MessageError,
    bytes_field,
    fields_of,
    int32,
    int64,
    text,
    varint_bytes,
)
from ekslab.kube.api.quantity import QuantityError, canonical

_CACHED_BYTES_MOST: Final = 64
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND: Final = timedelta(seconds=1)
_FIELD_1_VARINT: Final = 0x08
_FIELD_2_VARINT: Final = 0x10
_FIELD_1_BYTES: Final = 0x0A
_FIELD_3_BYTES: Final = 0x1A


def quantity_of(raw: bytes) -> str:
    """`Quantity{string}` -> its canonical text; an empty one is "0".

    Raises:
        MessageError: it is no quantity.
    """
    return _quantity_of(raw) if len(raw) <= _CACHED_BYTES_MOST else _read_quantity(raw)


def _read_quantity(raw: bytes) -> str:
    found = None
    for tag, first, behind in fields_of(raw, 0, len(raw), "Quantity"):
        if tag == _FIELD_1_BYTES:
            found = text(raw[first:behind])
    if found is None:
        return "0"
    try:
        return canonical(found)
    except QuantityError as error:
        raise MessageError(str(error)) from None


_quantity_of: Final = lru_cache(maxsize=4_096)(_read_quantity)


@lru_cache(maxsize=4_096)
def quantity_bytes(quantity: str) -> bytes:
    """The message of a quantity's text."""
    return bytes_field(1, str(quantity).encode())


def _instant_of(raw: bytes, message: str) -> tuple[int, int]:
    seconds = nanos = 0
    for tag, value, _ in fields_of(raw, 0, len(raw), message):
        if tag == _FIELD_1_VARINT:
            seconds = int64(value)
        elif tag == _FIELD_2_VARINT:
            nanos = int32(value)
    return seconds, nanos


def _written(seconds: int, micros: int, timespec: str) -> str:
    try:
        instant = _EPOCH + timedelta(seconds=seconds, microseconds=micros)
    except OverflowError:
        raise MessageError("Time.MarshalJSON: year outside of range [0,9999]") from None
    return instant.replace(tzinfo=None).isoformat(timespec=timespec) + "Z"


def time_of(raw: bytes) -> str | None:
    """`Time{seconds, nanos}` -> RFC 3339 in whole seconds; None for the zero instant.

    Raises:
        MessageError: it is no instant.
    """
    return _time_of(raw) if len(raw) <= _CACHED_BYTES_MOST else _read_time(raw)


def _read_time(raw: bytes) -> str | None:
    return _written(_instant_of(raw, "Timestamp")[0], 0, "seconds") if raw else None


_time_of: Final = lru_cache(maxsize=4_096)(_read_time)


def micro_time_of(raw: bytes) -> str | None:
    """`MicroTime{seconds, nanos}` -> RFC 3339 with six digits; None for the zero instant.

    Raises:
        MessageError: it is no instant.
    """
    if not raw:
        return None
    seconds, nanos = _instant_of(raw, "Timestamp")
    return _written(seconds, nanos // 1_000, "microseconds")


@lru_cache(maxsize=4_096)
def time_bytes(instant: str) -> bytes:
    """The message of an instant in RFC 3339."""
    return _timestamp((datetime.fromisoformat(instant) - _EPOCH) // _SECOND, 0)


def micro_time_bytes(instant: str) -> bytes:
    """The message of an instant in RFC 3339 with fractions."""
    seconds, rest = divmod(datetime.fromisoformat(instant) - _EPOCH, _SECOND)
    return _timestamp(seconds, rest.microseconds * 1_000)


def _timestamp(seconds: int, nanos: int) -> bytes:
    return b"\x08" + varint_bytes(seconds) + b"\x10" + varint_bytes(nanos)


def int_or_string_of(raw: bytes) -> int | str:
    """`IntOrString{type, intVal, strVal}` -> a number or a string.

    Raises:
        MessageError: it is neither.
    """
    form = number = 0
    string = ""
    for tag, first, behind in fields_of(raw, 0, len(raw), "IntOrString"):
        if tag == _FIELD_1_VARINT:
            form = int64(first)
        elif tag == _FIELD_2_VARINT:
            number = int32(first)
        elif tag == _FIELD_3_BYTES:
            string = text(raw[first:behind])
    if form not in {0, 1}:
        raise MessageError("impossible IntOrString.Type")
    return string if form else number


def int_or_string_bytes(value: int | str) -> bytes:
    """The message of a number or a string."""
    if isinstance(value, str):
        return b"\x08\x01\x10\x00" + bytes_field(3, value.encode())
    return b"\x08\x00\x10" + varint_bytes(value) + b"\x1a\x00"


def strings_of(raw: bytes) -> list[str]:
    """`Verbs{items}`, `ExtraValue{items}` -> a list of strings.

    Raises:
        MessageError: it is none.
    """
    return [
        text(raw[first:behind])
        for tag, first, behind in fields_of(raw, 0, len(raw), "ExtraValue")
        if tag == _FIELD_1_BYTES
    ]


def strings_bytes(strings: list[str]) -> bytes:
    """The message of a list of strings."""
    return b"".join([bytes_field(1, string.encode()) for string in strings])
