"""What an expression may cost at most, from the sizes that a schema allows.

A custom resource whose rules may cost too much is refused when it is defined, so these numbers are
part of the API: they follow cel-go `checker/cost.go` and apiserver `pkg/cel/library/cost.go`. Sizes
of what cannot be known are unbounded; sums stop at 2**64-1, as Go's saturating sums do.
"""

from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

from ekslab.kube.api.cel.library import prices
from ekslab.kube.api.cel.library.prices import FREE, ONE, UNKNOWN, Estimate, Priced, between, fixed
from ekslab.kube.api.cel.syntax import (
    Call,
    Comprehension,
    Fold,
    Ident,
    ListLiteral,
    Literal,
    MapLiteral,
    Node,
    OptionalMap,
    Select,
)
from ekslab.kube.api.cel.types import Shape, Type

_SCALARS: Final = frozenset(
    {
        "bool", "double", "int", "uint", "google.protobuf.Timestamp", "google.protobuf.Duration",
    }
)  # fmt: skip
_LIST: Final = fixed(10)
_MAP: Final = fixed(30)


class _Entries(NamedTuple):
    """Sizes of a container's keys and values, where they are known from a literal."""

    key: Estimate
    value: Estimate

    def union(self, other: "_Entries | None") -> "_Entries | None":
        if other is None:
            return None
        return _Entries(self.key.union(other.key), self.value.union(other.value))


@dataclass(slots=True)
class _Known:
    """What is known of a node: cost, size of its value, its place in the schema."""

    cost: Estimate
    size: Estimate | None = None
    shape: Shape | None = None
    entries: _Entries | None = None


@dataclass(slots=True)
class _Walk:
    root: Shape | None
    scopes: list[dict[str, _Known]] = field(default_factory=list)


def estimate(node: Node, root: Shape | None) -> Estimate:
    """The least and the most an evaluation of a checked tree costs. `root` is the shape of `self`
    (and `oldSelf`).
    """
    return _cost(node, _Walk(root)).cost


def _cost(node: Node, walk: _Walk) -> _Known:
    match node:
        case Literal():
            length = len(node.value) if isinstance(node.value, str | bytes) else 1
            return _Known(FREE, fixed(length))
        case Ident():
            return _ident(node, walk)
        case Select():
            return _select(node, walk)
        case Call():
            return _call(node, walk)
        case ListLiteral():
            parts = [_cost(each, walk) for each in node.elements]
            known = _Known(_total(parts).plus(_LIST), fixed(len(parts)))
            known.entries = _Entries(ONE, _union(parts))
            return known
        case MapLiteral():
            keys = [_cost(entry.key, walk) for entry in node.entries]
            values = [_cost(entry.value, walk) for entry in node.entries]
            known = _Known(_total(keys + values).plus(_MAP), fixed(len(keys)))
            known.entries = _Entries(_union(keys), _union(values))
            return known
        case Comprehension():
            return _comprehension(node, walk)
        case OptionalMap():
            return _optional_map(node, walk)
    raise AssertionError(node)


def _total(parts: list[_Known]) -> Estimate:
    total = FREE
    for part in parts:
        total = total.plus(part.cost)
    return total


def _union(parts: list[_Known]) -> Estimate:
    if not parts:
        return FREE
    union = parts[0].size or UNKNOWN
    for part in parts[1:]:
        union = union.union(part.size or UNKNOWN)
    return union


def _ident(node: Ident, walk: _Walk) -> _Known:
    for scope in reversed(walk.scopes):
        if node.name in scope:
            known = scope[node.name]
            size = _size_of(known.shape, node.type) or known.size
            return replace(known, cost=ONE, size=size)
    shape = walk.root  # whatever the name is, as upstream
    return _Known(ONE, _size_of(shape, node.type), shape)


def _size_of(shape: Shape | None, kind: Type | None) -> Estimate | None:
    if shape is not None:
        return between(0, shape.most)
    if kind is None:
        return None
    inner = kind.params[0] if kind.name == "optional_type" else kind
    return ONE if inner.name in _SCALARS else None


def _select(node: Select, walk: _Walk) -> _Known:
    operand = _cost(node.operand, walk)
    if node.test:
        return _Known(operand.cost, ONE)
    cost, kind = operand.cost, node.operand.type
    assert kind is not None
    if node.optional or kind.name == "map" or kind.shape is not None:
        cost = cost.plus(ONE)
    shape = operand.shape.fields.get(node.field) if operand.shape is not None else None
    return _Known(cost, _size_of(shape, node.type), shape)


