"""The server's side of SPDY/3.1, as far as Kubernetes speaks it: many streams over one connection.

Framing and the dictionary of header compression are those of the specification
(https://www.chromium.org/spdy/spdy-protocol/spdy-protocol-draft3-1). As upstream's library
(github.com/moby/spdystream) it knows no windows: one that sends more than a stream's reader takes
holds up its whole connection.
"""

import asyncio
import struct
import zlib
from collections.abc import Callable, Mapping
from typing import Final, Protocol

from ekslab.kube.apiserver.streaming.websocket import WebSocket

FRAME_BYTES_MOST: Final = 4 << 20
STREAMS_MOST: Final = 1_000
_AHEAD_MOST: Final = 1 << 20
_HEADERS_MOST: Final = 64 << 10
_PIECE_BYTES: Final = 32 << 10
_CONTROL: Final = 0x8003  # a control frame of version 3
_SYN_REPLY, _RST_STREAM, _PING, _GOAWAY = 2, 3, 6, 7
_FIN: Final = 0x01
_REFUSED_STREAM: Final = 3
_WORDS: Final = (
    "options head post put delete trace accept accept-charset accept-encoding accept-language"
    " accept-ranges age allow authorization cache-control connection content-base content-encoding"
    " content-language content-length content-location content-md5 content-range content-type date"
    " etag expect expires from host if-match if-modified-since if-none-match if-range"
    " if-unmodified-since last-modified location max-forwards pragma proxy-authenticate"
    " proxy-authorization range referer retry-after server te trailer transfer-encoding upgrade"
    " user-agent vary via warning www-authenticate method get status 200_OK version HTTP/1.1 url"
    " public set-cookie keep-alive origin"
)
_TEXT: Final = (
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505"
    "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request"
    "401 Unauthorized403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented"
    "503 Service UnavailableJan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue,"
    " Wed, Thu, Fri, Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,application/xml,"
    "application/xhtml+xml,text/plain,text/javascript,publicprivatemax-age=gzip,deflate,sdch"
    "charset=utf-8charset=iso-8859-1,utf-,*,enq=0."
)


def _dictionary() -> bytes:
    words = [word.replace("_", " ").encode() for word in _WORDS.split()]
    return b"".join(struct.pack(">I", len(word)) + word for word in words) + _TEXT.encode()


DICTIONARY: Final = _dictionary()


class Carrier(Protocol):
    """What the frames travel on."""

    async def read(self) -> bytes:
        """What came; b"" at the end."""

    async def send(self, data: bytes) -> None:
        """Send."""


class InWebSocket:
    """Frames in the messages of a WebSocket: upstream's tunnel (`SPDY/3.1+portforward.k8s.io`)."""

    def __init__(self, socket: WebSocket) -> None:
        self._socket = socket

    async def read(self) -> bytes:
        """The next message; b"" when there are no more."""
        while (message := await self._socket.receive()) is not None:
            if message:
                return message
        return b""

    async def send(self, data: bytes) -> None:
        """Send a message."""
        await self._socket.send(data)


class BrokenFrameError(Exception):
    """The client does not speak SPDY/3.1."""


class Stream:
    """One stream, opened by the client with these headers (names in lower case)."""

    def __init__(self, connection: "Connection", number: int, headers: Mapping[str, str]) -> None:
        self.number = number
        self.headers = headers
        self._connection = connection
        self._received = bytearray()
        self._at_end = False
        self._is_closed = False
        self._changed = asyncio.Event()

    async def read(self) -> bytes:
        """What came; b"" when there is no more."""
        while not self._received:
            if self._at_end:
                return b""
            self._changed.clear()
            await self._changed.wait()
        data = bytes(self._received)
        self._received.clear()
        self._connection.taken.set()
        return data

    async def write(self, data: bytes) -> None:
        """Send; nothing once it is closed."""
        for start in range(0, len(data), _PIECE_BYTES):
            if self._is_closed:
                return
            await self._connection.send_data(self.number, data[start : start + _PIECE_BYTES])

    async def close(self) -> None:
        """Send no more."""
        if not self._is_closed:
            self._is_closed = True
            await self._connection.send_data(self.number, b"", is_last=True)

    @property
    def is_full(self) -> bool:
        """Whether its reader has more than enough to take."""
        return len(self._received) > _AHEAD_MOST and not self._at_end

    def add(self, data: bytes) -> None:
        """The client has sent something."""
        self._received += data
        self._changed.set()

    def no_more(self, *, is_reset: bool = False) -> None:
        """The client sends no more; after a reset it wants nothing either."""
        self._at_end = True
        self._is_closed |= is_reset
        self._changed.set()
        self._connection.taken.set()


