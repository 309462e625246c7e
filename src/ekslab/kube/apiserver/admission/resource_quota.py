"""ResourceQuota: refuses what would use more of a namespace than its quotas allow.

Upstream: apiserver `pkg/admission/plugin/resourcequota/controller.go`. What a request uses is added
to `status.used` before the request is carried out, by compare-and-swap on what the newest writer
has left: of two requests for the last pod one is refused. If the request fails afterwards, the
controller counts anew.
"""

from collections.abc import Iterable
from typing import Final

from ekslab.kube.api import errors, quantity, quota
from ekslab.kube.api.objects import Item, encode
from ekslab.kube.api.ports import AdmissionRequest, Lister, Operation
from ekslab.kube.api.quantity import Quantity
from ekslab.kube.api.requests import Object
from ekslab.kube.api.resources import ResourceInfo
from ekslab.kube.api.well_known import RESOURCE_QUOTAS
from ekslab.kube.apiserver.admission.chain import Plugin, refusal
from ekslab.kube.store.port import Key, RevisionConflictError, Store

_ATTEMPTS: Final = 64
_CHANGES_COUNT: Final = frozenset({"services", "persistentvolumeclaims"})
_NOTHING: Final = quantity.of_value(0)


class ResourceQuota(Plugin):
    """Holds namespaces to their quotas."""

    name = "ResourceQuota"

    def __init__(self, lister: Lister, store: Store) -> None:
        self._lister = lister
        self._store = store

    def handles(self, info: ResourceInfo, subresource: str, operation: Operation) -> bool:
        """Every new object of a namespace, and changes of those that can grow."""
        if subresource or not info.namespaced:
            return False
        grows = operation is Operation.UPDATE and info.resource.qualified in _CHANGES_COUNT
        return operation is Operation.CREATE or grows

    async def validate(self, request: AdmissionRequest) -> None:
        """Take what the object uses from every quota that is about it.

        Raises:
            ApiError: 403 if a quota does not allow it.
        """
        if request.obj is None:
            return
        for item in self._lister.list(RESOURCE_QUOTAS, request.request.namespace):
            await self._take(item, request)

    async def _take(self, found: Item, request: AdmissionRequest) -> None:
        key = Key(found.resource, found.namespace, found.name)
        for _ in range(_ATTEMPTS):
            item = await self._store.get_latest(key)
            if item is None:
                return
            used = _after(item.object, request)
            if used is None or request.dry_run:
                return
            status = {**item.object["status"], "used": used}
            try:
                await self._write(item, {**item.object, "status": status})
            except RevisionConflictError:
                continue
            return
        raise errors.conflict("", "resourcequotas", found.name)

    async def _write(self, item: Item, changed: Object) -> None:
        await self._store.put(
            Key(item.resource, item.namespace, item.name),
            lambda revision: encode(
                changed,
                resource=item.resource,
                revision=revision,
                managed=item.segments[1],
                fields=item.fields,
            ),
            expect=item.revision,
        )


def _after(quota_obj: Object, request: AdmissionRequest) -> dict[str, str] | None:
    """`status.used` with the request in it; None if the quota is not about it.

    Raises:
        ApiError: 403 if that would be too much.
    """
    assert request.obj is not None, "validate has looked"
    qualified, name = request.info.resource.qualified, quota_obj["metadata"]["name"]
    limits = quota.hard(quota_obj)
    concerned = sorted(each for each in limits if quota.type_of(each) == qualified)
    if not concerned or not quota.covers(quota_obj, qualified, request.obj):
        return None
    if qualified == "pods":
        wrong = quota.unspecified(concerned, request.obj)
        if wrong:
            raise refusal(request, f"failed quota: {name}: {wrong}")
    used = (quota_obj.get("status") or {}).get("used") or {}
    if any(each not in used for each in concerned):
        told = ",".join(concerned)
        raise refusal(request, f"status unknown for quota: {name}, resources: {told}")
    delta = _delta(qualified, request, concerned)
    if not any(amount.nanos > 0 for amount in delta.values()):
        return None
    before = {each: quantity.parse(used[each]) for each in delta}
    exceeded = [
        each
        for each, amount in delta.items()
        if amount.nanos > 0 and quantity.parse(limits[each]) < before[each] + amount
    ]
    if exceeded:
        asked = _told((each, delta[each]) for each in exceeded)
        now = _told((each, before[each]) for each in exceeded)
        limited = _told((each, quantity.parse(limits[each])) for each in exceeded)
        why = f"exceeded quota: {name}, requested: {asked}, used: {now}, limited: {limited}"
        raise refusal(request, why)
    return {**used, **{each: str(before[each] + amount) for each, amount in delta.items()}}


def _delta(
    qualified: str, request: AdmissionRequest, concerned: Iterable[str]
) -> dict[str, Quantity]:
    assert request.obj is not None, "validate has looked"
    after = quota.usage(qualified, request.obj)
    before = quota.usage(qualified, request.old) if request.old is not None else {}
    return {
        each: after.get(each, _NOTHING) - before.get(each, _NOTHING)
        for each in concerned
        if each in after or each in before
    }


def _told(amounts: Iterable[tuple[str, Quantity]]) -> str:
    return ",".join(f"{name}={amount}" for name, amount in amounts)
