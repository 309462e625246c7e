"""JSON Patch (RFC 6902), with the answers of the API server's `jsonPatcher`.

Upstream applies it with `evanphx/json-patch` v4: array indices may be negative (from the end), a
`test` against null holds for an absent member, and whatever goes wrong while applying is one 422
that does not say what.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any, Final

import orjson

from ekslab.kube.api.errors import ApiError, bad_request
from ekslab.kube.api.requests import Object

OPERATIONS_MOST: Final = 10_000
COPIED_BYTES_MOST: Final = 3 << 20
"""What all `copy` operations of a patch may copy: each could double the object."""
DEPTH_MOST: Final = 250
"""How deep a path may lead; JSON nested deeper cannot be written."""

_END: Final = "-"
_INDEX_LONGEST: Final = 20
_INDEX: Final = re.compile(r"[+-]?[0-9]+")
_Edit = Callable[[Any, str], Any]
_GONE: Final = object()
"""Stands for a document that was removed as a whole; null is there."""


class _CannotApplyError(Exception):
    """The patch does not fit the object."""


def apply(obj: Object, ops: object) -> Object:
    """The object with the operations carried out in order.

    Raises:
        ApiError: 400 if `ops` is no list of operations, 413 if there are too many, 422 if one
            cannot be carried out.
    """
    operations = _check(ops)
    copied_bytes = 0
    result: Any = obj
    try:
        for operation in operations:
            if operation.get("op") == "copy":
                value = _get(result, _pointer(operation, "from"))
                copied_bytes += _size_bytes(value)
                if copied_bytes > COPIED_BYTES_MOST:
                    raise _CannotApplyError
            result = _carry_out(result, operation)
    except _CannotApplyError:
        raise _rejected() from None
    if not isinstance(result, dict):
        raise _rejected()
    return result


def _size_bytes(value: Any) -> int:
    try:
        return len(orjson.dumps(value))
    except orjson.JSONEncodeError:
        # Nested deeper than orjson writes, hence than anything could be stored.
        raise _CannotApplyError from None


def _check(ops: object) -> Sequence[dict[str, Any]]:
    if not isinstance(ops, list):
        raise bad_request(
            f"json: cannot unmarshal {_go_kind(ops)} into Go value of type jsonpatch.Patch"
        )
    for operation in ops:
        if not isinstance(operation, dict):
            kind = _go_kind(operation)
            raise bad_request(
                f"json: cannot unmarshal {kind} into Go value of type jsonpatch.Operation"
            )
    if len(ops) > OPERATIONS_MOST:
        message = (
            f"The allowed maximum operations in a JSON patch is {OPERATIONS_MOST}, got {len(ops)}"
        )
        raise ApiError(413, "RequestEntityTooLarge", message)
    return ops


def _rejected() -> ApiError:
    message = "the server rejected our request due to an error in our request"
    return ApiError(422, "Invalid", message, details={})


def _carry_out(doc: Any, operation: dict[str, Any]) -> Any:
    path = _pointer(operation, "path")
    match operation.get("op"):
        case "add":
            return _at(doc, path, _adding(_value(operation)))
        case "replace":
            return _at(doc, path, _replacing(_value(operation)))
        case "remove":
            return _at(doc, path, _remove)
        case "copy":
            return _at(doc, path, _adding(_get(doc, _pointer(operation, "from"))))
        case "move":
            source = _pointer(operation, "from")
            moved = _get(doc, source)
            return _at(_at(doc, source, _remove), path, _adding(moved))
        case "test":
            _test(doc, path, operation.get("value"))
            return doc
    raise _CannotApplyError


def _pointer(operation: dict[str, Any], member: str) -> list[str]:
    """The reference tokens of a JSON pointer; [] is the whole document."""
    pointer = operation.get(member)
    if not isinstance(pointer, str) or (pointer and not pointer.startswith("/")):
        raise _CannotApplyError
    if pointer.count("/") > DEPTH_MOST:
        raise _CannotApplyError
    return [token.replace("~1", "/").replace("~0", "~") for token in pointer.split("/")[1:]]


def _value(operation: dict[str, Any]) -> Any:
    if "value" not in operation:
        raise _CannotApplyError
    return operation["value"]


def _get(node: Any, path: Sequence[str]) -> Any:
    for token in path:
        if isinstance(node, dict) and token in node:
            node = node[token]
        elif isinstance(node, list):
            node = node[_index(token, len(node))]
        else:
            raise _CannotApplyError
    if node is _GONE:
        raise _CannotApplyError
    return node


def _at(node: Any, path: Sequence[str], edit: _Edit) -> Any:
    """A copy of `node` whose container at the end of `path` went through `edit`; only the
    containers along the path are copied.
    """
    if not path:
        # The whole document: seen as the one member of an outer container.
        return edit({} if node is _GONE else {"": node}, "").get("", _GONE)
    token, *rest = path
    if not rest:
        return edit(node, token)
    child = _at(_get(node, [token]), rest, edit)
    if isinstance(node, dict):
        return {**node, token: child}
    copy = list(node)
    copy[_index(token, len(node))] = child
    return copy


def _adding(value: Any) -> _Edit:
    def edit(container: Any, token: str) -> Any:
        if isinstance(container, dict):
            return {**container, token: value}
        if isinstance(container, list):
            # The new element may stand behind the last: one more place than there are elements.
            at = len(container) if token == _END else _index(token, len(container) + 1)
            return [*container[:at], value, *container[at:]]
        raise _CannotApplyError

    return edit


def _replacing(value: Any) -> _Edit:
    def edit(container: Any, token: str) -> Any:
        _get(container, [token])
        if isinstance(container, dict):
            return {**container, token: value}
        copy = list(container)
        copy[_index(token, len(copy))] = value
        return copy

    return edit


def _remove(container: Any, token: str) -> Any:
    _get(container, [token])
    if isinstance(container, dict):
        return {key: value for key, value in container.items() if key != token}
    copy = list(container)
    del copy[_index(token, len(copy))]
    return copy


def _test(doc: Any, path: list[str], expected: Any) -> None:
    if path and expected is None:
        container = _get(doc, path[:-1])
        if isinstance(container, dict):
            if container.get(path[-1]) is not None:
                raise _CannotApplyError
            return
    if not _same(_get(doc, path), expected):
        raise _CannotApplyError


def _same(left: Any, right: Any) -> bool:
    """JSON equality: unlike Python's, true is not 1."""
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(_same(left[key], right[key]) for key in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(_same, left, right))
    return isinstance(left, bool) == isinstance(right, bool) and bool(left == right)


def _index(token: str, length: int) -> int:
    """An index into `length` places; negative ones count from the end."""
    if len(token) > _INDEX_LONGEST or not _INDEX.fullmatch(token):
        raise _CannotApplyError
    index = int(token)
    if not -length <= index < length:
        raise _CannotApplyError
    return index % length


def _go_kind(value: object) -> str:
    """What Go's encoding/json calls a JSON value in its errors."""
    match value:
        case bool():
            return "bool"
        case int() | float():
            return "number"
        case str():
            return "string"
        case list():
            return "array"
        case dict():
            return "object"
    return "null"
