"""AWS Signature Version 4: signing, and checking in constant time with the real secret.

Both forms are known: the `Authorization` header, and the presigned query (`X-Amz-Signature`), which
is what an EKS token is. Rules of AWS kept here:

- the canonical path of every service but S3 is percent-encoded once more;
- a header signature is good for 5 minutes around its date, a presigned one until `X-Amz-Expires`,
  except for STS, which ignores that parameter and grants 15 minutes;
- the credential scope's date must be the day of `X-Amz-Date`;
- `host` must be signed.
"""

import functools
import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote, unquote

from ekslab.cloud.gateway.faults import DoorFault, Refusal
from ekslab.cloud.keys import Keys
from ekslab.cloud.ports import AwsRequest

ALGORITHM = "AWS4-HMAC-SHA256"
HEADER_SKEW_S = 300.0
STS_PRESIGNED_LIFE_S = 900.0
_DIGITS_MAX = 20
_PRESIGNED_LIFE_S_MAX = 604_800
_EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()
_UNSIGNED_PAYLOAD = "UNSIGNED-PAYLOAD"
_DATE = re.compile(r"\d{8}T\d{6}Z")
_HEADER_PART = re.compile(r"(Credential|SignedHeaders|Signature)=([^,\s]+)")


@dataclass(frozen=True, slots=True)
class Signed:
    """What a signed request says about its signature.

    Attributes:
        amz_date: `X-Amz-Date`, as `yyyymmddThhmmssZ`.
        expires_s: `X-Amz-Expires` of a presigned request; None for the header form.
    """

    access_key_id: str
    scope_date: str
    region: str
    service: str
    signed_headers: tuple[str, ...]
    signature: str
    amz_date: str
    session_token: str
    expires_s: int | None

    @property
    def scope(self) -> str:
        """`date/region/service/aws4_request`."""
        return f"{self.scope_date}/{self.region}/{self.service}/aws4_request"


def header(headers: Sequence[tuple[str, str]], name: str) -> str:
    """The first value of a header, empty if it is absent. `name` is lower case."""
    for key, value in headers:
        if key == name or key.lower() == name:
            return value
    return ""


def query_pairs(query: str) -> list[tuple[str, str]]:
    """The parameters of a raw query string, percent-decoded, in order, blanks kept."""
    pairs = []
    for part in query.split("&") if query else ():
        if part:
            name, _, value = part.partition("=")
            pairs.append((unquote(name.replace("+", " ")), unquote(value.replace("+", " "))))
    return pairs


def read_signature(request: AwsRequest) -> Signed | None:
    """What the request says about its signature; None if it carries none.

    Raises:
        DoorFault: there is a signature, but parts of it are missing or malformed.
    """
    authorization = header(request.headers, "authorization")
    if authorization:
        return _read_header_form(request, authorization)
    parameters = {name.lower(): value for name, value in query_pairs(request.query)}
    if "x-amz-signature" in parameters or "x-amz-credential" in parameters:
        return _read_query_form(parameters)
    return None


def check(request: AwsRequest, signed: Signed, *, secret: str, now_s: float) -> None:
    """Check date and signature against the caller's secret.

    Raises:
        DoorFault: the date is outside the window, or the signature is not this secret's.
    """
    _check_date(signed, now_s)
    if signed.expires_s is None or signed.service == "s3":
        _check_payload(request)
    expected = _signature(request, signed, secret)
    if not hmac.compare_digest(expected, signed.signature.lower()):
        raise DoorFault(Refusal.BAD_SIGNATURE)


def sign(request: AwsRequest, *, keys: Keys, service: str, region: str, now_s: float) -> AwsRequest:
    """The request with an `Authorization` header. `host` must be among its headers."""
    amz_date = _amz_date(now_s)
    headers = [*request.headers, ("X-Amz-Date", amz_date)]
    if service == "s3":
        headers.append(("X-Amz-Content-SHA256", hashlib.sha256(request.body).hexdigest()))
    if keys.session_token:
        headers.append(("X-Amz-Security-Token", keys.session_token))
    names = sorted({name.lower() for name, _ in headers} - {"user-agent", "content-length"})
    signed = Signed(
        keys.access_key_id,
        amz_date[:8],
        region,
        service,
        tuple(names),
        "",
        amz_date,
        keys.session_token,
        None,
    )
    to_sign = AwsRequest(
        request.method, request.raw_path, request.query, headers, request.body, request.tls
    )
    signature = _signature(to_sign, signed, keys.secret_access_key)
    headers.append(
        (
            "Authorization",
            (
                f"{ALGORITHM} Credential={keys.access_key_id}/{signed.scope}, "
                f"SignedHeaders={';'.join(names)}, Signature={signature}"
            ),
        )
    )
    return to_sign


