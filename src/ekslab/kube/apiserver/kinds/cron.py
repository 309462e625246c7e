"""Cron schedules as upstream's parser (robfig/cron v3, `ParseStandard`) reads and refuses them."""

import re
from collections.abc import Mapping
from typing import Final

_MONTHS: Final = {
    name: number
    for number, name in enumerate(
        ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"), 1
    )
}
_DAYS: Final = {
    name: number for number, name in enumerate(("sun", "mon", "tue", "wed", "thu", "fri", "sat"))
}
_DIGITS_MOST: Final = 18
_NO_NAMES: Final[Mapping[str, int]] = {}
_FIELDS: Final = (
    (0, 59, _NO_NAMES),
    (0, 23, _NO_NAMES),
    (1, 31, _NO_NAMES),
    (1, 12, _MONTHS),
    (0, 6, _DAYS),
)
_DESCRIPTORS: Final = frozenset(
    {"@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"}
)
_DURATION: Final = re.compile(r"[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|ms|s|m|h)")


def why_not_cron(schedule: str) -> str:
    """What is wrong with a schedule, in the parser's words; empty if nothing is.

    >>> why_not_cron("*/5 * * * *"), why_not_cron("* *")
    ('', 'expected exactly 5 fields, found 2: [* *]')
    """
    if not schedule:
        return "empty spec string"
    if schedule.startswith("@"):
        return _why_not_descriptor(schedule)
    parts = schedule.split()
    if len(parts) != 5:
        return f"expected exactly 5 fields, found {len(parts)}: [{' '.join(parts)}]"
    for part, (low, high, known) in zip(parts, _FIELDS, strict=True):
        for piece in part.split(","):
            wrong = _why_not_range(piece, low, high, known)
            if wrong:
                return wrong
    return ""


def _why_not_descriptor(text: str) -> str:
    if text in _DESCRIPTORS:
        return ""
    if text.startswith("@every "):
        duration = text.removeprefix("@every ")
        if _DURATION.sub("", duration) == "" and duration:
            return ""
        return f'failed to parse duration {text}: time: invalid duration "{duration}"'
    return f"unrecognized descriptor: {text}"


def _why_not_range(text: str, low: int, high: int, known: Mapping[str, int]) -> str:
    span, slash, step_text = text.partition("/")
    if "/" in step_text:
        return f"too many slashes: {text}"
    first_text, dash, last_text = span.partition("-")
    if "-" in last_text:
        return f"too many hyphens: {text}"
    if first_text in {"*", "?"}:
        first, last = low, high
    else:
        numbers = []
        for each in (first_text, last_text) if dash else (first_text,):
            number = known.get(each.lower())
            if number is None:
                wrong = _why_not_integer(each)
                if wrong:
                    return wrong
                number = int(each)
            numbers.append(number)
        first, last = numbers[0], numbers[-1]
        if slash and not dash:
            last = high
    if slash:
        wrong = _why_not_integer(step_text)
        if wrong:
            return wrong
        if int(step_text) == 0:
            return f"step of range should be a positive number: {text}"
    return _why_not_bounds(text, first, last, (low, high))


def _why_not_integer(text: str) -> str:
    if not re.fullmatch("[0-9]+", text):
        wrong = "invalid syntax"
    elif len(text) > _DIGITS_MOST:
        wrong = "value out of range"
    else:
        return ""
    return f'failed to parse int from {text}: strconv.Atoi: parsing "{text}": {wrong}'


def _why_not_bounds(text: str, first: int, last: int, bounds: tuple[int, int]) -> str:
    low, high = bounds
    if first < low:
        return f"beginning of range ({first}) below minimum ({low}): {text}"
    if last > high:
        return f"end of range ({last}) above maximum ({high}): {text}"
    if first > last:
        return f"beginning of range ({first}) beyond end of range ({last}): {text}"
    return ""
