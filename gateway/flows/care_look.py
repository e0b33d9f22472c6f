"""One look at the chart of a running timer: what ended it, what is new, which milestones are due.

Each milestone fires in the transaction of its event, so that it fires once whatever dies in between.
Source: spec/clinical.md §2.2.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import provenance
from gateway.cases.facts import Facts, read_facts
from gateway.cases.states import CaseState
from gateway.clinical.milestones import Judgement, judge_milestone
from gateway.clinical.milestones_view import Progress
from gateway.clinical.protocol import Milestone, packaged_protocol
from gateway.clinical.protocol_resources import Start, build_alert
from gateway.fhir.json import dump_json
from gateway.flows import ledger
from gateway.flows.care_adopt import adopt_signature
from gateway.flows.care_calendar import DECISION, EXPIRY, WATCH, next_watch
from gateway.flows.care_chart import Reading, progress_of
from gateway.flows.care_end import ending, without_hold
from gateway.flows.care_facts import Kept, TimerFacts
from gateway.flows.care_facts import read_facts as read_timer
from gateway.flows.care_numbers import numbers
from gateway.flows.evaluate import lines_of, trace_of
from gateway.flows.ledger import FHIR_JSON, Act, Item
from gateway.flows.services import Services
from gateway.store import Tx
from gateway.store.care_rows import DueRow, TimerPhase, TimerRow
from gateway.store.rows import CaseRow

JSON = "application/json"
ALARMS = {
    "red-flag": "a red-flag finding",
    "new-diagnosis": "a new diagnosis with findings",
    "emergency-visit": "an emergency visit",
}
"""Kind of alarm → words."""
PANEL = Milestone(name="panel", day=0, owner="clinician", title="New finding under conservative care", needs=("panel",))
"""Not in the calendar: asked for when something new appears in the chart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One look, as far as it has come."""

    services: Services
    """The opened house."""
    case: CaseRow
    """The case as it stands."""
    timer: TimerRow
    """The timer as it stands."""
    reading: Reading
    """The chart."""
    progress: Progress
    """How far care has come."""

    @property
    def facts(self) -> TimerFacts:
        """What the timer remembers."""
        return read_timer(self.timer)

    def after(self, case: CaseRow) -> Look:
        """The same look after something was recorded."""
        with self.services.store.read() as tx:
            timer = tx.timers.get(self.timer.tenant_id, self.timer.timer_id)
        return replace(self, case=case, timer=timer)


def look(services: Services, case: CaseRow, timer: TimerRow, reading: Reading, due: Iterable[DueRow]) -> CaseRow:
    """Steps: (1) what ends the timer; (2) what is new; (3) milestones in their order; (4) when to look again."""
    now = Look(
        services=services, case=case, timer=timer, reading=reading, progress=progress_of(services, timer, reading)
    )
    ended = _end_if_decided(now)  # (1)
    if ended is not None:
        return ended
    adopted = adopt_signature(services, case, timer, reading)
    now = now.after(adopted) if adopted is not None else now
    now = _tell_alarms(now)  # (2)
    for row in sorted((row for row in due if row.name != WATCH), key=lambda row: (row.due_at, row.day)):  # (3)
        if row.name == EXPIRY:
            return _end(now, "failed", "expired")
        now = now.after(_fire(now, row))
    return _note(now)  # (4)


def _end_if_decided(now: Look) -> CaseRow | None:
    """A documented red flag, a satisfied rule or improvement ends the timer; None where none of them is there."""
    if now.progress.found.verdict == "RED_FLAG_BYPASS":
        return _end(now, "cancelled", "red-flag", goes_on=True)
    if now.progress.is_improving:
        return _end(now, "cancelled", "improving")
    if now.progress.found.verdict == "PASS":
        return _end(now, "completed", "satisfied", goes_on=True)
    return None


def _end(now: Look, phase: TimerPhase, reason: str, *, goes_on: bool = False) -> CaseRow:
    """End the timer; a held case that may go on is checked anew in the same transaction."""
    facts = replace(now.facts, progress=numbers(now.progress), sessions=now.progress.sessions)
    end = ending(now.services, now.case, now.timer, facts, phase, reason, progress=now.progress)
    is_held = now.case.state == CaseState.HELD
    if not goes_on or not is_held:
        sentence = end.sentence if is_held else ""
        own = without_hold(now.services, read_facts(now.case.facts))
        return ledger.append(now.services, now.case, end.act, next_action=sentence, facts=own, also=end.also)
    fresh = _unread(read_facts(now.case.facts))
    return ledger.append(now.services, now.case, end.act, to=CaseState.CHECKING, facts=fresh, also=end.also)


def _unread(facts: Facts) -> Facts:
    """The case's facts as if its chart had not been read: it is read, asked about and judged anew."""
    return replace(facts, snapshot="", need="", evaluation="", verdict="", lines=(), held_until="")


