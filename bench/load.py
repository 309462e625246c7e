"""Load from outside: `wrk` over TLS with kept connections, aimed at any cluster.

A client in Python would be full before the server is; `wrk` costs a few percent of a core at these
rates, and its CPU is measured beside the server's.
"""

import os
import re
import resource
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

_LATENCY = re.compile(r"^\s+(50|75|90|99)%\s+([\d.]+)(us|ms|s|m) *$", re.MULTILINE)
_RATE = re.compile(r"Requests/sec:\s+([\d.]+)")
_COUNT = re.compile(r"(\d+) requests in")
_ERRORS = re.compile(r"Non-2xx or 3xx responses: (\d+)")
_SOCKETS = re.compile(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)")
_UNIT_MS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0}


class MissingWrkError(Exception):
    """There is no `wrk` on this machine."""


@dataclass(frozen=True, slots=True)
class Load:
    """What a run of the load saw. Latencies in milliseconds."""

    rate: float
    requests: int
    p50_ms: float
    p99_ms: float
    errors: int
    client_cpu_s: float
    server_cpu_s: float

    @property
    def server_us_per_request(self) -> float:
        """CPU of the server per request, in microseconds."""
        return self.server_cpu_s * 1e6 / max(1, self.requests)

    @property
    def client_cores(self) -> float:
        """Cores the client was busy on; near 1.0 it is the client that is measured."""
        return self.client_cpu_s * self.rate / max(1, self.requests)


def wrk(url: str, script: str, *, clients: int, seconds: int, server_pids: list[int]) -> Load:
    """Run `wrk` with a Lua script against a URL.

    Raises:
        MissingWrkError: with what to install.
    """
    program = shutil.which("wrk")
    if program is None:
        raise MissingWrkError("./dev bench needs wrk: apt-get install wrk, or brew install wrk")
    with tempfile.TemporaryDirectory(prefix="ekslab-bench-") as folder:
        path = Path(folder) / "load.lua"
        path.write_text(script)
        before = cpu_s(server_pids)
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        shown = subprocess.run(
            [program, "-t1", f"-c{clients}", f"-d{seconds}s", "--latency", "-s", str(path), url],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        server_cpu_s = cpu_s(server_pids) - before
    latency = {
        int(percent): float(number) * _UNIT_MS[unit]
        for percent, number, unit in _LATENCY.findall(shown)
    }
    if not {50, 99} <= latency.keys():
        raise RuntimeError(f"wrk said: {shown}")
    errors = int(found.group(1)) if (found := _ERRORS.search(shown)) else 0
    if found := _SOCKETS.search(shown):
        errors += sum(int(count) for count in found.groups())
    return Load(
        rate=float(_RATE.search(shown).group(1)),  # type: ignore[union-attr]
        requests=int(_COUNT.search(shown).group(1)),  # type: ignore[union-attr]
        p50_ms=latency[50],
        p99_ms=latency[99],
        errors=errors,
        client_cpu_s=(after.ru_utime + after.ru_stime) - (children.ru_utime + children.ru_stime),
        server_cpu_s=server_cpu_s,
    )


def lua(method: str, headers: dict[str, str], body: str = "", *, per_request: str = "") -> str:
    """A wrk script: method, headers, body; `per_request` is Lua that may change them."""
    lines = [f'wrk.method = "{method}"', f"wrk.body = [==[{body}]==]"]
    lines += [f'wrk.headers["{name}"] = "{value}"' for name, value in headers.items()]
    if per_request:
        lines.append(per_request)
    return "\n".join(lines)


def cpu_s(pids: list[int]) -> float:
    """CPU seconds that processes have used."""
    ticks = os.sysconf("SC_CLK_TCK")
    total = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / ticks


def median_of(runs: int, load: Callable[[], Load]) -> Load:
    """The run in the middle, by the server's CPU per request: the machine may be shared."""
    done = sorted((load() for _ in range(runs)), key=lambda one: one.server_us_per_request)
    return done[len(done) // 2]


def rss_mib(pid: int) -> float:
    """Resident memory of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def loop_ms() -> float:
    """CPU milliseconds of a million steps of a Python loop: how fast this machine is just now.

    About 55 on a quiet core of 2024; where other work shares the core it is 2 or 3 times that, and
    so is every CPU figure beside it.
    """
    started = time.process_time()
    total = 0
    for number in range(1_000_000):
        total += number
    return (time.process_time() - started) * 1000
