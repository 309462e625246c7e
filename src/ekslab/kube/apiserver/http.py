"""HTTP as a thin adapter: from an `Exchange` to an `ApiRequest`, from an `Answer` to bytes.

Imitates the outer handlers of upstream's chain (`apiserver/pkg/server/config.go`): authentication,
in-flight limits, body limit, Audit-Id, Warning and cache headers. Everything that decides about
objects happens behind `ApiServer`.

The GET of one object by somebody who was believed a moment ago needs no waiting: it is answered
before the connection goes on, without a task.
"""

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote_plus

from ekslab.kit.clock import stopwatch_s
from ekslab.kit.exchange import Exchange
from ekslab.kit.ids import Ids
from ekslab.kube.api import errors
from ekslab.kube.api.errors import ApiError
from ekslab.kube.api.ports import Answer, Credentials, Document, RememberingAuthenticator, Watch
from ekslab.kube.api.requests import ANONYMOUS, ApiRequest, UserInfo
from ekslab.kube.apiserver import paths
from ekslab.kube.apiserver.encoding import Body, Encoder
from ekslab.kube.apiserver.flow_control.seats import Shed
from ekslab.kube.apiserver.impersonation import acting_as
from ekslab.kube.apiserver.server import ApiServer

if TYPE_CHECKING:
    from ekslab.kube.apiserver.audit import Audited, Auditor

Headers = list[tuple[bytes, bytes]]

BODY_BYTES_MOST: Final = 3 * 1024 * 1024
_INFLIGHT_MOST: Final = 3_000
_WATCHES_MOST: Final = 20_000
_METHODS: Final = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE"})
_BODIES: Final = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_OPEN_PATHS: Final = ("/livez", "/readyz", "/healthz")
_REPEATED: Final = "exclude"
_CACHE_CONTROL: Final = (b"cache-control", b"no-cache, private")
_NOT_FOUND_TEXT: Final = b"404 page not found\n"


@dataclass(slots=True)
class _Head:
    """What the headers of a request say that matters here."""

    accept: str = "application/json"
    content_type: str = "application/json"
    user_agent: str = ""
    token: str = ""
    audit_id: bytes = b""
    if_none_match: str = ""
    length: int = 0
    gzip: bool = False
    impersonation: list[tuple[str, str]] | None = None


@dataclass(slots=True)
class _Call:
    """One request on its way through this adapter; `headers` are those of the answer."""

    exchange: Exchange
    head: _Head
    headers: Headers
    credentials: Credentials
    started_s: float
    request: ApiRequest | None = None
    audited: "Audited | None" = None


