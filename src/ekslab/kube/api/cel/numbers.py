"""Numbers and times as text, as Go writes and reads them."""

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from decimal import Decimal
from typing import Final

from ekslab.kube.api.cel.values import NANOSECONDS

_UNITS: Final = {
    "ns": 1,
    "us": 1_000,
    "\u00b5s": 1_000,
    "\u03bcs": 1_000,
    "ms": 1_000_000,
    "s": NANOSECONDS,
    "m": 60 * NANOSECONDS,
    "h": 3600 * NANOSECONDS,
}
_PART: Final = re.compile(r"([0-9]*)(?:\.([0-9]*))?(ns|us|\u00b5s|\u03bcs|ms|s|m|h)")
_INSTANT: Final = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:[.,](\d+))?([Zz]|[+-]\d\d:\d\d)"
)
_DURATION_CHARACTERS_MOST: Final = 256
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def shortest(number: float) -> str:
    """`strconv.FormatFloat(number, 'g', -1, 64)`: `1e+06`, `1.5`, `NaN`, `+Inf`."""
    if number != number:  # noqa: PLR0124 - NaN
        return "NaN"
    if number in {float("inf"), float("-inf")}:
        return "+Inf" if number > 0 else "-Inf"
    if number == 0:
        return "-0" if str(number).startswith("-") else "0"
    sign, digits, exponent = Decimal(repr(number)).normalize().as_tuple()
    assert isinstance(exponent, int)
    text = "".join(map(str, digits))
    point = len(text) + exponent - 1
    if point < -4 or point >= 6:
        head = text[0] + ("." + text[1:] if len(text) > 1 else "")
        shown = f"{head}e{'-' if point < 0 else '+'}{abs(point):02d}"
    elif point < 0:
        shown = "0." + "0" * (-point - 1) + text
    elif point + 1 >= len(text):
        shown = text + "0" * (point + 1 - len(text))
    else:
        shown = f"{text[: point + 1]}.{text[point + 1 :]}"
    return f"-{shown}" if sign else shown


def plain_decimal(number: Decimal) -> str:
    """A decimal without exponent and trailing zeros: `strconv.FormatFloat(number, 'f', -1, 64)`."""
    text = format(number, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def parse_duration(text: str) -> int | None:
    """Nanoseconds of Go's `1h30m`, `-1.5s`, `0`; None if it is none."""
    body = text[1:] if text[:1] in {"+", "-"} else text
    if body == "0":
        return 0
    if not body or len(body) > _DURATION_CHARACTERS_MOST:
        return None
    total, at = 0, 0
    while at < len(body):
        match = _PART.match(body, at)
        if match is None or not (match.group(1) or match.group(2)):
            return None
        unit = _UNITS[match.group(3)]
        total += int(match.group(1) or 0) * unit
        fraction = match.group(2)
        if fraction:
            total += int(fraction) * unit // 10 ** len(fraction)
        at = match.end()
    return -total if text[0] == "-" else total


def duration_text(nanoseconds: int) -> str:
    """CEL's form of a duration: `5400s`, `0.5s`."""
    return plain_decimal(Decimal(nanoseconds) / NANOSECONDS) + "s"


def parse_timestamp(text: str) -> int | None:
    """Nanoseconds since 1970 of an RFC 3339 text; None if it is none."""
    match = _INSTANT.fullmatch(text)
    if match is None:
        return None
    *parts, fraction, zone = match.groups()
    year, month, day, hour, minute, second = map(int, parts)
    try:
        moment = datetime(year, month, day, hour, minute, second, tzinfo=zone_of(zone.upper()))
    except (ValueError, OverflowError):
        return None
    seconds = (moment - _EPOCH) // timedelta(seconds=1)
    return seconds * NANOSECONDS + int((fraction or "").ljust(9, "0")[:9])


def timestamp_text(nanoseconds: int) -> str:
    """RFC 3339 in UTC, with as many digits as are needed."""
    seconds, rest = divmod(nanoseconds, NANOSECONDS)
    moment = _EPOCH + timedelta(seconds=seconds)
    fraction = f".{rest:09d}".rstrip("0") if rest else ""
    return moment.strftime("%Y-%m-%dT%H:%M:%S").rjust(19, "0") + fraction + "Z"


def moment_at(nanoseconds: int, zone: str = "UTC") -> datetime:
    """The moment on the clocks of a zone: `UTC`, `Europe/Berlin`, `+05:30`.

    Raises:
        ValueError: there is no such zone.
    """
    seconds = nanoseconds // NANOSECONDS
    return (_EPOCH + timedelta(seconds=seconds)).astimezone(zone_of(zone))


def zone_of(zone: str) -> tzinfo:
    """The zone of a name or an offset.

    Raises:
        ValueError: there is none.
    """
    if zone in {"", "Z", "UTC"}:
        return UTC
    match = re.fullmatch(r"([+-]?)(\d{1,2}):(\d\d)", zone)
    if match is None:
        return _named_zone(zone)
    sign, hours, minutes = match.groups()
    offset = timedelta(hours=int(hours), minutes=int(minutes))
    return timezone(-offset if sign == "-" else offset)


def _named_zone(name: str) -> tzinfo:
    # Loaded by the few expressions that name a place.
    from zoneinfo import ZoneInfo

    try:
        return ZoneInfo(name)
    except (KeyError, OSError, ValueError):
        raise ValueError(f"unknown time zone {name}") from None
