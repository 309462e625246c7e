"""`pods/eviction`: a delete that asks the PodDisruptionBudgets first.

Upstream: `pkg/registry/core/pod/storage/eviction.go`. A pod that counts for nobody (finished,
pending or on its way out) goes at once; one that counts takes one of the disruptions its budget
allows, and is deleted; 429 if there is none left.
"""

from typing import Any, Final

from ekslab.kit.clock import Clock, rfc3339
from ekslab.kube.api import errors
from ekslab.kube.api.errors import ApiError
from ekslab.kube.api.objects import Item, editable, encode
from ekslab.kube.api.ports import Answer, Lister
from ekslab.kube.api.requests import ApiRequest, Object
from ekslab.kube.api.schema.catalog import Catalog
from ekslab.kube.api.selectors import label_selector
from ekslab.kube.api.well_known import POD_DISRUPTION_BUDGETS
from ekslab.kube.apiserver.decoding import Decoder
from ekslab.kube.apiserver.deleting import Deleter
from ekslab.kube.apiserver.options import write_options
from ekslab.kube.apiserver.registry import Served
from ekslab.kube.apiserver.subresources.binding import SUCCESS
from ekslab.kube.store.port import Key, RevisionConflictError, Store

_EVICTION: Final = "io.k8s.api.policy.v1.Eviction"
_ATTEMPTS: Final = 16
_DISRUPTED_MOST: Final = 2_000
_FINISHED: Final = frozenset({"Succeeded", "Failed", "Pending"})
_BUDGETS: Final = POD_DISRUPTION_BUDGETS.qualified


class Evictor:
    """Evicts pods."""

    def __init__(
        self,
        *,
        store: Store,
        lister: Lister,
        decoder: Decoder,
        catalog: Catalog,
        deleter: Deleter,
        clock: Clock,
    ) -> None:
        self._store = store
        self._lister = lister
        self._decoder = decoder
        self._deleter = deleter
        self._clock = clock
        self._schema = catalog.type(_EVICTION)

    async def handle(self, served: Served, request: ApiRequest) -> Answer:
        """Evict the pod of the path.

        Raises:
            ApiError: 404, 409 for preconditions, 429 if a budget does not allow it.
        """
        options = write_options(request)
        eviction = self._decoder.typed(
            request,
            schema=self._schema,
            kind="Eviction",
            api_version="policy/v1",
            mode=options.field_validation,
        )
        item = await self._store.get_latest(served.key(request.namespace, request.name))
        if item is None:
            raise errors.not_found("", "pods", request.name)
        if not _counts_for_nobody(item.object):
            await self._take_disruption(item, dry_run=options.dry_run)
            if not options.dry_run:
                await self._mark(served, item)
        asked = eviction.get("deleteOptions") or {}
        deletion = ApiRequest(
            verb="delete",
            user=request.user,
            resource=request.resource,
            namespace=request.namespace,
            name=request.name,
            options=request.options,
            body={"kind": "DeleteOptions", "apiVersion": "v1", **asked},
            user_agent=request.user_agent,
        )
        await self._deleter.delete(served, deletion)
        return Answer(code=201, obj=SUCCESS)

    async def _take_disruption(self, pod: Item, *, dry_run: bool) -> None:
        """Take one disruption from the budget that covers the pod, if any does."""
        for _ in range(_ATTEMPTS):
            budgets = [
                budget
                for budget in self._lister.list(POD_DISRUPTION_BUDGETS, pod.namespace)
                if _covers(budget.object, pod)
            ]
            if not budgets:
                return
            if len(budgets) > 1:
                message = (
                    "This pod has more than one PodDisruptionBudget, which the eviction"
                    " subresource does not support."
                )
                raise ApiError(500, "InternalError", message)
            budget = await self._store.get_latest(Key(_BUDGETS, pod.namespace, budgets[0].name))
            if budget is None or _is_free(budget.object, pod.object):
                return
            changed = _disrupted(budget.object, pod.name, now=rfc3339(self._clock.now()))
            if dry_run:
                return
            try:
                await self._write_back(budget, changed)
            except RevisionConflictError:
                continue
            return
        raise errors.too_many_requests(
            f"couldn't update PodDisruptionBudget of pod {pod.name} due to conflicts",
            retry_after_s=10,
        )

    async def _mark(self, served: Served, pod: Item) -> None:
        """Say in the pod's conditions why it goes; a pod that changed meanwhile goes unmarked."""
        obj = editable(pod.object)
        status = obj.setdefault("status", {})
        others = [c for c in status.get("conditions") or () if c.get("type") != "DisruptionTarget"]
        target = {
            "type": "DisruptionTarget",
            "status": "True",
            "reason": "EvictionByEvictionAPI",
            "message": "Eviction API: evicting",
            "lastTransitionTime": rfc3339(self._clock.now()),
        }
        status["conditions"] = [*others, target]
        managed = pod.segments[1]
        key = served.key(pod.namespace, pod.name)
        try:
            await self._store.put(
                key,
                lambda revision: served.encode(obj, revision=revision, managed=managed),
                expect=pod.revision,
            )
        except RevisionConflictError:
            return

    async def _write_back(self, budget: Item, changed: Object) -> None:
        await self._store.put(
            Key(_BUDGETS, budget.namespace, budget.name),
            lambda revision: encode(
                changed,
                resource=_BUDGETS,
                revision=revision,
                managed=budget.segments[1],
                fields=budget.fields,
            ),
            expect=budget.revision,
        )


