"""The copy of a chart that the criteria read: the elements they ask for, and nothing else of the patient.

Made once for a chart and a zone, and used for every rule row. `resources` of another patient are left out.
Source: spec/clinical.md §12; minimum necessary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.clinical import criteria_care as care
from gateway.clinical import criteria_findings as findings
from gateway.clinical import criteria_readers as read
from gateway.clinical.concept_rows import Answers
from gateway.clinical.criteria_readers import Reader
from gateway.fhir import Json
from gateway.fhir.references import reference_text
from gateway.reasoning.record import RecordSnapshot, reference_of

Shape = Callable[[Reader, Json], dict[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedChart:
    """The copy, and the way back from it."""

    record: RecordSnapshot
    """Resources as the criteria read them."""
    originals: Mapping[str, str]
    """`Type/id` in the chart by name in the copy."""
    reader: Reader
    """Reads further resources in the same way."""
    patient: str | None
    """Name of the patient; None when the chart has none or several."""
    others: int
    """Resources that are about somebody else and were left out."""


def prepare_chart(
    record: RecordSnapshot, order: Json, zone: str, wanted: frozenset[str], answers: Answers = Answers()
) -> PreparedChart:
    """The copy of a chart around an order. Never raises for content; InputError for a zone that does not exist.

    `wanted` are the systems, and `system|code`, of observations that the criteria may ask for: a laboratory's
    thousands are none of theirs. `answers` say how others code a yes and a no.
    """
    patient = _patient(record, order)
    reader = Reader(record=record, zone=zone, names=read.named(record.all()), answers=answers)
    copies: list[Json] = []
    others = 0
    for resource in _readable(record):
        if _is_about_other(resource, patient, record):
            others += 1
            continue
        if resource["resourceType"] == "Observation" and not _is_wanted(resource, wanted):
            continue
        copies.append(copy_of(resource, reader, patient))
    if patient is not None:
        copies.append(
            _copied(patient, reader.names[id(patient)], {"birthDate": reader.partial(patient.get("birthDate"))})
        )
    return PreparedChart(
        record=RecordSnapshot(copies),
        originals={reader.names[id(resource)]: reference_of(resource) for resource in record.all()},
        reader=reader,
        patient=reader.names[id(patient)] if patient is not None else None,
        others=others,
    )


def copy_of(resource: Json, reader: Reader, patient: Json | None) -> Json:
    """One resource as the criteria read it."""
    kind = str(resource["resourceType"])
    name = reader.names.get(id(resource)) or reference_of(resource)
    subject = reader.names[id(patient)] if patient is not None else "Patient/unknown"
    holder = "patient" if kind in ("AllergyIntolerance", "Claim", "ExplanationOfBenefit") else "subject"
    own = {} if kind == "Provenance" else {holder: {"reference": subject}}
    return _copied(resource, name, {**own, **_SHAPES[kind](reader, resource)})


def _copied(resource: Json, name: str, elements: Mapping[str, Any]) -> Json:
    kept = {key: value for key, value in elements.items() if value is not None and value != []}
    return {"resourceType": resource["resourceType"], "id": name.partition("/")[2], **kept}


def _is_wanted(observation: Json, wanted: frozenset[str]) -> bool:
    coded = read.read_concept(observation.get("code")) or {"coding": ()}
    return any(one["system"] in wanted or f"{one['system']}|{one['code']}" in wanted for one in coded["coding"])


def _readable(record: RecordSnapshot) -> Iterator[Json]:
    for kind in _SHAPES:
        yield from record.of_type(kind)


def _patient(record: RecordSnapshot, order: Json) -> Json | None:
    """The patient of the order, else the only one of the chart."""
    found = record.find(reference_text(order.get("subject")))
    patients = record.of_type("Patient")
    if found is not None and found.get("resourceType") == "Patient":
        return found
    return patients[0] if found is None and len(patients) == 1 else None


def _is_about_other(resource: Json, patient: Json | None, record: RecordSnapshot) -> bool:
    """Whether a resource names a patient of the chart who is not the patient of the order."""
    named = reference_text(resource.get("subject")) or reference_text(resource.get("patient"))
    target = record.find(named) if patient is not None else None
    return target is not None and target is not patient and target.get("resourceType") == "Patient"


_SHAPES: Mapping[str, Shape] = {
    "Condition": care.shape_condition,
    "Encounter": care.shape_encounter,
    "ServiceRequest": care.shape_service_request,
    "MedicationRequest": care.shape_medication_request,
    "MedicationDispense": care.shape_medication_dispense,
    "MedicationStatement": care.shape_medication_statement,
    "AllergyIntolerance": care.shape_allergy,
    "Procedure": care.shape_procedure,
    "CarePlan": care.shape_care_plan,
    "Communication": care.shape_communication,
    "QuestionnaireResponse": findings.shape_response,
    "Observation": findings.shape_observation,
    "ClinicalImpression": findings.shape_impression,
    "Provenance": findings.shape_provenance,
    "DocumentReference": findings.shape_document,
    "DiagnosticReport": findings.shape_report,
    "Claim": findings.shape_claim,
    "ExplanationOfBenefit": findings.shape_claim,
}
"""The types that the criteria read, each with what is copied of it."""
