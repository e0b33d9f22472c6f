"""What the criteria get to see of a chart, and what they say when they cannot decide."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from gateway.clinical.criteria_record import PreparedChart, prepare_chart
from gateway.clinical.evaluate import evaluate
from gateway.clinical.rules import load_concepts
from gateway.errors import ReasoningError
from gateway.fhir.json import dump_json
from gateway.reasoning.record import RecordSnapshot
from tests.clinical_charts import (
    LOCAL,
    NOW,
    RULES,
    RX,
    ZONE,
    base,
    both,
    concept,
    condition,
    drop,
    drug,
    element,
    judge,
    observation,
    put,
    ref,
    session,
)
from tests.criteria_mutants import Json, criteria, instead, with_mistake

OTHER = {"resourceType": "Patient", "id": "q", "birthDate": "1990-01-01"}


def _prepared(*resources: Json, zone: str = ZONE) -> PreparedChart:
    chart = base() | {resource["id"]: resource for resource in resources}
    return prepare_chart(RecordSnapshot(chart.values()), chart["order"], zone, frozenset({LOCAL}))


def _copy(name: str, *resources: Json) -> Any:
    found = _prepared(*resources).record.find(name)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("2026-01-06T07:30:00Z", "2026-01-05"),
        ("2026-01-05T23:30:00-08:00", "2026-01-05"),
        ("2026-01-05", "2026-01-05"),
        ("2026-01", None),
        ("2026-13-45", None),
        ({"x": 1}, None),
        ("9999-12-31", "8899-12-31"),
        ("0001-01-01", "1000-01-01"),
    ],
)
def test_a_day_of_treatment_is_the_practice_s(text: Any, day: str | None) -> None:
    assert _copy("Procedure/s1", session("2026-01-12") | {"id": "s1", "performedDateTime": text}).get(
        "performedDateTime"
    ) == (day)


@pytest.mark.parametrize(("text", "kept"), [("2026-01", "2026-01"), ("2026", "2026"), ("2026-01-05", "2026-01-05")])
def test_an_onset_may_be_partial(text: str, kept: str) -> None:
    assert _copy("Condition/neck", condition(onsetDateTime=text))["onsetDateTime"] == kept


def test_the_copy_has_what_is_asked_and_no_name_or_address() -> None:
    named = base()["p"] | {"name": [{"family": "Zimtstern"}], "telecom": [{"value": "+1-555-0100"}]}
    lab = observation("x", "2026-02-01") | {"id": "lab", "code": concept("2345-7", "http://loinc.org")}
    found = _prepared(named, lab, drug(note=[{"text": "Zimtstern called"}]))
    content = b"".join(map(dump_json, found.record.all()))
    assert b"Zimtstern" not in content
    assert b"555-0100" not in content
    assert found.record.find("Observation/lab") is None


def test_codes_stand_under_one_system_and_in_written_form() -> None:
    code = {"coding": [{"system": "urn:oid:2.16.840.1.113883.6.90", "code": "m542"}, {"code": "no system"}]}
    (coding,) = _copy("Condition/neck", condition(code=code))["code"]["coding"]
    assert coding == {"system": "http://hl7.org/fhir/sid/icd-10-cm", "code": "M54.2"}


def test_a_drug_is_read_through_its_reference() -> None:
    inside = {"resourceType": "Medication", "id": "m", "code": concept("198014", RX)}
    order = drug(contained=[inside], medicationReference=ref("#m"))
    del order["medicationCodeableConcept"]
    assert _copy("MedicationRequest/drug", order)["medicationCodeableConcept"]["coding"][0]["code"] == "198014"
    assert element(judge(put(order)), "PHARM").status == "met"


def test_a_reference_out_of_the_record_leads_nowhere() -> None:
    found = _copy("MedicationRequest/drug", drug(reasonReference=[ref("Condition/gone"), ref("Condition/neck")]))
    assert found["reasonReference"] == [{"display": "not in the record"}, {"reference": "Condition/neck"}]


def test_a_resource_without_id_is_evidence_all_the_same() -> None:
    nameless = session("2026-02-05")
    del nameless["id"]
    chart = [*base().values(), nameless]
    record = RecordSnapshot(chart)
    found = evaluate(record, base()["order"], RULES["ill-novitas"], load_concepts(), ZONE, NOW)
    assert element(found, "PT_SESSIONS").value == 9
    assert "Procedure/" in element(found, "PT_SESSIONS").evidence


@pytest.mark.threat("T27")
def test_evidence_of_another_patient_never_counts() -> None:
    strange = [session(f"2026-02-0{day}") | {"id": f"q{day}", "subject": ref("Patient/q")} for day in range(1, 7)]
    found = judge(both(drop("s2026"), put(OTHER, *strange)))
    assert element(found, "PT_SESSIONS").value == 0
    assert any(note.startswith("OTHER_PATIENT: ") for note in found.advisories)
    assert not any(note.startswith("OTHER_PATIENT") for note in judge(put(OTHER)).advisories)


def test_a_verdict_names_the_criteria_that_decided() -> None:
    right = criteria(base(), RULES["ill-novitas"])
    assert judge().criteria == right.label
    assert right.label.startswith("ConservativeCare|1.0.0 sha256:")
    other = with_mistake("ConservativeCare", "Covered days", instead("DayCount", name="Anything else"))
    assert criteria(base(), RULES["ill-novitas"], other).label != right.label


def test_criteria_that_fail_give_no_verdict() -> None:
    broken = with_mistake("ConservativeCare", "Covered days", instead("DayCount", name="Nothing of that name"))
    found = criteria(base(), RULES["ill-novitas"], broken)
    with pytest.raises(ReasoningError) as raised:
        found.value("VERDICT")
    assert raised.value.reason.startswith("criteria.elm.")
    assert "Decide by hand" in raised.value.diagnostics()
    assert found.element("PT_SESSIONS")["status"] == "met"


def test_a_row_of_the_criteria_names_what_decided_and_when_time_helps() -> None:
    found = criteria(base() | {"drug": drug(authoredOn="2026-01-20")}, RULES["ill-novitas"]).element("PHARM")
    assert set(found) == {"status", "value", "threshold", "reason", "evidence", "resumes"}
    assert (found["status"], found["value"], found["threshold"], found["reason"]) == ("unmet", 27, 28, "too_short")
    assert found["evidence"] == ("MedicationRequest/drug",)
    assert found["resumes"] is None or isinstance(found["resumes"], date)
