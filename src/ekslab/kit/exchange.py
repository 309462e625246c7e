"""One HTTP request and its answer, as a handler sees them.

A handler is called with an `Exchange` when the head of a request is there. What it can answer
without waiting it answers at once, with `answer`, and gives None back; otherwise it gives a
coroutine back, which its connection runs as a task. The simplest one:

    def handler(exchange: Exchange) -> None:
        exchange.answer(200, [(b"content-type", b"text/plain")], b"hello")

Head and body of a short answer leave in one write: with TLS, each write is a record and a system
call. `kit.http` makes exchanges out of bytes, `kit.asgi` shows them to ASGI applications.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from http import HTTPStatus
from typing import Any, Final, Protocol

from ekslab.kit.tunnel import Tunnel

Headers = Sequence[tuple[bytes, bytes]]

STATUS_LINES: Final = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus
}
_DROPPED_MOST: Final = 256 << 10  # as Go
_BODILESS: Final = frozenset({204, 304})
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class ClientGoneError(ConnectionError):
    """The client left before its request was whole."""


class Connection(Protocol):
    """What an exchange asks of the connection it came by."""

    scheme: str
    client: tuple[str, int] | None
    server: tuple[str, int] | None
    certificate: bytes | None
    """The peer's certificate (DER), verified against the CA of the TLS context."""
    at_eof: bool
    """The client will send no more."""
    write_paused: bool
    """What is written only piles up."""

    def write(self, head: bytes, body: bytes) -> None:
        """Send bytes; a short body goes with its head."""

    async def drain(self) -> None:
        """Wait until the client has taken what was written, or is gone."""

    def resume_reading(self) -> None:
        """Take more from the client."""

    def finished(self, exchange: "Exchange") -> None:
        """Request and answer are complete."""

    def upgrade(self, head: bytes) -> Tunnel:
        """Send the last head there is, and speak HTTP no more."""

    def broken(self) -> None:
        """The answer cannot be ended well."""


