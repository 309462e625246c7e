"""Waiting for something to become true, in lab time."""

from collections.abc import Callable
from typing import Final

from ekslab.kit.clock import Clock

PATIENCE_S: Final = 3600.0
_LOOK_EVERY_S: Final = 0.05


async def until(clock: Clock, condition: Callable[[], object], *, patience_s: float) -> None:
    """Wait until the condition holds.

    Raises:
        TimeoutError: it did not within `patience_s` seconds of lab time.
    """
    deadline_s = clock.now() + patience_s
    while not condition():
        if clock.now() > deadline_s:
            raise TimeoutError(f"not within {patience_s:.0f} s of lab time")
        await clock.sleep(_LOOK_EVERY_S)
