"""What an object holds, and what a change touched, as sets of field paths.

How deep a value is looked into is its schema's to say: objects and maps that are not atomic by
field, keyed lists by key, sets by value; everything else is one leaf. Values without a schema
(raw extensions, unknown fields) are looked into as upstream's `deduced` type: maps by field, lists
as leaves. Imitates structured-merge-diff `typed/toset.go` and `typed/compare.go`.
"""

from dataclasses import dataclass
from typing import Any, Final

from ekslab.kube.api.ownership.fieldset import LEAF, FieldSet, Tree, node
from ekslab.kube.api.ownership.whole import (
    ABSENT,
    child_schema,
    created,
    declared_fields,
    elements_of,
    is_granular,
    ownable,
    undeclared,
    whole,
)
from ekslab.kube.api.requests import Object
from ekslab.kube.api.schema.model import Schema

_Nodes = tuple[Tree | None, Tree | None]
_SAME: Final[_Nodes] = (None, None)
_NO_FIELDS: Final = FieldSet()
_CONTAINERS: Final = frozenset({dict, list})
_SCALARS: Final = frozenset({str, int, float, bool, type(None)})


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a change did: paths added or given another value, and paths removed."""

    taken: FieldSet
    removed: FieldSet


def of(obj: Object, schema: Schema) -> FieldSet:
    """The paths an applied configuration claims: leaves, list elements, keys of maps; a field
    that only holds other fields is not claimed itself.
    """
    return FieldSet.canonical(_without_meta(_claimed(ownable(obj), schema) or {}))


def compare(old: Object | None, new: Object, schema: Schema) -> Comparison:
    """What changed from `old` (None: it was not there) to `new`."""
    if old is None:
        return Comparison(FieldSet(created(new, schema)), _NO_FIELDS)
    taken, removed = _changed(ownable(old), ownable(new), schema)
    return Comparison(
        FieldSet(_without_meta(taken)) if taken else _NO_FIELDS,
        FieldSet(_without_meta(removed)) if removed else _NO_FIELDS,
    )


def is_struct_field(schema: Schema | None, key: str) -> bool:
    """Whether `key` is a declared field, not a key of a map."""
    return schema is not None and key in schema.fields


def _without_meta(tree: Tree) -> Tree:
    """`.metadata` itself is nobody's."""
    meta = tree.get("f:metadata")
    if meta is None or (meta and "." not in meta):
        return tree
    rest = {key: child for key, child in meta.items() if key != "."}
    if rest:
        return {key: rest if key == "f:metadata" else child for key, child in tree.items()}
    return {key: child for key, child in tree.items() if key != "f:metadata"}


def _claimed(value: Any, schema: Schema | None) -> Tree | None:
    """The node of a value that is applied; a leaf is a member of the set."""
    if not is_granular(schema, value):
        return {}
    if isinstance(value, list):
        assert schema is not None
        children = {}
        for element, item in elements_of(schema, value).items():
            below = _claimed(item, schema.element)
            members = node(below or {}, member=True)
            assert members is not None
            children[element] = members
        return node(children, member=False)
    fields: dict[str, Tree] = {}
    for key, each in (value or {}).items():
        below = _claimed(each, child_schema(schema, key))
        member = each is None or each == {} or not is_struct_field(schema, key)
        found = below if below is not None and not below else node(below or {}, member=member)
        if found is not None:
            fields[f"f:{key}"] = found
    return node(fields, member=False)


def _changed(old: Any, new: Any, schema: Schema | None) -> _Nodes:
    """The nodes of what is added or modified, and of what is removed, below this value."""
    return _SAME if old is new or old == new else _differing(old, new, schema)


def _differing(old: Any, new: Any, schema: Schema | None) -> _Nodes:
    """The same of two values that are known to differ."""
    shown = old if new is None else new
    if not is_granular(schema, shown) or not (_filled(old) or _filled(new)):
        # A leaf; two empty containers are one as well, to tell empty from null.
        return LEAF, None
    if shown.__class__ is dict:
        return _changed_fields(old if _filled(old) else {}, new if _filled(new) else {}, schema)
    assert schema is not None
    return _changed_elements(old if _filled(old) else [], new if _filled(new) else [], schema)


def _changed_fields(old: Object, new: Object, schema: Schema | None) -> _Nodes:
    """The hot loop of every write: what has not changed must cost next to nothing."""
    declared = declared_fields(schema)
    taken: dict[str, Tree] = {}
    removed: dict[str, Tree] = {}
    for key, value in new.items():
        before = old.get(key, ABSENT)
        if before is value:
            continue
        field = declared.get(key) or undeclared(key, schema)
        if before is ABSENT:
            before = field.zero
        if before is ABSENT:
            leaf = field.is_leaf or value.__class__ in _SCALARS
            taken[field.element] = LEAF if leaf else whole(value, field.schema)
        elif before != value:
            if field.is_leaf:
                taken[field.element] = LEAF
            else:
                _note(field.element, _differing(before, value, field.schema), taken, removed)
    for key, value in old.items():
        if key not in new:
            field = declared.get(key) or undeclared(key, schema)
            if field.zero is ABSENT:
                removed[field.element] = whole(value, field.schema)
            else:
                _note(field.element, _changed(value, field.zero, field.schema), taken, removed)
    return _sorted(taken), _sorted(removed)


def _changed_elements(old: list[Any], new: list[Any], schema: Schema) -> _Nodes:
    before, after = elements_of(schema, old), elements_of(schema, new)
    taken: dict[str, Tree] = {}
    removed: dict[str, Tree] = {}
    for element, item in after.items():
        was = before.get(element, ABSENT)
        if was is item:
            continue
        if was is not ABSENT:
            _note(element, _changed(was, item, schema.element), taken, removed)
        else:
            taken[element] = whole(item, schema.element)
    for element, item in before.items():
        if element not in after:
            removed[element] = whole(item, schema.element)
    return _sorted(taken), _sorted(removed)


def _sorted(tree: dict[str, Tree]) -> Tree | None:
    """The children in canonical order; None if there are none."""
    if len(tree) > 1:
        return dict(sorted(tree.items()))
    return tree or None


def _note(element: str, changed: _Nodes, taken: dict[str, Tree], removed: dict[str, Tree]) -> None:
    if changed[0] is not None:
        taken[element] = changed[0]
    if changed[1] is not None:
        removed[element] = changed[1]


def _filled(value: Any) -> bool:
    return bool(value) and value.__class__ in _CONTAINERS
