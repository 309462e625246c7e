"""Formats that strings of custom objects are checked for. Unknown ones are not checked.

Upstream: apiextensions-apiserver `pkg/apiserver/validation/formats.go` (which are supported) and
kube-openapi `pkg/validation/strfmt` (what each means).
"""

import base64
import binascii
import ipaddress
import re
from collections.abc import Callable
from datetime import date, datetime
from typing import Final
from urllib.parse import urlsplit

_UUID: Final = "[0-9a-f]{8}-?[0-9a-f]{4}-?%s[0-9a-f]{3}-?%s[0-9a-f]{3}-?[0-9a-f]{12}"
_HOST_NAME: Final = re.compile(
    r"[a-zA-Z0-9\u0080-\U0010ffff]([-a-zA-Z0-9\u0080-\U0010ffff]{0,61}[a-zA-Z0-9\u0080-\U0010ffff])?"
    r"(\.[a-zA-Z0-9\u0080-\U0010ffff]([-a-zA-Z0-9\u0080-\U0010ffff]{0,61}"
    r"[a-zA-Z0-9\u0080-\U0010ffff])?)*\.?"
)
_EMAIL: Final = re.compile(r"[^@\s<>]+@[^@\s<>]+")
_MAC: Final = re.compile(r"[0-9a-fA-F]{2}(([:-])[0-9a-fA-F]{2})(\2[0-9a-fA-F]{2}){4}")
_DURATION: Final = re.compile(
    r"[+-]?(0|((\d+(\.\d*)?|\.\d+)(ns|us|\u00b5s|\u03bcs|ms|s|m|h))+)|\d+\s*"
    r"(ns|nano|us|micro|ms|milli|s|sec|second|m|min|minute|h|hr|hour|d|day|w|wk|week)s?"
)
_DATE_TIME: Final = re.compile(
    r"(\d{4}-\d\d-\d\d)[tT ](\d\d:\d\d(:\d\d)?)([.,]\d+)?([zZ]|[+-]\d\d:?\d\d)?"
)
_COLOR: Final = re.compile(r"#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6})")
_RGB: Final = re.compile(r"rgb\(\s*\d{1,3}\s*,\s*\d{1,3}\s*,\s*\d{1,3}\s*\)")
_ISBN_10: Final = re.compile(r"\d{9}[\dX]")
_ISBN_13: Final = re.compile(r"\d{13}")
_SSN: Final = re.compile(r"\d{3}[- ]?\d{2}[- ]?\d{4}")
_CARD: Final = re.compile(r"\d{13,19}")
_HEX_ID: Final = re.compile("[0-9a-fA-F]{24}")
_DURATION_LONGEST: Final = 64


def is_of_format(form: str, value: str) -> bool:
    """Whether a text is of that format."""
    check = _FORMATS.get(form.replace("-", ""))
    return check is None or check(value)


def _of_pattern(pattern: re.Pattern[str]) -> Callable[[str], bool]:
    return lambda value: pattern.fullmatch(value) is not None


def _uuid(version: str, variant: str) -> Callable[[str], bool]:
    return _of_pattern(re.compile(_UUID % (version, variant), re.IGNORECASE))


def _is_date(value: str) -> bool:
    try:
        return len(value) == len("2006-01-02") and bool(date.fromisoformat(value))
    except ValueError:
        return False


def _is_date_time(value: str) -> bool:
    found = _DATE_TIME.fullmatch(value)
    if found is None or not _is_date(found[1]):
        return False
    try:
        datetime.fromisoformat(f"{found[1]}T{found[2]}")
    except ValueError:
        return False
    return True


def _is_ip(version: int) -> Callable[[str], bool]:
    def check(value: str) -> bool:
        try:
            return ipaddress.ip_address(value).version == version
        except ValueError:
            return False

    return check


def _is_cidr(value: str) -> bool:
    try:
        return "/" in value and bool(ipaddress.ip_network(value, strict=False))
    except ValueError:
        return False


def _is_uri(value: str) -> bool:
    try:
        parts = urlsplit(value)
    except ValueError:
        return False
    return bool(parts.scheme) or value.startswith("/")


def _is_base64(value: str) -> bool:
    try:
        base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return False
    return True


def _is_duration(value: str) -> bool:
    return len(value) <= _DURATION_LONGEST and _DURATION.fullmatch(value) is not None


def _is_isbn(value: str) -> bool:
    plain = value.replace("-", "").replace(" ", "")
    if _ISBN_10.fullmatch(plain):
        digits = [10 if char == "X" else int(char) for char in plain]
        return sum(digit * (10 - place) for place, digit in enumerate(digits)) % 11 == 0
    if _ISBN_13.fullmatch(plain):
        return (
            sum(int(char) * (3 if place % 2 else 1) for place, char in enumerate(plain)) % 10 == 0
        )
    return False


def _is_card(value: str) -> bool:
    plain = re.sub("[^0-9]", "", value)
    if not _CARD.fullmatch(plain):
        return False
    digits = [int(char) for char in reversed(plain)]
    doubled = (sum(divmod(digit * 2, 10)) if place % 2 else digit
               for place, digit in enumerate(digits))  # fmt: skip
    return sum(doubled) % 10 == 0


_FORMATS: Final[dict[str, Callable[[str], bool]]] = {
    "bsonobjectid": _of_pattern(_HEX_ID),
    "uri": _is_uri,
    "email": _of_pattern(_EMAIL),
    "hostname": _of_pattern(_HOST_NAME),
    "ipv4": _is_ip(4),
    "ipv6": _is_ip(6),
    "cidr": _is_cidr,
    "mac": _of_pattern(_MAC),
    "uuid": _uuid("[0-9a-f]", "[0-9a-f]"),
    "uuid3": _uuid("3", "[0-9a-f]"),
    "uuid4": _uuid("4", "[89ab]"),
    "uuid5": _uuid("5", "[89ab]"),
    "isbn": _is_isbn,
    "isbn10": lambda value: _is_isbn(value) and len(value.replace("-", "").replace(" ", "")) == 10,
    "isbn13": lambda value: _is_isbn(value) and len(value.replace("-", "").replace(" ", "")) == 13,
    "creditcard": _is_card,
    "ssn": _of_pattern(_SSN),
    "hexcolor": _of_pattern(_COLOR),
    "rgbcolor": _of_pattern(_RGB),
    "byte": _is_base64,
    "date": _is_date,
    "datetime": _is_date_time,
    "duration": _is_duration,
}
