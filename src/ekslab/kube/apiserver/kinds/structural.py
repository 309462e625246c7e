"""Whether a schema is structural, and its defaults and rules make sense.

Upstream: apiextensions-apiserver `pkg/apiserver/schema/validation.go`, `schema/defaulting/
validation.go` and `ValidateCustomResourceDefinitionOpenAPISchema`.
"""

from collections.abc import Mapping
from typing import Any, Final

from ekslab.kube.api.errors import Cause
from ekslab.kube.api.objects import editable
from ekslab.kube.api.structural.nodes import compile_node
from ekslab.kube.api.structural.reading import prune
from ekslab.kube.api.structural.values import check_value, is_pattern
from ekslab.kube.apiserver.kinds.field_errors import forbidden, invalid, not_supported, required

Json = Mapping[str, Any]

_TYPES: Final = ("array", "boolean", "integer", "number", "object", "string")
_LIST_TYPES: Final = ("atomic", "map", "set")
_MAP_TYPES: Final = ("atomic", "granular")
_UNIONS: Final = ("allOf", "anyOf", "oneOf")
_NOT_SUPPORTED: Final = (
    "$ref", "$schema", "additionalItems", "definitions", "dependencies", "id", "patternProperties",
)  # fmt: skip
_NOT_STRUCTURAL: Final = {  # keyword -> what it must be below a union
    "additionalProperties": "undefined",
    "default": "undefined",
    "description": "empty",
    "nullable": "false",
    "title": "empty",
    "type": "empty",
    "x-kubernetes-embedded-resource": "false",
    "x-kubernetes-int-or-string": "false",
    "x-kubernetes-list-map-keys": "empty",
    "x-kubernetes-list-type": "undefined",
    "x-kubernetes-map-type": "undefined",
    "x-kubernetes-preserve-unknown-fields": "false",
    "x-kubernetes-validations": "empty",
}
_INT_OR_STRING: Final = [{"type": "integer"}, {"type": "string"}]
_NAMES: Final = frozenset({"name", "generateName"})
_CAUSES_MOST: Final = 100


def schema_causes(wire: Json, path: str) -> list[Cause]:
    """Everything wrong with the root schema of a version, which stands at `path`."""
    causes: list[Cause] = []
    if not wire.get("type"):
        causes.append(required(f"{path}.type", "must not be empty at the root"))
    elif wire["type"] != "object":
        causes.append(invalid(f"{path}.type", wire["type"], "must be object at the root"))
    if wire.get("nullable"):
        causes.append(forbidden(f"{path}.nullable", "nullable cannot be true at the root"))
    try:
        _check(wire, path, causes, is_root=True)
    except RecursionError:
        return [invalid(path, "", "is nested too deeply")]
    if causes:
        return causes[:_CAUSES_MOST]
    _check_defaults(wire, path, causes)
    if not causes and _has_rules(wire):
        from ekslab.kube.api.cel.definitions import definition_errors

        causes.extend(definition_errors(wire, path))
    return causes[:_CAUSES_MOST]


def _check(wire: Json, path: str, causes: list[Cause], *, is_root: bool = False) -> None:
    """One schema and all below it."""
    _check_supported(wire, path, causes)
    _check_type(wire, path, causes, is_root=is_root)
    _check_list(wire, path, causes)
    has_identity = is_root or wire.get("x-kubernetes-embedded-resource")
    if has_identity:
        _check_identity(wire, path, causes)
    for name, each in (wire.get("properties") or {}).items():
        at = f"{path}.properties[{name}]"
        _check_typed(each, at, causes, "must not be empty for specified object fields")
        _check(each, at, causes)
    additional = wire.get("additionalProperties")
    if isinstance(additional, Mapping):
        at = f"{path}.additionalProperties"
        _check_typed(additional, at, causes, "must not be empty for specified object fields")
        _check(additional, at, causes)
    if additional is not None and wire.get("properties"):
        why = "additionalProperties and properties are mutual exclusive"
        causes.append(forbidden(f"{path}.additionalProperties", why))
    items = wire.get("items")
    if isinstance(items, Mapping):
        at = f"{path}.items"
        _check_typed(items, at, causes, "must not be empty for specified array items")
        _check(items, at, causes)
    _check_unions(wire, path, causes)


def _check_supported(wire: Json, path: str, causes: list[Cause]) -> None:
    causes.extend(
        forbidden(f"{path}.{key}", f"{key} is not supported")
        for key in _NOT_SUPPORTED
        if wire.get(key)
    )
    if wire.get("uniqueItems"):
        why = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
        causes.append(forbidden(f"{path}.uniqueItems", why))
    if wire.get("additionalProperties") is False:
        why = "additionalProperties cannot be set to false"
        causes.append(forbidden(f"{path}.additionalProperties", why))
    pattern = wire.get("pattern")
    if pattern and not is_pattern(pattern):
        why = "must be a valid regular expression, but isn't: error parsing regexp"
        causes.append(invalid(f"{path}.pattern", pattern, why))