class Exchange:
    """One request and its answer.

    Attributes:
        method: as it was sent.
        path: the decoded path; `raw_path` is the path as it was sent, `query` what is behind `?`.
        headers: names in lower case, in the order they were sent.
        http_version: `1.1` or `1.0`.
        connection: the connection it came by.
        keep_alive: whether the connection may go on after this answer.
        begun: whether its handler was called.
        ended: whether the answer is complete.
    """

    __slots__ = (
        "_body", "_chunked", "_complete", "_dropped", "_expects_continue", "_gone", "_head",
        "_left", "_started", "_wakeup", "_when_gone", "begun", "connection", "ended", "headers",
        "http_version", "keep_alive", "method", "path", "query", "raw_path",
    )  # fmt: skip

    def __init__(
        self,
        connection: Connection,
        method: str,
        target: tuple[str, bytes, bytes],
        headers: list[tuple[bytes, bytes]],
        *,
        http_version: str,
        keep_alive: bool,
        expects_continue: bool,
    ) -> None:
        self.connection = connection
        self.method = method
        self.path, self.raw_path, self.query = target
        self.headers = headers
        self.http_version = http_version
        self.keep_alive = keep_alive
        self.begun = False
        self.ended = False
        self._expects_continue = expects_continue
        self._body = b""
        self._complete = False
        self._gone = False
        self._wakeup: asyncio.Future[None] | None = None
        self._when_gone: Callable[[], None] | None = None
        self._started = False
        self._chunked = False
        self._left = -1
        self._dropped = 0
        self._head = b""

    # What handlers call.

    async def read(self) -> bytes:
        """The next piece of the request's body; b"" when there is no more.

        Raises:
            ClientGoneError: the client left before its body was whole.
        """
        connection = self.connection
        if self._expects_continue and not self._started:
            self._expects_continue = False
            connection.write(b"", _CONTINUE)
        while not self._body and not self._complete:
            if self._gone or self.ended or connection.at_eof:
                raise ClientGoneError
            connection.resume_reading()
            await self._wait()
        body, self._body = self._body, b""
        if not self._complete:
            connection.resume_reading()
        return body

    @property
    def was_read(self) -> bool:
        """Whether nothing of the request's body is left to read."""
        return self._complete and not self._body

    async def wait_gone(self) -> None:
        """Wait until nobody wants the answer any more, or it is complete."""
        while not (self._gone or self.ended or self.connection.at_eof):
            self.connection.resume_reading()
            await self._wait()

    @property
    def gone(self) -> bool:
        """Whether nobody is there to take an answer."""
        return self._gone

    def when_gone(self, callback: Callable[[], None]) -> None:
        """Call back once nobody wants the answer any more; at once if that is so already."""
        if self._gone or self.connection.at_eof:
            callback()
        else:
            self._when_gone = callback
            self.connection.resume_reading()

    def answer(self, status: int, headers: Headers, body: bytes) -> None:
        """The whole answer; its length is told."""
        assert not self._started, "there is one answer"
        if status not in _BODILESS:
            self._left = len(body)
        head = self._make_head(status, headers, told=False)
        self._started = True
        self.connection.write(head, b"" if self.method == "HEAD" else body)
        self._finish()

    def start(self, status: int, headers: Headers) -> None:
        """Begin an answer in pieces. The head is kept back until the first of them is there."""
        assert not self._started, "there is one answer"
        self._started = True
        for name, value in headers:
            if name == b"content-length":
                self._left = int(value)
        self._head = self._make_head(status, headers, told=self._left >= 0)

    def write(self, piece: bytes) -> None:
        """A piece of the answer, b"" to send the head alone. See `send`."""
        if self._gone:
            return
        assert self._started, "the head comes first"
        assert not self.ended, "the answer was complete"
        head, self._head = self._head, b""
        piece = self._framed(piece) if piece and self.method != "HEAD" else b""
        if head or piece:
            self.connection.write(head, piece)

    async def send(self, piece: bytes) -> None:
        """A piece of the answer; goes on when the client has taken enough of it."""
        self.write(piece)
        if self.connection.write_paused:
            await self.connection.drain()

    def end(self, piece: bytes = b"") -> None:
        """The last piece of the answer."""
        if self._gone:
            self.ended = True
            return
        assert self._started, "the head comes first"
        assert not self.ended, "the answer was complete"
        head, self._head = self._head, b""
        if self.method == "HEAD":
            piece = b""
        else:
            piece = self._framed(piece) if piece else b""
            assert self._left <= 0, "the answer is shorter than its length"
            if self._chunked:
                piece += b"0\r\n\r\n"
        if head or piece:
            self.connection.write(head, piece)
        self._finish()

    def upgrade(self, headers: Headers) -> Tunnel:
        """Answer `101 Switching Protocols`; whoever takes the tunnel closes it, too."""
        assert not self._started, "there is one answer"
        assert self.was_read, "the body comes before another protocol"
        self._started = self.ended = True
        self.keep_alive = False
        lines = [b"%b: %b\r\n" % header for header in headers]
        return self.connection.upgrade(b"".join([STATUS_LINES[101], *lines, b"\r\n"]))

    # What connections call.

    def add(self, body: bytes) -> int:
        """A piece of the request's body came; how much of it nobody has taken yet."""
        if self.ended:
            self._dropped += len(body)
            if self._dropped > _DROPPED_MOST:
                self.connection.broken()
            return 0
        self._body = self._body + body if self._body else body
        self._wake()
        return len(self._body)

    def complete(self) -> None:
        """The request's body ended."""
        self._complete = True
        self._wake()
        if self.ended:
            self.connection.finished(self)

    def no_more(self) -> None:
        """The client says no more; it may still read what it asked for."""
        self._wake()
        callback, self._when_gone = self._when_gone, None
        if callback is not None:
            callback()

    def disconnect(self) -> None:
        """The client is gone."""
        self._gone = True
        self.no_more()

    @property
    def answering(self) -> bool:
        """Whether the answer has begun."""
        return self._started

    def crash(self) -> None:
        """The handler failed: say so if nothing was said yet, else break off."""
        if self._gone or self.ended:
            return
        if self._started and not self._head:
            self.connection.broken()
            return
        self._started, self._head, self.keep_alive = False, b"", False
        self._left, self._chunked = -1, False
        self.answer(500, (), b"Internal Server Error")

    def leave(self) -> None:
        """The handler is done: an answer it did not end cannot be ended well."""
        if not self.ended and not self._gone:
            self.connection.broken()

    async def _wait(self) -> None:
        self._wakeup = asyncio.get_running_loop().create_future()
        await self._wakeup

    def _wake(self) -> None:
        if self._wakeup is not None and not self._wakeup.done():
            self._wakeup.set_result(None)

    def _finish(self) -> None:
        self.ended = True
        self._wake()
        if self._gone:
            return
        if self._complete or self._expects_continue:
            # Who waits for "100 Continue" will not send its body any more.
            self.keep_alive = self.keep_alive and self._complete
            self.connection.finished(self)
        else:
            # What is left of the body is read and dropped: to close now would reset the
            # connection before the client has read this answer.
            self._body = b""
            self.connection.resume_reading()

    def _make_head(self, status: int, headers: Headers, *, told: bool) -> bytes:
        """The head of the answer; `told` says that the headers tell the length."""
        parts = [STATUS_LINES[status]]
        for name, value in headers:
            if name == b"connection" and value.lower() == b"close":
                self.keep_alive = False
            else:
                parts.append(b"%b: %b\r\n" % (name, value))
        if self._left >= 0:
            if not told:
                parts.append(b"content-length: %d\r\n" % self._left)
        elif status not in _BODILESS:
            if self.http_version == "1.1":
                self._chunked = True
                parts.append(b"transfer-encoding: chunked\r\n")
            else:
                self.keep_alive = False
        if not self.keep_alive:
            parts.append(b"connection: close\r\n")
        parts.append(b"\r\n")
        head = b"".join(parts)
        assert head.count(b"\n") == head.count(b"\r") == len(parts), "a header of two lines"
        return head

    def _framed(self, piece: bytes) -> bytes:
        if self._chunked:
            return b"%x\r\n%b\r\n" % (len(piece), piece)
        if self._left >= 0:
            self._left -= len(piece)
            assert self._left >= 0, "the answer is longer than its length"
        return piece


Handler = Callable[[Exchange], Coroutine[Any, Any, None] | None]
"""Answers at once, or gives back what is left to do."""
