"""The pod garbage collector: a sweep every 20 seconds. Key: the sweep.

Upstream: `pkg/controller/podgc/gc_controller.go`.
"""

from collections.abc import Sequence
from typing import ClassVar, Final

from ekslab.kube.api.errors import ApiError
from ekslab.kube.api.well_known import NODES, PODS
from ekslab.kube.controllers.pod_gc import plan
from ekslab.kube.runtime.batches import all_of
from ekslab.kube.runtime.controller import Controller, Result, Toolbox
from ekslab.kube.runtime.pods import PodFacts, PodIndex

_PERIOD_S: Final = 20.0
_AT_ONCE: Final = 500


class PodGarbageCollector(Controller[str]):
    """Sweeps pods away that nobody else will."""

    name: ClassVar[str] = "pod-garbage-collector"
    workers: ClassVar[int] = 1

    def __init__(self, tools: Toolbox, pods: PodIndex) -> None:
        super().__init__(tools)
        self._pods = pods
        self._nodes = self.watch(NODES)
        self._missing_since: dict[str, float] = {}
        self.watch(PODS)
        self.queue.add("sweep")

    async def reconcile(self, key: str) -> Result:  # noqa: ARG002 - there is one sweep
        """Sweep once."""
        pods, now_s = self._pods.all(), self.clock.now()
        nodes = {item.name for item in self._nodes.list()}
        self._note_missing({pod.node_name for pod in pods if pod.node_name} - nodes, now_s)
        orphaned = plan.orphaned(pods, nodes, self._missing_since, now_s)
        await self._sweep(plan.terminated(pods), fails=False)
        await self._sweep(orphaned, fails=True)
        await self._sweep(plan.unbound_and_ending(pods), fails=False)
        return Result(requeue_after_s=_PERIOD_S)

    def _note_missing(self, missing: set[str], now_s: float) -> None:
        self._missing_since = {
            name: self._missing_since.get(name, now_s) for name in sorted(missing)
        }

    async def _sweep(self, pods: Sequence[PodFacts], *, fails: bool) -> None:
        async def sweep(pod: PodFacts) -> None:
            try:
                if fails and not pod.is_terminal:
                    status = plan.failed_status(pod.item.object, self.clock.now())
                    await self.client.patch(
                        PODS, pod.name, pod.namespace,
                        patch={"metadata": {"uid": pod.uid}, "status": status},
                        subresource="status",
                    )  # fmt: skip
                await self.client.delete(
                    PODS, pod.name, pod.namespace, uid=pod.uid, grace_period_s=0
                )
            except ApiError as error:
                if error.code not in {404, 409}:
                    raise

        for start in range(0, len(pods), _AT_ONCE):
            outcome = await all_of([sweep(pod) for pod in pods[start : start + _AT_ONCE]])
            if outcome.error is not None:
                raise outcome.error
