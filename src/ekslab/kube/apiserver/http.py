"""HTTP as a thin adapter: from an ASGI scope to an `ApiRequest`, from an `Answer` to bytes.

Imitates the outer handlers of upstream's chain (`apiserver/pkg/server/config.go`): authentication,
in-flight limits, body limit, Audit-Id, Warning and cache headers. Everything that decides about
objects happens behind `ApiServer.handle`.
"""

from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote_plus

from ekslab.kit.clock import stopwatch_s
from ekslab.kit.ids import Ids
from ekslab.kit.tasks import TaskGroup
from ekslab.kube.api import errors
from ekslab.kube.api.errors import ApiError
from ekslab.kube.api.ports import Answer, Authenticator, Credentials, Document, Watch
from ekslab.kube.api.requests import ANONYMOUS, ApiRequest, UserInfo
from ekslab.kube.apiserver import paths
from ekslab.kube.apiserver.encoding import Body, Encoder
from ekslab.kube.apiserver.impersonation import acting_as
from ekslab.kube.apiserver.server import ApiServer

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

BODY_BYTES_MOST: Final = 3 * 1024 * 1024
_INFLIGHT_MOST: Final = 3_000
_WATCHES_MOST: Final = 20_000
_METHODS: Final = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE"})
_BODIES: Final = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_OPEN_PATHS: Final = ("/livez", "/readyz", "/healthz")
_COMMON: Final[tuple[tuple[bytes, bytes], ...]] = ((b"cache-control", b"no-cache, private"),)
_NOT_FOUND_TEXT: Final = b"404 page not found\n"


@dataclass(slots=True)
class _Head:
    """What the headers of a request say that matters here."""

    accept: str = "application/json"
    content_type: str = "application/json"
    user_agent: str = ""
    token: str = ""
    audit_id: str = ""
    if_none_match: str = ""
    length: int = 0
    gzip: bool = False
    impersonation: list[tuple[str, str]] | None = None


