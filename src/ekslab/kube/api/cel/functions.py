"""Functions: what is declared of them, what they do, what they cost.

A library is a module with a list of `Overload`s. An overload's implementation takes values of
exactly its parameter types: the evaluator sees to that, at compile time where types are known and
at run time where they are `dyn`. Upstream: cel-go `common/decls`, `ext`; apiserver
`pkg/cel/library`.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ekslab.kube.api.cel.types import Type
from ekslab.kube.api.cel.values import (
    Duration,
    Optional,
    Timestamp,
    TypeValue,
    Uint,
    size,
    tenth,
)

Implementation = Callable[..., Any]
Cost = Callable[[tuple[Any, ...], Any], int]
"""The cost of one call: of arguments and result."""


@dataclass(frozen=True, slots=True, eq=False)
class Overload:
    """One form of a function.

    Attributes:
        function: the name it is called by; qualified (`optional.of`) or not.
        params: types of the parameters; of a member, the first is the target.
        result: the result's type.
        run: what it does.
        member: whether it is called as `target.function()`.
        cost: what a call costs; 1 where it is None.
    """

    function: str
    params: tuple[Type, ...]
    result: Type
    run: Implementation
    member: bool = False
    cost: Cost | None = None


def member(
    function: str,
    params: Iterable[Type],
    result: Type,
    run: Implementation,
    cost: Cost | None = None,
) -> Overload:
    """A function called on its first parameter."""
    return Overload(function, tuple(params), result, run, member=True, cost=cost)


def plain(
    function: str,
    params: Iterable[Type],
    result: Type,
    run: Implementation,
    cost: Cost | None = None,
) -> Overload:
    """A function called by its name alone."""
    return Overload(function, tuple(params), result, run, cost=cost)


def by_name(*libraries: Iterable[Overload]) -> Mapping[str, list[Overload]]:
    """All overloads of some libraries, by function."""
    found: dict[str, list[Overload]] = {}
    for library in libraries:
        for overload in library:
            found.setdefault(overload.function, []).append(overload)
    return found


_CLASSES: Final[Mapping[str, type]] = {
    "bool": bool,
    "int": int,
    "uint": Uint,
    "double": float,
    "string": str,
    "bytes": bytes,
    "null": type(None),
    "google.protobuf.Timestamp": Timestamp,
    "google.protobuf.Duration": Duration,
    "type": TypeValue,
    "optional_type": Optional,
}


def test_of(kind: Type) -> Callable[[Any], bool] | None:
    """A test of whether a value has that type; None if every value does."""
    if kind.is_variable or kind.name == "dyn":
        return None
    if kind.name == "list":
        return lambda value: isinstance(value, list)
    if kind.name == "map" or kind.shape is not None:
        return lambda value: isinstance(value, Mapping)
    wanted = _CLASSES.get(kind.name)
    if wanted is not None:
        return lambda value: value.__class__ is wanted
    return lambda value: getattr(value, "type_name", "") == kind.name


def traversal(args: tuple[Any, ...], _result: Any) -> int:
    """The cost of going through the first argument's characters."""
    return tenth(size(args[0]))


def double_traversal(args: tuple[Any, ...], _result: Any) -> int:
    """The cost of going through the first argument and making something of its size."""
    return -(-size(args[0]) // 5)


def matching(args: tuple[Any, ...], _result: Any) -> int:
    """The cost of a regular expression (second argument) on a text (first)."""
    return tenth(size(args[0]) + 1) * -(-size(args[1]) // 4)


def free(_args: tuple[Any, ...], _result: Any) -> int:
    """No cost."""
    return 0
