"""Clusters inside one process: how long one takes to make, and what many of them weigh.

Run in a process of its own (`python -m bench.scenarios.tenants`), which prints JSON.
"""

import asyncio
import gc
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from bench.load import rss_mib
from bench.rows import Budget, Row, judged, middle
from bench.scenario import Surroundings

_FRESH = Budget(50, "50 ms")
_WEIGHT = Budget(2.0, "2 GB for 1,000")
_SIDE_BY_SIDE = 100


def run(_: Surroundings) -> Sequence[Row]:
    """Both, in a process without anything else."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.scenarios.tenants"],
        check=True,
        capture_output=True,
        cwd=Path(__file__).parents[2],
    )
    found = json.loads(done.stdout)
    fresh, weight = found["fresh_ms"], found["mib_each"]
    return [
        judged(
            "fresh cluster in process (median of 15)",
            fresh,
            f"{fresh:.0f} ms (the first {found['first_ms']:.0f})",
            _FRESH,
            server_us=f"{found['cpu_ms']:.0f} ms of CPU",
        ),
        judged(
            f"{_SIDE_BY_SIDE} clusters side by side",
            weight * 1000 / 1024,
            f"{weight:.2f} MiB each, made in {found['side_by_side_s']:.1f} s",
            _WEIGHT,
        ),
    ]


def _main() -> None:
    from ekslab.testing import TestCluster, run_virtual

    async def nothing(_: TestCluster) -> None:
        return

    taken, cpu = [], []
    for _ in range(16):
        started, used = time.perf_counter(), time.process_time()
        run_virtual(nothing)
        taken.append((time.perf_counter() - started) * 1000)
        cpu.append((time.process_time() - used) * 1000)
    found = {"first_ms": taken[0], "fresh_ms": middle(taken[1:]), "cpu_ms": middle(cpu[1:])}
    print(json.dumps(found | asyncio.run(_side_by_side())))


async def _side_by_side() -> dict[str, float]:
    """Clusters with sockets and durable stores, as a lab keeps them."""
    from ekslab.kit.clock import WallClock, lab_clock
    from ekslab.kit.rng import Rng
    from ekslab.kube.cluster import Cluster, ClusterConfig

    clock = lab_clock(asyncio.get_running_loop())
    with tempfile.TemporaryDirectory(prefix="ekslab-bench-") as folder:
        gc.collect()
        before = rss_mib(os.getpid())
        started = time.perf_counter()
        clusters = []
        for index in range(_SIDE_BY_SIDE):
            home = Path(folder) / str(index)
            home.mkdir()
            config = ClusterConfig(name=f"bench-{index}", data_dir=home)
            cluster = Cluster(config, clock=clock, wall_clock=WallClock(), rng=Rng(index))
            await cluster.start()
            clusters.append(cluster)
        taken = time.perf_counter() - started
        await asyncio.sleep(1.0)
        gc.collect()
        each = (rss_mib(os.getpid()) - before) / _SIDE_BY_SIDE
        for cluster in clusters:
            await cluster.stop()
    return {"mib_each": each, "side_by_side_s": taken}


if __name__ == "__main__":
    _main()
