"""Structured logs: one JSON object a line in the daemon, readable lines on a terminal.

A log never holds a secret: tokens, keys and Authorization headers are not given to it.
"""

import logging
import sys
from typing import TextIO

import structlog


def configure(*, stream: TextIO = sys.stderr, level: int = logging.INFO, json: bool = True) -> None:
    """Set up logging of this process. Called once, by a composition root."""
    renderer = (
        structlog.processors.JSONRenderer()
        if json
        else structlog.dev.ConsoleRenderer(colors=stream.isatty())
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(file=stream),
        cache_logger_on_first_use=True,
    )


Logger = structlog.typing.FilteringBoundLogger


def get(component: str) -> Logger:
    """The logger of one component."""
    logger: Logger = structlog.get_logger(component=component)
    return logger
