"""Bodies of custom objects: what the schema does not know is pruned and told, metadata is checked.

Only metadata has types here: a wrong type elsewhere is a matter of validation (422), as upstream.

Upstream: apiextensions-apiserver `pkg/apiserver/schema/{pruning,objectmeta}` and the schema
coercing decoder of `pkg/apiserver/customresource_handler.go`.
"""

from collections.abc import Callable, Mapping
from typing import Any

from ekslab.kube.api.schema.model import Kind, Schema
from ekslab.kube.api.schema.scalars import Pairs, word_of
from ekslab.kube.api.schema.walking import DecodeError, Walk, plain
from ekslab.kube.api.structural.defaulting import drop_nulls
from ekslab.kube.api.structural.nodes import NOTHING, Node, is_identity

Object = dict[str, Any]


def reader(node: Node, meta: Schema) -> Callable[[Any, Walk], Object]:
    """What reads the objects of a schema: gives the object, private, and tells the walk.

    It raises DecodeError for metadata of a wrong type.
    """
    wrapped = Schema(Kind.OBJECT, name="ObjectMeta", fields={"metadata": meta})

    def read(value: Any, walk: Walk) -> Object:
        if value is None:
            value = {}
        if not isinstance(value, Mapping | Pairs):
            raise DecodeError(f"json: cannot unmarshal {word_of(value)} into Go value of type map")
        if walk.tells_duplicates:
            _tell_duplicates(value, "", walk)
        obj: Object = plain(value)
        _check_identity(obj)
        if obj.get("metadata") is not None:
            obj["metadata"] = _metadata(obj["metadata"], wrapped, walk, "")
        else:
            obj.pop("metadata", None)
        unknown: list[str] = []
        prune(obj, node, unknown, is_root=True)
        for path in sorted(unknown):
            walk.tell("unknown", path)
        drop_nulls(obj, node)
        _read_embedded(obj, node, wrapped, walk, "")
        return obj

    return read


def _check_identity(obj: Object) -> None:
    for key in ("apiVersion", "kind"):
        if key in obj and not isinstance(obj[key], str):
            if obj[key] is None:
                del obj[key]
                continue
            raise DecodeError(
                f"json: cannot unmarshal {word_of(obj[key])} into Go struct field .{key}"
                " of type string"
            )


def _metadata(meta: Any, wrapped: Schema, walk: Walk, path: str) -> Any:
    below = Walk(tells_duplicates=False)
    found = below.object({"metadata": meta}, wrapped, go_name="ObjectMeta")["metadata"]
    for problem in below.problems:
        what, _, rest = problem.partition(' field "')
        walk.tell(what, f"{path}.{rest[:-1]}" if path else rest[:-1])
    return found


def _tell_duplicates(value: Any, path: str, walk: Walk) -> None:
    if isinstance(value, Pairs):
        seen = set()
        for key, each in value:
            at = f"{path}.{key}" if path else key
            if key in seen:
                walk.tell("duplicate", at)
            seen.add(key)
            _tell_duplicates(each, at, walk)
    elif isinstance(value, list):
        for index, each in enumerate(value):
            _tell_duplicates(each, f"{path}[{index}]", walk)


def prune(
    value: Any, node: Node, unknown: list[str], path: str = "", *, is_root: bool = False
) -> None:
    """Take out, in place, what the schema does not know; the paths of it go to `unknown`."""
    if isinstance(value, list):
        if node.items is not None or not node.preserves:
            for index, each in enumerate(value):
                prune(each, node.items or NOTHING, unknown, f"{path}[{index}]")
        return
    if not isinstance(value, dict):
        return
    has_identity = is_root or node.embedded
    for key in [*value]:
        if has_identity and is_identity(key):
            continue
        known = node.properties.get(key)
        if known is None:
            if not node.has_additional:
                if not node.preserves:
                    unknown.append(f"{path}.{key}" if path else key)
                    del value[key]
                continue
            known = node.additional or NOTHING
        prune(value[key], known, unknown, f"{path}.{key}" if path else key)


def _read_embedded(value: Any, node: Node, wrapped: Schema, walk: Walk, path: str) -> None:
    """Check the metadata of objects within the object."""
    if isinstance(value, list):
        if node.items is not None:
            for index, each in enumerate(value):
                _read_embedded(each, node.items, wrapped, walk, f"{path}[{index}]")
        return
    if not isinstance(value, dict):
        return
    if node.embedded and isinstance(value.get("metadata"), dict):
        value["metadata"] = _metadata(value["metadata"], wrapped, walk, path)
    for key, each in value.items():
        known = node.properties.get(key, node.additional)
        if known is not None:
            _read_embedded(each, known, wrapped, walk, f"{path}.{key}" if path else key)


def has_unknown(value: Any, node: Node, *, is_root: bool = False) -> bool:
    """Whether `prune` would change anything."""
    if isinstance(value, list):
        if node.items is None and node.preserves:
            return False
        items = node.items or NOTHING
        return any(has_unknown(each, items) for each in value)
    if not isinstance(value, dict):
        return False
    has_identity = is_root or node.embedded
    for key, each in value.items():
        if has_identity and is_identity(key):
            continue
        known = node.properties.get(key)
        if known is None:
            if not node.has_additional:
                if not node.preserves:
                    return True
                continue
            known = node.additional or NOTHING
        if has_unknown(each, known):
            return True
    return False
