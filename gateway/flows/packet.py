"""The packet: a FHIR document of everything that supports the request, sealed by the organization.

Resources of the EHR are spliced in as the bytes they came as. The Provenance of every resource in the
document goes with it. Source: spec/provenance.md §3.1, §4, §6.
"""

from __future__ import annotations

import base64
import hashlib
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from html import escape
from typing import Any

import provenance
from gateway.cases.facts import Facts, WriteBack
from gateway.cases.states import CaseState
from gateway.clinical.rule_row import status_words
from gateway.clock import write_instant
from gateway.fhir import Json
from gateway.fhir.json import dump_json, parse_json
from gateway.fhir.reading import objects, text
from gateway.fhir.references import read_reference, reference_text
from gateway.flows import ledger
from gateway.flows.extract import Kept, Snapshot, load_snapshot, references_in
from gateway.flows.ledger import Act, Item
from gateway.flows.services import NPI, Services
from gateway.flows.subjects import case_task
from gateway.store.rows import CaseRow, EventRow

DOCUMENT_CODE = "52034-6"
"""LOINC: payer letter / supporting documentation packet; also the type of the DocumentReference that carries it."""
CLINICAL = frozenset(
    {
        "AllergyIntolerance",
        "CarePlan",
        "ClinicalImpression",
        "Communication",
        "Condition",
        "DiagnosticReport",
        "DocumentReference",
        "Encounter",
        "MedicationDispense",
        "MedicationRequest",
        "MedicationStatement",
        "Observation",
        "Procedure",
        "QuestionnaireResponse",
        "ServiceRequest",
    }
)
"""Types that may go into the packet as evidence."""


def assemble(services: Services, case: CaseRow, facts: Facts) -> CaseRow:
    """Put the document together, record who assembled what, seal it, and record the seal."""
    snapshot = load_snapshot(services, case, facts)
    forms = [ledger.load_object(services, case, form.response) for form in facts.forms if form.response]
    evidence = choose_evidence(services, case, facts, snapshot, forms)
    composition_id = services.new_id()
    composition = dump_json(_composition(services, case, composition_id, snapshot, evidence, facts))
    case = _record_assembly(services, case, composition, composition_id, evidence, forms, facts)
    return _seal(services, case, facts, composition, composition_id, evidence, forms)


def choose_evidence(
    services: Services, case: CaseRow, facts: Facts, snapshot: Snapshot, forms: Iterable[bytes]
) -> tuple[Kept, ...]:
    """What the packet must hold and nothing more: the order and its people, and what answers and verdict rest on.

    Steps: (1) the order, patient, coverage; (2) what the evaluation cites; (3) what answers name as their
    source; (4) the people and organizations that these refer to.
    """
    wanted = [case.order_reference, case.patient_reference, case.coverage_reference]  # (1)
    trace = _trace(services, case, facts)
    wanted += [reference for element in trace.get("elements", ()) for reference in element["evidence"]]  # (2)
    wanted += _answer_sources(services, case, facts)  # (3)
    chosen: dict[str, Kept] = {}
    for reference in wanted:
        found = snapshot.get(reference)
        if found is not None:
            chosen.setdefault(found.reference, found)
    for item in list(chosen.values()):  # (4)
        _add_people(item, snapshot, chosen)
    return tuple(chosen.values())


def _trace(services: Services, case: CaseRow, facts: Facts) -> Json:
    """The evaluation of our own rule; empty where none was made."""
    found: Json = parse_json(ledger.load_object(services, case, facts.evaluation)) if facts.evaluation else {}
    return found


def _answer_sources(services: Services, case: CaseRow, facts: Facts) -> Iterator[str]:
    for form in facts.forms:
        if not form.trace:
            continue
        trace = parse_json(ledger.load_object(services, case, form.trace))
        for answer in trace["answers"]:
            yield from (str(reference) for reference in answer.get("sources", ()))


def _add_people(item: Kept, snapshot: Snapshot, chosen: dict[str, Kept]) -> None:
    for reference in references_in(item.resource):
        found = snapshot.get(reference)
        if found is None or found.reference in chosen:
            continue
        if found.resource["resourceType"] in ("Practitioner", "PractitionerRole", "Organization", "Location"):
            chosen[found.reference] = found


