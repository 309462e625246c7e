"""Serving HTTP from a listening socket, inside the process's own loop.

A process here serves many sockets, and sleeps when nobody asks.
"""

import asyncio
import contextlib
import socket
import ssl
from pathlib import Path
from typing import Final

from ekslab.kit.asgi import App, handler_of
from ekslab.kit.exchange import Handler
from ekslab.kit.http import Connections, HttpProtocol

_BACKLOG: Final = 1024
_GRACE_S: Final = 2.0


def tcp_listener(host: str, port: int) -> socket.socket:
    """A listening TCP socket; port 0 takes any free one.

    Raises:
        OSError: the port is taken or may not be used.
    """
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except OSError:
        listener.close()
        raise
    listener.setblocking(False)
    return listener


def unix_listener(path: Path) -> socket.socket:
    """A listening unix socket for its owner alone; one a dead process left behind is replaced."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    path.chmod(0o600)
    listener.listen(_BACKLOG)
    listener.setblocking(False)
    return listener


class HttpServer:
    """One handler on one listening socket."""

    def __init__(
        self, handler: Handler, listener: socket.socket, *, tls: ssl.SSLContext | None = None
    ) -> None:
        self._handler = handler
        self._listener = listener
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._connections: Connections | None = None

    @property
    def port(self) -> int:
        """The TCP port it listens on."""
        port: int = self._listener.getsockname()[1]
        return port

    async def start(self) -> None:
        """Begin to accept connections."""
        connections = self._connections = Connections(self._handler)

        def connection() -> HttpProtocol:
            return HttpProtocol(connections)

        loop = asyncio.get_running_loop()
        if self._listener.family == socket.AF_UNIX:
            self._server = await loop.create_unix_server(connection, sock=self._listener)
        else:
            self._server = await loop.create_server(
                connection, sock=self._listener, ssl=self._tls, backlog=_BACKLOG
            )

    async def stop(self) -> None:
        """Accept no more, let requests under way finish for a moment, then close."""
        if self._server is None or self._connections is None:
            self._listener.close()
            return
        self._server.close()
        connections = self._connections
        for connection in list(connections.open):
            connection.shutdown()
        tasks = set(connections.tasks)
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=_GRACE_S)
            for task in late:
                task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.gather(*late, return_exceptions=True)
        for connection in list(connections.open):
            connection.broken()


class AsgiServer(HttpServer):
    """One ASGI application on one listening socket."""

    def __init__(
        self, app: App, listener: socket.socket, *, tls: ssl.SSLContext | None = None
    ) -> None:
        super().__init__(handler_of(app), listener, tls=tls)
