"""Who asks: client certificates, and the chain that asks every authenticator.

Upstream: apiserver `pkg/authentication/request/{x509,union}`, `token/cache`, `group`. Bearer tokens
of service accounts are in `service_accounts`; IAM tokens come from the bridge through the port.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from ekslab.kube.api import errors
from ekslab.kube.api.ports import Authenticator, Credentials
from ekslab.kube.api.requests import ANONYMOUS, UserInfo
from ekslab.kube.api.well_known import AUTHENTICATED_GROUP

TOKEN_TTL_S: Final = 10.0  # upstream keeps a believed token for 10 s
_TOKENS_MOST: Final = 4_096
_CERTIFICATES_MOST: Final = 8_192


class AuthenticatorChain:
    """Asks authenticators in order; the first that knows the credentials names the user.

    Adds the group `system:authenticated`. A believed token is remembered, by its SHA-256, for
    `TOKEN_TTL_S`; a refused one never is. `now` is wall time.
    """

    def __init__(
        self, authenticators: Sequence[Authenticator], *, now: Callable[[], float]
    ) -> None:
        self._authenticators = tuple(authenticators)
        self._now = now
        self._believed: OrderedDict[bytes, tuple[float, UserInfo]] = OrderedDict()

    async def authenticate(self, credentials: Credentials) -> UserInfo | None:
        """The user; None if there are no credentials at all.

        Raises:
            ApiError: 401, if nobody knows the token or certificate, or it is bad.
        """
        token = credentials.bearer_token
        if not token:
            user = await self._ask(credentials)
            if user is None and credentials.certificate_der is not None:
                raise errors.unauthorized()
            return user
        known = self.believed(credentials)
        if known is not None:
            return known
        user = await self._ask(credentials)
        if user is None:
            raise errors.unauthorized()
        self._believed[_digest(credentials)] = (self._now() + TOKEN_TTL_S, user)
        if len(self._believed) > _TOKENS_MOST:
            self._believed.popitem(last=False)
        return user

    def believed(self, credentials: Credentials) -> UserInfo | None:
        """The user of a token that was believed less than `TOKEN_TTL_S` ago."""
        digest = _digest(credentials)
        known = self._believed.get(digest)
        if known is None:
            return None
        if self._now() < known[0]:
            return known[1]
        del self._believed[digest]
        return None

    async def _ask(self, credentials: Credentials) -> UserInfo | None:
        for authenticator in self._authenticators:
            user = await authenticator.authenticate(credentials)
            if user is not None:
                return _authenticated(user)
        return None


class CertificateAuthenticator:
    """Client certificates of one CA: common name is the user, organizations are the groups.

    TLS has verified the chain already; the issuer is checked again here, so that this room is safe
    by itself. `now` is wall time.
    """

    def __init__(self, authority: x509.Certificate, *, now: Callable[[], float]) -> None:
        self._authority = authority
        self._now = now
        self._known: OrderedDict[bytes, tuple[float, float, UserInfo]] = OrderedDict()

    async def authenticate(self, credentials: Credentials) -> UserInfo | None:
        """The user of the certificate; None if there is none.

        Raises:
            ApiError: 401, if it is expired, of another CA, or not for clients.
        """
        der = credentials.certificate_der
        if der is None:
            return None
        known = self._known.get(der)
        if known is None:
            known = self._read(der)
            self._known[der] = known
            if len(self._known) > _CERTIFICATES_MOST:
                self._known.popitem(last=False)
        begin, end, user = known
        if not begin <= self._now() <= end:
            raise errors.unauthorized()
        return user

    def _read(self, der: bytes) -> tuple[float, float, UserInfo]:
        try:
            certificate = x509.load_der_x509_certificate(der)
            certificate.verify_directly_issued_by(self._authority)
            usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound) as error:
            raise errors.unauthorized() from error
        names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        if ExtendedKeyUsageOID.CLIENT_AUTH not in usage or not names:
            raise errors.unauthorized()
        organizations = certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
        fingerprint = hashlib.sha256(der).hexdigest()
        user = UserInfo(
            name=str(names[0].value),
            groups=tuple(str(organization.value) for organization in organizations),
            extra={"authentication.kubernetes.io/credential-id": (f"X509SHA256={fingerprint}",)},
        )
        begin = certificate.not_valid_before_utc.timestamp()
        return begin, certificate.not_valid_after_utc.timestamp(), user


def _digest(credentials: Credentials) -> bytes:
    """Names a token. A connection has one certificate; with it, the token may be another user."""
    shown = credentials.bearer_token.encode() + (credentials.certificate_der or b"")
    return hashlib.sha256(shown).digest()


def _authenticated(user: UserInfo) -> UserInfo:
    if user.name == ANONYMOUS.name or AUTHENTICATED_GROUP in user.groups:
        return user
    return replace(user, groups=(*user.groups, AUTHENTICATED_GROUP))
