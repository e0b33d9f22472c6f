"""Taking a payer's answer: recorded as it came, rolled up by policy, handed on to the EHR.

The decision comes from the review actions per item, never from `outcome` (spec/pas.md §5).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from typing import Any

from gateway.cases.decisions import CaseDecision, Decision, ItemDecision
from gateway.cases.facts import Facts, RequestedDocument, WriteBack
from gateway.cases.states import TRANSITIONS, CaseState
from gateway.clients.payer import Exchange
from gateway.fhir import Json
from gateway.fhir.bundle import resources
from gateway.fhir.json import dump_json, parse_json
from gateway.flows import ledger
from gateway.flows.ledger import Act, Item
from gateway.flows.moves import standing
from gateway.flows.services import Services
from gateway.flows.subjects import case_task
from gateway.policy.deadline import decide_deadline
from gateway.policy.roll_up import decide_roll_up
from gateway.profiles import pas_2_2_1 as pas
from gateway.store.rows import CaseRow, SubmissionRow


def take(
    services: Services, case: CaseRow, facts: Facts, row: SubmissionRow, exchange: Exchange, bundle: Json
) -> CaseRow:
    """An answer to a request of ours. It is kept first, whatever happens to the case meanwhile, and then taken."""
    request = ledger.load_object(services, case, row.request_digest)
    received = dump_json(bundle) if exchange.request_bytes != request else exchange.response_bytes
    with services.store.begin() as tx:
        digest = tx.objects.put(case.tenant_id, case.case_id, received, "application/fhir+json")
        row = tx.submissions.update(
            row.tenant_id,
            row.submission_id,
            row.version,
            state="answered",
            answered_at=exchange.answered_at,
            http_status=exchange.status,
            response_digest=digest,
        )
    return conclude(services, case, facts, row)


def conclude(services: Services, case: CaseRow, facts: Facts, row: SubmissionRow) -> CaseRow:
    """Record that the request was sent, then take its stored answer; also the way back in after a crash."""
    received = ledger.load_object(services, case, row.response_digest)
    request = ledger.load_object(services, case, row.request_digest)
    facts = facts.succeeded("send")
    if facts.sent != row.submission_id:
        facts = replace(facts, sent=row.submission_id)
        case = record_sending(services, case, facts, row, request)
    is_update = row.kind in ("update", "cancel")
    return _record(services, case, facts, received, parse_json(received), request, is_update)


def record_sending(services: Services, case: CaseRow, facts: Facts, row: SubmissionRow, request: bytes) -> CaseRow:
    """One event for a request that left, however often; `facts` say already that it is recorded."""
    sealed = (Item.body(ledger.load_object(services, case, facts.document)),) if facts.document else ()
    act = Act(
        verb="submit",
        about=(Item.body(request),),
        sources=sealed,
        occurred=row.last_sent_at,
        note={"attempt": row.attempts, "http_status": row.http_status, "submission_id": row.submission_id},
    )
    return ledger.append(services, case, act, facts=facts)


def take_notification(services: Services, case: CaseRow, facts: Facts, body: bytes, bundle: Json) -> CaseRow:
    """A payer's answer that came by itself or to an inquiry, kept in `body`.

    It also settles a request whose own answer never came, so that nothing is sent again.
    """
    with services.store.read() as tx:
        row = tx.submissions.get(case.tenant_id, facts.submission_id)
    if row.state != "answered":
        row = _settle(services, case, row, dump_json(bundle))
    request = ledger.load_object(services, case, row.request_digest)
    if facts.sent != row.submission_id:
        facts = replace(facts.succeeded("send"), sent=row.submission_id)
        case = record_sending(services, case, facts, row, request)
    return _record(services, case, facts, body, bundle, request, row.kind in ("update", "cancel"))


def _settle(services: Services, case: CaseRow, row: SubmissionRow, answer: bytes) -> SubmissionRow:
    with services.store.begin() as tx:
        digest = tx.objects.put(case.tenant_id, case.case_id, answer, "application/fhir+json")
        return tx.submissions.update(
            row.tenant_id,
            row.submission_id,
            row.version,
            state="answered",
            answered_at=services.clock.now(),
            response_digest=digest,
        )


def load_answer(services: Services, case: CaseRow, facts: Facts) -> Json:
    """The newest answer of the payer as FHIR JSON."""
    found: Json = parse_json(ledger.load_object(services, case, facts.answer))
    return found


def load_answer_or_none(services: Services, case: CaseRow, facts: Facts) -> Json | None:
    """The newest answer of the payer, or None when it gave none yet."""
    return load_answer(services, case, facts) if facts.answer else None


def _record(
    services: Services,
    case: CaseRow,
    facts: Facts,
    received: bytes,
    bundle: Json,
    request: bytes,
    is_update: bool = False,
) -> CaseRow:
    sent = parse_json(request)
    answer = pas.read_pas_answer(bundle, sent)
    previous = _previous(services, case, facts, sent)
    decision = decide_roll_up(answer, previous=previous, submitted=_sequences(sent), is_update=is_update)
    kept = dump_json(bundle)
    changed = _facts(services, case, facts, answer, decision, kept)
    act = Act(
        verb="payer-response",
        about=(Item.body(received),),
        sources=(Item.body(request),),
        payer=services.payer_row(case.payer).name,
        note={
            "decision": decision.decision.value,
            "authorization_number": decision.authorization_number,
            "review_action": ",".join(item.action_code or "?" for item in decision.items),
        },
    )
    to, next_action = _next_state(case, decision)
    changes = {**_changes(decision, answer), **_waiting(services, case, changed, decision)}
    state = to.value if to else case.state
    task = case_task(replace(case, state=state, authorization_number=decision.authorization_number))
    response = dump_json(for_ehr(answer.claim_response, case, services))
    changed = changed.telling(
        WriteBack(kind="claim-response", digest=_sha(response)), WriteBack(kind="task", digest=_sha(task))
    )
    objects = [(kept, "application/fhir+json"), (task, "application/fhir+json"), (response, "application/fhir+json")]
    return ledger.append(
        services,
        case,
        act,
        to=to,
        next_action=next_action,
        facts=changed,
        objects=objects,
        changes=changes,
    )


def _next_state(case: CaseRow, decision: CaseDecision) -> tuple[CaseState | None, str]:
    """(new state or None, sentence): an answer that a closed case cannot follow is kept and shown to a person."""
    current, wanted = CaseState(case.state), decision.state
    if wanted is current:
        return None, decision.next_action or standing(current)["next_action"]
    if wanted in TRANSITIONS[current]:
        return wanted, decision.next_action
    sentence = "The payer sent another answer after the case was closed; read it."
    return (CaseState.NEEDS_ATTENTION if CaseState.NEEDS_ATTENTION in TRANSITIONS[current] else None), sentence


def _previous(services: Services, case: CaseRow, facts: Facts, sent: Json) -> tuple[ItemDecision, ...]:
    """What the items were decided before: an answer may leave out what did not change."""
    known = load_answer_or_none(services, case, facts)
    return decide_roll_up(pas.read_pas_answer(known, sent)).items if known is not None else ()


def _sequences(request: Json) -> frozenset[int]:
    claim = next(iter(resources(request, "Claim")), {})
    return frozenset(int(item["sequence"]) for item in claim.get("item") or () if "sequence" in item)


def _facts(
    services: Services, case: CaseRow, facts: Facts, answer: pas.PasAnswer, decision: CaseDecision, kept: bytes
) -> Facts:
    known = {item.control_number: item for item in facts.requests}
    requests = tuple(known.get(item.control_number) or _requested(item) for item in answer.document_requests)
    return replace(
        facts,
        answer=_sha(kept),
        answered=facts.submission_id,
        authorization_numbers=tuple(
            dict.fromkeys(n.number for n in decision.authorization_numbers if n.number == decision.authorization_number)
        ),
        denial_reasons=tuple(_reason_text(reason.code, reason.text) for reason in decision.denial_reasons),
        requests=requests if decision.state is CaseState.PENDED else facts.requests,
    )


def _reason_text(code: str, text: str) -> str:
    return f"{code}: {text}" if code and text else code or text


def _requested(item: pas.DocumentRequest) -> RequestedDocument:
    code = next(iter((*item.loinc_codes, *item.report_types)), "")
    return RequestedDocument(
        code=code,
        text=item.text or ("the payer's questionnaire" if item.is_questionnaire else f"document {code}"),
        control_number=item.control_number,
        line=next(iter(item.line_numbers), 0),
        context=item.context if item.is_questionnaire else "",
    )


def _changes(decision: CaseDecision, answer: pas.PasAnswer) -> dict[str, Any]:
    ends = [item.period.ends_on for item in answer.items if item.period and item.period.ends_on]
    ends += [a.period.ends_on for item in answer.items for a in item.add_items if a.period and a.period.ends_on]
    approved = decision.decision in (Decision.APPROVED, Decision.APPROVED_MODIFIED, Decision.PARTIALLY_APPROVED)
    last: date | None = max(ends) if ends and approved else None
    return {
        "decision": decision.decision.value,
        "authorization_number": decision.authorization_number,
        "approval_ends_on": last,
    }


def _waiting(services: Services, case: CaseRow, facts: Facts, decision: CaseDecision) -> dict[str, Any]:
    """Whose move a pend is, and until when the payer must decide; neither once it is decided."""
    if decision.state is not CaseState.PENDED:
        return {"deadline_at": None, "deadline_rule": ""}
    with services.store.read() as tx:
        received_at = tx.submissions.get(case.tenant_id, facts.submission_id).answered_at
    payer = services.payer_row(case.payer).payer
    clock = decide_deadline(received_at, payer.line_of_business, is_expedited=case.is_expedited)
    found: dict[str, Any] = {
        "deadline_at": clock.due_at if clock else None,
        "deadline_rule": clock.rule if clock else "",
    }
    if any(not item.attachment for item in facts.requests):
        found["move"] = "us"
    return found


def claim_identifiers(bundle: Json) -> Iterator[str]:
    """`system|value` of everything in a response Bundle that may name our Claim, surest first."""
    answer = pas.read_pas_answer(bundle)
    if answer.request_identifier:
        yield "|".join(answer.request_identifier)
    for pair in answer.identifiers:
        yield "|".join(pair)


def is_answer_to(bundle: Json, row: SubmissionRow) -> bool:
    """Whether a response Bundle echoes the identifier of this submission's Claim."""
    return row.claim_identifier in set(claim_identifiers(bundle))


