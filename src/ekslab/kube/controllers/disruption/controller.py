"""The disruption controller: watches, keys, reads and writes. Decisions are in `plan`.

Upstream: `pkg/controller/disruption/disruption.go`. Two kinds of keys: a budget whose numbers may
have changed, and a pod that is called the target of a disruption and may not have been one.
"""

from collections.abc import Callable, Sequence
from typing import ClassVar, Final, Literal

from ekslab.kube.api.errors import ApiError
from ekslab.kube.api.objects import Item
from ekslab.kube.api.requests import Object
from ekslab.kube.api.resources import ResourceInfo
from ekslab.kube.api.well_known import (
    DEPLOYMENTS,
    POD_DISRUPTION_BUDGETS,
    PODS,
    REPLICA_SETS,
    REPLICATION_CONTROLLERS,
    STATEFUL_SETS,
)
from ekslab.kube.client.informers import Informer, Key
from ekslab.kube.controllers.disruption import plan
from ekslab.kube.runtime.commit import commit
from ekslab.kube.runtime.controller import DONE, Controller, Result, Toolbox
from ekslab.kube.runtime.pods import PodFacts, PodIndex, controller_of
from ekslab.kube.runtime.selection import as_query, matcher

_Key = tuple[Literal["budget", "pod"], Key]

_COUNT_AT_ONCE: Final = 100
_PODS_COUNTED_PER_S: Final = 10_000
_UNMANAGED: Final = (
    "Pods selected by this PodDisruptionBudget (selector: {}) were found to be unmanaged. As a"
    " result, the status of the PDB cannot be calculated correctly, which may result in undefined"
    ' behavior. To account for these pods please set ".spec.minAvailable" field of the PDB to an'
    " integer value."
)


class _CannotCountError(Exception):
    """How many pods there should be cannot be known; the text says why."""