def presign(
    request: AwsRequest, *, keys: Keys, service: str, region: str, now_s: float, expires_s: int = 60
) -> AwsRequest:
    """The request with its signature in the query; every given header is signed."""
    amz_date = _amz_date(now_s)
    names = sorted(name.lower() for name, _ in request.headers)
    signed = Signed(
        keys.access_key_id,
        amz_date[:8],
        region,
        service,
        tuple(names),
        "",
        amz_date,
        keys.session_token,
        expires_s,
    )
    added = [
        ("X-Amz-Algorithm", ALGORITHM),
        ("X-Amz-Credential", f"{keys.access_key_id}/{signed.scope}"),
        ("X-Amz-Date", amz_date),
        ("X-Amz-Expires", str(expires_s)),
        ("X-Amz-SignedHeaders", ";".join(names)),
    ]
    if keys.session_token:
        added.append(("X-Amz-Security-Token", keys.session_token))
    query = "&".join(
        [
            *filter(None, [request.query]),
            *(f"{name}={quote(value, safe='')}" for name, value in added),
        ]
    )
    unsigned = AwsRequest(
        request.method, request.raw_path, query, request.headers, request.body, request.tls
    )
    signature = _signature(unsigned, signed, keys.secret_access_key)
    return AwsRequest(
        request.method,
        request.raw_path,
        f"{query}&X-Amz-Signature={signature}",
        request.headers,
        request.body,
        request.tls,
    )


def _read_header_form(request: AwsRequest, authorization: str) -> Signed:
    algorithm, _, rest = authorization.partition(" ")
    if algorithm != ALGORITHM:
        raise DoorFault(Refusal.MALFORMED, f"Unsupported AWS 'algorithm': '{algorithm}'.")
    parts = dict(_HEADER_PART.findall(rest))
    missing = [name for name in ("Credential", "Signature", "SignedHeaders") if name not in parts]
    if missing:
        texts = " ".join(f"Authorization header requires '{name}' parameter." for name in missing)
        raise DoorFault(Refusal.MALFORMED, f"{texts} Authorization={algorithm}")
    amz_date = header(request.headers, "x-amz-date")
    if not _DATE.fullmatch(amz_date):
        raise DoorFault(
            Refusal.MALFORMED,
            "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. "
            f"Authorization={algorithm}",
        )
    return _assemble(
        parts["Credential"],
        parts["SignedHeaders"],
        parts["Signature"],
        amz_date,
        token=header(request.headers, "x-amz-security-token"),
        expires_s=None,
    )


def _read_query_form(parameters: Mapping[str, str]) -> Signed:
    names = ("x-amz-credential", "x-amz-signedheaders", "x-amz-signature", "x-amz-date")
    if parameters.get("x-amz-algorithm") != ALGORITHM or any(not parameters.get(n) for n in names):
        raise DoorFault(
            Refusal.MALFORMED,
            "AWS query-string parameters must include 'X-Amz-Algorithm', 'X-Amz-Credential', "
            "'X-Amz-Signature', 'X-Amz-SignedHeaders' and 'X-Amz-Date'.",
        )
    credential, signed_headers, signature, amz_date = (parameters[name] for name in names)
    expires = parameters.get("x-amz-expires", "900")
    if not _DATE.fullmatch(amz_date) or not expires.isdecimal():
        raise DoorFault(Refusal.MALFORMED, "X-Amz-Date or X-Amz-Expires is malformed.")
    if len(expires) > _DIGITS_MAX or int(expires) > _PRESIGNED_LIFE_S_MAX:
        raise DoorFault(Refusal.MALFORMED, "X-Amz-Expires must be less than a week (in seconds)")
    return _assemble(
        credential,
        signed_headers,
        signature,
        amz_date,
        token=parameters.get("x-amz-security-token", ""),
        expires_s=int(expires),
    )


def _assemble(
    credential: str,
    signed_headers: str,
    signature: str,
    amz_date: str,
    *,
    token: str,
    expires_s: int | None,
) -> Signed:
    parts = credential.split("/")
    if len(parts) != 5 or parts[4] != "aws4_request" or not all(parts):
        raise DoorFault(
            Refusal.MALFORMED,
            "Credential must have exactly 5 slash-delimited elements, e.g. "
            f"keyid/date/region/service/term, got '{credential}'",
        )
    if parts[1] != amz_date[:8]:
        raise DoorFault(
            Refusal.BAD_SIGNATURE,
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from "
            f"HTTP: '{parts[1]}' != '{amz_date[:8]}', from '{amz_date}'.",
        )
    names = tuple(signed_headers.lower().split(";"))
    if "host" not in names:
        raise DoorFault(Refusal.BAD_SIGNATURE, "'Host' must be a 'SignedHeader' in the request.")
    return Signed(
        parts[0], parts[1], parts[2], parts[3].lower(), names, signature, amz_date, token, expires_s
    )