def _tell_alarms(now: Look) -> Look:
    """What is new in the chart re-opens the panel, once for each finding."""
    fresh = [alarm for alarm in now.progress.alarms if " ".join(alarm) not in now.facts.seen]
    if not fresh:
        return now
    words = ", ".join(dict.fromkeys(ALARMS[kind] for kind, _ in fresh))
    seen = (*now.facts.seen, *(" ".join(alarm) for alarm in fresh))
    lines = (f"The chart shows {words}; look at the panel again.",)
    name = f"{PANEL.name}-{len(seen)}"
    milestone = PANEL.model_copy(update={"name": name})
    facts, alert = _with_alert(now, replace(now.facts, seen=seen), milestone, lines)
    cited = {reference for _, reference in fresh if reference}
    act = Act(
        verb="care-milestone",
        about=(Item.body(_trace(now, name, Judgement(missing=lines)), JSON),),
        sources=_evidence(now.reading, cited),
        note={"kind": "alarm", "stage": name, "reason": ",".join(dict.fromkeys(kind for kind, _ in fresh))},
    )
    case = ledger.append(
        now.services,
        now.case,
        act,
        next_action=lines[0],
        changes={"move": "clinician"},
        objects=[(alert, FHIR_JSON)],
        also=lambda tx: _save(tx, now.timer, facts),
    )
    return now.after(case)


def _fire(now: Look, row: DueRow) -> CaseRow:
    """Fire one milestone: its event, its row, and a Task where something is missing."""
    milestone = packaged_protocol().milestone_named(row.name)
    judged = judge_milestone(milestone, now.progress) if milestone else Judgement(missing=())
    facts, objects = now.facts, []
    if milestone is not None and judged.missing:
        facts, alert = _with_alert(now, facts, milestone, judged.missing)
        objects.append((alert, FHIR_JSON))
    facts = replace(facts, alerts={**facts.alerts, row.name: judged.missing}, progress=numbers(now.progress))
    act = Act(
        verb="care-milestone",
        about=(Item.body(_trace(now, row.name, judged), JSON),),
        sources=_evidence(now.reading, _cited(now.progress)),
        note={
            "kind": "milestone",
            "stage": row.name,
            "decision": judged.outcome,
            "count": len(judged.missing),
            "verdict": now.progress.found.verdict,
        },
    )

    def also(tx: Tx) -> None:
        tx.care_due.fire(row.tenant_id, row.timer_id, row.name, now.services.clock.now(), judged.outcome)
        _save(tx, now.timer, facts)

    sentence = _sentence(now, milestone, judged) if milestone is not None else ""
    fresh = _judged_anew(now)
    if fresh is not None:
        objects.append((fresh[1], JSON))
    return ledger.append(
        now.services,
        now.case,
        act,
        next_action=sentence,
        facts=fresh[0] if fresh is not None else None,
        objects=objects,
        also=also,
    )


def _judged_anew(now: Look) -> tuple[Facts, bytes] | None:
    """A held case's facts with today's evaluation in force, and its bytes; None for a case that is not held.

    While a timer runs it alone looks at the case, so the pages would else show the evaluation of the day it began.
    """
    if now.case.state != CaseState.HELD:
        return None
    found = now.progress.found
    trace = provenance.salted_record("evaluation", trace_of(found, now.reading.rule))
    facts = replace(
        read_facts(now.case.facts),
        evaluation=hashlib.sha256(trace).hexdigest(),
        verdict=found.verdict,
        lines=lines_of(found),
    )
    return facts, trace


