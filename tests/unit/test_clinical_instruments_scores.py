"""Scores of the measures that are entered here, exact to the last digit."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from gateway.clinical.chart import open_chart
from gateway.clinical.concepts import Measure, packaged_concepts
from gateway.clinical.instruments_scores import (
    band_of,
    decimal_of,
    mean_observation,
    read_trend,
    scale_observation,
    score_observation,
    score_response,
)
from gateway.clinical.rules import load_rules
from gateway.demo.charts import all_charts
from gateway.reasoning.record import RecordSnapshot

CONCEPTS = packaged_concepts()


def _measure(name: str) -> Measure:
    found = CONCEPTS.measure_named(name)
    assert found is not None
    return found


NDI, PSFS, VAS = _measure("NDI"), _measure("PSFS"), _measure("VAS")
CHARTS = {chart.chart_id: chart for chart in all_charts()}
STRICT = next(rule for rule in load_rules() if rule.rule_id == "default-strict")


def response(*values: int | None) -> dict[str, Any]:
    """A response with these values; None leaves the item out."""
    items = [
        {"linkId": f"ndi-{number}", "answer": [{"valueCoding": {"code": f"ordinal-{value}"}}]}
        for number, value in enumerate(values, 1)
        if value is not None
    ]
    return {"resourceType": "QuestionnaireResponse", "authored": "2026-01-05", "item": items}


@pytest.mark.parametrize(
    ("values", "raw", "percent", "band"),
    [
        ((2, 2, 2, 2, 2, 2, 2, 2, 3, 3), 22, Fraction(44), "moderate"),
        ((0,) * 10, 0, Fraction(0), "none"),
        ((5,) * 10, 50, Fraction(100), "complete"),
        ((2, 2, 2, 2, 2, 2, 2, None, 2, 2), 18, Fraction(40), "moderate"),
        ((1, 1, 1, 1, 1, 1, 1, None, 2, 2), 11, Fraction(220, 9), "mild"),
        ((3, 3, 3, 3, 3, 3, 3, None, None, 3), 24, Fraction(60), "severe"),
        ((3, 3, 3, 3, 3, 3, 3, None, None, None), 21, None, ""),
        ((None,) * 10, 0, None, ""),
    ],
)
def test_one_or_two_blanks_are_prorated_and_three_give_no_score(
    values: tuple[int | None, ...], raw: int, percent: Fraction | None, band: str
) -> None:
    found = score_response(response(*values), NDI)
    assert (found.raw, found.percent, found.band) == (raw, percent, band)
    assert found.answered == sum(value is not None for value in values)


def test_an_unknown_code_and_a_foreign_item_are_no_answers() -> None:
    odd = response(2, 2, 2, 2, 2, 2, 2, 2)
    odd["item"] += [
        {"linkId": "ndi-9", "answer": [{"valueCoding": {"code": "ordinal-6"}}]},
        {"linkId": "other", "answer": [{"valueCoding": {"code": "ordinal-5"}}]},
    ]
    assert score_response(odd, NDI).answered == 8


@pytest.mark.parametrize(
    ("percent", "band"),
    [
        (0, "none"),
        (Fraction(99, 10), "none"),
        (10, "mild"),
        (Fraction(299, 10), "mild"),
        (30, "moderate"),
        (50, "severe"),
        (66, "severe"),
        (68, "severe"),
        (70, "complete"),
        (100, "complete"),
    ],
)
def test_bands_are_half_open(percent: Fraction, band: str) -> None:
    assert band_of(Fraction(percent)) == band


def test_the_total_is_an_observation_in_points_that_says_when_it_is_prorated() -> None:
    whole, partly = response(*[2] * 10), response(2, 2, 2, 2, 2, 2, 2, None, 2, 1)
    own = {"subject": {"reference": "Patient/1"}}
    full = score_observation(whole, score_response(whole, NDI), NDI, own)
    assert full["valueQuantity"]["value"] == 20
    assert full["valueQuantity"]["code"] == "{score}"
    assert full["code"]["coding"][0]["code"] == "82237-9"
    assert "note" not in full
    part = score_observation(partly, score_response(partly, NDI), NDI, own)
    assert part["valueQuantity"]["value"] == Decimal("18.889")
    assert "9 of 10" in part["note"][0]["text"]


def test_a_response_without_a_score_has_no_total() -> None:
    blank = response(1, 1)
    with pytest.raises(ValueError, match="no total"):
        score_observation(blank, score_response(blank, NDI), NDI, {})


def test_numbers_are_never_rounded_more_than_they_must_be() -> None:
    assert decimal_of(Fraction(7)) == 7
    assert decimal_of(Fraction(5, 2)) == Decimal("2.5")
    assert decimal_of(Fraction(7, 3)) == Decimal("2.333")
    assert str(decimal_of(Fraction(1, 2))) == "0.5"


def test_chosen_activities_become_a_mean_with_one_part_each() -> None:
    found = mean_observation(PSFS, CONCEPTS.local_system, [("lift", 2), ("drive", 3), ("sleep", 5)], {})
    assert found["valueQuantity"]["value"] == Decimal("3.333")
    assert [part["valueQuantity"]["value"] for part in found["component"]] == [2, 3, 5]
    assert found["code"]["coding"][0]["code"] == "psfs-mean"


def test_millimetres_stay_millimetres() -> None:
    found = scale_observation(PSFS, {"system": "http://loinc.org", "code": "38214-3"}, 64, "mm", {})
    assert found["valueQuantity"] == {
        "value": 64,
        "unit": "mm",
        "system": "http://unitsofmeasure.org",
        "code": "mm",
    }


def trend_of(chart_id: str, measure: Measure) -> Any:
    """Scores of a worked chart over time, as its strict rule sees them on the day of the order."""
    chart = CHARTS[chart_id]
    record = RecordSnapshot.from_bundle(chart.bundle)
    order = record.find(chart.order_reference)
    assert order is not None
    region = CONCEPTS.region[0]
    on = date.fromisoformat(order["authoredOn"][:10])
    return read_trend(open_chart(record, order, STRICT, CONCEPTS, region, "America/Los_Angeles", on), measure)


@pytest.mark.parametrize(
    ("chart_id", "shown", "bands", "verdict"),
    [
        ("P01", ["44", "42", "40"], {"moderate"}, "4 percentage points better: no relevant improvement."),
        ("P05", ["44", "36", "32"], {"moderate"}, "12 percentage points better: improving."),
        ("P06", ["44", "34"], {"moderate"}, "10 percentage points better: no relevant improvement."),
        ("P02", [], set(), ""),
    ],
)
def test_a_trend_says_what_the_rule_says(chart_id: str, shown: list[str], bands: set[str], verdict: str) -> None:
    found = trend_of(chart_id, NDI)
    assert [point.shown for point in found.points] == shown
    assert {point.band for point in found.points} == bands
    assert found.verdict == verdict
    assert [point.day for point in found.points] == sorted(point.day for point in found.points)


def test_a_scale_has_no_bands() -> None:
    found = trend_of("P05", VAS)
    assert found.points
    assert {point.band for point in found.points} == {""}
    assert (found.unit, found.top) == ("", 10)