class HttpApp:
    """The ASGI application of one API server."""

    def __init__(self, server: ApiServer, authenticator: Authenticator, *, ids: Ids) -> None:
        self._server = server
        self._authenticator = authenticator
        self._ids = ids
        self._encoder = Encoder(server.registry, server.clock)
        self._metrics = server.metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        assert scope["type"] == "http", scope["type"]
        started = stopwatch_s()
        self._metrics.stalls.note_work()
        head = _read_head(scope["headers"])
        headers: Headers = [
            (b"audit-id", (head.audit_id or self._ids.uid()).encode()),
            *_COMMON,
        ]
        request: ApiRequest | None = None
        code = 500
        try:
            request = await self._request(scope, receive, head)
            answer = await self._handle(request)
            code = answer.code
            if answer.watch is not None:
                self._count(request, 200, started)
                await self._send_watch(request, answer.watch, headers, receive, send)
                return
            await self._send_answer(request, answer, head, headers, send)
        except ApiError as error:
            code = error.code
            await self._send_error(request, scope["path"], error, headers, send)
        self._count(request, code, started)

    def _count(self, request: ApiRequest | None, code: int, started: float) -> None:
        if request is not None:
            self._metrics.count(request, code, stopwatch_s() - started)

    async def _request(self, scope: Scope, receive: Receive, head: _Head) -> ApiRequest:
        """Build the request: who asks, what for, with which body.

        Raises:
            ApiError: 401, 405, 413.
        """
        method, path = scope["method"], scope["path"]
        user = await self._user(scope, path, head)
        if head.impersonation is not None:
            user = acting_as(user, head.impersonation, self._server.check)
        if method not in _METHODS:
            raise ApiError(
                405,
                "MethodNotAllowed",
                "the server does not allow this method on the requested resource",
                details={},
            )
        query = scope["query_string"]
        options = _parse_query(query) if query else {}
        target = paths.parse(scope.get("raw_path", b"").decode() or path)
        verb, name = target.verb(method), target.name
        if verb in {"list", "get"} and _wants_watch(options) and not target.subresource:
            verb = "watch"
            if name:
                options["fieldSelector"], name = f"metadata.name={name}", ""
        body: bytes | None = None
        if method in _BODIES:
            if head.length > BODY_BYTES_MOST:
                raise errors.too_large(BODY_BYTES_MOST)
            body = await _read_body(receive)
        return ApiRequest(
            verb=verb,
            user=user,
            resource=target.resource,
            namespace=target.namespace,
            name=name,
            subresource=target.subresource,
            path=path,
            options=options,
            body=body,
            content_type=head.content_type,
            accept=head.accept,
            user_agent=head.user_agent,
        )

    async def _user(self, scope: Scope, path: str, head: _Head) -> UserInfo:
        extensions = scope.get("extensions")
        certificate = extensions["tls"]["client_cert_der"] if extensions else None
        if head.token or certificate is not None:
            credentials = Credentials(bearer_token=head.token, certificate_der=certificate)
            user = await self._authenticator.authenticate(credentials)
            if user is not None:
                return user
        elif path.startswith(_OPEN_PATHS):
            return ANONYMOUS
        raise errors.unauthorized()

    async def _handle(self, request: ApiRequest) -> Answer:
        """Hand the request to the pipeline, within the bound of what is answered at a time."""
        metrics = self._metrics
        inflight = metrics.inflight_reads + metrics.inflight_writes
        if inflight >= _INFLIGHT_MOST or (
            request.verb == "watch" and metrics.watches >= _WATCHES_MOST
        ):
            raise errors.too_many_requests(
                "too many requests, please try again later", retry_after_s=1
            )
        if request.verb in {"get", "list", "watch"}:
            metrics.inflight_reads += 1
            try:
                return await self._server.handle(request)
            finally:
                metrics.inflight_reads -= 1
        metrics.inflight_writes += 1
        try:
            return await self._server.handle(request)
        finally:
            metrics.inflight_writes -= 1

    async def _send_answer(
        self, request: ApiRequest, answer: Answer, head: _Head, headers: Headers, send: Send
    ) -> None:
        for text in dict.fromkeys(request.warnings):
            headers.append((b"warning", _warning(text)))
        if answer.document is not None:
            await _send_document(answer.document, head, headers, send)
            return
        if answer.stream is not None:
            headers.append((b"content-type", b"text/plain"))
            await send({"type": "http.response.start", "status": answer.code, "headers": headers})
            async for piece in answer.stream:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
            return
        body = self._encoder.encode(request, answer, gzip=head.gzip)
        await _send_body(body, answer.code, headers, send)

    async def _send_watch(
        self, request: ApiRequest, watch: Watch, headers: Headers, receive: Receive, send: Send
    ) -> None:
        """Stream a watch until it ends or the client goes."""
        self._metrics.watches += 1
        try:
            lines = self._encoder.watch_lines(request)
            headers.append((b"content-type", lines.media_type.encode()))
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": b"", "more_body": True})
            async with TaskGroup("watch") as tasks:
                tasks.start(_close_with_client(receive, watch), name="disconnect")
                try:
                    async for events in watch:
                        for piece in lines.pieces(events):
                            await send(
                                {"type": "http.response.body", "body": piece, "more_body": True}
                            )
                except ApiError as error:
                    last = lines.error(error)
                    await send({"type": "http.response.body", "body": last, "more_body": True})
                tasks.cancel()
            await send({"type": "http.response.body", "body": b""})
        finally:
            watch.close()
            self._metrics.watches -= 1

    async def _send_error(
        self,
        request: ApiRequest | None,
        path: str,
        error: ApiError,
        headers: Headers,
        send: Send,
    ) -> None:
        if request is not None:
            for text in dict.fromkeys(request.warnings):
                headers.append((b"warning", _warning(text)))
        headers.extend((name.encode(), value.encode()) for name, value in error.headers.items())
        if error.code == 401:
            headers.append((b"www-authenticate", b'Basic realm="kubernetes-master"'))
        if error.code == 404 and not self._is_api(path):
            headers.append((b"content-type", b"text/plain; charset=utf-8"))
            await _send_once(_NOT_FOUND_TEXT, 404, headers, send)
            return
        accept = request.accept if request is not None else ""
        content, media_type = self._encoder.status(error, accept)
        headers.append((b"content-type", media_type.encode()))
        await _send_once(content, error.code, headers, send)

    def _is_api(self, path: str) -> bool:
        """Whether upstream's go-restful container, which answers by Status, owns the path.

        It knows the groups that are served; the rest goes to a plain `http.NotFound`.
        """
        parts = path.split("/", 3)
        if parts[1] == "api":
            return len(parts) > 2
        return parts[1] == "apis" and len(parts) > 2 and self._server.registry.has_group(parts[2])


