"""What a lab costs while nobody asks anything of it."""

import time
from collections.abc import Sequence

from bench.load import cpu_s, rss_mib
from bench.rows import Budget, Row, judged
from bench.scenario import Surroundings

_CLUSTERS = Budget(90, "90 MB")
_CLOUD = Budget(230, "230 MB")
_CPU = Budget(1.0, "1 % of a core")
_SETTLE_S = 5.0
_LOOK_S = 20.0


def run(surroundings: Surroundings) -> Sequence[Row]:
    """Memory and CPU of both processes."""
    lab = surroundings.own_lab
    clusters, cloud = lab.pid("clusters"), lab.pid("cloud")
    time.sleep(_SETTLE_S)
    before = cpu_s([clusters]), cpu_s([cloud])
    time.sleep(_LOOK_S)
    used = [
        (cpu_s([pid]) - earlier) / _LOOK_S * 100
        for pid, earlier in zip((clusters, cloud), before, strict=True)
    ]
    rows = [
        judged("idle: clusters process", size, f"{size:.0f} MiB", budget)
        if pid == clusters
        else judged("idle: cloud process", size, f"{size:.0f} MiB", budget)
        for pid, budget in ((clusters, _CLUSTERS), (cloud, _CLOUD))
        if (size := rss_mib(pid))
    ]
    shown = f"{sum(used):.1f} % (clusters {used[0]:.1f}, cloud {used[1]:.1f})"
    return [*rows, judged("idle: CPU of both", sum(used), shown, _CPU)]
