"""What to do after a delivery that brought no decision.

The answer is a value: try again at an instant, ask the payer whether it knows the request, ask a
person, or give up. Only the worker waits. Source: design.md §4 "Sending so that it counts once",
spec/pas.md §11; the rows are in tables/retry.toml.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cache
from typing import Any

from gateway.errors import GatewayError, PartnerError, Rejected, Unreachable
from gateway.policy.tables import read_table


class FailureKind(StrEnum):
    """What is known about the request after the failure."""

    NOT_SENT = "not_sent"
    """No byte reached them: no connection, name or permitted address."""
    TRY_LATER = "try_later"
    """They did not process it and may do so later."""
    UNAUTHORISED = "unauthorised"
    """They did not accept our token."""
    REFUSED = "refused"
    """They refused it; the same bytes will be refused again."""
    OUTCOME_UNKNOWN = "outcome_unknown"
    """Sent, or perhaps sent, and nobody here knows what became of it."""
    NOT_AN_ANSWER = "not_an_answer"
    """They answered without error and without a decision."""
    DUPLICATE = "duplicate"
    """They say that they have this request already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """One failed delivery."""

    kind: FailureKind
    """What is known about the request."""
    http_status: int = 0
    """Status they sent; 0 when none came."""
    retry_after_seconds: int | None = None
    """Wait they asked for."""
    is_safe: bool = False
    """The call changes nothing at their side (discovery, hook, forms), so it may simply be repeated."""
    may_inquire: bool = False
    """Their row says that asking by `$inquire` is worth it, and it was not done since this delivery."""
    token_was_renewed: bool = False
    """The token of this attempt was fetched anew because of an earlier 401."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryLimits:
    """How often and how long; a payer row may set its own."""

    max_attempts: int
    """Attempts in all."""
    first_wait_seconds: int
    """Wait before the second attempt; doubled each time."""
    longest_wait_seconds: int
    """Longest wait of our own choosing."""
    longest_asked_wait_seconds: int = 86_400
    """Longest Retry-After that is followed without a person."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryAt:
    """Send the same bytes again, not before an instant."""

    when: datetime
    """Aware instant."""
    why: str
    """Sentence for the case page."""
    renew_token: bool = False
    """Fetch a new token first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inquire:
    """Ask the payer once whether it knows the request, before anything is sent again."""

    why: str
    """Sentence for the case page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AskPerson:
    """Stop; a person decides. The case needs attention."""

    why: str
    """Sentence for the case page."""
    next_action: str
    """What the person should do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GiveUp:
    """Final: these bytes will never be accepted."""

    why: str
    """Sentence for the case page."""
    next_action: str
    """What remains to do."""


Retry = RetryAt | Inquire | AskPerson | GiveUp

_LOOK = "Read the payer's answer below, correct what it names, then send a new request."
_CALL = "Ask the payer by phone whether the request arrived, then send it again or record the answer."


def default_limits() -> RetryLimits:
    """Limits of tables/retry.toml."""
    return RetryLimits(**read_table("retry")["limits"])


def failure_kind(http_status: int) -> FailureKind:
    """Kind of failure that an HTTP status stands for; a success status means *no decision came with it*."""
    table = read_table("retry")
    for row in table["status"]:
        if row["code"] == http_status:
            return FailureKind(row["kind"])
    return FailureKind(table["default_status"].get(str(http_status // 100), "outcome_unknown"))


def read_failure(error: GatewayError, *, is_safe: bool = False, may_inquire: bool = False) -> Failure:
    """The failure that a client's error stands for: not sent, refused by status, or of unknown outcome."""
    status = error.http_answer if isinstance(error, PartnerError) else 0
    kind = FailureKind.OUTCOME_UNKNOWN
    if isinstance(error, Unreachable):
        kind = FailureKind.NOT_SENT
    elif isinstance(error, Rejected):
        kind = failure_kind(status)
    wait = error.retry_after_seconds if isinstance(error, PartnerError) else None
    return Failure(kind=kind, http_status=status, retry_after_seconds=wait, is_safe=is_safe, may_inquire=may_inquire)


