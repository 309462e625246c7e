"""A Deployment of 10,000 replicas on 1,000 simulated nodes, and a restart with them on disk."""

import time
from collections.abc import Callable, Sequence

from bench.load import cpu_s
from bench.rows import Budget, Row, judged
from bench.scenario import Surroundings
from bench.stalls import longest_stall_ms, stall_row
from bench.target import NAMESPACE, Target

_READY = Budget(15, "15 s")
_RESTART = Budget(5, "5 s for 150,000")
_REPLICAS = 10_000
_NODES = 1_000
_PATIENCE_S = 55
_DEPLOYMENTS = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments"


def run(surroundings: Surroundings) -> Sequence[Row]:
    """Nodes join, the pods get Ready, the lab is started again."""
    lab, target = surroundings.own_lab, surroundings.cluster
    longest_stall_ms(target)
    target.post("/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
    rows = [_nodes(surroundings)]
    _until(lambda: _daemons_missing(target), lambda missing: missing == 0)
    rows += [_deployment(target), stall_row(target, "10,000 replicas")]
    ready = _ready(target)
    lab.down()
    started = time.monotonic()
    lab.ekslab("up")
    target.pids[:] = [lab.pid("clusters")]
    _until(lambda: _ready(target) >= ready)
    taken = time.monotonic() - started
    rows.append(judged(f"restart with {ready:,} pods Ready", taken, f"{taken:.1f} s", _RESTART))
    return rows


def _nodes(surroundings: Surroundings) -> Row:
    lab, target = surroundings.own_lab, surroundings.cluster
    before = cpu_s(target.pids)
    wanted = lab.status()["clusters"]["nodes_ready"] + _NODES
    started = time.monotonic()
    lab.ekslab("nodes", "add", str(_NODES))
    _until(lambda: lab.status()["clusters"].get("nodes_ready", 0) >= wanted)
    taken = time.monotonic() - started
    used = cpu_s(target.pids) - before
    return Row(
        f"{_NODES:,} simulated nodes Ready",
        f"{taken:.1f} s ({_NODES / taken:,.0f}/s)",
        server_us=f"{used * 1e6 / _NODES:,.0f} a node",
    )


def _deployment(target: Target) -> Row:
    before = cpu_s(target.pids)
    started = time.monotonic()
    target.post(_DEPLOYMENTS, _manifest())
    ready = _until(lambda: _ready(target), lambda count: count == _REPLICAS)
    taken = time.monotonic() - started
    used = cpu_s(target.pids) - before
    what = f"Deployment, {_REPLICAS:,} replicas Ready on {_NODES:,} nodes"
    server = f"{used * 1e6 / max(1, ready):,.0f} a pod"
    if ready < _REPLICAS:
        shown = f"{ready:,} Ready after {taken:.0f} s"
        return Row(what, shown, _READY.text, "missed: not all", "", server)
    return judged(what, taken, f"{taken:.1f} s", _READY, server_us=server)


def _daemons_missing(target: Target) -> int:
    """Pods of daemon sets that are not Ready yet: they come with the nodes."""
    sets = target.get("/apis/apps/v1/daemonsets")["items"]
    return sum(
        one["status"]["desiredNumberScheduled"] - one["status"].get("numberReady", 0)
        for one in sets
    )


def _ready(target: Target) -> int:
    status = target.get(f"{_DEPLOYMENTS}/many").get("status") or {}
    ready: int = status.get("readyReplicas", 0)
    return ready


def _until(
    look: Callable[[], int], enough: Callable[[int], bool] = bool, *, every_s: float = 0.1
) -> int:
    """Look until it is enough; the last value seen, in any case."""
    deadline = time.monotonic() + _PATIENCE_S
    while not enough(seen := look()) and time.monotonic() < deadline:
        time.sleep(every_s)
    return seen


def _manifest() -> dict[str, object]:
    labels = {"app": "many"}
    container = {
        "name": "web",
        "image": "registry.example.com/web:1",
        "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}},
    }
    return {
        "metadata": {"name": "many"},
        "spec": {
            "replicas": _REPLICAS,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        },
    }
