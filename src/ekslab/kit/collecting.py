"""When the garbage collector works, in a process that holds objects by the hundred thousand.

Nearly everything here dies by reference count; the collector finds cycles only, and walks whatever
it is given while the loop stands still. Left alone it walks everything that lives (41-176 ms for
150,000 pods) each time a quarter was added. So:

- what there is when the process is up is frozen: nearly all of it stays for good, and to look for
  the rest takes 0.1 s of every start;
- young objects are looked at in portions that take some milliseconds;
- all of them only while the process has nothing else to do, or after very much work without a rest.
"""

import asyncio
import gc
from typing import Final

from ekslab.kit.clock import cpu_s

_YOUNG: Final = 2_000
_YOUNG_ROUNDS: Final = 5
_ROUNDS_WITHOUT_REST: Final = 10_000
_RESTS_UNTIL_EVERYTHING: Final = 20
_LOOK_EVERY_S: Final = 30.0
_IDLE_SHARE: Final = 0.02


def manage(loop: asyncio.AbstractEventLoop) -> None:
    """Set the collector up for a process that serves; called once, when it is up."""
    gc.freeze()
    gc.set_threshold(_YOUNG, _YOUNG_ROUNDS, _ROUNDS_WITHOUT_REST)
    gc.enable()
    _Rest(loop).look_later()


class _Rest:
    """Collects what came since the last time when the process rests after it has worked."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._cpu_s = cpu_s()
        self._rounds = _rounds()
        self._rests = 0

    def look_later(self) -> None:
        self._loop.call_later(_LOOK_EVERY_S, self._look)

    def _look(self) -> None:
        now_s = cpu_s()
        rests = now_s - self._cpu_s < _LOOK_EVERY_S * _IDLE_SHARE
        self._cpu_s = now_s
        if rests and _rounds() > self._rounds:
            self._rests += 1
            if self._rests % _RESTS_UNTIL_EVERYTHING == 0:
                gc.unfreeze()
            gc.collect()
            gc.freeze()
            self._rounds = _rounds()
        self.look_later()


def _rounds() -> int:
    """How often the middle generation was collected: a measure of what was allocated."""
    rounds: int = gc.get_stats()[1]["collections"]
    return rounds
