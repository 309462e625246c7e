"""Quantities: `100m`, `1.5Gi`, `12e6`. Exact, in whole billionths.

Upstream: `resource.Quantity`, apimachinery `pkg/api/resource/quantity.go`. The rules that show:
- what is finer than 1e-9 is rounded away from zero;
- a value is written in its own format (decimal, binary or exponent) with the largest suffix that
  leaves a whole number: `1000m` -> `1`, `0.5Gi` -> `512Mi`, `1.5` -> `1500m`;
- a binary value that is no whole number, or under 1024, is written as a decimal one.
"""

import re
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import Final

_NANOS: Final = 10**9
_MILLIS_NANOS: Final = 10**6
_BINARY_MOST_NANOS: Final = (2**63 - 1) * _NANOS
_DECIMAL: Final = {
    "n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18,
}  # fmt: skip
_DECIMAL_SUFFIX: Final = {exponent: suffix for suffix, exponent in _DECIMAL.items()}
_BINARY: Final = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_BINARY_SUFFIX: Final = {exponent: suffix for suffix, exponent in _BINARY.items()}
_FORM: Final = re.compile(r"([+-]?)([0-9]*)(?:\.([0-9]*))?([eEinumkKMGTP]*[-+]?[0-9]*)", re.ASCII)
_EXPONENT: Final = re.compile(r"[eE][+-]?[0-9]+", re.ASCII)
_EXPONENT_MOST: Final = 1_000  # far beyond any use; keeps one number from filling memory
_LONGEST: Final = 2_048  # so do digits; upstream takes as many as a body has

FORMAT_WRONG: Final = (
    "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
)
SUFFIX_WRONG: Final = "unable to parse quantity's suffix"
NUMBER_WRONG: Final = "unable to parse numeric part of quantity"


class QuantityError(ValueError):
    """Text that is no quantity; the message is upstream's."""


class Format(Enum):
    """How a quantity is written: `12M`, `12Mi`, `12e6`."""

    DECIMAL = "DecimalSI"
    BINARY = "BinarySI"
    EXPONENT = "DecimalExponent"


@dataclass(frozen=True, slots=True)
class Quantity:
    """A parsed quantity: `nanos` billionths, to be written in `format`."""

    nanos: int
    format: Format = Format.DECIMAL

    def __str__(self) -> str:
        """The canonical text."""
        nanos = self.nanos
        if nanos == 0:
            return "0"
        if self.format is Format.BINARY and abs(nanos) >= 1024 * _NANOS and nanos % _NANOS == 0:
            return _binary_text(nanos // _NANOS)
        number, exponent = _decimal_parts(nanos)
        if self.format is not Format.EXPONENT and exponent in _DECIMAL_SUFFIX:
            return f"{number}{_DECIMAL_SUFFIX[exponent]}"
        return f"{number}e{exponent}" if exponent else str(number)

    def __add__(self, other: "Quantity") -> "Quantity":
        return Quantity(self.nanos + other.nanos, self._format_with(other))

    def __sub__(self, other: "Quantity") -> "Quantity":
        return Quantity(self.nanos - other.nanos, self._format_with(other))

    def __lt__(self, other: "Quantity") -> bool:
        return self.nanos < other.nanos

    def __le__(self, other: "Quantity") -> bool:
        return self.nanos <= other.nanos

    def _format_with(self, other: "Quantity") -> Format:
        """Upstream keeps the format of the left side, unless that is zero."""
        return self.format if self.nanos else other.format


ZERO: Final = Quantity(0)


@lru_cache(maxsize=16_384)
def parse(text: str) -> Quantity:
    """Parse a quantity.

    Raises:
        QuantityError: with upstream's words.
    """
    match = _FORM.fullmatch(text)
    if not text or match is None:
        raise QuantityError(FORMAT_WRONG)
    if len(text) > _LONGEST:
        raise QuantityError(NUMBER_WRONG)
    sign, whole, fraction, suffix = match.groups(default="")
    base, exponent, form = _suffix(suffix)
    digits = int(whole + fraction or "0")  # upstream takes "m" for 0m too
    up, down = digits * _NANOS, 10 ** len(fraction)
    if base == 2:
        up <<= exponent
    elif exponent >= 0:
        up *= 10**exponent
    else:
        down *= 10**-exponent
    nanos = -(-up // down)  # away from zero: the sign comes after
    if form is Format.BINARY:
        nanos = min(nanos, _BINARY_MOST_NANOS)
        if nanos < _NANOS:
            form = Format.DECIMAL
    return Quantity(-nanos if sign == "-" else nanos, form)


def _suffix(suffix: str) -> tuple[int, int, Format]:
    """`(base, exponent, format)` of a suffix."""
    if suffix in _DECIMAL:
        return 10, _DECIMAL[suffix], Format.DECIMAL
    if suffix in _BINARY:
        return 2, _BINARY[suffix], Format.BINARY
    if _EXPONENT.fullmatch(suffix):
        exponent = int(suffix[1:6]) if len(suffix) <= 6 else _EXPONENT_MOST + 1
        if abs(exponent) <= _EXPONENT_MOST:
            return 10, exponent, Format.EXPONENT
    raise QuantityError(SUFFIX_WRONG)


def _binary_text(number: int) -> str:
    exponent = 0
    while number % 1024 == 0 and exponent < 60:
        number //= 1024
        exponent += 10
    return f"{number}{_BINARY_SUFFIX.get(exponent, '')}"


def _decimal_parts(nanos: int) -> tuple[int, int]:
    """`(number, exponent)` with an exponent that is a multiple of 3, as large as it can be."""
    exponent = -9
    while nanos % 1000 == 0:
        nanos //= 1000
        exponent += 3
    return nanos, exponent


@lru_cache(maxsize=16_384)
def canonical(text: str) -> str:
    """The canonical text: `1000m` -> `1`.

    Raises:
        QuantityError: `text` is no quantity.
    """
    parsed = parse(text.strip(" \t\r\n"))
    if len(text) > _LONGEST:  # spaces
        raise QuantityError(NUMBER_WRONG)
    return str(parsed)


def of_value(number: int, form: Format = Format.DECIMAL) -> Quantity:
    """A quantity of whole units."""
    return Quantity(number * _NANOS, form)


def of_milli(number: int, form: Format = Format.DECIMAL) -> Quantity:
    """A quantity of thousandths."""
    return Quantity(number * _MILLIS_NANOS, form)


@lru_cache(maxsize=16_384)
def milli(text: str) -> int:
    """Thousandths, rounded up: `100m` -> 100, `1` -> 1000.

    Raises:
        QuantityError: `text` is no quantity.
    """
    return -(-parse(text).nanos // _MILLIS_NANOS)


@lru_cache(maxsize=16_384)
def value(text: str) -> int:
    """Whole units, rounded up: `1Ki` -> 1024, `100m` -> 1.

    Raises:
        QuantityError: `text` is no quantity.
    """
    return -(-parse(text).nanos // _NANOS)


def compare(left: str, right: str) -> int:
    """-1, 0 or 1, as `left` is less than, equal to or more than `right`."""
    difference = parse(left).nanos - parse(right).nanos
    return (difference > 0) - (difference < 0)


def add(left: str, right: str) -> str:
    """The canonical sum, in the format of `left` (of `right`, if `left` is zero)."""
    return str(parse(left) + parse(right))


def subtract(left: str, right: str) -> str:
    """The canonical difference, in the format of `left` (of `right`, if `left` is zero)."""
    return str(parse(left) - parse(right))
