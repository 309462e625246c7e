"""What a written object must agree with: the path it was sent to, and the object that is there.

Upstream: `apiserver/pkg/registry/rest/{create,update}.go`, `pkg/registry/generic/registry/store.go`
and `pkg/endpoints/handlers/update.go`.
"""

from typing import Final

from ekslab.kube.api import errors
from ekslab.kube.api.errors import ApiError, Cause, bad_request
from ekslab.kube.api.objects import Item
from ekslab.kube.api.requests import ApiRequest, Object
from ekslab.kube.apiserver.registry import Served

SERVER_FIELDS: Final = ("uid", "creationTimestamp", "deletionTimestamp", "selfLink",
                        "deletionGracePeriodSeconds")  # fmt: skip
"""Metadata that the server gives, whatever a body says."""

_BOOKKEEPING: Final = frozenset({"resourceVersion", "managedFields"})
_OBJECT_BYTES_MOST: Final = 1_572_864  # etcd's default --max-request-bytes


def check_size(item: Item) -> Item:
    """The item, if an etcd would take it.

    Raises:
        ApiError: 413, in etcd's words (upstream hands them on as a 500).
    """
    if sum(map(len, item.segments)) > _OBJECT_BYTES_MOST:
        raise ApiError(413, "RequestEntityTooLarge", "etcdserver: request is too large")
    return item


def check_namespace(obj: Object, request: ApiRequest, served: Served) -> None:
    """The object is of the namespace of the request, or takes it."""
    meta = obj["metadata"]
    if not served.info.namespaced:
        return
    if not meta.get("namespace"):
        meta["namespace"] = request.namespace
    elif meta["namespace"] != request.namespace:
        if request.verb == "create":
            message = (
                "the namespace of the provided object does not match the namespace sent on the"
                " request"
            )
        else:
            message = (
                f"the namespace of the object ({meta['namespace']}) does not match the namespace"
                f" on the request ({request.namespace})"
            )
        raise bad_request(message)


def check_name(obj: Object, request: ApiRequest) -> None:
    """The object has the name of the URL."""
    name = obj["metadata"].get("name", "")
    if not name:
        message = (
            f"the name of the object ({request.name} based on URL) was undeterminable:"
            " name must be provided"
        )
        raise bad_request(message)
    if name != request.name:
        message = (
            f"the name of the object ({name}) does not match the name on the URL ({request.name})"
        )
        raise bad_request(message)


def check_version(served: Served, obj: Object, item: Item) -> None:
    """The uid and resourceVersion an object carries are preconditions."""
    meta = obj["metadata"]
    resource = served.resource
    uid = meta.get("uid")
    if uid and uid != item.uid:
        why = f"Precondition failed: UID in precondition: {uid}, UID in object meta: {item.uid}"
        raise errors.conflict(resource.group, resource.plural, item.name, why)
    version = meta.get("resourceVersion", "")
    if not version or version == "0":
        if not served.strategy.allows_unconditional_update:
            cause = Cause(
                "metadata.resourceVersion", "Invalid value: 0x0: must be specified for an update"
            )
            raise errors.invalid(resource.group, resource.plural, item.name, [cause])
    elif version != item.resource_version:
        if not version.isdigit():
            cause = Cause(
                "metadata.resourceVersion",
                f'Invalid value: "{version}": strconv.ParseUint: parsing "{version}":'
                " invalid syntax",
            )
            raise errors.invalid(resource.group, served.info.kind, item.name, [cause])
        raise errors.conflict(resource.group, resource.plural, item.name)


def keep_server_fields(obj: Object, old: Object) -> None:
    """An update cannot touch what the server gave (upstream: BeforeUpdate)."""
    meta, before = obj["metadata"], old["metadata"]
    for field in SERVER_FIELDS:
        if field in before:
            meta[field] = before[field]
        else:
            meta.pop(field, None)


def is_same(obj: Object, old: Object) -> bool:
    """Whether a change changes nothing but bookkeeping."""
    if obj.keys() != old.keys():
        return False
    for key, value in obj.items():
        if key != "metadata" and value != old[key]:
            return False
    meta, before = obj["metadata"], old["metadata"]
    for key in meta.keys() | before.keys():
        if key not in _BOOKKEEPING and meta.get(key) != before.get(key):
            return False
    return True


def is_done(served: Served, obj: Object, old: Object) -> bool:
    """Whether an object that was deleted before waits for nothing any more."""
    if obj["metadata"].get("finalizers"):
        return False
    before = old["metadata"]
    if served.storage == "namespaces":
        return "deletionTimestamp" in before and not (obj.get("spec") or {}).get("finalizers")
    return bool(before.get("deletionGracePeriodSeconds") == 0)
