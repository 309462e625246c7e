"""JSON Merge Patch (RFC 7386): null removes, objects merge, everything else replaces."""

from typing import Any, Final

from ekslab.kube.api.errors import bad_request
from ekslab.kube.api.requests import Object
from ekslab.kube.api.schema.scalars import word_of

_ABSENT: Final = object()


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
    """The merged object; `target` itself if the patch changes nothing."""
    result: Object | None = None
    for key, value in patch.items():
        old = target.get(key, _ABSENT)
        kind = value.__class__
        if value is None:
            new: Any = _ABSENT
        elif kind is dict:
            new = _merge(old if old.__class__ is dict else {}, value)
        else:
            new = old if kind is str and old == value else value
        if new is old:
            continue
        if result is None:
            result = dict(target)
        if new is _ABSENT:
            del result[key]
        else:
            result[key] = new
    return target if result is None else result
