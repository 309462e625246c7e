"""A terminal between a client that sends keys and a shell that reads lines.

What a kernel's line discipline does and no more: echo, backspace, Ctrl-U, Ctrl-C, Ctrl-D, and a
carriage return before every new line.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, Final

from ekslab.kit.tasks import TaskGroup
from ekslab.kube.api.streams import Streams
from ekslab.kube.node.simulated.shell.running import ExitError

_LINES_MOST: Final = 256
_LINE_MOST: Final = 4_096
_INTERRUPT, _END, _ERASE, _KILL = b"\x03", b"\x04", (b"\x7f", b"\x08"), b"\x15"
INTERRUPTED: Final = 130


class Terminal:
    """Lines of what is typed."""

    def __init__(self, streams: Streams) -> None:
        self._streams = streams
        self._lines: asyncio.Queue[bytes] = asyncio.Queue(_LINES_MOST)
        self._line = b""
        self._is_over = False
        self.foreground: asyncio.Task[int | ExitError] | None = None

    async def read(self) -> bytes:
        """The next line; b"" at Ctrl-D, or when the client is gone."""
        if self._is_over and self._lines.empty():
            return b""
        return await self._lines.get()

    async def write(self, data: bytes) -> None:
        """Show."""
        await self._streams.write(data.replace(b"\n", b"\r\n"))

    async def listen(self) -> None:
        """Take keys until there are no more."""
        while keys := await self._streams.read():
            for key in _keys(keys):
                await self._take(key)
        self._is_over = True
        await self._lines.put(b"")

    async def _take(self, key: bytes) -> None:
        if key in {b"\r", b"\n"}:
            await self.write(b"\n")
            await self._lines.put(self._line + b"\n")
            self._line = b""
        elif key == _INTERRUPT:
            self._line = b""
            await self.write(b"^C\n")
            if self.foreground is not None:
                self.foreground.cancel()
            else:
                await self._lines.put(b"\n")
        elif key == _END:
            if not self._line:
                await self._lines.put(b"")
        elif key in _ERASE:
            if self._line:
                self._line = self._line.decode(errors="ignore")[:-1].encode()
                await self._streams.write(b"\b \b")
        elif key == _KILL:
            await self._streams.write(b"\b \b" * len(self._line.decode(errors="ignore")))
            self._line = b""
        elif key[:1] >= b" " and len(self._line) < _LINE_MOST:
            self._line += key
            await self._streams.write(key)

    async def run(self, work: Coroutine[Any, Any, int]) -> int:
        """Run a command that Ctrl-C may interrupt."""
        async with TaskGroup("foreground") as tasks:
            task = tasks.start(_kept(work), name="command")
            before, self.foreground = self.foreground, task
            try:
                await asyncio.wait((task,))
            finally:
                self.foreground = before
        if task.cancelled():
            return INTERRUPTED
        ended: int | ExitError = task.result()
        if isinstance(ended, ExitError):
            raise ended
        return ended


async def _kept(work: Coroutine[Any, Any, int]) -> int | ExitError:
    """A wish to end is no failure of the task."""
    try:
        return await work
    except ExitError as error:
        return error


def _keys(data: bytes) -> list[bytes]:
    """What was typed, key by key; what comes behind an escape is left out, with it."""
    found: list[bytes] = []
    text = data.decode(errors="replace")
    at = 0
    while at < len(text):
        if text[at] == "\x1b":
            at += 1
            if text[at : at + 1] in {"[", "O"}:
                at += 1
                while at < len(text) and not text[at].isalpha() and text[at] != "~":
                    at += 1
            at += 1
            continue
        found.append(text[at].encode())
        at += 1
    return found
