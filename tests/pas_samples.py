"""Resources of an invented EHR, and requests made of them, for tests of the profiles."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

from gateway.fhir.reading import walk
from gateway.profiles.pas_input import (
    CompletedForm,
    PasCodes,
    PasRequest,
    SealedDocument,
    Supporting,
    TransmissionIdentifiers,
)

NOW = datetime(2026, 3, 2, 10, 0, 5, tzinfo=UTC)
NPI = "http://hl7.org/fhir/sid/us-npi"
CPT = "http://www.ama-assn.org/go/cpt"
HCPCS = {"coding": [{"system": "http://www.cms.gov/Medicare/Coding/HCPCSReleaseCodeSets", "code": "B4150"}]}
COVERAGE_INFORMATION = "http://hl7.org/fhir/us/davinci-crd/StructureDefinition/ext-coverage-information"
CODES = PasCodes(
    category="62",
    request_type="HS",
    certification_type="I",
    certification_type_cancel="3",
    organization_type_provider="1P",
    organization_type_payer="PR",
    care_team_role="71",
    relationship_self="18",
    report_type="M1",
    place_of_service="22",
    level_of_service="E",
    level_of_service_urgent="U",
)
META = {"versionId": "7", "lastUpdated": "2026-01-01T00:00:00Z", "profile": ["https://ehr.example.org/profile"]}
RECORD = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "MR"}]}
TEXT = {"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml">x</div>'}


def patient() -> dict[str, Any]:
    """A patient with a record number, a social security number and an incomplete identifier."""
    return {
        "resourceType": "Patient",
        "id": "pat1",
        "meta": META,
        "text": TEXT,
        "extension": [{"url": "https://ehr.example.org/vip", "valueBoolean": True}],
        "identifier": [
            {"type": RECORD, "system": "https://ehr.example.org/mrn", "value": "MRN-1"},
            {"system": "http://hl7.org/fhir/sid/us-ssn", "value": "987-65-4320"},
            {"value": "no-system"},
        ],
        "name": [{"family": "Synthetic", "given": ["Sam"]}],
        "gender": "female",
        "birthDate": "1960-05-06",
        "address": [{"line": ["1 Example Road"], "city": "Exampleton", "state": "CA", "postalCode": "90001-1234"}],
        "generalPractitioner": [{"reference": "Practitioner/prac1"}],
    }


def coverage() -> dict[str, Any]:
    """A coverage the patient holds herself."""
    return {
        "resourceType": "Coverage",
        "id": "cov1",
        "meta": META,
        "identifier": [
            {
                "type": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "MB"}]},
                "system": "https://payer.example.org/members",
                "value": "M-1",
            }
        ],
        "status": "active",
        "subscriberId": "M-1",
        "beneficiary": {"reference": "Patient/pat1"},
        "relationship": {
            "coding": [{"system": "http://terminology.hl7.org/CodeSystem/subscriber-relationship", "code": "self"}]
        },
        "period": {"start": "2026-01-01"},
        "payor": [{"reference": "Organization/payer1"}],
    }


def insurer() -> dict[str, Any]:
    """The payer's Organization."""
    return {
        "resourceType": "Organization",
        "id": "payer1",
        "identifier": [{"system": "https://payer.example.org/payer-id", "value": "P-1"}],
        "type": [{"text": "payer"}],
        "name": "Example Plan",
    }


def clinic() -> dict[str, Any]:
    """The requesting Organization."""
    return {
        "resourceType": "Organization",
        "id": "clinic1",
        "identifier": [{"system": NPI, "value": "1999910015"}],
        "name": "Example Clinic",
        "telecom": [{"system": "phone", "value": "555-555-0140"}],
    }


def practitioner(name: str = "prac1", npi: str = "1999911013") -> dict[str, Any]:
    """An ordering practitioner."""
    return {
        "resourceType": "Practitioner",
        "id": name,
        "identifier": [{"system": NPI, "value": npi}],
        "name": [{"family": "Makebelieve", "given": ["Ottoline"]}],
        "telecom": [{"system": "phone", "value": "555-555-0199", "use": "home"}],
    }


def role(name: str = "role1", of: str = "prac1") -> dict[str, Any]:
    """Their role."""
    return {
        "resourceType": "PractitionerRole",
        "id": name,
        "practitioner": {"reference": f"Practitioner/{of}"},
        "organization": {"reference": "Organization/clinic1"},
        "location": [{"reference": "Location/elsewhere"}],
        "telecom": [{"system": "phone", "value": "555-555-0142"}],
    }


def order() -> dict[str, Any]:
    """A signed imaging order whose references partly lead out of what is sent."""
    return {
        "resourceType": "ServiceRequest",
        "id": "ord1",
        "meta": META,
        "text": TEXT,
        "status": "active",
        "intent": "order",
        "code": {
            "coding": [{"system": "urn:oid:2.16.840.1.113883.6.12", "code": "72141"}, {"system": "urn:x", "code": "L"}]
        },
        "subject": {"reference": "https://ehr.example.org/fhir/Patient/pat1"},
        "encounter": {"reference": "Encounter/enc9"},
        "authoredOn": "2026-03-01T09:00:00-08:00",
        "requester": {"reference": "Practitioner/prac1", "display": "Dr Makebelieve"},
        "occurrencePeriod": {"start": "2026-03-10", "end": "2026-04-10"},
        "reasonCode": [{"coding": [{"system": "http://hl7.org/fhir/sid/icd-10-cm", "code": "M5412"}]}],
        "supportingInfo": [{"reference": "QuestionnaireResponse/qr1"}],
    }


