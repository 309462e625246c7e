"""What creating one pod costs, by step, inside one process and without HTTP."""

import asyncio
import itertools
import tempfile
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import orjson

from bench.rows import Row, table
from bench.target import pod

_PODS = 5_000
_AT_ONCE = 64


class _Meter:
    """Wraps the steps and adds up their time."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = {}

    def wrap(self, owner: type, name: str, step: str) -> None:
        """Time every call of a method, in every class that has its own."""
        spent = self.spent
        spent[step] = 0.0
        inner: Callable[..., Any] = getattr(owner, name)

        def timed(*args: Any, **options: Any) -> Any:
            started = time.perf_counter()
            result = inner(*args, **options)
            spent[step] += time.perf_counter() - started
            return result

        async def timed_async(*args: Any, **options: Any) -> Any:
            started = time.perf_counter()
            result = await inner(*args, **options)
            spent[step] += time.perf_counter() - started
            return result

        setattr(owner, name, timed_async if asyncio.iscoroutinefunction(inner) else timed)


def create_steps() -> str:
    """The table."""
    return table(asyncio.run(_measured()))


async def _measured() -> list[Row]:
    from ekslab.kit.clock import WallClock, lab_clock
    from ekslab.kit.rng import Rng
    from ekslab.kube.api.requests import ApiRequest, UserInfo
    from ekslab.kube.api.well_known import PODS
    from ekslab.kube.apiserver.admission.chain import AdmissionChain
    from ekslab.kube.apiserver.decoding import Decoder
    from ekslab.kube.apiserver.kinds.pods import PodStrategy
    from ekslab.kube.apiserver.owning import Owning
    from ekslab.kube.apiserver.registry import Served
    from ekslab.kube.apiserver.server import ApiServer
    from ekslab.kube.cluster import Cluster, ClusterConfig
    from ekslab.kube.store.memory import MemoryStore

    with tempfile.TemporaryDirectory(prefix="ekslab-bench-") as folder:
        config = ClusterConfig(name="bench", data_dir=Path(folder), port=None)
        clock = lab_clock(asyncio.get_running_loop())
        cluster = Cluster(config, clock=clock, wall_clock=WallClock(), rng=Rng(0))
        await cluster.start()
        user = UserInfo("bench", ("system:masters",))
        numbers = itertools.count()

        async def create() -> None:
            labels = {"app": "web", "part": str(next(numbers))}
            body = orjson.dumps(pod(generateName="web-", namespace="default", labels=labels))
            await cluster.handle(
                ApiRequest(verb="create", user=user, resource=PODS, namespace="default", body=body)
            )

        await _repeat(create, 500)
        started = time.process_time()
        await _repeat(create, _PODS)
        whole = time.process_time() - started
        meter = _Meter()
        steps = [
            (ApiServer, "authorize", "authorize"),
            (Decoder, "body", "decode and check"),
            (Owning, "created", "managedFields"),
            (AdmissionChain, "admit", "mutating admission"),
            (AdmissionChain, "validate", "validating admission"),
            (Served, "encode", "encode"),
            (MemoryStore, "_commit", "commit to disk"),
            (MemoryStore, "_publish", "publish"),
            (PodStrategy, "default", "default"),
            (PodStrategy, "prepare_create", "prepare"),
            (PodStrategy, "validate", "validate"),
            (PodStrategy, "warnings", "warnings"),
        ]
        for owner, name, step in steps:
            meter.wrap(owner, name, step)
        await _repeat(create, _PODS)
        await cluster.stop()
    rows = [
        Row(step, f"{spent * 1e6 / _PODS:.1f} us")
        for step, spent in sorted(meter.spent.items(), key=lambda pair: -pair[1])
    ]
    return [*rows, Row("all of it, unmetered", f"{whole * 1e6 / _PODS:.1f} us of CPU")]


async def _repeat(create: Callable[[], Coroutine[Any, Any, None]], count: int) -> None:
    for _ in range(0, count, _AT_ONCE):
        await asyncio.gather(*(create() for _ in range(_AT_ONCE)))