def _check_typed(wire: Json, path: str, causes: list[Cause], why: str) -> None:
    free = ("x-kubernetes-int-or-string", "x-kubernetes-preserve-unknown-fields")
    if not wire.get("type") and not any(wire.get(key) for key in free):
        causes.append(required(f"{path}.type", why))


def _check_type(wire: Json, path: str, causes: list[Cause], *, is_root: bool) -> None:
    kind = wire.get("type")
    at = f"{path}.type"
    if kind and kind not in _TYPES:
        causes.append(not_supported(at, kind, _TYPES))
    if kind == "array" and wire.get("items") is None:
        causes.append(required(f"{path}.items", "must be specified"))
    if isinstance(wire.get("items"), list):
        why = "items must be a schema object and not an array"
        causes.append(forbidden(f"{path}.items", why))
    if wire.get("x-kubernetes-int-or-string"):
        if kind:
            why = "must be empty if x-kubernetes-int-or-string is true"
            causes.append(forbidden(at, why))
        if is_root:
            causes.append(forbidden(f"{path}.x-kubernetes-int-or-string", "must be false at root"))
    if wire.get("x-kubernetes-embedded-resource"):
        if kind != "object":
            why = "must be object if x-kubernetes-embedded-resource is true"
            causes.append(invalid(at, kind or "", why))
        if not wire.get("properties") and not wire.get("x-kubernetes-preserve-unknown-fields"):
            why = (
                "must not be empty if x-kubernetes-embedded-resource is true without"
                " x-kubernetes-preserve-unknown-fields"
            )
            causes.append(required(f"{path}.properties", why))
    map_type = wire.get("x-kubernetes-map-type")
    if map_type is not None:
        place = f"{path}.x-kubernetes-map-type"
        if kind != "object":
            why = "must be object if x-kubernetes-map-type is specified"
            causes.append(invalid(at, kind or "", why))
        if map_type not in _MAP_TYPES:
            causes.append(not_supported(place, map_type, _MAP_TYPES))


def _check_list(wire: Json, path: str, causes: list[Cause]) -> None:
    list_type = wire.get("x-kubernetes-list-type")
    keys = wire.get("x-kubernetes-list-map-keys") or []
    if keys and list_type != "map":
        why = "must be map if x-kubernetes-list-map-keys is non-empty"
        if list_type is None:
            causes.append(required(f"{path}.x-kubernetes-list-type", why))
        else:
            causes.append(invalid(f"{path}.x-kubernetes-list-type", list_type, why))
    if list_type is None:
        return
    if list_type not in _LIST_TYPES:
        at = f"{path}.x-kubernetes-list-type"
        causes.append(not_supported(at, list_type, _LIST_TYPES))
    if wire.get("type") != "array":
        why = "must be array if x-kubernetes-list-type is specified"
        causes.append(invalid(f"{path}.type", wire.get("type") or "", why))
    items = wire.get("items")
    if not isinstance(items, Mapping):
        return
    if list_type == "map":
        _check_map_keys(items, keys, path, causes)
    elif list_type == "set":
        kind = items.get("type")
        if kind == "array" and items.get("x-kubernetes-list-type") not in {None, "atomic"}:
            at = f"{path}.items.x-kubernetes-list-type"
            why = "must be atomic as item of a list with x-kubernetes-list-type=set"
            causes.append(invalid(at, items.get("x-kubernetes-list-type"), why))
        if kind == "object" and items.get("x-kubernetes-map-type") != "atomic":
            at = f"{path}.items.x-kubernetes-map-type"
            why = "must be atomic as item of a list with x-kubernetes-list-type=set"
            causes.append(invalid(at, items.get("x-kubernetes-map-type"), why))
        if items.get("nullable"):
            why = "cannot be nullable when x-kubernetes-list-type is set"
            causes.append(forbidden(f"{path}.items.nullable", why))


