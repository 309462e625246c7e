"""Forwarded ports: SPDY streams, in a WebSocket or bare, and the old protocol of channels.

Upstream: `kubelet/pkg/cri/streaming/portforward` (httpstream.go: a connection is a data stream and
an error stream with one requestID; websocket.go: two channels per port) and
`apiserver/pkg/util/proxy/streamtunnel.go`.
"""

import asyncio
import struct
from collections.abc import Callable
from typing import Final
from urllib.parse import parse_qs

from ekslab.kit.exchange import Exchange, Headers
from ekslab.kit.tasks import TaskGroup
from ekslab.kube.api.errors import ApiError, bad_request
from ekslab.kube.api.streams import Port
from ekslab.kube.apiserver.streaming import upgrades, websocket
from ekslab.kube.apiserver.streaming.spdy import Carrier, Connection, InWebSocket, Stream
from ekslab.kube.apiserver.streaming.websocket import WebSocket

PROTOCOL: Final = "portforward.k8s.io"
_TUNNELLED: Final = f"SPDY/3.1+{PROTOCOL}"
_CHANNELS: Final = ("v4.channel.k8s.io",)
_AHEAD_MOST: Final = 64
_PORTS_MOST: Final = 64

Open = Callable[[int], Port]
"""What listens on a port of the pod; raises `ApiError` if nothing does."""


async def serve(exchange: Exchange, headers: Headers, *, forward: Open) -> None:
    """Forward ports for the client of an exchange.

    Raises:
        ApiError: nothing was answered yet.
    """
    if websocket.is_asked_for(exchange):
        asked = websocket.protocols_asked_for(exchange)
        ports = [] if _TUNNELLED in asked else _ports(exchange)
        protocols = (_TUNNELLED, *_CHANNELS)
        socket = await websocket.accept(exchange, headers, protocols=protocols)
        if socket is None:
            return
        try:
            if socket.protocol == _TUNNELLED:
                await _over_spdy(InWebSocket(socket), forward)
            else:
                await _over_channels(socket, ports, forward)
        finally:
            socket.close()
        return
    tunnel = await upgrades.to_spdy(exchange, headers, protocols=(PROTOCOL,))
    if tunnel is not None:
        try:
            await _over_spdy(tunnel, forward)
        finally:
            tunnel.close()


async def _over_spdy(carrier: Carrier, forward: Open) -> None:
    async with TaskGroup("port-forward") as tasks:
        waiting: dict[str, Stream] = {}

        def opened(stream: Stream) -> None:
            request = stream.headers.get("requestid", "")
            other = waiting.pop(request, None)
            if other is None:
                waiting[request] = stream
                return
            pair = {one.headers.get("streamtype", ""): one for one in (stream, other)}
            if pair.keys() == {"data", "error"}:
                work = _connected(connection, pair["data"], pair["error"], forward)
                tasks.start(work, name=request)
            else:
                connection.forget(stream, other)

        connection = Connection(carrier, opened=opened)
        await connection.listen()
        tasks.cancel()


async def _connected(connection: Connection, data: Stream, error: Stream, forward: Open) -> None:
    """One connection to a port, from its first byte to its last."""
    port = data.headers.get("port", "")
    try:
        if not port.isdecimal():
            raise bad_request(f'unable to parse "{port}" as a port')
        await forward(int(port))(data)
    except ApiError as failed:
        await error.write(failed.message.encode())
    finally:
        await data.close()
        await error.close()
        connection.forget(data, error)


def _ports(exchange: Exchange) -> list[int]:
    """The ports a client of the old protocol asks for.

    Raises:
        ApiError: 400.
    """
    texts = parse_qs(exchange.query.decode("latin-1")).get("ports", [])
    words = [word for text in texts for word in text.split(",")]
    if not words:
        raise bad_request('query parameter "port" is required')
    if len(words) > _PORTS_MOST or not all(
        word.isdecimal() and 0 < int(word) < 1 << 16 for word in words
    ):
        raise bad_request(f'unable to parse "{",".join(words)}" as a port')
    return [int(word) for word in words]


class _Channel:
    """A port's pair of channels: data comes and goes on the even one, errors on the odd one."""

    def __init__(self, socket: WebSocket, number: int) -> None:
        self._socket = socket
        self._number = number
        self.received: asyncio.Queue[bytes] = asyncio.Queue(_AHEAD_MOST)

    async def read(self) -> bytes:
        """What came; b"" at the end."""
        return await self.received.get()

    async def write(self, data: bytes) -> None:
        """Send."""
        await self._socket.send(bytes((self._number,)) + data)

    async def fail(self, text: bytes) -> None:
        """Say what went wrong; first, on both channels, which port they are for."""
        await self._socket.send(bytes((self._number + 1,)) + text)


async def _over_channels(socket: WebSocket, ports: list[int], forward: Open) -> None:
    channels = {2 * place: _Channel(socket, 2 * place) for place in range(len(ports))}
    async with TaskGroup("port-forward") as tasks:
        for port, channel in zip(ports, channels.values(), strict=True):
            said = struct.pack("<H", port)
            await channel.write(said)
            await channel.fail(said)
            tasks.start(_channelled(channel, port, forward), name=str(port))
        while (message := await socket.receive()) is not None:
            found = channels.get(message[0]) if message else None
            if found is not None and len(message) > 1:
                await found.received.put(message[1:])
        tasks.cancel()


async def _channelled(channel: _Channel, port: int, forward: Open) -> None:
    try:
        await forward(port)(channel)
    except ApiError as failed:
        await channel.fail(failed.message.encode())
