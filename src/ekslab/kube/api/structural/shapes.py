"""What no schema keyword says: lists that are sets or maps, objects within the object.

Upstream: apiextensions-apiserver `pkg/apiserver/schema/listtype/validation.go` and
`schema/objectmeta/validation.go`.
"""

from typing import Any

import orjson

from ekslab.kube.api.errors import Cause
from ekslab.kube.api.structural.nodes import Node


def duplicates(value: Any, node: Node, path: str = "") -> list[Cause]:
    """Elements of sets that are there twice, and of maps with a key that is."""
    causes: list[Cause] = []
    _duplicates(value, node, path, causes)
    return causes


def _duplicates(value: Any, node: Node, path: str, causes: list[Cause]) -> None:
    if isinstance(value, dict):
        for name, each in value.items():
            known = node.properties.get(name, node.additional)
            if known is not None:
                _duplicates(each, known, f"{path}.{name}" if path else name, causes)
        return
    if not isinstance(value, list):
        return
    kind = node.wire.get("x-kubernetes-list-type")
    if kind in {"set", "map"}:
        keys = node.wire.get("x-kubernetes-list-map-keys") or ()
        seen = set()
        for index, each in enumerate(value):
            identity = each
            if kind == "map":
                if not isinstance(each, dict):
                    continue
                identity = {key: each[key] for key in keys if key in each}
            text = orjson.dumps(identity, option=orjson.OPT_SORT_KEYS)
            if text in seen:
                why = f"Duplicate value: {text.decode()}"
                causes.append(Cause(f"{path}[{index}]", why, "FieldValueDuplicate"))
            seen.add(text)
    if node.items is not None:
        for index, each in enumerate(value):
            _duplicates(each, node.items, f"{path}[{index}]", causes)


def embedded(value: Any, node: Node, path: str = "") -> list[tuple[str, dict[str, Any]]]:
    """All objects within an object, with their paths."""
    found: list[tuple[str, dict[str, Any]]] = []
    _embedded(value, node, path, found)
    return found


def _embedded(value: Any, node: Node, path: str, found: list[tuple[str, dict[str, Any]]]) -> None:
    if isinstance(value, list):
        if node.items is not None:
            for index, each in enumerate(value):
                _embedded(each, node.items, f"{path}[{index}]", found)
        return
    if not isinstance(value, dict):
        return
    if node.embedded:
        found.append((path, value))
    for name, each in value.items():
        known = node.properties.get(name, node.additional)
        if known is not None:
            _embedded(each, known, f"{path}.{name}" if path else name, found)
