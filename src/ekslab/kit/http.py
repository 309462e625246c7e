"""HTTP/1.1 as an asyncio protocol in front of an ASGI application; httptools parses.

It does what a server behind kept connections needs and nothing else: keep-alive, pipelining,
chunked bodies, `100-continue`, flow control both ways, HEAD, HTTP/1.0 without chunks. Head and body
of a short answer leave in one write: with TLS, each write is a record and costs as much as the rest
of this file (measured in docs/investigations/first-bench.md). A request whose body came with its
head starts its application with the body at hand.

An upgrade (WebSocket, SPDY) is answered as an ordinary request, and ends the connection.
"""

import asyncio
import re
from collections import deque
from collections.abc import Awaitable, Callable, MutableMapping
from http import HTTPStatus
from typing import Any, Final, cast
from urllib.parse import unquote

import httptools

from ekslab.kit import logs

Message = MutableMapping[str, Any]
App = Callable[[Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]],
               Awaitable[None]]  # fmt: skip

KEEP_ALIVE_S: Final = 300.0
HEAD_BYTES_MOST: Final = 1 << 20  # Go's DefaultMaxHeaderBytes
_BODY_AHEAD_MOST: Final = 64 << 10
_DROPPED_MOST: Final = 256 << 10  # as Go
_JOIN_MOST: Final = 64 << 10
_STATUS_LINES: Final = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus
}
_BODILESS: Final = frozenset({204, 304})
_DISCONNECT: Final = {"type": "http.disconnect"}
_CONTROL: Final = re.compile(rb"[\r\n\0]")
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class Connections:
    """What the connections of one server share: the application, and who is open and at work."""

    def __init__(self, app: App) -> None:
        self.app = app
        self.open: set[HttpProtocol] = set()
        self.tasks: set[asyncio.Task[None]] = set()
        self.loop = asyncio.get_running_loop()
        self.log = logs.get("http")


