"""The durable engine's own log lines, reduced to what cannot hold anything of a case.

DBOS prints to the console, at level INFO, with exception texts. We take its handlers away and pass on
level, place and exception class through our allow-listed logger (spec/security.md T17).
"""

from __future__ import annotations

import logging

from gateway.logs import get_logger

_log = get_logger()


class _Reduced(logging.Handler):
    """Hands on where and of what class, never what was said."""

    def emit(self, record: logging.LogRecord) -> None:
        """One event `jobs.engine` with level, place and, where there is one, the exception's class."""
        found = record.exc_info[0] if record.exc_info else None
        _log.log(
            record.levelno,
            "jobs.engine",
            code=f"{record.module}:{record.lineno}",
            error=found.__name__ if found else "",
            status=record.levelname,
        )


def reduce_engine_logs() -> None:
    """Replaces every handler of the engine's logger; calling it again changes nothing."""
    engine = logging.getLogger("dbos")
    if not any(isinstance(handler, _Reduced) for handler in engine.handlers):
        engine.handlers[:] = [_Reduced(logging.WARNING)]
    engine.propagate = False
