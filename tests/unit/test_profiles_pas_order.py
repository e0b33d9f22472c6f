"""Orders under their PAS profiles."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from gateway.errors import InputError
from gateway.profiles.pas_order import derive_order, diagnoses_of, information_in_force, service_days, service_of
from gateway.profiles.urls import pas
from tests import pas_samples as sample

TODAY = date(2026, 3, 2)
REPEAT = {"frequency": 2, "period": 1, "periodUnit": "wk"}

TIMINGS: list[tuple[str, dict[str, Any], dict[str, Any] | None]] = [
    ("count", {"repeat": {"count": 3}}, {"repeat": {"count": 3}}),
    ("frequency", {"repeat": {**REPEAT, "boundsPeriod": {"start": "2026-03-01"}}}, {"repeat": REPEAT}),
    ("bounds only", {"repeat": {"boundsPeriod": {"start": "2026-03-01"}}}, None),
    ("half a frequency", {"repeat": {"frequency": 2}}, None),
    ("events", {"event": ["2026-03-01"]}, None),
]


@pytest.mark.requirement("pas:prof-1")
@pytest.mark.parametrize(("what", "timing", "kept"), TIMINGS, ids=[case[0] for case in TIMINGS])
def test_only_complete_timings_are_kept(what: str, timing: dict[str, Any], kept: dict[str, Any] | None) -> None:
    order = {**sample.order(), "occurrenceTiming": timing}
    assert derive_order(order, sample.coverage(), TODAY).get("occurrenceTiming") == kept


DAYS = [
    ({"occurrenceDateTime": "2026-03-10T09:00:00-08:00"}, (date(2026, 3, 10), None)),
    ({"occurrencePeriod": {"start": "2026-03-10", "end": "2026-04-01"}}, (date(2026, 3, 10), date(2026, 4, 1))),
    ({"occurrenceTiming": {"repeat": {"boundsPeriod": {"start": "2026-03-10"}}}}, (date(2026, 3, 10), None)),
    ({"occurrenceDateTime": "2026-03"}, (None, None)),
    ({}, (None, None)),
]


@pytest.mark.parametrize(("elements", "days"), DAYS)
def test_service_days_are_read_from_any_occurrence(
    elements: dict[str, Any], days: tuple[date | None, date | None]
) -> None:
    assert service_days(elements) == days


@pytest.mark.requirement("pas:prof-2")
@pytest.mark.requirement("pas:prof-3")
@pytest.mark.parametrize(
    ("quantity", "written"),
    [
        ({"value": 2, "unit": "visits"}, {"value": 2, "unit": "visits"}),
        ({"value": 2, "system": "http://unitsofmeasure.org", "code": "{visit}"}, {"value": 2, "unit": "{visit}"}),
        ({"value": 2}, {"value": 2, "unit": "units"}),
        ({"unit": "visits"}, None),
    ],
)
def test_quantity_has_a_unit_and_no_foreign_code(quantity: dict[str, Any], written: dict[str, Any] | None) -> None:
    order = {**sample.order(), "quantityQuantity": quantity}
    assert derive_order(order, sample.coverage(), TODAY).get("quantityQuantity") == written


@pytest.mark.parametrize("order", [sample.device(), sample.medication()], ids=["device", "medication"])
def test_other_orders_take_their_own_profile(order: dict[str, Any]) -> None:
    built = derive_order(order, sample.coverage(), TODAY)
    kind = order["resourceType"].lower()
    assert built["meta"]["profile"] == [pas(f"profile-{kind}")]
    assert (built["status"], built["intent"]) == ("active", "order")
    assert not [name for name in built if name.startswith("occurrence")]
    assert service_of(order)["coding"]


@pytest.mark.parametrize("order", [{"resourceType": "Task"}, {"resourceType": "NutritionOrder"}])
def test_order_without_a_service_code_has_no_item(order: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        service_of(order)


def test_diagnoses_come_from_codes_and_conditions_once_and_at_most_twelve() -> None:
    icd = "http://hl7.org/fhir/sid/icd-10-cm"
    conditions = [
        {"resourceType": "Condition", "id": str(n), "code": {"coding": [{"system": icd, "code": f"M54.{n}"}]}}
        for n in range(20)
    ]
    order = {
        "reasonCode": [{"coding": [{"system": "urn:oid:2.16.840.1.113883.6.90", "code": "m542"}, {"code": "x"}]}],
        "reasonReference": [{"reference": f"Condition/{n}"} for n in (2, 3, 99, *range(4, 20))],
    }
    found = diagnoses_of(order, conditions)
    assert [item.code for item in found[:3]] == ["M54.2", "M54.3", "M54.4"]
    assert [item.type for item in found[:2]] == ["principal", ""]
    assert len(found) == 12


def test_assertion_is_chosen_by_id_or_by_fitting_code() -> None:
    other = sample.coverage_information(assertion="B", covered="covered")
    other["extension"].append({"url": "billingCode", "valueCoding": {"system": sample.CPT, "code": "99999"}})
    order = {**sample.order(), "extension": [sample.coverage_information(assertion="A", covered="covered"), other]}
    chosen = information_in_force(order, sample.coverage(), TODAY)
    assert chosen is not None
    assert chosen.assertion_id == "A"
    named = information_in_force(order, sample.coverage(), TODAY, "A")
    assert named is not None
    assert named.assertion_id == "A"
    assert information_in_force(order, sample.coverage(), TODAY, "Z") is None
