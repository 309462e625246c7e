"""Structured logs: one JSON object a line in the daemon, readable lines on a terminal.

A log never holds a secret: tokens, keys and Authorization headers are not given to it.
"""

import sys
import time
import traceback
from enum import IntEnum
from typing import Any, Final, TextIO

import orjson

from ekslab.kit.clock import rfc3339_micro


class Level(IntEnum):
    """How much a line matters."""

    DEBUG = 10
    INFO = 20
    WARNING = 30
    ERROR = 40


class _Sink:
    """Where lines go. One a process; until `configure` is called, only what went wrong is shown."""

    def __init__(self) -> None:
        self.stream: TextIO | None = None
        self.level = Level.WARNING
        self.json = False

    def write(self, level: Level, component: str, event: str, fields: dict[str, Any]) -> None:
        stamp = rfc3339_micro(time.time())
        stream = self.stream or sys.stderr
        if self.json:
            line = {"component": component, **fields, "event": event,
                    "level": level.name.lower(), "timestamp": stamp}  # fmt: skip
            text = orjson.dumps(line, default=str).decode()
        else:
            shown = " ".join(
                f"{name}={value}" for name, value in fields.items() if name != "exception"
            )
            text = f"{stamp} {level.name.lower():7} {component}: {event} {shown}".rstrip()
            if "exception" in fields:
                text += "\n" + fields["exception"]
        print(text, file=stream, flush=True)


_SINK: Final = _Sink()


class Logger:
    """The logger of one component; fields are named: `log.info("step", text=text)`."""

    __slots__ = ("_bound", "_component")

    def __init__(self, component: str, **bound: Any) -> None:
        self._component = component
        self._bound = bound

    def bind(self, **fields: Any) -> "Logger":
        """A logger whose lines have these fields, too."""
        return Logger(self._component, **self._bound, **fields)

    def debug(self, event: str, **fields: Any) -> None:
        """What helps to find a mistake of ours."""
        self._log(Level.DEBUG, event, fields)

    def info(self, event: str, **fields: Any) -> None:
        """What happens."""
        self._log(Level.INFO, event, fields)

    def warning(self, event: str, **fields: Any) -> None:
        """What did not work, and is tried again or given up."""
        self._log(Level.WARNING, event, fields)

    def error(self, event: str, **fields: Any) -> None:
        """What somebody must mend."""
        self._log(Level.ERROR, event, fields)

    def exception(self, event: str, **fields: Any) -> None:
        """An error that is being handled, with its traceback."""
        self._log(Level.ERROR, event, {**fields, "exception": traceback.format_exc()})

    def _log(self, level: Level, event: str, fields: dict[str, Any]) -> None:
        if level >= _SINK.level:
            _SINK.write(level, self._component, event, {**self._bound, **fields})


def configure(
    *, stream: TextIO | None = None, level: Level = Level.INFO, json: bool = True
) -> None:
    """Set up logging of this process, to standard error if no stream is given."""
    _SINK.stream, _SINK.level, _SINK.json = stream, level, json


def get(component: str) -> Logger:
    """The logger of one component."""
    return Logger(component)
