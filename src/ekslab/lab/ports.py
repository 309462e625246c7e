"""Which TCP port the AWS endpoint takes."""

import socket
from typing import Final

from ekslab.kit.serving import tcp_listener
from ekslab.lab.home import LabError

DEFAULT_PORT: Final = 4566
_HOST: Final = "127.0.0.1"
_PORTS_TRIED: Final = 100


def take_port(wanted: int, *, remembered: int = 0) -> socket.socket:
    """A listening socket on loopback for the AWS endpoint.

    `wanted` is what the user asked for: that port or none. Without it (0) the remembered port, the
    default one and those above it are tried in turn, so that several labs stand side by side.

    Raises:
        LabError: the port asked for, or every port tried, is taken.
    """
    if wanted:
        try:
            return tcp_listener(_HOST, wanted)
        except OSError as error:
            raise LabError(
                f"port {wanted} cannot be used: {error.strerror};"
                " choose another with --port, or leave it out"
            ) from error
    candidates = [remembered] if remembered else []
    candidates += range(DEFAULT_PORT, DEFAULT_PORT + _PORTS_TRIED)
    for port in candidates:
        try:
            return tcp_listener(_HOST, port)
        except OSError:
            continue
    raise LabError(f"no free port from {DEFAULT_PORT} to {DEFAULT_PORT + _PORTS_TRIED - 1}")
