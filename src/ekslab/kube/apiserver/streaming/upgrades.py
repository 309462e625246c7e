"""A connection that speaks SPDY itself, without a WebSocket: clients before Kubernetes 1.31.

Upstream: `k8s.io/streaming/pkg/httpstream` (Handshake) and its `spdy/upgrade.go`.
"""

from collections.abc import Sequence

from ekslab.kit.exchange import Exchange, Headers
from ekslab.kit.tunnel import Tunnel
from ekslab.kube.api.errors import bad_request
from ekslab.kube.apiserver.streaming.websocket import header, is_upgrade

_PROTOCOL = b"x-stream-protocol-version"


def protocol_of(exchange: Exchange, protocols: Sequence[str]) -> str:
    """The first of a client's protocols that we speak; "" without one."""
    asked = [one.strip() for one in header(exchange, _PROTOCOL).decode("latin-1").split(",")]
    return next((one for one in asked if one in protocols), "")


async def to_spdy(
    exchange: Exchange, headers: Headers, *, protocols: Sequence[str]
) -> Tunnel | None:
    """Speak SPDY/3.1 from here on. None after a refusal: 403, with the protocols there are.

    Raises:
        ApiError: 400 for a request that asks for nothing of the kind.
    """
    if not is_upgrade(exchange, b"spdy/3.1"):
        raise bad_request("Upgrade request required")
    chosen = protocol_of(exchange, protocols)
    if not chosen:
        asked = header(exchange, _PROTOCOL).decode("latin-1")
        text = (
            f"unable to upgrade: unable to negotiate protocol: client supports [{asked}],"
            f" server accepts [{' '.join(protocols)}]\n"
        )
        known = [(b"x-accepted-stream-protocol-versions", one.encode()) for one in protocols]
        kind = (b"content-type", b"text/plain; charset=utf-8")
        exchange.answer(403, [*headers, *known, kind], text.encode())
        return None
    while not exchange.was_read:
        await exchange.read()
    return exchange.upgrade(
        [
            (b"connection", b"Upgrade"),
            (b"upgrade", b"SPDY/3.1"),
            (_PROTOCOL, chosen.encode()),
        ]
    )