class Connection:
    """The streams of one connection."""

    def __init__(self, carrier: Carrier, *, opened: Callable[[Stream], None]) -> None:
        self.taken = asyncio.Event()
        self._carrier = carrier
        self._opened = opened
        self._streams: dict[int, Stream] = {}
        self._received = bytearray()
        self._inflate = zlib.decompressobj(zdict=DICTIONARY)
        self._deflate = zlib.compressobj(zdict=DICTIONARY)

    async def listen(self) -> None:
        """Take frames until the client has gone, or does not speak SPDY."""
        try:
            while data := await self._carrier.read():
                self._received += data
                while await self._take_frame():
                    pass
        except (BrokenFrameError, zlib.error, struct.error):
            await self._control(_GOAWAY, struct.pack(">II", 0, 1))
        finally:
            for stream in self._streams.values():
                stream.no_more(is_reset=True)

    def forget(self, *streams: Stream) -> None:
        """These are over."""
        for stream in streams:
            stream.no_more(is_reset=True)
            self._streams.pop(stream.number, None)

    async def send_data(self, number: int, data: bytes, *, is_last: bool = False) -> None:
        """A data frame."""
        size = len(data) | (_FIN << 24 if is_last else 0)
        await self._carrier.send(struct.pack(">II", number, size) + data)

    async def _take_frame(self) -> bool:
        received = self._received
        if len(received) < 8:
            return False
        first, second = struct.unpack_from(">II", received)
        flags, size = second >> 24, second & 0xFFFFFF
        if size > FRAME_BYTES_MOST:
            raise BrokenFrameError
        if len(received) < 8 + size:
            return False
        payload = bytes(received[8 : 8 + size])
        del received[: 8 + size]
        if first >> 31:
            if first >> 16 != _CONTROL:
                raise BrokenFrameError
            await self._take_control(first & 0xFFFF, flags, payload)
        else:
            await self._take_data(first, flags, payload)
        return True

    async def _take_data(self, number: int, flags: int, data: bytes) -> None:
        stream = self._streams.get(number)
        if stream is None:
            return
        if data:
            stream.add(data)
        if flags & _FIN:
            stream.no_more()
        while stream.is_full:
            self.taken.clear()
            await self.taken.wait()

    async def _take_control(self, kind: int, flags: int, payload: bytes) -> None:
        match kind:
            case 1:  # SYN_STREAM
                await self._open(flags, payload)
            case 3:  # RST_STREAM
                stream = self._streams.pop(struct.unpack_from(">I", payload)[0], None)
                if stream is not None:
                    stream.no_more(is_reset=True)
            case 6:  # PING
                await self._control(_PING, payload)
            case 8:  # HEADERS: nothing, but what follows needs what it was compressed by
                self._headers(payload[4:])
            case _:  # SETTINGS, GOAWAY, WINDOW_UPDATE
                pass

    async def _open(self, flags: int, payload: bytes) -> None:
        number = struct.unpack_from(">I", payload)[0] & 0x7FFFFFFF
        headers = self._headers(payload[10:])
        if number in self._streams or len(self._streams) >= STREAMS_MOST:
            await self._control(_RST_STREAM, struct.pack(">II", number, _REFUSED_STREAM))
            return
        stream = self._streams[number] = Stream(self, number, headers)
        if flags & _FIN:
            stream.no_more()
        none = self._deflate.compress(struct.pack(">I", 0))
        block = none + self._deflate.flush(zlib.Z_SYNC_FLUSH)
        await self._control(_SYN_REPLY, struct.pack(">I", number) + block)
        self._opened(stream)

    def _headers(self, block: bytes) -> dict[str, str]:
        raw = self._inflate.decompress(block, _HEADERS_MOST)
        if self._inflate.unconsumed_tail:
            raise BrokenFrameError
        found: dict[str, str] = {}
        count = struct.unpack_from(">I", raw)[0]
        at = 4
        for _ in range(count):
            texts = []
            for _ in range(2):
                size = struct.unpack_from(">I", raw, at)[0]
                texts.append(raw[at + 4 : at + 4 + size].decode("latin-1"))
                at += 4 + size
            found[texts[0].lower()] = texts[1]
        return found

    async def _control(self, kind: int, payload: bytes) -> None:
        head = struct.pack(">HHI", _CONTROL, kind, len(payload))
        await self._carrier.send(head + payload)
