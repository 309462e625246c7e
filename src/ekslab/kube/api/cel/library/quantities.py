"""Quantities: apiserver `pkg/cel/library/quantity.go`."""

from typing import Any, Final

from ekslab.kube.api import quantity
from ekslab.kube.api.cel.failures import CelError
from ekslab.kube.api.cel.functions import member, plain, traversal
from ekslab.kube.api.cel.types import BOOL, DOUBLE, INT, QUANTITY, STRING
from ekslab.kube.api.cel.values import INT_LEAST, INT_MOST

_BILLION: Final = 1_000_000_000
_SMALL: Final = ("n", "u", "m")


class Amount:
    """A quantity as a value. `is_whole` is what upstream's AsInt64 goes by: it does not look
    through fractions, even if they make a whole number (`1.5Gi`).
    """

    __slots__ = ("is_whole", "quantity")
    type_name: Final = QUANTITY.name

    def __init__(self, amount: quantity.Quantity, *, is_whole: bool) -> None:
        self.quantity = amount
        self.is_whole = is_whole and INT_LEAST <= amount.nanos // _BILLION <= INT_MOST

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Amount) and self.quantity.nanos == other.quantity.nanos

    def __hash__(self) -> int:
        return hash(self.quantity.nanos)

    def __str__(self) -> str:
        return str(self.quantity)


def _parsed(text: str) -> Amount:
    try:
        amount = quantity.parse(text)
    except quantity.QuantityError as error:
        raise CelError(str(error)) from None
    return Amount(amount, is_whole="." not in text and not text.endswith(_SMALL))


def _is_quantity(text: str) -> bool:
    try:
        quantity.parse(text)
    except quantity.QuantityError:
        return False
    return True


def _integer(amount: Amount) -> int:
    if not amount.is_whole:
        raise CelError("cannot convert value to integer")
    return amount.quantity.nanos // _BILLION


def _summed(left: Amount, right: Any) -> Amount:
    other = quantity.of_value(right) if isinstance(right, int) else right.quantity
    total = left.quantity + other
    return Amount(total, is_whole=total.nanos % _BILLION == 0)


def _reduced(left: Amount, right: Any) -> Amount:
    other = quantity.of_value(right) if isinstance(right, int) else right.quantity
    total = left.quantity - other
    return Amount(total, is_whole=total.nanos % _BILLION == 0)


def _compared(left: Amount, right: Amount) -> int:
    one, two = left.quantity.nanos, right.quantity.nanos
    return (one > two) - (one < two)


def _sign(amount: Amount) -> int:
    return (amount.quantity.nanos > 0) - (amount.quantity.nanos < 0)


_TWO: Final = (QUANTITY, QUANTITY)
OVERLOADS: Final = [
    plain("quantity", (STRING,), QUANTITY, _parsed, traversal),
    plain("isQuantity", (STRING,), BOOL, _is_quantity, traversal),
    plain("sign", (QUANTITY,), INT, _sign),
    member("isGreaterThan", _TWO, BOOL, lambda a, b: _compared(a, b) > 0),
    member("isLessThan", _TWO, BOOL, lambda a, b: _compared(a, b) < 0),
    member("compareTo", _TWO, INT, _compared),
    member("asApproximateFloat", (QUANTITY,), DOUBLE, lambda a: a.quantity.nanos / _BILLION),
    member("asInteger", (QUANTITY,), INT, _integer),
    member("isInteger", (QUANTITY,), BOOL, lambda amount: amount.is_whole),
    member("add", _TWO, QUANTITY, _summed),
    member("add", (QUANTITY, INT), QUANTITY, _summed),
    member("sub", _TWO, QUANTITY, _reduced),
    member("sub", (QUANTITY, INT), QUANTITY, _reduced),
]
