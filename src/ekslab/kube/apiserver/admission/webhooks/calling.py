"""One call of a webhook: a POST over TLS, and how its failures are worded.

Upstream: apiserver `pkg/util/webhook/client.go`, and of Go's own packages the words of
`net`, `net/http` and `crypto/tls`, because people search for them.
"""

import asyncio
import base64
import binascii
import ssl
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import orjson

from ekslab.kit.http_client import HttpClient, HttpError, Response
from ekslab.kube.api.ports import Lister
from ekslab.kube.apiserver.admission.webhooks import services

_CLIENTS_MOST: Final = 64  # the one unused longest is closed
_CONNECTIONS_MOST: Final = 64
_ANSWER_BYTES_MOST: Final = 8 << 20
_HTTPS: Final = 443
_HOSTNAME_MISMATCH: Final = 62
_ADDRESS_MISMATCH: Final = 64
_EXPIRED: Final = frozenset({9, 10})
_MESSAGES: Final = {
    400: "the server rejected our request for an unknown reason",
    401: "the server has asked for the client to provide credentials",
    403: "forbidden",
    404: "the server could not find the requested resource",
    405: "the server does not allow this method on the requested resource",
    409: "the server reported a conflict",
    415: "the body of the request was in an unknown format - accepted media types include: ",
    422: "the server rejected our request due to an error in our request",
    429: "the server has received too many requests and has asked us to try again later",
    503: "the server is currently unable to handle the request",
    504: "the server was unable to return a response in the time allotted, but may still be"
    " processing the request",
}
_HEADERS: Final = (
    ("content-type", "application/json"),
    ("accept", "application/json, */*"),
    ("user-agent", "kube-apiserver-admission"),
)


class CallError(Exception):
    """A webhook that could not be asked; the message is upstream's."""


@dataclass(frozen=True, slots=True)
class _Target:
    """Where a webhook is: how messages call it, and where it is really connected to."""

    url: str
    path: str
    authority: str
    server_name: str
    address: services.Address


class Caller:
    """Calls webhooks; keeps connections to those it called last."""

    def __init__(self, lister: Lister) -> None:
        self._lister = lister
        self._clients: OrderedDict[tuple[str, services.Address, str], HttpClient] = OrderedDict()

    async def post(self, config: Mapping[str, Any], body: bytes, *, timeout_s: int) -> bytes:
        """The body of the answer to a POST to where `config` (a WebhookClientConfig) says.

        Raises:
            CallError: there is none, or it is no success.
        """
        query = f"?timeout={timeout_s}s"
        try:
            url = _url(config) + query
        except (KeyError, ValueError):
            why = "webhook configuration must have either service or URL"
            raise CallError(f"could not get REST client: {why}") from None
        try:
            target = self._target(config, query)
        except services.UnreachableError as error:
            raise CallError(f'failed to call webhook: Post "{url}": {error}') from None
        try:
            client = await self._client(config.get("caBundle") or "", target)
            async with asyncio.timeout(timeout_s):
                response = await client.request(
                    "POST", target.path, headers=(("host", target.authority), *_HEADERS), body=body
                )
        except TimeoutError:
            why = "context deadline exceeded"
            raise CallError(f'failed to call webhook: Post "{url}": {why}') from None
        except HttpError as error:
            why = _words(error.__cause__ or error, target)
            raise CallError(f'failed to call webhook: Post "{url}": {why}') from None
        except (ValueError, IndexError, asyncio.LimitOverrunError):
            why = "net/http: HTTP/1.x transport connection broken: malformed HTTP response"
            raise CallError(f'failed to call webhook: Post "{url}": {why}') from None
        if not 200 <= response.status < 300:
            raise CallError(f"failed to call webhook: {_status_words(response)}")
        return response.body

    def _target(self, config: Mapping[str, Any], query: str) -> _Target:
        service = config.get("service")
        if service is None:
            parts = urlsplit(config["url"])
            host, port = parts.hostname or "", parts.port or _HTTPS
            path = (parts.path or "/") + query
            return _Target(config["url"], path, parts.netloc, host, services.Address(host, port))
        name, namespace = service["name"], service["namespace"]
        port = service.get("port") or _HTTPS
        address = services.resolve(self._lister, namespace, name, port)
        host = f"{name}.{namespace}.svc"
        path = "/" + (service.get("path") or "").lstrip("/") + query
        return _Target(_url(config), path, f"{host}:{port}", host, address)

    async def _client(self, bundle: str, target: _Target) -> HttpClient:
        key = (bundle, target.address, target.server_name)
        client = self._clients.get(key)
        if client is None:
            client = HttpClient(
                host=target.address.host,
                port=target.address.port,
                connections_most=_CONNECTIONS_MOST,
                tls=_context(bundle),
                server_name=target.server_name,
                body_bytes_most=_ANSWER_BYTES_MOST,
            )
            if len(self._clients) >= _CLIENTS_MOST:
                _, unused = self._clients.popitem(last=False)
                await unused.close()
            self._clients[key] = client
        self._clients.move_to_end(key)
        return client

    async def close(self) -> None:
        """Close the connections that are kept."""
        for client in self._clients.values():
            await client.close()
        self._clients.clear()


