"""Cases as people and machines see them: plain JSON values for API, CLI and pages."""

from __future__ import annotations

from typing import Any

from gateway.cases.facts import Facts, read_facts
from gateway.cases.states import CaseState
from gateway.clock import write_instant
from gateway.fhir.json import parse_json
from gateway.flows import ledger
from gateway.flows.actors import Actor
from gateway.flows.services import Services
from gateway.policy.access import CaseFacts, require_access
from gateway.store.rows import CaseFilter, CaseRow, EventRow, SubmissionRow

STATES = tuple(state.value for state in CaseState)
"""Every state a case may be in, as lists and filters name it."""


def summary(case: CaseRow) -> dict[str, Any]:
    """One line of a case list: what it is about and where it stands. Names nobody."""
    facts = read_facts(case.facts)
    return {
        "case_id": case.case_id,
        "state": case.state,
        "decision": case.decision,
        "move": case.move,
        "next_action": case.next_action,
        "order": case.order_reference,
        "patient": case.patient_reference,
        "coverage": case.coverage_reference,
        "payer": case.payer,
        "service": {"code": case.service_code, "text": case.service_display},
        "authorization_number": case.authorization_number,
        "denial_reasons": list(facts.denial_reasons),
        "is_expedited": case.is_expedited,
        "signed_at": write_instant(case.signed_at) if case.signed_at else None,
        "created_at": write_instant(case.created_at),
        "updated_at": write_instant(case.updated_at),
        "version": case.version,
    }


def show_case(services: Services, actor: Actor, case_id: str) -> dict[str, Any]:
    """Everything about one case that is not content: state, gaps, forms, requests, what was sent. NotFound."""
    case = readable(services, actor, case_id)
    facts = read_facts(case.facts)
    with services.store.read() as tx:
        sent = tx.submissions.for_case(case.tenant_id, case.case_id)
    return {
        **summary(case),
        "need": {"action": facts.need_action, "reason": facts.need_reason, "assertion_id": facts.assertion_id},
        "clinical": {"verdict": facts.verdict, "lines": list(facts.lines), "overridden": facts.is_overridden},
        "forms": [
            {
                "form_id": form.form_id,
                "title": form.title,
                "questionnaire": form.canonical,
                "status": form.status,
                "answered": form.answered,
                "open_required": list(form.open_required),
            }
            for form in facts.forms
        ],
        "requests": [
            {
                "control_number": item.control_number,
                "code": item.code,
                "text": item.text,
                "line": item.line,
                "answered": bool(item.attachment),
                "sent": item.sent,
            }
            for item in facts.requests
        ],
        "submissions": [_submission(row) for row in sent],
        "write_back": [{"kind": item.kind, "done": item.done} for item in facts.write_backs],
        "busy": is_busy(case, facts),
    }


def list_cases(services: Services, actor: Actor, chosen: CaseFilter, limit: int = 50) -> list[dict[str, Any]]:
    """The worklist of the caller's tenant, our own moves first."""
    require_access(actor.caller, "case.read")
    with services.store.read() as tx:
        return [summary(case) for case in tx.cases.list(actor.tenant, chosen, limit=limit)]


def list_events(services: Services, actor: Actor, case_id: str) -> list[dict[str, Any]]:
    """The history of a case, oldest first. NotFound."""
    case = readable(services, actor, case_id)
    with services.store.read() as tx:
        return [event_line(event) for event in tx.events.list(case.tenant_id, case.case_id)]


def event_line(event: EventRow) -> dict[str, Any]:
    """One event as plain values."""
    return {
        "seq": event.seq,
        "at": write_instant(event.at),
        "actor": event.actor,
        "verb": event.verb,
        "from_state": event.from_state,
        "to_state": event.to_state,
        "object": event.object_digest,
        "note": dict(event.note),
    }


def is_busy(case: CaseRow, facts: Facts) -> bool:
    """Whether the gateway still has work of its own to do on the case now or at a known time."""
    moving = case.state in (CaseState.RECEIVED, CaseState.CHECKING, CaseState.SUBMITTING)
    preparing = case.state == CaseState.DOCUMENTING and (
        not facts.forms_fetched or any(not form.response for form in facts.forms)
    )
    sending = any(item.attachment and not item.sent for item in facts.requests)
    ready = case.state in (CaseState.READY, CaseState.DOCUMENTED) and not facts.document
    return moving or preparing or sending or ready or facts.pending_write_back() is not None


def evaluation(services: Services, case: CaseRow) -> dict[str, Any]:
    """The clinical evaluation in force, element by element; empty where none was made."""
    facts = read_facts(case.facts)
    if not facts.evaluation:
        return {}
    found: dict[str, Any] = parse_json(ledger.load_object(services, case, facts.evaluation))
    return found


def readable(services: Services, actor: Actor, case_id: str) -> CaseRow:
    """The case, if the caller may read it; NotFound for another tenant's."""
    case = ledger.load(services, actor.tenant, case_id)
    require_access(actor.caller, "case.read", CaseFacts(tenant=case.tenant_id, state=CaseState(case.state)))
    return case


def _submission(row: SubmissionRow) -> dict[str, Any]:
    return {
        "submission_id": row.submission_id,
        "kind": row.kind,
        "state": row.state,
        "attempts": row.attempts,
        "claim_identifier": row.claim_identifier,
        "http_status": row.http_status,
        "first_sent_at": write_instant(row.first_sent_at) if row.first_sent_at else None,
        "answered_at": write_instant(row.answered_at) if row.answered_at else None,
    }
