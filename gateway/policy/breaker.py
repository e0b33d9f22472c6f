"""A circuit breaker per payer, as a value kept in a row.

Closed: calls go out. Open: they wait. After the pause one call is let through as a trial; its
outcome closes the breaker or opens it again. Source: design.md §4.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from gateway.policy.retry import Failure, FailureKind

_COUNTED = frozenset({FailureKind.NOT_SENT, FailureKind.OUTCOME_UNKNOWN, FailureKind.TRY_LATER})


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerLimits:
    """When to stop and when to try again."""

    failures: int = 5
    """Failures in a row that open the breaker."""
    open_seconds: int = 30
    """Pause before a trial call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Breaker:
    """State of one payer's breaker."""

    failures: int = 0
    """Failures in a row."""
    open_until: datetime | None = None
    """Calls wait until then; None while closed."""
    trial_until: datetime | None = None
    """A trial call is under way and has this long; None when there is none."""

    @property
    def is_open(self) -> bool:
        """Whether calls other than a trial wait."""
        return self.open_until is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class CallDecision:
    """Whether to call now."""

    may_call: bool
    """True: go ahead and store `breaker` first."""
    breaker: Breaker
    """State to store with the decision."""
    not_before: datetime | None = None
    """When to ask again, if the call must wait."""


def decide_call(breaker: Breaker, now: datetime, limits: BreakerLimits) -> CallDecision:
    """Whether a call may start at `now`. A trial that never reported counts as lost after one pause."""
    if breaker.open_until is None:
        return CallDecision(may_call=True, breaker=breaker)
    waits = max(breaker.open_until, breaker.trial_until or breaker.open_until)
    if now < waits:
        return CallDecision(may_call=False, breaker=breaker, not_before=waits)
    trial = replace(breaker, trial_until=now + timedelta(seconds=limits.open_seconds))
    return CallDecision(may_call=True, breaker=trial)


def after_success(breaker: Breaker) -> Breaker:
    """State after an answer of any kind that shows the payer alive."""
    return breaker if breaker == Breaker() else Breaker()


def after_failure(breaker: Breaker, failure: Failure, now: datetime, limits: BreakerLimits) -> Breaker:
    """State after a failure. A refusal is an answer: it shows the payer alive and closes the breaker."""
    if failure.kind not in _COUNTED:
        return after_success(breaker)
    count = breaker.failures + 1
    if count < limits.failures and not breaker.is_open:
        return replace(breaker, failures=count)
    return Breaker(failures=count, open_until=now + timedelta(seconds=limits.open_seconds))
