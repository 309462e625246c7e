"""A small HTTP/1.1 client for the lab's own processes: kept connections, bodies whole or by lines.

It speaks to servers of ours over loopback and unix sockets, and over TLS to those a user names;
proxies, redirects and cookies are not its matter. (A general client library costs 14 MB and a fifth
of the start of a process.)
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_HEAD_MOST: Final = 64 << 20  # the limit of a head, and of a line of a stream
_PIECE: Final = 1 << 16
_BODILESS: Final = frozenset({204, 304})
_READS: Final = frozenset({"GET", "HEAD"})

Headers = Sequence[tuple[str, str]]


class HttpError(OSError):
    """The server cannot be reached, or broke off."""


@dataclass(frozen=True, slots=True)
class Response:
    """A whole answer. Header names are as the server wrote them."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


class _Connection:
    """One connection, one request at a time."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        body_bytes_most: int | None = None,
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._most = body_bytes_most
        self._left = 0
        self._chunked = False
        self._until_end = False
        self.reusable = True

    @property
    def is_open(self) -> bool:
        return not (self._reader.at_eof() or self._writer.is_closing())

    def close(self) -> None:
        self._writer.close()

    async def ask(
        self, method: str, target: str, headers: Headers, body: bytes
    ) -> tuple[int, tuple[tuple[str, str], ...]]:
        """Send a request and read the head of its answer.

        Raises:
            EOFError, OSError: the connection broke.
        """
        names = {name.lower() for name, _ in headers}
        lines = [f"{method} {target} HTTP/1.1"]
        lines += (f"{name}: {value}" for name, value in headers)
        if "host" not in names:
            lines.append("host: localhost")
        if "content-length" not in names and (body or method in {"POST", "PUT", "PATCH"}):
            lines.append(f"content-length: {len(body)}")
        self._writer.write("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body)
        status = 100
        found: tuple[tuple[str, str], ...] = ()
        while status < 200:
            head = await self._reader.readuntil(b"\r\n\r\n")
            first, *rest = head[:-4].decode("latin-1").split("\r\n")
            status = int(first.split(" ", 2)[1])
            found = tuple(
                (name, value.strip()) for name, _, value in (line.partition(":") for line in rest)
            )
        self._expect(method, status, found)
        return status, found

    def _expect(self, method: str, status: int, headers: Headers) -> None:
        known = {name.lower(): value.lower() for name, value in headers}
        self.reusable = known.get("connection") != "close"
        self._chunked, self._until_end, self._left = False, False, 0
        if method == "HEAD" or status in _BODILESS:
            return
        if "chunked" in known.get("transfer-encoding", ""):
            self._chunked = True
        elif "content-length" in known:
            self._left = int(known["content-length"])
        else:
            self._until_end, self.reusable = True, False

    async def body(self) -> bytes:
        """The whole body.

        Raises:
            EOFError, OSError: the connection broke, or there is more than is wanted.
        """
        if self._until_end:
            whole = bytearray()
            while piece := await self._reader.read(_PIECE):
                whole += self._wanted(piece, len(whole))
            return bytes(whole)
        if not self._chunked:
            self._wanted(b"", self._left)
            return await self._reader.readexactly(self._left)
        whole = bytearray()
        async for piece in self.pieces():
            whole += self._wanted(piece, len(whole))
        return bytes(whole)

    def _wanted(self, piece: bytes, before: int) -> bytes:
        if self._most is not None and before + len(piece) > self._most:
            raise HttpError(f"the body is longer than {self._most} bytes")
        return piece

    async def pieces(self) -> AsyncIterator[bytes]:
        """The pieces of a chunked body, as they come."""
        while True:
            size = int((await self._reader.readuntil(b"\r\n")).partition(b";")[0], 16)
            piece = (await self._reader.readexactly(size + 2))[:-2]
            if not piece:
                return
            yield piece


class HttpClient:
    """Requests to one server; bounded in how many it makes at a time."""

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        unix: Path | None = None,
        connections_most: int = 16,
        tls: ssl.SSLContext | None = None,
        server_name: str = "",
        body_bytes_most: int | None = None,
    ) -> None:
        """With `tls` the server must show a certificate of `server_name`, or else of `host`; a
        longer body than `body_bytes_most` is an error.
        """
        self._host = host
        self._port = port
        self._unix = unix
        self._tls = tls
        self._server_name = server_name or host
        self._body_bytes_most = body_bytes_most
        self._turns = asyncio.Semaphore(connections_most)
        self._idle: list[_Connection] = []

    async def close(self) -> None:
        """Close the connections that nobody uses."""
        for connection in self._idle:
            connection.close()
        self._idle.clear()

    async def request(
        self, method: str, target: str, *, headers: Headers = (), body: bytes = b""
    ) -> Response:
        """One request. `target` is path and query, encoded.

        Raises:
            HttpError: the server cannot be reached, or broke off.
        """
        async with self._turns:
            kept = self._kept()
            connection = kept or await self._connect()
            try:
                return await self._on(connection, method, target, headers, body)
            except (EOFError, OSError) as error:
                connection.close()
                # Nothing but a read is asked again: the server may have done what it was asked.
                if kept is None or method not in _READS:
                    raise HttpError(str(error)) from error
            connection = await self._connect()
            try:
                return await self._on(connection, method, target, headers, body)
            except (EOFError, OSError) as error:
                connection.close()
                raise HttpError(str(error)) from error

    def _kept(self) -> _Connection | None:
        """A kept connection that the server has not closed meanwhile."""
        while self._idle:
            connection = self._idle.pop()
            if connection.is_open:
                return connection
            connection.close()
        return None

    @asynccontextmanager
    async def lines(self, target: str) -> AsyncIterator[AsyncIterator[bytes]]:
        """The lines of an answer that goes on, on a connection of its own.

        Raises:
            HttpError: the server cannot be reached, refuses, or breaks off.
        """
        connection = await self._connect()
        try:
            status, _ = await connection.ask("GET", target, (), b"")
            if status != 200:
                raise HttpError(f"{target}: {status}")
            yield _lines(connection)
        except (EOFError, OSError) as error:
            raise HttpError(str(error)) from error
        finally:
            connection.close()

    async def _connect(self) -> _Connection:
        try:
            if self._unix is not None:
                streams = await asyncio.open_unix_connection(str(self._unix), limit=_HEAD_MOST)
            else:
                streams = await asyncio.open_connection(
                    self._host,
                    self._port,
                    limit=_HEAD_MOST,
                    ssl=self._tls,
                    server_hostname=self._server_name if self._tls is not None else None,
                )
        except OSError as error:
            raise HttpError(str(error)) from error
        return _Connection(*streams, body_bytes_most=self._body_bytes_most)

    async def _on(
        self, connection: _Connection, method: str, target: str, headers: Headers, body: bytes
    ) -> Response:
        try:
            status, found = await connection.ask(method, target, headers, body)
            content = await connection.body()
        except asyncio.CancelledError:
            # Half an answer is left on it.
            connection.close()
            raise
        if connection.reusable:
            self._idle.append(connection)
        else:
            connection.close()
        return Response(status, found, content)


async def _lines(connection: _Connection) -> AsyncIterator[bytes]:
    rest = b""
    async for piece in connection.pieces():
        *whole, rest = (rest + piece).split(b"\n")
        for line in whole:
            yield line