def _composition(
    services: Services, case: CaseRow, composition_id: str, snapshot: Snapshot, evidence: tuple[Kept, ...], facts: Facts
) -> dict[str, Any]:
    order = snapshot.require(case.order_reference)
    clinical = [item for item in evidence if item.resource["resourceType"] in CLINICAL and item is not order]
    administrative = [item for item in evidence if item.resource["resourceType"] not in CLINICAL]
    sections = [
        _section("Order", [order.full_url]),
        _section("Coverage and people", [item.full_url for item in administrative]),
        _section("Completed forms", [f"urn:uuid:{_form_key(case, form.form_id)}" for form in facts.forms]),
        _section("Evidence", [item.full_url for item in clinical]),
        *_rule_section(_trace(services, case, facts)),
    ]
    tenant = services.tenant_party
    return {
        "resourceType": "Composition",
        "id": composition_id,
        "identifier": {"system": "urn:ietf:rfc:3986", "value": f"urn:uuid:{composition_id}"},
        "status": "final",
        "type": {
            "coding": [{"system": "http://loinc.org", "code": DOCUMENT_CODE}],
            "text": "prior authorization packet",
        },
        "subject": {"reference": snapshot.require(case.patient_reference).full_url},
        "date": write_instant(services.clock.now()),
        "author": [tenant.as_reference()],
        "title": "Prior authorization packet",
        "attester": [{"mode": "official", "time": write_instant(services.clock.now()), "party": tenant.as_reference()}],
        "section": [section for section in sections if section.get("entry") or section.get("text")],
    }


def _section(title: str, references: list[str]) -> dict[str, Any]:
    return {"title": title, "entry": [{"reference": reference} for reference in references]}


def _rule_section(trace: Json) -> Iterator[dict[str, Any]]:
    """Which rule judged the chart and how far it can be trusted; nothing where no rule applied."""
    if not trace.get("rule"):
        return
    status = status_words(text(trace.get("status")))
    said = f"Judged by rule {trace['rule']}, version {trace.get('version')}: {status}. Verdict: {trace.get('verdict')}."
    div = f'<div xmlns="http://www.w3.org/1999/xhtml"><p>{escape(said)}</p></div>'
    yield {"title": "Clinical rule", "text": {"status": "generated", "div": div}}


def _form_key(case: CaseRow, form_id: str) -> str:
    return own_key(case.case_id, f"form-{form_id}")


def own_key(case_id: str, name: str) -> str:
    """A UUID of the case's own for something the gateway makes, the same each time it is asked for."""
    return str(uuid.uuid5(uuid.UUID(case_id), name))


def _record_assembly(
    services: Services,
    case: CaseRow,
    composition: bytes,
    composition_id: str,
    evidence: tuple[Kept, ...],
    forms: list[bytes],
    facts: Facts,
) -> CaseRow:
    sources = [Item.resource(item.full_url, item.raw) for item in evidence]
    sources += [
        Item.local("QuestionnaireResponse", raw, _form_key(case, form.form_id))
        for form, raw in zip(facts.forms, forms, strict=True)
    ]
    act = Act(
        verb="assemble",
        about=(Item.local("Composition", composition, composition_id),),
        sources=tuple(sources),
        note={"count": len(sources) + 1},
    )
    return ledger.append(services, case, act)


def _seal(
    services: Services,
    case: CaseRow,
    facts: Facts,
    composition: bytes,
    composition_id: str,
    evidence: tuple[Kept, ...],
    forms: list[bytes],
) -> CaseRow:
    entries = [provenance.DocumentEntry(full_url=f"urn:uuid:{composition_id}", raw=composition)]
    entries += [provenance.DocumentEntry(full_url=item.full_url, raw=item.raw) for item in evidence]
    entries += [
        provenance.DocumentEntry(full_url=f"urn:uuid:{_form_key(case, form.form_id)}", raw=raw)
        for form, raw in zip(facts.forms, forms, strict=True)
    ]
    entries += list(_provenances(services, case, entries))
    now = services.clock.now()
    tenant = services.tenant_party.identifier
    assert tenant is not None
    unsigned = provenance.assemble_document(
        identifier=provenance.Identifier(system="urn:ietf:rfc:3986", value=f"urn:uuid:{services.new_id()}"),
        timestamp=now,
        entries=entries,
    )
    sealed = provenance.seal_document(unsigned, services.keys.signer("seal"), now, tenant)
    act = Act(
        verb="seal",
        about=(Item.body(sealed),),
        sources=(Item.local("Composition", composition, composition_id, role="derivation"),),
        note={"count": len(entries), "digest": hashlib.sha256(sealed).hexdigest()},
    )
    changed = replace(facts.succeeded("assemble"), document=hashlib.sha256(sealed).hexdigest())
    handed = _hand_over(case, sealed, write_instant(now)) if case.state == CaseState.DOCUMENTED else {}
    told = tuple(WriteBack(kind=kind, digest=hashlib.sha256(body).hexdigest()) for kind, body in handed.items())
    changed = changed.telling(*told)
    objects = [(body, "application/fhir+json") for body in handed.values()]
    return ledger.append(services, case, act, facts=changed, objects=objects)


