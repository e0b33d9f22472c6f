"""Running one handler so that nothing of a failure but its class gets out."""

from __future__ import annotations

from time import monotonic

from gateway.errors import GatewayError
from gateway.jobs.port import Handler
from gateway.logs import get_logger

_log = get_logger()


class JobFailed(Exception):
    """A handler raised. Carries the class of the error alone: messages may hold patient data (T17)."""

    def __init__(self, error: str) -> None:
        super().__init__(error)
        self.error = error
        """Class name, or the machine word of an error of our own."""


def run_handler(name: str, handler: Handler, ids: tuple[str, ...]) -> None:
    """Calls the handler; raises JobFailed, without cause or message, where it raises."""
    began = monotonic()
    try:
        handler(ids)
        return
    except GatewayError as error:
        failed = f"{type(error).__name__}:{error.reason}"
    except Exception as error:
        failed = type(error).__name__
    _log.error("job.failed", job=name, error=failed, seconds=round(monotonic() - began, 3))
    raise JobFailed(failed)
