"""Estimated prices of functions, from the sizes of their arguments.

A table by function of what apiserver's `pkg/cel/library/cost.go` and cel-go's `checker/cost.go`
charge. They are part of the API: a definition is refused by them. Whatever is not here costs 1.
"""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from ekslab.kube.api.cel.functions import Overload
from ekslab.kube.api.cel.types import Type

MOST: Final = 2**64 - 1


class Estimate(NamedTuple):
    """The least and the most of something: a cost, a size."""

    least: int
    most: int

    def plus(self, other: "Estimate") -> "Estimate":
        """The sum."""
        return Estimate(min(self.least + other.least, MOST), min(self.most + other.most, MOST))

    def times(self, other: "Estimate") -> "Estimate":
        """The product."""
        return Estimate(min(self.least * other.least, MOST), min(self.most * other.most, MOST))

    def union(self, other: "Estimate") -> "Estimate":
        """Whichever of the two it is."""
        return Estimate(min(self.least, other.least), max(self.most, other.most))

    def part(self, numerator: int, denominator: int) -> "Estimate":
        """A fraction, rounded up. Huge numbers become Go's float64 first."""
        return Estimate(
            _part(self.least, numerator, denominator), _part(self.most, numerator, denominator)
        )


def _part(number: int, numerator: int, denominator: int) -> int:
    if number >= 2**53:
        return min(int(float(number) * (numerator / denominator)), MOST)
    return -(-number * numerator // denominator)


def fixed(amount: int) -> Estimate:
    """An amount that is known."""
    return Estimate(amount, amount)


def between(least: int, most: int) -> Estimate:
    """A range."""
    return Estimate(least, most)


FREE: Final = fixed(0)
ONE: Final = fixed(1)
UNKNOWN: Final = Estimate(0, MOST)
_ADDRESS: Final = Estimate(4, 16)  # bytes of an IP address
_AUTHORIZATION: Final = fixed(350_000)  # two per expression, then the limit is reached


class Priced(NamedTuple):
    """An argument: the size of its value, its type, its value if it is a literal, and the size of
    its elements, if the schema says it.
    """

    size: Estimate
    type: Type
    literal: Any = None
    element: Estimate | None = None


class Price(NamedTuple):
    """What a call costs and how large its result is; None if nothing is known of that."""

    cost: Estimate
    size: Estimate | None = None


Pricing = Callable[[Overload, "Priced | None", "list[Priced]"], Price]


def price(overload: Overload, target: Priced | None, args: list[Priced]) -> Price:
    """The price of a call of this overload."""
    found = _PRICES.get(overload.function)
    return Price(ONE) if found is None else found(overload, target, args)


def _tenth(size: Estimate) -> Estimate:
    return size.part(1, 10)


def _first(target: Priced | None, args: list[Priced]) -> Priced:
    return target if target is not None else args[0]


def _of_argument(_overload: Overload, _target: Priced | None, args: list[Priced]) -> Price:
    return Price(_tenth(args[0].size))


def _of_text(_overload: Overload, target: Priced | None, args: list[Priced]) -> Price:
    size = _first(target, args).size
    return Price(_tenth(size), size)


def _elements(_overload: Overload, target: Priced | None, args: list[Priced]) -> Price:
    of = _first(target, args)
    if not of.type.params:
        return Price(_tenth(of.size))
    each = ONE
    if of.type.params[0].name in {"string", "bytes"}:
        each = each.plus(_tenth(of.element or UNKNOWN))
    return Price(of.size.times(each))


def _split(_overload: Overload, target: Priced | None, args: list[Priced]) -> Price:
    size = _first(target, args).size
    most = size.most
    if len(args) > 1 and isinstance(args[1].literal, int):
        most = args[1].literal % 2**64
    return Price(size.part(1, 5), between(0, most))


def _replace(_overload: Overload, target: Priced | None, args: list[Priced]) -> Price:
    size, old, new = _first(target, args).size, args[0].size, args[1].size
    most_count, most_kept = _replaced(size.most, old.least, longer=new.most > old.least)
    least_count, least_kept = _replaced(size.least, old.most, longer=new.least < old.most)
    made = Estimate(least_count, most_count).times(new)
    return Price(size.part(1, 5), made.plus(Estimate(least_kept, most_kept)))


def _replaced(size: int, old: int, *, longer: bool) -> tuple[int, int]:
    """How often a text is replaced, and how much of the original stays, at one end of the range."""
    if old == 0:
        return min(size + 1, MOST), size
    if not longer:
        return 0, size
    return -(-size // old), 0


def _join(_overload: Overload, target: Priced | None, args: list[Priced]) -> Price:
    of = _first(target, args)
    size = of.size.times(of.element or UNKNOWN)
    if args:
        gaps = Estimate(max(of.size.least - 1, 0), max(of.size.most - 1, 0))
        size = size.plus(args[0].size.times(gaps))
    return Price(_tenth(size), size)


def _pattern(_overload: Overload, target: Priced | None, args: list[Priced]) -> Price:
    text = _first(target, args).size
    cost = _tenth(text.plus(ONE)).times(args[-1 if target is None else 0].size.part(1, 4))
    return Price(cost)


def _found(overload: Overload, target: Priced | None, args: list[Priced]) -> Price:
    text = _first(target, args).size
    return Price(_pattern(overload, target, args).cost, between(0, text.most))


def _contains(_overload: Overload, target: Priced | None, args: list[Priced]) -> Price:
    return Price(_tenth(_first(target, args).size).times(_tenth(args[0].size)))


def _inside(overload: Overload, _target: Priced | None, args: list[Priced]) -> Price:
    return Price(args[1].size if overload.params[1].name == "list" else ONE)


def _added(overload: Overload, _target: Priced | None, args: list[Priced]) -> Price:
    if overload.params[0].name not in {"string", "bytes", "list"}:
        return Price(ONE)
    size = args[0].size.plus(args[1].size)
    return Price(ONE if overload.params[0].name == "list" else _tenth(size), size)


_CHEAP: Final = frozenset(
    {
        "net.IP", "net.CIDR", "kubernetes.Quantity", "kubernetes.Semver",
        "kubernetes.authorization.Authorizer", "kubernetes.authorization.PathCheck",
        "kubernetes.authorization.GroupCheck", "kubernetes.authorization.ResourceCheck",
        "kubernetes.authorization.Decision",
    }
)  # fmt: skip


def _compared(overload: Overload, _target: Priced | None, args: list[Priced]) -> Price:
    left, right = args
    equality = overload.function in {"_==_", "_!=_"}
    if (
        equality
        and overload.function == "_==_"
        and left.type.name in _CHEAP
        and left.type == right.type
    ):
        return Price(ONE)
    if not equality and overload.params[0].name not in {"string", "bytes"}:
        return Price(ONE)
    most = min(left.size.most, right.size.most)
    return Price(_tenth(between(1 if most > 0 else 0, most)))


def _quoted(_overload: Overload, _target: Priced | None, args: list[Priced]) -> Price:
    size = args[0].size
    return Price(_tenth(size), Estimate(size.least + 2, min(size.most * 2 + 2, MOST)))


def _bytes(overload: Overload, _target: Priced | None, args: list[Priced]) -> Price:
    size = args[0].size
    if overload.params[0].name != "string":
        return Price(ONE)
    return Price(_tenth(size), Estimate(size.least, min(size.most * 4, MOST)))


def _string(overload: Overload, _target: Priced | None, args: list[Priced]) -> Price:
    size = args[0].size
    if overload.params[0].name != "bytes":
        return Price(ONE)
    return Price(_tenth(size), Estimate(size.least // 4, size.most))


def _within(overload: Overload, _target: Priced | None, args: list[Priced]) -> Price:
    cost = _tenth(_ADDRESS.plus(_ADDRESS))
    if overload.function == "containsCIDR":
        cost = cost.plus(_tenth(_ADDRESS)).plus(ONE)
    if overload.params[1].name == "string":
        cost = cost.plus(_tenth(args[0].size))
    return Price(cost)


def _address(overload: Overload, target: Priced | None, args: list[Priced]) -> Price:
    return Price(ONE) if target is not None else _of_argument(overload, target, args)


def _validated(_overload: Overload, _target: Priced | None, args: list[Priced]) -> Price:
    return Price(_tenth(args[0].size).part(128, 4))


def _selector(_overload: Overload, _target: Priced | None, args: list[Priced]) -> Price:
    size = args[0].size
    return Price(fixed(10).plus(_tenth(size)).plus(size.part(1, 2).part(50, 1)))


def _sets(_overload: Overload, _target: Priced | None, args: list[Priced]) -> Price:
    return Price(args[0].size.times(args[1].size).plus(ONE))


def _equivalent(_overload: Overload, _target: Priced | None, args: list[Priced]) -> Price:
    return Price(args[0].size.times(args[1].size).times(fixed(2)).plus(ONE))


def _listed(_overload: Overload, target: Priced | None, args: list[Priced]) -> Price:
    size = _first(target, args).size
    return Price(fixed(11).plus(size), size)


def _sliced(_overload: Overload, target: Priced | None, args: list[Priced]) -> Price:
    size = _first(target, args).size
    start, end = (arg.literal for arg in args)
    if isinstance(start, int) and isinstance(end, int) and 0 <= start <= end:
        size = fixed(end - start)
    return Price(fixed(11).plus(size), size)


def _ranged(_overload: Overload, _target: Priced | None, args: list[Priced]) -> Price:
    count = args[0].literal
    size = fixed(max(count, 0)) if isinstance(count, int) else UNKNOWN
    return Price(fixed(11).plus(size), size)


def _sorted(_overload: Overload, target: Priced | None, args: list[Priced]) -> Price:
    size = _first(target, args).size
    return Price(fixed(20).plus(size.times(size)), size)


def _fixed(cost: Estimate) -> Pricing:
    return lambda _overload, _target, _args: Price(cost)


def _double(_overload: Overload, _target: Priced | None, args: list[Priced]) -> Price:
    return Price(args[0].size.part(1, 5))


_PRICES: Final[dict[str, Pricing]] = {
    "check": _fixed(_AUTHORIZATION),
    "fieldSelector": _selector,
    "labelSelector": _selector,
    **dict.fromkeys(("isSorted", "sum", "max", "min", "indexOf", "lastIndexOf"), _elements),
    **dict.fromkeys(("url", "lowerAscii", "upperAscii", "substring", "trim"), _of_text),
    **dict.fromkeys(("_<_", "_<=_", "_>_", "_>=_", "_==_", "_!=_"), _compared),
    **dict.fromkeys(("quantity", "isQuantity", "semver", "isSemver"), _of_argument),
    **dict.fromkeys(("cidr", "isIP", "isCIDR", "startsWith", "endsWith"), _of_argument),
    "format": lambda _overload, target, args: Price(_tenth(_first(target, args).size)),
    "ip": _address,
    "ip.isCanonical": _double,
    "split": _split,
    "replace": _replace,
    "join": _join,
    "find": _found,
    "findAll": _found,
    "matches": _pattern,
    "contains": _contains,
    "containsIP": _within,
    "containsCIDR": _within,
    "validate": _validated,
    "strings.quote": _quoted,
    "bytes": _bytes,
    "string": _string,
    "@in": _inside,
    "_+_": _added,
    "sets.contains": _sets,
    "sets.intersects": _sets,
    "sets.equivalent": _equivalent,
    **dict.fromkeys(("flatten", "reverse"), _listed),
    "slice": _sliced,
    "lists.range": _ranged,
    **dict.fromkeys(("sort", "distinct"), _sorted),
}
