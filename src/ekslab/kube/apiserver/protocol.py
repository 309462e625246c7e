"""uvicorn's HTTP protocol that also tells the application who the TLS peer is.

The certificate (DER, verified by TLS against the cluster's CA) stands in the ASGI scope at
`extensions.tls.client_cert_der`, near what the ASGI TLS extension proposes.
"""

import asyncio
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class PeerCertificateProtocol(HttpToolsProtocol):
    """Serves one connection."""

    _extensions: dict[str, dict[str, object]] | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take the peer's certificate, if it showed one."""
        super().connection_made(transport)
        ssl_object = transport.get_extra_info("ssl_object")
        certificate = ssl_object.getpeercert(binary_form=True) if ssl_object is not None else None
        if certificate:
            self._extensions = {"tls": {"client_cert_der": certificate}}

    def on_message_begin(self) -> None:
        """Begin a request."""
        super().on_message_begin()
        if self._extensions is not None:
            cast("dict[str, Any]", self.scope)["extensions"] = self._extensions
