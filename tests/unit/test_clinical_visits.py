"""Visits of an outside clinic: read exactly, matched to one patient, and refused whole where anything is wrong."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from gateway.clinical.protocol_visits import (
    COLUMNS,
    MAX_BYTES,
    MAX_VISITS,
    Bounds,
    Person,
    Visit,
    build_procedure,
    read_person,
    read_visits,
)
from gateway.errors import InputError, TooLarge
from tests.clinical_charts import CPT, ZONE, concept

BOUNDS = Bounds(
    first=date(2025, 10, 1),
    today=date(2026, 2, 16),
    zone=ZONE,
    counted=frozenset({"97110", "97140"}),
    shown=frozenset({"97161"}),
)
PERSON = Person(
    numbers=frozenset({("urn:mrn", "MRN-1"), ("urn:member", "MEM-1")}),
    birth_date="1950-01-01",
    name=("nonesuch", "amabel"),
)
HEADER = ",".join(COLUMNS)
GOOD = "MRN-1,1950-01-01,2026-01-12,97110,completed"


def csv_of(*rows: str, header: str = HEADER) -> bytes:
    return "\r\n".join([header, *rows]).encode()


def read(raw: bytes, media_type: str = "text/csv", person: Person = PERSON) -> tuple[Visit, ...]:
    return read_visits(raw, media_type, person, BOUNDS)


def patient(**changes: Any) -> dict[str, Any]:
    return {
        "resourceType": "Patient",
        "id": "outside-7",
        "identifier": [{"system": "urn:member", "value": "MEM-1"}],
        "birthDate": "1950-01-01",
        "name": [{"family": "Nonesuch", "given": ["Amabel"]}],
        **changes,
    }


def procedure(**changes: Any) -> dict[str, Any]:
    return {
        "resourceType": "Procedure",
        "status": "completed",
        "code": concept("97110", CPT),
        "subject": {"reference": "Patient/outside-7"},
        "performedPeriod": {"start": "2026-01-12T17:00:00-08:00"},
        **changes,
    }


def bundle(*resources: dict[str, Any], **more: Any) -> bytes:
    entries = [
        {"fullUrl": f"https://pt.example.org/fhir/{item['resourceType']}/{item.get('id', number)}", "resource": item}
        for number, item in enumerate(resources)
    ]
    return json.dumps({"resourceType": "Bundle", "type": "collection", "entry": entries, **more}).encode()


def test_a_table_is_read_in_any_order_of_its_columns() -> None:
    raw = csv_of("97140,2026-01-14,MRN-1,no-show,1950-01-01", header="code,date,mrn,status,birth_date")
    assert read(raw) == (
        Visit(day=date(2026, 1, 14), code="97140", status="missed", counts=False, why_not="did not take place"),
    )


def test_visits_come_sorted_and_once() -> None:
    rows = [GOOD.replace("01-12", "01-19"), GOOD, GOOD, GOOD.replace("97110", "97161"), GOOD.replace("MRN-1", "MEM-1")]
    found = read(csv_of(*rows, ""))
    assert [(visit.day.day, visit.code, visit.counts) for visit in found] == [
        (12, "97110", True),
        (12, "97161", False),
        (19, "97110", True),
    ]
    assert found[1].why_not == "an evaluation is no session"


def test_a_byte_order_mark_and_quotes_are_taken() -> None:
    assert len(read(b"\xef\xbb\xbf" + csv_of('"MRN-1","1950-01-01","2026-01-12","97110","Completed"'))) == 1


REFUSED: list[tuple[str, bytes, str]] = [
    ("no lines", b"", "visits.columns"),
    ("header only", csv_of(), "visits.none"),
    ("another header", csv_of(GOOD, header="mrn,date,code,status"), "visits.columns"),
    ("a further column", csv_of(GOOD + ",x", header=HEADER + ",note"), "visits.columns"),
    ("a column twice", csv_of(GOOD, header=HEADER.replace("mrn", "date")), "visits.columns"),
    ("a cell too many", csv_of(GOOD + ",x"), "visits.cells"),
    ("not UTF-8", HEADER.encode() + b"\n\xff\xfe", "visits.csv"),
    ("an open quote", csv_of('"MRN-1'), "visits.csv"),
    ("a formula", csv_of(GOOD.replace("completed", "=HYPERLINK(1)")), "visits.formula"),
    ("a formula behind a space", csv_of(GOOD.replace("MRN-1", " @x")), "visits.formula"),
    ("a tab", csv_of(GOOD.replace("MRN-1", '"\tx"')), "visits.formula"),
    ("a minus", csv_of(GOOD.replace("97110", "-97110")), "visits.formula"),
    ("another number", csv_of(GOOD, GOOD.replace("MRN-1", "MRN-2")), "visits.patient"),
    ("another birth date", csv_of(GOOD.replace("1950-01-01", "1950-01-02")), "visits.patient"),
    ("no birth date", csv_of(GOOD.replace("1950-01-01", "")), "visits.patient"),
    ("tomorrow", csv_of(GOOD.replace("2026-01-12", "2026-02-17")), "visits.future"),
    ("long ago", csv_of(GOOD.replace("2026-01-12", "2025-09-30")), "visits.old"),
    ("a month only", csv_of(GOOD.replace("2026-01-12", "2026-01")), "visits.date"),
    ("no such day", csv_of(GOOD.replace("2026-01-12", "2026-02-30")), "visits.date"),
    ("another calendar", csv_of(GOOD.replace("2026-01-12", "01/12/2026")), "visits.date"),
    ("a status nobody knows", csv_of(GOOD.replace("completed", "perhaps")), "visits.status"),
    ("a service nobody knows", csv_of(GOOD.replace("97110", "99213")), "visits.code"),
]


@pytest.mark.threat("T32")
@pytest.mark.parametrize("raw, code", [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_a_table_with_anything_wrong_is_refused_whole(raw: bytes, code: str) -> None:
    with pytest.raises(InputError) as caught:
        read(raw)
    assert caught.value.reason == code
    said = caught.value.diagnostics()
    assert not any(value in said for value in ("MRN", "1950", "2026", "97110", "HYPERLINK", "perhaps")), said


@pytest.mark.threat("T3")
def test_size_and_number_are_bounded() -> None:
    for raw in (b"x" * (MAX_BYTES + 1), csv_of(*[GOOD] * (MAX_VISITS + 1)), bundle(patient(), *[procedure()] * 201)):
        with pytest.raises(TooLarge):
            read(raw, "text/csv" if not raw.startswith(b"{") else "application/fhir+json")
    assert len(read(csv_of(*[GOOD] * MAX_VISITS))) == 1


def test_a_bundle_is_read_by_local_days() -> None:
    late = procedure(performedPeriod={"start": "2026-01-13T05:30:00Z"})
    found = read(bundle(patient(), late, procedure(status="not-done", performedPeriod={"start": "2026-01-20"})), "json")
    assert [(visit.day.isoformat(), visit.status) for visit in found] == [
        ("2026-01-12", "attended"),
        ("2026-01-20", "missed"),
    ]


def test_a_procedure_with_two_codes_counts_by_the_one_that_counts() -> None:
    code = {"coding": [{"system": CPT, "code": "97161"}, {"system": CPT, "code": "97140"}]}
    (visit,) = read(bundle(patient(), procedure(code=code)), "json")
    assert (visit.code, visit.counts) == ("97140", True)


MATCHED: list[tuple[str, dict[str, Any], bool]] = [
    ("a number that both know", {}, True),
    ("that number under another name", {"name": [{"family": "Else"}]}, True),
    ("a number of the clinic's own", {"identifier": [{"system": "urn:pt", "value": "9"}]}, True),
    ("no number at all", {"identifier": []}, True),
    ("another number of our system", {"identifier": [{"system": "urn:mrn", "value": "MRN-2"}]}, False),
    ("the clinic's number, another name", {"identifier": [], "name": [{"family": "Else", "given": ["Amabel"]}]}, False),
    ("the clinic's number, no name", {"identifier": [], "name": []}, False),
    ("another birth date", {"birthDate": "1950-01-02"}, False),
    ("a year only", {"birthDate": "1950"}, False),
]


@pytest.mark.parametrize("changes, is_same", [row[1:] for row in MATCHED], ids=[row[0] for row in MATCHED])
def test_a_bundle_must_be_about_the_patient(changes: dict[str, Any], is_same: bool) -> None:
    raw = bundle(patient(**changes), procedure())
    if is_same:
        assert len(read(raw, "json")) == 1
    else:
        with pytest.raises(InputError) as caught:
            read(raw, "json")
        assert caught.value.reason == "visits.patient"


@pytest.mark.parametrize(
    "raw, code",
    [
        (bundle(procedure()), "visits.patient"),
        (bundle(patient(), patient(id="other"), procedure()), "visits.patient"),
        (bundle(patient(), procedure(), procedure(subject={"reference": "Patient/other"})), "visits.patient"),
        (bundle(patient(), procedure(subject={})), "visits.patient"),
        (bundle(patient()), "visits.none"),
        (b'{"resourceType": "Patient"}', "visits.kind"),
        (bundle(patient(), procedure(performedPeriod={"start": "2026"})), "visits.date"),
        (bundle(patient(), procedure(code={"text": "exercise"})), "visits.code"),
    ],
)
def test_a_bundle_with_anything_wrong_is_refused_whole(raw: bytes, code: str) -> None:
    with pytest.raises(InputError) as caught:
        read(raw, "application/fhir+json")
    assert caught.value.reason == code


def test_the_patient_may_be_named_by_the_address_of_its_entry() -> None:
    url = {"reference": "https://pt.example.org/fhir/Patient/outside-7"}
    assert len(read(bundle(patient(), procedure(subject=url)), "json")) == 1


@pytest.mark.parametrize("raw", [b"[]", b"{", b'{"resourceType":"Bundle","resourceType":"x"}', b"\x00"])
def test_what_is_no_json_is_refused(raw: bytes) -> None:
    with pytest.raises(InputError):
        read(raw, "application/fhir+json")


def test_a_patient_without_a_whole_birth_date_matches_nobody() -> None:
    with pytest.raises(InputError):
        read(csv_of(GOOD), person=replace(PERSON, birth_date=""))


def test_a_person_is_known_by_record_and_member_numbers() -> None:
    relationship = {"coding": [{"code": "self"}]}
    coverage = {
        "identifier": [{"system": "urn:member", "value": "M"}],
        "subscriberId": "S",
        "relationship": relationship,
    }
    person = read_person(patient(birthDate="1950-01"), [coverage])
    assert person.values == {"MEM-1", "M", "S"}
    assert (person.birth_date, person.name) == ("", ("nonesuch", "amabel"))


@pytest.mark.threat("T15")
@pytest.mark.parametrize("relationship", [{}, {"coding": [{"code": "child"}]}, {"coding": [{"code": "spouse"}]}])
def test_the_number_of_a_parent_names_no_child(relationship: dict[str, Any]) -> None:
    """Twins share birth date and subscriber; visits of one are not taken for the other."""
    person = read_person(patient(), [{"subscriberId": "FAMILY-1", "relationship": relationship}])
    assert "FAMILY-1" not in person.values


def test_a_confirmed_visit_says_where_it_came_from() -> None:
    visit = Visit(day=date(2026, 1, 12), code="97110", status="attended", counts=True)
    made = build_procedure(visit, {"system": "s", "value": "v"}, "Patient/p", "Condition/c", "", CPT)
    assert "basedOn" not in made
    assert made["performedDateTime"] == "2026-01-12"
    assert "another clinic" in made["note"][0]["text"]
