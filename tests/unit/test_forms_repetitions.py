"""Repetitions of a group: added and taken out by a person, and left alone by the chart afterwards."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.errors import InputError, NotFound
from gateway.forms.answers import Author, add_repetition, remove_repetition, set_answer
from gateway.forms.complete import complete
from gateway.forms.view import form_view
from gateway.reasoning.record import RecordSnapshot
from tests.form_samples import AUTHOR, CORE, LAUNCH, NOW, expression, filled, form, item, package, values, variable

DRUGS = [
    {
        "resourceType": "MedicationRequest",
        "id": f"m{n}",
        "subject": {"reference": "Patient/p"},
        "medicationCodeableConcept": {"text": f"Drug {n}"},
    }
    for n in (1, 2, 3)
]
ROWS = {
    "url": "http://hl7.org/fhir/uv/sdc/StructureDefinition/sdc-questionnaire-itemPopulationContext",
    "valueExpression": {
        "name": "drug",
        "language": "text/fhirpath",
        "expression": "%all.entry.resource",
    },
}
ALL = variable("all", "MedicationRequest?patient={{%patient.id}}", "application/x-fhir-query")


def questionnaire(*more: Any, **flags: Any) -> dict[str, Any]:
    group = item(
        "drugs",
        "group",
        ROWS,
        *more,
        repeats=True,
        item=[
            item("name", "string", expression("initialExpression", "%drug.medication.text")),
            item("dose", "string"),
        ],
        **flags,
    )
    return form(group, extension=[ALL])


PARTS = package(questionnaire())


def rows(draft: Any, parts: Any = PARTS) -> dict[str, Any]:
    view = form_view(parts, draft, launch=LAUNCH, record=RecordSnapshot(DRUGS))
    return {row.link_id: row for row in view if row.enabled}


def test_a_row_that_a_person_takes_out_does_not_come_back() -> None:
    draft = filled(PARTS, record=DRUGS)
    assert values(draft)["name"] is not None
    assert [one for one in rows(draft) if one.startswith("name")] == ["name", "name@1", "name@2"]
    without = remove_repetition(PARTS, draft.response, "drugs@1", AUTHOR, NOW)
    again = filled(PARTS, without, record=DRUGS)
    shown = rows(again)
    assert [shown[one].values for one in shown if one.startswith("name")] == [("Drug 1",), ("Drug 3",)]
    done = complete(PARTS.questionnaire, again.response, AUTHOR, NOW)
    assert len(done["item"]) == 2
    assert "232142081200" not in str(done)


def test_the_first_row_can_be_taken_out_and_its_answers_are_of_nobody() -> None:
    draft = filled(PARTS, record=DRUGS)
    again = filled(PARTS, remove_repetition(PARTS, draft.response, "drugs", AUTHOR, NOW), record=DRUGS)
    shown = rows(again)
    assert [shown[one].values for one in shown if one.startswith("name")] == [("Drug 2",), ("Drug 3",)]


def test_the_only_row_loses_its_answers_and_stays() -> None:
    draft = filled(PARTS, record=DRUGS[:1])
    again = filled(PARTS, remove_repetition(PARTS, draft.response, "drugs", AUTHOR, NOW), record=DRUGS[:1])
    shown = rows(again)
    assert shown["name"].values == ()
    assert shown["name"].origin_label == "Changed by user"
    assert (shown["drugs"].can_add, shown["drugs"].can_remove) == (True, False)


def test_an_added_row_is_kept_while_it_is_empty_and_filled_by_the_person() -> None:
    draft = filled(PARTS, record=DRUGS[:1])
    response, address = add_repetition(PARTS, draft.response, "drugs", NOW)
    again = filled(PARTS, response, record=DRUGS[:1])
    assert address == "drugs@1"
    assert "dose@1" in rows(again)
    named = set_answer(PARTS, again.response, "name@1", ["Another drug"], AUTHOR, NOW)
    final = filled(PARTS, named, record=DRUGS[:1])
    assert rows(final)["name@1"].values == ("Another drug",)
    assert rows(final)["name@1"].origin_label == "Typed"
    assert len(complete(PARTS.questionnaire, final.response, AUTHOR, NOW)["item"]) == 2


def test_an_added_row_without_answers_is_not_sent() -> None:
    response, _ = add_repetition(PARTS, filled(PARTS, record=DRUGS[:1]).response, "drugs", NOW)
    assert len(complete(PARTS.questionnaire, response, AUTHOR, NOW)["item"]) == 1


def test_who_may_add_and_take_out_is_said_by_the_form() -> None:
    shown = rows(filled(PARTS, record=DRUGS))
    assert [shown[one].can_add for one in ("drugs", "drugs@1", "drugs@2")] == [False, False, True]
    assert all(shown[one].can_remove for one in ("drugs", "drugs@1", "drugs@2"))
    most = package(questionnaire({"url": f"{CORE}questionnaire-maxOccurs", "valueInteger": 3}))
    assert not rows(filled(most, record=DRUGS), most)["drugs@2"].can_add
    fixed = package(questionnaire(readOnly=True))
    assert not rows(filled(fixed, record=DRUGS), fixed)["drugs"].can_remove


@pytest.mark.parametrize(
    ("address", "author", "status", "error"),
    [
        ("name", AUTHOR, "in-progress", InputError),
        ("nothing", AUTHOR, "in-progress", NotFound),
        ("drugs", Author(), "in-progress", InputError),
        ("drugs", AUTHOR, "completed", InputError),
    ],
)
def test_what_cannot_be_taken_out(address: str, author: Author, status: str, error: type[Exception]) -> None:
    response = {**filled(PARTS, record=DRUGS).response, "status": status}
    with pytest.raises(error):
        remove_repetition(PARTS, response, address, author, NOW)
