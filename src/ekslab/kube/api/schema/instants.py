"""Instants in JSON: RFC 3339 read as Go reads it, written in UTC as upstream writes it.

Upstream: apimachinery `pkg/apis/meta/v1/{time,micro_time}.go`: Time is written with whole seconds,
MicroTime with exactly six digits and refused without them.
"""

import re
from datetime import datetime, timedelta
from typing import Final

from ekslab.kit.remembering import remembered

_REMEMBERED_LONGEST: Final = 64
_TIME_LAYOUT: Final = "2006-01-02T15:04:05Z07:00"
_MICRO_LAYOUT: Final = "2006-01-02T15:04:05.000000Z07:00"
_PARTS: Final = (
    ("2006", re.compile(r"\d{4}", re.ASCII)),
    ("-", re.compile("-")),
    ("01", re.compile(r"\d{2}", re.ASCII)),
    ("-", re.compile("-")),
    ("02", re.compile(r"\d{2}", re.ASCII)),
    ("T", re.compile("T")),
    ("15", re.compile(r"\d{2}", re.ASCII)),
    (":", re.compile(":")),
    ("04", re.compile(r"\d{2}", re.ASCII)),
    (":", re.compile(":")),
    ("05", re.compile(r"\d{2}", re.ASCII)),
)
_FRACTION: Final = re.compile(r"[.,]\d+", re.ASCII)
_MICROS: Final = re.compile(r"\.\d{6}", re.ASCII)
_CANONICAL_MICRO: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", re.ASCII)
_ZONE: Final = re.compile(r"Z|[+-]\d{2}:\d{2}", re.ASCII)
_RANGES: Final = (("month", 2, 1, 12), ("hour", 6, 0, 23), ("minute", 8, 0, 59),
                  ("second", 10, 0, 59))  # fmt: skip


class InstantError(ValueError):
    """Text that is no instant; the message is Go's."""


@remembered(4_096, longest=_REMEMBERED_LONGEST)
def canonical_time(text: str) -> str:
    """`2026-01-02T05:04:05+02:00` -> `2026-01-02T03:04:05Z`.

    Raises:
        InstantError: with Go's words.
    """
    return _parse(text, _TIME_LAYOUT, micro=False).isoformat(timespec="seconds") + "Z"


@remembered(4_096, longest=_REMEMBERED_LONGEST)
def canonical_micro_time(text: str) -> str:
    """`2026-01-02T05:04:05.000001+02:00` -> `2026-01-02T03:04:05.000001Z`.

    Raises:
        InstantError: with Go's words.
    """
    if _CANONICAL_MICRO.fullmatch(text) and _is_moment(text):
        return text  # a lease is renewed in this form ten thousand times an hour
    return _parse(text, _MICRO_LAYOUT, micro=True).isoformat(timespec="microseconds") + "Z"


def _is_moment(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def _parse(text: str, layout: str, *, micro: bool) -> datetime:
    prefix = f'parsing time "{text}"'
    fields: list[str] = []
    at = 0
    for name, form in _PARTS:
        match = form.match(text, at)
        if match is None:
            raise InstantError(f'{prefix} as "{layout}": cannot parse "{text[at:]}" as "{name}"')
        fields.append(match[0])
        at = match.end()
    for name, index, least, most in _RANGES:
        if not least <= int(fields[index]) <= most:
            raise InstantError(f"{prefix}: {name} out of range")
    fraction = (_MICROS if micro else _FRACTION).match(text, at)
    if fraction is not None:
        at = fraction.end()
    elif micro:
        raise InstantError(f'{prefix} as "{layout}": cannot parse "{text[at:]}" as ".000000"')
    zone = _ZONE.match(text, at)
    if zone is None:
        raise InstantError(f'{prefix} as "{layout}": cannot parse "{text[at:]}" as "Z07:00"')
    if zone.end() != len(text):
        raise InstantError(f'{prefix}: extra text: "{text[zone.end() :]}"')
    return _moment(fields, fraction[0] if fraction else "", zone[0], prefix)


def _moment(fields: list[str], fraction: str, zone: str, prefix: str) -> datetime:
    year, month, day, hour, minute, second = (int(text) for text in fields[::2])
    micros = int((fraction[1:7] or "0").ljust(6, "0"))
    try:
        local = datetime(year, month, day, hour, minute, second, micros)  # noqa: DTZ001 - all in UTC
        if zone == "Z":
            return local
        away = timedelta(hours=int(zone[1:3]), minutes=int(zone[4:]))
        return local - away if zone[0] == "+" else local + away
    except (ValueError, OverflowError):
        raise InstantError(f"{prefix}: day out of range") from None
