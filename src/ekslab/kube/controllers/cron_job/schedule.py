"""When a cron schedule comes next. Pure: time zones are read, clocks are not.

Upstream: robfig/cron v3 (`ParseStandard`, `SpecSchedule.Next`, `ConstantDelaySchedule.Next`): five
fields, names of months and days, descriptors (`@daily`), `@every 1h30m`. A day has to fit both its
fields, unless neither of them is `*`: then one is enough. Where clocks are put forward the hour
left out never comes; where they are put back it comes twice.
"""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
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
_DESCRIPTORS: Final = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_UNITS_S: Final = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_AMOUNT: Final = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ns|us|µs|ms|s|m|h)")
_YEARS_MOST: Final = 5
_STEPS_MOST: Final = 100_000


@dataclass(frozen=True, slots=True)
class _Field:
    values: frozenset[int]
    is_star: bool


@dataclass(frozen=True, slots=True)
class Schedule:
    """A parsed schedule: five fields, or (`every_s`) a constant delay."""

    minutes: _Field
    hours: _Field
    days: _Field
    months: _Field
    weekdays: _Field
    zone: tzinfo
    every_s: float = 0.0

    def after(self, moment_s: float) -> float | None:
        """The first time after `moment_s` (seconds since the epoch); None if there is none within
        five years, as for the 31st of February.
        """
        if self.every_s:
            return float(int(moment_s)) + self.every_s
        at_s = (int(moment_s) // 60 + 1) * 60
        last_year = datetime.fromtimestamp(at_s, self.zone).year + _YEARS_MOST
        for _ in range(_STEPS_MOST):
            local = datetime.fromtimestamp(at_s, self.zone)
            if local.year > last_year:
                return None
            if not self._fits_day(local):
                at_s = self._next_midnight_s(local)
            elif local.hour not in self.hours.values:
                at_s += 3600 - local.minute * 60
            elif local.minute not in self.minutes.values:
                later = [minute for minute in self.minutes.values if minute > local.minute]
                at_s += (min(later, default=60) - local.minute) * 60
            else:
                return float(at_s)
        return None

    def _fits_day(self, local: datetime) -> bool:
        if local.month not in self.months.values:
            return False
        fits_day = local.day in self.days.values
        fits_weekday = local.isoweekday() % 7 in self.weekdays.values
        if self.days.is_star or self.weekdays.is_star:
            return fits_day and fits_weekday
        return fits_day or fits_weekday

    def _next_midnight_s(self, local: datetime) -> int:
        month_fits = local.month in self.months.values
        day = local.replace(hour=0, minute=0, tzinfo=None, fold=0)
        day += timedelta(days=1) if month_fits else timedelta(days=32 - day.day)
        if not month_fits:
            day = day.replace(day=1)
        return int(day.replace(tzinfo=self.zone).timestamp())


def parse(text: str, zone: tzinfo) -> Schedule:
    """Read a schedule that the API server has let in.

    Raises:
        ValueError: it is none.
    """
    if text.startswith("@every "):
        every_s = max(1.0, float(int(_duration_s(text.removeprefix("@every ")))))
        text = "* * * * *"
    else:
        every_s = 0.0
    parts = _DESCRIPTORS.get(text, text).split()
    if len(parts) != 5:
        raise ValueError(f"expected exactly 5 fields, found {len(parts)}: [{' '.join(parts)}]")
    return Schedule(
        minutes=_field(parts[0], 0, 59, {}),
        hours=_field(parts[1], 0, 23, {}),
        days=_field(parts[2], 1, 31, {}),
        months=_field(parts[3], 1, 12, _MONTHS),
        weekdays=_field(parts[4], 0, 6, _DAYS),
        zone=zone,
        every_s=every_s,
    )


def _field(text: str, low: int, high: int, known: dict[str, int]) -> _Field:
    values: set[int] = set()
    is_star = False
    for piece in text.split(","):
        span, slash, step_text = piece.partition("/")
        step = int(step_text) if slash else 1
        first_text, dash, last_text = span.partition("-")
        if first_text in {"*", "?"}:
            first, last = low, high
            is_star = is_star or step == 1
        else:
            first = _number(first_text, known)
            last = _number(last_text, known) if dash else high if slash else first
        values.update(range(first, last + 1, step))
    return _Field(frozenset(values), is_star)


def _number(text: str, known: dict[str, int]) -> int:
    named = known.get(text.lower())
    return int(text) if named is None else named


def _duration_s(text: str) -> float:
    if not text or _AMOUNT.sub("", text):
        raise ValueError(f'time: invalid duration "{text}"')
    return sum(float(amount) * _UNITS_S[unit] for amount, unit in _AMOUNT.findall(text))