def _sentence(now: Look, milestone: Milestone, judged: Judgement) -> str:
    """What a held case says after a milestone; empty where it says what it said before."""
    if not judged.missing or now.case.state != CaseState.HELD:
        return ""
    if milestone.name == DECISION:
        many = len(judged.missing)
        return (
            f"Day {now.progress.timed.day}: the rule is not satisfied, {many} element{'s' if many != 1 else ''} open."
        )
    return f"Day {now.progress.timed.day}: {judged.missing[0]}"


def _with_alert(now: Look, facts: TimerFacts, milestone: Milestone, lines: tuple[str, ...]) -> tuple[TimerFacts, bytes]:
    """The facts with one more Task to be written, and its bytes."""
    made = build_alert(
        start_of(now.services, now.timer, facts),
        packaged_protocol(),
        now.services.concepts,
        milestone,
        lines,
        now.reading.today,
    )
    raw = dump_json(made)
    item = Kept(key=f"alert-{milestone.name}", draft=hashlib.sha256(raw).hexdigest())
    return facts.with_resource(item), raw


def start_of(services: Services, timer: TimerRow, facts: TimerFacts) -> Start:
    """What a Task of the timer is built from, later on."""
    return Start(
        timer_id=timer.timer_id,
        patient=timer.patient_reference,
        problem=facts.problem,
        practitioner=timer.practitioner,
        owner=facts.owner,
        screened_by=facts.screened_by,
        day_zero=timer.started_on,
        days=timer.days,
        zone=timer.zone,
        at=services.clock.now(),
        choice=None,
        reported=None,
        outcome=None,
        measure=None,
    )


def _save(tx: Tx, timer: TimerRow, facts: TimerFacts) -> None:
    tx.timers.update(timer.tenant_id, timer.timer_id, timer.version, facts=facts.to_text())


def _note(now: Look) -> CaseRow:
    """Keep the numbers of the look and set when to look again.

    An event only where an element has changed its status; else the lines of a held case, which name the day.
    """
    changed = replace(now.facts, progress=numbers(now.progress), sessions=now.progress.sessions)

    def also(tx: Tx) -> None:
        _save(tx, now.timer, changed)
        at = next_watch(now.services.clock.now())
        tx.care_due.move(now.timer.tenant_id, now.timer.timer_id, WATCH, at, 0)

    fresh = _judged_anew(now)
    if fresh is not None and changed.progress["gaps"] != now.facts.progress.get("gaps"):
        return _record_judgement(now, fresh, also)
    with now.services.store.begin() as tx:
        also(tx)
        if fresh is None:
            return now.case
        facts = replace(read_facts(now.case.facts), lines=fresh[0].lines)
        return tx.cases.update(now.case.tenant_id, now.case.case_id, now.case.version, facts=facts.to_text())


def _record_judgement(now: Look, fresh: tuple[Facts, bytes], also: Callable[[Tx], None]) -> CaseRow:
    """The evaluation of the day as an event of its own, as the case's own check would record it."""
    rule = now.reading.rule
    act = Act(
        verb="evaluate",
        about=(Item.body(fresh[1], JSON),),
        sources=_evidence(now.reading, _cited(now.progress)),
        policy=(f"urn:pa-gateway:rule:{rule.rule_id}|{rule.version}",),
        note={
            "verdict": now.progress.found.verdict,
            "rule": rule.rule_id,
            "rule_version": rule.version,
            "kind": "care",
        },
    )
    return ledger.append(now.services, now.case, act, facts=fresh[0], also=also)


def _trace(now: Look, name: str, judged: Judgement) -> bytes:
    content: Mapping[str, Any] = {
        "timer": now.timer.timer_id,
        "milestone": name,
        "outcome": judged.outcome,
        "missing": list(judged.missing),
        "warnings": list(judged.warnings),
        "rule": f"{now.reading.rule.rule_id}|{now.reading.rule.version}",
        "progress": numbers(now.progress),
    }
    return provenance.salted_record("care-milestone", content)


def _cited(progress: Progress) -> set[str]:
    return {reference for element in progress.found.elements for reference in element.evidence}


def _evidence(reading: Reading, cited: set[str]) -> tuple[Item, ...]:
    kept = (item for item in reading.snapshot.kept if item.reference in cited)
    return tuple(Item.resource(item.full_url, item.raw) for item in kept)