def _hand_over(case: CaseRow, sealed: bytes, at: str) -> dict[str, bytes]:
    """What the EHR keeps of a case that ends with its documentation, by kind: the packet and the Task."""
    kind = {"coding": [{"system": "http://loinc.org", "code": DOCUMENT_CODE}], "text": "prior authorization packet"}
    content = {"contentType": "application/fhir+json", "data": base64.b64encode(sealed).decode(), "creation": at}
    document = {
        "resourceType": "DocumentReference",
        "status": "current",
        "docStatus": "final",
        "type": kind,
        "category": [{"text": "prior authorization"}],
        "subject": {"reference": case.patient_reference},
        "date": at,
        "description": "Sealed documentation for the payer; no authorization was wanted.",
        "content": [{"attachment": {**content, "title": "Sealed packet"}}],
        "context": {"related": [{"reference": case.order_reference}]},
    }
    return {"document": dump_json(document), "task": case_task(case)}


def _provenances(
    services: Services, case: CaseRow, entries: list[provenance.DocumentEntry]
) -> Iterator[provenance.DocumentEntry]:
    """The statements about anything in the document, as they are stored; none that names only other things."""
    inside = {hashlib.sha256(entry.raw).hexdigest() for entry in entries}
    with services.store.read() as tx:
        events = tx.events.list(case.tenant_id, case.case_id)
        bodies = {event.seq: tx.objects.get(case.tenant_id, case.case_id, event.provenance_digest) for event in events}
    for event in events:
        if _is_about(event, bodies[event.seq], inside):
            yield provenance.DocumentEntry(
                full_url=f"urn:uuid:{own_key(case.case_id, f'event-{event.seq}')}", raw=bodies[event.seq]
            )


def _is_about(event: EventRow, body: bytes, inside: set[str]) -> bool:
    """Whether the statement's targets are all in the document: a packet names nothing that is not sent."""
    return event.object_digest in inside and event.verb in (
        "assemble",
        "populate-auto-client",
        "populate-auto-server",
        "manual-answer",
        "override",
    )


def insurer_and_requestor(case: CaseRow, snapshot: Snapshot, services: Services) -> tuple[Json, Json]:
    """The payer's Organization and the requesting one; made from payer row and tenant where the chart has none."""
    coverage = snapshot.require(case.coverage_reference).resource
    insurer = _first(snapshot, coverage.get("payor")) or _insurer_of(services, case)
    order = snapshot.require(case.order_reference).resource
    return insurer, _requestor(services, snapshot, order)


def _employers(snapshot: Snapshot, requester: str) -> set[str]:
    """`Organization/id` of the roles that the order's requester is, or has."""
    wanted = read_reference(requester).relative
    roles = [
        role
        for role in snapshot.record.of_type("PractitionerRole")
        if wanted
        in (f"PractitionerRole/{role.get('id')}", read_reference(reference_text(role.get("practitioner"))).relative)
    ]
    return {read_reference(reference_text(role.get("organization"))).relative for role in roles} - {""}


def _first(snapshot: Snapshot, references: Any) -> Json | None:
    for item in references or ():
        found = snapshot.get(str(item.get("reference", ""))) if isinstance(item, Mapping) else None
        if found is not None and read_reference(found.reference).type == "Organization":
            return found.resource
    return None


def _insurer_of(services: Services, case: CaseRow) -> Json:
    row = services.payer_row(case.payer)
    system, value = row.identifiers[0]
    return {
        "resourceType": "Organization",
        "id": case.payer,
        "active": True,
        "name": row.name,
        "identifier": [{"system": system, "value": value}],
    }


def _npis(organization: Json) -> set[str]:
    return {text(item.get("value")) for item in objects(organization.get("identifier")) if item.get("system") == NPI}


def _requestor(services: Services, snapshot: Snapshot, order: Json) -> Json:
    """The organization that asks: ours in the chart, else the one the orderer's role is at, else made from the tenant.

    Never just any with an NPI: the payer or a referring practice may have one too.
    """
    employers = _employers(snapshot, reference_text(order.get("requester")))
    tenant = services.settings.tenant
    found = [item for item in snapshot.record.of_type("Organization") if _npis(item)]
    own = next((item for item in found if tenant.npi in _npis(item)), None)
    own = own or next((item for item in found if f"Organization/{item.get('id')}" in employers), None)
    if own is not None:
        return own
    return {
        "resourceType": "Organization",
        "id": "requestor",
        "active": True,
        "name": tenant.name,
        "identifier": [{"system": NPI, "value": tenant.npi}],
    }
