"""HTTP/1.1 over one kept connection, with as little as possible around it."""

import asyncio
import ssl
import urllib.parse
from dataclasses import dataclass


def endpoint(url: str) -> tuple[str, int, ssl.SSLContext]:
    """Host, port and TLS of a server on this machine, whose certificate need not be checked."""
    parts = urllib.parse.urlsplit(url)
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return parts.hostname or "", parts.port or 443, context


@dataclass
class Connection:
    """One connection; one request at a time."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    token: str

    @classmethod
    async def open(cls, url: str, token: str) -> "Connection":
        """Connect."""
        host, port, context = endpoint(url)
        reader, writer = await asyncio.open_connection(host, port, ssl=context)
        return cls(reader, writer, token)

    async def request(
        self, method: str, path: str, body: bytes, *, content_type: str = "application/json"
    ) -> bytes:
        """Ask and give the body of the answer.

        Raises:
            RuntimeError: the answer is not success.
        """
        self.writer.write(
            (
                f"{method} {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {self.token}\r\n"
                f"Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
            ).encode()
            + body
        )
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0]
        content = await self.reader.readexactly(int(length))
        if not head.startswith(b"HTTP/1.1 2"):
            raise RuntimeError(f"{head!r}{content!r}")
        return content