class HttpProtocol(asyncio.Protocol):
    """One connection: parses requests and lets the application answer them, one at a time.

    With TLS, the peer's certificate (DER, verified against the CA of the context) stands in the
    scope at `extensions.tls.client_cert_der`, near what the ASGI TLS extension proposes.
    """

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._loop = connections.loop
        self._parser = httptools.HttpRequestParser(self)
        self._queue: deque[_Exchange] = deque()
        self._current: _Exchange | None = None
        self._incoming: _Exchange | None = None
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._bytes_between = 0
        self._in_head = True
        self._refused = 0
        self._at_eof = False
        self._reading_paused = False
        self._drained: asyncio.Future[None] | None = None
        self._write_paused = False
        self._closing = False
        self._idle_since = self._loop.time()
        self._idle_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client is there."""
        # uvloop's transports are of no asyncio class.
        self._transport = cast("asyncio.Transport", transport)
        self._connections.open.add(self)
        self._client = _address(transport.get_extra_info("peername"))
        self._server = _address(transport.get_extra_info("sockname"))
        tls = transport.get_extra_info("ssl_object")
        self._scheme = "https" if tls is not None else "http"
        certificate = tls.getpeercert(binary_form=True) if tls is not None else None
        self._extensions = {"tls": {"client_cert_der": certificate}} if certificate else None
        self._idle_timer = self._loop.call_later(KEEP_ALIVE_S, self._close_if_idle)

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002 - asyncio's call
        """The client is gone: whoever waits for it is told."""
        self._closing = True
        self._connections.open.discard(self)
        if self._idle_timer is not None:
            self._idle_timer.cancel()
        for exchange in (self._current, self._incoming, *self._queue):
            if exchange is not None:
                exchange.disconnect()
        self._queue.clear()
        self.resume_writing()

    def shutdown(self) -> None:
        """Close after the answer under way, or at once if there is none."""
        self._closing = True
        if self._current is None:
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        """Feed the parser; its callbacks below make the requests."""
        if self._closing or self._refused:
            return
        # Heads, trailers, chunk extensions, empty lines: all that is no body.
        self._bytes_between += len(data)
        if self._bytes_between > HEAD_BYTES_MOST:
            self._refuse(431)
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            # The request was whole; what follows it is not ours to read.
            self.pause_reading()
        except httptools.HttpParserError:
            self._refuse(400)
            return
        incoming = self._incoming
        if incoming is not None and not incoming.begun:
            self._begin(incoming)

    def eof_received(self) -> bool:
        """The client says no more; without TLS it may still read what it asked for, as with Go."""
        self._at_eof = True
        if self._current is not None:
            self._current.wake()
        return self._scheme == "http" and self._current is not None

    def pause_writing(self) -> None:
        """The transport's buffer is full."""
        self._write_paused = True

    def resume_writing(self) -> None:
        """It has room again."""
        self._write_paused = False
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
        self._drained = None
        if self._current is None and not self._closing:
            self._go_on()

    # What httptools calls.

    def on_message_begin(self) -> None:
        """A request begins."""
        self._url = b""
        self._headers = []
        self._in_head = True

    def on_url(self, url: bytes) -> None:
        """A piece of the request target."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header; a trailer, behind the body, is none."""
        if self._in_head:
            self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """Make the request; it begins when its body, or what has come of it, was parsed too."""
        self._in_head = False
        self._bytes_between = 0
        target = self._url
        if target[:1] == b"/":
            raw_path, _, query = target.partition(b"?")
        else:
            parsed = httptools.parse_url(target)
            raw_path, query = parsed.path or b"/", parsed.query or b""
        path = raw_path.decode("ascii")
        version = self._parser.get_http_version()
        scope: Message = {
            "type": "http",
            "http_version": version,
            "method": self._parser.get_method().decode("ascii"),
            "scheme": self._scheme,
            "path": unquote(path) if "%" in path else path,
            "raw_path": raw_path,
            "query_string": query,
            "headers": self._headers,
            "client": self._client,
            "server": self._server,
        }
        if self._extensions is not None:
            scope["extensions"] = self._extensions
        expects = version == "1.1" and any(
            name == b"expect" and value.lower() == b"100-continue" for name, value in self._headers
        )
        lasts = self._parser.should_keep_alive() and not self._parser.should_upgrade()
        self._incoming = _Exchange(self, scope, keep_alive=lasts, expects_continue=expects)

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        self._bytes_between = 0
        if self._incoming is not None and self._incoming.add(body) > _BODY_AHEAD_MOST:
            self.pause_reading()

    def on_message_complete(self) -> None:
        """The request is whole."""
        incoming = self._incoming
        if incoming is None:
            return
        self._incoming = None
        incoming.complete()
        if not incoming.begun:
            self._begin(incoming)

    # What exchanges call.

    def write(self, head: bytes, body: bytes) -> None:
        """Send bytes; a short body goes with its head."""
        transport = self._transport
        if not head:
            transport.write(body)
        elif len(body) <= _JOIN_MOST:
            transport.write(head + body)
        else:
            transport.write(head)
            transport.write(body)

    @property
    def at_eof(self) -> bool:
        """Whether the client will send no more."""
        return self._at_eof

    @property
    def write_paused(self) -> bool:
        """Whether what is written only piles up."""
        return self._write_paused

    async def drain(self) -> None:
        """Wait until the client has taken what was written, or is gone."""
        while self._write_paused and not self._transport.is_closing():
            if self._drained is None:
                self._drained = self._loop.create_future()
            await self._drained

    def pause_reading(self) -> None:
        """Take no more from the client for now."""
        if not self._reading_paused and not self._transport.is_closing():
            self._reading_paused = True
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Go on taking."""
        if self._reading_paused and not self._transport.is_closing():
            self._reading_paused = False
            self._transport.resume_reading()

    def finished(self, exchange: "_Exchange") -> None:
        """An answer is complete: the next request, or rest."""
        self._current = None
        self._idle_since = self._loop.time()
        if self._closing or not exchange.keep_alive:
            self._closing = True
            self._transport.close()
            return
        self._go_on()

    def broken(self) -> None:
        """The answer cannot be ended well."""
        self._closing = True
        self._transport.close()

    def _begin(self, exchange: "_Exchange") -> None:
        exchange.begun = True
        if self._current is None and not self._write_paused:
            self._start(exchange)
        else:
            # Pipelined: it waits its turn, and so does what comes behind it.
            self._queue.append(exchange)
            self.pause_reading()

    def _go_on(self) -> None:
        if self._write_paused:
            # Who asks on and never reads gets no second answer before it took the first.
            self.pause_reading()
        elif self._queue:
            self._start(self._queue.popleft())
        elif self._refused:
            self._refuse(self._refused)
        elif self._at_eof:
            self._transport.close()
        else:
            self.resume_reading()

    def _start(self, exchange: "_Exchange") -> None:
        self._current = exchange
        tasks = self._connections.tasks
        # Owned by the server, which waits for it when it stops.
        task = self._loop.create_task(exchange.run(self._connections))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    def _refuse(self, code: int) -> None:
        """What arrived is no request; whole ones before it get their answers first."""
        incoming, self._incoming = self._incoming, None
        if incoming is not None and incoming in self._queue:
            self._queue.remove(incoming)
        if self._current is not None and self._current is not incoming:
            self._refused = code
            return
        self._closing = True
        if incoming is not None and incoming.answering:
            self._transport.close()
            return
        text = f"{code} {HTTPStatus(code).phrase}".encode()
        head = b"content-type: text/plain; charset=utf-8\r\nconnection: close\r\n\r\n"
        self._transport.write(_STATUS_LINES[code] + head + text)
        self._transport.close()

    def _close_if_idle(self) -> None:
        idle_s = self._loop.time() - self._idle_since
        if self._current is None and idle_s >= KEEP_ALIVE_S:
            self._transport.close()
            return
        wait_s = KEEP_ALIVE_S - (idle_s if self._current is None else 0.0)
        self._idle_timer = self._loop.call_later(wait_s, self._close_if_idle)


class _Exchange:
    """One request and its answer, as the application sees them."""

    __slots__ = (
        "_body", "_chunked", "_complete", "_delivered", "_disconnected", "_dropped", "_ended",
        "_expects_continue", "_head", "_is_head", "_left", "_protocol", "_scope", "_started",
        "_wakeup", "begun", "keep_alive",
    )  # fmt: skip

    def __init__(
        self, protocol: HttpProtocol, scope: Message, *, keep_alive: bool, expects_continue: bool
    ) -> None:
        self.keep_alive = keep_alive
        self.begun = False
        self._protocol = protocol
        self._scope = scope
        self._is_head = scope["method"] == "HEAD"
        self._expects_continue = expects_continue
        self._body = b""
        self._complete = False
        self._delivered = False
        self._disconnected = False
        self._wakeup: asyncio.Future[None] | None = None
        self._started = False
        self._ended = False
        self._chunked = False
        self._left = -1
        self._dropped = 0
        self._head = b""

    def add(self, body: bytes) -> int:
        """A piece of the request's body came; how much of it nobody has taken yet."""
        if self._ended:
            self._dropped += len(body)
            if self._dropped > _DROPPED_MOST:
                self._protocol.broken()
            return 0
        self._body = self._body + body if self._body else body
        self.wake()
        return len(self._body)

    def complete(self) -> None:
        """The request's body ended."""
        self._complete = True
        self.wake()
        if self._ended:
            self._protocol.finished(self)

    def disconnect(self) -> None:
        """The client is gone."""
        self._disconnected = True
        self.wake()

    @property
    def answering(self) -> bool:
        """Whether the answer has begun."""
        return self._started

    def wake(self) -> None:
        """Whoever waits for the client looks again."""
        if self._wakeup is not None and not self._wakeup.done():
            self._wakeup.set_result(None)

    async def run(self, connections: Connections) -> None:
        """Let the application answer."""
        try:
            await connections.app(self._scope, self.receive, self.send)
        except Exception:
            connections.log.exception("crashed", path=self._scope["path"])
            if self._started and self._head == b"":
                self._protocol.broken()
                return
            self._started, self._head, self.keep_alive = False, b"", False
            self._left, self._chunked = -1, False
            await self.send({"type": "http.response.start", "status": 500, "headers": []})
            await self.send({"type": "http.response.body", "body": b"Internal Server Error"})
        if not self._ended and not self._disconnected:
            self._protocol.broken()

    async def receive(self) -> Message:
        """ASGI's receive: pieces of the body, then, when the client is gone, `http.disconnect`."""
        if self._expects_continue and not self._started:
            self._expects_continue = False
            self._protocol.write(b"", _CONTINUE)
        while True:
            if self._disconnected or self._ended:
                return dict(_DISCONNECT)
            if self._body or (self._complete and not self._delivered):
                body, self._body = self._body, b""
                self._delivered = self._complete
                if not self._complete:
                    self._protocol.resume_reading()
                return {"type": "http.request", "body": body, "more_body": not self._complete}
            if self._protocol.at_eof:
                return dict(_DISCONNECT)
            self._protocol.resume_reading()
            self._wakeup = asyncio.get_running_loop().create_future()
            await self._wakeup

    async def send(self, message: Message) -> None:
        """ASGI's send. The head is kept back until the first piece of the body is there."""
        if self._disconnected:
            return
        if not self._started:
            assert message["type"] == "http.response.start", message["type"]
            self._started = True
            self._head = self._make_head(message["status"], message.get("headers") or ())
            return
        assert message["type"] == "http.response.body", message["type"]
        assert not self._ended, "the answer was complete"
        body: bytes = message.get("body", b"")
        more: bool = message.get("more_body", False)
        head, self._head = self._head, b""
        piece = b"" if self._is_head else self._framed(body, more=more)
        if head or piece:
            self._protocol.write(head, piece)
        if not more:
            assert self._is_head or self._left <= 0, "the answer is shorter than its length"
            self._ended = True
            self.wake()
            if self._complete or self._expects_continue:
                # Who waits for "100 Continue" will not send its body any more.
                self.keep_alive = self.keep_alive and self._complete
                self._protocol.finished(self)
            else:
                # What is left of the body is read and dropped: to close now would reset the
                # connection before the client has read this answer.
                self._body = b""
                self._protocol.resume_reading()
        elif self._protocol.write_paused:
            await self._protocol.drain()

    def _make_head(self, status: int, headers: Any) -> bytes:
        parts = [_STATUS_LINES[status]]
        for name, value in headers:
            assert not _CONTROL.search(value), name
            if name == b"content-length":
                self._left = int(value)
            elif name == b"connection" and value.lower() == b"close":
                self.keep_alive = False
                continue
            parts += (name, b": ", value, b"\r\n")
        if self._left < 0 and status not in _BODILESS:
            if self._scope["http_version"] == "1.1":
                self._chunked = True
                parts.append(b"transfer-encoding: chunked\r\n")
            else:
                self.keep_alive = False
        if not self.keep_alive:
            parts.append(b"connection: close\r\n")
        parts.append(b"\r\n")
        return b"".join(parts)

    def _framed(self, body: bytes, *, more: bool) -> bytes:
        if not self._chunked:
            if self._left >= 0:
                self._left -= len(body)
                assert self._left >= 0, "the answer is longer than its length"
            return body
        end = b"" if more else b"0\r\n\r\n"
        return b"%x\r\n%b\r\n%b" % (len(body), body, end) if body else end


def _address(found: Any) -> tuple[str, int] | None:
    """Host and port; None for a unix socket."""
    return (found[0], found[1]) if isinstance(found, tuple) else None