class HttpApp:
    """Handles the exchanges of one API server."""

    def __init__(
        self, server: ApiServer, authenticator: RememberingAuthenticator, *, ids: Ids
    ) -> None:
        self._server = server
        self._authenticator = authenticator
        self._ids = ids
        self._encoder = Encoder(server.registry, server.clock)
        self._metrics = server.metrics
        self._flow = server.flow_control
        self._watches: set[Watch] = set()
        self.auditor: Auditor | None = None
        """Tells of requests, where somebody wants to know."""

    def begin_ending(self) -> None:
        """Say so in `/readyz`, and end the watches as if their time were up.

        What is being answered goes on; the socket is for whoever serves this to close.
        """
        self._server.health.is_ending = True
        for watch in list(self._watches):
            watch.close()

    def __call__(self, exchange: Exchange) -> Coroutine[Any, Any, None] | None:
        """Answer one request."""
        self._metrics.stalls.note_work()
        head = _read_head(exchange.headers)
        audit_id = head.audit_id or self._ids.uid().encode()
        call = _Call(
            exchange,
            head,
            [(b"audit-id", audit_id), _CACHE_CONTROL],
            Credentials(head.token, exchange.connection.certificate),
            stopwatch_s(),
        )
        if exchange.method == "GET" and head.token and head.impersonation is None:
            user = self._authenticator.believed(call.credentials)
            if user is not None:
                return self._read(call, user)
        return self._serve(call)

    def _read(self, call: _Call, user: UserInfo) -> Coroutine[Any, Any, None] | None:
        """A GET by somebody known: one object at once, anything else as it comes."""
        code = 200
        try:
            request = self._request(call, user)
            if request.verb != "get" or request.resource is None or request.subresource:
                return self._carry_out(call, request)
            self._check_room(request)
            place = self._flow.place(request)
            if not self._flow.is_free(place):
                return self._carry_out(call, request)
            call.headers.extend(place.headers)
            answer = Answer(item=self._server.read(request))
            if call.audited is not None:
                call.audited.answer = answer
            self._send_body(call, request, answer)
        except ApiError as error:
            code = error.code
            self._send_error(call, error)
        self._count(call, code)
        return None

    async def _serve(self, call: _Call) -> None:
        """Find out who asks, take the body, and carry it out."""
        try:
            request = self._request(call, await self._user(call))
            if call.exchange.method in _BODIES:
                if call.head.length > BODY_BYTES_MOST:
                    raise errors.too_large(BODY_BYTES_MOST)
                request.body = await _read_body(call.exchange)
        except ApiError as error:
            self._send_error(call, error)
            self._count(call, error.code)
        else:
            await self._carry_out(call, request)

    async def _carry_out(self, call: _Call, request: ApiRequest) -> None:
        try:
            answer = await self._handle(call, request)
            code = answer.code
            if call.audited is not None:
                call.audited.answer = answer
            if answer.watch is not None:
                self._count(call, 200)
                await self._send_watch(call, request, answer.watch)
                if call.audited is not None and self.auditor is not None:
                    self.auditor.note(call.audited, 200)
                return
            await self._send_answer(call, request, answer)
        except ApiError as error:
            code = error.code
            self._send_error(call, error)
        self._count(call, code)

    def _count(self, call: _Call, code: int) -> None:
        if call.request is not None:
            self._metrics.count(call.request, code, stopwatch_s() - call.started_s)
        if call.audited is not None and self.auditor is not None:
            self.auditor.note(call.audited, code)

    def _request(self, call: _Call, user: UserInfo) -> ApiRequest:
        """What is asked for, but for the body.

        Raises:
            ApiError: 405, or 403 for who may not act as somebody else.
        """
        exchange, head = call.exchange, call.head
        asker = user
        if head.impersonation is not None:
            user = acting_as(user, head.impersonation, self._server.check)
        if exchange.method not in _METHODS and not _is_proxied(exchange):
            raise ApiError(
                405,
                "MethodNotAllowed",
                "the server does not allow this method on the requested resource",
                details={},
            )
        options = _parse_query(exchange.query) if exchange.query else {}
        target = paths.parse(exchange.raw_path.decode())
        verb, name = target.verb(exchange.method), target.name
        if options and verb in {"list", "get"} and _wants_watch(options) and not target.subresource:
            verb = "watch"
            if name:
                options["fieldSelector"], name = f"metadata.name={name}", ""
        request = call.request = ApiRequest(
            verb=verb,
            user=user,
            resource=target.resource,
            namespace=target.namespace,
            name=name,
            subresource=target.subresource,
            path=exchange.path,
            options=options,
            content_type=head.content_type,
            accept=head.accept,
            user_agent=head.user_agent,
        )
        if target.subresource:
            request.query = exchange.query.decode("latin-1")
        if self.auditor is not None:
            self._audit(call, self.auditor, request, asker)
        return request

    def _audit(self, call: _Call, auditor: "Auditor", request: ApiRequest, asker: UserInfo) -> None:
        exchange = call.exchange
        uri = exchange.raw_path.decode()
        if exchange.query:
            uri = f"{uri}?{exchange.query.decode('latin-1')}"
        client = exchange.connection.client
        call.audited = auditor.begin(
            request,
            asker=asker,
            audit_id=call.headers[0][1].decode("latin-1"),
            uri=uri,
            source=client[0] if client is not None else "127.0.0.1",
        )

    async def _user(self, call: _Call) -> UserInfo:
        credentials = call.credentials
        if credentials.bearer_token or credentials.certificate_der is not None:
            user = await self._authenticator.authenticate(credentials)
            if user is not None:
                return user
        elif call.exchange.path.startswith(_OPEN_PATHS):
            return ANONYMOUS
        raise errors.unauthorized()

    def _check_room(self, request: ApiRequest) -> None:
        """Refuse what is more than is answered at a time.

        Raises:
            ApiError: 429.
        """
        metrics = self._metrics
        inflight = metrics.inflight_reads + metrics.inflight_writes
        if inflight >= _INFLIGHT_MOST or (
            request.verb == "watch" and metrics.watches >= _WATCHES_MOST
        ):
            raise errors.too_many_requests(
                "too many requests, please try again later", retry_after_s=1
            )

    async def _handle(self, call: _Call, request: ApiRequest) -> Answer:
        """Hand the request to the pipeline when flow control has a seat for it."""
        self._check_room(request)
        metrics, flow = self._metrics, self._flow
        place = flow.place(request)
        call.headers.extend(place.headers)
        if not flow.enter_nowait(place):
            await flow.enter(place)
        if request.verb in {"get", "list", "watch"}:
            metrics.inflight_reads += 1
            try:
                return await self._server.handle(request)
            finally:
                metrics.inflight_reads -= 1
                flow.leave(place)
        metrics.inflight_writes += 1
        try:
            return await self._server.handle(request)
        finally:
            metrics.inflight_writes -= 1
            flow.leave(place)

    async def _send_answer(self, call: _Call, request: ApiRequest, answer: Answer) -> None:
        if answer.document is not None:
            _warn(call, request)
            _send_document(call, answer.document, answer.code)
        elif answer.connect is not None:
            await answer.connect(call.exchange, call.headers)
        elif answer.stream is not None:
            _warn(call, request)
            call.headers.append((b"content-type", b"text/plain"))
            call.exchange.start(answer.code, call.headers)
            async for piece in answer.stream:
                await call.exchange.send(piece)
            call.exchange.end()
        else:
            body = self._send_body(call, request, answer)
            if body is not None:
                for piece in body.pieces:
                    await call.exchange.send(piece)
                    # A client that keeps up would have the loop for itself till the end.
                    await asyncio.sleep(0)
                call.exchange.end()

    def _send_body(self, call: _Call, request: ApiRequest, answer: Answer) -> Body | None:
        """Send an object or a page. One of many pieces is only begun, and given back."""
        if request.warnings:
            _warn(call, request)
        body = self._encoder.encode(request, answer, gzip=call.head.gzip)
        headers = call.headers
        headers.append((b"content-type", body.media_type.encode()))
        if body.gzipped:
            headers.append((b"content-encoding", b"gzip"))
            headers.append((b"vary", b"Accept-Encoding"))
        if body.content is None:
            call.exchange.start(answer.code, headers)
            return body
        call.exchange.answer(answer.code, headers, body.content)
        return None

    async def _send_watch(self, call: _Call, request: ApiRequest, watch: Watch) -> None:
        """Stream a watch until it ends or the client goes."""
        self._metrics.watches += 1
        self._watches.add(watch)
        exchange = call.exchange
        if self._server.health.is_ending:
            watch.close()
        try:
            lines = self._encoder.watch_lines(request)
            call.headers.append((b"content-type", lines.media_type.encode()))
            exchange.start(200, call.headers)
            exchange.write(b"")
            exchange.when_gone(watch.close)
            try:
                async for events in watch:
                    for piece in lines.pieces(events):
                        await exchange.send(piece)
                        if exchange.gone:
                            return
            except ApiError as error:
                exchange.write(lines.error(error))
            exchange.end()
        finally:
            watch.close()
            self._watches.discard(watch)
            self._metrics.watches -= 1

    def _send_error(self, call: _Call, error: ApiError) -> None:
        headers, request, exchange = call.headers, call.request, call.exchange
        if call.audited is not None:
            call.audited.error = error
        if request is not None:
            _warn(call, request)
        headers.extend((name.encode(), value.encode()) for name, value in error.headers.items())
        if error.code == 401:
            headers.append((b"www-authenticate", b'Basic realm="kubernetes-master"'))
        if error.code == 404 and not self._is_api(exchange.path):
            headers.append((b"content-type", b"text/plain; charset=utf-8"))
            exchange.answer(404, headers, _NOT_FOUND_TEXT)
            return
        accept = request.accept if request is not None else ""
        if isinstance(error, Shed):
            headers.append((b"content-type", b"text/plain; charset=utf-8"))
            headers.append((b"x-content-type-options", b"nosniff"))
            exchange.answer(error.code, headers, f"{error.message}\n".encode())
            return
        content, media_type = self._encoder.status(error, accept)
        headers.append((b"content-type", media_type.encode()))
        exchange.answer(error.code, headers, content)

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
            head.audit_id = value
        elif name.startswith(b"impersonate-"):
            head.impersonation = head.impersonation or []
            head.impersonation.append((name.decode("latin-1"), value.decode("latin-1")))
    return head