def for_ehr(claim_response: Json, case: CaseRow, services: Services) -> dict[str, Any]:
    """The payer's ClaimResponse as the EHR can hold it: references to its own resources, others by identifier.

    A reference that only resolves inside the payer's Bundle would dangle in the EHR (it is refused by
    servers with referential integrity), so it is replaced or left out.
    """
    kept = {
        key: value
        for key, value in claim_response.items()
        if key not in ("id", "meta", "text", "request", "requestor", "communicationRequest", "contained")
    }
    kept = _without_foreign(kept)
    row = services.payer_row(case.payer)
    system, value = row.identifiers[0]
    kept["patient"] = {"reference": case.patient_reference}
    kept["insurer"] = {"identifier": {"system": system, "value": value}, "display": row.name}
    kept["request"] = {"identifier": {"system": "urn:ietf:rfc:3986", "value": f"urn:uuid:{case.case_id}"}}
    kept["insurance"] = [{"sequence": 1, "focal": True, "coverage": {"reference": case.coverage_reference}}]
    return {"resourceType": "ClaimResponse", **{k: v for k, v in kept.items() if v not in ([], {})}}


def _without_foreign(value: Any) -> Any:
    """`value` without references that only make sense at the payer's.

    A relative one would even name a resource of the EHR's own: somebody else under the same id.
    """
    if isinstance(value, dict):
        reference = value.get("reference")
        if isinstance(reference, str) and not reference.startswith(("https://", "http://")):
            return {key: item for key, item in value.items() if key != "reference"}
        return {key: _without_foreign(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_foreign(item) for item in value]
    return value


def _sha(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()
