"""The namespace controller: deletes what is in a namespace, then the namespace. Key: its name.

Upstream: `pkg/controller/namespace/deletion/namespaced_resources_deleter.go`. Upstream waits five
seconds before it begins, for caches of other API servers; there are none here.
"""

from collections.abc import Callable, Sequence
from typing import ClassVar, Final

from ekslab.kube.api.errors import ApiError
from ekslab.kube.api.objects import Item, editable
from ekslab.kube.api.requests import Object
from ekslab.kube.api.resources import ResourceInfo
from ekslab.kube.api.well_known import NAMESPACES, PODS
from ekslab.kube.controllers.namespace.plan import (
    KUBERNETES,
    Leftovers,
    conditions,
    is_content,
    without_finalizer,
)
from ekslab.kube.runtime.batches import all_of
from ekslab.kube.runtime.commit import commit
from ekslab.kube.runtime.controller import DONE, Controller, Result, Toolbox

_LOOK_AGAIN_S: Final = 0.25
_PODS_END_S: Final = 1.0


class NamespaceController(Controller[str]):
    """Empties namespaces that are being deleted. `resources` gives the types served now."""

    name: ClassVar[str] = "namespace-controller"
    workers: ClassVar[int] = 10

    def __init__(self, tools: Toolbox, resources: Callable[[], Sequence[ResourceInfo]]) -> None:
        super().__init__(tools)
        self._resources = resources
        self._namespaces = self.watch(NAMESPACES, self._changed)

    def _changed(self, _old: Item | None, new: Item | None) -> None:
        if new is not None and "deletionTimestamp" in new.object["metadata"]:
            self.queue.add(new.name)

    async def reconcile(self, key: str) -> Result:
        """Delete what is left in the namespace; when nothing is, take our finalizer away."""
        item = self._namespaces.get("", key)
        if item is None or "deletionTimestamp" not in item.object["metadata"]:
            return DONE
        namespace = item.object
        if KUBERNETES not in ((namespace.get("spec") or {}).get("finalizers") or ()):
            return DONE
        left = await self._empty(key)
        namespace = await self._write_status(namespace, left)
        if not left.is_empty:
            waits = _PODS_END_S if left.counts.get(PODS) else _LOOK_AGAIN_S
            return Result(requeue_after_s=waits)
        try:
            gone = editable(without_finalizer(namespace))
            await self.client.update(NAMESPACES, gone, subresource="finalize")
        except ApiError as error:
            if error.code != 404:
                raise
        return DONE

    async def _empty(self, namespace: str) -> Leftovers:
        left = Leftovers()
        content = {
            info.resource.qualified: info
            for info in self._resources()
            if is_content(info.verbs, namespaced=info.namespaced)
        }
        outcome = await all_of(
            [self._delete_all(info, namespace, left) for info in content.values()]
        )
        if outcome.error is not None:
            left.failures.append(outcome.error.message)
        return left

    async def _delete_all(self, info: ResourceInfo, namespace: str, left: Leftovers) -> None:
        resource = info.resource
        if not (await self.client.list(resource, namespace, limit=1)).items:
            return
        if "deletecollection" in info.verbs:
            await self.client.delete_collection(resource, namespace)
        else:
            for item in (await self.client.list(resource, namespace)).items:
                await self.client.delete(resource, item.name, namespace, propagation="Background")
        remaining = (await self.client.list(resource, namespace)).items
        left.counts[resource] = len(remaining)
        for item in remaining:
            left.finalizers.update(item.object["metadata"].get("finalizers") or ())

    async def _write_status(self, namespace: Object, left: Leftovers) -> Object:
        status = dict(namespace.get("status") or {})
        status["phase"] = "Terminating"
        status["conditions"] = conditions(
            status.get("conditions") or (), left, now_s=self.clock.now()
        )
        return await commit(self.client, NAMESPACES, namespace, {**namespace, "status": status})
