"""An event loop whose time jumps when everybody waits.

`VirtualLoop.time()` stands still while callbacks run; when nothing is ready, it moves straight to
the next timer. One seed then gives one history, and a day passes in seconds. It serves code that
waits only on timers and on other tasks. It owns no sockets that matter: real input would have to
arrive while time stands still.
"""

import asyncio
import selectors
from typing import Any


class _JumpingSelector(selectors.SelectSelector):
    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            # Nobody has a timer: only another thread's call_soon_threadsafe can wake us.
            return super().select(None)
        ready = super().select(0)
        if not ready and timeout > 0:
            self.now_s += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """A plain asyncio loop on virtual time, starting at 0."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)
        # A jump lands exactly on the timer: no rounding of the clock's resolution is wanted.
        self._clock_resolution: Any = 1e-9

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._jumping.now_s
