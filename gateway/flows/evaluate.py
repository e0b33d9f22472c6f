"""Our own clinical check, and what the case does now that the payer's need is known.

A gap holds the case with one line per missing element; a documented red flag lets it pass at once; a
payer that wants nothing closes it. The evaluation and everything it rests on become one event.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import provenance
from gateway.cases.decisions import NEEDS_AUTHORIZATION, NEEDS_FORMS, NeedAction
from gateway.cases.facts import Facts
from gateway.cases.states import CaseState
from gateway.clinical.chart import order_day
from gateway.clinical.evaluate import Evaluation, evaluate
from gateway.clinical.practice import practice_state
from gateway.clinical.rules import Rule, choose_rule
from gateway.fhir import Json
from gateway.fhir.reading import objects, text
from gateway.flows import care_day, ledger
from gateway.flows.extract import Snapshot, load_snapshot
from gateway.flows.ledger import Act, Item
from gateway.flows.rule_rows import rules_for
from gateway.flows.services import Services
from gateway.store.rows import CaseRow

STOPS = frozenset({"GAP", "INDETERMINATE", "RED_FLAG_INCOMPLETE"})
"""Verdicts that hold a case until the chart changes, time passes or a person overrides."""
RECHECK_AFTER = timedelta(days=1)
"""How often a held case without a known end is looked at again."""
STILL_CONDITIONAL = "The payer's forms are complete and it still does not say what it wants; ask it by phone."
"""Sentence where asking again after the forms brings no answer."""
_S = CaseState
_CLOSING = {
    NeedAction.CLOSE_NOT_COVERED: _S.NOT_COVERED,
    NeedAction.CLOSE_SATISFIED: _S.NOT_REQUIRED,
    NeedAction.CLOSE_NOT_REQUIRED: _S.NOT_REQUIRED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """Where a case goes after the check."""

    state: CaseState
    """Next state."""
    next_action: str = ""
    """Sentence for staff; empty for the state's own."""
    wake: datetime | None = None
    """When a held case is looked at again."""


def check_rules(services: Services, case: CaseRow, facts: Facts) -> CaseRow:
    """Evaluate the clinical rule that applies, record it, and settle where the case goes."""
    snapshot = load_snapshot(services, case, facts)
    written, zone = snapshot.require(case.order_reference).resource, services.zone_of(snapshot.record)
    order = care_day.decision_order(services, case, facts, written, zone)
    rule = rule_for(services, case, snapshot, order)
    found = _evaluate(services, case, snapshot, order, rule) if rule else None
    settled, action = settle(services, facts, found), NeedAction(facts.need_action)
    wake = care_day.hold_until(services, case, facts, settled.wake)
    trace = provenance.salted_record("evaluation", trace_of(found, rule))
    changed = replace(
        facts.succeeded("check-rules"),
        evaluation=Item.body(trace, "application/json").digest,
        verdict=found.verdict if found else "",
        lines=lines_of(found),
        forms=facts.forms if facts.forms_fetched or action in NEEDS_FORMS else (),
        held_until=wake.isoformat() if wake else "",
    )
    act = Act(
        verb="evaluate",
        about=(Item.body(trace, "application/json"),),
        sources=_evidence(services, snapshot, found, order),
        policy=(f"urn:pa-gateway:rule:{rule.rule_id}|{rule.version}",) if rule else (),
        note={
            "verdict": found.verdict if found else "no rule",
            "rule": rule.rule_id if rule else "",
            "rule_version": rule.version if rule else "",
            "action": facts.need_action,
        },
    )
    changes: dict[str, Any] = {}
    if facts.satisfied_number and settled.state is _S.NOT_REQUIRED:
        changes["authorization_number"] = facts.satisfied_number
    return ledger.append(
        services,
        case,
        act,
        to=settled.state,
        next_action=settled.next_action,
        facts=changed,
        changes=changes,
        wake=wake,
    )


def is_stopped(case: CaseRow, facts: Facts) -> bool:
    """Whether a verdict stops the case, so that there is a gap which a clinician may override."""
    return case.state == _S.HELD or (facts.verdict in STOPS and not facts.is_overridden)


def lines_of(found: Evaluation | None) -> tuple[str, ...]:
    """One sentence per missing or undecided element, those of an incomplete red flag first."""
    if found is None:
        return ()
    flags = tuple(found.red_flag_lines) if found.verdict == "RED_FLAG_INCOMPLETE" else ()
    return (*flags, *(element.line for element in found.elements if element.status in ("unmet", "indeterminate")))


