"""The two clocks.

Lab time rules what the lab decides: leases, TTLs, back-off, node life, object timestamps.
Wall time rules what foreign programs check by their own clock: SigV4 dates, presigned tokens,
certificates. In the daemon they differ by an offset (lab time can be wound forward); in one-loop
mode lab time is the virtual time of the loop (`kit.virtual`).

Nothing else in the tree reads a clock: ruff's banned-api holds it.
"""

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Protocol


class Timer(Protocol):
    """Something that will happen, and can be told not to."""

    def cancel(self) -> None:
        """Take the callback back. Cancelling twice, or after it ran, does nothing."""


class Clock(Protocol):
    """Lab time, in seconds since the epoch."""

    def now(self) -> float:
        """Seconds since 1970-01-01T00:00:00Z, with fraction. Never runs backwards."""

    async def sleep(self, delay_s: float) -> None:
        """Wait this many seconds of lab time."""

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> Timer:
        """Run `callback` in the loop after `delay_s` seconds of lab time."""


class LoopClock:
    """Lab time that follows the running event loop's own time.

    On an ordinary loop that is real time; on a `kit.virtual.VirtualLoop` it jumps whenever
    everybody waits.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, *, epoch_s: float) -> None:
        self._loop = loop
        self._origin_s = epoch_s - loop.time()

    def now(self) -> float:
        """Seconds since the epoch."""
        return self._origin_s + self._loop.time()

    async def sleep(self, delay_s: float) -> None:
        """Wait `delay_s` seconds of lab time."""
        await asyncio.sleep(delay_s)

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> Timer:
        """Run `callback` after `delay_s` seconds of lab time."""
        return self._loop.call_later(max(0.0, delay_s), callback)


class WallClock:
    """The machine's clock: only for what foreign programs check by theirs."""

    def now(self) -> float:
        """Seconds since the epoch."""
        return time.time()


def lab_clock(loop: asyncio.AbstractEventLoop) -> LoopClock:
    """The daemon's lab clock: starts at wall time and then follows the loop."""
    return LoopClock(loop, epoch_s=time.time())


def cpu_s() -> float:
    """CPU seconds this process has used, for meters and benches."""
    return time.process_time()


def stopwatch_s() -> float:
    """A monotonic reading for measuring how long a thing took; not a clock to decide by."""
    return time.perf_counter()


def rfc3339(epoch_s: float) -> str:
    """`metav1.Time` on the wire: whole seconds, Z. `rfc3339(0) == "1970-01-01T00:00:00Z"`."""
    return _rfc3339_of_second(int(epoch_s))


@lru_cache(maxsize=1024)
def _rfc3339_of_second(second: int) -> str:
    """Everything that happens in a second has the same time on the wire: written once."""
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def rfc3339_micro(epoch_s: float) -> str:
    """`metav1.MicroTime` on the wire: six digits of fraction, Z."""
    return datetime.fromtimestamp(epoch_s, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse_rfc3339(text: str) -> float:
    """Seconds since the epoch of an RFC 3339 time.

    Raises:
        ValueError: the text is no such time.
    """
    return datetime.fromisoformat(text).timestamp()
