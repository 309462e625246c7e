"""The small process that owns the others: starts them, brings them back, ends them.

It imports nothing but the standard library, holds no state and does no work, so that there is
nothing in it to fail. Its children die with it (PR_SET_PDEATHSIG on Linux, and everywhere the end
of the pipe they hold): a lab is one process tree that disappears as a whole.

A child that dies is started again at once, and after repeated deaths with a growing pause; one
that says it cannot run at all (exit code 78, EX_CONFIG) ends the lab.
"""

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final

from ekslab.lab.home import Home, LabError

EX_CONFIG: Final = 78
_PROCESSES: Final = ("cloud", "clusters")
_PAUSE_S_MOST: Final = 10.0
_STABLE_S: Final = 30.0
_STOP_S: Final = 10.0
_LOG_BYTES_MOST: Final = 16 << 20
_CRASHES_TOLD_FROM: Final = 3
_PR_SET_PDEATHSIG: Final = 1


@dataclass
class _Child:
    name: str
    log: IO[bytes]
    process: subprocess.Popen[bytes] | None = None
    started_s: float = 0.0
    deaths: int = 0
    restart_at_s: float = 0.0


@dataclass
class Supervisor:
    """Keeps the lab's processes running until it is told to stop."""

    home: Home
    foreground: bool = False
    _children: list[_Child] = field(default_factory=list)
    _stopping: bool = False

    def run(self) -> int:
        """Start the processes and watch over them; gives the exit code."""
        lock = self.home.lock()
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.signal(signal.SIGINT, self._on_signal)
        # A blocked, never-delivered SIGCHLD wakes sigtimedwait below without a handler.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
        code = 0
        try:
            for name in _PROCESSES:
                child = _Child(name, self._open_log(name))
                self._children.append(child)
                self._start(child)
            while not self._stopping and code == 0:
                code = self._watch()
        finally:
            self._stop_children()
            os.close(lock)
        return code

    def _open_log(self, name: str) -> IO[bytes]:
        if self.foreground:
            return sys.stderr.buffer
        return Path(self.home.logs / f"{name}.log").open("ab", buffering=0)

    def _on_signal(self, _number: int, _frame: object) -> None:
        self._stopping = True

    def _start(self, child: _Child) -> None:
        child.started_s = time.monotonic()  # noqa: TID251 - the supervisor has no lab clock
        child.process = subprocess.Popen(
            [sys.executable, "-m", "ekslab.lab", child.name, str(self.home.path)],
            stdin=subprocess.PIPE,  # its end tells the child that we are gone
            stdout=child.log,
            stderr=child.log,
            preexec_fn=_die_with_parent,  # noqa: PLW1509 - single-threaded by construction
        )

    def _watch(self) -> int:
        with contextlib.suppress(InterruptedError):
            signal.sigtimedwait({signal.SIGCHLD}, 0.5)
        now = time.monotonic()  # noqa: TID251 - the supervisor has no lab clock
        for child in self._children:
            if not self.foreground:
                _bound_log(self.home.logs / f"{child.name}.log")
            process = child.process
            if process is None:
                if now >= child.restart_at_s:
                    self._start(child)
            elif process.poll() is not None:
                if process.returncode == EX_CONFIG:
                    return EX_CONFIG
                self._note_death(child, now)
        return 0

    def _note_death(self, child: _Child, now: float) -> None:
        assert child.process is not None
        code = child.process.returncode
        print(f"{child.name} ended with {code}", file=sys.stderr, flush=True)  # noqa: T201
        child.deaths = 1 if now - child.started_s > _STABLE_S else child.deaths + 1
        if child.deaths >= _CRASHES_TOLD_FROM:
            self.home.note_failure(
                f"the {child.name} process crashed {child.deaths} times in a row;"
                f" `ekslab logs {child.name}` shows why"
            )
        pause = 0.0 if child.deaths == 1 else min(_PAUSE_S_MOST, 0.1 * 2**child.deaths)
        child.process = None
        child.restart_at_s = now + pause
        if pause == 0.0:
            self._start(child)

    def _stop_children(self) -> None:
        # Clusters first: they say goodbye to the cloud.
        for child in reversed(self._children):
            if child.process is not None and child.process.poll() is None:
                child.process.terminate()
        for child in self._children:
            if child.process is None:
                continue
            try:
                child.process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                child.process.kill()
                child.process.wait()
        for name in _PROCESSES:
            self.home.socket(name).unlink(missing_ok=True)


def _bound_log(path: Path) -> None:
    """Keep a log below its limit: what is over it goes to `<name>.1`, which is overwritten.

    Copied and cut, not renamed: the child goes on appending to the file it was given.
    """
    if path.stat().st_size > _LOG_BYTES_MOST:
        shutil.copyfile(path, path.with_suffix(".log.1"))
        os.truncate(path, 0)


def _die_with_parent() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def main(arguments: list[str]) -> int:
    """`python -m ekslab.lab.supervisor HOME`."""
    try:
        return Supervisor(Home(Path(arguments[0]))).run()
    except LabError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return EX_CONFIG


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
