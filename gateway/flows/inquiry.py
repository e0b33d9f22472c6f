"""Asking a payer what became of a request of ours (`Claim/$inquire`).

A hit that echoes our request is its answer; "not found" proves nothing (spec/pas.md §9, §11).
"""

from __future__ import annotations

from gateway.cases.facts import Facts
from gateway.clients.payer import Exchange
from gateway.errors import InputError
from gateway.fhir import Json
from gateway.fhir.json import dump_json, parse_json
from gateway.flows import answer, ledger
from gateway.flows.actors import Actor
from gateway.flows.ledger import Act, Item
from gateway.flows.request import describe_request
from gateway.flows.services import Services
from gateway.profiles import pas_2_2_1 as pas
from gateway.profiles.guides import PasGuide, pas_guide
from gateway.store.rows import CaseRow, SubmissionRow


def pas_version(services: Services, case: CaseRow) -> PasGuide:
    """The PAS version that the case's payer speaks. SettingsError for one we do not."""
    row = services.payer_row(case.payer)
    return pas_guide(row.pas.version if row.pas else pas.VERSION)


def build_inquiry(services: Services, case: CaseRow, facts: Facts) -> bytes:
    """The question what became of our request: by member, service and days (spec/pas.md §9)."""
    trace = f"INQ-{services.new_id()[:13].upper()}"
    request = describe_request(services, case, facts, services.new_id(), trace)
    return dump_json(pas_version(services, case).build_inquiry_bundle(request, services.new_id))


def read_match(exchange: Exchange, row: SubmissionRow) -> Json | None:
    """The one response Bundle of an inquiry's answer that echoes our request; None otherwise."""
    if not exchange.is_success:
        return None
    try:
        bundles = pas.read_inquiry_answer(parse_json(exchange.response_bytes))
    except InputError:
        return None
    hits = [bundle for bundle in bundles if answer.is_answer_to(bundle, row)]
    return hits[0] if len(hits) == 1 else None


def inquire_now(services: Services, case: CaseRow, facts: Facts, actor: Actor) -> CaseRow:
    """Ask the payer about our request for a person; a hit that echoes it is taken as the newest answer."""
    with services.store.read() as tx:
        row = tx.submissions.get(case.tenant_id, facts.submission_id)
    body = build_inquiry(services, case, facts)
    exchange = services.payer(case.payer).inquire(body)
    found = read_match(exchange, row)
    act = Act(
        verb="payer-response",
        about=(Item.body(exchange.response_bytes or b"{}", exchange.media_type or "application/fhir+json"),),
        sources=(Item.body(body),),
        actor=actor,
        payer=services.payer_row(case.payer).name,
        note={"kind": "inquiry", "http_status": exchange.status, "count": 1 if found else 0},
    )
    case = ledger.append(services, case, act, facts=facts)
    if found is None or found == answer.load_answer_or_none(services, case, facts):
        return case
    return answer.take_notification(services, case, facts, exchange.response_bytes, found)
