"""How long the event loop was held up: the latest a timer was served while there was work.

A loop that runs something long serves nobody else meanwhile. The probe looks only while it is told
of work, so that a process nobody asks anything of sleeps.
"""

import asyncio
from typing import Final

from ekslab.kit.clock import stopwatch_s

_EVERY_S: Final = 0.005


class StallProbe:
    """Watches the running loop."""

    def __init__(self) -> None:
        self._longest_s = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._has_worked = False
        self._due_s = 0.0

    def note_work(self) -> None:
        """There is work: look for a while."""
        self._has_worked = True
        if self._timer is None:
            self._look()

    def take_longest_s(self) -> float:
        """The longest stall since this was asked last, in seconds."""
        longest_s, self._longest_s = self._longest_s, 0.0
        return longest_s

    def _look(self) -> None:
        self._has_worked = False
        self._due_s = stopwatch_s() + _EVERY_S
        self._timer = asyncio.get_running_loop().call_later(_EVERY_S, self._served)

    def _served(self) -> None:
        self._longest_s = max(self._longest_s, stopwatch_s() - self._due_s)
        if self._has_worked:
            self._look()
        else:
            self._timer = None
