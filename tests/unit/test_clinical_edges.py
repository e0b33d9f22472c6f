"""Entries that say nothing, contradict themselves or come in other codes: they never help a verdict along."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from gateway.clinical.chart import order_day
from tests.clinical_charts import (
    ICD,
    NOW,
    RULES,
    SCT,
    ZONE,
    Change,
    Json,
    both,
    concept,
    condition,
    drop,
    element,
    judge,
    ndi,
    observation,
    put,
)
from tests.region_charts import attested

SCREENS = ("rf1", "rf2", "rf3", "rf4", "rf5", "rf6")
LOINC = "http://loinc.org"
NULL = "http://terminology.hl7.org/CodeSystem/v3-NullFlavor"


def screens(**value: Any) -> Change:
    """All six screens with one answer, and a reflex code as the first reason of the order."""

    def change(chart: dict[str, Json]) -> None:
        put(*(observation(screen, "2026-02-01", **value) for screen in SCREENS))(chart)
        chart["order"].update(reasonReference=[], reasonCode=[concept("R29.2", ICD), concept("M54.2", ICD)])

    return change


@pytest.mark.parametrize(
    "answer",
    [
        {"valueBoolean": False},
        {"valueCodeableConcept": concept("373067005", SCT)},
        {"valueCodeableConcept": concept("LA32-8", LOINC)},
        {"valueCodeableConcept": concept("2667000", SCT)},
    ],
)
def test_only_six_answers_of_no_let_a_sign_code_pass(answer: Json) -> None:
    found = judge(screens(**answer))
    assert (found.verdict, found.advisories) == ("PASS", ())


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"dataAbsentReason": {"text": "not asked"}},
        {"valueString": "no"},
        {"valueCodeableConcept": {"text": "declined"}},
        {"valueCodeableConcept": concept("261665006", SCT)},
        {"valueCodeableConcept": concept("ASKU", NULL)},
        {
            "valueCodeableConcept": {
                "coding": [*concept("LA33-6", LOINC)["coding"], *concept("LA32-8", LOINC)["coding"]]
            }
        },
    ],
)
def test_a_screen_without_yes_or_no_is_no_negative_screen(answer: Json) -> None:
    found = judge(screens(**answer))
    assert (found.verdict, found.reason) == ("RED_FLAG_INCOMPLETE", "trigger_code")
    assert any(line.startswith("SCREEN_MISSING") for line in found.advisories)


@pytest.mark.parametrize("coded", [("373066001", SCT), ("LA33-6", LOINC), ("52101004", SCT)])
def test_yes_in_any_coding_raises_the_question(coded: tuple[str, str]) -> None:
    found = judge(put(observation("rf2", "2026-02-01", valueCodeableConcept=concept(*coded))))
    assert (found.verdict, found.reason) == ("RED_FLAG_INCOMPLETE", "screen")


@pytest.mark.parametrize(
    "ending", [{"abatementString": "gone"}, {"abatementDateTime": "last year"}, {"abatementAge": {"value": 75}}]
)
def test_an_end_of_no_known_day_ends_a_problem_without_status(ending: Json) -> None:
    def change(chart: dict[str, Json]) -> None:
        del chart["neck"]["clinicalStatus"]
        chart["neck"].update(ending)

    assert judge(change).reason == "INDICATION"


@pytest.mark.parametrize(
    ("status", "reason"), [("active", ""), ("Resolved", "INDICATION"), ("gone", "INDICATION"), ("relapse", "")]
)
def test_a_status_that_is_not_known_is_no_active_problem(status: str, reason: str) -> None:
    assert judge(lambda chart: chart["neck"].update(clinicalStatus=concept(status))).reason == reason


def _repeat(chart: dict[str, Json]) -> Json:
    found: Json = chart["drug"]["dosageInstruction"][0]["timing"]["repeat"]
    return found


def _dosed(*rates: Json) -> Change:
    return lambda chart: chart["drug"]["dosageInstruction"][0].update(doseAndRate=list(rates))


def _timed(**values: Any) -> Change:
    return lambda chart: _repeat(chart).update(values)


@pytest.mark.parametrize(
    ("change", "status"),
    [
        (_dosed({"doseRange": {"high": {"value": Decimal("1.5")}}}), "met"),
        (_dosed({"doseQuantity": {}}), "unmet"),
        (_dosed({"doseQuantity": None}), "unmet"),
        (_dosed({"doseQuantity": {"value": 0}}), "unmet"),
        (_dosed({"doseRange": {"low": {"unit": "mg"}}}), "unmet"),
        (_timed(frequency=None), "unmet"),
        (_timed(frequency=0), "unmet"),
        (_timed(period={}), "unmet"),
    ],
)
def test_a_detail_without_a_number_is_no_detail(change: Change, status: str) -> None:
    assert element(judge(change), "PHARM").status == status


@pytest.mark.parametrize(
    ("length", "days"), [(42, 42), (Decimal("42.0"), 42), (Decimal("27.000"), 27), (Decimal("42.5"), 0)]
)
def test_whole_days_may_carry_zeros(length: Any, days: int) -> None:
    def change(chart: dict[str, Json]) -> None:
        del _repeat(chart)["boundsPeriod"]
        _repeat(chart)["boundsDuration"] = {"value": length, "code": "d"}

    assert element(judge(change), "PHARM").value == days


def test_items_answered_twice_are_blanks() -> None:
    twice = ndi("2026-02-16", 20)
    twice["item"] += ndi("2026-02-16", 50)["item"][:3]
    assert element(judge(put(twice)), "OUTCOME").status == "unmet"
    twice["item"] = [*twice["item"][:10], twice["item"][9]]
    assert element(judge(put(twice)), "OUTCOME").status == "met"


@pytest.mark.parametrize("written", ["2026-02", "soon", "", None, 20260216])
def test_an_order_whose_date_names_no_day_says_that_today_is_used(written: Any) -> None:
    _, notes = order_day({"authoredOn": written}, ZONE, NOW)
    assert [note.partition(":")[0] for note in notes] == ["DATA_ERROR"]
    assert order_day({}, ZONE, NOW)[1] == ()


def test_a_later_screen_that_says_nothing_replaces_an_earlier_no() -> None:
    later = observation("rf2", "2026-02-02", valueCodeableConcept=concept("UNK", NULL))
    found = judge(both(screens(valueBoolean=False), put(later)))
    assert found.verdict == "RED_FLAG_INCOMPLETE"


@pytest.mark.parametrize(
    ("request_", "verdict"),
    [
        ({"authoredOn": "2026-02-16"}, "RED_FLAG_BYPASS"),
        ({"authoredOn": "2026-02-09"}, "RED_FLAG_BYPASS"),
        ({}, "RED_FLAG_BYPASS"),
        ({"authoredOn": "2026-02-08"}, "RED_FLAG_INCOMPLETE"),
        ({"authoredOn": "2023-01-01"}, "RED_FLAG_INCOMPLETE"),
        ({"authoredOn": "2026-02-16", "doNotPerform": True}, "RED_FLAG_INCOMPLETE"),
        ({"authoredOn": "2026-02-16", "status": "completed"}, "RED_FLAG_INCOMPLETE"),
    ],
)
def test_a_test_is_pending_only_while_its_order_is_recent(request_: Json, verdict: str) -> None:
    ordered = {"resourceType": "ServiceRequest", "id": "crp", "status": "active", "intent": "order"}
    found = [observation(code, "2026-02-16", valueBoolean=True) for code in ("fever-history", "bacteremia")]
    chart = put(*attested("rf3"), *found, {**ordered, "code": concept("1988-5", LOINC), **request_})
    assert judge(chart).verdict == verdict


def _said(change: Change, *codes: str, rule: str = "ill-ngs") -> None:
    found = judge(change, rule)
    assert found.verdict == "PASS"
    assert [line.partition(":")[0] for line in found.advisories if not line.startswith("SCREEN")] == list(codes)


def test_what_counts_with_a_warning_has_one() -> None:
    _said(lambda chart: None)
    _said(lambda chart: chart["neck"].pop("clinicalStatus"), "STATUS_MISSING")
    _said(lambda chart: chart["drug"].pop("reasonReference"), "NO_REASON")
    _said(lambda chart: chart["plan"].pop("addresses"), "NO_REASON")
    old = condition(id="old", code=concept("M54.50", ICD))
    del old["clinicalStatus"]
    _said(put(old))


@pytest.mark.parametrize(
    ("last", "status"), [({}, "met"), ({"comparator": "<"}, "unmet"), ({"comparator": ">="}, "unmet")]
)
def test_less_than_a_number_is_no_score(last: Json, status: str) -> None:
    def total(day: str, value: int, **more: Any) -> Json:
        quantity = {"value": value, "code": "{score}", **more}
        found = observation("total", day, valueQuantity=quantity)
        return {**found, "code": concept("82237-9", LOINC)}

    chart = both(drop("ndi-"), put(total("2026-01-07", 22), total("2026-02-16", 20, **last)))
    assert element(judge(chart), "OUTCOME").status == status


def test_agents_that_a_row_always_asks_are_not_blamed_on_a_stopped_one() -> None:
    row = RULES["ill-novitas"].overlaid({"pharm": {"min_agents": 2}})
    found = element(judge(rule=row), "PHARM")
    assert (found.status, found.line) == ("unmet", "1 agent was tried; 2 are asked.")
