"""The queue between informers and reconcilers, with client-go's guarantees (`util/workqueue`).

- A key is in the queue once, however often it is added.
- A key is never with two workers: added while it is worked on, it comes again after `done`.
- `add_after` puts a key in later, on the lab clock; of two such promises the earlier one stands.
- `add_rate_limited` waits 5 ms, 10 ms, 20 ms, ... 1000 s, doubling until `forget`
  (`DefaultTypedControllerRateLimiter`).

Keys name objects that exist, so the queue is as long as the cluster is big; at `limit` keys `add`
raises, which ends the controller.
"""

import asyncio
from collections import deque
from collections.abc import Hashable
from typing import Final, Generic, TypeVar

from ekslab.kit.clock import Clock, Timer
from ekslab.kit.queues import QueueOverflowError

K = TypeVar("K", bound=Hashable)

BACKOFF_FIRST_S: Final = 0.005
BACKOFF_MOST_S: Final = 1000.0
_LIMIT: Final = 4_000_000


class WorkQueue(Generic[K]):
    """Keys to be worked on."""

    def __init__(self, *, clock: Clock, limit: int = _LIMIT) -> None:
        self._clock = clock
        self._limit = limit
        self._ready: deque[K] = deque()
        self._dirty: set[K] = set()
        self._processing: set[K] = set()
        self._timers: dict[K, tuple[float, Timer]] = {}
        self._failures: dict[K, int] = {}
        self._waiting: deque[asyncio.Future[None]] = deque()

    def __len__(self) -> int:
        return len(self._ready)

    @property
    def is_idle(self) -> bool:
        """Nothing is ready and nobody works; promises for later do not count."""
        return not self._dirty and not self._processing

    def add(self, key: K) -> None:
        """Put a key in, unless it waits already.

        Raises:
            QueueOverflowError: `limit` keys wait already.
        """
        if key in self._dirty:
            return
        if len(self._dirty) >= self._limit:
            raise QueueOverflowError
        self._dirty.add(key)
        if key not in self._processing:
            self._append(key)

    def add_after(self, key: K, delay_s: float) -> None:
        """Put a key in after `delay_s` seconds of lab time, or before, if that is promised."""
        if delay_s <= 0:
            self.add(key)
            return
        due_s = self._clock.now() + delay_s
        promised = self._timers.get(key)
        if promised is not None:
            if promised[0] <= due_s:
                return
            promised[1].cancel()
        elif len(self._timers) >= self._limit:
            raise QueueOverflowError
        self._timers[key] = (due_s, self._clock.call_later(delay_s, lambda: self._due(key)))

    def add_rate_limited(self, key: K) -> float:
        """Put a key in after its back-off, which doubles each time. Returns the delay."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        delay_s = min(BACKOFF_MOST_S, BACKOFF_FIRST_S * 2.0 ** min(failures, 30))
        self.add_after(key, delay_s)
        return delay_s

    def failures(self, key: K) -> int:
        """How often in a row `add_rate_limited` was called for this key."""
        return self._failures.get(key, 0)

    def forget(self, key: K) -> None:
        """The key succeeded, or is given up: its back-off starts anew."""
        self._failures.pop(key, None)

    async def get(self) -> K:
        """Wait for a key and take it; the taker calls `done` when it is through."""
        while not self._ready:
            wakeup = asyncio.get_running_loop().create_future()
            self._waiting.append(wakeup)
            await wakeup
        key = self._ready.popleft()
        self._dirty.discard(key)
        self._processing.add(key)
        return key

    def done(self, key: K) -> None:
        """The taker is through with the key; if it was added meanwhile, it is ready again."""
        self._processing.discard(key)
        if key in self._dirty:
            self._append(key)

    def close(self) -> None:
        """Cancel every promise for later."""
        for _, timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def _due(self, key: K) -> None:
        del self._timers[key]
        self.add(key)

    def _append(self, key: K) -> None:
        self._ready.append(key)
        while self._waiting:
            wakeup = self._waiting.popleft()
            if not wakeup.done():
                wakeup.set_result(None)
                break
