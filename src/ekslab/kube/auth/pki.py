"""The cluster's own public key infrastructure: one CA, serving and client certificates.

What foreign programs check by their own clock carries wall time: `now` is seconds since the epoch
of `kit.clock.WallClock`. Names and lifetimes are those of kubeadm and EKS: the authority lives ten
years, everything it issues one year, each backdated by five minutes against skewed clocks
(client-go `util/cert`). Client certificates say who somebody is as upstream's x509 authenticator
reads it: common name is the user, organizations are the groups.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

AUTHORITY_LIFE: Final = timedelta(days=3650)
LEAF_LIFE: Final = timedelta(days=365)
BACKDATED: Final = timedelta(minutes=5)
_RENEW_AFTER_SHARE: Final = 0.8  # of the lifetime, as kubelet's certificate manager (0.7-0.9)

API_SERVER_NAMES: Final = (
    "localhost",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
)
LOOPBACK_ADDRESSES: Final = ("127.0.0.1", "::1")


_PURPOSES: Final = {
    "client auth": ExtendedKeyUsageOID.CLIENT_AUTH,
    "server auth": ExtendedKeyUsageOID.SERVER_AUTH,
}


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A certificate and its private key, both PEM."""

    certificate_pem: bytes
    key_pem: bytes

    def save(self, certificate_path: Path, key_path: Path) -> None:
        """Write both files, readable by their owner only."""
        _write_private(key_path, self.key_pem)
        _write_private(certificate_path, self.certificate_pem)


class Authority:
    """A certificate authority that issues for one cluster."""

    def __init__(self, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        self._certificate = certificate
        self._key = key

    @property
    def certificate_pem(self) -> bytes:
        """What clients trust (`certificate-authority-data`)."""
        return self._certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def certificate(self) -> x509.Certificate:
        """The CA's own certificate."""
        return self._certificate

    def issue_serving(
        self, dns: Sequence[str], ips: Sequence[str], *, now: float, common_name: str = ""
    ) -> KeyPair:
        """A certificate for a TLS server that answers by these names and addresses."""
        names: list[x509.GeneralName] = [x509.DNSName(name) for name in _unique(dns)]
        names += [x509.IPAddress(ip_address(address)) for address in _unique(ips)]
        subject = _subject(common_name or next(iter(dns), "kube-apiserver"), ())
        return self._issue(subject, ExtendedKeyUsageOID.SERVER_AUTH, names, now=now)

    def issue_client(self, user: str, groups: Sequence[str] = (), *, now: float) -> KeyPair:
        """A certificate that says: the bearer of my key is `user`, of these groups.

        Raises:
            ValueError: the user's name is longer than the 64 characters X.520 gives a common name.
        """
        subject = _subject(user, groups)
        return self._issue(subject, ExtendedKeyUsageOID.CLIENT_AUTH, [], now=now)

    def sign_request(
        self, request_pem: bytes, *, usages: Sequence[str], life_s: float, now: float
    ) -> bytes:
        """A certificate for the key, subject and names of a PKCS #10 request, as PEM.

        It does not outlive the authority. Usages are those of `certificates.k8s.io`; who may have
        which is for the caller to know (upstream: `pkg/controller/certificates/authority`).

        Raises:
            ValueError: the request cannot be read, or is not signed with its own key.
        """
        request = x509.load_pem_x509_csr(request_pem)
        if not request.is_signature_valid:
            raise ValueError("the request is not signed with its own key")
        moment = datetime.fromtimestamp(int(now), UTC)
        end = min(moment + timedelta(seconds=life_s), self._certificate.not_valid_after_utc)
        builder = (
            x509.CertificateBuilder()
            .subject_name(request.subject)
            .issuer_name(self._certificate.subject)
            .public_key(request.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(moment - BACKDATED)
            .not_valid_after(end)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_requested_usage(usages), critical=True)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
                critical=False,
            )
        )
        purposes = [_PURPOSES[usage] for usage in usages if usage in _PURPOSES]
        if purposes:
            builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        for extension in request.extensions:
            if isinstance(extension.value, x509.SubjectAlternativeName):
                builder = builder.add_extension(extension.value, critical=False)
        certificate = builder.sign(self._key, hashes.SHA256())
        return certificate.public_bytes(serialization.Encoding.PEM)

    def save(self, certificate_path: Path, key_path: Path) -> None:
        """Write certificate and key as PEM, readable by their owner only."""
        KeyPair(self.certificate_pem, _key_pem(self._key)).save(certificate_path, key_path)

    def _issue(
        self,
        subject: x509.Name,
        usage: x509.ObjectIdentifier,
        names: Sequence[x509.GeneralName],
        *,
        now: float,
    ) -> KeyPair:
        key = ec.generate_private_key(ec.SECP256R1())
        builder = (
            _builder(subject, self._certificate.subject, key.public_key(), now, LEAF_LIFE)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
                critical=False,
            )
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        certificate = builder.sign(self._key, hashes.SHA256())
        return KeyPair(certificate.public_bytes(serialization.Encoding.PEM), _key_pem(key))


