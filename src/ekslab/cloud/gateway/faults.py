"""Errors of the AWS APIs, and their form on the wire in each protocol.

Forms: query services answer `<ErrorResponse><Error>`, EC2 `<Response><Errors><Error>`, S3 and
Route 53 a bare `<Error>`, JSON services a body with `message` and the header `x-amzn-ErrorType`.
An error of the door (signature, authorization) has another code in each of them; `DoorFault` names
what happened and `render_door_fault` finds the protocol's word for it.
"""

import enum
from collections.abc import Mapping
from typing import Any

import orjson

from ekslab.cloud.ports import AwsResponse


class Protocol(enum.Enum):
    """The wire protocols of the AWS services."""

    QUERY = "query"
    EC2 = "ec2"
    JSON = "json"
    REST_JSON = "rest-json"
    REST_XML = "rest-xml"


class AwsFault(Exception):  # noqa: N818 - AWS speaks of faults
    """An answer that is not success.

    Attributes:
        code: the error code clients switch on, such as `ResourceNotFoundException`.
        message: the text for people.
        status: the HTTP status.
        fields: more members of a JSON body, such as `clusterName`.
    """

    def __init__(
        self, code: str, message: str, *, status: int = 400, fields: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status
        self.fields: Mapping[str, Any] = fields or {}


class Refusal(enum.Enum):
    """Why the door stays shut."""

    UNSIGNED = "unsigned"
    MALFORMED = "malformed"
    UNKNOWN_KEY = "unknown key"
    BAD_SIGNATURE = "bad signature"
    SKEWED = "skewed"
    EXPIRED = "expired"
    DENIED = "denied"


class DoorFault(Exception):  # noqa: N818 - AWS speaks of faults
    """The door stays shut; `message` empty means the protocol's usual text."""

    def __init__(self, refusal: Refusal, message: str = "") -> None:
        super().__init__(message or refusal.value)
        self.refusal = refusal
        self.message = message


_INVALID_CALLER = "The security token included in the request is invalid."
_EXPIRED_CALLER = "The security token included in the request is expired"
_MISMATCH = (
    "The request signature we calculated does not match the signature you provided. Check your AWS "
    "Secret Access Key and signing method. Consult the service documentation for details."
)
_EC2_AUTH = "AWS was not able to validate the provided access credentials"

# (code, HTTP status, usual text) by what happened and protocol.
_QUERY_WORDS: Mapping[Refusal, tuple[str, int, str]] = {
    Refusal.UNSIGNED: (
        "MissingAuthenticationToken",
        403,
        "Request is missing Authentication Token",
    ),
    Refusal.MALFORMED: ("IncompleteSignature", 400, "The request signature is incomplete."),
    Refusal.UNKNOWN_KEY: ("InvalidClientTokenId", 403, _INVALID_CALLER),
    Refusal.BAD_SIGNATURE: ("SignatureDoesNotMatch", 403, _MISMATCH),
    Refusal.SKEWED: ("SignatureDoesNotMatch", 403, _MISMATCH),
    Refusal.EXPIRED: ("ExpiredToken", 403, _EXPIRED_CALLER),
    Refusal.DENIED: ("AccessDenied", 403, "Access Denied"),
}
_JSON_WORDS: Mapping[Refusal, tuple[str, int, str]] = {
    Refusal.UNSIGNED: ("MissingAuthenticationTokenException", 403, "Missing Authentication Token"),
    Refusal.MALFORMED: (
        "IncompleteSignatureException",
        400,
        "The request signature is incomplete.",
    ),
    Refusal.UNKNOWN_KEY: ("UnrecognizedClientException", 403, _INVALID_CALLER),
    Refusal.BAD_SIGNATURE: ("InvalidSignatureException", 403, _MISMATCH),
    Refusal.SKEWED: ("InvalidSignatureException", 403, _MISMATCH),
    Refusal.EXPIRED: ("ExpiredTokenException", 403, _EXPIRED_CALLER),
    Refusal.DENIED: ("AccessDeniedException", 403, "Access Denied"),
}
_EC2_WORDS: Mapping[Refusal, tuple[str, int, str]] = {
    Refusal.UNSIGNED: ("AuthFailure", 401, _EC2_AUTH),
    Refusal.MALFORMED: ("AuthFailure", 401, _EC2_AUTH),
    Refusal.UNKNOWN_KEY: ("AuthFailure", 401, _EC2_AUTH),
    Refusal.BAD_SIGNATURE: ("AuthFailure", 401, _EC2_AUTH),
    Refusal.SKEWED: ("RequestExpired", 400, "Request has expired."),
    Refusal.EXPIRED: ("RequestExpired", 400, "Request has expired."),
    Refusal.DENIED: (
        "UnauthorizedOperation",
        403,
        "You are not authorized to perform this operation.",
    ),
}
_S3_WORDS: Mapping[Refusal, tuple[str, int, str]] = {
    Refusal.UNSIGNED: ("AccessDenied", 403, "Access Denied"),
    Refusal.MALFORMED: (
        "AuthorizationHeaderMalformed",
        400,
        "The authorization header is malformed.",
    ),
    Refusal.UNKNOWN_KEY: (
        "InvalidAccessKeyId",
        403,
        "The AWS Access Key Id you provided does not exist in our records.",
    ),
    Refusal.BAD_SIGNATURE: (
        "SignatureDoesNotMatch",
        403,
        (
            "The request signature we calculated does not match the signature you provided. "
            "Check your key and signing method."
        ),
    ),
    Refusal.SKEWED: (
        "RequestTimeTooSkewed",
        403,
        "The difference between the request time and the current time is too large.",
    ),
    Refusal.EXPIRED: ("ExpiredToken", 400, "The provided token has expired."),
    Refusal.DENIED: ("AccessDenied", 403, "Access Denied"),
}
_WORDS: Mapping[Protocol, Mapping[Refusal, tuple[str, int, str]]] = {
    Protocol.QUERY: _QUERY_WORDS,
    Protocol.EC2: _EC2_WORDS,
    Protocol.JSON: _JSON_WORDS,
    Protocol.REST_JSON: _JSON_WORDS,
    Protocol.REST_XML: _S3_WORDS,
}


def door_fault(fault: DoorFault, protocol: Protocol) -> AwsFault:
    """The protocol's own error for a shut door."""
    code, status, usual = _WORDS[protocol][fault.refusal]
    # EC2 and S3 tell nothing about why a date was refused.
    own_text = fault.message if protocol not in {Protocol.EC2, Protocol.REST_XML} else ""
    if fault.refusal is Refusal.DENIED:
        own_text = fault.message
    return AwsFault(code, own_text or usual, status=status)


def escape(text: str) -> str:
    """Text as XML content. `xml.sax.saxutils` has it too, but imports an HTTP client."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def render(fault: AwsFault, protocol: Protocol, *, request_id: str) -> AwsResponse:
    """The HTTP answer that carries an error in this protocol."""
    if protocol in {Protocol.JSON, Protocol.REST_JSON}:
        return _render_json(fault, protocol, request_id)
    code, message = escape(fault.code), escape(fault.message)
    if protocol is Protocol.EC2:
        body = (
            f"<Response><Errors><Error><Code>{code}</Code><Message>{message}</Message></Error>"
            f"</Errors><RequestID>{request_id}</RequestID></Response>"
        )
    elif protocol is Protocol.REST_XML:
        body = (
            f"<Error><Code>{code}</Code><Message>{message}</Message>"
            f"<RequestId>{request_id}</RequestId></Error>"
        )
    else:
        kind = "Sender" if fault.status < 500 else "Receiver"
        body = (
            f"<ErrorResponse><Error><Type>{kind}</Type><Code>{code}</Code>"
            f"<Message>{message}</Message></Error><RequestId>{request_id}</RequestId></ErrorResponse>"
        )
    return AwsResponse(
        fault.status,
        (("Content-Type", "text/xml"), ("x-amzn-RequestId", request_id)),
        b'<?xml version="1.0" encoding="UTF-8"?>\n' + body.encode(),
    )


def _render_json(fault: AwsFault, protocol: Protocol, request_id: str) -> AwsResponse:
    body: dict[str, Any] = {**fault.fields, "message": fault.message}
    if protocol is Protocol.JSON:
        body["__type"] = fault.code
        body["Message"] = fault.message
        content_type = "application/x-amz-json-1.1"
    else:
        content_type = "application/json"
    return AwsResponse(
        fault.status,
        (
            ("Content-Type", content_type),
            ("x-amzn-ErrorType", fault.code),
            ("x-amzn-RequestId", request_id),
        ),
        orjson.dumps(body),
    )
