"""The record of an attestation: what the clinician thought, and who says so.

Urgency is not encoded here: it stands on the order. Source: spec/clinical.md §4.2; spec/provenance.md §3.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from gateway.clinical.concepts import Concepts
from gateway.clinical.instruments import RedFlagTemplate
from gateway.fhir import Json

_PARTICIPANT: Final = "http://terminology.hl7.org/CodeSystem/provenance-participant-type"
_REASON: Final = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
GATEWAY: Final = "prior-authorization gateway"


@dataclass(frozen=True, slots=True, kw_only=True)
class Signing:
    """Who attests, for whom, and when."""

    clinician: Json
    """Reference to the practitioner."""
    organization: Json
    """Reference to the practice."""
    device: Json
    """Reference to the gateway."""
    at: datetime
    """Instant of the attestation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Basis:
    """What an impression rests on."""

    subject: Json
    """Reference to the patient."""
    encounter: Json | None
    """Reference to the visit of the order."""
    effective: str
    """Date of the examination."""
    findings: tuple[tuple[str, str], ...]
    """(reference, words) of what was found and is present."""
    examined: tuple[str, ...]
    """References of everything that was asked or examined."""
    problems: tuple[str, ...]
    """References of the problems concerned."""
    order: str
    """Reference of the order."""


def build_impression(
    template: RedFlagTemplate, basis: Basis, signing: Signing, concepts: Concepts, summary: str
) -> dict[str, Any]:
    """The assessment of a clinician: its category, what was examined, what was found and on what basis."""
    category = _local(concepts, template.screen, template.label)
    findings: list[dict[str, Any]] = [
        {"itemCodeableConcept": category, "itemReference": {"reference": reference}, "basis": words}
        for reference, words in basis.findings
    ]
    made: dict[str, Any] = {
        "resourceType": "ClinicalImpression",
        "status": "completed",
        "code": _local(concepts, concepts.red_flags.attestation, "red-flag attestation"),
        "subject": basis.subject,
        "encounter": basis.encounter,
        "effectiveDateTime": basis.effective,
        "date": signing.at.isoformat(timespec="seconds"),
        "assessor": signing.clinician,
        "problem": [{"reference": reference} for reference in basis.problems],
        "investigation": [{"code": {"text": template.label}, "item": _references(basis.examined)}],
        "summary": summary,
        "finding": findings or [{"itemCodeableConcept": category}],
        "supportingInfo": [{"reference": basis.order}],
    }
    return {key: value for key, value in made.items() if value not in (None, [])}


def build_attestation_record(
    targets: Sequence[str], signing: Signing, concepts: Concepts, *, activity: str, statement: Mapping[str, Any]
) -> dict[str, Any]:
    """The Provenance in which a clinician attests; `statement` is a Reference to the exact words by their digest."""
    return {
        "resourceType": "Provenance",
        "target": _references(targets),
        "recorded": signing.at.isoformat(timespec="seconds"),
        "reason": [{"coding": [{"system": _REASON, "code": "COVAUTH"}]}],
        "activity": _local(concepts, activity),
        "agent": [
            _agent(concepts.red_flags.attester_role, signing.clinician, signing.organization),
            _agent("assembler", signing.device, signing.organization),
        ],
        "entity": [{"role": "source", "what": dict(statement)}],
    }


def build_author_record(targets: Sequence[str], signing: Signing, statement: Mapping[str, Any]) -> dict[str, Any]:
    """The Provenance of a diagnosis that a clinician made and the gateway wrote down."""
    system = "http://terminology.hl7.org/CodeSystem/v3-DataOperation"
    return {
        "resourceType": "Provenance",
        "target": _references(targets),
        "recorded": signing.at.isoformat(timespec="seconds"),
        "activity": {"coding": [{"system": system, "code": "UPDATE"}]},
        "agent": [
            _agent("author", signing.clinician, signing.organization),
            _agent("assembler", signing.device, signing.organization),
        ],
        "entity": [{"role": "source", "what": dict(statement)}],
    }


def _agent(role: str, who: Json, organization: Json) -> dict[str, Any]:
    coding = {"system": _PARTICIPANT, "code": role}
    return {"type": {"coding": [coding]}, "who": dict(who), "onBehalfOf": dict(organization)}


def _references(targets: Sequence[str]) -> list[dict[str, str]]:
    return [{"reference": target} for target in targets]


def _local(concepts: Concepts, code: str, label: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {"coding": [{"system": concepts.local_system, "code": code}]}
    return {**found, "text": label} if label else found
