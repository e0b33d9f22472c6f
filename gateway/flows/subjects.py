"""Resources the gateway makes about a case itself, and the words that lists show of its patient."""

from __future__ import annotations

from typing import Any

from gateway.cases.states import CaseState
from gateway.clock import write_instant
from gateway.fhir import Json
from gateway.fhir.json import dump_json
from gateway.fhir.reading import calendar_day, codings, objects, text, texts
from gateway.store.rows import CaseRow

CASE_SYSTEM = "urn:ietf:rfc:3986"
"""Identifier system of a case: its value is `urn:uuid:<case id>`."""
MAX_LABEL = 200
"""Longest name or number that lists show."""
_S = CaseState
TASK_STATUS = {
    _S.RECEIVED: "received",
    _S.HELD: "on-hold",
    _S.NEEDS_ATTENTION: "on-hold",
    _S.APPROVED: "completed",
    _S.APPROVED_MODIFIED: "completed",
    _S.PARTIALLY_APPROVED: "completed",
    _S.DENIED: "completed",
    _S.NOT_REQUIRED: "completed",
    _S.NOT_COVERED: "completed",
    _S.DOCUMENTED: "completed",
    _S.CANCELLED: "cancelled",
    _S.EXPIRED: "failed",
}
"""Task.status of a state; every other state is in-progress."""


def case_task(case: CaseRow) -> bytes:
    """The case as a FHIR Task, exact bytes: what it is about, where it stands, what the payer answered."""
    state = CaseState(case.state)
    task: dict[str, Any] = {
        "resourceType": "Task",
        "id": case.case_id,
        "identifier": [case_identifier(case)],
        "status": TASK_STATUS.get(state, "in-progress"),
        "businessStatus": {"text": case.state.replace("_", " ")},
        "intent": "order",
        "code": {"text": "prior authorization"},
        "focus": {"reference": case.order_reference},
        "for": {"reference": case.patient_reference},
        "authoredOn": write_instant(case.created_at),
        "lastModified": write_instant(case.updated_at),
        "insurance": [{"reference": case.coverage_reference}],
    }
    if case.authorization_number:
        number = {"type": {"text": "authorization number"}, "valueString": case.authorization_number}
        task["output"] = [number]
    return dump_json(task)


def case_identifier(case: CaseRow) -> dict[str, str]:
    """Business identifier of a case, the same at every place that knows it."""
    return {"system": CASE_SYSTEM, "value": f"urn:uuid:{case.case_id}"}


def labels(patient: Json | None) -> dict[str, Any]:
    """Fields of a case row that let staff recognise the patient; empty where nothing is known yet."""
    if patient is None:
        return {}
    names = objects(patient.get("name"))
    chosen = next((name for name in names if name.get("use") == "official"), names[0] if names else {})
    family = text(chosen.get("family")) or text(chosen.get("text"))
    given = " ".join(texts(chosen.get("given")))
    return {
        "patient_label": ", ".join(part for part in (family, given) if part)[:MAX_LABEL],
        "patient_birth_on": calendar_day(patient.get("birthDate")),
        "patient_mrn": _record_number(patient)[:MAX_LABEL],
    }


def _record_number(patient: Json) -> str:
    for identifier in objects(patient.get("identifier")):
        if any(coding.get("code") == "MR" for coding in codings(identifier.get("type"))):
            return text(identifier.get("value"))
    return ""
