"""The keys of one control plane: its CA, its serving certificate, the key of its tokens.

Made when there are none, loaded when there are, renewed before they expire. A renewed serving
certificate is loaded into the same TLS context, so that new connections get it and old ones go on.
"""

import ssl
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from ekslab.kube.auth import pki
from ekslab.kube.auth.tokens import SigningKey, load_or_make_key

_DNS_NAMES: Final = (
    "localhost",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
)
_LOOPBACK: Final = ("127.0.0.1", "::1")


class ClusterKeys:
    """CA, serving pair and signing key; in a folder, or only in memory."""

    def __init__(
        self, folder: Path | None, *, service_cidr: str, server_names: Sequence[str], now: float
    ) -> None:
        """Load or make the keys; `now` is wall time.

        Raises:
            OSError: the folder cannot be used.
        """
        self._folder = folder
        self._dns = (*_DNS_NAMES, *server_names)
        self._ips = (*_LOOPBACK, *pki.api_server_addresses(service_cidr))
        self.authority = self._load_authority(now)
        self.signing_key = (
            load_or_make_key(folder / "service-account.key") if folder else SigningKey()
        )
        self._pair = self._load_serving(now)
        self._context: ssl.SSLContext | None = None

    def tls_context(self) -> ssl.SSLContext:
        """The server side of TLS: this CA's client certificates are asked for, not demanded."""
        if self._context is None:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            context.verify_mode = ssl.CERT_OPTIONAL
            context.load_verify_locations(cadata=self.authority.certificate_pem.decode())
            context.set_alpn_protocols(["http/1.1"])
            self._load_chain(context)
            self._context = context
        return self._context

    def renew(self, now: float) -> bool:
        """Issue a new serving certificate if it is time; says whether it was."""
        if not pki.needs_renewal(self._pair.certificate_pem, now):
            return False
        self._pair = self._issue(now)
        if self._context is not None:
            self._load_chain(self._context)
        return True

    def _load_authority(self, now: float) -> pki.Authority:
        if self._folder is None:
            return pki.new_authority("kubernetes", now=now)
        paths = self._folder / "ca.crt", self._folder / "ca.key"
        if all(path.exists() for path in paths):
            return pki.load_authority(*paths)
        authority = pki.new_authority("kubernetes", now=now)
        authority.save(*paths)
        return authority

    def _load_serving(self, now: float) -> pki.KeyPair:
        if self._folder is not None and all(path.exists() for path in self._serving_paths()):
            pair = pki.load_key_pair(*self._serving_paths())
            usable = pki.covers_names(pair.certificate_pem, self._dns, self._ips)
            if usable and not pki.needs_renewal(pair.certificate_pem, now):
                return pair
        return self._issue(now)

    def _issue(self, now: float) -> pki.KeyPair:
        pair = self.authority.issue_serving(
            self._dns, self._ips, now=now, common_name="kube-apiserver"
        )
        if self._folder is not None:
            pair.save(*self._serving_paths())
        return pair

    def _serving_paths(self) -> tuple[Path, Path]:
        assert self._folder is not None
        return self._folder / "serving.crt", self._folder / "serving.key"

    def _load_chain(self, context: ssl.SSLContext) -> None:
        if self._folder is not None:
            context.load_cert_chain(*self._serving_paths())
            return
        # ssl reads certificates from files only; these are gone before anybody could look.
        with tempfile.TemporaryDirectory(prefix="ekslab-") as name:
            paths = Path(name) / "serving.crt", Path(name) / "serving.key"
            self._pair.save(*paths)
            context.load_cert_chain(*paths)
