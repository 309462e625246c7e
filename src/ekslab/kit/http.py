"""HTTP/1.1 as an asyncio protocol in front of a handler of exchanges; httptools parses.

It does what a server behind kept connections needs and nothing else: keep-alive, pipelining,
chunked bodies, `100-continue`, flow control both ways, HEAD, HTTP/1.0 without chunks. A request
whose body came with its head is handed over with the body at hand, and one that its handler can
answer without waiting costs neither a task nor a turn of the loop.

A request for an upgrade (WebSocket, SPDY) is an ordinary one, body and all. Its handler may take
it up, and gets a tunnel; otherwise it is answered, and the connection ends.
"""

import asyncio
from collections import deque
from collections.abc import Coroutine
from http import HTTPStatus
from typing import Any, Final, cast
from urllib.parse import unquote

import httptools

from ekslab.kit import logs
from ekslab.kit.exchange import STATUS_LINES, ClientGoneError, Exchange, Handler
from ekslab.kit.tunnel import Tunnel

KEEP_ALIVE_S: Final = 300.0
HEAD_BYTES_MOST: Final = 1 << 20  # Go's DefaultMaxHeaderBytes
_BODY_AHEAD_MOST: Final = 64 << 10
_JOIN_MOST: Final = 64 << 10
_AT_ONCE_MOST: Final = 16  # pipelined requests answered in one turn of the loop
_FRAMING: Final = frozenset({b"content-length", b"transfer-encoding"})


class Connections:
    """What the connections of one server share: the handler, and who is open and at work."""

    def __init__(self, handler: Handler) -> None:
        self.handler = handler
        self.open: set[HttpProtocol] = set()
        self.tasks: set[asyncio.Task[None]] = set()
        self.loop = asyncio.get_running_loop()
        self.log = logs.get("http")


