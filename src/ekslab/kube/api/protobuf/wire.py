"""The wire format of protocol buffers, and the words Go's generated code has for what breaks it.

Upstream: `generated.pb.go` of any API package (`Unmarshal`, `skipGenerated`). Knows no message.
"""

from collections.abc import Iterator
from typing import Final

VARINT: Final = 0
FIXED64: Final = 1
BYTES: Final = 2
_START_GROUP: Final = 3
_END_GROUP: Final = 4
_FIXED32: Final = 5
_GROUPS_MOST: Final = 100

DEPTH_MOST: Final = 100
"""How deep messages may lie in each other; no type but JSONSchemaProps gets near to it."""


class MessageError(ValueError):
    """Bytes that are no message of the expected type; the text is upstream's."""


def unexpected_end() -> MessageError:
    """The bytes end inside a field."""
    return MessageError("unexpected EOF")


def too_deep() -> MessageError:
    """Messages lie deeper than `DEPTH_MOST` in each other."""
    return MessageError("proto: exceeded max recursion depth")


def varint(data: bytes, pos: int, end: int) -> tuple[int, int]:
    """`(value, position behind it)`; unsigned, 64 bits.

    Raises:
        MessageError: it ends too early, or never.
    """
    value = shift = 0
    while pos < end:
        byte = data[pos]
        pos += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFF_FFFF_FFFF_FFFF, pos
        shift += 7
        if shift > 63:
            raise MessageError("proto: integer overflow")
    raise unexpected_end()


def sized(data: bytes, pos: int, end: int) -> tuple[int, int]:
    """`(first, behind)` of the bytes after a length.

    Raises:
        MessageError: they are not all there.
    """
    size, pos = varint(data, pos, end)
    if size >> 63:
        raise MessageError("proto: negative length found during unmarshaling")
    if pos + size > end:
        raise unexpected_end()
    return pos, pos + size


def passed_over(data: bytes, pos: int, end: int, tag: int, *, message: str = "") -> int:
    """The position behind a field that is not known; `message` is whose it is, for errors.

    Raises:
        MessageError: it cannot be one.
    """
    wire = tag & 7
    if wire == _END_GROUP:
        raise MessageError(f"proto: {message}: wiretype end group for non-group")
    if int32(tag >> 3) <= 0:
        raise MessageError(f"proto: {message}: illegal tag {int32(tag >> 3)} (wire type {tag})")
    groups = 0
    while True:
        wire = tag & 7
        if wire == VARINT:
            pos = varint(data, pos, end)[1]
        elif wire == BYTES:
            pos = sized(data, pos, end)[1]
        elif wire in {FIXED64, _FIXED32}:
            pos += 8 if wire == FIXED64 else 4
            if pos > end:
                raise unexpected_end()
        elif wire == _START_GROUP:
            groups += 1
            if groups > _GROUPS_MOST:
                raise too_deep()
        elif wire == _END_GROUP:
            groups -= 1
        else:
            raise MessageError(f"proto: illegal wireType {wire}")
        if not groups:
            return pos
        tag, pos = varint(data, pos, end)


def wrong_wire(tag: int, name: str) -> MessageError:
    """A known field that comes as another type than it has; `name` is its name in JSON."""
    go_name = name[:1].upper() + name[1:]
    return MessageError(f"proto: wrong wireType = {tag & 7} for field {go_name}")


def fields_of(data: bytes, pos: int, end: int, message: str) -> Iterator[tuple[int, int, int]]:
    """The fields of a small message: `(tag, value, 0)` or, of bytes, `(tag, first, behind)`.

    Fields of other wire types are passed over.

    Raises:
        MessageError: the bytes are no message.
    """
    while pos < end:
        tag, pos = varint(data, pos, end)
        wire = tag & 7
        if wire == VARINT and tag >> 3:
            value, pos = varint(data, pos, end)
            yield tag, value, 0
        elif wire == BYTES and tag >> 3:
            first, pos = sized(data, pos, end)
            yield tag, first, pos
        else:
            pos = passed_over(data, pos, end, tag, message=message)


def int32(value: int) -> int:
    """A varint as Go's int32: the lower half, with its sign."""
    value &= 0xFFFF_FFFF
    return value - (1 << 32) if value >> 31 else value


def int64(value: int) -> int:
    """A varint as Go's int64."""
    return value - (1 << 64) if value >> 63 else value


def text(data: bytes) -> str:
    """A string as Go's JSON encoder writes it: every wrong byte becomes U+FFFD."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return _repaired(data)


def _repaired(data: bytes) -> str:
    pieces = []
    while data:
        try:
            pieces.append(data.decode())
            break
        except UnicodeDecodeError as error:
            pieces.append(data[: error.start].decode())
            pieces.append("\ufffd" * (error.end - error.start))
            data = data[error.end :]
    return "".join(pieces)


def varint_bytes(value: int) -> bytes:
    """A varint, smallest form; negative ones as 64 bits of two's complement."""
    if 0 <= value < 0x80:
        return _SMALL[value]
    value &= 0xFFFF_FFFF_FFFF_FFFF
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)


_SMALL: Final = tuple(bytes((value,)) for value in range(0x80))


def tag_bytes(number: int, wire: int) -> bytes:
    """The tag before a field."""
    return varint_bytes(number << 3 | wire)


def bytes_field(number: int, content: bytes) -> bytes:
    """A whole field of bytes."""
    return tag_bytes(number, BYTES) + varint_bytes(len(content)) + content
