"""Lists as sets: cel-go `ext/sets.go`."""

from typing import Any, Final

from ekslab.kube.api.cel.functions import plain
from ekslab.kube.api.cel.types import BOOL, A, list_of
from ekslab.kube.api.cel.values import contains, size

_TWO: Final = (list_of(A), list_of(A))


def _contains(left: list[Any], right: list[Any]) -> bool:
    return all(contains(left, each) for each in right)


def _equivalent(left: list[Any], right: list[Any]) -> bool:
    return _contains(left, right) and _contains(right, left)


def _intersects(left: list[Any], right: list[Any]) -> bool:
    return any(contains(left, each) for each in right)


def _product(args: tuple[Any, ...], _result: Any) -> int:
    return 1 + size(args[0]) * size(args[1])


def _twice(args: tuple[Any, ...], _result: Any) -> int:
    return 1 + 2 * size(args[0]) * size(args[1])


OVERLOADS: Final = [
    plain("sets.contains", _TWO, BOOL, _contains, _product),
    plain("sets.equivalent", _TWO, BOOL, _equivalent, _twice),
    plain("sets.intersects", _TWO, BOOL, _intersects, _product),
]