def _check_date(signed: Signed, now_s: float) -> None:
    date_s = _seconds_of(signed.amz_date)
    if date_s is None:
        raise DoorFault(Refusal.MALFORMED, "X-Amz-Date is no date.")
    if date_s > now_s + HEADER_SKEW_S:
        limit = _amz_date(now_s + HEADER_SKEW_S)
        raise DoorFault(
            Refusal.SKEWED,
            f"Signature not yet current: {signed.amz_date} is still later than {limit} "
            f"({_amz_date(now_s)} + 5 min.)",
        )
    life_s, words = HEADER_SKEW_S, "5 min."
    if signed.expires_s is not None:
        presigned_for_sts = signed.service == "sts"
        life_s = STS_PRESIGNED_LIFE_S if presigned_for_sts else float(signed.expires_s)
        words = "15 min." if presigned_for_sts else f"{signed.expires_s} s"
    if now_s > date_s + life_s:
        limit = _amz_date(now_s - life_s)
        raise DoorFault(
            Refusal.SKEWED,
            f"Signature expired: {signed.amz_date} is now earlier than {limit} "
            f"({_amz_date(now_s)} - {words})",
        )


@functools.lru_cache(maxsize=256)
def _seconds_of(amz_date: str) -> float | None:
    """The time that `yyyymmddThhmmssZ` names. Clients sign many requests of one second."""
    try:
        return datetime.strptime(amz_date, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None


def _check_payload(request: AwsRequest) -> None:
    """The declared hash of the body, where there is one, must be the body's."""
    declared = header(request.headers, "x-amz-content-sha256")
    is_hash = len(declared) == 64
    if is_hash and declared != hashlib.sha256(request.body).hexdigest():
        raise DoorFault(Refusal.BAD_SIGNATURE)


def _signature(request: AwsRequest, signed: Signed, secret: str) -> str:
    canonical = hashlib.sha256(_canonical_request(request, signed).encode()).hexdigest()
    to_sign = f"{ALGORITHM}\n{signed.amz_date}\n{signed.scope}\n{canonical}"
    key = _signing_key(secret, signed.scope_date, signed.region, signed.service)
    return hmac.digest(key, to_sign.encode(), "sha256").hex()


@functools.lru_cache(maxsize=1024)
def _signing_key(secret: str, date: str, region: str, service: str) -> bytes:
    """What a secret signs with on one day, in one region, for one service."""
    key = f"AWS4{secret}".encode()
    for part in (date, region, service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


def _canonical_request(request: AwsRequest, signed: Signed) -> str:
    path = request.raw_path or "/"
    canonical_path = path if signed.service == "s3" else quote(_normalized(path), safe="/~")
    pairs = sorted(
        (quote(name, safe="-_.~"), quote(value, safe="-_.~"))
        for name, value in query_pairs(request.query)
        if signed.expires_s is None or name.lower() != "x-amz-signature"
    )
    values: dict[str, str] = {}
    for name, value in request.headers:
        key, trimmed = name.lower(), " ".join(value.split())
        values[key] = f"{values[key]},{trimmed}" if key in values else trimmed
    header_lines = "".join([f"{name}:{values.get(name, '')}\n" for name in signed.signed_headers])
    return "\n".join(
        [
            request.method.upper(),
            canonical_path,
            "&".join(f"{name}={value}" for name, value in pairs),
            header_lines,
            ";".join(signed.signed_headers),
            _payload_hash(request, signed),
        ]
    )


def _payload_hash(request: AwsRequest, signed: Signed) -> str:
    if signed.expires_s is not None and signed.service == "s3":
        return header(request.headers, "x-amz-content-sha256") or _UNSIGNED_PAYLOAD
    if signed.expires_s is None:
        declared = header(request.headers, "x-amz-content-sha256")
        if declared:
            return declared
    return hashlib.sha256(request.body).hexdigest() if request.body else _EMPTY_SHA256


def _normalized(path: str) -> str:
    """RFC 3986 dot segments removed and slashes collapsed, as SDKs sign every service but S3."""
    if "//" not in path and "/." not in path:
        return path
    kept: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            if kept:
                kept.pop()
        elif segment and segment != ".":
            kept.append(segment)
    tail = "/" if path.endswith("/") and kept else ""
    return "/" + "/".join(kept) + tail


def _amz_date(epoch_s: float) -> str:
    return datetime.fromtimestamp(int(epoch_s), UTC).strftime("%Y%m%dT%H%M%SZ")
