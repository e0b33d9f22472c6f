"""Storing a new timer: its row, its calendar and its drafts, in one transaction with what the person said."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import provenance
from gateway.cases.facts import Facts
from gateway.clinical.protocol import packaged_protocol
from gateway.clinical.protocol_resources import Start, build_drafts
from gateway.clock import write_instant
from gateway.fhir.json import dump_json
from gateway.flows import ledger
from gateway.flows.actors import Actor
from gateway.flows.care_calendar import due_rows
from gateway.flows.care_chart import Reading
from gateway.flows.care_day import last_day
from gateway.flows.care_facts import Kept, TimerFacts
from gateway.flows.ledger import FHIR_JSON, Act, Item
from gateway.flows.services import Services
from gateway.reasoning.record import reference_of
from gateway.store import Tx
from gateway.store.care_rows import TimerRow
from gateway.store.rows import CaseRow


def episode_key(case: CaseRow, region: str) -> str:
    """Hex digest of patient and region: what one timer runs for."""
    parts = (case.ehr_id, case.patient_reference, region)
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()


def store_start(
    services: Services, actor: Actor, case: CaseRow, facts: Facts, reading: Reading, made: Start
) -> CaseRow:
    """The timer, its milestones and its drafts, with the person's event. Conflict where one runs meanwhile."""
    drafts = {
        key: dump_json(draft) for key, draft in build_drafts(made, packaged_protocol(), reading.chart.concepts).items()
    }
    kept = tuple(Kept(key=key, draft=hashlib.sha256(raw).hexdigest()) for key, raw in drafts.items())
    timer = _row(services, case, reading, made, kept)
    record = provenance.salted_record("care-start", _said(made, reading))
    act = Act(
        verb="care-start",
        about=(Item.body(record, "application/json"),),
        sources=_evidence(reading),
        actor=actor,
        policy=(f"urn:pa-gateway:rule:{reading.rule.rule_id}|{reading.rule.version}",),
        note={"kind": "timer-start", "until": made.ends_on.isoformat(), "count": len(drafts)},
    )
    calendar = due_rows(timer, services.clock.now())

    def also(tx: Tx) -> None:
        tx.timers.insert(timer)
        tx.care_due.insert(calendar)

    return ledger.append(
        services,
        case,
        act,
        next_action=f"Conservative care until {made.ends_on.isoformat()}; a clinician signs the drafts.",
        facts=replace(facts, timer=timer.timer_id, held_until=_held_until(facts, timer)),
        objects=[(raw, FHIR_JSON) for raw in drafts.values()],
        also=also,
    )


def _held_until(facts: Facts, timer: TimerRow) -> str:
    """When the held case is looked at by itself again: behind the timer, which looks more often."""
    return last_day(timer).isoformat() if facts.held_until else ""


def _row(services: Services, case: CaseRow, reading: Reading, made: Start, kept: tuple[Kept, ...]) -> TimerRow:
    facts = TimerFacts(
        region=reading.chart.region.name,
        rule=f"{reading.rule.rule_id}|{reading.rule.version}",
        problem=made.problem,
        owner=made.owner,
        screened_by=made.screened_by,
        resources=kept,
    )
    return TimerRow(
        tenant_id=case.tenant_id,
        timer_id=made.timer_id,
        case_id=case.case_id,
        ehr_id=case.ehr_id,
        patient_reference=case.patient_reference,
        episode_key=episode_key(case, reading.chart.region.name),
        practitioner=made.practitioner,
        started_on=made.day_zero,
        days=made.days,
        zone=made.zone,
        created_at=services.clock.now(),
        facts=facts.to_text(),
    )


def _said(made: Start, reading: Reading) -> dict[str, Any]:
    """What the person confirmed, as it is kept: six explicit answers, the choice, the calendar."""
    return {
        "timer": made.timer_id,
        "screens": dict.fromkeys(reading.chart.concepts.red_flags.screens, "no"),
        "choice": made.choice.key if made.choice else "none",
        "reported": made.reported.ingredient if made.reported else "",
        "day_zero": made.day_zero.isoformat(),
        "decision_on": made.ends_on.isoformat(),
        "at": write_instant(made.at),
    }


def _evidence(reading: Reading) -> tuple[Item, ...]:
    cited = {reference for element in reading.found.elements for reference in element.evidence}
    cited.add(reference_of(reading.order))
    return tuple(Item.resource(item.full_url, item.raw) for item in reading.snapshot.kept if item.reference in cited)
