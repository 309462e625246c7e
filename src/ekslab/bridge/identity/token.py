"""The token of the exec plugin: a presigned `sts:GetCallerIdentity`, checked before STS is asked.

The checks, and their order, are those of aws-iam-authenticator `pkg/token/token.go` (Verify).
Two are wider, because a lab's clients presign against the lab's endpoint: besides the STS hosts of
AWS, the lab's own hosts are accepted, and for those also the scheme http.
"""

import base64
import binascii
import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from urllib.parse import SplitResult, parse_qsl, urlsplit

from ekslab.cloud.login_token import CLUSTER_HEADER, PREFIX

_LENGTH_MOST: Final = 4096
_VALID_S: Final = 15 * 60
_EXPIRES_MOST_S: Final = 900
_PARAMETERS: Final = frozenset(
    {
        "action", "version", "x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-expires",
        "x-amz-security-token", "x-amz-signature", "x-amz-signedheaders",
    }
)  # fmt: skip
_STS_HOST: Final = re.compile(
    r"sts(-fips)?(\.[a-z]{2}(-[a-z]+)+-\d)?\.(amazonaws\.com(\.cn)?|api\.aws)", re.ASCII
)
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "[::1]", "::1"})


class TokenError(Exception):
    """The token is not acceptable. The text is for the log of the authenticator, never for the
    client: a 401 says nothing.
    """


@dataclass(frozen=True, slots=True)
class PresignedUrl:
    """A token taken apart: where it was presigned for, and its query as it came."""

    host: str
    query: str
    access_key_id: str
    expires_at: float


def parse(token: str, *, now: float, lab_hosts: Collection[str] = ()) -> PresignedUrl:
    """Check everything of a token that can be checked without a secret.

    Args:
        token: the bearer token.
        now: wall time in seconds since the epoch.
        lab_hosts: host names (without port) of the lab's own endpoint, beside loopback.

    Raises:
        TokenError: with the reason.
    """
    url = _decode(token)
    _check_place(url, lab_hosts)
    parameters = _parameters(url.query)
    _check_parameters(parameters)
    signed_at = _signing_time(parameters)
    if now > signed_at + _VALID_S:
        raise TokenError("X-Amz-Date parameter is expired (15 minutes)")
    return PresignedUrl(
        host=url.netloc,
        query=url.query,
        access_key_id=parameters.get("x-amz-credential", "").split("/")[0],
        expires_at=signed_at + _VALID_S,
    )


def _decode(token: str) -> SplitResult:
    if len(token) > _LENGTH_MOST:
        raise TokenError("token is too large")
    if not token.startswith(PREFIX):
        raise TokenError(f'token is missing expected "{PREFIX}" prefix')
    body = token[len(PREFIX) :]
    if "=" in body:
        raise TokenError("token is padded")
    try:
        raw = base64.b64decode(body + "=" * (-len(body) % 4), altchars=b"-_", validate=True)
        return urlsplit(raw.decode("ascii"))
    except (binascii.Error, ValueError) as error:
        raise TokenError(f"token is no presigned URL: {error}") from error


def _check_place(url: SplitResult, lab_hosts: Collection[str]) -> None:
    try:
        host = url.hostname or ""
        _ = url.port
    except ValueError as error:
        raise TokenError("unexpected host in pre-signed URL") from error
    if url.username is not None or url.fragment:
        raise TokenError("unexpected user or fragment in pre-signed URL")
    in_lab = host in _LOOPBACK or host in lab_hosts
    if not in_lab and (not _STS_HOST.fullmatch(host) or url.port is not None):
        raise TokenError(f"unexpected hostname {host!r} in pre-signed URL")
    if url.scheme != "https" and not (in_lab and url.scheme == "http"):
        raise TokenError(f"unexpected scheme {url.scheme!r} in pre-signed URL")
    if url.path != "/":
        raise TokenError("unexpected path in pre-signed URL")


def _parameters(query: str) -> dict[str, str]:
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True)
    except ValueError as error:
        raise TokenError("malformed query parameter") from error
    parameters: dict[str, str] = {}
    for name, value in pairs:
        lower = name.lower()
        if lower in parameters:
            raise TokenError(f"duplicate query parameter found: {lower!r}")
        if lower not in _PARAMETERS:
            raise TokenError(f"non-whitelisted query parameter {lower!r}")
        parameters[lower] = value
    return parameters


def _check_parameters(parameters: dict[str, str]) -> None:
    if parameters.get("action") != "GetCallerIdentity":
        raise TokenError("unexpected action parameter in pre-signed URL")
    signed = parameters.get("x-amz-signedheaders", "").lower().split(";")
    if CLUSTER_HEADER not in signed:
        raise TokenError(f"client did not sign the {CLUSTER_HEADER} header in the pre-signed URL")
    expires = parameters.get("x-amz-expires", "")
    if not expires.isascii() or not expires.isdigit() or int(expires) > _EXPIRES_MOST_S:
        raise TokenError("invalid X-Amz-Expires parameter in pre-signed URL")


def _signing_time(parameters: dict[str, str]) -> float:
    date = parameters.get("x-amz-date", "")
    try:
        return datetime.strptime(date, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
    except ValueError as error:
        raise TokenError("error parsing X-Amz-Date parameter") from error
