"""Rows of a form for page, command and API."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from gateway.fhir.json import dump_json
from gateway.forms.answers import clear_answer
from gateway.forms.view import answer_text, form_view
from tests.form_samples import (
    AUTHOR,
    CORE,
    LAUNCH,
    NOW,
    answer,
    answered,
    expression,
    filled,
    form,
    item,
    package,
    response_of,
)

CODE = {"system": "http://example.org", "code": "a", "display": "Letter a"}
FORM = form(
    item(
        "g",
        "group",
        prefix="1",
        item=[
            item("family", "string", expression("initialExpression", "%patient.name.family")),
            item("photo", "string", expression("initialExpression", "%patient.photo.title"), required=True),
            item("plain", "choice", answerOption=[{"valueCoding": CODE}]),
            item("off", "string", enableWhen=[{"question": "plain", "operator": "exists", "answerBoolean": True}]),
            item("given", "string"),
            item(
                "sum",
                "string",
                expression("calculatedExpression", "%resource.item.item.where(linkId='family').answer.value"),
            ),
        ],
    ),
    item("words", "display"),
)
PARTS = package(FORM, draft_response=response_of({"linkId": "g", "item": [answer("given", {"valueString": "P"})]}))


def rows(draft: Any) -> dict[str, Any]:
    return {row.link_id: row for row in form_view(PARTS, draft)}


@pytest.mark.requirement("dtr:spec-131")
def test_origins_are_labelled_and_explained() -> None:
    found = rows(answered(PARTS, filled(PARTS), plain="a"))
    labels = {name: row.origin_label for name, row in found.items() if row.is_question}
    assert labels == {
        "family": "From chart",
        "photo": "Not found in chart",
        "plain": "Typed",
        "off": "",
        "given": "From payer",
        "sum": "From chart",
    }
    assert found["family"].origin_explanation == "Patient.name[0].family of Patient/p version 7"
    assert found["sum"].origin_explanation == "Computed from other answers."
    assert found["plain"].origin_explanation == "Set by Practitioner/1."
    changed = rows(answered(PARTS, filled(PARTS), family="Else"))["family"]
    assert (changed.origin_label, changed.author.practitioner) == ("Changed by user", "Practitioner/1")


def test_rows_come_in_order_with_their_level_and_state() -> None:
    view = form_view(PARTS, filled(PARTS))
    assert [(row.link_id, row.level) for row in view] == [
        ("g", 0),
        ("family", 1),
        ("photo", 1),
        ("plain", 1),
        ("off", 1),
        ("given", 1),
        ("sum", 1),
        ("words", 0),
    ]
    assert [row.link_id for row in view if not row.enabled] == ["off"]
    assert [row.link_id for row in view if row.needs_person] == ["photo", "plain"]


def test_progress_counts_enabled_questions() -> None:
    view = form_view(PARTS, filled(PARTS))
    assert view.progress == "3 of 5 answered · 2 from chart · 1 required open"
    assert not view.can_be_completed
    assert form_view(PARTS, answered(PARTS, filled(PARTS), photo="x")).can_be_completed


def test_options_show_what_is_chosen() -> None:
    row = rows(answered(PARTS, filled(PARTS), plain="a"))["plain"]
    assert [(one.key, one.text, one.is_chosen) for one in row.options] == [("a", "Letter a", True)]
    assert row.values == ("Letter a",)


def test_a_cleared_answer_says_so() -> None:
    cleared = clear_answer(PARTS, filled(PARTS).response, "family", AUTHOR, NOW)
    row = rows(filled(PARTS, cleared))["family"]
    assert row.values == ()
    assert (row.origin_label, row.origin_explanation) == (
        "Changed by user",
        "A person took this answer out; it is not filled again.",
    )


def test_errors_stand_beside_their_question() -> None:
    questionnaire = form(item("n", "integer", {"url": f"{CORE}minValue", "valueInteger": 3}))
    parts = package(questionnaire)
    view = form_view(parts, answered(parts, filled(parts), n=1))
    assert [row.error for row in view] == ["The answer must be not below 3."]
    assert not view.can_be_completed


def test_a_view_without_a_draft_has_rows_too() -> None:
    view = form_view(PARTS, response_of())
    assert len(view.rows) == 8
    assert view.status == "in-progress"


def test_json_is_stable_and_writable() -> None:
    raw = json.loads(dump_json(form_view(PARTS, filled(PARTS)).as_json()))
    assert sorted(raw) == [
        "blockers",
        "can_be_completed",
        "can_continue",
        "faults",
        "is_adaptive",
        "is_signature_wanted",
        "open_required",
        "payer_says",
        "progress",
        "questionnaire",
        "rows",
        "status",
        "title",
    ]
    assert raw["rows"][1]["values"] == ["Example"]


@pytest.mark.parametrize(
    "value, text",
    [
        ({"valueBoolean": False}, "No"),
        ({"valueDecimal": Decimal("87.50")}, "87.50"),
        ({"valueQuantity": {"value": Decimal("1.5"), "unit": "kg", "comparator": "<"}}, "<1.5 kg"),
        ({"valueCoding": {"code": "a"}}, "a"),
        ({"valueReference": {"reference": "Device/1", "display": "Pump"}}, "Pump"),
        ({"valueAttachment": {"title": "Scan", "url": "http://x"}}, "Scan"),
        ({"valueDate": "2026-01"}, "2026-01"),
    ],
)
def test_answers_as_text(value: dict[str, Any], text: str) -> None:
    assert answer_text(value) == text


def test_candidates_are_offered_and_never_set() -> None:
    questionnaire = form(
        item("dx", "open-choice", expression("candidateExpression", "%patient.name.given | %patient.name.family")),
        item("ref", "reference", expression("candidateExpression", "%order")),
        item("bad", "string", expression("candidateExpression", "%nobody")),
    )
    parts = package(questionnaire)
    draft = filled(parts)
    found = {row.link_id: row for row in form_view(parts, draft, launch=LAUNCH)}
    assert [one.text for one in found["dx"].candidates] == ["Ann", "Example"]
    assert [one.answer for one in found["ref"].candidates] == [{"valueReference": {"reference": "ServiceRequest/o"}}]
    assert found["bad"].candidates == ()
    assert all(row.values == () for row in found.values())
    picked = answered(parts, draft, ref=dict(found["ref"].candidates[0].answer))
    assert {row.link_id: row.origin for row in form_view(parts, picked)}["ref"] == "manual"


def test_a_hidden_answer_from_the_chart_is_brought_to_the_reviewer() -> None:
    hidden = {"url": f"{CORE}questionnaire-hidden", "valueBoolean": True}
    parts = package(form(item("h", "string", hidden, expression("initialExpression", "%patient.name.family"))))
    (row,) = form_view(parts, filled(parts))
    assert row.is_hidden_disclosure
