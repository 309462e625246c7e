"""What is left of a connection when HTTP is over: bytes both ways (RFC 9110, 7.8).

An exchange that is answered by `101 Switching Protocols` gives one back. It takes the place of the
HTTP protocol on its transport, so that requests pay nothing for it.
"""

import asyncio
from collections.abc import Callable
from typing import Final

_AHEAD_MOST: Final = 256 << 10


class Tunnel(asyncio.Protocol):
    """Reads and writes bytes; holds back a client that sends faster than it is read."""

    def __init__(
        self,
        transport: asyncio.Transport,
        *,
        received: bytes,
        lost: Callable[[Exception | None], None],
    ) -> None:
        """`received` came before the tunnel was there; `lost` hears of the connection's end."""
        self._transport = transport
        self._received = bytearray(received)
        self._lost = lost
        self._at_end = False
        self._is_lost = False
        self._paused = False
        self._write_paused = False
        self._readable = asyncio.Event()
        self._writable = asyncio.Event()

    async def read(self) -> bytes:
        """What came, as soon as there is something; b"" when the client sends no more."""
        while not self._received:
            if self._at_end:
                return b""
            self._readable.clear()
            await self._readable.wait()
        data = bytes(self._received)
        self._received.clear()
        if self._paused and not self._transport.is_closing():
            self._paused = False
            self._transport.resume_reading()
        return data

    def write(self, data: bytes) -> None:
        """Send bytes; to a client that is gone, nothing."""
        if not self._is_lost and not self._transport.is_closing():
            self._transport.write(data)

    async def send(self, data: bytes) -> None:
        """Send bytes; goes on when the client has taken enough of them, or is gone."""
        self.write(data)
        while self._write_paused and not self._is_lost:
            self._writable.clear()
            await self._writable.wait()

    @property
    def is_gone(self) -> bool:
        """Whether nobody is there to be told anything."""
        return self._is_lost or self._transport.is_closing()

    def close(self) -> None:
        """End the connection when what was written is sent."""
        self._transport.close()

    def no_more(self) -> None:
        """Readers hear the end as if the client had closed: the server stops."""
        self._at_end = True
        self._readable.set()

    # What asyncio calls.

    def data_received(self, data: bytes) -> None:
        """The client has sent something."""
        self._received += data
        if len(self._received) > _AHEAD_MOST and not self._paused:
            self._paused = True
            self._transport.pause_reading()
        self._readable.set()

    def eof_received(self) -> bool:
        """The client sends no more; without TLS it may still read."""
        self.no_more()
        return self._transport.get_extra_info("ssl_object") is None

    def pause_writing(self) -> None:
        """The transport's buffer is full."""
        self._write_paused = True

    def resume_writing(self) -> None:
        """It has room again."""
        self._write_paused = False
        self._writable.set()

    def connection_lost(self, error: Exception | None) -> None:
        """The client is gone."""
        self._is_lost = True
        self.no_more()
        self._writable.set()
        self._lost(error)
