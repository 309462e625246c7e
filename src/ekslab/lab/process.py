"""What the lab's processes have in common: how they start, say how they are, and end."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Final

import uvloop

from ekslab.kit import collecting, logs
from ekslab.lab import log_files
from ekslab.lab.home import Home, LabError
from ekslab.lab.supervisor import EX_CONFIG

_PAGE_KIB: Final = os.sysconf("SC_PAGE_SIZE") // 1024


def run(name: str, path: str, body: Callable[[Home, asyncio.Event], Awaitable[None]]) -> int:
    """Run a process's body until SIGTERM or the end of its parent; gives the exit code.

    The body gets the lab's home (at `path`) and an event that says it is time to go. What a user
    can mend (`LabError`) is left as a sentence for the command line that waits, and ends the lab.
    """
    home = Home(Path(path))
    logs.configure(json=not sys.stderr.isatty())
    log = logs.get(name)
    try:
        uvloop.run(_body(home, body))
    except LabError as error:
        return _give_up(home, str(error), log)
    except ExceptionGroup as group:
        sentence = _first_lab_error(group)
        if sentence is None:
            log.exception("crashed")
            return 1
        return _give_up(home, sentence, log)
    except Exception:
        log.exception("crashed")
        return 1
    return 0


def _first_lab_error(group: ExceptionGroup[Exception]) -> str | None:
    """The sentence for the user in whatever a task group gathered."""
    for error in group.exceptions:
        if isinstance(error, LabError):
            return str(error)
        if isinstance(error, ExceptionGroup):
            return _first_lab_error(error)
    return None


def _give_up(home: Home, sentence: str, log: logs.Logger) -> int:
    log.error("cannot run", reason=sentence)
    with contextlib.suppress(OSError):  # the sentence may be that the disk is full
        home.note_failure(sentence)
    return EX_CONFIG


async def _body(home: Home, body: Callable[[Home, asyncio.Event], Awaitable[None]]) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    _stop_with_parent(loop, stop)
    await body(home, stop)


def _stop_with_parent(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    """The supervisor holds the other end of our standard input; its end is our end."""

    def readable() -> None:
        if not os.read(0, 1024):
            loop.remove_reader(0)
            stop.set()

    with contextlib.suppress(OSError, PermissionError):
        loop.add_reader(0, readable)


def is_up() -> None:
    """Say that the process serves: whatever it has made until now stays."""
    collecting.manage(asyncio.get_running_loop())


def vitals() -> dict[str, Any]:
    """Process id and resident memory, for status."""
    resident_kib = int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE_KIB
    return {"pid": os.getpid(), "rss_mib": resident_kib // 1024}


async def stop_lab(_: Mapping[str, Any]) -> Mapping[str, Any]:
    """The control API's `POST /stop`: asks the supervisor, our parent, to end the lab."""
    os.kill(os.getppid(), signal.SIGTERM)
    return {}


def logs_of(home: Home) -> Callable[[Mapping[str, Any]], Awaitable[Mapping[str, Any]]]:
    """The control API's `GET /logs`: `{"process", "lines"}` gives its last lines, `{"process",
    "place"}` what was written behind a place; each answer tells the next place.
    """

    async def logs(asked: Mapping[str, Any]) -> Mapping[str, Any]:
        name = asked.get("process")
        if name not in log_files.PROCESSES:
            raise LabError(f"there is no process {name!r}; one of {', '.join(log_files.PROCESSES)}")
        number = asked.get("place", asked.get("lines", 0))
        if not isinstance(number, int) or number < 0:
            raise LabError("lines and place are counted from 0")
        path = home.logs / f"{name}.log"
        read = log_files.since if "place" in asked else log_files.tail
        lines, place = read(path, number)
        return {"lines": lines, "place": place}

    return logs
