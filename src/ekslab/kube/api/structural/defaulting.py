"""Defaults of custom objects: filled in when they are decoded, and when they are read.

Upstream: apiextensions-apiserver `pkg/apiserver/schema/defaulting/algorithm.go` and `prune.go`.
"""

from typing import Any

import orjson

from ekslab.kube.api.structural.nodes import Node


def fill_defaults(value: Any, node: Node) -> None:
    """Give absent fields their defaults, in place; a null that may not be there is absent."""
    if not node.defaults_below:
        return
    if isinstance(value, dict):
        for name, known in node.properties.items():
            if known.has_default and _is_absent(value, name, known):
                value[name] = _copy(known.default)
        for name, each in value.items():
            found = node.properties.get(name, node.additional)
            if found is None:
                continue
            if each is None and not found.nullable and found.has_default:
                value[name] = _copy(found.default)
            fill_defaults(value[name], found)
    elif isinstance(value, list) and node.items is not None:
        known = node.items
        for index, each in enumerate(value):
            if each is None and not known.nullable and known.has_default:
                value[index] = _copy(known.default)
            fill_defaults(value[index], known)


def drop_nulls(value: Any, node: Node) -> None:
    """Take out nulls of known fields that may not be null and have no default, in place."""
    if isinstance(value, dict):
        for name in [*value]:
            known = node.properties.get(name, node.additional)
            if known is None:
                continue
            if value[name] is None:
                if not known.nullable and not known.has_default:
                    del value[name]
            else:
                drop_nulls(value[name], known)
    elif isinstance(value, list) and node.items is not None:
        for each in value:
            drop_nulls(each, node.items)


def lacks_defaults(value: Any, node: Node) -> bool:
    """Whether `fill_defaults` would change anything."""
    if not node.defaults_below:
        return False
    if isinstance(value, dict):
        for name, known in node.properties.items():
            if known.has_default and _is_absent(value, name, known):
                return True
        for name, each in value.items():
            found = node.properties.get(name, node.additional)
            if found is not None and lacks_defaults(each, found):
                return True
    elif isinstance(value, list) and node.items is not None:
        known = node.items
        for each in value:
            if each is None and not known.nullable and known.has_default:
                return True
            if lacks_defaults(each, known):
                return True
    return False


def _is_absent(value: dict[str, Any], name: str, known: Node) -> bool:
    if name not in value:
        return True
    return value[name] is None and not known.nullable


def _copy(default: Any) -> Any:
    if isinstance(default, dict | list):
        return orjson.loads(orjson.dumps(default))
    return default
