"""Pods bound by the scheduler at 5,000 nodes, every binding durable.

Run in a process of its own (`python -m bench.scenarios.scheduling`), which prints JSON. The nodes
are objects without agents, so that nothing but the scheduler and the API server works.
"""

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import uvloop

from bench.rows import Budget, Row, judged
from bench.scenario import Surroundings

_NODES = 5_000
_PODS = 5_000
_SPREAD = {
    "topologySpreadConstraints": [
        {
            "maxSkew": 5,
            "topologyKey": "topology.kubernetes.io/zone",
            "whenUnsatisfiable": "DoNotSchedule",
            "labelSelector": {"matchLabels": {"app": "spread"}},
        }
    ]
}
_AFFINITY = {
    "affinity": {
        "podAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": [
                {
                    "topologyKey": "topology.kubernetes.io/zone",
                    "labelSelector": {"matchLabels": {"app": "affinity"}},
                }
            ]
        }
    }
}
_CASES: dict[str, tuple[dict[str, Any], Budget]] = {
    "basic": ({}, Budget(4_000, "4,000/s", least=True)),
    "spread": (_SPREAD, Budget(2_000, "2,000/s", least=True)),
    "affinity": (_AFFINITY, Budget(2_000, "2,000/s", least=True)),
}


def run(_: Surroundings) -> Sequence[Row]:
    """All cases, in a process without anything else."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.scenarios.scheduling"],
        check=True,
        capture_output=True,
        cwd=Path(__file__).parents[2],
    )
    return [
        judged(
            f"scheduler, {_NODES:,} nodes, {one['case']}",
            one["per_s"],
            f"{one['per_s']:,.0f}/s ({one['bound']:,} bound)",
            _CASES[one["case"]][1],
            server_us=f"{one['us']:.0f}, with the create {one['us_all']:.0f}",
        )
        for one in json.loads(done.stdout)
    ]


async def _main() -> None:
    from ekslab.kit.clock import WallClock, lab_clock
    from ekslab.kit.rng import Rng
    from ekslab.kube.api.well_known import NODES
    from ekslab.kube.cluster import ADMIN, Cluster, ClusterConfig

    clock = lab_clock(asyncio.get_running_loop())
    with tempfile.TemporaryDirectory(prefix="ekslab-bench-") as folder:
        config = ClusterConfig(name="bench", data_dir=Path(folder), port=None)
        cluster = Cluster(config, clock=clock, wall_clock=WallClock(), rng=Rng(0))
        await cluster.start()
        admin = cluster.client(ADMIN)
        for start in range(0, _NODES, 500):
            await asyncio.gather(
                *(admin.create(NODES, _node(index)) for index in range(start, start + 500))
            )
        found = [await _case(cluster, admin, case) for case in _CASES]
        await cluster.stop()
    print(json.dumps(found))


async def _case(cluster: Any, admin: Any, case: str) -> dict[str, Any]:
    from ekslab.kube.api.well_known import PODS

    def bound() -> int:
        return sum(
            1
            for item in cluster.lister.list(PODS, "default")
            if item.labels.get("app") == case and item.fields.get("spec.nodeName")
        )

    async def create(start: int) -> None:
        await asyncio.gather(
            *(admin.create(PODS, _pod(case, index)) for index in range(start, start + 100))
        )

    started, cpu = time.monotonic(), time.process_time()
    for start in range(0, _PODS, 100):
        await create(start)
        await asyncio.sleep(0)
    created_cpu = time.process_time() - cpu
    deadline = time.monotonic() + 20
    while (count := bound()) < _PODS and time.monotonic() < deadline:  # noqa: ASYNC110 - it looks
        await asyncio.sleep(0.02)
    taken = time.monotonic() - started
    used = time.process_time() - cpu
    return {
        "case": case,
        "bound": count,
        "per_s": count / taken,
        "us": (used - created_cpu) * 1e6 / max(1, count),
        "us_all": used * 1e6 / max(1, count),
    }


def _node(index: int) -> dict[str, Any]:
    name = f"node-{index}"
    resources = {"cpu": "4", "memory": "32Gi", "pods": "110"}
    condition = {"type": "Ready", "status": "True", "reason": "KubeletReady"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "labels": {
                "kubernetes.io/hostname": name,
                "topology.kubernetes.io/zone": f"zone-{index % 3}",
            },
        },
        "status": {"capacity": resources, "allocatable": resources, "conditions": [condition]},
    }


def _pod(case: str, index: int) -> dict[str, Any]:
    container = {
        "name": "web",
        "image": "registry.example.com/web:1",
        "resources": {"requests": {"cpu": "100m", "memory": "100Mi"}},
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"{case}-{index}", "namespace": "default", "labels": {"app": case}},
        "spec": {"containers": [container], **_CASES[case][0]},
    }


if __name__ == "__main__":
    uvloop.run(_main())
