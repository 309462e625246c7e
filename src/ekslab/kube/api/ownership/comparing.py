"""What an object holds, and what a change touched, as sets of field paths.

How deep a value is looked into is its schema's to say: objects and maps that are not atomic by
field, keyed lists by key, sets by value; everything else is one leaf. Values without a schema
(raw extensions, unknown fields) are looked into as upstream's `deduced` type: maps by field, lists
as leaves. Imitates structured-merge-diff `typed/toset.go` and `typed/compare.go`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from ekslab.kube.api.ownership.fieldset import (
    FieldSet,
    Tree,
    key_element,
    node,
    value_element,
)
from ekslab.kube.api.requests import Object
from ekslab.kube.api.schema.model import Kind, ListType, Schema

ABSENT: Final = object()
"""Stands for a field that is not there; null is there."""

_UNOWNED_METADATA: Final = frozenset(
    {
        "name", "namespace", "creationTimestamp", "selfLink", "uid", "clusterName", "generation",
        "managedFields", "resourceVersion",
    }
)  # fmt: skip
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
    return FieldSet(_without_meta(_claimed(ownable(obj), schema) or {}))


def compare(old: Object | None, new: Object, schema: Schema) -> Comparison:
    """What changed from `old` to `new`. An object that was not there is compared with the zero
    value of its Go type, in which fields without `omitempty` exist already.
    """
    before = zero(schema) if old is None else old
    taken, removed = _changed(ownable(before), ownable(new), schema)
    return Comparison(FieldSet(_without_meta(taken or {})), FieldSet(_without_meta(removed or {})))


def ownable(obj: Object) -> Object:
    """The object without what nobody owns (upstream's `stripMeta`)."""
    rest = {key: value for key, value in obj.items() if key not in ("apiVersion", "kind")}
    meta = rest.get("metadata")
    if isinstance(meta, dict):
        rest["metadata"] = {k: v for k, v in meta.items() if k not in _UNOWNED_METADATA}
    return rest


@lru_cache(maxsize=512)
def zero(schema: Schema) -> Object:
    """The JSON of the zero value of a Go struct: structs that are no pointers, and required
    fields. `{"spec": {"selector": null, "template": {...}}}` for a Deployment.
    """
    value: Object = {}
    for element, field in _structs(schema):
        value[element[2:]] = zero(field)
    for name in sorted(schema.required):
        if name in schema.fields:
            value.setdefault(name, _ZEROS.get(schema.fields[name].kind))
    return value


@lru_cache(maxsize=2048)
def _structs(schema: Schema) -> tuple[tuple[str, Schema], ...]:
    """Fields whose Go type is a struct: upstream's schema gives them the default {}."""
    return tuple(
        (f"f:{name}", field)
        for name, field in schema.fields.items()
        if field.kind is Kind.OBJECT and field.default == {}
    )


def is_granular(schema: Schema | None, value: Any) -> bool:
    """Whether ownership looks into this value. Null and absent values go with their schema."""
    if schema is None or schema.kind is Kind.ANY:
        return isinstance(value, dict)
    if schema.kind in (Kind.OBJECT, Kind.MAP):
        return not schema.atomic and (value is None or value is ABSENT or isinstance(value, dict))
    if schema.kind is Kind.LIST:
        wanted = value is None or value is ABSENT or isinstance(value, list)
        return wanted and schema.list_type is not ListType.ATOMIC
    return False


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
        keys = {}
        for name in schema.map_keys:
            value = item.get(name)
            if value is None:
                value = schema.key_defaults.get(name)
            if value is not None:
                keys[name] = value
        return key_element(keys)
    return value_element(item)


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


def _changed(old: Any, new: Any, schema: Schema | None) -> tuple[Tree | None, Tree | None]:
    """The nodes of what is added or modified, and of what is removed, below this value."""
    if old is new or (old is not ABSENT and new is not ABSENT and old == new):
        return None, None
    added, removed = old is ABSENT, new is ABSENT
    shown = new if new is not ABSENT and new is not None else old
    if not is_granular(schema, shown) or not (_filled(old) or _filled(new)):
        # A leaf; two empty containers are one as well, to tell empty from null.
        return (None, {}) if removed else ({}, None)
    before, after = _children(old, schema), _children(new, schema)
    taken_below: dict[str, Tree] = {}
    removed_below: dict[str, Tree] = {}
    for key in {**before, **after}:
        taken, gone = _changed(
            before.get(key, ABSENT), after.get(key, ABSENT), _schema_below(schema, key)
        )
        if taken is not None:
            taken_below[key] = taken
        if gone is not None:
            removed_below[key] = gone
    return node(taken_below, member=added), node(removed_below, member=removed)


def _filled(value: Any) -> bool:
    return isinstance(value, dict | list) and bool(value)


def _children(value: Any, schema: Schema | None) -> Mapping[str, Any]:
    """What is in a granular value, by path element. A struct that is no pointer is always there."""
    if isinstance(value, dict):
        fields = {f"f:{key}": each for key, each in value.items()}
        if schema is not None and schema.fields:
            for element, below in _structs(schema):
                if element not in fields:
                    fields[element] = zero(below)
        return fields
    if isinstance(value, list) and schema is not None:
        return elements_of(schema, value)
    return {}


def _schema_below(schema: Schema | None, element: str) -> Schema | None:
    if schema is None:
        return None
    return child_schema(schema, element[2:]) if element.startswith("f:") else schema.element
