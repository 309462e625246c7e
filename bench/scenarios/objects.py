"""Pods written and read through HTTP, TLS, authentication, RBAC and admission."""

import gzip
import json
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from bench.load import Load, cpu_s, lua, median_of, rss_mib, wrk
from bench.rows import Budget, Row, judged, middle
from bench.scenario import Surroundings
from bench.stalls import longest_stall_ms, stall_row
from bench.target import NAMESPACE, Target, pod

PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
_CREATES = Budget(5_000, "5,000/s", least=True)
_CREATE_P99 = Budget(3.0, "p99 3 ms")
_GETS = Budget(15_000, "15,000/s", least=True)
_LIST = Budget(60, "60 ms")
_LIST_RSS = Budget(32, "32 MB")
_KUBECTL = Budget(1.5, "1.5 s")
_MANY = 10_000
# Lua: every request has its own number where the body says @.
_NUMBERED = (
    "local n = 0\nfunction request()\n  n = n + 1\n"
    '  return wrk.format(nil, nil, nil, (string.gsub(wrk.body, "@", tostring(n))))\nend'
)
_SECONDS = 5


def creates(surroundings: Surroundings) -> Sequence[Row]:
    """Durable creates: every body another, as people write them; one body, as controllers do."""
    target = surroundings.cluster
    various = lua(
        "POST",
        _headers(target),
        json.dumps(pod(generateName="web-", labels={"app": "web", "part": "@"})),
        per_request=_NUMBERED,
    )
    alike = lua("POST", _headers(target), json.dumps(pod(generateName="web-")))
    longest_stall_ms(target)
    rows = []
    for what, script, clients in (
        ("pod creates, 64 clients, bodies differ", various, 64),
        ("pod creates, 64 clients, one body", alike, 64),
        ("pod creates, 1 client, bodies differ", various, 1),
    ):
        load = partial(_wrk, target, PODS, script, clients=clients)
        done = median_of(3, load)
        value, budget = (done.rate, _CREATES) if clients > 1 else (done.p99_ms, _CREATE_P99)
        rows.append(load_row(what, done, value, budget))
        empty(target)
    rows.append(stall_row(target, "creates"))
    return rows


def gets(surroundings: Surroundings) -> Sequence[Row]:
    """One object, again and again."""
    target = surroundings.cluster
    token = target.user_token
    assert token
    target.post(PODS, pod(name="web-one"))
    script = lua("GET", _headers(target))
    done = median_of(3, lambda: _wrk(target, f"{PODS}/web-one", script, clients=64))
    empty(target)
    return [load_row("GET one pod, 64 clients", done, done.rate, _GETS)]


def lists(surroundings: Surroundings) -> Sequence[Row]:
    """10,000 pods: as JSON, compressed, and as kubectl shows them."""
    target = surroundings.cluster
    fill(target, _MANY)
    longest_stall_ms(target)
    plain, gzipped = {}, {"Accept-Encoding": "gzip"}
    rows = [
        _list_row(target, "LIST 10,000 pods, JSON", plain),
        _list_row(target, "LIST 10,000 pods, gzip", gzipped),
    ]
    target.kubectl("get", "pods", "-A")
    taken = []
    before = cpu_s(target.pids)
    for _ in range(3):
        started = time.monotonic()
        shown = target.kubectl("get", "pods", "-A").stdout
        taken.append(time.monotonic() - started)
        assert shown.count(b"\n") > _MANY, "kubectl shows all of them"
    server = (cpu_s(target.pids) - before) / 3
    rows.append(
        judged(
            "kubectl get pods -A, 10,000 pods",
            middle(taken),
            f"{middle(taken):.2f} s",
            _KUBECTL,
            server_us=_cpu(server) if target.pids else "",
        )
    )
    rows.append(stall_row(target, "lists of 10,000"))
    empty(target)
    return rows


def load_row(what: str, done: Load, value: float, budget: Budget) -> Row:
    """A run of the load as a row."""
    shown = f"{done.rate:,.0f}/s  p50 {done.p50_ms:.2f}  p99 {done.p99_ms:.2f} ms"
    if done.errors:
        shown += f"  {done.errors} ERRORS"
    return judged(
        what,
        value,
        shown,
        budget,
        client_cpu=f"{done.client_cores * 100:.0f} %",
        server_us=f"{done.server_us_per_request:.0f}" if done.server_cpu_s else "",
    )


def fill(target: Target, count: int) -> None:
    """Create so many pods, as fast as they are taken."""
    stop_at = (
        f"local made = 0\nfunction response(status)\n  made = made + 1\n"
        f"  if made >= {count} then wrk.thread:stop() end\nend"
    )
    body = json.dumps(pod(generateName="web-"))
    script = lua("POST", _headers(target), body, per_request=stop_at)
    wrk(f"{target.url}{PODS}", script, clients=64, seconds=50, server_pids=[])


def empty(target: Target) -> None:
    """Delete the pods of the load."""
    target.request("DELETE", f"{PODS}?gracePeriodSeconds=0")


def _headers(target: Target) -> dict[str, str]:
    return {"Authorization": f"Bearer {target.user_token}", "Content-Type": "application/json"}


def _wrk(target: Target, path: str, script: str, *, clients: int) -> Load:
    return wrk(
        f"{target.url}{path}", script, clients=clients, seconds=_SECONDS, server_pids=target.pids
    )


def _list_row(target: Target, what: str, headers: dict[str, str]) -> Row:
    path = f"{PODS}?resourceVersion=0"
    raw = target.request("GET", path, headers=headers)
    size = len(raw)
    if headers:
        raw = gzip.decompress(raw)
    count = len(json.loads(raw)["items"])
    taken, extra = [], []
    before = cpu_s(target.pids)
    for _ in range(3):
        seconds, grown = _watched(target, lambda: target.request("GET", path, headers=headers))
        taken.append(seconds * 1000)
        extra.append(grown)
    server = (cpu_s(target.pids) - before) / 3
    memory = f", {max(extra):.0f} MiB more" if target.pids else ""
    shown = f"{middle(taken):.0f} ms for {count:,} ({size / 2**20:.1f} MiB{memory})"
    row = judged(what, middle(taken), shown, _LIST, server_us=_cpu(server) if target.pids else "")
    if max(extra) <= _LIST_RSS.value:
        return row
    return replace(
        row,
        budget=f"{row.budget}, {_LIST_RSS.text}",
        verdict=f"{row.verdict}, memory {_LIST_RSS.verdict(max(extra))}",
    )


def _cpu(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms"


def _watched(target: Target, call: Callable[[], Any]) -> tuple[float, float]:
    """Seconds of a call, and MiB by which the server's memory was above where it began."""
    if not target.pids:
        started = time.monotonic()
        call()
        return time.monotonic() - started, 0.0
    pid = target.pids[0]
    before = peak = rss_mib(pid)
    over = threading.Event()

    def look() -> None:
        nonlocal peak
        while not over.wait(0.002):
            peak = max(peak, rss_mib(pid))

    looker = threading.Thread(target=look)
    looker.start()
    started = time.monotonic()
    call()
    taken = time.monotonic() - started
    over.set()
    looker.join()
    return taken, peak - before
