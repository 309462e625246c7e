"""Keeps what EKS runs for one cluster running.

What fails here failed over a mistake of ours (`Bug`): refusals of either side are waited out long
before. One process holds the control planes of many clusters, so that a mistake over one of them
must not end it: it is told at once, and its components start again, later each time.
"""

from collections.abc import Awaitable, Callable
from typing import Final

from ekslab.kit import logs
from ekslab.kit.clock import Clock

FIRST_PAUSE_S: Final = 1.0
PAUSE_S_MAX: Final = 300.0
# Who ran for so long had recovered.
CALM_S: Final = 600.0


async def keep_running(work: Callable[[], Awaitable[None]], *, cluster: str, clock: Clock) -> None:
    """Run `work` anew whenever it ends, until cancelled."""
    log = logs.get("eks").bind(cluster=cluster)
    pause_s = FIRST_PAUSE_S
    while True:
        started_s = clock.now()
        try:
            await work()
        except Exception:  # whatever it is, the other clusters go on
            if clock.now() - started_s >= CALM_S:
                pause_s = FIRST_PAUSE_S
            log.exception("components failed", again_in_s=pause_s)
        await clock.sleep(pause_s)
        pause_s = min(2 * pause_s, PAUSE_S_MAX)
