"""The AWS endpoint as an ASGI application: HTTP in, `Endpoint.handle`, HTTP out."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from ekslab.cloud.ports import AwsRequest, AwsResponse, Endpoint

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
# An S3 part may be large; anything else is far below.
BODY_BYTES_MAX = 256 * 1024 * 1024
_TOO_LARGE = AwsResponse(
    413,
    (("Content-Type", "application/json"), ("x-amzn-ErrorType", "RequestEntityTooLargeException")),
    b'{"message":"Request size exceeded the limit"}',
)


class AwsAsgi:
    """Serves an `Endpoint`; bodies are held in memory up to `BODY_BYTES_MAX`."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one HTTP request, or the lifespan protocol."""
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
        elif scope["type"] == "http":
            body = await _read_body(receive)
            answer = _TOO_LARGE if body is None else await self._endpoint.handle(_read(scope, body))
            await _write(answer, send, head=scope["method"] == "HEAD")


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


async def _read_body(receive: Receive) -> bytes | None:
    """The whole body, None if it is too large or the client left."""
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        part = message.get("body", b"")
        size += len(part)
        if size > BODY_BYTES_MAX:
            return None
        parts.append(part)
        if not message.get("more_body", False):
            return b"".join(parts)


def _read(scope: Message, body: bytes) -> AwsRequest:
    raw_path: bytes = scope.get("raw_path") or scope["path"].encode()
    return AwsRequest(
        method=scope["method"],
        raw_path=raw_path.partition(b"?")[0].decode("latin-1"),
        query=scope["query_string"].decode("latin-1"),
        headers=tuple(
            (name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]
        ),
        body=body,
        tls=scope["scheme"] == "https",
    )


async def _write(answer: AwsResponse, send: Send, *, head: bool) -> None:
    headers = [
        (name.lower().encode("latin-1"), value.encode("latin-1", "replace"))
        for name, value in answer.headers
    ]
    if not any(name == b"content-length" for name, _ in headers):
        headers.append((b"content-length", str(len(answer.body)).encode()))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if head else answer.body})