def _check_map_keys(items: Json, keys: list[str], path: str, causes: list[Cause]) -> None:
    at = f"{path}.x-kubernetes-list-map-keys"
    if not keys:
        causes.append(required(at, "must not be empty if x-kubernetes-list-type is map"))
    if items.get("type") != "object":
        why = "must be object if parent array's x-kubernetes-list-type is map"
        causes.append(invalid(f"{path}.items.type", items.get("type") or "", why))
        return
    known = items.get("properties") or {}
    needed = set(items.get("required") or ())
    for index, key in enumerate(keys):
        if key not in known:
            why = "entries must all be names of item properties"
            causes.append(invalid(f"{at}[{index}]", key, why))
            continue
        place = f"{path}.items.properties[{key}]"
        if known[key].get("type") in {"array", "object"}:
            why = "must be a scalar type if parent array's x-kubernetes-list-type is map"
            causes.append(invalid(f"{place}.type", known[key]["type"], why))
        if key not in needed and "default" not in known[key]:
            why = (
                "this property is in x-kubernetes-list-map-keys, so it must have a default or be a"
                " required property"
            )
            causes.append(required(f"{place}.default", why))
        if known[key].get("nullable"):
            why = "this property is in x-kubernetes-list-map-keys, so it cannot be nullable"
            causes.append(forbidden(f"{place}.nullable", why))
    if len(set(keys)) < len(keys):
        causes.append(invalid(at, keys, "must not contain duplicate entries"))


def _check_identity(wire: Json, path: str, causes: list[Cause]) -> None:
    """What a schema may say of fields that every object has."""
    properties = wire.get("properties") or {}
    for name in ("apiVersion", "kind"):
        kind = (properties.get(name) or {}).get("type")
        if kind and kind != "string":
            causes.append(invalid(f"{path}.properties[{name}].type", kind, "must be string"))
    meta = properties.get("metadata")
    if meta is None:
        return
    at = f"{path}.properties[metadata]"
    if meta.get("type") and meta["type"] != "object":
        causes.append(invalid(f"{at}.type", meta["type"], "must be object"))
    extra = {key for key in meta if key not in {"type", "description", "properties"}}
    if extra or not set(meta.get("properties") or ()) <= _NAMES:
        why = (
            "must not specify anything other than name and generateName, but metadata is implicitly"
            " specified"
        )
        causes.append(forbidden(at, why))


def _check_unions(wire: Json, path: str, causes: list[Cause]) -> None:
    for union in _UNIONS:
        for index, each in enumerate(wire.get(union) or ()):
            at = f"{path}.{union}[{index}]"
            if wire.get("x-kubernetes-int-or-string") and each in _INT_OR_STRING:
                continue
            _check_nested(each, wire, at, causes)
    if wire.get("not"):
        _check_nested(wire["not"], wire, f"{path}.not", causes)


def _check_nested(wire: Json, outer: Json, path: str, causes: list[Cause]) -> None:
    """A schema within a union validates; what there is, the schema around it says."""
    if outer.get("x-kubernetes-int-or-string") and wire.get("anyOf") == _INT_OR_STRING:
        wire = {key: value for key, value in wire.items() if key != "anyOf"}
    causes.extend(
        forbidden(f"{path}.{key}", f"must be {what} to be structural")
        for key, what in _NOT_STRUCTURAL.items()
        if wire.get(key) or (key == "default" and key in wire)
    )
    _check_supported({**wire, "additionalProperties": None}, path, causes)
    properties = outer.get("properties") or {}
    for name, each in (wire.get("properties") or {}).items():
        known = properties.get(name)
        if known is None:
            additional = outer.get("additionalProperties")
            known = additional if isinstance(additional, Mapping) else None
        at = f"{path}.properties[{name}]"
        if known is None:
            where = path.rpartition(".")[0]
            if not outer.get("x-kubernetes-preserve-unknown-fields"):
                causes.append(
                    required(f"{where}.properties[{name}]", f"because it is defined in {at}")
                )
            known = {}
        _check_nested(each, known, at, causes)
    items = wire.get("items")
    if isinstance(items, Mapping):
        below = outer.get("items")
        _check_nested(items, below if isinstance(below, Mapping) else {}, f"{path}.items", causes)
    _check_unions({**wire, "properties": properties}, path, causes)


def _check_defaults(wire: Json, path: str, causes: list[Cause]) -> None:
    """Defaults must fit the schema they stand in."""
    if "default" in wire:
        value = editable({"it": wire["default"]})["it"]
        at = f"{path}.default"
        unknown: list[str] = []
        prune(value, compile_node(wire), unknown)
        if unknown:
            causes.append(invalid(at, wire["default"], "must not have unknown fields"))
        elif value is not None or not wire.get("nullable"):
            causes.extend(check_value(value, wire, at))
    for name, each in (wire.get("properties") or {}).items():
        _check_defaults(each, f"{path}.properties[{name}]", causes)
    for key in ("items", "additionalProperties"):
        if isinstance(wire.get(key), Mapping):
            _check_defaults(wire[key], f"{path}.{key}", causes)


def _has_rules(wire: Any) -> bool:
    if isinstance(wire, Mapping):
        return "x-kubernetes-validations" in wire or any(map(_has_rules, wire.values()))
    return isinstance(wire, list) and any(map(_has_rules, wire))
