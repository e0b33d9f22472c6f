"""What a state means for people, and the case as a Task."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import pytest

from gateway.cases.states import CLOSED, DECIDED, MOVING, CaseState
from gateway.fhir.check import check_structure
from gateway.fhir.json import parse_json
from gateway.flows.moves import standing
from gateway.flows.subjects import case_task, labels
from gateway.store.rows import CaseRow

NOW = datetime(2026, 3, 2, 17, 0, tzinfo=UTC)
CASE = CaseRow(
    tenant_id="main",
    case_id="5c2a5a0e-0000-4000-8000-000000000001",
    order_key="k",
    state="received",
    created_at=NOW,
    updated_at=NOW,
    order_reference="ServiceRequest/o1",
    patient_reference="Patient/p1",
    coverage_reference="Coverage/c1",
)


@pytest.mark.parametrize("state", CaseState)
def test_every_state_has_a_mover_and_a_sentence(state: CaseState) -> None:
    row = standing(state)
    assert row["state"] == state
    assert row["next_action"].endswith(".")
    assert row["is_open"] == (state not in DECIDED | CLOSED)
    if state in MOVING:
        assert row["move"] == "nobody", "people have nothing to do while the gateway works"
    assert standing(state, "Call the payer.")["next_action"] == "Call the payer."


@pytest.mark.parametrize("state", CaseState)
def test_a_case_is_a_task_at_every_moment(state: CaseState) -> None:
    body = case_task(replace(CASE, state=state.value, authorization_number="AUTH1"))
    assert check_structure(body) == []
    task = parse_json(body)
    assert task["identifier"] == [{"system": "urn:ietf:rfc:3986", "value": f"urn:uuid:{CASE.case_id}"}]
    assert task["businessStatus"]["text"] == state.value.replace("_", " ")
    assert task["status"] in ("received", "in-progress", "on-hold", "completed", "cancelled", "failed")
    assert (task["status"] == "completed") == (state in DECIDED | (CLOSED - {CaseState.CANCELLED, CaseState.EXPIRED}))
    assert task["output"][0]["valueString"] == "AUTH1"


def test_a_case_without_a_number_says_nothing_about_one() -> None:
    assert "output" not in parse_json(case_task(CASE))


@pytest.mark.parametrize(
    ("patient", "shown"),
    [
        (None, {}),
        ({}, {"patient_label": "", "patient_birth_on": None, "patient_mrn": ""}),
        (
            {
                "name": [{"family": "Old"}, {"use": "official", "family": "Zzyxqa", "given": ["Canary", "B"]}],
                "birthDate": "1950-02-03",
                "identifier": [{"value": "1"}, {"type": {"coding": [{"code": "MR"}]}, "value": "17"}],
            },
            {"patient_label": "Zzyxqa, Canary B", "patient_birth_on": date(1950, 2, 3), "patient_mrn": "17"},
        ),
        ({"name": [{"text": "Zzyxqa"}]}, {"patient_label": "Zzyxqa", "patient_birth_on": None, "patient_mrn": ""}),
        (
            {"name": "x", "birthDate": "1950", "identifier": [5, {"type": "MR"}]},
            {"patient_label": "", "patient_birth_on": None, "patient_mrn": ""},
        ),
    ],
)
def test_a_patient_is_recognised_by_name_birth_date_and_number(patient: Any, shown: dict[str, Any]) -> None:
    assert labels(patient) == shown


def test_a_name_without_end_is_cut() -> None:
    assert len(labels({"name": [{"family": "x" * 5000}]})["patient_label"]) == 200
