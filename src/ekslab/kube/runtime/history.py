"""ControllerRevisions: the templates a DaemonSet or StatefulSet had (upstream:
`pkg/controller/history/controller_history.go`).
"""

import hashlib
from collections.abc import Sequence
from typing import Final

import orjson

from ekslab.kube.api.requests import Object
from ekslab.kube.runtime.ownership import owner_reference

HASH_LABEL: Final = "controller-revision-hash"
_SAFE_ALPHABET: Final = "bcdfghjklmnpqrstvwxz2456789"


def template_data(template: Object) -> Object:
    """What a revision keeps of a template: a patch that puts it back."""
    return {"spec": {"template": {**template, "$patch": "replace"}}}


def revision_hash(template: Object, collision_count: int) -> str:
    """The value of `controller-revision-hash`: ten or so safe characters. Upstream hashes a Go
    dump; the value differs, its shape does not.
    """
    raw = orjson.dumps(template, option=orjson.OPT_SORT_KEYS)
    digest = hashlib.sha256(raw + b"%d" % collision_count).digest()
    number = str(int.from_bytes(digest[:4], "big"))
    return "".join(_SAFE_ALPHABET[ord(digit) % len(_SAFE_ALPHABET)] for digit in number)


def new_revision(owner: Object, template: Object, *, number: int, collision_count: int) -> Object:
    """A ControllerRevision of the owner's template."""
    suffix = revision_hash(template, collision_count)
    labels = dict((template.get("metadata") or {}).get("labels") or {})
    labels[HASH_LABEL] = suffix
    meta = owner["metadata"]
    annotations = {
        key: value
        for key, value in (meta.get("annotations") or {}).items()
        if key != "kubectl.kubernetes.io/last-applied-configuration"
    }
    revision_meta: Object = {
        "name": f"{meta['name'][: 252 - len(suffix)]}-{suffix}",
        "namespace": meta["namespace"],
        "labels": labels,
        "ownerReferences": [owner_reference(owner)],
    }
    if annotations:
        revision_meta["annotations"] = annotations
    return {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": revision_meta,
        "data": template_data(template),
        "revision": number,
    }


def is_of(revision: Object, template: Object) -> bool:
    """Whether a revision keeps this template."""
    return bool(revision.get("data") == template_data(template))


def newest_number(revisions: Sequence[Object]) -> int:
    """The highest revision number, 0 for none."""
    return max((one["revision"] for one in revisions), default=0)


def surplus(
    revisions: Sequence[Object], live_hashes: frozenset[str], *, limit: int
) -> list[Object]:
    """The oldest revisions beyond the limit that no pod uses."""
    unused = [one for one in revisions if one["metadata"]["labels"][HASH_LABEL] not in live_hashes]
    unused.sort(key=lambda one: one["revision"])
    return unused[: max(0, len(unused) - limit)]
