"""Remote commands and forwarded ports as API server and nodes speak of them.

Upstream: `kubelet/pkg/cri/streaming` (a node's side) and `apiserver/pkg/util/proxy` (the API
server's side). A node says first whether it can, and gives back what then runs.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol


@dataclass(frozen=True, slots=True)
class CommandOptions:
    """What to run where, and which streams it has: upstream's PodExecOptions.

    An attach has no `command`.
    """

    container: str
    command: tuple[str, ...] = ()
    stdin: bool = False
    stdout: bool = False
    stderr: bool = False
    tty: bool = False


class Streams(Protocol):
    """The standard streams of a remote command, at the end where it runs."""

    async def read(self) -> bytes:
        """The next piece of standard input; b"" at its end."""

    async def write(self, data: bytes) -> None:
        """To standard output."""

    async def write_error(self, data: bytes) -> None:
        """To standard error; with a terminal, to standard output."""


Run = Callable[[Streams], Awaitable[int]]
"""Runs a command with its streams; gives its exit code."""


class Connected(Protocol):
    """A connection to a port."""

    async def read(self) -> bytes:
        """What came; b"" when there is no more."""

    async def write(self, data: bytes) -> None:
        """Send."""


Port = Callable[[Connected], Awaitable[None]]
"""Whatever listens on a port: takes a connection, and returns when it is over."""


class Backend(NamedTuple):
    """A request for whatever listens behind a proxy."""

    method: str
    path: str
    headers: tuple[tuple[str, str], ...]
    body: bytes


class Reply(NamedTuple):
    """Its answer."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
