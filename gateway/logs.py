"""Structured logs on an allow-list: what is not declared here never reaches a log (security T17).

A log line is one JSON object. Names, birth dates, bodies, query strings and exception texts are
dropped because only declared fields pass, and those only as short plain values.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

FIELDS = frozenset(
    {
        "event",
        "level",
        "timestamp",
        "actor",
        "case_id",
        "tenant",
        "stage",
        "payer",
        "ehr",
        "verb",
        "from_state",
        "to_state",
        "seq",
        "job",
        "queue",
        "attempt",
        "status",
        "code",
        "error",
        "count",
        "seconds",
        "route",
        "method",
        "request_id",
        "port",
        "version",
        "why",
    }
)
"""Names of the fields that may be logged."""
MAX_TEXT = 120
"""Longest text value that passes."""


def keep_allowed(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Drop undeclared fields and anything that is not a short plain value; control characters are escaped."""
    return {name: _plain(value) for name, value in event.items() if name in FIELDS}


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, type):
        return value.__name__
    if isinstance(value, str):
        return value[:MAX_TEXT].encode("unicode_escape").decode("ascii")
    return "(dropped)"


def _print_logger(*_: Any) -> structlog.PrintLogger:
    """A logger on the standard error of the moment; levels and streams set later reach loggers made earlier."""
    return structlog.PrintLogger(file=sys.stderr)


def configure_logs(level: str = "info") -> None:
    """Send our own events to standard error as JSON lines and silence libraries that log requests or SQL."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            keep_allowed,
            structlog.processors.JSONRenderer(sort_keys=True),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=_print_logger,
        cache_logger_on_first_use=False,
    )
    for name in ("httpx", "httpcore", "uvicorn.access", "sqlalchemy", "dbos", "asyncio", "alembic"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def get_logger() -> Any:
    """The allow-listed logger."""
    return structlog.get_logger()
