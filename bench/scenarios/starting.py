"""How long until a lab answers, and until its nodes are Ready."""

import json
import shutil
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from bench.lab import BenchLab
from bench.load import cpu_s
from bench.rows import Budget, Row, judged, middle
from bench.scenario import Surroundings

_ANSWERS = Budget(1.0, "1.0 s")
_READY = Budget(3.0, "3 s")
_TOKEN = Budget(80, "80 ms")
_RUNS = 3
_LOG = "clusters.log"


def run(_: Surroundings) -> Sequence[Row]:
    """A fresh lab, and the same lab started again."""
    fresh = [_measured() for _ in range(_RUNS)]
    rows = []
    for index, what in enumerate(("ekslab up, fresh", "ekslab up, second start")):
        answers = middle([one[index][0] for one in fresh])
        ready = middle([one[index][1] for one in fresh])
        cpu = middle([one[index][2] for one in fresh])
        rows.append(judged(f"{what}: /readyz", answers, f"{answers:.2f} s", _ANSWERS))
        rows.append(
            judged(
                f"{what}: 3 nodes Ready",
                ready,
                f"{ready:.2f} s",
                _READY,
                server_us=f"{cpu:.2f} s of CPU",
            )
        )
    return rows


def _measured() -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    lab = BenchLab.make()
    try:
        first = _start(lab)
        lab.down()
        second = _start(lab)
        lab.down()
    finally:
        shutil.rmtree(lab.home, ignore_errors=True)
    return first, second


def _start(lab: BenchLab) -> tuple[float, float, float]:
    """Seconds to /readyz and to Ready nodes, and CPU seconds of the two processes until then."""
    log = lab.home / "logs" / _LOG
    skip = log.stat().st_size if log.exists() else 0
    started = time.monotonic()
    up = subprocess.Popen(
        [sys.executable, "-m", "ekslab", "up", "--nodes", "3"],
        env=lab.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    url = ""
    while not url:
        if up.poll():
            assert up.stdout is not None
            raise RuntimeError(up.stdout.read().decode())
        time.sleep(0.005)
        url = _url(log, skip)
    while not _is_ready(url):
        time.sleep(0.005)
    answers = time.monotonic() - started
    if up.wait(60):
        assert up.stdout is not None
        raise RuntimeError(up.stdout.read().decode()[-300:])
    while lab.status()["clusters"].get("nodes_ready", 0) < 3:
        time.sleep(0.02)
    ready = time.monotonic() - started
    status = lab.status()
    return answers, ready, cpu_s([status["cloud"]["pid"], status["clusters"]["pid"]])


def _url(log: Path, skip: int) -> str:
    """The cluster's endpoint, as the log of this start names it."""
    if not log.exists():
        return ""
    with log.open("rb") as file:
        file.seek(skip)
        for line in file:
            if line.endswith(b"\n") and b"Kubernetes" in line and b"https://" in line:
                text: str = json.loads(line)["text"]
                return text.rpartition(" ")[2]
    return ""


def _is_ready(url: str) -> bool:
    # Nothing is sent but a question whether it is well: the authority is not needed.
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with urllib.request.urlopen(f"{url}/readyz", context=context, timeout=5) as answer:
            return answer.read() == b"ok"
    except (urllib.error.URLError, OSError):
        return False


def token(surroundings: Surroundings) -> Sequence[Row]:
    """The login plugin: kubectl starts it for every command."""
    lab = surroundings.own_lab
    plugin = Path(sys.executable).with_name("ekslab")
    taken = []
    for _ in range(15):
        started = time.monotonic()
        lab.run(str(plugin), "token", "--cluster-name", "lab")
        taken.append((time.monotonic() - started) * 1000)
    bare = []
    for _ in range(15):
        started = time.monotonic()
        lab.run(sys.executable, "-c", "pass")
        bare.append((time.monotonic() - started) * 1000)
    shown = f"{middle(taken):.0f} ms (python -c pass: {middle(bare):.0f})"
    return [judged("ekslab token", middle(taken), shown, _TOKEN)]
