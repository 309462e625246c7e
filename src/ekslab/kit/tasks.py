"""Tasks that belong to somebody. A task's failure reaches its owner; no orphans."""

import asyncio
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Self


class TaskGroup:
    """Tasks that end together: leaving the block, or one of them failing, ends the rest."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._group = asyncio.TaskGroup()
        self._tasks: set[asyncio.Task[Any]] = set()

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._group.__aexit__(kind, error, trace)

    def start(self, work: Coroutine[Any, Any, Any], *, name: str) -> asyncio.Task[Any]:
        """Start `work` as a task of this group."""
        task = self._group.create_task(work, name=f"{self.name}/{name}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def cancel(self) -> None:
        """Ask every task of the group to end; leaving the block waits for them."""
        for task in list(self._tasks):
            task.cancel()


class Service:
    """A long-running component with `start` and `stop`, for owners that are no `async with` block.

    The work runs as one task; `stop` cancels it and waits. A failure is kept and re-raised by
    `stop` and by `wait`, so that it cannot be lost.
    """

    def __init__(self, work: Coroutine[Any, Any, None], *, name: str) -> None:
        self._task = asyncio.get_running_loop().create_task(work, name=name)

    async def wait(self) -> None:
        """Wait until the work ends by itself; raises what it raised."""
        await asyncio.shield(self._task)

    async def stop(self) -> None:
        """End the work and wait for its end; raises what it had raised before."""
        self._task.cancel()
        try:
            await self._task
        except asyncio.CancelledError:
            if not self._task.cancelled():
                raise
