"""JSON Merge Patch (RFC 7386): null removes, objects merge, everything else replaces."""

from typing import Any

from ekslab.kube.api.errors import bad_request
from ekslab.kube.api.requests import Object
from ekslab.kube.api.schema.scalars import word_of


def apply(obj: Object, patch: object) -> Object:
    """The object with the patch merged in.

    Raises:
        ApiError: 400 if the patch is no object.
    """
    if patch is None:
        return obj  # Go decodes null into a map with nothing in it
    if not isinstance(patch, dict):
        kind = word_of(patch)
        raise bad_request(
            f"error decoding patch: json: cannot unmarshal {kind} into Go value of type"
            " map[string]interface {}"
        )
    return _merge(obj, patch)


def _merge(target: Object, patch: Object) -> Object:
    result = dict(target)
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict):
            old: Any = result.get(key)
            result[key] = _merge(old if isinstance(old, dict) else {}, value)
        else:
            result[key] = value
    return result
