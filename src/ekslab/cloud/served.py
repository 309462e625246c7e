"""The cloud's inside door: what the clusters process asks over a unix socket, as HTTP.

The socket is for its owner alone (mode 0600); nothing here is signed. The wire:

`GET /feed?after=POSITION`
    200, `application/x-ndjson`: an array per batch, `[[position, kind, id, value], ...]`, with
    `value` null once the object is gone, as `ChangeFeed.follow` gives them. The stream does not end
    by itself; an empty array comes every `HEARTBEAT_S` seconds, so that both sides see a dead peer.
`POST /reports/control-plane`, `POST /reports/nodegroup`
    Body: the members of `ControlPlaneReport` or `NodegroupReport` as a JSON object. 200 and `{}`
    once it is durable.
`POST /sessions/service` with `{"service": PRINCIPAL}`,
`POST /sessions/instance` with `{"instanceId": ID}`
    200, `{"accessKeyId", "secretAccessKey", "sessionToken", "expiresAt"}` (`expiresAt`: epoch
    seconds of the wall clock); 404 if there is no such service, or no such instance with a role.
`GET /status`
    200: what the process says of itself.
`GET /account`
    200: the prepared account (`PreparedAccount`) as a JSON object.

Errors are `{"error": text}`: 400 for a body that does not fit, 404, and 503 when the disk refuses.

Whose a presigned login token is, is asked of the AWS endpoint itself (`GetCallerIdentity`).
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeVar
from urllib.parse import parse_qs

import msgspec
import orjson

from ekslab.cloud.cloud import Cloud
from ekslab.cloud.journal import JournalError
from ekslab.cloud.ports import Change, ControlPlaneReport, NodegroupReport
from ekslab.cloud.sessions import Session
from ekslab.kit.tasks import TaskGroup

T = TypeVar("T")

HEARTBEAT_S = 10.0
_BODY_BYTES_MAX = 1024 * 1024
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class _Refusal(Exception):  # noqa: N818 - an answer
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


@dataclass(frozen=True, slots=True)
class _ServiceWish:
    service: str


@dataclass(frozen=True, slots=True)
class _InstanceWish:
    instanceId: str  # noqa: N815 - the wire's spelling


class CloudApp:
    """The ASGI application behind the socket."""

    def __init__(self, cloud: Cloud, *, status: Callable[[], Mapping[str, Any]]) -> None:
        """`status` is what `GET /status` answers."""
        self._cloud = cloud
        self._status = status

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request; see the module for the wire."""
        if scope["type"] != "http":
            return
        try:
            if (scope["method"], scope["path"]) == ("GET", "/feed"):
                await self._stream_feed(scope, receive, send)
                return
            status, body = await self._answer(scope, receive)
        except _Refusal as refusal:
            status, body = refusal.status, {"error": refusal.message}
        except JournalError as error:
            status, body = 503, {"error": str(error)}
        await _send(send, status, orjson.dumps(body))

    async def _answer(self, scope: Message, receive: Receive) -> tuple[int, Any]:
        cloud = self._cloud
        match scope["method"], scope["path"]:
            case "POST", "/reports/control-plane":
                await cloud.reports.control_plane(await _decode(receive, ControlPlaneReport))
                return 200, {}
            case "POST", "/reports/nodegroup":
                await cloud.reports.nodegroup(await _decode(receive, NodegroupReport))
                return 200, {}
            case "POST", "/sessions/service":
                service = (await _decode(receive, _ServiceWish)).service
                return 200, await _keys(cloud.service_session(service))
            case "POST", "/sessions/instance":
                instance_id = (await _decode(receive, _InstanceWish)).instanceId
                return 200, await _keys(cloud.instance_session(instance_id))
            case "GET", "/status":
                return 200, dict(self._status())
            case "GET", "/account":
                return 200, asdict(cloud.account)
            case _:
                raise _Refusal(404, f"nothing at {scope['method']} {scope['path']}")

    async def _stream_feed(self, scope: Message, receive: Receive, send: Send) -> None:
        after = parse_qs(scope["query_string"].decode()).get("after", ["0"])[0]
        if not after.isdecimal():
            raise _Refusal(400, "after is no position")
        headers = [(b"content-type", b"application/x-ndjson")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        changes = self._cloud.feed.follow(after=int(after))
        async with TaskGroup("feed") as tasks:
            gone = tasks.start(_wait_disconnect(receive), name="reader")
            upcoming: asyncio.Task[Sequence[Change]] | None = None
            while not gone.done():
                upcoming = upcoming or tasks.start(_next(changes), name="next")
                waited: set[asyncio.Task[Any]] = {upcoming, gone}
                done, _ = await asyncio.wait(
                    waited, timeout=HEARTBEAT_S, return_when=asyncio.FIRST_COMPLETED
                )
                batch: Sequence[Change] = ()
                if upcoming in done:
                    batch, upcoming = upcoming.result(), None
                line = orjson.dumps([[c.position, c.kind, c.id, c.value] for c in batch]) + b"\n"
                await send({"type": "http.response.body", "body": line, "more_body": True})
            tasks.cancel()


async def _next(changes: AsyncIterator[Sequence[Change]]) -> Sequence[Change]:
    return await anext(changes)


async def _wait_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _decode(receive: Receive, kind: type[T]) -> T:
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > _BODY_BYTES_MAX or message["type"] == "http.disconnect":
            raise _Refusal(413, "the report is too large")
        if not message.get("more_body", False):
            break
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.DecodeError as error:
        raise _Refusal(400, str(error)) from error


async def _keys(asked: Awaitable[Session]) -> dict[str, Any]:
    try:
        session = await asked
    except LookupError as error:
        raise _Refusal(404, str(error)) from error
    return {
        "accessKeyId": session.access_key_id,
        "secretAccessKey": session.secret_access_key,
        "sessionToken": session.session_token,
        "expiresAt": session.expires_s,
    }


async def _send(send: Send, status: int, body: bytes) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
