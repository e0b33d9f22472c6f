"""Answering a payer that asked for documents after a pend: chosen from the chart by a person, sent by CDex.

Source: spec/pas.md §6.4.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from gateway.cases.facts import Facts, FormFact, RequestedDocument, read_facts
from gateway.cases.states import CaseState
from gateway.errors import Conflict, InputError, PayerRejected
from gateway.fhir import Json
from gateway.fhir.codes import LOINC
from gateway.fhir.json import dump_json
from gateway.flows import ledger
from gateway.flows.actors import Actor
from gateway.flows.extract import Kept, load_snapshot
from gateway.flows.ledger import Act, Item
from gateway.flows.services import NPI, Services
from gateway.policy.access import CaseFacts, require_access
from gateway.profiles import pas_2_2_1 as pas
from gateway.store.rows import CaseRow

GRACE = timedelta(seconds=5)
"""Longer than the socket's own limit: after it a claim belongs to a process that died."""


def show_choices(services: Services, actor: Actor, case_id: str) -> list[dict[str, Any]]:
    """The choices of a case for its reader. NotFound."""
    case = ledger.load(services, actor.tenant, case_id)
    require_access(actor.caller, "case.read", CaseFacts(tenant=case.tenant_id, state=CaseState(case.state)))
    facts = read_facts(case.facts)
    return choices(services, case, facts) if facts.snapshot else []


def choices(services: Services, case: CaseRow, facts: Facts) -> list[dict[str, Any]]:
    """Documents of the chart that a person may send: reference, date, words, and whether it fits what was asked."""
    wanted = {request.code for request in facts.requests if not request.attachment}
    snapshot = load_snapshot(services, case, facts)
    found = []
    for item in snapshot.kept:
        if item.resource["resourceType"] != "DocumentReference":
            continue
        kind = item.resource.get("type") or {}
        codes = [str(coding.get("code", "")) for coding in kind.get("coding") or ()]
        found.append(
            {
                "reference": item.reference,
                "date": str(item.resource.get("date", ""))[:10],
                "title": str(kind.get("text") or item.resource.get("description") or "document"),
                "fits": any(code in wanted for code in codes),
            }
        )
    return sorted(found, key=lambda choice: (not choice["fits"], choice["date"]))


def attach(services: Services, actor: Actor, case_id: str, control_number: str, references: Sequence[str]) -> CaseRow:
    """Answer one request of the payer with documents of the chart; sent by the next job.

    Raises NotFound, Conflict (nothing was asked, or it was answered), InputError (no such document).
    """

    def once() -> CaseRow:
        case = ledger.load(services, actor.tenant, case_id)
        state = CaseState(case.state)
        require_access(actor.caller, "form.answer", CaseFacts(tenant=case.tenant_id, state=state))
        facts = read_facts(case.facts)
        request = _open_request(facts, control_number)
        chosen = _chosen(services, case, facts, references)
        body = dump_json(_parameters(services, case, facts, request, chosen))
        answered = replace(request, attachment=hashlib.sha256(body).hexdigest())
        changed = replace(facts, requests=tuple(answered if r is request else r for r in facts.requests))
        act = Act(
            verb="manual-answer",
            about=(Item.body(body),),
            sources=tuple(Item.resource(item.full_url, item.raw) for item in chosen),
            actor=actor,
            note={"kind": "attachment", "count": len(chosen), "code": request.code},
        )
        return ledger.append(
            services, case, act, facts=changed, next_action="The documents are being sent to the payer."
        )

    return ledger.retry_on_conflict(once)


def answer_with_form(
    services: Services, case: CaseRow, facts: Facts, form: FormFact, response: Json
) -> tuple[Facts, bytes]:
    """(the facts with a completed form as the answer to the request it was asked by, the bytes to keep and send)."""
    request = _open_request(facts, form.asked_by)
    body = dump_json(_reply(services, case, facts, request, [pas.Attachment(content=response)]))
    answered = replace(request, attachment=hashlib.sha256(body).hexdigest())
    return replace(facts, requests=tuple(answered if one is request else one for one in facts.requests)), body


