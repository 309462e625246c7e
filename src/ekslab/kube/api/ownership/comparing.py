"""What an object holds, and what a change touched, as sets of field paths.

How deep a value is looked into is its schema's to say: objects and maps that are not atomic by
field, keyed lists by key, sets by value; everything else is one leaf. Values without a schema
(raw extensions, unknown fields) are looked into as upstream's `deduced` type: maps by field, lists
as leaves. Imitates structured-merge-diff `typed/toset.go` and `typed/compare.go`.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, NamedTuple

from ekslab.kube.api.ownership.fieldset import (
    LEAF,
    SELF,
    FieldSet,
    Tree,
    key_element,
    node,
    value_element,
)
from ekslab.kube.api.requests import Object
from ekslab.kube.api.schema.model import Kind, ListType, Presence, Schema

_ABSENT: Final = object()
"""Stands for a field that is not there; null is there."""

_UNOWNED_METADATA: Final = frozenset(
    {
        "name", "namespace", "creationTimestamp", "selfLink", "uid", "clusterName", "generation",
        "managedFields", "resourceVersion",
    }
)  # fmt: skip
_UNDECLARED: Final[dict[str, "_Field"]] = {}
_Nodes = tuple[Tree | None, Tree | None]
_SAME: Final[_Nodes] = (None, None)
_NO_FIELDS: Final = FieldSet()
_CONTAINERS: Final = frozenset({dict, list})
_SCALARS: Final = frozenset({str, int, float, bool, type(None)})
_ZEROS: Final = {Kind.STRING: "", Kind.INTEGER: 0, Kind.NUMBER: 0, Kind.BOOLEAN: False}


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
    """What changed from `old` to `new`. An object that was not there is compared with the zero
    value of its Go type, in which fields without `omitempty` exist already.
    """
    before = _ownable_zero(schema) if old is None else ownable(old)
    taken, removed = _changed(before, ownable(new), schema)
    return Comparison(
        FieldSet.canonical(_without_meta(taken)) if taken else _NO_FIELDS,
        FieldSet.canonical(_without_meta(removed)) if removed else _NO_FIELDS,
    )


def ownable(obj: Object) -> Object:
    """The object without what nobody owns (upstream's `stripMeta`)."""
    rest = {key: value for key, value in obj.items() if key not in ("apiVersion", "kind")}
    meta = rest.get("metadata")
    if isinstance(meta, dict):
        rest["metadata"] = {k: v for k, v in meta.items() if k not in _UNOWNED_METADATA}
    return rest


@lru_cache(maxsize=2048)
def zero(schema: Schema) -> Object:
    """What the JSON of a Go struct holds when nothing is set: fields without `omitempty`, and
    structs that are no pointers. `{"metadata": {}, "spec": {"strategy": {}, "template": {"spec":
    {"containers": null}, ...}}, "status": {}}` for a Deployment.
    """
    return {
        name: zero(field) if field.kind is Kind.OBJECT else _ZEROS.get(field.kind)
        for name, field in schema.fields.items()
        if field.presence is Presence.WRITTEN
    }


@lru_cache(maxsize=2048)
def _ownable_zero(schema: Schema) -> Object:
    return ownable(zero(schema))


class _Field(NamedTuple):
    """What comparing asks of a declared field, found out once.

    Attributes:
        element: its path element.
        zero: what stands there when nothing is set; `_ABSENT` if the field is left out then.
        is_leaf: whether it is owned as one, whatever it holds.
        schema: its type.
    """

    element: str
    zero: Any
    is_leaf: bool
    schema: Schema | None


@lru_cache(maxsize=4096)
def _fields(schema: Schema) -> dict[str, _Field]:
    """The declared fields of a type."""
    written = zero(schema)
    return {
        name: _Field(f"f:{name}", written.get(name, _ABSENT), _looked_into(field)[0] is None, field)
        for name, field in schema.fields.items()
    }


def is_granular(schema: Schema | None, value: Any) -> bool:
    """Whether ownership looks into this value. Null goes with its schema."""
    if schema is None:
        return isinstance(value, dict)
    container, null = _looked_into(schema)
    return null if value is None else value.__class__ is container


@lru_cache(maxsize=8192)
def _looked_into(schema: Schema) -> tuple[type | None, bool]:
    """The class of values of this type that are looked into, and whether null is."""
    if schema.kind is Kind.ANY:
        return dict, False
    if schema.kind in {Kind.OBJECT, Kind.MAP} and not schema.atomic:
        return dict, True
    if schema.kind is Kind.LIST and schema.list_type is not ListType.ATOMIC:
        return list, True
    return None, False


def child_schema(schema: Schema | None, key: str) -> Schema | None:
    """The schema of a field of an object, or of a map's value."""
    if schema is None:
        return None
    return schema.fields.get(key) or schema.element


def is_struct_field(schema: Schema | None, key: str) -> bool:
    """Whether `key` is a declared field, not a key of a map."""
    return schema is not None and key in schema.fields


def element_of(schema: Schema, item: Any) -> str:
    """The path element of a list's element; absent keys count with their defaults."""
    if schema.list_type is ListType.MAP and isinstance(item, dict):
        if len(schema.map_keys) == 1 and (text := item.get(schema.map_keys[0])).__class__ is str:
            return _named(schema.map_keys[0], text)
        keys = {}
        for name in schema.map_keys:
            value = item.get(name)
            if value is None:
                value = schema.key_defaults.get(name)
            if value is not None:
                keys[name] = value
        return key_element(keys)
    return value_element(item)


@lru_cache(maxsize=16_384)
def _named(key: str, value: str) -> str:
    """The path element of a list keyed by one string: conditions, containers, addresses."""
    return key_element({key: value})


def elements_of(schema: Schema, items: list[Any]) -> dict[str, Any]:
    """Elements of a granular list by path element, in order; of duplicates the last."""
    return {element_of(schema, item): item for item in items}


def _without_meta(tree: Tree) -> Tree:
    """`.metadata` itself is nobody's."""
    meta = tree.get("f:metadata")
    if meta is None or (meta and "." not in meta):
        return tree
    rest = {key: child for key, child in meta.items() if key != "."}
    others = {key: child for key, child in tree.items() if key != "f:metadata"}
    return {**others, "f:metadata": rest} if rest else others


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
    declared = _fields(schema) if schema is not None and schema.fields else _UNDECLARED
    taken: dict[str, Tree] = {}
    removed: dict[str, Tree] = {}
    for key, value in new.items():
        before = old.get(key, _ABSENT)
        if before is value:
            continue
        field = declared.get(key) or _undeclared(key, schema)
        if before is _ABSENT:
            before = field.zero
        if before is _ABSENT:
            leaf = field.is_leaf or value.__class__ in _SCALARS
            taken[field.element] = LEAF if leaf else _whole(value, field.schema)
        elif before != value:
            if field.is_leaf:
                taken[field.element] = LEAF
            else:
                _note(field.element, _differing(before, value, field.schema), taken, removed)
    for key, value in old.items():
        if key not in new:
            field = declared.get(key) or _undeclared(key, schema)
            if field.zero is _ABSENT:
                removed[field.element] = _whole(value, field.schema)
            else:
                _note(field.element, _changed(value, field.zero, field.schema), taken, removed)
    return taken or None, removed or None


def _undeclared(key: str, schema: Schema | None) -> _Field:
    """A key of a map, or a field that its type does not declare."""
    return _Field(f"f:{key}", _ABSENT, is_leaf=False, schema=child_schema(schema, key))


def _changed_elements(old: list[Any], new: list[Any], schema: Schema) -> _Nodes:
    before, after = elements_of(schema, old), elements_of(schema, new)
    taken: dict[str, Tree] = {}
    removed: dict[str, Tree] = {}
    for element, item in after.items():
        was = before.get(element, _ABSENT)
        if was is item:
            continue
        if was is not _ABSENT:
            _note(element, _changed(was, item, schema.element), taken, removed)
        else:
            taken[element] = _whole(item, schema.element)
    for element, item in before.items():
        if element not in after:
            removed[element] = _whole(item, schema.element)
    return taken or None, removed or None


def _note(element: str, changed: _Nodes, taken: dict[str, Tree], removed: dict[str, Tree]) -> None:
    if changed[0] is not None:
        taken[element] = changed[0]
    if changed[1] is not None:
        removed[element] = changed[1]


def _whole(value: Any, schema: Schema | None) -> Tree:
    """Every path of a value that is new or gone, the value's own included."""
    if not value or not is_granular(schema, value):
        return LEAF
    tree: dict[str, Tree] = {SELF: LEAF}
    if isinstance(value, list):
        assert schema is not None
        for element, item in elements_of(schema, value).items():
            tree[element] = _whole(item, schema.element)
        return tree
    declared = _fields(schema) if schema is not None and schema.fields else _UNDECLARED
    for key, each in value.items():
        field = declared.get(key)
        if each.__class__ in _SCALARS or (field is not None and field.is_leaf):
            tree[f"f:{key}" if field is None else field.element] = LEAF
        elif field is not None:
            tree[field.element] = _whole(each, field.schema)
        else:
            tree[f"f:{key}"] = _whole(each, child_schema(schema, key))
    for key, field in declared.items():
        if field.zero is not _ABSENT and key not in value:
            tree[field.element] = _whole(field.zero, field.schema)
    return tree


def _filled(value: Any) -> bool:
    return bool(value) and value.__class__ in _CONTAINERS
