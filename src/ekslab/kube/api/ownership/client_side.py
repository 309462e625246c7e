"""The way from client-side to server-side apply, which only kubectl goes.

Who applies on the client's side keeps the configuration in an annotation, and owns as
`kubectl-client-side-apply` what it once sent. When the same user then applies on the server's side,
values that are still the ones of the annotation are no conflict, and the annotation follows, so
that there is a way back. Upstream: apimachinery `pkg/util/managedfields/internal`, `lastapplied.go`
and `lastappliedupdater.go`. Any other name of a manager opts out of both.
"""

from typing import Any, Final

import orjson

from ekslab.kube.api.ownership.comparing import compare, of
from ekslab.kube.api.ownership.fieldset import FieldSet
from ekslab.kube.api.ownership.merging import problems
from ekslab.kube.api.requests import Object
from ekslab.kube.api.schema.model import Schema

MANAGER: Final = "kubectl"
ANNOTATION: Final = "kubectl.kubernetes.io/last-applied-configuration"
_ANNOTATIONS_BYTES_MOST: Final = 256 * 1024
_NOTHING: Final = FieldSet()
_FOR_HTML: Final = (("&", "\\u0026"), ("<", "\\u003c"), (">", "\\u003e"))


def unchanged_since(live: Object, schema: Schema, api_version: str) -> FieldSet:
    """The fields of the last configuration applied on the client's side that are still as it said.

    None of them if there is no such configuration, or if it cannot be understood.
    """
    text = _annotations(live).get(ANNOTATION)
    try:
        last: Any = orjson.loads(text or "null")
    except orjson.JSONDecodeError:
        return _NOTHING
    if not isinstance(last, dict) or last.get("apiVersion") != api_version:
        return _NOTHING
    if next(iter(problems(last, schema)), None) is not None:
        return _NOTHING
    change = compare(last, live, schema)
    return of(last, schema).difference(change.taken).difference(change.removed)


def followed(obj: Object, config: Object) -> Object:
    """The applied object with `config` in its annotation, if it has that annotation at all.

    It is taken off where the annotations would grow beyond what an object may have.
    """
    annotations = _annotations(obj)
    if not annotations.get(ANNOTATION):
        return obj
    changed = {**annotations, ANNOTATION: _as_go_writes(config)}
    if sum(len(key) + len(value.encode()) for key, value in changed.items()) > (
        _ANNOTATIONS_BYTES_MOST
    ):
        del changed[ANNOTATION]
    return {**obj, "metadata": {**obj["metadata"], "annotations": changed}}


def _annotations(obj: Object) -> dict[str, str]:
    found: dict[str, str] = (obj.get("metadata") or {}).get("annotations") or {}
    return found


def _as_go_writes(config: Object) -> str:
    """The text of a configuration without the annotation, as Go encodes it: sorted, one line."""
    meta = dict(config["metadata"])
    if meta.get("annotations"):
        kept = meta["annotations"].items()
        meta["annotations"] = {key: value for key, value in kept if key != ANNOTATION}
    text = orjson.dumps({**config, "metadata": meta}, option=orjson.OPT_SORT_KEYS).decode()
    for char, escaped in _FOR_HTML:
        text = text.replace(char, escaped)
    return f"{text}\n"
