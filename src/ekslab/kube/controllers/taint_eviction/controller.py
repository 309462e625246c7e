"""The taint eviction controller. Key: the pod. Acts as `node-controller`, as upstream does.

Upstream: `pkg/controller/tainteviction/taint_eviction.go`.
"""

from typing import TYPE_CHECKING, ClassVar

from ekslab.kube.api.errors import ApiError
from ekslab.kube.api.objects import Item
from ekslab.kube.api.well_known import NODES, PODS
from ekslab.kube.client.informers import Key
from ekslab.kube.controllers.taint_eviction.plan import (
    disrupted_status,
    leave_at_s,
    no_execute,
)
from ekslab.kube.runtime.controller import DONE, Controller, Result, Toolbox
from ekslab.kube.runtime.pods import PodFacts, PodIndex

if TYPE_CHECKING:
    from ekslab.kube.api.requests import Object


class TaintEvictionController(Controller[Key]):
    """Deletes pods from nodes whose NoExecute taints they do not bear."""

    name: ClassVar[str] = "taint-eviction-controller"

    def __init__(self, tools: Toolbox, pods: PodIndex) -> None:
        super().__init__(tools)
        self._pods = pods
        self._tainted: dict[str, list[Object]] = {}
        self.watch(NODES, self._node_changed)
        self.watch(PODS)
        pods.on_change(self._pod_changed)

    def _node_changed(self, old: Item | None, new: Item | None) -> None:
        item = new or old
        assert item is not None
        known = self._tainted.get(item.name, [])
        taints = (
            no_execute(new.object, known=known, now_s=self.clock.now()) if new is not None else []
        )
        if taints == known:
            return
        if taints:
            self._tainted[item.name] = taints
        else:
            del self._tainted[item.name]
        for pod in self._pods.on_node(item.name):
            self.queue.add(pod.item.key)

    def _pod_changed(self, _old: PodFacts | None, new: PodFacts | None) -> None:
        if new is not None and new.node_name in self._tainted and not new.is_deleting:
            self.queue.add(new.item.key)

    async def reconcile(self, key: Key) -> Result:
        """Delete the pod if its time has come, else come back when it will have."""
        pod = self._pods.get(*key)
        if pod is None or pod.is_deleting:
            return DONE
        taints = self._tainted.get(pod.node_name)
        if not taints:
            return DONE
        now_s = self.clock.now()
        tolerations = pod.item.object["spec"].get("tolerations") or ()
        at_s = leave_at_s(taints, tolerations, since_s=pod.created_s, now_s=now_s)
        if at_s is None:
            return DONE
        if at_s > now_s:
            return Result(requeue_after_s=at_s - now_s)
        await self._evict(pod, now_s)
        return DONE

    async def _evict(self, pod: PodFacts, now_s: float) -> None:
        place = f"{pod.namespace}/{pod.name}"
        self.events.normal(
            pod.item.object, "TaintManagerEviction", f"Marking for deletion Pod {place}"
        )
        change = {
            "metadata": {"uid": pod.uid},
            "status": disrupted_status(pod.item.object, now_s),
        }
        try:
            await self.client.patch(
                PODS, pod.name, pod.namespace, patch=change, subresource="status"
            )
            await self.client.delete(PODS, pod.name, pod.namespace, uid=pod.uid)
        except ApiError as error:
            if error.code not in {404, 409}:
                raise
