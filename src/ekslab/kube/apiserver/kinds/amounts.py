"""Numbers that may be percentages: upstream's `ValidatePositiveIntOrPercent` and its kin."""

from typing import Any, Final

from ekslab.kube.api import names
from ekslab.kube.api.errors import Cause
from ekslab.kube.apiserver.kinds.field_errors import each_invalid, invalid, not_negative

_DIGITS_MOST: Final = 18


def validate_int_or_percent(amount: Any, path: str) -> list[Cause]:
    """A number that is not negative, or a percentage."""
    if isinstance(amount, str):
        return each_invalid(path, amount, names.is_percent(amount))
    return not_negative(path, amount)


def validate_at_most_all(amount: Any, path: str) -> list[Cause]:
    """Refuses percentages above 100."""
    if isinstance(amount, str) and not names.is_percent(amount) and _percent(amount) > 100:
        return [invalid(path, amount, "must not be greater than 100%")]
    return []


def is_zero(amount: Any) -> bool:
    """Whether it is `0` or `0%` (or nothing at all)."""
    if isinstance(amount, str):
        return not names.is_percent(amount) and _percent(amount) == 0
    return not amount


def _percent(amount: str) -> int:
    """The number before the `%`; 0 if it is none of 64 bits, as upstream's failed `Atoi`."""
    digits = amount[:-1].lstrip("0")
    return int(digits) if 0 < len(digits) <= _DIGITS_MOST else 0
