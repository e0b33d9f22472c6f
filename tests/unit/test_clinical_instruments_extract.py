"""Answers of a template as Observations, as the rules read them."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.clinical.concepts import packaged_concepts
from gateway.clinical.instruments import require_instrument
from gateway.clinical.instruments_extract import Context, answered_on, extract_observations, observation_key

CONCEPTS = packaged_concepts()
CONTEXT = Context(
    subject={"reference": "Patient/1"},
    performer=({"reference": "Practitioner/1"},),
    encounter={"reference": "Encounter/1"},
)


def options_of(questionnaire: dict[str, Any]) -> dict[str, dict[str, dict[str, Any]]]:
    """linkId → option code → coding."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    stack = list(questionnaire["item"])
    while stack:
        item = stack.pop()
        stack += item.get("item", [])
        found[item["linkId"]] = {one["valueCoding"]["code"]: one["valueCoding"] for one in item.get("answerOption", ())}
    return found


def respond(slug: str, **answers: Any) -> dict[str, Any]:
    """A response; `hoffmann__value="52101004"` answers the item `hoffmann.value`."""
    options = options_of(require_instrument(slug).questionnaire)
    items = []
    for name, value in answers.items():
        link_id = name.replace("__", ".").replace("_", "-")
        values = value if isinstance(value, list) else [value]
        items.append({"linkId": link_id, "answer": [_answer(one, options[link_id]) for one in values]})
    return {"resourceType": "QuestionnaireResponse", "item": items}


def _answer(value: Any, options: dict[str, Any]) -> dict[str, Any]:
    if options:
        return {"valueCoding": options[value]}
    if isinstance(value, bool):
        return {"valueBoolean": value}
    if isinstance(value, int):
        return {"valueInteger": value}
    if isinstance(value, dict):
        return {"valueQuantity": value}
    key = "valueDate" if len(value) == 10 and value[4] == "-" else "valueString"
    return {key: value}


def extract(slug: str, **answers: Any) -> dict[str, dict[str, Any]]:
    form = require_instrument(slug).questionnaire
    made = extract_observations(form, respond(slug, **answers), CONCEPTS, CONTEXT)
    return {observation_key(item, CONCEPTS): item for item in made}


def test_a_sign_carries_its_value_side_and_date() -> None:
    found = extract("red-flags-myelopathy", exam_on="2026-01-08", hoffmann__value="52101004", hoffmann__side="24028007")
    sign = found["hoffmann-24028007"]
    assert sign["effectiveDateTime"] == "2026-01-08"
    assert sign["valueCodeableConcept"]["coding"] == [{"system": "http://snomed.info/sct", "code": "52101004"}]
    assert sign["valueCodeableConcept"]["text"] == "present"
    assert [code["code"] for code in sign["code"]["coding"]] == ["hoffmann", "299849001"]
    assert sign["component"][0]["valueCodeableConcept"]["coding"][0]["code"] == "24028007"
    assert sign["category"][0]["coding"][0]["code"] == "exam"
    assert sign["performer"] == [{"reference": "Practitioner/1"}]


def test_what_was_not_answered_leaves_nothing() -> None:
    found = extract("red-flags-myelopathy", exam_on="2026-01-08", hoffmann__side="24028007", rf1=False)
    assert list(found) == ["rf1"], "a side without a finding is no finding"
    assert found["rf1"]["valueBoolean"] is False
    assert found["rf1"]["category"][0]["coding"][0]["code"] == "survey"


def test_without_a_date_there_is_no_observation() -> None:
    assert extract("red-flags-myelopathy", hoffmann__value="52101004") == {}


def test_counted_beats_are_a_component() -> None:
    found = extract("red-flags-myelopathy", exam_on="2026-01-08", clonus__value="52101004", clonus__beats=4)
    assert found["clonus"]["component"] == [
        {"code": {"coding": [{"system": CONCEPTS.local_system, "code": "clonus-beats"}]}, "valueInteger": 4}
    ]


def test_a_laboratory_value_has_its_own_date_and_category() -> None:
    value = {"value": 88, "unit": "mg/L"}
    found = extract("red-flags-infection", exam_on="2026-01-08", crp__value=value, crp__on="2026-01-06")
    assert found["1988-5"]["effectiveDateTime"] == "2026-01-06"
    assert found["1988-5"]["valueQuantity"] == value
    assert found["1988-5"]["category"][0]["coding"][0]["code"] == "laboratory"


def test_the_side_of_an_examined_arm_comes_from_its_group() -> None:
    answers = {"right__strength-triceps": "mrc-4", "left__strength-triceps": "mrc-5"}
    found = extract("neuro-exam-cervical", exam_on="2026-01-08", **answers)
    assert set(found) == {"strength-triceps-24028007", "strength-triceps-7771000"}
    right = found["strength-triceps-24028007"]
    assert right["component"][0]["valueCodeableConcept"]["text"] == "right"
    assert right["valueCodeableConcept"]["coding"][0]["code"] == "mrc-4"


def test_a_symptom_keeps_every_place_it_goes_to() -> None:
    found = extract(
        "neuro-exam-cervical",
        exam_on="2026-01-08",
        **{
            "arm-symptom__value": "52101004",
            "arm-symptom__side": "24028007",
            "arm-symptom__radiation": ["digit-3", "arm"],
        },
    )
    parts = found["arm-symptom-24028007"]["component"]
    assert [part["valueCodeableConcept"]["coding"][0]["code"] for part in parts] == ["24028007", "digit-3", "arm"]


@pytest.mark.parametrize(("answers", "day"), [({"exam_on": "2026-01-08"}, "2026-01-08"), ({}, "")])
def test_the_date_of_the_whole(answers: dict[str, Any], day: str) -> None:
    form = require_instrument("red-flags-myelopathy").questionnaire
    assert answered_on(respond("red-flags-myelopathy", **answers), form, CONCEPTS) == day


def test_every_extracted_code_is_one_that_the_rules_know_or_a_detail_for_people() -> None:
    """What a category needs can be answered in its template: each group has an item of one of its codes."""
    for flag in CONCEPTS.red_flag:
        slug = {
            "RF1": "neuro-deficit",
            "RF2": "myelopathy",
            "RF3": "infection",
            "RF4": "malignancy",
            "RF5": "trauma",
            "RF6": "cord-syndrome",
        }[flag.code]
        codes: set[str] = set()
        stack = list(require_instrument(f"red-flags-{slug}").questionnaire["item"])
        while stack:
            item = stack.pop()
            stack += item.get("item", [])
            codes |= {code["code"] for code in item.get("code", ())}
        for group in flag.needs:
            wanted = {*group.any, *group.loinc, *group.snomed}
            assert wanted & codes or any(group.prefix and code.startswith(group.prefix) for code in codes), group.label
