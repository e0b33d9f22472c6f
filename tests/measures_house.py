"""A small house whose cases were judged, sent and answered: what the measures are read from."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import provenance
from gateway.cases.facts import RequestedDocument, read_facts
from gateway.cases.states import CaseState
from gateway.clinical.rules import load_rules
from gateway.fhir.json import dump_json
from gateway.flows import ledger
from gateway.flows.ledger import Act, Item
from gateway.flows.services import Services
from gateway.store.care_rows import TimerRow
from gateway.store.rows import CaseRow, HookCardRow, SubmissionRow
from tests.web_house import add_case

RULE = "default-strict"
ELEMENTS = ("DURATION", "PHARM", "PT_REFERRAL", "PT_SESSIONS", "OUTCOME", "ACTIVITY")


def furnish(services: Services) -> None:
    """Give the house its rule rows."""
    services.rules = load_rules()


def judge(services: Services, case: CaseRow, verdict: str, *, indication: str = "", **elements: str) -> CaseRow:
    """Record an evaluation; every element is met that is not named."""
    symptom = services.concepts.region[0].symptom_code
    statuses = {**dict.fromkeys(ELEMENTS, "met"), **elements}
    record = {
        "rule": RULE,
        "version": "0.1.0",
        "verdict": verdict,
        "indication": indication or symptom,
        "order_on": "2026-03-14",
        "elements": [{"element": name, "status": status} for name, status in statuses.items()],
    }
    about = Item.body(provenance.salted_record("evaluation", record), "application/json")
    act = Act(verb="evaluate", about=(about,), note={"verdict": verdict, "rule": RULE})
    return ledger.append(services, case, act, facts=replace(read_facts(case.facts), verdict=verdict))


def send(services: Services, case: CaseRow, kind: str = "submit") -> CaseRow:
    """Record that a request left two hours ago and that the payer took it an hour ago."""
    now = services.clock.now()
    row = SubmissionRow(
        tenant_id=case.tenant_id,
        submission_id=services.new_id(),
        case_id=case.case_id,
        kind=kind,  # type: ignore[arg-type]
        endpoint="pas",
        request_digest="ab" * 32,
        created_at=now - timedelta(hours=2),
        state="answered",
        first_sent_at=now - timedelta(hours=2),
        answered_at=now - timedelta(hours=1),
    )
    with services.store.begin() as tx:
        tx.submissions.insert(row)
    return case


def answer(services: Services, case: CaseRow, actions: str, *reasons: str, asked: bool = False) -> CaseRow:
    """Record a payer's answer with its review actions, line by line."""
    requests = (RequestedDocument(code="11506-3", text="note", control_number="1"),) if asked else ()
    facts = replace(read_facts(case.facts), denial_reasons=reasons, requests=requests)
    body = Item.body(dump_json({"answer": services.new_id()}))
    act = Act(verb="payer-response", about=(body,), payer="Example", note={"review_action": actions})
    return ledger.append(services, case, act, facts=facts)


def decided(services: Services, actions: str, *reasons: str, **fields: Any) -> CaseRow:
    """A case that was judged complete, sent and answered."""
    case = add_case(services, CaseState.PENDED.value, payer="example-medicare", clinician_label="Dr. A", **fields)
    return answer(services, send(services, judge(services, case, "PASS")), actions, *reasons)


def held(services: Services, **fields: Any) -> CaseRow:
    """A case that waits for conservative care."""
    case = add_case(services, CaseState.HELD.value, payer="example-medicare", clinician_label="Dr. A", **fields)
    return judge(services, case, "GAP", DURATION="unmet", PHARM="indeterminate")


def with_timer(services: Services, case: CaseRow, started_on: date, **changes: Any) -> TimerRow:
    """A timer of six weeks for the case."""
    row = TimerRow(
        tenant_id="main", timer_id=services.new_id(), case_id=case.case_id, ehr_id="ehr",
        patient_reference="Patient/p1",
        episode_key=services.new_id(), practitioner="Practitioner/1", started_on=started_on, days=42,
        zone=services.settings.tenant.practice_zone, created_at=services.clock.now(), **changes,
    )  # fmt: skip
    with services.store.begin() as tx:
        return tx.timers.insert(row)


def move(services: Services, case: CaseRow, to: CaseState) -> CaseRow:
    """Record that the case went to another state."""
    act = Act(verb="release", about=(Item.body(dump_json({"move": services.new_id()})),), note={"reason": "timer"})
    return ledger.append(services, case, act, to=to)


def with_panel(services: Services, outcome: str) -> None:
    """A card that was shown at order time."""
    row = HookCardRow(
        tenant_id="main", card_id=services.new_id(), case_id="", service="order-sign", shown_at=services.clock.now(),
        outcome=outcome,
    )  # fmt: skip
    with services.store.begin() as tx:
        tx.hooks.keep_card(row)


def overridden(services: Services, case: CaseRow) -> CaseRow:
    """The case as a clinician let it go on."""
    facts = replace(read_facts(case.facts), is_overridden=True)
    with services.store.begin() as tx:
        return tx.cases.update(case.tenant_id, case.case_id, case.version, facts=facts.to_text())
