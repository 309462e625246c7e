"""API errors: the closed set of answers that are not success.

Each becomes a `metav1.Status` at the edge. Codes, reasons and messages are those of upstream's
apimachinery `pkg/api/errors/errors.go`, because clients compare them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

CAUSES_MOST: Final = 1_000
"""How many field errors one answer names. Upstream names them all; a body of 3 MB then costs
seconds and is answered with thirty. Whoever looks for errors in a long list may stop here.
"""


@dataclass(frozen=True, slots=True)
class Cause:
    """One field error: `field` is the path, `message` what is wrong, `reason` upstream's type."""

    field: str
    message: str
    reason: str = "FieldValueInvalid"

    def as_dict(self) -> dict[str, str]:
        """The wire form, an entry of `details.causes`."""
        return {"reason": self.reason, "message": self.message, "field": self.field}


class ApiError(Exception):
    """An answer that is not success: HTTP `code`, `reason` for machines, `message`, `details`."""

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        *,
        details: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details
        self.headers: Mapping[str, str] = headers or {}

    def status(self) -> dict[str, Any]:
        """The `metav1.Status` object that goes to the client."""
        status: dict[str, Any] = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
        }
        if self.reason:
            status["reason"] = self.reason
        if self.details is not None:
            status["details"] = dict(self.details)
        status["code"] = self.code
        return status


def _details(group: str, kind: str, name: str, **more: Any) -> dict[str, Any]:
    details: dict[str, Any] = {}
    if name:
        details["name"] = name
    if group:
        details["group"] = group
    if kind:
        details["kind"] = kind
    details.update(more)
    return details


def _qualified(group: str, resource: str) -> str:
    return f"{resource}.{group}" if group else resource


def not_found(group: str, resource: str, name: str) -> ApiError:
    """404: no such object."""
    message = f'{_qualified(group, resource)} "{name}" not found'
    return ApiError(404, "NotFound", message, details=_details(group, resource, name))


def path_not_found() -> ApiError:
    """404: no such path or resource type."""
    return ApiError(404, "NotFound", "the server could not find the requested resource", details={})


def already_exists(group: str, resource: str, name: str) -> ApiError:
    """409: an object of that name exists."""
    message = f'{_qualified(group, resource)} "{name}" already exists'
    return ApiError(409, "AlreadyExists", message, details=_details(group, resource, name))


def conflict(group: str, resource: str, name: str, why: str = "") -> ApiError:
    """409: the resourceVersion (or a uid precondition) does not match."""
    why = why or (
        "the object has been modified; please apply your changes to the latest version"
        " and try again"
    )
    message = f'Operation cannot be fulfilled on {_qualified(group, resource)} "{name}": {why}'
    return ApiError(409, "Conflict", message, details=_details(group, resource, name))


def invalid(group: str, kind: str, name: str, causes: Sequence[Cause]) -> ApiError:
    """422: field errors. `kind` is the object's kind, as upstream writes it."""
    causes = causes[:CAUSES_MOST]
    texts = [f"{cause.field}: {cause.message}" for cause in causes]
    text = texts[0] if len(texts) == 1 else "[" + ", ".join(texts) + "]"
    message = f'{_qualified(group, kind)} "{name}" is invalid: {text}'
    details = _details(group, kind, name, causes=[cause.as_dict() for cause in causes])
    return ApiError(422, "Invalid", message, details=details)


def bad_request(message: str) -> ApiError:
    """400: the request cannot be understood."""
    return ApiError(400, "BadRequest", message)


def unauthorized() -> ApiError:
    """401, with no detail that helps."""
    return ApiError(401, "Unauthorized", "Unauthorized")


def forbidden(group: str, resource: str, name: str, why: str) -> ApiError:
    """403 with upstream's sentence; `resource` may be empty for a path that is no resource."""
    if not resource:
        return ApiError(403, "Forbidden", f"forbidden: {why}", details={})
    target = f'{_qualified(group, resource)} "{name}"' if name else _qualified(group, resource)
    message = f"{target} is forbidden: {why}"
    return ApiError(403, "Forbidden", message, details=_details(group, resource, name))


def method_not_supported(group: str, resource: str, verb: str) -> ApiError:
    """405: the resource does not know this verb."""
    message = f'{verb} is not supported on resources of kind "{_qualified(group, resource)}"'
    return ApiError(405, "MethodNotAllowed", message, details=_details(group, resource, ""))


def not_acceptable(accepted: Sequence[str]) -> ApiError:
    """406: no media type of `Accept` can be produced."""
    message = f"only the following media types are accepted: {', '.join(accepted)}"
    return ApiError(406, "NotAcceptable", message)


def unsupported_media_type(accepted: Sequence[str]) -> ApiError:
    """415: the body's media type is not understood here."""
    message = (
        "the body of the request was in an unknown format - accepted media types include: "
        + ", ".join(accepted)
    )
    return ApiError(415, "UnsupportedMediaType", message)


def expired(message: str) -> ApiError:
    """410: a resourceVersion or continue token older than the history that is kept."""
    return ApiError(410, "Expired", message)


def too_large(limit_bytes: int) -> ApiError:
    """413: the body is over the limit."""
    message = f"Request entity too large: limit is {limit_bytes}"
    return ApiError(413, "RequestEntityTooLarge", message)


def too_many_requests(message: str, *, retry_after_s: int) -> ApiError:
    """429: a limit was reached; try again after `retry_after_s` seconds."""
    headers = {"Retry-After": str(retry_after_s)}
    details = {"retryAfterSeconds": retry_after_s}
    return ApiError(429, "TooManyRequests", message, details=details, headers=headers)


def timeout(message: str, *, retry_after_s: int = 0) -> ApiError:
    """504: the request could not be completed in time."""
    return ApiError(504, "Timeout", message, details={"retryAfterSeconds": retry_after_s})


def service_unavailable(message: str) -> ApiError:
    """503: cannot be served now."""
    return ApiError(503, "ServiceUnavailable", message)


def internal(message: str) -> ApiError:
    """500: something of ours broke (a full disk, a lost backend)."""
    text = f"Internal error occurred: {message}"
    details = {"causes": [{"message": message}]}
    return ApiError(500, "InternalError", text, details=details)


def namespace_is_terminating(error: ApiError) -> bool:
    """Whether a creation was refused because its namespace is going away (upstream's cause)."""
    causes = (error.details or {}).get("causes") or ()
    return any(cause.get("reason") == "NamespaceTerminating" for cause in causes)
