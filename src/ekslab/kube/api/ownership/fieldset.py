"""Sets of field paths, kept in the form in which managedFields shows them (`FieldsV1`).

A set is a tree of dicts. A key is a path element: `f:name` a field, `k:{"name":"web"}` an element
of a keyed list, `v:"x"` an element of a set, `i:0` an index. What hangs below a key says whether
the path to it belongs to the set, only paths below it do, or both:

    {}                          the path itself
    {"f:a": {}}                 only `.a` below it
    {".": {}, "f:a": {}}        both

As a worked example, `{.metadata.labels, .metadata.labels.app, .spec.replicas}` is

    {"f:metadata": {"f:labels": {".": {}, "f:app": {}}}, "f:spec": {"f:replicas": {}}}

Trees are shared between sets and never changed: an operation gives back the very tree it was
given where it changes nothing, and very subtrees, so that what a write leaves alone is neither
copied nor compared again. Trees that are stored are *canonical* (sorted, `.` only beside other
members), and operations on canonical trees give canonical ones. Imitates structured-merge-diff
`fieldpath`.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import orjson

Tree = Mapping[str, "Tree"]
"""A node of a set: see the module's text."""

SELF: Final = "."
LEAF: Final[Tree] = {}
_ONLY_SELF: Final = {SELF}
_PREFIXES: Final = frozenset({"f:", "k:", "v:", "i:"})


class BadFieldsError(ValueError):
    """This is no `fieldsV1`."""


class FieldSet:
    """A set of field paths."""

    __slots__ = ("tree",)

    def __init__(self, tree: Tree = LEAF) -> None:
        self.tree = tree

    @classmethod
    def canonical(cls, tree: Tree) -> "FieldSet":
        """The set of a tree that was put together in any order."""
        return cls(_formatted(tree))

    @classmethod
    def parse(cls, fields_v1: object) -> "FieldSet":
        """The set that `fieldsV1` of a managedFields entry describes.

        Raises:
            BadFieldsError: it describes none.
        """
        return cls(_parsed(fields_v1))

    def format(self) -> dict[str, Any]:
        """The canonical `fieldsV1`: sorted, `.` only beside other members."""
        return _formatted(self.tree)

    def union(self, other: "FieldSet") -> "FieldSet":
        """Paths of either."""
        if not self.tree or not other.tree:
            return self if self.tree else other
        tree = _union(self.tree, other.tree)
        return self if tree is self.tree else FieldSet(tree)

    def difference(self, other: "FieldSet") -> "FieldSet":
        """Paths of this set that are not in the other."""
        if not self.tree or not other.tree:
            return self
        tree = _difference(self.tree, other.tree)
        return self if tree is self.tree else FieldSet(tree or LEAF)

    def intersection(self, other: "FieldSet") -> "FieldSet":
        """Paths of both."""
        if not self.tree or not other.tree:
            return FieldSet()
        return FieldSet(_intersection(self.tree, other.tree) or LEAF)

    def paths(self) -> Iterator[str]:
        """All paths in order, as messages write them: `.spec.containers[name="web"].image`."""
        return _paths(self.tree, "")

    def __bool__(self) -> bool:
        return bool(self.tree)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FieldSet) and self.tree == other.tree

    def __hash__(self) -> int:
        return hash(tuple(self.paths()))

    def __repr__(self) -> str:
        return f"FieldSet({', '.join(self.paths())})"


def is_member(node: Tree) -> bool:
    """Whether the path to this node is itself in the set."""
    return not node or SELF in node


def node(children: Mapping[str, Tree], *, member: bool) -> Tree | None:
    """A node with these children; None if there is nothing in it."""
    if not children:
        return LEAF if member else None
    return {SELF: LEAF, **children} if member else children


def key_element(keys: Mapping[str, Any]) -> str:
    """The path element of a keyed list's element."""
    return "k:" + orjson.dumps(keys, option=orjson.OPT_SORT_KEYS).decode()


def value_element(value: Any) -> str:
    """The path element of a set's element."""
    return "v:" + orjson.dumps(value).decode()


def _parsed(raw: object) -> Tree:
    if not isinstance(raw, dict):
        raise BadFieldsError(f"{raw!r} is no set of fields")
    if not raw:
        return LEAF
    if len(raw) == 1 and SELF in raw:
        return LEAF
    changed = False
    for key, child in raw.items():
        if key != SELF and key[:2] not in _PREFIXES:
            raise BadFieldsError(f"{key!r} is no element of a path")
        if child:
            changed = changed or _parsed(child) is not child
    # Stored sets are canonical, hence shared; only a lonely "." has to be taken out.
    return {key: _parsed(child) for key, child in raw.items()} if changed else raw


def _formatted(tree: Tree) -> dict[str, Any]:
    return {key: _formatted(tree[key]) if tree[key] else {} for key in sorted(tree)}


def _union(left: Tree, right: Tree) -> Tree:
    """`left` itself, if it has all of `right`."""
    if left is right or not (left or right):
        return left
    if not left:
        return right if SELF in right else {SELF: LEAF, **right}
    if not right:
        return left if SELF in left else {SELF: LEAF, **left}
    merged: dict[str, Tree] | None = None
    grown = False
    for key, child in right.items():
        mine = left.get(key)
        both = child if mine is None else _union(mine, child)
        if both is mine:
            continue
        if merged is None:
            merged = dict(left)
        merged[key] = both
        grown = grown or mine is None
    if merged is None:
        return left
    return dict(sorted(merged.items())) if grown else merged


def _difference(left: Tree, right: Tree) -> Tree | None:
    """`left` itself, if it has nothing of `right`; None if nothing is left."""
    if left is right:
        return None
    rest: dict[str, Tree] | None = None
    for key, other in right.items():
        child = left.get(key)
        if key == SELF or child is None:
            continue
        remaining = _difference(child, other)
        if remaining is child:
            continue
        if rest is None:
            rest = dict(left)
        if remaining is None:
            del rest[key]
        else:
            rest[key] = remaining
    if is_member(left) and is_member(right):
        # The path itself goes; what hangs below it stays.
        rest = dict(left) if rest is None else rest
        rest.pop(SELF, None)
        return rest or None
    if rest is None:
        return left
    if not rest:
        return None  # it was no member, and all below it is gone
    return LEAF if rest.keys() == _ONLY_SELF else rest


def _intersection(left: Tree, right: Tree) -> Tree | None:
    if left is right or left == right:
        return left
    children: dict[str, Tree] = {}
    for key, child in left.items():
        other = right.get(key)
        if key != SELF and other is not None:
            both = _intersection(child, other)
            if both is not None:
                children[key] = both
    return node(children, member=is_member(left) and is_member(right))


def _paths(tree: Tree, prefix: str) -> Iterator[str]:
    for key in sorted(tree):
        if key == SELF:
            continue
        path = prefix + _text(key)
        if is_member(tree[key]):
            yield path
        yield from _paths(tree[key], path)


def _text(element: str) -> str:
    kind, value = element[:2], element[2:]
    if kind == "f:":
        return f".{value}"
    if kind == "k:":
        pairs = (
            f"{name}={orjson.dumps(key).decode()}" for name, key in orjson.loads(value).items()
        )
        return f"[{','.join(pairs)}]"
    return f"[={value}]" if kind == "v:" else f"[{value}]"
