"""Conservative care as people see it: every running timer in a line, and one timer whole. Reading only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from gateway.cases.states import CaseState
from gateway.clinical.protocol import packaged_protocol
from gateway.clock import write_instant
from gateway.errors import NotFound
from gateway.flows.actors import Actor
from gateway.flows.care_access import find_timer
from gateway.flows.care_calendar import WATCH
from gateway.flows.care_end import REASONS
from gateway.flows.care_facts import TimerFacts, pending, read_facts
from gateway.flows.services import Services
from gateway.policy.access import CaseFacts, decide_access, require_access
from gateway.store.care_rows import DueRow, TimerRow, TimerState
from gateway.store.rows import CaseRow

STATES: tuple[TimerState, ...] = ("running", "completed", "cancelled", "failed")
"""States in which a timer may be."""
RESOURCES = {
    "goal": "Goal",
    "drug": "Drug",
    "statement": "Drug taken already, as told",
    "referral": "Therapy request",
    "score": "Task: outcome score {}",
    "plan": "Care plan",
    "timer": "Task: the timer",
}
"""Words of the timer's resources, by the first part of their key; those of screens come from the concepts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One timer with its case."""

    case: CaseRow
    """The case."""
    timer: TimerRow
    """The timer."""
    facts: TimerFacts
    """What it remembers."""
    today: date
    """The day at the practice."""
    rows: tuple[DueRow, ...]
    """Its milestones; on a list only the open ones."""

    @property
    def day(self) -> int:
        """Day of the protocol: today's while it runs, the last one looked at afterwards."""
        if self.timer.state != "running" and self.timer.ended_at is not None:
            return (self.timer.ended_at.astimezone(ZoneInfo(self.timer.zone)).date() - self.timer.started_on).days
        return (self.today - self.timer.started_on).days

    @property
    def decision_on(self) -> date:
        """Day of the decision."""
        return self.timer.started_on + timedelta(days=self.timer.days)

    @property
    def next_due(self) -> DueRow | None:
        """The next milestone; None where none is left."""
        mine = [row for row in self.rows if row.name != WATCH and row.fired_at is None]
        return min(mine, key=lambda row: row.due_at, default=None)

    @property
    def alerts(self) -> tuple[tuple[str, str, tuple[str, ...]], ...]:
        """Name, title and lines of each milestone that found something missing, latest first."""
        protocol = packaged_protocol()
        found = [(name, title_of(name), lines) for name, lines in self.facts.alerts.items() if lines]
        order = {item.name: number for number, item in enumerate(protocol.milestone)}
        return tuple(sorted(found, key=lambda alert: -order.get(alert[0], -1)))

    @property
    def is_delayed(self) -> bool:
        """The EHR could not be read or written the last time."""
        return self.facts.tries > 0


def title_of(name: str) -> str:
    """Words of a milestone."""
    found = packaged_protocol().milestone_named(name)
    return found.title if found else name.replace("-", " ")


def reason_words(reason: str) -> str:
    """Why a timer ended, in words; empty while it runs."""
    return REASONS.get(reason, reason)


def resource_words(services: Services, key: str) -> str:
    """Words of one of the timer's resources in the EHR: of a screen what it asked."""
    kind, _, code = key.partition("-")
    if kind == "screen":
        flags = (
            *services.concepts.red_flag,
            *(flag for c in services.concepts.red_flag_catalog for flag in c.category),
        )
        return f"Negative screen: {next((flag.label for flag in flags if flag.screen == code), code)}"
    return RESOURCES[kind].format(code) if kind in RESOURCES else key.replace("-", " ")


def list_timers(services: Services, actor: Actor, state: TimerState = "running", limit: int = 500) -> tuple[Line, ...]:
    """Timers of the tenant in a state, the longest running first."""
    require_access(actor.caller, "care.read")
    with services.store.read() as tx:
        timers = tx.timers.in_state(actor.tenant, state, limit)
        cases = {timer.case_id: tx.cases.get(actor.tenant, timer.case_id) for timer in timers}
        rows = tx.care_due.open_rows(actor.tenant)
    mine: dict[str, list[DueRow]] = {}
    for row in rows:
        mine.setdefault(row.timer_id, []).append(row)
    return tuple(_line(services, cases[timer.case_id], timer, tuple(mine.get(timer.timer_id, ()))) for timer in timers)


