"""Resources the gateway makes about a case itself, and the words that lists show of its patient."""

from __future__ import annotations

from datetime import date
from typing import Any

from gateway.cases.states import CaseState
from gateway.clock import write_instant
from gateway.fhir import Json
from gateway.fhir.json import dump_json
from gateway.store.rows import CaseRow

CASE_SYSTEM = "urn:ietf:rfc:3986"
"""Identifier system of a case: its value is `urn:uuid:<case id>`."""
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
    names = [name for name in patient.get("name") or () if isinstance(name, dict)]
    chosen = next((name for name in names if name.get("use") == "official"), names[0] if names else {})
    given = " ".join(str(part) for part in chosen.get("given") or () if part)
    family = str(chosen.get("family") or chosen.get("text") or "")
    return {
        "patient_label": ", ".join(part for part in (family, given) if part),
        "patient_birth_on": _day(patient.get("birthDate")),
        "patient_mrn": _record_number(patient),
    }


def _day(text: Any) -> date | None:
    try:
        return date.fromisoformat(str(text))
    except ValueError:
        return None


def _record_number(patient: Json) -> str:
    for identifier in patient.get("identifier") or ():
        codings = (identifier.get("type") or {}).get("coding") or ()
        if any(coding.get("code") == "MR" for coding in codings):
            return str(identifier.get("value", ""))
    return ""
