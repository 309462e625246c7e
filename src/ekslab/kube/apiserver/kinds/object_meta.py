"""Validation of metadata, as upstream's `apimachinery/pkg/api/validation/objectmeta.go`."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from ekslab.kube.api import names
from ekslab.kube.api.errors import CAUSES_MOST, Cause
from ekslab.kube.apiserver.kinds.field_errors import (
    each_invalid,
    forbidden,
    go_quote,
    invalid,
    not_negative,
    required,
    too_long,
    unchanged,
)

ANNOTATIONS_BYTES_MOST: Final = 256 * 1024
STANDARD_FINALIZERS: Final = frozenset({"kubernetes", "orphan", "foregroundDeletion"})
_CLASHES_MOST: Final = 10
_NOTHING: Final[Mapping[str, Any]] = {}
_CLASHING_FINALIZERS: Final = frozenset({"orphan", "foregroundDeletion"})
_IMMUTABLE: Final = (
    "name", "namespace", "uid", "creationTimestamp", "deletionTimestamp",
    "deletionGracePeriodSeconds",
)  # fmt: skip


def validate_meta(
    meta: Mapping[str, Any], *, namespaced: bool, rule: names.Rule, path: str = "metadata"
) -> list[Cause]:
    """Check the metadata of a new object; `rule` is what names of its kind look like."""
    causes: list[Cause] = []
    prefix = meta.get("generateName")
    if prefix:
        wrong = rule(names.as_prefix(prefix))
        causes.extend(each_invalid(f"{path}.generateName", prefix, wrong))
    name = meta.get("name")
    if not name:
        causes.append(required(f"{path}.name", "name or generateName is required"))
    else:
        wrong = rule(name)
        if wrong:
            causes.extend(each_invalid(f"{path}.name", name, wrong))
    namespace = meta.get("namespace")
    if namespaced:
        if not namespace:
            causes.append(required(f"{path}.namespace"))
        else:
            wrong = names.is_dns1123_label(namespace)
            if wrong:
                causes.extend(each_invalid(f"{path}.namespace", namespace, wrong))
    elif namespace:
        causes.append(forbidden(f"{path}.namespace", "not allowed on this type"))
    causes.extend(not_negative(f"{path}.generation", meta.get("generation")))
    causes.extend(_validate_parts(meta, path))
    return causes


def validate_meta_update(
    meta: Mapping[str, Any], old: Mapping[str, Any], *, path: str = "metadata"
) -> list[Cause]:
    """Check changed metadata. The resourceVersion is the pipeline's business, not ours."""
    causes: list[Cause] = []
    if "deletionTimestamp" in old:
        before = old.get("finalizers") or ()
        added = [name for name in meta.get("finalizers") or () if name not in before]
        if added:
            text = ", ".join(go_quote(name) for name in sorted(set(added)))
            why = (
                "no new finalizers can be added if the object is being deleted,"
                f" found new finalizers []string{{{text}}}"
            )
            causes.append(forbidden(f"{path}.finalizers", why))
    generation = meta.get("generation") or 0
    if generation < (old.get("generation") or 0):
        causes.append(invalid(f"{path}.generation", generation, "must not be decremented"))
    for field in _IMMUTABLE:
        if meta.get(field) != old.get(field):
            causes.extend(unchanged(f"{path}.{field}", meta.get(field), old.get(field)))
    causes.extend(_validate_parts(meta, path, old))
    return causes


def _validate_parts(
    meta: Mapping[str, Any], path: str, old: Mapping[str, Any] = _NOTHING
) -> list[Cause]:
    """What a change leaves as it was is as valid as it was."""
    causes: list[Cause] = []
    if meta.get("labels") != old.get("labels"):
        causes.extend(validate_labels(meta.get("labels"), f"{path}.labels"))
    if meta.get("annotations", _NOTHING) != old.get("annotations", _NOTHING):
        annotations = meta.get("annotations") or _NOTHING
        causes.extend(validate_annotations(annotations, f"{path}.annotations"))
    owners = meta.get("ownerReferences")
    if owners and owners != old.get("ownerReferences"):
        causes.extend(_validate_owners(owners, f"{path}.ownerReferences"))
    if meta.get("finalizers") and meta["finalizers"] != old.get("finalizers"):
        causes.extend(_validate_finalizers(meta["finalizers"], f"{path}.finalizers"))
    return causes


def validate_labels(labels: Mapping[str, str] | None, path: str) -> list[Cause]:
    """Keys are qualified names, values label values."""
    causes: list[Cause] = []
    for key, value in (labels or _NOTHING).items():
        if len(causes) >= CAUSES_MOST:
            break
        wrong = names.is_qualified_name(key)
        if wrong:
            causes.extend(each_invalid(path, key, wrong))
        wrong = names.is_label_value(value)
        if wrong:
            causes.extend(each_invalid(path, value, wrong))
    return causes


def validate_annotations(annotations: Mapping[str, str], path: str) -> list[Cause]:
    """Keys are qualified names (in any case); all together at most 256 KiB."""
    causes: list[Cause] = []
    total = 0
    for key, value in annotations.items():
        wrong = names.is_qualified_name(key.lower())
        if wrong and len(causes) < CAUSES_MOST:
            causes.extend(each_invalid(path, key, wrong))
        total += len(key.encode()) + len(value.encode())
    if total > ANNOTATIONS_BYTES_MOST:
        causes.append(too_long(path, ANNOTATIONS_BYTES_MOST))
    return causes


def _validate_owners(owners: Sequence[Mapping[str, Any]], path: str) -> list[Cause]:
    causes: list[Cause] = []
    controller = ""
    for index, owner in enumerate(owners):
        if len(causes) >= CAUSES_MOST:
            break
        at = f"{path}[{index}]"
        if not owner.get("apiVersion"):
            causes.append(invalid(f"{at}.apiVersion", "", "version must not be empty"))
        causes.extend(
            invalid(f"{at}.{field}", "", "must not be empty")
            for field in ("kind", "name", "uid")
            if not owner.get(field)
        )
        if owner.get("kind") == "Event" and owner.get("apiVersion") == "v1":
            causes.append(
                invalid(at, dict(owner), "/v1, Kind=Event is disallowed from being an owner")
            )
        if owner.get("controller"):
            # Each names all references: a body full of controllers would cost gigabytes.
            if controller and len(causes) < _CLASHES_MOST:
                why = (
                    'Only one reference can have Controller set to true. Found "true" in'
                    f" references for {controller} and {owner.get('name', '')}"
                )
                causes.append(invalid(path, [dict(each) for each in owners], why))
            controller = owner.get("name", "")
    return causes


def _validate_finalizers(finalizers: Sequence[str], path: str) -> list[Cause]:
    causes: list[Cause] = []
    for name in finalizers:
        if len(causes) >= CAUSES_MOST:
            break
        causes.extend(each_invalid(path, name, names.is_qualified_name(name)))
    if set(finalizers) >= _CLASHING_FINALIZERS:
        why = "finalizer orphan and foregroundDeletion cannot be both set"
        causes.append(invalid(path, list(finalizers), why))
    return causes


def validate_core_finalizers(meta: Mapping[str, Any], path: str = "metadata") -> list[Cause]:
    """The stricter rule of core's own types: a bare finalizer must be a standard one."""
    return [
        invalid(
            f"{path}.finalizers[{index}]",
            name,
            "name is neither a standard finalizer name nor is it fully qualified",
        )
        for index, name in enumerate(meta.get("finalizers") or ())
        if "/" not in name and name not in STANDARD_FINALIZERS
    ]
