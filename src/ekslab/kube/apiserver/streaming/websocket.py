"""The server's side of a WebSocket (RFC 6455): messages over a tunnel. No extensions.

A client that breaks the rules is told so by the code of a Close frame, and is left.
"""

import base64
import hashlib
import struct
from collections.abc import Sequence
from enum import IntEnum
from typing import Final, NamedTuple

from ekslab.kit.exchange import Exchange, Headers
from ekslab.kit.tunnel import Tunnel
from ekslab.kube.api.errors import bad_request

MESSAGE_BYTES_MOST: Final = 4 << 20
_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_FIN: Final = 0x80
_MASKED: Final = 0x80
_CONTROL: Final = 0x08


class Opcode(IntEnum):
    """What a frame is."""

    CONTINUATION = 0
    TEXT = 1
    BINARY = 2
    CLOSE = 8
    PING = 9
    PONG = 10


class Code(IntEnum):
    """Why a WebSocket is closed."""

    NORMAL = 1000
    PROTOCOL_ERROR = 1002
    TOO_BIG = 1009


class BrokenRuleError(Exception):
    """The client sent what no client may send; `code` says which rule it is."""

    def __init__(self, code: Code) -> None:
        super().__init__(code.name)
        self.code = code


class Frame(NamedTuple):
    """One frame, unmasked."""

    opcode: Opcode
    payload: bytes
    is_last: bool


class Frames:
    """Bytes in, frames out; does no I/O."""

    def __init__(self) -> None:
        self._received = bytearray()

    def feed(self, data: bytes) -> None:
        """Take bytes."""
        self._received += data

    def next(self) -> Frame | None:
        """The next whole frame, None if more bytes are needed for it.

        Raises:
            BrokenRuleError: unmasked, too long, or of an unknown kind.
        """
        received = self._received
        if len(received) < 2:
            return None
        first, second = received[0], received[1]
        length, start = second & 0x7F, 2
        if length == 126:
            length, start = int.from_bytes(received[2:4], "big"), 4
        elif length == 127:
            length, start = int.from_bytes(received[2:10], "big"), 10
        if len(received) < start:
            return None
        if length > MESSAGE_BYTES_MOST:
            raise BrokenRuleError(Code.TOO_BIG)
        opcode = first & 0x0F
        is_control = bool(opcode & _CONTROL)
        if not second & _MASKED or first & 0x70 or opcode not in _OPCODES:
            raise BrokenRuleError(Code.PROTOCOL_ERROR)
        if is_control and (length > 125 or not first & _FIN):
            raise BrokenRuleError(Code.PROTOCOL_ERROR)
        end = start + 4 + length
        if len(received) < end:
            return None
        mask, masked = bytes(received[start : start + 4]), received[start + 4 : end]
        del received[:end]
        return Frame(Opcode(opcode), _unmasked(masked, mask), bool(first & _FIN))


_OPCODES: Final = frozenset(Opcode)


def _unmasked(masked: bytes | bytearray, mask: bytes) -> bytes:
    """All bytes at once, as two big numbers."""
    size = len(masked)
    key = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(masked, "big") ^ int.from_bytes(key, "big")).to_bytes(size, "big")


def encode(opcode: Opcode, payload: bytes) -> bytes:
    """One whole frame, unmasked as those of servers are."""
    size = len(payload)
    first = _FIN | opcode
    if size < 126:
        return struct.pack(">BB", first, size) + payload
    if size < 1 << 16:
        return struct.pack(">BBH", first, 126, size) + payload
    return struct.pack(">BBQ", first, 127, size) + payload


