"""Every path of a value that is new or gone, as a canonical tree.

What hangs below an object depends on its type and on which keys it has, hardly ever on its values:
the ports of all containers have one and the same tree. So the tree's layout is found out once per
type and keys, and where it has nothing but leaves the layout *is* the tree, shared by all values.

    {"name": "http", "containerPort": 80}   -> {".": {}, "f:containerPort": {}, "f:name": {},
                                                "f:protocol": {}}
"""

from functools import lru_cache
from typing import Any, Final, NamedTuple

from ekslab.kube.api.ownership.fieldset import LEAF, SELF, Tree, key_element, value_element
from ekslab.kube.api.requests import Object
from ekslab.kube.api.schema.model import Kind, ListType, Presence, Schema

ABSENT: Final = object()
"""Stands for a field that is not there; null is there."""

_UNOWNED: Final = frozenset({"apiVersion", "kind"})
_UNOWNED_METADATA: Final = frozenset(
    {
        "name", "namespace", "creationTimestamp", "selfLink", "uid", "clusterName", "generation",
        "managedFields", "resourceVersion",
    }
)  # fmt: skip
_OWNED: Final[frozenset[str]] = frozenset()
_LAYOUTS_MOST: Final = 16_384
_KEYS_MOST: Final = 16
_KEYS_LONGEST: Final = 1_024
_NAME_LONGEST: Final = 253
_ZEROS: Final = {Kind.STRING: "", Kind.INTEGER: 0, Kind.NUMBER: 0, Kind.BOOLEAN: False}
_UNDECLARED: Final[dict[str, "DeclaredField"]] = {}


class DeclaredField(NamedTuple):
    """What comparing asks of a field, found out once.

    Attributes:
        element: its path element.
        zero: what stands there when nothing is set; `ABSENT` if the field is left out then.
        is_leaf: whether it is owned as one, whatever it holds.
        schema: its type.
    """

    element: str
    zero: Any
    is_leaf: bool
    schema: Schema | None


class _Branch(NamedTuple):
    """One child of a tree: of the value's field `key` or, without one, always the same."""

    element: str
    key: str | None
    schema: Schema | None
    tree: Tree = LEAF


class _Layout(NamedTuple):
    """The children of a tree in canonical order; `tree` is set if they hang on no value."""

    branches: tuple[_Branch, ...]
    tree: Tree | None


def whole(value: Any, schema: Schema | None) -> Tree:
    """Every path of a value, the value's own included."""
    if not value:
        return LEAF
    if value.__class__ is dict:
        if not is_granular(schema, value):
            return LEAF
        branches, tree = _layout_of(schema, tuple(value))
        if tree is not None:
            return tree
        return {
            element: below if key is None else whole(value[key], child)
            for element, key, child, below in branches
        }
    if value.__class__ is list and schema is not None and is_granular(schema, value):
        elements = elements_of(schema, value)
        return {
            SELF: LEAF,
            **{element: whole(elements[element], schema.element) for element in sorted(elements)},
        }
    return LEAF


def _layout_of(schema: Schema | None, keys: tuple[str, ...]) -> _Layout:
    """Only what is small is remembered: keys of maps are the clients' to choose."""
    is_declared = schema is not None and schema.fields
    if is_declared or (len(keys) <= _KEYS_MOST and sum(map(len, keys)) <= _KEYS_LONGEST):
        return _layout(schema, keys)
    return _layout.__wrapped__(schema, keys)


@lru_cache(maxsize=_LAYOUTS_MOST)
def _layout(schema: Schema | None, keys: tuple[str, ...]) -> _Layout:
    """The tree below objects of a type that have just these keys."""
    declared = declared_fields(schema)
    branches = [_Branch(SELF, None, None)]
    for key in keys:
        field = declared.get(key) or undeclared(key, schema)
        branches.append(_Branch(field.element, None if field.is_leaf else key, field.schema))
    for key, field in declared.items():
        if field.zero is not ABSENT and key not in keys:
            branches.append(_Branch(field.element, None, None, whole(field.zero, field.schema)))
    branches.sort(key=lambda branch: branch.element)
    is_constant = all(branch.key is None for branch in branches)
    tree = {branch.element: branch.tree for branch in branches} if is_constant else None
    return _Layout(tuple(branches), tree)


