"""Repeating a read inside a job: short, bounded, and only where a repeat can do no harm.

Longer waits are delayed jobs, and what to do about a failed send is policy; neither is here.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt, wait_exponential, wait_random

from gateway.errors import PartnerError, Rejected, TimedOut, Unreachable

T = TypeVar("T")
PASSING_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Refusals that may pass by themselves."""
LASTING_REASONS = (".address-refused",)
"""Failures of our own configuration: they do not pass."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadRetries:
    """How long reads are repeated inside one job."""

    attempts: int = 4
    """Attempts in all."""
    budget_seconds: float = 30.0
    """No attempt begins later than this after the first, and no wait is longer than what is left of it."""
    sleep: Callable[[float], None] = time.sleep
    """How waiting is done; tests count instead."""
    elapsed: Callable[[], float] = time.monotonic
    """Monotonic seconds."""

    def run(self, read: Callable[[], T]) -> T:
        """The result of `read`, repeated while its failure may pass; its last error otherwise."""
        until = self.elapsed() + self.budget_seconds
        retrying = Retrying(
            retry=retry_if_exception(lambda error: may_pass(error) and self.elapsed() + wait_asked(error) < until),
            stop=stop_after_attempt(self.attempts),
            wait=_wait,
            sleep=self.sleep,
            reraise=True,
        )
        return retrying(read)


def may_pass(error: BaseException) -> bool:
    """Whether the same read may succeed a little later."""
    if isinstance(error, Rejected):
        return error.http_answer in PASSING_STATUSES
    is_passing = isinstance(error, Unreachable | TimedOut)
    return is_passing and not str(getattr(error, "reason", "")).endswith(LASTING_REASONS)


def wait_asked(error: BaseException) -> float:
    """Seconds that the partner asked to wait, 0 when it asked for none."""
    asked = error.retry_after_seconds if isinstance(error, PartnerError) else None
    return float(asked or 0)


_BACKOFF = wait_exponential(multiplier=0.2, max=5) + wait_random(0, 0.2)


def _wait(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    return max(_BACKOFF(state), wait_asked(error) if error else 0.0)