class WebSocket:
    """Messages over a tunnel."""

    def __init__(self, tunnel: Tunnel, protocol: str) -> None:
        self.protocol = protocol
        self._tunnel = tunnel
        self._frames = Frames()
        self._is_over = False

    async def receive(self) -> bytes | None:
        """The next message; None when there are no more. Pings are answered on the way."""
        pieces: list[bytes] = []
        try:
            while not self._is_over:
                frame = self._frames.next()
                if frame is None:
                    if not await self._more():
                        break
                elif frame.opcode is Opcode.PING:
                    self._tunnel.write(encode(Opcode.PONG, frame.payload))
                elif frame.opcode is Opcode.CLOSE:
                    self.close()
                elif frame.opcode is not Opcode.PONG:
                    _add(pieces, frame)
                    if frame.is_last:
                        return b"".join(pieces)
        except BrokenRuleError as error:
            self.close(error.code)
        return None

    async def _more(self) -> bool:
        data = await self._tunnel.read()
        self._frames.feed(data)
        return bool(data)

    async def send(self, message: bytes, *, opcode: Opcode = Opcode.BINARY) -> None:
        """Send a message; goes on when the client has taken enough, or is gone."""
        if not self._is_over:
            await self._tunnel.send(encode(opcode, message))

    def close(self, code: Code = Code.NORMAL) -> None:
        """Say that it is over, and leave."""
        if not self._is_over:
            self._is_over = True
            self._tunnel.write(encode(Opcode.CLOSE, code.to_bytes(2, "big")))
            self._tunnel.close()


def _add(pieces: list[bytes], frame: Frame) -> None:
    if (frame.opcode is Opcode.CONTINUATION) != bool(pieces):
        raise BrokenRuleError(Code.PROTOCOL_ERROR)
    pieces.append(frame.payload)
    if sum(map(len, pieces)) > MESSAGE_BYTES_MOST:
        raise BrokenRuleError(Code.TOO_BIG)


def is_asked_for(exchange: Exchange) -> bool:
    """Whether a request asks for a WebSocket."""
    return is_upgrade(exchange, b"websocket")


def is_upgrade(exchange: Exchange, protocol: bytes = b"") -> bool:
    """Whether a request asks to speak another protocol, or just this one."""
    asked = header(exchange, b"connection").lower()
    return b"upgrade" in asked and protocol in header(exchange, b"upgrade").lower()


def header(exchange: Exchange, name: bytes) -> bytes:
    """A header's values, joined by commas; b"" without one."""
    return b",".join(value for found, value in exchange.headers if found == name)


def protocols_asked_for(exchange: Exchange) -> list[str]:
    """The subprotocols a client knows, best first."""
    asked = header(exchange, b"sec-websocket-protocol").decode("latin-1")
    return [one for part in asked.split(",") if (one := part.strip())]


async def accept(
    exchange: Exchange, headers: Headers, *, protocols: Sequence[str]
) -> WebSocket | None:
    """Open the WebSocket that is asked for, in the first of the client's protocols that we speak.

    None after a refusal: 403 without a word if no protocol of the client's is known, as upstream
    (golang.org/x/net/websocket) answers. A client that names none gets "".

    Raises:
        ApiError: 400 for a request that is no WebSocket handshake.
    """
    key = header(exchange, b"sec-websocket-key")
    if exchange.method != "GET" or not key:
        raise bad_request("Upgrade request required")
    if header(exchange, b"sec-websocket-version") != b"13":
        exchange.answer(400, [*headers, (b"sec-websocket-version", b"13")], b"")
        return None
    asked = protocols_asked_for(exchange)
    chosen = next((one for one in asked if one in protocols), "")
    if asked and not chosen:
        exchange.answer(403, [*headers, (b"connection", b"close")], b"")
        return None
    while not exchange.was_read:
        await exchange.read()
    digest = hashlib.sha1(key + _GUID, usedforsecurity=False).digest()
    found = [
        (b"upgrade", b"websocket"),
        (b"connection", b"Upgrade"),
        (b"sec-websocket-accept", base64.b64encode(digest)),
    ]
    if chosen:
        found.append((b"sec-websocket-protocol", chosen.encode()))
    return WebSocket(exchange.upgrade(found), chosen)