def _parse_query(query: bytes) -> dict[str, str]:
    """Query parameters, the first value of each; a parameter without `=` has the value "".

    Only health checks are excluded several at a time: their names are joined by commas.
    """
    options: dict[str, str] = {}
    for pair in query.decode("latin-1").split("&"):
        name, _, value = pair.partition("=")
        value = unquote_plus(value) if "%" in value or "+" in value else value
        if name and name not in options:
            options[name] = value
        elif name == _REPEATED:
            options[name] = f"{options[name]},{value}"
    return options


def _is_proxied(exchange: Exchange) -> bool:
    """Whether a method that the API does not have is meant for somebody behind it."""
    target = paths.parse(exchange.raw_path.decode())
    return exchange.method in {"HEAD", "OPTIONS"} and target.subresource == "proxy"


def _wants_watch(options: dict[str, str]) -> bool:
    return options.get("watch", "0") not in {"0", "f", "false", "False"}


async def _read_body(exchange: Exchange) -> bytes:
    body = await exchange.read()
    if exchange.was_read:
        return body
    pieces = [body]
    size = len(body)
    while piece := await exchange.read():
        pieces.append(piece)
        size += len(piece)
        if size > BODY_BYTES_MOST:
            raise errors.too_large(BODY_BYTES_MOST)
    return b"".join(pieces)


def _send_document(call: _Call, document: Document, code: int) -> None:
    headers, head = call.headers, call.head
    if document.etag:
        etag = f'"{document.etag}"'
        headers.append((b"etag", etag.encode()))
        headers.append((b"vary", b"Accept"))
        if head.if_none_match == etag:
            call.exchange.answer(304, headers, b"")
            return
    headers.append((b"content-type", document.media_type.encode()))
    if document.media_type.startswith("text/"):
        headers.append((b"x-content-type-options", b"nosniff"))
    content = document.content
    if head.gzip and document.gzipped is not None:
        headers.append((b"content-encoding", b"gzip"))
        content = document.gzipped
    call.exchange.answer(code, headers, content)


def _warn(call: _Call, request: ApiRequest) -> None:
    for text in dict.fromkeys(request.warnings):
        quoted = text.replace("\\", "\\\\").replace('"', '\\"')
        call.headers.append((b"warning", f'299 - "{quoted}"'.encode("latin-1", "replace")))
