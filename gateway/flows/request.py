"""Building the PAS request of a case from its snapshot, its forms and its sealed document."""

from __future__ import annotations

from datetime import date, timedelta

from gateway.cases.facts import Facts
from gateway.errors import NotFound
from gateway.fhir import Json
from gateway.fhir.check import check_structure
from gateway.fhir.json import dump_json, parse_json
from gateway.fhir.reading import one, text
from gateway.fhir.references import read_reference, reference_text
from gateway.flows import ledger
from gateway.flows.extract import Snapshot, load_snapshot
from gateway.flows.packet import DOCUMENT_CODE, insurer_and_requestor
from gateway.flows.services import Services
from gateway.logs import get_logger
from gateway.profiles import crd_2_2_1 as crd
from gateway.profiles import pas_2_2_1 as pas
from gateway.profiles.guides import pas_guide
from gateway.store.rows import CaseRow
from payer_endpoints.directory import PayerRow

BUNDLE_SYSTEM = "urn:ietf:rfc:3986"
"""Identifier system of a transaction: its value is a urn:uuid."""


def build_request(services: Services, case: CaseRow, facts: Facts, bundle_id: str, claim_id: str) -> bytes:
    """The exact bytes of the request Bundle. NotFound where the chart lacks what a request must carry."""
    request = describe_request(services, case, facts, bundle_id, claim_id)
    row = services.payer_row(case.payer)
    guide = pas_guide(row.pas.version if row.pas else pas.VERSION)
    body = dump_json(guide.build_request_bundle(request, services.new_id))
    for finding in check_structure(body):
        get_logger().warning("structure", case_id=case.case_id, stage="request", why=finding)
    return body


def claim_identifier(services: Services, claim_id: str) -> tuple[str, str]:
    """(system, value) of a Claim's trace number: our own NPI as issuer."""
    return f"urn:trnorg:{services.settings.tenant.npi}", claim_id


def describe_request(services: Services, case: CaseRow, facts: Facts, bundle_id: str, claim_id: str) -> pas.PasRequest:
    """Everything a request or an inquiry of the case is made of, under the ids given. NotFound as `build_request`."""
    row = services.payer_row(case.payer)
    snapshot = load_snapshot(services, case, facts)
    if row.pas is None:
        raise NotFound("This payer takes no electronic requests; its row has no [pas] section.")
    insurer, requestor = insurer_and_requestor(case, snapshot, services)
    order = with_coverage_information(services, case, facts, snapshot)
    practitioner, role = _requester(snapshot, order)
    start, end = _service_days(services, order)
    return pas.PasRequest(
        bundle_identifier=(BUNDLE_SYSTEM, f"urn:uuid:{bundle_id}"),
        claim_identifier=claim_identifier(services, claim_id),
        created_at=services.clock.now(),
        patient=snapshot.require(case.patient_reference).resource,
        coverage=snapshot.require(case.coverage_reference).resource,
        insurer=insurer,
        requestor=requestor,
        order=order,
        codes=pas.PasCodes(**row.pas.codes.model_dump()),
        practitioner=practitioner,
        practitioner_role=role,
        diagnoses=pas.diagnoses_of(order, [item.resource for item in snapshot.kept]),
        is_expedited=case.is_expedited,
        claim_type=row.pas.claim_type,
        service_starts_on=start,
        service_ends_on=end,
        supporting=_supporting(services, case, facts, snapshot, row),
        transmission=pas.TransmissionIdentifiers(**row.pas.transmission.model_dump()),
        referenced=tuple(item.resource for item in snapshot.kept),
        assertion_id=facts.assertion_id,
        ehr_base=services.settings.ehr[case.ehr_id].base_url.rstrip("/"),
    )


def with_coverage_information(services: Services, case: CaseRow, facts: Facts, snapshot: Snapshot) -> Json:
    """The order with the payer's coverage-information, which travels along in all later traffic (crd:resp-46)."""
    order = snapshot.require(case.order_reference).resource
    if not facts.coverage_information:
        return order
    answer = parse_json(ledger.load_object(services, case, facts.coverage_information))
    return crd.merge_coverage_information(order, answer)


def _requester(snapshot: Snapshot, order: Json) -> tuple[Json | None, Json | None]:
    reference = read_reference(reference_text(order.get("requester")))
    found = snapshot.get(reference.relative) if reference.relative else None
    if found is None:
        return None, None
    if reference.type == "PractitionerRole":
        inner = snapshot.get(reference_text(found.resource.get("practitioner")))
        return (inner.resource if inner else None), found.resource
    for role in snapshot.record.of_type("PractitionerRole"):
        held = read_reference(reference_text(role.get("practitioner"))).relative
        if held == reference.relative:
            return found.resource, role
    return found.resource, None


def _service_days(services: Services, order: Json) -> tuple[date, date]:
    """Days of service the order names; without any, sixty days from today, as the order has not been scheduled."""
    period = one(order.get("occurrencePeriod"))
    start = (text(order.get("occurrenceDateTime")) or text(period.get("start")))[:10]
    end = text(period.get("end"))[:10]
    today = services.today()
    try:
        first = max(date.fromisoformat(start), today) if start else today
        last = date.fromisoformat(end) if end else first + timedelta(days=60)
    except ValueError:
        return today, today + timedelta(days=60)
    return first, max(first, last)


def _supporting(
    services: Services, case: CaseRow, facts: Facts, snapshot: Snapshot, row: PayerRow
) -> tuple[pas.Supporting, ...]:
    assert row.pas is not None
    found = []
    if facts.document:
        sealed = ledger.load_object(services, case, facts.document)
        document = pas.SealedDocument(
            body=sealed, type_code=DOCUMENT_CODE, title="Sealed packet", created_at=services.clock.now()
        )
        found.append(pas.Supporting(content=document, control_number=f"{case.case_id[:8]}-packet"))
    for form in facts.forms:
        if not form.response or form.asked_by:
            continue  # asked for after the request, and answered apart from it
        response = parse_json(ledger.load_object(services, case, form.response))
        evidence = tuple(_form_evidence(services, case, form.trace, snapshot))
        completed = pas.CompletedForm(response=response, evidence=evidence, as_bundle=row.pas.wants_forms_in_bundle)
        found.append(pas.Supporting(content=completed, control_number=f"{case.case_id[:8]}-form-{form.form_id}"))
    return tuple(found)


def _form_evidence(services: Services, case: CaseRow, trace_digest: str, snapshot: Snapshot) -> list[Json]:
    trace = parse_json(ledger.load_object(services, case, trace_digest))
    references = dict.fromkeys(str(r) for answer in trace["answers"] for r in answer.get("sources", ()))
    found = (snapshot.get(reference) for reference in references)
    return [item.resource for item in found if item is not None]
