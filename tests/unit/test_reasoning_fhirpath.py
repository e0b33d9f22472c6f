"""FHIRPath: values, types, dates, limits, and where a result came from."""

from __future__ import annotations

import copy
from datetime import datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from gateway.errors import ReasoningError
from gateway.reasoning.fhirpath import FhirPath
from gateway.reasoning.fhirpath_items import typed_item

NOW = datetime(2026, 3, 15, 10, tzinfo=ZoneInfo("America/Los_Angeles"))
PATIENT: dict[str, Any] = {
    "resourceType": "Patient",
    "id": "p",
    "meta": {"versionId": "3"},
    "name": [{"family": "Example", "given": ["Ann", "B."]}, {"family": "Sample"}],
    "birthDate": "1950-01-01",
    "contact": [{"name": {"family": "Next"}}],
    "contained": [{"resourceType": "Organization", "id": "o", "name": "Clinic"}],
    "managingOrganization": {"reference": "#o"},
    "multipleBirthInteger": 2,
}
WEIGHT: dict[str, Any] = {
    "resourceType": "Observation",
    "id": "w",
    "status": "final",
    "code": {"text": "weight"},
    "valueQuantity": {
        "value": Decimal("87.50"),
        "unit": "kg",
        "system": "http://unitsofmeasure.org",
        "code": "kg",
    },
    "effectiveDateTime": "2026-01-12T16:30:00-08:00",
}


@pytest.mark.parametrize(
    "expression, resource, expected",
    [
        ("Patient.name.given", PATIENT, ["Ann", "B."]),
        ("name.where(family = 'Sample').exists()", PATIENT, [True]),
        ("name[0].given[1]", PATIENT, ["B."]),
        ("contact.name.family", PATIENT, ["Next"]),
        ("multipleBirth", PATIENT, [2]),
        ("multipleBirth is integer", PATIENT, [True]),
        ("managingOrganization.resolve().name", PATIENT, ["Clinic"]),
        ("value.value", WEIGHT, [Decimal("87.50")]),
        ("value > 80 'kg'", WEIGHT, [True]),
        ("value = 87500 'g'", WEIGHT, [True]),
        ("value < 5 'cm'", WEIGHT, []),
        ("effective.toDate()", WEIGHT, ["2026-01-12"]),
        ("effective < @2026-01-13", WEIGHT, [True]),
        ("effective = @2026-01-12", WEIGHT, []),
        ("birthDate + 1 month", PATIENT, ["1950-02-01"]),
        ("@2024-01-31 + 1 month", PATIENT, ["2024-02-29"]),
        ("@2024-02-29 - 1 year", PATIENT, ["2023-02-28"]),
        ("today()", PATIENT, ["2026-03-15"]),
        ("0.1 + 0.2", PATIENT, [Decimal("0.3")]),
        ("1 / 3", PATIENT, [Decimal("0.33333333")]),
        ("1 / 0", PATIENT, []),
        ("{} and false", PATIENT, [False]),
        ("{} or false", PATIENT, []),
        ("{} implies true", PATIENT, [True]),
        ("name.given.count() > 1 and birthDate.exists()", PATIENT, [True]),
        ("(1 | 2 | 2).count()", PATIENT, [2]),
        ("name.select(given.first() & ' ' & family)", PATIENT, ["Ann Example", " Sample"]),
        ("iif(name.exists(), 'yes', 'no')", PATIENT, ["yes"]),
        ("name.family.join('/')", PATIENT, ["Example/Sample"]),
        ("(3 | 1 | 2).sort(-$this)", PATIENT, [3, 2, 1]),
        ("'a.b'.matches('a\\\\.b')", PATIENT, [True]),
        ("(1|2|3|4).aggregate($this + $total, 0)", PATIENT, [10]),
        ("name.all(family.exists())", PATIENT, [True]),
        ("%context.id", PATIENT, ["p"]),
        ("name.nothing.exists()", PATIENT, [False]),
    ],
)
def test_expressions(expression: str, resource: dict[str, Any], expected: list[Any]) -> None:
    assert FhirPath(now=NOW).evaluate(expression, resource) == expected


