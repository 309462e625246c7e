"""Many moments, one timer: a heap of what is due when, behind a single timer of the lab clock."""

import asyncio
import heapq
from collections.abc import Callable
from typing import Final

from ekslab.kit.clock import Clock

_SLICE: Final = 64


class Timers:
    """Callbacks at moments of lab time. `run` calls them; it ends only by cancellation.

    There is no way to take one back: a callback finds out by itself whether it is still wanted.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._heap: list[tuple[float, int, Callable[[], object]]] = []
        self._count = 0
        self._wakeup = asyncio.Event()

    def __len__(self) -> int:
        return len(self._heap)

    def at(self, due_s: float, callback: Callable[[], object]) -> None:
        """Call `callback` at `due_s` (seconds since the epoch), or soon if that is past."""
        self._count += 1
        heapq.heappush(self._heap, (due_s, self._count, callback))
        if self._heap[0][1] == self._count:
            self._wakeup.set()

    async def run(self) -> None:
        """Call what is due, a slice at a time, so that the loop never stalls."""
        while True:
            called = 0
            while self._heap and self._heap[0][0] <= self._clock.now():
                heapq.heappop(self._heap)[2]()
                called += 1
                if called % _SLICE == 0:
                    await asyncio.sleep(0)
            await self._wait()

    async def _wait(self) -> None:
        self._wakeup.clear()
        timer = None
        if self._heap:
            wait_s = max(0.0, self._heap[0][0] - self._clock.now())
            timer = self._clock.call_later(wait_s, self._wakeup.set)
        try:
            await self._wakeup.wait()
        finally:
            if timer is not None:
                timer.cancel()