def _url(config: Mapping[str, Any]) -> str:
    service = config.get("service")
    if service is None:
        url = str(config.get("url") or "")
        return url if urlsplit(url).path else url + "/"
    path = (service.get("path") or "").lstrip("/")
    port = service.get("port") or _HTTPS
    return f"https://{service['name']}.{service['namespace']}.svc:{port}/{path}"


def _context(bundle: str) -> ssl.SSLContext:
    """TLS that trusts the bundle, or without one what this machine trusts.

    As Go does, it trusts whatever stands in the bundle, be it an authority or the server's own
    certificate.

    Raises:
        CallError: the bundle holds no certificates.
    """
    if not bundle:
        return ssl.create_default_context()
    try:
        context = ssl.create_default_context(cadata=base64.b64decode(bundle).decode("ascii"))
    except (binascii.Error, ValueError, ssl.SSLError):
        why = "unable to load root certificates: unable to parse bytes as PEM block"
        raise CallError(f"could not get REST client: {why}") from None
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


def _words(error: BaseException, target: _Target) -> str:
    """A failure in the words of Go."""
    address = f"{target.address.host}:{target.address.port}"
    match error:
        case ssl.SSLCertVerificationError():
            return f"tls: failed to verify certificate: x509: {_certificate_words(error, target)}"
        case ssl.SSLError(reason=reason) if reason in {"WRONG_VERSION_NUMBER", "HTTP_REQUEST"}:
            return "http: server gave HTTP response to HTTPS client"
        case ssl.SSLError(reason=reason):
            return f"remote error: tls: {str(reason or error).lower().replace('_', ' ')}"
        case ConnectionRefusedError():
            return f"dial tcp {address}: connect: connection refused"
        case ConnectionResetError():
            return "read: connection reset by peer"
        case asyncio.IncompleteReadError() | EOFError():
            return "EOF"
        case OSError(errno=number) if number is not None and number < 0:  # of getaddrinfo
            return f"dial tcp: lookup {target.address.host}: no such host"
        case OSError(strerror=text) if text:
            return f"dial tcp {address}: connect: {text.lower()}"
    return str(error)


def _certificate_words(error: ssl.SSLCertVerificationError, target: _Target) -> str:
    if error.verify_code == _HOSTNAME_MISMATCH:
        return f"certificate is not valid for any names, but wanted to match {target.server_name}"
    if error.verify_code == _ADDRESS_MISMATCH:
        name = target.server_name
        return f"cannot validate certificate for {name} because it doesn't contain any IP SANs"
    if error.verify_code in _EXPIRED:
        return "certificate has expired or is not yet valid"
    return "certificate signed by unknown authority"


def _status_words(response: Response) -> str:
    """What client-go makes of an answer that is no success."""
    try:
        status = orjson.loads(response.body)
    except orjson.JSONDecodeError:
        status = None
    if isinstance(status, dict) and status.get("kind") == "Status" and status.get("message"):
        return str(status["message"])
    if response.status in _MESSAGES:
        return _MESSAGES[response.status]
    if response.status >= 500:
        text = response.body[:2048].decode("utf-8", "replace").strip() or "unknown"
        shown = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        return f'an error on the server ("{shown}") has prevented the request from succeeding'
    return (
        f"the server responded with the status code {response.status} but did not return more"
        " information"
    )
