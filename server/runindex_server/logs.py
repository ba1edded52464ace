"""Structured logs on standard error: one JSON object a line, or coloured text for a person.

Nothing that a caller sent is logged: only names of methods, reasons, ids of the server's own and of
traces, and tracebacks.
"""

import logging
import sys
from contextlib import AbstractContextManager
from typing import Literal, cast

import structlog

LogFormat = Literal["json", "console"]
LogLevel = Literal["debug", "info", "warning", "error"]


def configure_logs(level: LogLevel, log_format: LogFormat, *, worker: int | None = None) -> None:
    """Send what is logged from `level` upwards to standard error, in a format.

    Args:
        level: The least grave that is logged.
        log_format: The format.
        worker: The number of this process among several, to be told in each line.
    """

    def add_worker(_: object, __: str, line: structlog.typing.EventDict) -> structlog.typing.EventDict:
        if worker is not None:
            line["worker"] = worker
        return line

    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    processors: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        add_worker,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.EventRenamer("event"),
    ]
    if log_format == "json":
        processors.append(structlog.processors.format_exc_info)
    structlog.configure(
        processors=[*processors, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        # A line is one write, so that those of several processes do not mix.
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )


def telling(**facts: str) -> AbstractContextManager[None]:
    """Tell some facts in each line that is logged meanwhile, in this task."""
    return structlog.contextvars.bound_contextvars(**facts)


def get_logger(name: str) -> structlog.typing.FilteringBoundLogger:
    """Return the logger of a module."""
    return cast("structlog.typing.FilteringBoundLogger", structlog.get_logger(module=name))