def show_timer(services: Services, actor: Actor, case_id: str) -> Line:
    """The newest timer of a case with all its milestones. NotFound where there is none."""
    case, timer = find_timer(services, actor, case_id)
    with services.store.read() as tx:
        rows = tx.care_due.of_timer(case.tenant_id, timer.timer_id)
    return _line(services, case, timer, rows)


def find_line(services: Services, actor: Actor, case_id: str) -> Line | None:
    """As `show_timer`; None where no care was started."""
    try:
        return show_timer(services, actor, case_id)
    except NotFound as error:
        if error.reason == "care.never":
            return None
        raise


def _line(services: Services, case: CaseRow, timer: TimerRow, rows: tuple[DueRow, ...]) -> Line:
    today = services.clock.now().astimezone(ZoneInfo(timer.zone)).date()
    return Line(case=case, timer=timer, facts=read_facts(timer), today=today, rows=rows)


def summary(line: Line) -> dict[str, Any]:
    """One timer as plain values; names nobody."""
    seen: Mapping[str, Any] = line.facts.progress
    return {
        "case_id": line.case.case_id,
        "timer_id": line.timer.timer_id,
        "case_state": line.case.state,
        "state": line.timer.state,
        "phase": line.timer.phase,
        "reason": line.timer.reason,
        "patient": line.timer.patient_reference,
        "region": line.facts.region,
        "rule": line.facts.rule,
        "day": line.day,
        "days": line.timer.days,
        "started_on": line.timer.started_on.isoformat(),
        "decision_on": line.decision_on.isoformat(),
        "sessions": {name: seen.get(key, 0) for name, key in _SESSIONS.items()},
        "medication": {name: seen.get(key) for name, key in _MEDICATION.items()},
        "scores": [{"on": on, "value": value} for on, value in seen.get("scores", ())],
        "is_improving": bool(seen.get("is_improving", False)),
        "verdict": str(seen.get("verdict", "")),
        "gaps": list(seen.get("gaps", ())),
        "looked_on": str(seen.get("on", "")),
        "next": _next(line.next_due, line.timer.zone),
        "alerts": [{"milestone": name, "title": title, "lines": list(lines)} for name, title, lines in line.alerts],
        "is_delayed": line.is_delayed,
    }


_SESSIONS = {"attended": "sessions", "needed": "sessions_needed", "projected": "projected", "booked": "booked"}
_MEDICATION = {
    "covered_days": "covered_days",
    "needed": "covered_needed",
    "adherence_percent": "adherence_percent",
}


def details(line: Line) -> dict[str, Any]:
    """One timer whole: also its milestones and its resources in the EHR."""
    return {
        **summary(line),
        "milestones": [
            {
                "name": row.name,
                "title": title_of(row.name),
                "day": row.day,
                "due_at": write_instant(row.due_at),
                "fired_at": write_instant(row.fired_at) if row.fired_at else None,
                "outcome": row.outcome,
            }
            for row in line.rows
            if row.name != WATCH
        ],
        "resources": [
            {"key": item.key, "reference": item.reference, "phase": item.phase, "declined": item.is_declined}
            for item in line.facts.resources
        ],
        "is_written": pending(line.timer, line.facts) is None,
    }


def _next(row: DueRow | None, zone: str) -> dict[str, Any] | None:
    if row is None:
        return None
    local: datetime = row.due_at.astimezone(ZoneInfo(zone))
    return {"name": row.name, "title": title_of(row.name), "day": row.day, "due_on": local.date().isoformat()}


def allowed(actor: Actor, case: CaseRow) -> frozenset[str]:
    """What the person may do about conservative care of the case as it stands: names of the access table."""
    about = CaseFacts(tenant=case.tenant_id, state=CaseState(case.state))
    names = ("care.start", "care.sign", "care.cancel", "care.upload")
    return frozenset(name for name in names if decide_access(actor.caller, name, about).allowed)


def adherence_prompt() -> int:
    """Per cent of covered days below which people are prompted; never a verdict."""
    return packaged_protocol().adherence_prompt_percent


def state_named(name: str) -> TimerState | None:
    """The timer state of that name, or None."""
    return next((state for state in STATES if state == name), None)