class HttpProtocol(asyncio.Protocol):
    """One connection: parses requests and lets the handler answer them, one at a time.

    What exchanges ask of it is said in `exchange.Connection`.
    """

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._loop = connections.loop
        self._parser: Any = httptools.HttpRequestParser(self)
        self._queue: deque[Exchange] = deque()
        self._current: Exchange | None = None
        self._incoming: Exchange | None = None
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._expects_continue = False
        self._bytes_between = 0
        self._begun_at_once = 0
        self._in_head = True
        self._framing = b""
        self._tunnel: Tunnel | None = None
        self._refused = 0
        self.at_eof = False
        self._reading_paused = False
        self._drained: asyncio.Future[None] | None = None
        self.write_paused = False
        self._closing = False
        self._idle_since = self._loop.time()
        self._idle_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client is there."""
        # uvloop's transports are of no asyncio class.
        self._transport = cast("asyncio.Transport", transport)
        self._connections.open.add(self)
        self.client = _address(transport.get_extra_info("peername"))
        self.server = _address(transport.get_extra_info("sockname"))
        tls = transport.get_extra_info("ssl_object")
        self.scheme = "https" if tls is not None else "http"
        self.certificate: bytes | None = tls.getpeercert(binary_form=True) if tls else None
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
        if self._tunnel is not None:
            self._tunnel.no_more()
        elif self._current is None:
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        """Feed the parser; its callbacks below make the requests."""
        if self._closing or self._refused:
            return
        # Heads, trailers, chunk extensions, empty lines: all that is no body.
        self._bytes_between += len(data)
        self._begun_at_once = 0
        if self._bytes_between > HEAD_BYTES_MOST:
            self._refuse(431)
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._read_on_behind(data[upgrade.args[0] :])
        except httptools.HttpParserError:
            self._refuse(400)
            return
        incoming = self._incoming
        if incoming is not None and not incoming.begun:
            self._begin(incoming)

    def eof_received(self) -> bool:
        """The client says no more; without TLS it may still read what it asked for, as with Go."""
        self.at_eof = True
        if self._current is not None:
            self._current.no_more()
        return self.scheme == "http" and (self._current is not None or bool(self._queue))

    def pause_writing(self) -> None:
        """The transport's buffer is full."""
        self.write_paused = True

    def resume_writing(self) -> None:
        """It has room again."""
        self.write_paused = False
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
        self._expects_continue = False
        self._in_head = True

    def on_url(self, url: bytes) -> None:
        """A piece of the request target."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header; a trailer, behind the body, is none."""
        if self._in_head:
            name = name.lower()
            self._headers.append((name, value))
            if name == b"expect":
                self._expects_continue = value.lower() == b"100-continue"

    def on_headers_complete(self) -> None:
        """Make the request; it begins when its body, or what has come of it, was parsed too."""
        if self._framing:
            return
        self._in_head = False
        self._bytes_between = 0
        parser = self._parser
        target = self._url
        if target[:1] == b"/":
            raw_path, _, query = target.partition(b"?")
        else:
            parsed = httptools.parse_url(target)
            raw_path, query = parsed.path or b"/", parsed.query or b""
        path = raw_path.decode("ascii")
        version = parser.get_http_version()
        upgrades = parser.should_upgrade()
        if upgrades:
            found = [b"%b: %b\r\n" % one for one in self._headers if one[0] in _FRAMING]
            self._framing = b"".join(found)
        self._incoming = Exchange(
            self,
            parser.get_method().decode("ascii"),
            (unquote(path) if "%" in path else path, raw_path, query),
            self._headers,
            http_version=version,
            keep_alive=parser.should_keep_alive() and not upgrades,
            expects_continue=self._expects_continue and version == "1.1",
        )

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        self._bytes_between = 0
        if self._incoming is not None and self._incoming.add(body) > _BODY_AHEAD_MOST:
            self.pause_reading()

    def on_message_complete(self) -> None:
        """The request is whole."""
        incoming = self._incoming
        if incoming is None or (self._framing and self._parser.should_upgrade()):
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

    async def drain(self) -> None:
        """Wait until the client has taken what was written, or is gone."""
        while self.write_paused and not self._transport.is_closing():
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

    def finished(self, exchange: Exchange) -> None:
        """An answer is complete: the next request, or rest."""
        self._current = None
        self._idle_since = self._loop.time()
        if self._closing or not exchange.keep_alive:
            self._closing = True
            self._transport.close()
        elif self._queue:
            # Not now: an answer made at once would come back here, deeper with every request.
            self._loop.call_soon(self._go_on)
        else:
            self._go_on()

    def upgrade(self, head: bytes) -> Tunnel:
        """Send the last head there is, and speak HTTP no more."""
        received = self._parser.received if isinstance(self._parser, _Behind) else b""
        tunnel = Tunnel(self._transport, received=received, lost=self.connection_lost)
        self._tunnel = tunnel
        self._transport.set_protocol(tunnel)
        self._transport.write(head)
        self.resume_reading()
        return tunnel

    def broken(self) -> None:
        """The answer cannot be ended well."""
        self._closing = True
        self._transport.close()

    def _read_on_behind(self, rest: bytes) -> None:
        """A request for an upgrade: what follows is its body, and then another protocol.

        llhttp knows only the latter, so that a parser of its own reads the body.
        """
        if self._framing:
            head = b"POST / HTTP/1.1\r\nconnection: close\r\n%b\r\n" % self._framing
            self._parser = httptools.HttpRequestParser(self)
            self._parser.feed_data(head + rest)
        else:
            self._parser = _Behind(rest)
            self.pause_reading()

    def _begin(self, exchange: Exchange) -> None:
        exchange.begun = True
        if self._closing:
            return
        if self._current is not None or self._queue or self.write_paused:
            # Pipelined: it waits its turn, and so does what comes behind it.
            self._queue.append(exchange)
            self.pause_reading()
        elif self._begun_at_once >= _AT_ONCE_MOST:
            self._queue.append(exchange)
            self.pause_reading()
            self._loop.call_soon(self._go_on)
        else:
            self._begun_at_once += 1
            self._start(exchange)

    def _go_on(self) -> None:
        if self._current is not None or self._closing:
            return
        if self.write_paused:
            # Who asks on and never reads gets no second answer before it took the first.
            self.pause_reading()
        elif self._queue:
            self._start(self._queue.popleft())
        elif self._refused:
            self._refuse(self._refused)
        elif self.at_eof:
            self._transport.close()
        else:
            self.resume_reading()

    def _start(self, exchange: Exchange) -> None:
        self._current = exchange
        connections = self._connections
        try:
            rest = connections.handler(exchange)
        except Exception:
            connections.log.exception("crashed", path=exchange.path)
            exchange.crash()
            return
        if rest is None:
            exchange.leave()
            return
        # Owned by the server, which waits for it when it stops.
        task = self._loop.create_task(self._run(exchange, rest))
        connections.tasks.add(task)
        task.add_done_callback(connections.tasks.discard)

    async def _run(self, exchange: Exchange, rest: Coroutine[Any, Any, None]) -> None:
        """What a handler could not do at once."""
        try:
            await rest
        except ClientGoneError:
            pass
        except Exception:
            self._connections.log.exception("crashed", path=exchange.path)
            exchange.crash()
        exchange.leave()

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
        self._transport.write(STATUS_LINES[code] + head + text)
        self._transport.close()

    def _close_if_idle(self) -> None:
        now_s = self._loop.time()
        if self._current is not None and not self._current.ended:
            self._idle_since = now_s  # at work; a body that nobody waits for is none
        idle_s = now_s - self._idle_since
        if idle_s >= KEEP_ALIVE_S:
            self._transport.close()
            return
        self._idle_timer = self._loop.call_later(KEEP_ALIVE_S - idle_s, self._close_if_idle)


class _Behind:
    """In a parser's place: keeps what comes before somebody takes up the new protocol."""

    def __init__(self, received: bytes) -> None:
        self.received = received

    def feed_data(self, data: bytes) -> None:
        """More of it; as much as a head may be long."""
        self.received += data


def _address(found: Any) -> tuple[str, int] | None:
    """Host and port; None for a unix socket."""
    return (found[0], found[1]) if isinstance(found, tuple) else None