def _counts_for_nobody(pod: Object) -> bool:
    phase = (pod.get("status") or {}).get("phase", "")
    return phase in _FINISHED or "deletionTimestamp" in pod["metadata"]


def _covers(budget: Object, pod: Item) -> bool:
    return label_selector((budget.get("spec") or {}).get("selector")).matches(pod.labels)


def _is_ready(pod: Object) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(c.get("type") == "Ready" and c.get("status") == "True" for c in conditions)


def _is_free(budget: Object, pod: Object) -> bool:
    """Whether an unready pod may go without taking a disruption (unhealthyPodEvictionPolicy)."""
    if _is_ready(pod):
        return False
    if (budget.get("spec") or {}).get("unhealthyPodEvictionPolicy") == "AlwaysAllow":
        return True
    status = budget.get("status") or {}
    healthy, desired = status.get("currentHealthy", 0), status.get("desiredHealthy", 0)
    return bool(desired > 0 and healthy >= desired)


def _disrupted(budget: Object, pod_name: str, *, now: str) -> Object:
    """The budget with one disruption less.

    Raises:
        ApiError: 429, if it allows none, 403 if its numbers make no sense.
    """
    name = budget["metadata"]["name"]
    status: dict[str, Any] = dict(budget.get("status") or {})
    if status.get("observedGeneration", 0) < budget["metadata"].get("generation", 0):
        why = f"The disruption budget {name} is still being processed by the server."
        raise _refused(why, retry_after_s=10)
    allowed = status.get("disruptionsAllowed", 0)
    if allowed < 0:
        why = "pdb disruptions allowed is negative"
        raise errors.forbidden("policy", "poddisruptionbudget", name, why)
    disrupted = dict(status.get("disruptedPods") or {})
    if len(disrupted) > _DISRUPTED_MOST:
        why = "DisruptedPods map too big - too many evictions not confirmed by PDB controller"
        raise errors.forbidden("policy", "poddisruptionbudget", name, why)
    if allowed == 0:
        raise _refused(_why_none(name, status), retry_after_s=0)
    status["disruptionsAllowed"] = allowed - 1
    if allowed == 1:
        status["conditions"] = _none_left(status, now=now)
    status["disruptedPods"] = disrupted | {pod_name: now}
    return {**budget, "status": status}


def _why_none(name: str, status: Object) -> str:
    healthy, desired = status.get("currentHealthy", 0), status.get("desiredHealthy", 0)
    told = _allowed_condition(status)
    if healthy >= desired and told.get("reason") == "SyncFailed":
        return (
            f"The disruption budget {name} does not allow evicting pods currently because it"
            f" failed sync: {told.get('message', '')}"
        )
    return f"The disruption budget {name} needs {desired} healthy pods and has {healthy} currently"


def _allowed_condition(status: Object) -> Object:
    told = (c for c in status.get("conditions") or () if c.get("type") == "DisruptionAllowed")
    return next(told, {})


def _none_left(status: Object, *, now: str) -> list[Object]:
    """The conditions after the last disruption was taken."""
    old = _allowed_condition(status)
    new: Object = {
        "type": "DisruptionAllowed",
        "status": "False",
        "lastTransitionTime": old["lastTransitionTime"] if old.get("status") == "False" else now,
        "reason": "InsufficientPods",
        "message": "",
    }
    if status.get("observedGeneration"):
        new["observedGeneration"] = status["observedGeneration"]
    return [*(c for c in status.get("conditions") or () if c is not old), new]


def _refused(why: str, *, retry_after_s: int) -> ApiError:
    details: dict[str, Any] = {"causes": [{"reason": "DisruptionBudget", "message": why}]}
    headers = {}
    if retry_after_s:
        details["retryAfterSeconds"] = retry_after_s
        headers["Retry-After"] = str(retry_after_s)
    message = "Cannot evict pod as it would violate the pod's disruption budget."
    return ApiError(429, "TooManyRequests", message, details=details, headers=headers)