def new_authority(common_name: str, *, now: float) -> Authority:
    """Make a CA with a fresh P-256 key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = _subject(common_name, ())
    certificate = (
        _builder(name, name, key.public_key(), now, AUTHORITY_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return Authority(certificate, key)


def load_authority(certificate_path: Path, key_path: Path) -> Authority:
    """Read a CA that `Authority.save` wrote.

    Raises:
        OSError, ValueError: a file cannot be read or holds no such thing.
    """
    certificate = x509.load_pem_x509_certificate(certificate_path.read_bytes())
    key = serialization.load_pem_private_key(key_path.read_bytes(), password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError(f"{key_path}: expected an elliptic curve key, found {type(key).__name__}")  # noqa: TRY004 - bad content of a file, not a bad argument
    return Authority(certificate, key)


def load_key_pair(certificate_path: Path, key_path: Path) -> KeyPair:
    """Read what `KeyPair.save` wrote.

    Raises:
        OSError: a file cannot be read.
    """
    return KeyPair(certificate_path.read_bytes(), key_path.read_bytes())


def api_server_addresses(service_cidr: str) -> tuple[str, ...]:
    """The addresses an API server answers by: loopback, and the `kubernetes` Service's own."""
    return (*LOOPBACK_ADDRESSES, str(ip_network(service_cidr)[1]))


def needs_renewal(certificate_pem: bytes, now: float) -> bool:
    """Whether a certificate has lived 80 % of its life (or is no certificate any more)."""
    try:
        certificate = x509.load_pem_x509_certificate(certificate_pem)
    except ValueError:
        return True
    begin = certificate.not_valid_before_utc.timestamp()
    end = certificate.not_valid_after_utc.timestamp()
    return now >= begin + (end - begin) * _RENEW_AFTER_SHARE


def covers_names(certificate_pem: bytes, dns: Sequence[str], ips: Sequence[str]) -> bool:
    """Whether a serving certificate answers by all these names and addresses."""
    certificate = x509.load_pem_x509_certificate(certificate_pem)
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return not dns and not ips
    known_dns = set(names.get_values_for_type(x509.DNSName))
    known_ips = set(names.get_values_for_type(x509.IPAddress))
    return known_dns.issuperset(dns) and known_ips.issuperset(map(ip_address, ips))


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    public_key: ec.EllipticCurvePublicKey,
    now: float,
    life: timedelta,
) -> x509.CertificateBuilder:
    moment = datetime.fromtimestamp(int(now), UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(moment - BACKDATED)
        .not_valid_after(moment + life)
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_encipherment=True,
        key_cert_sign=signs_certificates,
        content_commitment=False,
        data_encipherment=False,
        key_agreement=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def _requested_usage(usages: Sequence[str]) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature="digital signature" in usages or "signing" in usages,
        key_encipherment="key encipherment" in usages,
        key_cert_sign=False,
        content_commitment=False,
        data_encipherment=False,
        key_agreement=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def _subject(common_name: str, organizations: Sequence[str]) -> x509.Name:
    attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, name) for name in organizations]
    name = x509.NameAttribute(NameOID.COMMON_NAME, common_name)
    return x509.Name([*attributes, name])


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _unique(names: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(names))


def _write_private(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(descriptor, 0o600)  # the file may have been there, with another mode
        file.write(content)
