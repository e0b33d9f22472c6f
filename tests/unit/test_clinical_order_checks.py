"""What an order itself must say: its side, plain imaging first, diagnoses that exclude each other."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.clinical.concepts import Concepts, Region
from gateway.clinical.elements import ElementResult, Evaluation
from gateway.clinical.evaluate import evaluate
from gateway.clinical.focus import chosen_concepts, focus
from gateway.clinical.rule_row import Rule
from gateway.clinical.rules import load_concepts
from gateway.errors import SettingsError
from tests.clinical_charts import CPT, ICD, NOW, RULES, ZONE, Change, Json, concept, condition, drop, put, ref
from tests.region_charts import HCPCS, LEFT, RIGHT, low_back, radiograph, record_of, shoulder, site


def sided(*modifiers: str) -> Json:
    """Code of a shoulder radiograph with modifiers."""
    found: Json = radiograph()["code"]
    return {"coding": [*found["coding"], *({"system": HCPCS, "code": modifier} for modifier in modifiers)]}


def _judged(chart: dict[str, Json], rule: str) -> Evaluation:
    return evaluate(record_of(chart), chart["order"], RULES[rule], load_concepts(), ZONE, NOW)


def _element(chart: dict[str, Json], rule: str, name: str) -> ElementResult | None:
    return next((item for item in _judged(chart, rule).elements if item.element == name), None)


def _focus(chart: dict[str, Json], rule: str) -> tuple[Rule, Concepts, Region]:
    region = load_concepts().region_of(chart["order"]["code"]["coding"][0]["code"])
    assert region is not None
    return focus(RULES[rule], load_concepts(), region, chart["order"], record_of(chart))


def _side(order: dict[str, Any], diagnosis: str = "M75.111") -> ElementResult:
    charted = shoulder()
    del charted["order"]["orderDetail"]
    charted["order"].update(order)
    charted["neck"]["code"] = concept(diagnosis, ICD)
    found = _element(charted, "default-shoulder", "LATERALITY")
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("named", "diagnosis", "status", "reason"),
    [
        ({"orderDetail": [concept("RT", HCPCS)]}, "M75.111", "met", "documented"),
        (
            {"code": {"coding": [concept("73221", CPT)["coding"][0], concept("RT", HCPCS)["coding"][0]]}},
            "M75.121",
            "met",
            "documented",
        ),
        ({"bodySite": site("91774008")}, "M75.101", "met", "documented"),
        ({"bodySite": site("16982005") + site(RIGHT)}, "M75.101", "met", "documented"),
        ({"orderDetail": [concept("LT", HCPCS)]}, "M75.112", "met", "documented"),
        ({}, "M75.111", "unmet", "not_documented"),
        ({"bodySite": site("16982005")}, "M75.111", "unmet", "not_documented"),
        ({"orderDetail": [concept("RT", "urn:site")]}, "M75.111", "unmet", "not_documented"),
        ({"orderDetail": [concept("RT", HCPCS), concept("LT", HCPCS)]}, "M75.111", "unmet", "two_sides"),
        ({"orderDetail": [concept("RT", HCPCS)], "bodySite": site(LEFT)}, "M75.111", "unmet", "two_sides"),
        ({"orderDetail": [concept("LT", HCPCS)]}, "M75.111", "unmet", "side_differs"),
        ({"orderDetail": [concept("RT", HCPCS)]}, "M75.110", "indeterminate", "unspecified_side"),
    ],
)
def test_an_order_names_one_side_and_its_diagnosis_agrees(
    named: dict[str, Any], diagnosis: str, status: str, reason: str
) -> None:
    found = _side(named, diagnosis)
    assert (found.status, found.reason) == (status, reason)
    assert found.evidence == ("Condition/neck",)


def test_a_row_that_does_not_ask_has_no_such_elements() -> None:
    assert _element(low_back(), "default-lumbar", "LATERALITY") is None
    assert _element(low_back(), "default-lumbar", "PRIOR_IMAGING") is None


@pytest.mark.parametrize(
    ("change", "status"),
    [
        (put(radiograph()), "met"),
        (put(radiograph(code=concept("73020", CPT))), "met"),
        (put(radiograph(code=sided("RT"))), "met"),
        (put(radiograph(code=sided("LT"))), "unmet"),
        (put(radiograph(code=sided("LT", "RT"))), "met"),
        (put(radiograph(status="preliminary")), "unmet"),
        (put(radiograph(code=concept("73060", CPT))), "unmet"),
        (put(radiograph(effectiveDateTime="2026-02-17")), "unmet"),
        (put(radiograph(effectiveDateTime="2025-08-17")), "met"),
        (put(radiograph(effectiveDateTime="2025-08-16")), "unmet"),
        (put(radiograph(effectiveDateTime=None)), "unmet"),
        (
            put(
                {
                    **radiograph(),
                    "resourceType": "Procedure",
                    "status": "completed",
                    "performedDateTime": "2026-01-06",
                    "bodySite": site("91774008"),
                }
            ),
            "met",
        ),
        (
            put(
                {
                    **radiograph(),
                    "resourceType": "Procedure",
                    "status": "completed",
                    "performedDateTime": "2026-01-06",
                    "bodySite": site("91775009"),
                }
            ),
            "unmet",
        ),
        (drop("radiograph"), "unmet"),
    ],
)
def test_plain_imaging_comes_first(change: Change, status: str) -> None:
    charted = shoulder()
    change(charted)
    found = _element(charted, "default-shoulder", "PRIOR_IMAGING")
    assert found is not None
    assert found.status == status
    assert bool(found.evidence) is (status == "met")


@pytest.mark.parametrize(
    ("other", "noted"),
    [("M51.26", True), ("M54.41", True), ("S39.012A", True), ("M51.360", True), ("M51.361", False), ("M17.11", False)],
)
def test_diagnoses_that_exclude_each_other_are_remarked(other: str, noted: bool) -> None:
    charted = low_back()
    put(condition(id="other", code=concept(other, ICD)))(charted)
    assert _excludes(charted) is noted


def test_a_resolved_diagnosis_excludes_nothing() -> None:
    charted = low_back()
    put(condition(id="other", code=concept("M51.26", ICD), abatementDateTime="2026-01-01"))(charted)
    assert not _excludes(charted)


def _excludes(charted: dict[str, Json]) -> bool:
    notes = _judged(charted, "default-lumbar").advisories
    return any(note.startswith("CODE_EXCLUDES1: ") for note in notes)


def test_the_other_side_is_another_part_of_the_body() -> None:
    rule, _, region = _focus(shoulder(), "default-shoulder")
    assert "M75.111" in rule.indications
    assert "M75.112" not in rule.indications
    assert "91774008" in region.body_sites
    assert "91775009" not in region.body_sites


def test_both_sides_stay_in_view_where_order_and_diagnosis_disagree() -> None:
    charted = shoulder()
    charted["order"]["orderDetail"] = [concept("LT", HCPCS)]
    rule, _, _ = _focus(charted, "default-shoulder")
    assert {"M75.111", "M75.112"} <= set(rule.indications)


def test_the_diagnosis_of_the_encounter_names_the_side_too() -> None:
    charted = shoulder()
    del charted["order"]["reasonReference"], charted["order"]["orderDetail"]
    charted["visit"]["diagnosis"] = [{"condition": ref("Condition/neck"), "rank": 1}]
    assert "M75.112" not in _focus(charted, "default-shoulder")[0].indications


def test_the_row_chooses_examination_and_red_flags() -> None:
    lumbar = chosen_concepts(RULES["default-lumbar"], load_concepts())
    assert lumbar.exam.symptom == "leg-symptom"
    assert lumbar.exam.strength_grades == load_concepts().exam.strength_grades
    assert {flag.screen for flag in lumbar.red_flag} == set(lumbar.red_flags.screens)
    assert chosen_concepts(RULES["default-strict"], load_concepts()) is load_concepts()


@pytest.mark.parametrize("fields", [{"exam_template": "elbow"}, {"red_flags": {"catalog": "elbow"}}])
def test_a_row_that_names_what_the_concepts_lack_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match="default-lumbar: "):
        chosen_concepts(RULES["default-lumbar"].overlaid(fields), load_concepts())
