"""What follows a delivery that brought no decision."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from gateway.errors import (
    GatewayError,
    PayerRejected,
    PayerTimedOut,
    PayerUnreachable,
    PayerUnreadable,
)
from gateway.policy.retry import (
    AskPerson,
    Failure,
    FailureKind,
    GiveUp,
    Inquire,
    RetryAt,
    RetryLimits,
    decide_business_retry,
    decide_retry,
    failure_kind,
    read_failure,
)

NOW = datetime(2026, 2, 16, 18, 0, tzinfo=UTC)
LIMITS = RetryLimits(max_attempts=4, first_wait_seconds=2, longest_wait_seconds=60)
K = FailureKind


@pytest.mark.requirement("pas:spec-35")
@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, K.REFUSED),
        (401, K.UNAUTHORISED),
        (403, K.REFUSED),
        (404, K.REFUSED),
        (408, K.TRY_LATER),
        (409, K.REFUSED),
        (410, K.REFUSED),
        (422, K.REFUSED),
        (425, K.TRY_LATER),
        (429, K.TRY_LATER),
        (500, K.OUTCOME_UNKNOWN),
        (501, K.OUTCOME_UNKNOWN),
        (502, K.OUTCOME_UNKNOWN),
        (503, K.TRY_LATER),
        (504, K.OUTCOME_UNKNOWN),
        (200, K.NOT_AN_ANSWER),
        (302, K.NOT_AN_ANSWER),
        (100, K.OUTCOME_UNKNOWN),
    ],
)
def test_kind_of_a_status(status: int, kind: FailureKind) -> None:
    assert failure_kind(status) is kind


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (PayerUnreachable("x"), K.NOT_SENT),
        (PayerTimedOut("x"), K.OUTCOME_UNKNOWN),
        (PayerUnreadable("x", http_answer=200), K.OUTCOME_UNKNOWN),
        (PayerRejected("x", http_answer=422), K.REFUSED),
        (PayerRejected("x", http_answer=503), K.TRY_LATER),
        (GatewayError("x"), K.OUTCOME_UNKNOWN),
    ],
)
def test_kind_of_an_error(error: GatewayError, kind: FailureKind) -> None:
    assert read_failure(error).kind is kind


def test_a_wait_they_ask_for_is_kept() -> None:
    error = PayerRejected("x", http_answer=429, retry_after_seconds=120)
    answer = decide_retry(read_failure(error), 1, NOW, 0.0, LIMITS)
    assert isinstance(answer, RetryAt)
    assert answer.when == NOW + timedelta(seconds=120)


@pytest.mark.requirement("pas:spec-39")
def test_a_refusal_is_final() -> None:
    answer = decide_retry(Failure(kind=K.REFUSED, http_status=422), 1, NOW, 0.5, LIMITS)
    assert isinstance(answer, GiveUp)
    assert "422" in answer.why


def test_a_token_is_renewed_once() -> None:
    first = decide_retry(Failure(kind=K.UNAUTHORISED), 1, NOW, 0.5, LIMITS)
    second = decide_retry(Failure(kind=K.UNAUTHORISED, token_was_renewed=True), 2, NOW, 0.5, LIMITS)
    assert isinstance(first, RetryAt)
    assert first.renew_token
    assert isinstance(second, AskPerson)


@pytest.mark.parametrize(
    ("attempt", "jitter", "seconds"), [(1, 0.0, 1), (1, 1.0, 2), (2, 1.0, 4), (3, 0.0, 4), (3, 1.0, 8)]
)
def test_waits_double_with_jitter(attempt: int, jitter: float, seconds: int) -> None:
    answer = decide_retry(Failure(kind=K.NOT_SENT), attempt, NOW, jitter, LIMITS)
    assert isinstance(answer, RetryAt)
    assert answer.when - NOW == timedelta(seconds=seconds)


def test_own_waits_have_a_ceiling() -> None:
    limits = RetryLimits(max_attempts=100, first_wait_seconds=2, longest_wait_seconds=60)
    answer = decide_retry(Failure(kind=K.TRY_LATER), 90, NOW, 1.0, limits)
    assert isinstance(answer, RetryAt)
    assert answer.when - NOW == timedelta(seconds=60)


@pytest.mark.threat("T13")
def test_an_unknown_outcome_is_asked_about_before_it_is_sent_again() -> None:
    asked = decide_retry(Failure(kind=K.OUTCOME_UNKNOWN, may_inquire=True), 1, NOW, 0.5, LIMITS)
    resent = decide_retry(Failure(kind=K.OUTCOME_UNKNOWN), 1, NOW, 0.5, LIMITS)
    assert isinstance(asked, Inquire)
    assert isinstance(resent, RetryAt)


def test_a_safe_call_is_repeated_without_asking() -> None:
    failure = Failure(kind=K.OUTCOME_UNKNOWN, may_inquire=True, is_safe=True)
    assert isinstance(decide_retry(failure, 1, NOW, 0.5, LIMITS), RetryAt)


@pytest.mark.threat("T13")
@pytest.mark.parametrize(("may_inquire", "kind"), [(True, Inquire), (False, AskPerson)])
def test_a_duplicate_is_never_a_denial(may_inquire: bool, kind: type) -> None:
    assert isinstance(decide_retry(Failure(kind=K.DUPLICATE, may_inquire=may_inquire), 9, NOW, 0.5, LIMITS), kind)


@pytest.mark.parametrize("kind", [K.NOT_SENT, K.TRY_LATER, K.OUTCOME_UNKNOWN])
def test_after_the_last_attempt_a_person_is_asked(kind: FailureKind) -> None:
    answer = decide_retry(Failure(kind=kind, may_inquire=True), 4, NOW, 0.5, LIMITS)
    assert isinstance(answer, AskPerson)
    assert "4 times" in answer.why
    assert answer.next_action


def test_an_answer_without_a_decision_goes_to_a_person() -> None:
    assert isinstance(decide_retry(Failure(kind=K.NOT_AN_ANSWER, http_status=200), 1, NOW, 0.5, LIMITS), AskPerson)


def test_a_wait_of_more_than_a_day_goes_to_a_person() -> None:
    failure = Failure(kind=K.TRY_LATER, retry_after_seconds=86_401)
    assert isinstance(decide_retry(failure, 1, NOW, 0.5, LIMITS), AskPerson)


@pytest.mark.parametrize(
    ("codes", "kind", "days"),
    [
        (["C"], AskPerson, None),
        (["R"], AskPerson, None),
        (["N"], GiveUp, None),
        (["S"], GiveUp, None),
        (["Y"], GiveUp, None),
        (["P"], RetryAt, 0),
        (["W"], RetryAt, 30),
        (["X"], RetryAt, 10),
        (["X", "W"], RetryAt, 30),
        (["W", "C"], AskPerson, None),
        (["P", "N"], GiveUp, None),
        (["?"], AskPerson, None),
        ([], AskPerson, None),
    ],
)
def test_follow_up_of_a_business_error(codes: list[str], kind: type, days: int | None) -> None:
    answer = decide_business_retry(codes, NOW)
    assert isinstance(answer, kind)
    if isinstance(answer, RetryAt):
        assert answer.when - NOW == timedelta(days=days or 0)
