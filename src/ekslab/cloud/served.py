"""The cloud's own door for whoever gives its objects an effect (the bridge), as an ASGI app.

Served on a unix socket only the user can open; it is not the AWS endpoint and checks no signature.

    GET  /status              what this process says of itself
    GET  /feed?after=N        the change feed, for ever: one JSON array a line, a batch of
                              [position, kind, id, value or null]
    POST /reports/control-plane, /reports/nodegroup
                              a report as JSON, in the spelling of its dataclass; {} once durable
    POST /sessions/service    {"service": principal}      -> keys of a service's own role
    POST /sessions/instance   {"instanceId": id}          -> keys of an instance's role, as IMDS

Unknown things are 404 with {"error": text}, bodies that cannot be read 400.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, Final
from urllib.parse import parse_qs

import orjson

from ekslab.cloud.cloud import Cloud
from ekslab.cloud.ports import ControlPlaneReport, NodegroupReport
from ekslab.cloud.sessions import Session
from ekslab.kit.tasks import TaskGroup

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
_Handler = Callable[[Mapping[str, Any]], Awaitable[Mapping[str, Any]]]

_BODY_BYTES_MOST: Final = 1 << 20
_NDJSON: Final = [(b"content-type", b"application/x-ndjson")]


class CloudApp:
    """Serves one cloud's feed, reports and sessions; `status` adds what the process knows."""

    def __init__(self, cloud: Cloud, *, status: Callable[[], Mapping[str, Any]]) -> None:
        self._cloud = cloud
        self._status = status
        self._handlers: Mapping[tuple[str, str], _Handler] = {
            ("GET", "/status"): self._say_status,
            ("POST", "/reports/control-plane"): self._control_plane,
            ("POST", "/reports/nodegroup"): self._nodegroup,
            ("POST", "/sessions/service"): self._service_session,
            ("POST", "/sessions/instance"): self._instance_session,
        }

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            return
        if (scope["method"], scope["path"]) == ("GET", "/feed"):
            await self._serve_feed(scope, receive, send)
            return
        code, answer = await self._answer(scope, receive)
        body = orjson.dumps(answer)
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": code, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _answer(self, scope: Message, receive: Receive) -> tuple[int, Mapping[str, Any]]:
        handler = self._handlers.get((scope["method"], scope["path"]))
        if handler is None:
            return 404, {"error": f"no such call: {scope['method']} {scope['path']}"}
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if len(body) > _BODY_BYTES_MOST:
                return 413, {"error": "body too large"}
            if not message.get("more_body", False):
                break
        try:
            return 200, await handler(orjson.loads(body or b"{}"))
        except LookupError as error:
            return 404, {"error": str(error)}
        except (orjson.JSONDecodeError, TypeError) as error:
            return 400, {"error": str(error)}

    async def _serve_feed(self, scope: Message, receive: Receive, send: Send) -> None:
        query = parse_qs(scope["query_string"].decode())
        after = int(query.get("after", ["0"])[0])
        await send({"type": "http.response.start", "status": 200, "headers": _NDJSON})
        async with TaskGroup("feed") as tasks:
            writing = tasks.start(self._write_feed(after, send), name="write")
            while (await receive())["type"] != "http.disconnect":
                pass
            writing.cancel()

    async def _write_feed(self, after: int, send: Send) -> None:
        try:
            async for batch in self._cloud.feed.follow(after=after):
                rows = [(one.position, one.kind, one.id, one.value) for one in batch]
                line = orjson.dumps(rows) + b"\n"
                await send({"type": "http.response.body", "body": line, "more_body": True})
        except asyncio.CancelledError:
            return

    async def _say_status(self, _: Mapping[str, Any]) -> Mapping[str, Any]:
        return self._status()

    async def _control_plane(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        await self._cloud.reports.control_plane(ControlPlaneReport(**body))
        return {}

    async def _nodegroup(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        await self._cloud.reports.nodegroup(NodegroupReport(**body))
        return {}

    async def _service_session(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        return _keys(await self._cloud.service_session(body["service"]))

    async def _instance_session(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        return _keys(await self._cloud.instance_session(body["instanceId"]))


def _keys(session: Session) -> Mapping[str, Any]:
    return {
        "accessKeyId": session.access_key_id,
        "secretAccessKey": session.secret_access_key,
        "sessionToken": session.session_token,
        "expiresAt": session.expires_s,
    }
