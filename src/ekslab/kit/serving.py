"""Serving an ASGI application from a listening socket, inside the process's own loop.

uvicorn's protocol does HTTP; its `Server` is left out, because its main loop wakes up ten times a
second, and a process here serves many sockets and wants to sleep when nobody asks.
"""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

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


class AsgiServer:
    """One application on one listening socket.

    `protocol` is uvicorn's HTTP protocol or a subclass of it.
    """

    def __init__(
        self,
        app: Callable[..., Any],
        listener: socket.socket,
        *,
        tls: ssl.SSLContext | None = None,
        protocol: type[HttpToolsProtocol] = HttpToolsProtocol,
    ) -> None:
        self._listener = listener
        self._tls = tls
        self._protocol = protocol
        self._state = ServerState()
        self._server: asyncio.Server | None = None
        self._config = uvicorn.Config(
            app,
            http=protocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            timeout_keep_alive=300,
        )
        self._config.load()

    @property
    def port(self) -> int:
        """The TCP port it listens on."""
        port: int = self._listener.getsockname()[1]
        return port

    async def start(self) -> None:
        """Begin to accept connections."""

        def connection() -> HttpToolsProtocol:
            return self._protocol(config=self._config, server_state=self._state, app_state={})

        loop = asyncio.get_running_loop()
        if self._listener.family == socket.AF_UNIX:
            self._server = await loop.create_unix_server(connection, sock=self._listener)
        else:
            self._server = await loop.create_server(
                connection, sock=self._listener, ssl=self._tls, backlog=_BACKLOG
            )

    async def stop(self) -> None:
        """Accept no more, let requests under way finish for a moment, then close."""
        if self._server is None:
            self._listener.close()
            return
        self._server.close()
        for connection in list(self._state.connections):
            connection.shutdown()
        tasks = set(self._state.tasks)
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=_GRACE_S)
            for task in late:
                task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.gather(*late, return_exceptions=True)
        for connection in list(self._state.connections):
            transport = getattr(connection, "transport", None)
            if transport is not None:
                transport.close()