def _read_head(raw: Sequence[tuple[bytes, bytes]]) -> _Head:
    head = _Head()
    for name, value in raw:
        if name == b"accept":
            head.accept = value.decode("latin-1")
        elif name == b"content-type":
            head.content_type = value.decode("latin-1")
        elif name == b"authorization":
            scheme, _, token = value.decode("latin-1").partition(" ")
            if scheme.lower() == "bearer":
                head.token = token.strip()
        elif name == b"user-agent":
            head.user_agent = value.decode("latin-1")
        elif name == b"content-length":
            head.length = int(value) if value.isdigit() else 0
        elif name == b"accept-encoding":
            head.gzip = b"gzip" in value
        elif name == b"if-none-match":
            head.if_none_match = value.decode("latin-1")
        elif name == b"audit-id":
            head.audit_id = value.decode("latin-1")
        elif name.startswith(b"impersonate-"):
            head.impersonation = head.impersonation or []
            head.impersonation.append((name.decode("latin-1"), value.decode("latin-1")))
    return head


def _parse_query(query: bytes) -> dict[str, str]:
    """Query parameters, the first value of each; a parameter without `=` has the value ""."""
    options: dict[str, str] = {}
    for pair in query.decode("latin-1").split("&"):
        name, _, value = pair.partition("=")
        if name and name not in options:
            options[name] = unquote_plus(value) if "%" in value or "+" in value else value
    return options


def _wants_watch(options: dict[str, str]) -> bool:
    return options.get("watch", "0") not in {"0", "f", "false", "False"}


async def _read_body(receive: Receive) -> bytes:
    message = await receive()
    body: bytes = message.get("body", b"")
    if not message.get("more_body"):
        return body
    pieces = [body]
    size = len(body)
    while message.get("more_body"):
        message = await receive()
        pieces.append(message.get("body", b""))
        size += len(pieces[-1])
        if size > BODY_BYTES_MOST:
            raise errors.too_large(BODY_BYTES_MOST)
    return b"".join(pieces)


async def _close_with_client(receive: Receive, watch: Watch) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    watch.close()


async def _send_once(content: bytes, code: int, headers: Headers, send: Send) -> None:
    headers.append((b"content-length", b"%d" % len(content)))
    await send({"type": "http.response.start", "status": code, "headers": headers})
    await send({"type": "http.response.body", "body": content})


async def _send_body(body: Body, code: int, headers: Headers, send: Send) -> None:
    headers.append((b"content-type", body.media_type.encode()))
    if body.gzipped:
        headers.append((b"content-encoding", b"gzip"))
        headers.append((b"vary", b"Accept-Encoding"))
    if body.content is not None:
        await _send_once(body.content, code, headers, send)
        return
    await send({"type": "http.response.start", "status": code, "headers": headers})
    for piece in body.pieces:
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def _send_document(document: Document, head: _Head, headers: Headers, send: Send) -> None:
    if document.etag:
        etag = f'"{document.etag}"'
        headers.append((b"etag", etag.encode()))
        headers.append((b"vary", b"Accept"))
        if head.if_none_match == etag:
            await send({"type": "http.response.start", "status": 304, "headers": headers})
            await send({"type": "http.response.body", "body": b""})
            return
    headers.append((b"content-type", document.media_type.encode()))
    content = document.content
    if head.gzip and document.gzipped is not None:
        headers.append((b"content-encoding", b"gzip"))
        content = document.gzipped
    await _send_once(content, 200, headers, send)


def _warning(text: str) -> bytes:
    quoted = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'299 - "{quoted}"'.encode("latin-1", "replace")
