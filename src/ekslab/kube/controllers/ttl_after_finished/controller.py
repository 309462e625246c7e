"""The TTL-after-finished controller: deletes Jobs that are over for long enough. Key: the Job.

Upstream: `pkg/controller/ttlafterfinished/ttlafterfinished_controller.go`.
"""

from typing import ClassVar

from ekslab.kube.api.errors import ApiError
from ekslab.kube.api.objects import Item
from ekslab.kube.api.well_known import JOBS
from ekslab.kube.client.informers import Key
from ekslab.kube.controllers.ttl_after_finished.plan import due_s
from ekslab.kube.runtime.controller import DONE, Controller, Result, Toolbox


class TtlAfterFinishedController(Controller[Key]):
    """Deletes finished Jobs after their `ttlSecondsAfterFinished`."""

    name: ClassVar[str] = "ttl-after-finished-controller"

    def __init__(self, tools: Toolbox) -> None:
        super().__init__(tools)
        self._jobs = self.watch(JOBS, self._changed)

    def _changed(self, _old: Item | None, new: Item | None) -> None:
        if new is not None and due_s(new.object) is not None:
            self.queue.add(new.key)

    async def reconcile(self, key: Key) -> Result:
        """Delete the Job if it is time, or come back then."""
        item = self._jobs.get(*key)
        moment_s = due_s(item.object) if item is not None else None
        if item is None or moment_s is None:
            return DONE
        left_s = moment_s - self.clock.now()
        if left_s > 0:
            return Result(requeue_after_s=left_s)
        # The copy may be old: a TTL that was raised meanwhile counts.
        try:
            fresh = await self.client.get(JOBS, item.name, item.namespace)
            if due_s(fresh) != moment_s or fresh["metadata"]["uid"] != item.uid:
                return DONE
            await self.client.delete(
                JOBS, item.name, item.namespace, uid=item.uid, propagation="Foreground"
            )
        except ApiError as error:
            if error.code != 404:
                raise
        return DONE
