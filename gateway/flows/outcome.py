"""What the payer has of a case, as far as is known. It decides what may be made anew, sent again or withdrawn.

A second request under a new identifier is only made where the payer holds nothing of the first
(design.md §4 "Sending so that it counts once").
"""

from __future__ import annotations

from enum import StrEnum

from gateway.cases.decisions import Decision
from gateway.cases.facts import Facts
from gateway.flows.services import Services
from gateway.store.rows import CaseRow, SubmissionRow

HOLDS_NOTHING = frozenset({Decision.ERRORED, Decision.DENIED, Decision.CANCELLED, Decision.NOT_REQUIRED})
"""Decisions after which the payer holds nothing that would have to be withdrawn."""


class Outcome(StrEnum):
    """What became of the requests in force."""

    NOTHING = "nothing"
    """Nothing was sent, or it was refused or decided for good: a new request may be made."""
    UNKNOWN = "unknown"
    """Sent, or perhaps sent, and nobody here knows what became of it: the same bytes or none."""
    UNREAD = "unread"
    """The payer's answer is stored and could not be taken."""
    HELD = "held"
    """The payer has it, or an authorization that came of it."""


def in_force(services: Services, case: CaseRow, facts: Facts) -> tuple[SubmissionRow, ...]:
    """The request in force and what was sent about it since, oldest first; empty where the case has none."""
    if not facts.submission_id:
        return ()
    with services.store.read() as tx:
        rows = tx.submissions.for_case(case.tenant_id, case.case_id)
    requests = [row for row in rows if row.kind == "submit"]
    if not requests:
        return ()
    newest = max(requests, key=lambda row: row.created_at)
    later = (row for row in rows if row.kind in ("update", "cancel") and row.created_at >= newest.created_at)
    chain = (newest, *later)
    return chain if any(row.submission_id == facts.submission_id for row in chain) else ()


def decide_outcome(case: CaseRow, facts: Facts, rows: tuple[SubmissionRow, ...]) -> Outcome:
    """What the payer has; `rows` are those in force."""
    newest = next((row for row in rows if row.submission_id == facts.submission_id), None)
    if newest is None:
        return Outcome.NOTHING
    is_first = newest.kind == "submit"
    if newest.state == "refused":
        return Outcome.NOTHING if is_first else Outcome.HELD
    if newest.state != "answered":
        return Outcome.UNKNOWN
    if facts.answered != newest.submission_id:
        return Outcome.UNREAD
    return Outcome.NOTHING if is_first and case.decision in HOLDS_NOTHING else Outcome.HELD