def device() -> dict[str, Any]:
    """An order for a device."""
    return {
        "resourceType": "DeviceRequest",
        "id": "dev1",
        "status": "active",
        "intent": "original-order",
        "codeCodeableConcept": HCPCS,
        "subject": {"reference": "Patient/pat1"},
        "occurrenceDateTime": "2026-03-10",
    }


def medication() -> dict[str, Any]:
    """An order for a drug of the medical benefit."""
    return {
        "resourceType": "MedicationRequest",
        "id": "med1",
        "status": "draft",
        "intent": "order",
        "medicationCodeableConcept": {"coding": [{"system": "http://hl7.org/fhir/sid/ndc", "code": "00000-0000-00"}]},
        "subject": {"reference": "Patient/pat1"},
        "authoredOn": "2026-03-01",
        "requester": {"reference": "Practitioner/prac1"},
    }


def nutrition() -> dict[str, Any]:
    """An order for formula."""
    return {
        "resourceType": "NutritionOrder",
        "id": "nut1",
        "status": "active",
        "intent": "order",
        "patient": {"reference": "Patient/pat1"},
        "dateTime": "2026-03-01T10:00:00Z",
        "orderer": {"reference": "Practitioner/prac1"},
        "enteralFormula": {"baseFormulaType": HCPCS},
    }


def response() -> dict[str, Any]:
    """A completed form that refers to the chart."""
    return {
        "resourceType": "QuestionnaireResponse",
        "id": "qr1",
        "meta": META,
        "questionnaire": "https://payer.example.org/Questionnaire/mri|1.0",
        "status": "completed",
        "subject": {"reference": "Patient/pat1"},
        "basedOn": [{"reference": "ServiceRequest/ord1"}],
        "authored": "2026-03-01T10:00:00Z",
        "item": [
            {"linkId": "1", "answer": [{"valueReference": {"reference": "Observation/obs1"}}]},
            {"linkId": "2", "answer": [{"valueReference": {"reference": "Observation/gone", "display": "an old one"}}]},
        ],
    }


def observation(name: str = "obs1") -> dict[str, Any]:
    """A chart result."""
    return {
        "resourceType": "Observation",
        "id": name,
        "meta": META,
        "status": "final",
        "category": [
            {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "survey"}]}
        ],
        "code": {"coding": [{"system": "http://loinc.org", "code": "75621-0"}]},
        "subject": {"reference": "Patient/pat1"},
        "performer": [{"reference": "Practitioner/stranger"}],
        "encounter": {"reference": "Encounter/enc9"},
        "effectiveDateTime": "2026-02-20T09:00:00-08:00",
        "valueQuantity": {"value": 42, "unit": "score", "system": "http://unitsofmeasure.org", "code": "{score}"},
    }


def request(**changes: Any) -> PasRequest:
    """A whole request; keyword arguments replace its fields."""
    whole = PasRequest(
        bundle_identifier=("urn:example:txn", "TXN-1"),
        claim_identifier=("urn:trnorg:9012345678", "PA-1"),
        created_at=NOW,
        patient=patient(),
        coverage=coverage(),
        insurer=insurer(),
        requestor=clinic(),
        practitioner=practitioner(),
        practitioner_role=role(),
        order=order(),
        codes=CODES,
        transmission=TransmissionIdentifiers(
            application_sender_code="CLINICAPP",
            application_receiver_code="PAYERAPP",
            interchange_sender_id="CLINIC01",
            interchange_receiver_id="PAYER01",
        ),
        supporting=(
            Supporting(
                content=SealedDocument(body=b'{"sealed":1.00}', type_code="34133-9", title="Packet", created_at=NOW),
                control_number="ACN-1",
            ),
            Supporting(content=CompletedForm(response=response(), evidence=(observation(),))),
        ),
        ehr_base="https://ehr.example.org/fhir",
    )
    return replace(whole, **changes)


def uuids(start: int = 1) -> Callable[[], str]:
    """Version 4 UUIDs that count up."""
    numbers: Iterator[int] = itertools.count(start)
    return lambda: str(uuid.UUID(int=(next(numbers)) | (4 << 76) | (8 << 60)))


def claim_of(bundle: dict[str, Any]) -> dict[str, Any]:
    """The first entry's Claim."""
    resource: dict[str, Any] = bundle["entry"][0]["resource"]
    assert resource["resourceType"] == "Claim"
    return resource


def of_type(bundle: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    """The resources of one type, in order."""
    return [e["resource"] for e in bundle["entry"] if e["resource"]["resourceType"] == kind]


def references(value: Any) -> list[str]:
    """Every reference text in a resource or Bundle."""
    return [str(element["reference"]) for _, element in walk(value) if isinstance(element.get("reference"), str)]


def coverage_information(
    coverage_reference: str = "Coverage/cov1", assertion: str = "A-1", **parts: Any
) -> dict[str, Any]:
    """A coverage-information extension; `parts` are code-valued sub-extensions, `_` written for `-`."""
    inner: list[dict[str, Any]] = [{"url": "coverage", "valueReference": {"reference": coverage_reference}}]
    inner += [{"url": key.replace("_", "-"), "valueCode": value} for key, value in parts.items()]
    inner += [{"url": "date", "valueDate": "2026-03-01"}, {"url": "coverage-assertion-id", "valueString": assertion}]
    return {"url": COVERAGE_INFORMATION, "extension": inner}


def today() -> date:
    """The day of `NOW`."""
    return NOW.date()