@pytest.mark.parametrize(
    "expression, code",
    [
        ("name.first(.family", "fhirpath.syntax"),
        ("name family", "fhirpath.syntax"),
        ("", "fhirpath.syntax"),
        ("'open", "fhirpath.syntax"),
        ("name.frobnicate()", "fhirpath.unsupported"),
        ("%nobody.name", "fhirpath.variable"),
        ("name.family > 5", "fhirpath.evaluation"),
        ("name.single()", "fhirpath.evaluation"),
        ("name.where(family)", "fhirpath.evaluation"),
        ("name.as(Nonsense)", "fhirpath.evaluation"),
        ("name.take()", "fhirpath.evaluation"),
        ("now()", "fhirpath.evaluation"),
        ("name.memberOf('http://example.org/vs')", "fhirpath.evaluation"),
        ("id.memberOf('http://example.org/vs')", "fhirpath.terminology"),
    ],
)
def test_what_cannot_be_answered_is_a_typed_error(expression: str, code: str) -> None:
    with pytest.raises(ReasoningError) as caught:
        FhirPath().evaluate(expression, PATIENT)
    assert caught.value.reason == code
    assert "Example" not in caught.value.message


@pytest.mark.threat("T6")
@pytest.mark.parametrize(
    "expression",
    [
        "(" * 500 + "1" + ")" * 500,
        "1" + " + 1" * 5000,
        "x" + ".x" * 5000,
        "-" * 2000 + "1",
        "'" + "a" * 11_000 + "'",
        "entry.select(%resource.entry.select(%resource.entry))",
        "entry.where(%resource.entry.where(%resource.entry.where($this.resource.id = '1').exists()).exists())",
        "%resource" + ".combine(%resource.entry)" * 100,
        "entry.resource.id.join('').replace('1', '" + "1" * 9000 + "').replace('1', '11111111111111')",
    ],
)
def test_hostile_expressions_end(expression: str) -> None:
    record = {"resourceType": "Bundle", "entry": [{"resource": {"resourceType": "Patient", "id": "1"}}] * 1500}
    with pytest.raises(ReasoningError) as caught:
        FhirPath(now=NOW).evaluate(expression, record)
    assert caught.value.reason == "fhirpath.limit"


def test_inputs_are_not_changed() -> None:
    before = copy.deepcopy(PATIENT)
    variables = {"other": {"resourceType": "Patient", "name": [{"family": "Else"}]}}
    FhirPath(now=NOW).evaluate("%other.name.family | descendants() | name.given", PATIENT, variables)
    assert before == PATIENT
    assert variables == {"other": {"resourceType": "Patient", "name": [{"family": "Else"}]}}


def test_now_is_one_instant_in_the_zone_of_the_session() -> None:
    assert FhirPath(now=NOW).evaluate("now()", {}) == ["2026-03-15T10:00:00.000-07:00"]


def test_a_value_knows_its_element() -> None:
    (item,) = FhirPath().trace("name.first().given.last()", PATIENT)
    assert [(place.resource["id"], place.path) for place in item.places()] == [("p", "Patient.name[0].given[1]")]


def test_a_computed_value_knows_all_it_rests_on() -> None:
    bundle = {"resourceType": "Bundle", "entry": [{"resource": PATIENT}, {"resource": WEIGHT}]}
    (item,) = FhirPath().trace("entry.resource.id.count()", bundle)
    assert [(place.resource["id"], place.path) for place in item.places()] == [
        ("p", "Patient.id"),
        ("w", "Observation.id"),
    ]


def test_a_constant_chosen_by_a_test_rests_on_what_was_tested() -> None:
    (item,) = FhirPath().trace("iif(name.exists(), true, {})", PATIENT)
    assert {place.path for place in item.places()} == {"Patient.name[0]", "Patient.name[1]"}


def test_part_of_a_response_has_typed_children() -> None:
    item = typed_item({"linkId": "a", "answer": [{"valueDate": "2026-03-15"}]}, "QuestionnaireResponse.item")
    assert FhirPath().evaluate("answer.value > @2026-03-14", item) == [True]


def test_variables_may_be_lists_and_empty() -> None:
    engine = FhirPath()
    assert engine.evaluate("%codes.count()", {}, {"codes": ["a", "b"]}) == [2]
    assert engine.evaluate("%nothing.exists()", {}, {"nothing": None}) == [False]


def test_floats_of_a_careless_reader_become_exact() -> None:
    assert FhirPath().evaluate("value.value * 3", {**WEIGHT, "valueQuantity": {"value": 0.1}}) == [Decimal("0.3")]


def test_membership_is_asked_of_the_session() -> None:
    asked: list[str] = []

    def member_of(url: str, value: Any) -> bool:
        asked.append(url)
        return bool(value["text"] == "weight")

    assert FhirPath(member_of=member_of).evaluate("code.memberOf('http://example.org/vs')", WEIGHT) == [True]
    assert asked == ["http://example.org/vs"]
