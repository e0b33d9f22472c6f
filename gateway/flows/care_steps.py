"""The part of the gateway's one job that belongs to conservative care.

It writes what the EHR does not have yet, looks at the chart when something is due, and ends a timer whose case has
moved on. A partner that fails costs a delay: the row is due later, the case stays where it is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from gateway.cases.facts import Facts, read_facts
from gateway.cases.states import CaseState
from gateway.errors import Conflict, GatewayError, PartnerError
from gateway.flows import ledger
from gateway.flows.care_calendar import WATCH, next_try
from gateway.flows.care_chart import NO_RULE_CODE, read_now
from gateway.flows.care_end import ending, without_hold
from gateway.flows.care_facts import TimerFacts, pending, unlinked
from gateway.flows.care_facts import read_facts as read_timer
from gateway.flows.care_look import look
from gateway.flows.care_write import link_sessions, write_resource
from gateway.flows.services import Services
from gateway.logs import get_logger
from gateway.store.care_rows import DueRow, TimerPhase, TimerRow
from gateway.store.rows import CaseRow

WAITING = frozenset({CaseState.RECEIVED, CaseState.CHECKING, CaseState.HELD, CaseState.NEEDS_ATTENTION})
"""States in which a case waits for conservative care, or may come back to it."""
MOST_PARTS = 40
"""Things one step does at most without changing the case."""


def is_due(services: Services, case: CaseRow, facts: Facts) -> bool:
    """Whether the case's timer has something to do now. Cases without a timer cost nothing."""
    if not facts.timer:
        return False
    timer, rows = _load(services, case, facts)
    now = services.clock.now()
    own = read_timer(timer)
    if timer.state == "running" and CaseState(case.state) not in WAITING:
        return True
    return (_may_write(own, now) and _has_work(timer, own)) or bool(_due(rows, now))


def step(services: Services, case: CaseRow, facts: Facts) -> CaseRow:
    """Do what the case's timer needs until the case changes, or nothing is due any more."""
    for _ in range(MOST_PARTS):
        changed = _once(services, case, facts)
        if changed.version != case.version or not is_due(services, case, facts):
            return changed
    return case


def _once(services: Services, case: CaseRow, facts: Facts) -> CaseRow:
    """Do one thing for the case's timer.

    Steps: (1) the case has moved on, so the timer ends; (2) the EHR lacks a resource or a status; (3) the plan lacks
    sessions; (4) something is due, so the chart is read; (5) nothing is left of an ended timer.
    """
    timer, rows = _load(services, case, facts)
    own, now = read_timer(timer), services.clock.now()
    if timer.state == "running" and CaseState(case.state) not in WAITING:  # (1)
        return _follow(services, case, facts, timer, own)
    if _may_write(own, now):
        item = pending(timer, own)
        if item is not None:  # (2)
            return _patiently(services, case, timer, own, lambda: write_resource(services, case, timer, own, item))
        if timer.state == "running" and unlinked(own):  # (3)
            return _patiently(services, case, timer, own, lambda: link_sessions(services, case, timer, own))
    due = _due(rows, now)
    if due and timer.state == "running":  # (4)
        return _patiently(
            services, case, timer, own, lambda: look(services, case, timer, read_now(services, case), due), due
        )
    _finish(services, timer, own, due)  # (5)
    return case


def _load(services: Services, case: CaseRow, facts: Facts) -> tuple[TimerRow, tuple[DueRow, ...]]:
    with services.store.read() as tx:
        timer = tx.timers.get(case.tenant_id, facts.timer)
        return timer, tx.care_due.of_timer(case.tenant_id, facts.timer)


def _due(rows: tuple[DueRow, ...], now: datetime) -> tuple[DueRow, ...]:
    return tuple(row for row in rows if row.fired_at is None and row.due_at <= now)


def _may_write(own: TimerFacts, now: datetime) -> bool:
    return not own.hold_until or datetime.fromisoformat(own.hold_until) <= now


def _has_work(timer: TimerRow, own: TimerFacts) -> bool:
    return pending(timer, own) is not None or (timer.state == "running" and bool(unlinked(own)))


def _follow(services: Services, case: CaseRow, facts: Facts, timer: TimerRow, own: TimerFacts) -> CaseRow:
    """The case went on without the timer: it ends the way the case did."""
    phase, reason = _fate(case, facts)
    end = ending(services, case, timer, own, phase, reason)
    return ledger.append(services, case, end.act, also=end.also)


def _fate(case: CaseRow, facts: Facts) -> tuple[TimerPhase, str]:
    if facts.is_overridden:
        return "cancelled", "override"
    if facts.verdict == "RED_FLAG_BYPASS":
        return "cancelled", "red-flag"
    if facts.verdict == "PASS" and case.state != CaseState.CANCELLED:
        return "completed", "satisfied"
    return "cancelled", "case-closed"


def _patiently(
    services: Services,
    case: CaseRow,
    timer: TimerRow,
    own: TimerFacts,
    action: Callable[[], CaseRow],
    due: tuple[DueRow, ...] = (),
) -> CaseRow:
    """Run a part that needs the EHR; where that fails, everything it was for is due later."""
    try:
        return action()
    except Conflict as error:
        if error.reason.startswith("conflict"):
            raise  # somebody else changed case or timer: decide anew
        if error.reason == NO_RULE_CODE:
            end = ending(services, case, timer, own, "cancelled", "not-applicable")
            facts = without_hold(services, read_facts(case.facts))
            return ledger.append(services, case, end.act, next_action=end.sentence, facts=facts, also=end.also)
        return _later(services, case, timer, own, due, error)
    except (PartnerError, GatewayError) as error:
        return _later(services, case, timer, own, due, error)


def _later(
    services: Services,
    case: CaseRow,
    timer: TimerRow,
    own: TimerFacts,
    due: tuple[DueRow, ...],
    error: GatewayError,
) -> CaseRow:
    now, tries = services.clock.now(), own.tries + 1
    at = next_try(now, tries)
    get_logger().info("care-delayed", case_id=case.case_id, attempt=tries, code=error.reason)
    changed = replace(own, tries=tries, hold_until=at.isoformat())
    with services.store.begin() as tx:
        tx.timers.update(timer.tenant_id, timer.timer_id, timer.version, facts=changed.to_text())
        for name in {WATCH, *(row.name for row in due)}:
            tx.care_due.move(timer.tenant_id, timer.timer_id, name, at, tries)
    return case


def _finish(services: Services, timer: TimerRow, own: TimerFacts, due: tuple[DueRow, ...]) -> None:
    """The last look of an ended timer: void once everything is written, later where something waits."""
    now = services.clock.now()
    with services.store.begin() as tx:
        if pending(timer, own) is None:
            tx.care_due.void(timer.tenant_id, timer.timer_id, now)
            return
        for row in due:
            tx.care_due.move(timer.tenant_id, timer.timer_id, row.name, next_try(now, row.tries + 1), row.tries + 1)
