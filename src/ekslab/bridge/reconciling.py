"""The loop of the bridge's own controllers: keys, workers, back-off.

The contract of `kube.runtime` (level-triggered, idempotent, client-go's queue), for those whose
keys are objects of the account and who stand above any one cluster.
"""

from collections.abc import Awaitable, Callable
from typing import Final

from ekslab.bridge.aws.client import AwsError
from ekslab.kit import logs
from ekslab.kit.clock import Clock
from ekslab.kit.tasks import TaskGroup
from ekslab.kube.api.errors import ApiError
from ekslab.kube.runtime.work_queue import WorkQueue

# What passes: a side refused or cannot be reached, a thing is not there yet, a disk is full.
_RETRIED: Final = (AwsError, ApiError, LookupError, OSError)


class ReconcileLoop:
    """Works on keys by name, each with one worker at a time; what fails is tried again."""

    def __init__(
        self,
        reconcile: Callable[[str], Awaitable[float]],
        *,
        name: str,
        clock: Clock,
        workers: int,
    ) -> None:
        """`reconcile(key)` gives after how many seconds to look again; 0: when it changes."""
        self.name = name
        self._reconcile = reconcile
        self._workers = workers
        self._queue: WorkQueue[str] = WorkQueue(clock=clock)
        self._log = logs.get(name)

    def add(self, key: str) -> None:
        """Look at this key."""
        self._queue.add(key)

    def failures(self, key: str) -> int:
        """How often in a row this key failed."""
        return self._queue.failures(key)

    async def run(self) -> None:
        """Work until cancelled."""
        try:
            async with TaskGroup(self.name) as tasks:
                for number in range(self._workers):
                    tasks.start(self._work(), name=f"worker-{number}")
        finally:
            self._queue.close()

    async def _work(self) -> None:
        while True:
            key = await self._queue.get()
            try:
                again_s = await self._reconcile(key)
            except _RETRIED as error:
                retry_in_s = self._queue.add_rate_limited(key)
                self._log.info("retrying", key=key, error=str(error), retry_in_s=retry_in_s)
            else:
                self._queue.forget(key)
                if again_s:
                    self._queue.add_after(key, again_s)
            finally:
                self._queue.done(key)