def decide_retry(
    failure: Failure, attempt: int, now: datetime, jitter: float, limits: RetryLimits | None = None
) -> Retry:
    """What follows a failed delivery.

    `attempt` counts the attempts made so far, from 1. `jitter` is a fraction in [0, 1) drawn by the
    caller. Steps: (1) an answer that settles it; (2) the token; (3) the number of attempts; (4) an
    unknown outcome is asked about once; (5) wait. Source: design.md §4, pas:spec-35, spec-39.
    """
    limits = limits or default_limits()
    settled = _settled(failure)  # (1)
    if settled:
        return settled
    if failure.kind is FailureKind.UNAUTHORISED:  # (2)
        return _renew(failure, now)
    if attempt >= limits.max_attempts:  # (3)
        return _exhausted(failure, attempt)
    if failure.kind is FailureKind.OUTCOME_UNKNOWN and failure.may_inquire and not failure.is_safe:  # (4)
        return Inquire(why="The outcome is unknown; the payer is asked once whether it knows the request.")
    return _wait(failure, attempt, now, jitter, limits)  # (5)


def _settled(failure: Failure) -> Retry | None:
    if failure.kind is FailureKind.REFUSED:
        why = f"The payer refused the request (HTTP {failure.http_status})." if failure.http_status else "Refused."
        return GiveUp(why=why, next_action=_LOOK)
    if failure.kind is FailureKind.NOT_AN_ANSWER:
        return AskPerson(why="The payer answered, but not with a decision; its bytes are kept.", next_action=_LOOK)
    if failure.kind is FailureKind.DUPLICATE:
        if failure.may_inquire:
            return Inquire(why="The payer says it has this request already; it is asked for its answer.")
        return AskPerson(why="The payer says it has this request already.", next_action=_CALL)
    return None


def _renew(failure: Failure, now: datetime) -> Retry:
    if failure.token_was_renewed:
        return AskPerson(
            why="The payer does not accept our credentials.",
            next_action="Check the payer's token settings with the operator, then send again.",
        )
    return RetryAt(when=now, why="The token was not accepted; a new one is fetched.", renew_token=True)


def _exhausted(failure: Failure, attempt: int) -> AskPerson:
    times = "once" if attempt == 1 else f"{attempt} times"
    if failure.kind is FailureKind.OUTCOME_UNKNOWN:
        return AskPerson(why=f"Sent {times} without a readable answer; the outcome is unknown.", next_action=_CALL)
    return AskPerson(
        why=f"Tried {times}; the payer could not be reached.",
        next_action="Check whether the payer reports an outage, then send again.",
    )


def _wait(failure: Failure, attempt: int, now: datetime, jitter: float, limits: RetryLimits) -> Retry:
    asked = failure.retry_after_seconds or 0
    if asked > limits.longest_asked_wait_seconds:
        return AskPerson(
            why="The payer asks for a wait of more than a day.", next_action="Decide whether to wait or to call."
        )
    doubled = limits.first_wait_seconds * 2 ** min(attempt - 1, 30)
    own = min(doubled, limits.longest_wait_seconds) * (0.5 + jitter / 2)
    wait = timedelta(seconds=max(float(asked), own))
    why = "The payer could not be reached." if failure.kind is FailureKind.NOT_SENT else "The payer could not answer."
    return RetryAt(when=now + wait, why=f"{why} The same request is sent again.")


@cache
def _follow_ups() -> dict[str, dict[str, Any]]:
    return {row["code"]: row for row in read_table("retry")["follow_up"]}


def decide_business_retry(follow_ups: Iterable[str], now: datetime) -> Retry:
    """What follows a business rejection, from the follow-up action codes (X12 889) of its errors.

    The most careful act wins: a person before giving up before sending again; the longest wait. No
    known code means a person. Source: spec/pas.md §11.
    """
    rows = [_follow_ups()[code] for code in follow_ups if code in _follow_ups()]
    why = "The payer rejected the request for a business reason."
    for act, answer in (("ask_person", AskPerson), ("give_up", GiveUp)):
        chosen = next((row for row in rows if row["act"] == act), None)
        if chosen:
            return answer(why=why, next_action=chosen["next_action"])
    if not rows:
        return AskPerson(why=why, next_action=_LOOK)
    longest = max(rows, key=lambda row: int(row["wait_days"]))
    return RetryAt(when=now + timedelta(days=longest["wait_days"]), why=longest["next_action"])
