r"""Continue tokens of paged lists, in upstream's own format.

`apiserver/pkg/storage/continue.go`: URL-safe base64 without padding of
`{"v":"meta.k8s.io/v1","rv":<revision>,"start":"<namespace>/<name>\u0000"}`; a revision of -1 means
"go on from here, at whatever revision" (an inconsistent list).
"""

import base64
import binascii
import posixpath
import re
from dataclasses import dataclass
from typing import Any, Final

import orjson

from ekslab.kube.api.errors import ApiError, bad_request

_VERSION: Final = "meta.k8s.io/v1"
INCONSISTENT: Final = -1
_NO_BASE64: Final = re.compile(r"[^A-Za-z0-9_-]")

_TOO_OLD: Final = (
    "The provided continue parameter is too old to display a consistent list result. You can start"
    " a new list without the continue parameter, or use the continue token in this response to"
    " retrieve the remainder of the results. Continuing with the provided token results in an"
    " inconsistent list - objects that were created, modified, or deleted between the time the"
    " first chunk was returned and now may show up in the list."
)


@dataclass(frozen=True, slots=True)
class Position:
    """Where a list goes on: behind the key `after`, at `revision` (or -1)."""

    revision: int
    after: tuple[str, str]


def encode(position: Position) -> str:
    """The opaque token of a position."""
    namespace, name = position.after
    start = f"{namespace}/{name}\0" if namespace else f"{name}\0"
    body = orjson.dumps({"v": _VERSION, "rv": position.revision, "start": start})
    return base64.urlsafe_b64encode(body).decode().rstrip("=")


def decode(token: str) -> Position:
    """The position of a token.

    Raises:
        ApiError: 400 if the token is none of ours.
    """
    illegal = _first_illegal(token)
    if illegal is not None:
        raise _refused(f": illegal base64 data at input byte {illegal}")
    try:
        body = orjson.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        version, revision, start = body.get("v", ""), body.get("rv", 0), body.get("start", "")
    except (binascii.Error, ValueError, AttributeError):
        raise _refused("") from None
    if not isinstance(revision, int) or not isinstance(start, str):
        raise _refused("")
    if version != _VERSION:
        raise _refused(f": server does not recognize this encoded version {version}")
    if revision == 0:
        raise _refused(f": incorrect encoded start resourceVersion (version {_VERSION})")
    if not start:
        raise _refused(f": encoded start key empty (version {_VERSION})")
    rooted = start if start.startswith("/") else f"/{start}"
    if _cleaned(rooted) != rooted:
        raise _refused(f": {start}")
    namespace, _, name = start.rstrip("\0").rpartition("/")
    return Position(revision=revision, after=(namespace, name))


def _first_illegal(token: str) -> int | None:
    """Where Go's `base64.RawURLEncoding` stops to understand a token."""
    found = _NO_BASE64.search(token)
    if found is not None:
        return found.start()
    return len(token) - 1 if len(token) % 4 == 1 else None


def _cleaned(path: str) -> str:
    """Go's `path.Clean` of a path from the root: a token cannot lead to other keys."""
    cleaned = posixpath.normpath(path)
    return cleaned[1:] if cleaned.startswith("//") else cleaned


def _refused(why: str) -> ApiError:
    return bad_request(f"invalid continue token: continue key is not valid{why}")


class ExpiredContinueError(ApiError):
    """410 for a token whose revision is gone; carries a token that goes on inconsistently."""

    def __init__(self, position: Position) -> None:
        super().__init__(410, "Expired", _TOO_OLD)
        self._token = encode(Position(revision=INCONSISTENT, after=position.after))

    def status(self) -> dict[str, Any]:
        """The Status, with the inconsistent token in its list metadata."""
        status = super().status()
        status["metadata"] = {"continue": self._token}
        return status
