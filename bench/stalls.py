"""The longest time the server's event loop was held up: a meter of its own tells.

`ekslab_event_loop_stall_seconds_max` is the latest a timer was served while requests were
answered; reading it begins anew. A cluster without that meter has no such row.
"""

import re

from bench.rows import Budget, Row, judged
from bench.target import Target

_STALL = Budget(50, "50 ms")
_METER = re.compile(r"^ekslab_event_loop_stall_seconds_max (\S+)$", re.MULTILINE)


def longest_stall_ms(target: Target) -> float | None:
    """The longest stall since the last time somebody looked, None if that is not told."""
    found = _METER.search(target.request("GET", "/metrics").decode())
    return float(found.group(1)) * 1000 if found else None


def stall_row(target: Target, load: str) -> Row:
    """The row of a load that has just run."""
    stall = longest_stall_ms(target)
    if stall is None:
        return Row(f"longest stall, {load}", "not told")
    return judged(f"longest stall, {load}", stall, f"{stall:.0f} ms", _STALL)