def send_attachment(services: Services, case: CaseRow, facts: Facts) -> CaseRow:
    """Send the first answer the payer does not have yet. Raises PayerError; a 4xx is final and needs a person.

    The case is claimed first, so that two jobs never send it at once; after a crash the claim runs out.
    """
    request = next(item for item in facts.requests if item.attachment and not item.sent)
    body = ledger.load_object(services, case, request.attachment)
    claimed = replace(facts, wait="send-attachment")
    case = ledger.set_waiting(services, case, claimed, services.clock.now() + _longest_try(services, case))
    exchange = services.payer(case.payer).submit_attachment(body)
    if not exchange.is_success:
        raise PayerRejected(
            f"The payer did not take the documents (HTTP {exchange.status}).",
            http_answer=exchange.status,
            body=exchange.response_bytes,
            retry_after_seconds=exchange.retry_after_seconds,
        )
    sent = tuple(replace(item, sent=True) if item is request else item for item in facts.requests)
    received = exchange.response_bytes or b"{}"
    act = Act(
        verb="submit",
        about=(Item.body(body),),
        sources=(),
        note={"kind": "attachment", "http_status": exchange.status},
    )
    return ledger.append(
        services,
        case,
        act,
        facts=replace(facts.succeeded("send-attachment"), requests=sent),
        objects=[(received, exchange.media_type or "application/fhir+json")],
        next_action="The payer has the documents and will notify.",
        changes={"move": "payer"},
    )


def _longest_try(services: Services, case: CaseRow) -> timedelta:
    payer = services.payer_row(case.payer)
    return timedelta(seconds=payer.pas.timeouts_seconds.attachment if payer.pas else 20) + GRACE


def _open_request(facts: Facts, control_number: str) -> RequestedDocument:
    for request in facts.requests:
        if request.control_number == control_number and not request.attachment:
            return request
    raise Conflict("The payer has no open request with this control number.", code="attachment.not-asked")


def _chosen(services: Services, case: CaseRow, facts: Facts, references: Sequence[str]) -> list[Kept]:
    snapshot = load_snapshot(services, case, facts)
    found = [snapshot.get(reference) for reference in references]
    chosen = [item for item in found if item is not None and item.resource["resourceType"] == "DocumentReference"]
    if not chosen or len(chosen) != len(references):
        raise InputError("Name documents of this chart, as DocumentReference/id.", code="attachment.document")
    return chosen


def _parameters(
    services: Services, case: CaseRow, facts: Facts, request: RequestedDocument, chosen: list[Kept]
) -> dict[str, Any]:
    code = (LOINC if "-" in request.code else pas.REPORT_TYPE_SYSTEM, request.code) if request.code else None
    lines = (request.line,) if request.line else ()
    listed = [pas.Attachment(content=item.resource, code=code, line_items=lines) for item in chosen]
    return _reply(services, case, facts, request, listed)


def _reply(
    services: Services, case: CaseRow, facts: Facts, request: RequestedDocument, attachments: list[pas.Attachment]
) -> dict[str, Any]:
    coverage = load_snapshot(services, case, facts).require(case.coverage_reference).resource
    return pas.build_attachment_parameters(
        tracking_id=("", request.control_number),
        payer_id=services.payer_row(case.payer).identifiers[0],
        organization_id=(NPI, services.settings.tenant.npi),
        member_id=_member_id(coverage),
        attachments=attachments,
    )


def _member_id(coverage: Any) -> tuple[str, str]:
    for identifier in coverage.get("identifier") or ():
        if any(coding.get("code") == "MB" for coding in (identifier.get("type") or {}).get("coding") or ()):
            return str(identifier.get("system", "")), str(identifier.get("value", ""))
    return "", str(coverage.get("subscriberId", ""))