class _Part(NamedTuple):
    """One field of a value whose type was there before with nothing set.

    Attributes:
        zero: what stood there; `ABSENT` if nothing did.
        is_struct: a zero struct stood there, which is looked into.
        unowned: fields below it that nobody owns.
    """

    element: str
    key: str
    zero: Any
    is_leaf: bool
    is_struct: bool
    schema: Schema | None
    unowned: frozenset[str]


def ownable(obj: Object) -> Object:
    """The object without what nobody owns (upstream's `stripMeta`)."""
    rest = {key: value for key, value in obj.items() if key not in _UNOWNED}
    meta = rest.get("metadata")
    if isinstance(meta, dict):
        rest["metadata"] = {k: v for k, v in meta.items() if k not in _UNOWNED_METADATA}
    return rest


def created(obj: Object, schema: Schema) -> Tree:
    """What a new object takes. It is compared with the zero value of its Go type, in which fields
    without `omitempty` exist already: they are taken only if they hold something else.
    """
    return _set(obj, schema, _UNOWNED)


def _set(value: Object, schema: Schema | None, unowned: frozenset[str] = _OWNED) -> Tree:
    """The paths below a zero struct that were set."""
    parts, constant = _parts(schema, tuple(value), unowned)
    if constant is not None:
        return constant
    tree = {}
    for element, key, zero_value, is_leaf, is_struct, child, below in parts:
        each = value[key]
        if is_struct:
            if each and (fields := _set(each, child, below)):
                tree[element] = fields
        elif zero_value is ABSENT:
            tree[element] = LEAF if is_leaf else whole(each, child)
        elif each != zero_value:
            found = LEAF if is_leaf else whole(each, child)
            tree[element] = {k: v for k, v in found.items() if k != SELF}
    return tree


@lru_cache(maxsize=_LAYOUTS_MOST)
def _parts(
    schema: Schema | None, keys: tuple[str, ...], unowned: frozenset[str]
) -> tuple[tuple[_Part, ...], Tree | None]:
    """The parts of such a value in canonical order; the tree itself if it hangs on no value."""
    declared = declared_fields(schema)
    parts = []
    for key in keys:
        if key in unowned:
            continue
        element, zero_value, is_leaf, child = declared.get(key) or undeclared(key, schema)
        is_meta = unowned is _UNOWNED and key == "metadata"
        is_struct = is_meta or (zero_value.__class__ is dict and not is_leaf)
        below = _UNOWNED_METADATA if is_meta else _OWNED
        parts.append(_Part(element, key, zero_value, is_leaf, is_struct, child, below))
    parts.sort(key=lambda part: part.element)
    is_constant = all(part.zero is ABSENT and part.is_leaf for part in parts)
    return tuple(parts), {part.element: LEAF for part in parts} if is_constant else None


def declared_fields(schema: Schema | None) -> dict[str, DeclaredField]:
    """The declared fields of a type; none of a map's or an unknown one's."""
    return _declared(schema) if schema is not None and schema.fields else _UNDECLARED


@lru_cache(maxsize=4096)
def _declared(schema: Schema) -> dict[str, DeclaredField]:
    written = zero(schema)
    return {
        name: DeclaredField(
            f"f:{name}", written.get(name, ABSENT), looked_into(field)[0] is None, field
        )
        for name, field in schema.fields.items()
    }


def undeclared(key: str, schema: Schema | None) -> DeclaredField:
    """A key of a map, or a field that its type does not declare."""
    child = child_schema(schema, key)
    is_leaf = child is not None and looked_into(child)[0] is None
    return DeclaredField(f"f:{key}", ABSENT, is_leaf, child)


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


def is_granular(schema: Schema | None, value: Any) -> bool:
    """Whether ownership looks into this value. Null goes with its schema."""
    if schema is None:
        return isinstance(value, dict)
    container, null = looked_into(schema)
    return null if value is None else value.__class__ is container


@lru_cache(maxsize=8192)
def looked_into(schema: Schema) -> tuple[type | None, bool]:
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


def element_of(schema: Schema, item: Any) -> str:
    """The path element of a list's element; absent keys count with their defaults."""
    if schema.list_type is ListType.MAP and isinstance(item, dict):
        if len(schema.map_keys) == 1 and (text := item.get(schema.map_keys[0])).__class__ is str:
            if len(text) <= _NAME_LONGEST:
                return _named(schema.map_keys[0], text)
            return key_element({schema.map_keys[0]: text})
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
