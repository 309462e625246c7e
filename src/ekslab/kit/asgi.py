"""ASGI applications as handlers of exchanges: the dicts of the specification, no more.

The certificate of a client (DER, verified) stands in the scope at `extensions.tls.client_cert_der`,
near what the ASGI TLS extension proposes.
"""

from collections.abc import Awaitable, Callable, Coroutine, MutableMapping
from typing import Any

from ekslab.kit.exchange import ClientGoneError, Exchange, Handler

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]


def handler_of(app: App) -> Handler:
    """The application as a handler."""

    def handle(exchange: Exchange) -> Coroutine[Any, Any, None]:
        return _Call(exchange).run(app)

    return handle


class _Call:
    """One call of an application."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._was_read = False

    async def run(self, app: App) -> None:
        """Let the application answer."""
        await app(_scope(self._exchange), self._receive, self._send)

    async def _receive(self) -> Message:
        """Pieces of the body, then, when the client is gone, `http.disconnect`."""
        exchange = self._exchange
        if not self._was_read and not exchange.ended:
            try:
                body = await exchange.read()
            except ClientGoneError:
                return {"type": "http.disconnect"}
            self._was_read = exchange.was_read
            return {"type": "http.request", "body": body, "more_body": not self._was_read}
        await exchange.wait_gone()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        exchange = self._exchange
        if message["type"] == "http.response.start":
            exchange.start(message["status"], message.get("headers") or ())
            return
        assert message["type"] == "http.response.body", message["type"]
        body: bytes = message.get("body", b"")
        if message.get("more_body", False):
            await exchange.send(body)
        else:
            exchange.end(body)


def _scope(exchange: Exchange) -> Message:
    connection = exchange.connection
    scope: Message = {
        "type": "http",
        "http_version": exchange.http_version,
        "method": exchange.method,
        "scheme": connection.scheme,
        "path": exchange.path,
        "raw_path": exchange.raw_path,
        "query_string": exchange.query,
        "headers": exchange.headers,
        "client": connection.client,
        "server": connection.server,
    }
    if connection.certificate is not None:
        scope["extensions"] = {"tls": {"client_cert_der": connection.certificate}}
    return scope
