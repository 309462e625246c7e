"""The streams of a remote command as streams of a SPDY connection.

Upstream: `kubelet/pkg/cri/streaming/remotecommand/httpstream.go`. The client opens the streams it
wants, each with its name in the header `streamType`; the command begins when all are there.
"""

import asyncio
from typing import Final

import orjson

from ekslab.kube.api.requests import Object
from ekslab.kube.api.streams import CommandOptions
from ekslab.kube.apiserver.streaming.spdy import Carrier, Connection, Stream

PROTOCOLS: Final = tuple(f"v{number}.channel.k8s.io" for number in (4, 3, 2))


class SpdyStreams:
    """The streams of one command. See `commands.Conversation`."""

    def __init__(self, carrier: Carrier, options: CommandOptions, protocol: str) -> None:
        self._connection = Connection(carrier, opened=self._opened)
        self._options = options
        self._protocol = protocol
        self._streams: dict[str, Stream] = {}
        self._wanted = {
            "error": True,
            "stdin": options.stdin,
            "stdout": options.stdout,
            "stderr": options.stderr and not options.tty,
            "resize": options.tty and protocol not in {"v1.channel.k8s.io", "v2.channel.k8s.io"},
        }
        self._all_there = asyncio.Event()

    def _opened(self, stream: Stream) -> None:
        self._streams.setdefault(stream.headers.get("streamtype", ""), stream)
        if all(name in self._streams for name, wanted in self._wanted.items() if wanted):
            self._all_there.set()

    async def wait_open(self) -> None:
        """Wait for the streams the client has announced."""
        await self._all_there.wait()

    async def listen(self) -> None:
        """Take what the client says, until it is gone."""
        await self._connection.listen()

    async def read(self) -> bytes:
        """The next piece of standard input; b"" at its end."""
        return await self._streams["stdin"].read() if self._options.stdin else b""

    async def write(self, data: bytes) -> None:
        """To standard output."""
        if self._options.stdout:
            await self._streams["stdout"].write(data)

    async def write_error(self, data: bytes) -> None:
        """To standard error; with a terminal, to standard output."""
        if self._options.tty:
            await self.write(data)
        elif self._options.stderr:
            await self._streams["stderr"].write(data)

    async def end(self, status: Object) -> None:
        """Say how it ended; before v4 only what went wrong, as text."""
        error = self._streams["error"]
        if self._protocol == PROTOCOLS[0]:
            await error.write(orjson.dumps(status))
        elif status["status"] != "Success":
            await error.write(str(status["message"]).encode())
        for stream in self._streams.values():
            await stream.close()
