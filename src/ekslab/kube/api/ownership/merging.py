"""The object of a server-side apply: a configuration merged into the live object, and what the
manager has stopped applying taken out.

Imitates structured-merge-diff `typed/merge.go`, `typed/remove.go` and `merge/update.go` (`prune`).
"""

from collections.abc import Iterator
from typing import Any

from ekslab.kube.api.ownership.comparing import is_struct_field
from ekslab.kube.api.ownership.fieldset import LEAF, FieldSet, Tree, is_member
from ekslab.kube.api.ownership.whole import child_schema, element_of, elements_of, is_granular
from ekslab.kube.api.requests import Object
from ekslab.kube.api.schema.model import Kind, ListType, Schema


def merged(live: Any, config: Any, schema: Schema | None) -> Any:
    """The live value with the applied one merged in; what stays equal is shared with `live`."""
    if live == config:
        return live
    if not is_granular(schema, config) or config is None:
        return config
    if isinstance(config, list):
        assert schema is not None
        return _merged_list(live if isinstance(live, list) else [], config, schema)
    result: Object = dict(live) if isinstance(live, dict) else {}
    for key, value in config.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value, child_schema(schema, key))
    return result


def pruned(value: Any, last: Tree, managed: Tree, schema: Schema | None) -> Any:
    """The value without the paths of `last` that are not in `managed`.

    A field of a struct counts as owned by whoever owns something below it; an element of a list
    or a key of a map only by whoever owns the path itself.
    """
    if isinstance(value, dict):
        return _pruned_fields(value, last, managed, schema)
    if isinstance(value, list) and schema is not None and schema.kind is Kind.LIST:
        return _pruned_elements(value, last, managed, schema)
    return value


def problems(config: Any, schema: Schema | None, path: str = "") -> Iterator[str]:
    """Why a configuration cannot be applied: undeclared fields, and list elements that cannot be
    told apart.
    """
    if schema is None or schema.kind is Kind.ANY:
        return
    if isinstance(config, dict):
        open_ended = schema.kind is not Kind.OBJECT or schema.open or not schema.fields
        for key, value in config.items():
            if not open_ended and key not in schema.fields:
                yield f"{path}.{key}: field not declared in schema"
            else:
                yield from problems(value, child_schema(schema, key), f"{path}.{key}")
    elif isinstance(config, list):
        yield from _problems_of_list(config, schema, path)


def _problems_of_list(config: list[Any], schema: Schema, path: str) -> Iterator[str]:
    granular = schema.kind is Kind.LIST and schema.list_type is not ListType.ATOMIC
    seen: set[str] = set()
    for index, item in enumerate(config):
        place = f"{path}[{index}]"
        if granular:
            missing = _missing_key(schema, item)
            if missing:
                yield (
                    f"{path}: element {index}: associative list with keys has an element that"
                    f" omits key field {missing} (and doesn't have default value)"
                )
                continue
            element = element_of(schema, item)
            if element in seen:
                yield f"{path}: duplicate entries for key {_key_text(schema, item)}"
            seen.add(element)
            if schema.list_type is ListType.MAP:
                place = f"{path}{_key_text(schema, item)}"
        yield from problems(item, schema.element, place)


def _missing_key(schema: Schema, item: Any) -> str:
    if schema.list_type is not ListType.MAP or not isinstance(item, dict):
        return ""
    for name in schema.map_keys:
        if item.get(name) is None and name not in schema.key_defaults:
            return f'"{name}"'
    return ""


def _key_text(schema: Schema, item: Any) -> str:
    return next(FieldSet({element_of(schema, item): LEAF}).paths())


def _merged_list(live: list[Any], config: list[Any], schema: Schema) -> list[Any]:
    """Elements of both.

    The configuration's order rules among its elements; what only the live list has stays in front
    of what follows it:

        live [a, b, c], config [c, x]  ->  [a, b, c, x]
        live [a, b, c], config [c, a]  ->  [b, c, a]
    """
    mine = elements_of(schema, config)
    theirs = elements_of(schema, live)
    rest = list(mine)
    shared = [element for element in mine if element in theirs]
    result = []

    def take(element: str) -> None:
        result.append(merged(theirs.get(element), mine[element], schema.element))

    for item in live:
        element = element_of(schema, item)
        if element not in mine:
            result.append(item)
        elif shared and element == shared[0]:
            shared.pop(0)
            while rest:
                following = rest.pop(0)
                take(following)
                if following == element:
                    break
    for element in rest:
        take(element)
    return result


def _pruned_fields(value: Object, last: Tree, managed: Tree, schema: Schema | None) -> Object:
    result = value
    for element, below in last.items():
        key = element[2:]
        if not element.startswith("f:") or key not in value:
            continue
        struct = is_struct_field(schema, key)
        others = managed.get(element)
        if (is_member(below) or struct) and not _holds(others, struct=struct):
            replacement = None
        else:
            old = value[key]
            replacement = pruned(old, below, others or LEAF, child_schema(schema, key))
            if replacement is old:
                continue
        if result is value:
            result = dict(value)
        # Emptied is gone, unless somebody wants it empty.
        if replacement is None or (not replacement and not _holds(others, struct=False)):
            del result[key]
        else:
            result[key] = replacement
    return result


def _pruned_elements(value: list[Any], last: Tree, managed: Tree, schema: Schema) -> list[Any]:
    kept = []
    changed = False
    for item in value:
        element = element_of(schema, item)
        below = last.get(element)
        if below is None:
            kept.append(item)
            continue
        others = managed.get(element)
        if is_member(below) and not _holds(others, struct=False):
            changed = True
            continue
        fresh = pruned(item, below, others or LEAF, schema.element)
        changed = changed or fresh is not item
        kept.append(fresh)
    return kept if changed else value


def _holds(managed: Tree | None, *, struct: bool) -> bool:
    """Whether somebody owns the path, for a struct's field also by what is below it."""
    return managed is not None and (struct or is_member(managed))
