"""A payer that fails is left alone for a while, then tried once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from gateway.policy.breaker import Breaker, BreakerLimits, after_failure, after_success, decide_call
from gateway.policy.retry import Failure, FailureKind

NOW = datetime(2026, 2, 16, 18, 0, tzinfo=UTC)
LIMITS = BreakerLimits(failures=3, open_seconds=30)
DOWN = Failure(kind=FailureKind.NOT_SENT)


def _opened() -> Breaker:
    breaker = Breaker()
    for _ in range(3):
        breaker = after_failure(breaker, DOWN, NOW, LIMITS)
    return breaker


def test_it_opens_after_failures_in_a_row() -> None:
    breaker = after_failure(after_failure(Breaker(), DOWN, NOW, LIMITS), DOWN, NOW, LIMITS)
    assert decide_call(breaker, NOW, LIMITS).may_call
    decision = decide_call(_opened(), NOW, LIMITS)
    assert not decision.may_call
    assert decision.not_before == NOW + timedelta(seconds=30)


def test_a_success_between_starts_the_count_again() -> None:
    breaker = after_failure(after_failure(Breaker(), DOWN, NOW, LIMITS), DOWN, NOW, LIMITS)
    assert after_failure(after_success(breaker), DOWN, NOW, LIMITS).failures == 1


def test_one_trial_goes_out_after_the_pause() -> None:
    later = NOW + timedelta(seconds=30)
    first = decide_call(_opened(), later, LIMITS)
    second = decide_call(first.breaker, later, LIMITS)
    assert first.may_call
    assert not second.may_call
    assert after_success(first.breaker) == Breaker()


def test_a_failed_trial_opens_it_again() -> None:
    later = NOW + timedelta(seconds=30)
    trial = decide_call(_opened(), later, LIMITS).breaker
    again = after_failure(trial, DOWN, later, LIMITS)
    assert again.open_until == later + timedelta(seconds=30)
    assert again.trial_until is None


def test_a_trial_that_never_reported_is_replaced() -> None:
    later = NOW + timedelta(seconds=30)
    trial = decide_call(_opened(), later, LIMITS).breaker
    assert decide_call(trial, later + timedelta(seconds=30), LIMITS).may_call


def test_a_refusal_shows_the_payer_alive() -> None:
    assert after_failure(_opened(), Failure(kind=FailureKind.REFUSED), NOW, LIMITS) == Breaker()