def _call(node: Call, walk: _Walk) -> _Known:
    args = [_cost(arg, walk) for arg in node.args]
    if node.function == "dyn":
        return replace(args[0], cost=args[0].cost.plus(ONE))
    target = None if node.target is None else _cost(node.target, walk)
    if node.function in {"_&&_", "_||_"}:
        left, right = args[0].cost, args[1].cost
        return _Known(between(left.least, left.plus(right).most), ONE)
    if node.function == "_?_:_":
        return _conditional(args)
    own: Estimate | None = None
    size: Estimate | None = None
    for overload in node.overloads:
        priced = prices.price(overload, _argument(target, node.target), _arguments(args, node.args))
        own = priced.cost if own is None else own.union(priced.cost)
        if priced.size is not None:
            size = priced.size if size is None else size.union(priced.size)
    cost = _total(args).plus(target.cost if target else FREE).plus(own or FREE)
    known = _Known(cost, size)
    if node.function == "_[_]":
        _indexed(known, args[0], node.args[0].type)
    elif node.function == "_+_" and args[0].entries is not None:
        known.entries = args[0].entries.union(args[1].entries)
    if known.size is None:
        known.size = _size_of(known.shape, node.type)
    return known


def _argument(known: _Known | None, node: Node | None) -> Priced | None:
    if known is None or node is None:
        return None
    assert node.type is not None
    literal = node.value if isinstance(node, Literal) else None
    size = known.size if known.size is not None else UNKNOWN
    element = None
    if node.type.params:
        shape = known.shape.element if known.shape is not None else None
        element = between(0, shape.most) if shape is not None else None
    return Priced(size, node.type, literal, element)


def _arguments(known: list[_Known], nodes: list[Node]) -> list[Priced]:
    priced = (_argument(each, node) for each, node in zip(known, nodes, strict=True))
    return [each for each in priced if each is not None]


def _indexed(known: _Known, container: _Known, kind: Type | None) -> None:
    if container.entries is not None:
        known.size = container.entries.value
    if container.shape is not None and kind is not None:
        known.shape = container.shape.element
        known.size = _size_of(known.shape, None)


def _conditional(args: list[_Known]) -> _Known:
    condition, yes, no = args
    cost = condition.cost.plus(yes.cost.union(no.cost))
    size = (yes.size or UNKNOWN).union(no.size or UNKNOWN)
    entries = yes.entries.union(no.entries) if yes.entries is not None else None
    return _Known(cost, size, entries=entries)


def _comprehension(node: Comprehension, walk: _Walk) -> _Known:
    source = _cost(node.range, walk)
    walk.scopes.append(_variables(node, source))
    condition = FREE if node.condition is None else _cost(node.condition, walk).cost
    body = _cost(node.body, walk)
    walk.scopes.pop()
    count = source.size if source.size is not None else UNKNOWN
    # What cel-go expands the macros to: before each step, each step, and around them.
    empty, step, around = FREE, FREE, FREE
    match node.fold:
        case Fold.ALL:
            step, around = fixed(2).plus(between(1, ONE.plus(body.cost).most)), ONE
        case Fold.EXISTS:
            step, around = fixed(3).plus(between(1, ONE.plus(body.cost).most)), ONE
        case Fold.EXISTS_ONE:
            step, around = body.cost.plus(between(1, 2)), fixed(2)
        case Fold.MAP:
            made = body.cost.plus(fixed(12))
            step = made if node.condition is None else condition.plus(made.union(ONE))
            around, empty = fixed(11), count
        case Fold.SORT_BY:
            step, around, empty = body.cost.plus(fixed(14)), fixed(22), count
        case Fold.TRANSFORM_MAP | Fold.TRANSFORM_ENTRY:
            made = body.cost.plus(fixed(3 if node.fold is Fold.TRANSFORM_MAP else 2))
            step = made if node.condition is None else condition.plus(made.union(ONE))
            around, empty = fixed(31), count
    cost = source.cost.plus(count.times(step)).plus(around)
    known = _Known(cost, empty if empty is not FREE else ONE)
    if node.fold is Fold.MAP:
        known.entries = _Entries(ONE, body.size or UNKNOWN)
    return known


def _variables(node: Comprehension, source: _Known) -> dict[str, _Known]:
    assert node.range.type is not None
    shape, entries = source.shape, source.entries
    key = _Known(ONE, entries.key if entries else None, shape.key if shape else None)
    value = _Known(ONE, entries.value if entries else None, shape.element if shape else None)
    if len(node.names) == 2:
        return dict(zip(node.names, (key, value), strict=True))
    return {node.names[0]: value if node.range.type.name == "list" else key}


def _optional_map(node: OptionalMap, walk: _Walk) -> _Known:
    target = _cost(node.target, walk)
    walk.scopes.append({node.name: _Known(ONE, target.size, target.shape)})
    body = _cost(node.body, walk)
    walk.scopes.pop()
    taken = target.cost.plus(fixed(11)).plus(body.cost)
    if not node.flat:
        taken = taken.plus(ONE)
    return _Known(target.cost.plus(ONE).plus(taken.union(ONE)), body.size)


__all__ = ["Estimate", "estimate"]
