"""URLs: apiserver `pkg/cel/library/urls.go`, on what Go's `url.ParseRequestURI` takes."""

import re
from typing import Final
from urllib.parse import parse_qs, quote, unquote, urlsplit

from ekslab.kube.api.cel.failures import CelError
from ekslab.kube.api.cel.functions import member, plain, traversal
from ekslab.kube.api.cel.types import BOOL, STRING, URL, list_of, map_of

_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_CONTROL: Final = re.compile(r"[\x00-\x20\x7f]")
_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})..?|%$")
_PATH_SAFE: Final = "$&+,/:;=@-_.~!*'()"


class Address:
    """A URL as a value."""

    __slots__ = ("host", "hostname", "path", "port", "query", "scheme", "text")
    type_name: Final = URL.name

    def __init__(self, text: str) -> None:
        self.text = text
        split = urlsplit(text)
        self.scheme = split.scheme
        self.host = unquote(split.netloc.rpartition("@")[2])
        name, colon, port = self.host.rpartition(":")
        has_port = bool(colon) and "]" not in port
        self.hostname = (name if has_port else self.host).removeprefix("[").removesuffix("]")
        self.port = port if has_port else ""
        plain_path = unquote(split.path)
        valid = re.fullmatch(r"[A-Za-z0-9$&+,/:;=@\-_.~!*'()\[\]%]*", split.path)
        self.path = split.path if valid else quote(plain_path, safe=_PATH_SAFE)
        self.query = parse_qs(split.query, keep_blank_values=True)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Address) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)

    def __str__(self) -> str:
        return self.text


def why_not(text: str) -> str | None:
    """What Go says is wrong with it; None if it is a URL."""
    shown = f'parse "{text}"'
    if not text:
        return f"{shown}: empty url"
    if re.search(r"[\x00-\x1f\x7f]", text):
        return f"{shown}: net/url: invalid control character in URL"
    scheme = _SCHEME.match(text)
    if scheme is None and not text.startswith(("/", "*")):
        return f"{shown}: invalid URI for request"
    rest = text[scheme.end() :] if scheme else text
    if scheme and not rest.startswith("/"):
        return f"{shown}: invalid URI for request"
    wrong = _ESCAPE.search(rest.partition("?")[0])
    if wrong:
        return f'{shown}: invalid URL escape "{wrong.group()}"'
    host = rest[2:].partition("/")[0] if rest.startswith("//") else ""
    if _CONTROL.search(host):
        return f'{shown}: invalid character " " in host name'
    port = host.rpartition("@")[2].rpartition("]")[2].rpartition(":")
    if port[1] and port[2] and not port[2].isdigit():
        return f'{shown}: invalid port ":{port[2]}" after host'
    try:
        urlsplit(text)
    except ValueError:
        return f"{shown}: missing ']' in host"
    return None


def _parsed(text: str) -> Address:
    why = why_not(text)
    if why is not None:
        raise CelError(f"URL parse error during conversion from string: {why}")
    return Address(text)


_ONE: Final = (URL,)
OVERLOADS: Final = [
    plain("url", (STRING,), URL, _parsed, traversal),
    plain("isURL", (STRING,), BOOL, lambda text: why_not(text) is None),
    member("getScheme", _ONE, STRING, lambda url: url.scheme),
    member("getHost", _ONE, STRING, lambda url: url.host),
    member("getHostname", _ONE, STRING, lambda url: url.hostname),
    member("getPort", _ONE, STRING, lambda url: url.port),
    member("getEscapedPath", _ONE, STRING, lambda url: url.path),
    member("getQuery", _ONE, map_of(STRING, list_of(STRING)), lambda url: url.query),
]
