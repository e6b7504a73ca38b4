"""Structured logs: one JSON line an event on stderr, with the trace id of the request that is being served.

Never memo text, card numbers or keys of parties: events carry ids of requests, routes, counts and durations, and
an unexpected error is logged by its type and the lines it passed through, not by its message, which may quote data.
"""

from __future__ import annotations

import sys
import traceback

import structlog


def configure_logging() -> None:
    """Set structlog up for a process."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=False,
    )


def where(error: BaseException) -> list[str]:
    """The lines that an error passed through, innermost last, without its message."""
    frames = traceback.extract_tb(error.__traceback__)
    return [f"{frame.filename.rsplit('/', 1)[-1]}:{frame.lineno} {frame.name}" for frame in frames[-8:]]