class DisruptionController(Controller[_Key]):
    """Keeps the status of PodDisruptionBudgets. `resources` gives the types served now."""

    name: ClassVar[str] = "disruption-controller"

    def __init__(
        self,
        tools: Toolbox,
        pods: PodIndex,
        resources: Callable[[], Sequence[ResourceInfo]],
    ) -> None:
        super().__init__(tools)
        self._pods = pods
        self._resources = resources
        self._budgets = self.watch(POD_DISRUPTION_BUDGETS, self._budget_changed)
        self._replica_sets = self.watch(REPLICA_SETS)
        self._plain: dict[tuple[str, str], Informer] = {
            ("v1", "ReplicationController"): self.watch(REPLICATION_CONTROLLERS),
            ("apps/v1", "ReplicaSet"): self._replica_sets,
            ("apps/v1", "StatefulSet"): self.watch(STATEFUL_SETS),
            ("apps/v1", "Deployment"): self.watch(DEPLOYMENTS),
        }
        self.watch(PODS)
        pods.on_change(self._pod_changed)

    def _budget_changed(self, _old: Item | None, new: Item | None) -> None:
        if new is not None:
            self.queue.add(("budget", new.key))

    def _pod_changed(self, old: PodFacts | None, new: PodFacts | None) -> None:
        pod = new or old
        assert pod is not None
        if new is not None:
            stale_in_s = plan.stale_in_s(new, self.clock.now())
            if stale_in_s is not None:
                self.queue.add_after(("pod", (new.namespace, new.name)), stale_in_s)
        if old is not None and new is not None and _is_alike(old, new):
            return
        for budget in self._budgets.list(pod.namespace):
            matches = matcher((budget.object.get("spec") or {}).get("selector"))
            if any(one is not None and matches(one.labels) for one in (old, new)):
                count = (budget.object.get("status") or {}).get("expectedPods", 0)
                delay_s = min(1.0, count / _PODS_COUNTED_PER_S) if count > _COUNT_AT_ONCE else 0.0
                self.queue.add_after(("budget", budget.key), delay_s)

    async def reconcile(self, key: _Key) -> Result:
        """Write one budget's status, or clear one pod's stale condition."""
        kind, name = key
        if kind == "pod":
            return await self._clear_stale(name)
        item = self._budgets.get(*name)
        if item is None:
            return DONE
        try:
            return await self._count(item.object)
        except (_CannotCountError, ApiError) as error:
            if isinstance(error, ApiError) and error.code == 409:
                raise
            why = error.message if isinstance(error, ApiError) else str(error)
            self.log.warning("cannot count", budget=name, error=why)
            await self._write(item.object, plan.failed_status(item.object, why, now_s=self._now()))
            return DONE

    def _now(self) -> float:
        return self.clock.now()

    async def _count(self, budget: Object) -> Result:
        matches = matcher((budget.get("spec") or {}).get("selector"))
        namespace = budget["metadata"]["namespace"]
        pods = [pod for pod in self._pods.in_namespace(namespace) if matches(pod.labels)]
        if not pods:
            self.events.normal(budget, "NoPods", "No matching pods found")
        scale = await self._expected_scale(budget, pods) if plan.needs_scale(budget) else 0
        wanted = plan.demand(budget, pods=len(pods), scale=scale)
        evicted = plan.disrupted(budget, pods, now_s=self._now())
        for pod in evicted.overdue:
            self.events.warning(
                pod.item.object, "NotDeleted",
                f"Pod was expected by PDB {namespace}/{budget['metadata']['name']} to be deleted"
                " but it wasn't",
            )  # fmt: skip
        current = plan.healthy(pods, evicted.awaited)
        status = plan.status(budget, wanted, current, evicted.awaited, now_s=self._now())
        await self._write(budget, status)
        return Result(requeue_after_s=evicted.look_again_s)

    async def _write(self, budget: Object, status: Object) -> None:
        await commit(self.client, POD_DISRUPTION_BUDGETS, budget, {**budget, "status": status})

    async def _expected_scale(self, budget: Object, pods: Sequence[PodFacts]) -> int:
        """How many pods the owners of these pods want together (upstream: getExpectedScale)."""
        scales: dict[str, int] = {}
        seen: set[str] = set()
        has_unmanaged = False
        for pod in pods:
            if not pod.owner_uid:
                has_unmanaged = True
            elif pod.owner_uid not in seen:
                seen.add(pod.owner_uid)
                try:
                    uid, scale = await self._scale_of_owner(pod)
                except (_CannotCountError, ApiError) as error:
                    why = error.message if isinstance(error, ApiError) else str(error)
                    self.events.warning(
                        budget, "CalculateExpectedPodCountFailed",
                        f"Failed to calculate the number of expected pods: {why}",
                    )  # fmt: skip
                    raise
                scales[uid] = scale
        if has_unmanaged:
            selector = as_query((budget.get("spec") or {}).get("selector") or {})
            self.events.warning(budget, "UnmanagedPods", _UNMANAGED.format(selector))
        return sum(scales.values())

    async def _scale_of_owner(self, pod: PodFacts) -> tuple[str, int]:
        """Uid and wish of what controls the pod; of a Deployment, if it controls that."""
        owner = controller_of(pod.item.object)
        assert owner is not None
        found = self._known(pod.namespace, owner)
        if found is not None and owner["kind"] == "ReplicaSet":
            above = controller_of(found.object)
            if above is not None and above["kind"] == "Deployment":
                found = self._known(pod.namespace, above)
        if found is not None:
            return found.uid, found.object["spec"].get("replicas", 1)
        if (owner["apiVersion"], owner["kind"]) not in self._plain:
            return await self._scale_of_other(pod, owner)
        raise _CannotCountError(f'found no controllers for pod "{pod.name}"')

    def _known(self, namespace: str, owner: Object) -> Item | None:
        informer = self._plain.get((owner["apiVersion"], owner["kind"]))
        item = informer.get(namespace, owner["name"]) if informer is not None else None
        return item if item is not None and item.uid == owner["uid"] else None

    async def _scale_of_other(self, pod: PodFacts, owner: Object) -> tuple[str, int]:
        """Ask the scale subresource of an owner of any other kind."""
        info = next(
            (
                one
                for one in self._resources()
                if (one.api_version, one.kind) == (owner["apiVersion"], owner["kind"])
            ),
            None,
        )
        if info is None:
            raise _CannotCountError(
                f'no matches for kind "{owner["kind"]}" in version "{owner["apiVersion"]}"'
            )
        if info.subresource("scale") is None:
            what = info.resource.qualified
            raise _CannotCountError(f"{what} does not implement the scale subresource")
        scale = await self.client.get(
            info.resource, owner["name"], pod.namespace, subresource="scale"
        )
        if scale["metadata"]["uid"] != owner["uid"]:
            raise _CannotCountError(f'found no controllers for pod "{pod.name}"')
        return owner["uid"], (scale.get("spec") or {}).get("replicas", 0)

    async def _clear_stale(self, key: Key) -> Result:
        pod = self._pods.get(*key)
        remaining_s = plan.stale_in_s(pod, self._now()) if pod is not None else None
        if pod is None or remaining_s is None:
            return DONE
        if remaining_s > 0:
            return Result(requeue_after_s=remaining_s)
        obj = pod.item.object
        await commit(
            self.client, PODS, obj, {**obj, "status": plan.no_longer_target(obj, self._now())}
        )
        return DONE


def _is_alike(old: PodFacts, new: PodFacts) -> bool:
    """Whether budgets see no difference."""
    return (
        old.is_ready == new.is_ready
        and old.is_deleting == new.is_deleting
        and old.owner_uid == new.owner_uid
        and old.labels == new.labels
    )
