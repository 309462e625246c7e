"""The control API: what the command line asks the lab's processes, over a socket of the user's own.

Each process serves one: a table of routes from `(method, path)` to an async function from a JSON
object to a JSON object. The socket lies in a directory only its owner can enter.
"""

import http.client
import json
import socket
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from pathlib import Path
from typing import Any, Final

import orjson

from ekslab.lab.home import LabError

Handler = Callable[[Mapping[str, Any]], Awaitable[Mapping[str, Any]]]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_BODY_MOST: Final = 1 << 20


class ControlApp:
    """The routes of one process as an ASGI application."""

    def __init__(self, routes: Mapping[tuple[str, str], Handler]) -> None:
        self._routes = routes

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            return
        status, answer = await self._answer(scope, receive)
        body = orjson.dumps(answer)
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _answer(self, scope: Message, receive: Receive) -> tuple[int, Mapping[str, Any]]:
        handler = self._routes.get((scope["method"], scope["path"]))
        if handler is None:
            return 404, {"error": f"no such call: {scope['method']} {scope['path']}"}
        body = b""
        more = True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > _BODY_MOST:
                return 413, {"error": "body too large"}
        try:
            asked = orjson.loads(body or b"{}")
            return 200, await handler(asked)
        except (LabError, orjson.JSONDecodeError) as error:
            return 400, {"error": str(error)}


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def call(
    path: Path, method: str, route: str, body: Mapping[str, Any] | None = None, *, timeout_s: float
) -> dict[str, Any]:
    """One call of a control API, blocking: for the command line.

    Raises:
        ConnectionError, TimeoutError, FileNotFoundError: nobody answers there.
        LabError: the call was refused; the text says why.
    """
    connection = _UnixConnection(path, timeout_s)
    try:
        connection.request(method, route, json.dumps(body or {}))
        answer = connection.getresponse()
        decoded: dict[str, Any] = json.loads(answer.read())
    except http.client.HTTPException as error:
        raise ConnectionError(str(error)) from error
    except ValueError as error:  # no JSON: the process met a bug, its log has it
        raise LabError(f"the lab could not answer ({route}); `ekslab logs` shows why") from error
    finally:
        connection.close()
    if answer.status != 200:
        raise LabError(decoded.get("error", f"the lab answered {answer.status}"))
    return decoded
