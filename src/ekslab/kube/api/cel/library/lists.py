"""Lists: Kubernetes' functions (apiserver `pkg/cel/library/lists.go`) and cel-go's, version 3
(`ext/lists.go`).
"""

from collections.abc import Callable, Mapping
from functools import cmp_to_key
from itertools import pairwise
from typing import Any, Final

from ekslab.kube.api.cel.failures import CelError, no_overload
from ekslab.kube.api.cel.functions import Overload, member, plain
from ekslab.kube.api.cel.types import (
    BOOL,
    BYTES,
    DOUBLE,
    DURATION,
    INT,
    STRING,
    TIMESTAMP,
    UINT,
    A,
    Type,
    list_of,
    optional_of,
)  # fmt: skip
from ekslab.kube.api.cel.values import (
    NONE,
    Duration,
    Optional,
    Uint,
    compare,
    contains,
    duration,
    equals,
    integer,
    size,
    unsigned,
)

_COMPARABLE: Final = (INT, UINT, DOUBLE, BOOL, DURATION, TIMESTAMP, STRING, BYTES)
_SUMMED: Final[tuple[tuple[Type, Any], ...]] = (
    (INT, 0),
    (UINT, Uint(0)),
    (DOUBLE, 0.0),
    (DURATION, Duration(0)),
)


def walked(args: tuple[Any, ...], _result: Any) -> int:
    """The cost of going through all of the first argument."""
    return _walk(args[0])


def _walk(value: Any) -> int:
    if isinstance(value, str):
        return len(value.encode()) // 10
    if isinstance(value, bytes):
        return len(value) // 10
    if isinstance(value, list):
        return sum(map(_walk, value))
    if isinstance(value, Mapping):
        return sum(_walk(key) + _walk(each) for key, each in value.items())
    return 1


def _is_sorted(values: list[Any]) -> bool:
    return all(compare(a, b) <= 0 for a, b in pairwise(values))


def _sum(zero: Any) -> Callable[[list[Any]], Any]:
    def run(values: list[Any]) -> Any:
        total = zero
        for each in values:
            if each.__class__ is not zero.__class__:
                raise no_overload()
            total = _added(total, each)
        return total

    return run


def _sum_of_any(values: list[Any]) -> Any:
    if not values:
        return 0
    zero = next((zero for _, zero in _SUMMED if zero.__class__ is values[0].__class__), None)
    if zero is None:
        raise no_overload()
    return _sum(zero)(values)


def _added(total: Any, each: Any) -> Any:
    if isinstance(each, Duration):
        return duration(total.nanoseconds + each.nanoseconds)
    if isinstance(each, Uint):
        return unsigned(int(total) + int(each))
    return integer(total + each) if isinstance(each, int) else total + each


def _extreme(name: str, sign: int) -> Callable[[list[Any]], Any]:
    def run(values: list[Any]) -> Any:
        if not values:
            raise CelError(f"{name} called on empty list")
        found = values[0]
        for each in values[1:]:
            if compare(each, found) * sign > 0:
                found = each
        return found

    return run


def _index(values: list[Any], wanted: Any) -> int:
    return next((at for at, each in enumerate(values) if equals(each, wanted)), -1)


def _last_index(values: list[Any], wanted: Any) -> int:
    found = (at for at in range(len(values) - 1, -1, -1) if equals(values[at], wanted))
    return next(found, -1)


def _slice(values: list[Any], start: int, end: int) -> list[Any]:
    if start < 0 or end < 0:
        raise CelError(f"cannot slice({start}, {end}), negative indexes not supported")
    if start > end:
        raise CelError(
            f"cannot slice({start}, {end}), start index must be less than or equal to end index"
        )
    if end > len(values):
        raise CelError(f"cannot slice({start}, {end}), list is length {len(values)}")
    return values[start:end]


def _flatten(values: list[Any], depth: int = 1) -> list[Any]:
    if depth < 0:
        raise CelError("level must be non-negative")
    flat: list[Any] = []
    for each in values:
        if isinstance(each, list) and depth > 0:
            flat.extend(_flatten(each, depth - 1))
        else:
            flat.append(each)
    return flat


def _distinct(values: list[Any]) -> list[Any]:
    found: list[Any] = []
    for each in values:
        if not contains(found, each):
            found.append(each)
    return found


def _sort(values: list[Any]) -> list[Any]:
    if len({each.__class__ for each in values}) > 1:
        raise CelError("list elements must have the same type")
    try:
        return sorted(values, key=cmp_to_key(compare))
    except CelError:
        raise CelError("list elements must be comparable") from None


def _range(count: int) -> list[int]:
    if count > 1_000_000:
        raise CelError("list is too long")  # its cost is over every limit
    return list(range(count))


def _end(at: int) -> Callable[[list[Any]], Optional]:
    return lambda values: Optional(values[at]) if values else NONE


def _made(_args: tuple[Any, ...], result: Any) -> int:
    return 11 + size(result)


def _quadratic(args: tuple[Any, ...], _result: Any) -> int:
    return 20 + size(args[0]) ** 2


def _templated(name: str, result: Type | None, run: Callable[[list[Any]], Any]) -> list[Overload]:
    return [member(name, (list_of(kind),), result or kind, run, walked) for kind in _COMPARABLE]


_ANY: Final = list_of(A)
OVERLOADS: Final = [
    *_templated("isSorted", BOOL, _is_sorted),
    *_templated("max", None, _extreme("max", 1)),
    *_templated("min", None, _extreme("min", -1)),
    *(
        member("sum", (list_of(kind),), kind, _sum_of_any if kind == INT else _sum(zero), walked)
        for kind, zero in _SUMMED
    ),
    member("indexOf", (_ANY, A), INT, _index, walked),
    member("lastIndexOf", (_ANY, A), INT, _last_index, walked),
    member("slice", (_ANY, INT, INT), _ANY, _slice, _made),
    member("flatten", (list_of(_ANY),), _ANY, _flatten, _made),
    member("flatten", (list_of(Type("dyn")), INT), list_of(Type("dyn")), _flatten, _made),
    member("distinct", (_ANY,), _ANY, _distinct, _quadratic),
    member("reverse", (_ANY,), _ANY, lambda values: values[::-1], _made),
    *(member("sort", (list_of(kind),), list_of(kind), _sort, _quadratic) for kind in _COMPARABLE),
    plain("lists.range", (INT,), list_of(INT), _range, _made),
    member("first", (_ANY,), optional_of(A), _end(0)),
    member("last", (_ANY,), optional_of(A), _end(-1)),
]
