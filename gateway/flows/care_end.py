"""How a timer ends: the rule is satisfied, a red flag, improvement, a person, a closed case, or too much time.

Source: spec/clinical.md §2.1 (timer Task), §2.2, §4.2.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import provenance
from gateway.cases.facts import Facts
from gateway.clinical.milestones_view import Progress
from gateway.clock import write_instant
from gateway.flows.actors import GATEWAY, Actor
from gateway.flows.care_calendar import DECISION, WATCH
from gateway.flows.care_facts import TimerFacts
from gateway.flows.ledger import Act, Item
from gateway.flows.services import Services
from gateway.store import Tx
from gateway.store.care_rows import TimerPhase, TimerRow
from gateway.store.rows import CaseRow

LOOKED_AT_AGAIN = timedelta(days=1)
"""How soon a held case is looked at after its timer has ended."""
SENTENCES = {
    "satisfied": "Conservative care is complete; the case goes on.",
    "red-flag": "A red-flag exception is documented; conservative care ends and the case goes on.",
    "improving": "The patient improves; imaging is not yet supported and no packet is sent.",
    "override": "A clinician went on in spite of the gap; conservative care ends.",
    "case-closed": "The case is closed; conservative care ends.",
    "not-applicable": "No clinical rule applies to the order any more; conservative care ends.",
    "by-person": "Conservative care was ended; the gap remains, decide how to go on.",
    "expired": "Conservative care ended without a decision; order the imaging anew, continue, or cancel the case.",
}
"""Reason of an end → what the case says."""
REASONS = {
    "satisfied": "the rule is satisfied",
    "red-flag": "a red-flag exception is documented",
    "improving": "the patient improves",
    "override": "a clinician went on in spite of the gap",
    "case-closed": "the case was closed",
    "not-applicable": "no clinical rule applies any more",
    "by-person": "a person ended it",
    "expired": "too much time passed without a decision",
}
"""Reason of an end → its words in a list."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """The end of a timer, ready to be recorded."""

    act: Act
    """The event."""
    sentence: str
    """What the case says next."""
    also: Callable[[Tx], None]
    """What changes with the event."""


def ending(
    services: Services,
    case: CaseRow,
    timer: TimerRow,
    facts: TimerFacts,
    phase: TimerPhase,
    reason: str,
    *,
    actor: Actor = GATEWAY,
    words: str = "",
    progress: Progress | None = None,
) -> Ending:
    """End the timer in its transaction: state, open milestones, the Tasks' new status. The decision row fires as met
    where the rule is satisfied; all other open rows are void, except the look that finishes what is left to write."""
    now = services.clock.now()
    record = provenance.salted_record("care-end", _what(timer, phase, reason, progress, now))
    act = Act(
        verb="care-end",
        about=(Item.body(record, "application/json"),),
        actor=actor,
        note={"kind": "timer-end", "reason": reason, "why": words.strip()[:400]},
    )

    def also(tx: Tx) -> None:
        tx.timers.update(
            timer.tenant_id,
            timer.timer_id,
            timer.version,
            state=phase,
            phase=phase,
            reason=reason,
            ended_at=now,
            facts=facts.to_text(),
        )
        _close_rows(tx, timer, phase, now)

    return Ending(act=act, sentence=SENTENCES[reason], also=also)


def without_hold(services: Services, facts: Facts) -> Facts:
    """The case's facts once no timer looks after it any more: a held case is looked at daily again."""
    return (
        replace(facts, held_until=(services.clock.now() + LOOKED_AT_AGAIN).isoformat()) if facts.held_until else facts
    )


def _close_rows(tx: Tx, timer: TimerRow, phase: TimerPhase, now: datetime) -> None:
    rows = [row for row in tx.care_due.of_timer(timer.tenant_id, timer.timer_id) if row.fired_at is None]
    for row in rows:
        if row.name == WATCH:
            tx.care_due.move(timer.tenant_id, timer.timer_id, WATCH, now + timedelta(seconds=30), 0)
        else:
            is_met = row.name == DECISION and phase == "completed"
            tx.care_due.fire(timer.tenant_id, timer.timer_id, row.name, now, "met" if is_met else "void")


def _what(timer: TimerRow, phase: str, reason: str, progress: Progress | None, now: datetime) -> dict[str, object]:
    return {
        "timer": timer.timer_id,
        "state": phase,
        "reason": reason,
        "day": progress.timed.day if progress else None,
        "verdict": progress.found.verdict if progress else None,
        "at": write_instant(now),
    }
