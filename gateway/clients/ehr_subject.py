"""Whose resource is this: the check that keeps another patient's record out of a case.

Source: security T15; tools/hapi-ehr (an empty or ignored parameter answers with every patient).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from gateway.clients.endpoint import Endpoint
from gateway.fhir import Json

SUBJECT_ELEMENTS = ("subject", "patient", "beneficiary", "for")
"""Elements that name whose record a resource is."""
SHARED_TYPES = frozenset(
    {
        "Binary",
        "Device",
        "Endpoint",
        "HealthcareService",
        "InsurancePlan",
        "Library",
        "Location",
        "Medication",
        "Organization",
        "PlanDefinition",
        "Practitioner",
        "PractitionerRole",
        "Provenance",
        "Questionnaire",
        "Schedule",
        "Slot",
        "Substance",
        "ValueSet",
    }
)
"""Types that belong to no single patient; Provenance is judged by its targets."""

Belonging = Literal["own", "foreign", "unknown"]


def whose(resource: Json, patient_id: str, endpoint: Endpoint) -> Belonging:
    """Whether `resource` belongs to that patient of that EHR.

    `unknown` when a type that should name its patient does so only by identifier or display, or not at all.
    """
    kind = resource.get("resourceType")
    if kind == "Patient":
        return "own" if resource.get("id") == patient_id else "foreign"
    if kind in SHARED_TYPES:
        return "own"
    if kind == "Appointment":
        return _appointment(resource, patient_id, endpoint)
    named = [resource[name] for name in SUBJECT_ELEMENTS if isinstance(resource.get(name), Mapping)]
    verdicts = {_names(reference, patient_id, endpoint) for reference in named}
    if "foreign" in verdicts:
        return "foreign"
    return "own" if "own" in verdicts else "unknown"


def _names(reference: Mapping[str, Any], patient_id: str, endpoint: Endpoint) -> Belonging:
    text = reference.get("reference")
    if not isinstance(text, str) or not text:
        return "unknown"
    return "own" if endpoint.relative(text) == f"Patient/{patient_id}" else "foreign"


def _appointment(resource: Json, patient_id: str, endpoint: Endpoint) -> Belonging:
    """An appointment names its patient among the participants."""
    actors = [item.get("actor") for item in resource.get("participant") or () if isinstance(item, Mapping)]
    references = [str(actor.get("reference", "")) for actor in actors if isinstance(actor, Mapping)]
    patients = {endpoint.relative(text) for text in references if "Patient/" in text}
    if not patients:
        return "unknown"
    return "own" if patients == {f"Patient/{patient_id}"} else "foreign"