def settle(services: Services, facts: Facts, found: Evaluation | None) -> Settlement:
    """Steps: (1) the payer closes it; (2) a person has to act first; (3) our rule holds it; (4) it goes on."""
    action = NeedAction(facts.need_action)
    if action in _CLOSING:  # (1)
        return Settlement(state=_CLOSING[action], next_action=facts.need_reason)
    if action not in NEEDS_FORMS | NEEDS_AUTHORIZATION:  # (2)
        return Settlement(state=_S.NEEDS_ATTENTION, next_action=facts.need_reason)
    if found is not None and found.verdict in STOPS and not facts.is_overridden:  # (3)
        return _held(services, found)
    if action in NEEDS_FORMS:  # (4)
        return _documented(action, facts)
    return Settlement(state=_S.READY)


def _documented(action: NeedAction, facts: Facts) -> Settlement:
    """Where a case goes that needs forms: to them, or on where they are complete already."""
    if not facts.forms_fetched or not facts.forms or any(form.status != "completed" for form in facts.forms):
        return Settlement(state=_S.DOCUMENTING)
    if action is NeedAction.DOCUMENT_ONLY:
        return Settlement(state=_S.DOCUMENTED)
    if action in NEEDS_AUTHORIZATION:
        return Settlement(state=_S.READY)
    return Settlement(state=_S.NEEDS_ATTENTION, next_action=STILL_CONDITIONAL)


def _held(services: Services, found: Evaluation) -> Settlement:
    missing = sum(element.status in ("unmet", "indeterminate") for element in found.elements)
    resume = found.resume_on
    sentence = f"Conservative care is incomplete: {missing} element{'s' if missing != 1 else ''} missing or undecided."
    if resume is not None and resume > services.today():
        sentence += f" Looked at again on {resume.isoformat()}."
    return Settlement(state=_S.HELD, next_action=sentence, wake=_wake_at(services, resume))


def _wake_at(services: Services, resume: date | None) -> datetime:
    now = services.clock.now()
    if resume is None:
        return now + RECHECK_AFTER
    zone = ZoneInfo(services.settings.tenant.practice_zone)
    return max(datetime.combine(resume, time(6), zone).astimezone(UTC), now + RECHECK_AFTER)


def rule_for(services: Services, case: CaseRow, snapshot: Snapshot, order: Json) -> Rule | None:
    """The rule row for an order on its day; None when none is about its service. SettingsError for a tie."""
    coverage = snapshot.require(case.coverage_reference).resource
    code, _ = case.service_code, case.service_display
    return choose_rule(
        rules_for(services, case.payer),
        payor_identifiers=services.payer_row(case.payer).identifiers,
        plan_ids=tuple(text(item.get("value")) for item in objects(coverage.get("class"))),
        state=practice_state(snapshot.record),
        code=code,
        on=order_day(order, services.zone_of(snapshot.record), services.clock.now())[0],
    )


def _evaluate(services: Services, case: CaseRow, snapshot: Snapshot, order: Json, rule: Rule) -> Evaluation | None:
    found = evaluate(
        snapshot.record, order, rule, services.concepts, services.zone_of(snapshot.record), services.clock.now()
    )
    return None if found.verdict == "NOT_APPLICABLE" else found


def _evidence(services: Services, snapshot: Snapshot, found: Evaluation | None, order: Json) -> tuple[Item, ...]:
    cited = {f"{order['resourceType']}/{order['id']}"}
    if found is not None:
        cited.update(reference for element in found.elements for reference in element.evidence)
    kept = (item for item in snapshot.kept if item.reference in cited)
    return tuple(Item.resource(item.full_url, item.raw) for item in kept)


def trace_of(found: Evaluation | None, rule: Rule | None) -> dict[str, Any]:
    """The evaluation as plain values, as it is kept and shown."""
    if found is None or rule is None:
        return {"rule": None, "verdict": "no rule applies"}
    return {
        "rule": found.rule_id,
        "version": found.rule_version,
        "status": found.rule_status,
        "criteria": found.criteria,
        "verdict": found.verdict,
        "reason": found.reason,
        "red_flag": found.red_flag,
        "indication": found.indication,
        "order_on": found.order_on.isoformat() if found.order_on else None,
        "resume_on": found.resume_on.isoformat() if found.resume_on else None,
        "elements": [
            {
                "element": element.element,
                "status": element.status,
                "value": _plain(element.value),
                "threshold": _plain(element.threshold),
                "reason": element.reason,
                "line": element.line,
                "evidence": list(element.evidence),
            }
            for element in found.elements
        ],
    }


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, str | int | bool) else str(value)
