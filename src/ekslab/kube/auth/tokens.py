"""Service account tokens as text: signing key, claims, JSON Web Tokens, JWKS.

Real JWTs, RS256, as EKS issues them and IRSA verifies them. Upstream: `pkg/serviceaccount/
{jwt,claims,openidmetadata}.go`. Times are wall time, because pods, STS and other foreign programs
check them by their own clock. This module knows no cluster; whether the account still exists is
asked in `ekslab.kube.auth.service_accounts`.
"""

import base64
import binascii
import hashlib
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import orjson
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey

from ekslab.kube.api.requests import Object

LEEWAY_S: Final = 60  # go-jose's DefaultLeeway: how far clocks may differ
_ALGORITHM: Final = "RS256"
_KEY_BITS: Final = 2048
_TOKEN_LENGTH_MOST: Final = 16_384


class TokenError(Exception):
    """The token is one of ours by its issuer, but must not be believed. The text is for logs."""


@dataclass(frozen=True, slots=True)
class Ref:
    """An object a token is bound to."""

    name: str
    uid: str = ""


@dataclass(frozen=True, slots=True)
class Claims:
    """What a service account token says. Times in seconds since the epoch, wall time."""

    namespace: str
    service_account: Ref
    audiences: tuple[str, ...]
    issued_at: int
    expires_at: int
    id: str = ""
    pod: Ref | None = None
    secret: Ref | None = None
    node: Ref | None = None
    warn_after: int = 0


class SigningKey:
    """An RSA key of one issuer. Made when it is first needed: making one costs some 50 ms."""

    def __init__(self, pem: bytes | None = None) -> None:
        self._given_pem = pem

    @cached_property
    def pem(self) -> bytes:
        """The private key, PKCS 8."""
        return self._private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )

    @cached_property
    def id(self) -> str:
        """`kid`: the SHA-256 of the public key's DER, as upstream derives it."""
        der = self._private.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return _base64url(hashlib.sha256(der).digest())

    @cached_property
    def jose(self) -> RSAKey:
        """The key for joserfc."""
        return RSAKey.import_key(self._private)

    def public_jwk(self) -> dict[str, str]:
        """The public half as an entry of a JWKS."""
        numbers = self._private.public_key().public_numbers()
        size = (numbers.n.bit_length() + 7) // 8
        return {
            "use": "sig",
            "kty": "RSA",
            "kid": self.id,
            "alg": _ALGORITHM,
            "n": _base64url(numbers.n.to_bytes(size)),
            "e": _base64url(numbers.e.to_bytes(3)),
        }

    @cached_property
    def _private(self) -> rsa.RSAPrivateKey:
        if self._given_pem is None:
            return rsa.generate_private_key(public_exponent=65537, key_size=_KEY_BITS)
        key = serialization.load_pem_private_key(self._given_pem, password=None)
        if not isinstance(key, rsa.RSAPrivateKey):
            raise ValueError("the signing key of service accounts must be an RSA key")  # noqa: TRY004 - bad content, not a bad argument type
        return key


def load_or_make_key(path: Path) -> SigningKey:
    """The key in a file, which is written (0600) when it is not there.

    Raises:
        OSError: the file can be neither read nor written.
        ValueError: it holds no key.
    """
    if path.exists():
        key = SigningKey(path.read_bytes())
        assert key.id, "reading the key checks it"
        return key
    key = SigningKey()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(key.pem)
    return key


class TokenFormat:
    """Writes and reads the tokens of one issuer."""

    def __init__(self, issuer: str, key: SigningKey) -> None:
        self.issuer = issuer
        self._key = key

    def sign(self, claims: Claims) -> str:
        """The token."""
        header = {"alg": _ALGORITHM, "kid": self._key.id}
        payload = orjson.dumps(_as_payload(claims, self.issuer))
        return jws.serialize_compact(header, payload, self._key.jose, algorithms=[_ALGORITHM])

    def is_ours(self, token: str) -> bool:
        """Whether the token claims our issuer. Nothing is verified by that."""
        return _unverified_issuer(token) == self.issuer

    def verify(self, token: str, *, now: float) -> Claims:
        """Check signature, algorithm, issuer and times.

        Raises:
            TokenError: something is wrong with it.
        """
        try:
            signed = jws.deserialize_compact(token, self._key.jose, algorithms=[_ALGORITHM])
            claims = _from_payload(orjson.loads(signed.payload), self.issuer)
        except (JoseError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise TokenError(f"the token cannot be verified: {error}") from error
        if now > claims.expires_at + LEEWAY_S:
            raise TokenError("service account token has expired")
        if now < claims.issued_at - LEEWAY_S:
            raise TokenError("service account token is issued in the future")
        return claims

    def jwks(self) -> Object:
        """The document behind `jwks_uri`: the public keys."""
        return {"keys": [self._key.public_jwk()]}

    def openid_configuration(self, jwks_uri: str) -> Object:
        """The issuer's discovery document."""
        return {
            "issuer": self.issuer,
            "jwks_uri": jwks_uri,
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": [_ALGORITHM],
        }


def _as_payload(claims: Claims, issuer: str) -> dict[str, Any]:
    kubernetes: dict[str, Any] = {
        "namespace": claims.namespace,
        "serviceaccount": _as_ref(claims.service_account),
    }
    for name, ref in (("pod", claims.pod), ("secret", claims.secret), ("node", claims.node)):
        if ref is not None:
            kubernetes[name] = _as_ref(ref)
    if claims.warn_after:
        kubernetes["warnafter"] = claims.warn_after
    payload = {
        "aud": list(claims.audiences),
        "exp": claims.expires_at,
        "iat": claims.issued_at,
        "iss": issuer,
        "jti": claims.id,
        "kubernetes.io": kubernetes,
        "nbf": claims.issued_at,
        "sub": f"system:serviceaccount:{claims.namespace}:{claims.service_account.name}",
    }
    if not claims.id:
        del payload["jti"]
    return payload


def _from_payload(payload: dict[str, Any], issuer: str) -> Claims:
    if payload["iss"] != issuer:
        raise ValueError("foreign issuer")
    kubernetes = payload["kubernetes.io"]
    audience = payload["aud"]
    return Claims(
        namespace=kubernetes["namespace"],
        service_account=_ref(kubernetes["serviceaccount"]),
        audiences=(audience,) if isinstance(audience, str) else tuple(audience),
        issued_at=max(int(payload["iat"]), int(payload["nbf"])),
        expires_at=int(payload["exp"]),
        id=payload.get("jti", ""),
        pod=_optional_ref(kubernetes, "pod"),
        secret=_optional_ref(kubernetes, "secret"),
        node=_optional_ref(kubernetes, "node"),
        warn_after=int(kubernetes.get("warnafter") or 0),
    )


def _as_ref(ref: Ref) -> dict[str, str]:
    return {"name": ref.name, "uid": ref.uid} if ref.uid else {"name": ref.name}


def _ref(value: dict[str, str]) -> Ref:
    return Ref(value["name"], value.get("uid", ""))


def _optional_ref(kubernetes: dict[str, Any], name: str) -> Ref | None:
    return _ref(kubernetes[name]) if kubernetes.get(name) else None


def _unverified_issuer(token: str) -> str:
    parts = token.split(".")
    if len(parts) != 3 or len(token) > _TOKEN_LENGTH_MOST:
        return ""
    try:
        payload = orjson.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
        issuer = payload["iss"]
    except (binascii.Error, ValueError, KeyError, TypeError):
        return ""
    return issuer if isinstance(issuer, str) else ""


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
