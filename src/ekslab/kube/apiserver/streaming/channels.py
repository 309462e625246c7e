"""The streams of a remote command as channels of a WebSocket: a message's first byte says which.

    0 stdin   1 stdout   2 stderr   3 how it ended   4 the size of the terminal
    255 what channel the client has closed (v5)

Upstream: `k8s.io/streaming/pkg/httpstream/wsstream` and `kubelet/pkg/cri/streaming/remotecommand`.
In the base64 protocols messages are text, and the channel is a digit.
"""

import asyncio
import base64
import binascii
from typing import Final

import orjson

from ekslab.kube.api.requests import Object
from ekslab.kube.api.streams import CommandOptions
from ekslab.kube.apiserver.streaming.websocket import Opcode, WebSocket

V5: Final = "v5.channel.k8s.io"
PROTOCOLS: Final = (
    V5,
    "v4.channel.k8s.io",
    "v4.base64.channel.k8s.io",
    "channel.k8s.io",
    "base64.channel.k8s.io",
)
_STDIN, _STDOUT, _STDERR, _ERROR, _RESIZE, _CLOSE = 0, 1, 2, 3, 4, 255
_AHEAD_MOST: Final = 64
_PIECE_BYTES: Final = 32 << 10


class Channels:
    """The streams of one command. See `api.streams.Streams`."""

    def __init__(self, socket: WebSocket, options: CommandOptions) -> None:
        self._socket = socket
        self._options = options
        self._is_text = "base64" in socket.protocol
        # A client that sends faster than the command reads is not listened to for a while.
        self._stdin: asyncio.Queue[bytes] = asyncio.Queue(_AHEAD_MOST)
        self._at_end = not options.stdin

    async def open(self) -> None:
        """Tell the client that the streams are there, by an empty message on the first of them."""
        options = self._options
        first = _STDOUT if options.stdout else _STDERR if options.stderr else _ERROR
        await self._send(first, b"")

    async def listen(self) -> None:
        """Take what the client says, until it says no more."""
        while (message := await self._socket.receive()) is not None:
            channel, data = self._read(message)
            if channel == _STDIN and self._options.stdin and data:
                await self._stdin.put(data)
            elif channel == _CLOSE and self._socket.protocol == V5 and data[:1] == b"\0":
                await self._stdin.put(b"")
        await self._stdin.put(b"")

    def _read(self, message: bytes) -> tuple[int, bytes]:
        if not self._is_text:
            return (message[0], message[1:]) if message else (_RESIZE, b"")
        try:
            return message[0] - 48 if message else _RESIZE, base64.b64decode(message[1:])
        except binascii.Error:
            return _RESIZE, b""

    async def read(self) -> bytes:
        """The next piece of standard input; b"" at its end."""
        if self._at_end:
            return b""
        data = await self._stdin.get()
        self._at_end = not data
        return data

    async def write(self, data: bytes) -> None:
        """To standard output."""
        if self._options.stdout:
            await self._send_all(_STDOUT, data)

    async def write_error(self, data: bytes) -> None:
        """To standard error; with a terminal, to standard output."""
        if self._options.tty:
            await self.write(data)
        elif self._options.stderr:
            await self._send_all(_STDERR, data)

    async def end(self, status: Object) -> None:
        """Say how it ended; before v4 only what went wrong, as text."""
        if self._socket.protocol.startswith(("v4", "v5")):
            await self._send(_ERROR, orjson.dumps(status))
        elif status["status"] != "Success":
            await self._send(_ERROR, str(status["message"]).encode())
        self._socket.close()

    async def _send_all(self, channel: int, data: bytes) -> None:
        for start in range(0, len(data), _PIECE_BYTES):
            await self._send(channel, data[start : start + _PIECE_BYTES])

    async def _send(self, channel: int, data: bytes) -> None:
        if self._is_text:
            text = b"%d%b" % (channel, base64.b64encode(data))
            await self._socket.send(text, opcode=Opcode.TEXT)
        else:
            await self._socket.send(bytes((channel,)) + data)
