"""Macros: calls that are syntax. Each becomes a node of its own.

Standard (cel-go `parser/macro.go`): has, all, exists, exists_one, map, filter. Of the libraries
that Kubernetes turns on (`ext/comprehensions.go`, `ext/lists.go`, `cel/library.go`): the forms with
two variables, transformList, transformMap, transformMapEntry, sortBy, optMap, optFlatMap.
"""

from collections.abc import Callable
from typing import Final

from ekslab.kube.api.cel.failures import Issue
from ekslab.kube.api.cel.syntax import (
    Call,
    Comprehension,
    Fold,
    Ident,
    Node,
    OptionalMap,
    Select,
)

_ACCUMULATORS: Final = frozenset({"__result__", "@result"})


class _Refused(Exception):  # noqa: N818 - it never leaves this module
    def __init__(self, node: Node, message: str) -> None:
        super().__init__(message)
        self.issue = Issue(node.position, message)


def expanded(call: Call, issues: list[Issue]) -> Node:
    """The node of a macro; the call itself if it is none, or a wrong one (then with an issue)."""
    expand = _MACROS.get((call.function, len(call.args), call.target is not None))
    if expand is None:
        return call
    try:
        return expand(call)
    except _Refused as refused:
        issues.append(refused.issue)
        return call


def _has(call: Call) -> Node:
    (selection,) = call.args
    if not isinstance(selection, Select) or selection.test:
        raise _Refused(selection, "invalid argument to has() macro")
    return Select(selection.operand, selection.field, test=True, position=selection.position)


def _names(call: Call, count: int, message: str = "argument must be a simple name") -> list[str]:
    names: list[str] = []
    for node in call.args[:count]:
        if not isinstance(node, Ident):
            raise _Refused(node, message)
        if node.name in _ACCUMULATORS:
            raise _Refused(node, "iteration variable overwrites accumulator variable")
        if node.name in names:
            raise _Refused(node, f"duplicate variable name: {node.name}")
        names.append(node.name)
    return names


def _range(call: Call) -> Node:
    assert call.target is not None
    return call.target


def _fold(fold: Fold, count: int) -> Callable[[Call], Node]:
    def expand(call: Call) -> Node:
        names = tuple(_names(call, count))
        condition = call.args[count] if len(call.args) == count + 2 else None
        return Comprehension(
            fold, _range(call), names, call.args[-1], condition, position=call.position
        )

    return expand


def _map(call: Call) -> Node:
    names = tuple(_names(call, 1, "argument is not an identifier"))
    condition = call.args[1] if len(call.args) == 3 else None
    return Comprehension(
        Fold.MAP, _range(call), names, call.args[-1], condition, position=call.position
    )


def _filter(call: Call) -> Node:
    names = tuple(_names(call, 1, "argument is not an identifier"))
    kept = Ident(names[0], position=call.args[0].position)
    return Comprehension(Fold.MAP, _range(call), names, kept, call.args[1], position=call.position)


def _optional(name: str, *, flat: bool) -> Callable[[Call], Node]:
    def expand(call: Call) -> Node:
        message = f"{name}() variable name must be a simple identifier"
        (variable,) = _names(call, 1, message)
        return OptionalMap(_range(call), variable, call.args[1], flat, position=call.position)

    return expand


def _sort_by(call: Call) -> Node:
    names = tuple(_names(call, 1))
    return Comprehension(Fold.SORT_BY, _range(call), names, call.args[1], position=call.position)


_MACROS: Final[dict[tuple[str, int, bool], Callable[[Call], Node]]] = {
    ("has", 1, False): _has,
    ("all", 2, True): _fold(Fold.ALL, 1),
    ("all", 3, True): _fold(Fold.ALL, 2),
    ("exists", 2, True): _fold(Fold.EXISTS, 1),
    ("exists", 3, True): _fold(Fold.EXISTS, 2),
    ("exists_one", 2, True): _fold(Fold.EXISTS_ONE, 1),
    ("existsOne", 2, True): _fold(Fold.EXISTS_ONE, 1),
    ("exists_one", 3, True): _fold(Fold.EXISTS_ONE, 2),
    ("existsOne", 3, True): _fold(Fold.EXISTS_ONE, 2),
    ("map", 2, True): _map,
    ("map", 3, True): _map,
    ("filter", 2, True): _filter,
    ("transformList", 3, True): _fold(Fold.MAP, 2),
    ("transformList", 4, True): _fold(Fold.MAP, 2),
    ("transformMap", 3, True): _fold(Fold.TRANSFORM_MAP, 2),
    ("transformMap", 4, True): _fold(Fold.TRANSFORM_MAP, 2),
    ("transformMapEntry", 3, True): _fold(Fold.TRANSFORM_ENTRY, 2),
    ("transformMapEntry", 4, True): _fold(Fold.TRANSFORM_ENTRY, 2),
    ("sortBy", 2, True): _sort_by,
    ("optMap", 2, True): _optional("optMap", flat=False),
    ("optFlatMap", 2, True): _optional("optFlatMap", flat=True),
}
