"""Completion: by a person only, never with open questions, and only what is enabled leaves."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.errors import InputError
from gateway.fhir.json import dump_json
from gateway.forms.answers import Author, clear_answer
from gateway.forms.complete import complete
from gateway.forms.marks import CLEARED
from tests.form_samples import AUTHOR, NOW, answered, expression, filled, form, item, package

FORM = form(
    item("family", "string", expression("initialExpression", "%patient.name.family")),
    item("must", "boolean", required=True),
    item(
        "more",
        "string",
        required=True,
        maxLength=5,
        enableWhen=[{"question": "must", "operator": "=", "answerBoolean": True}],
    ),
)
PARTS = package(FORM)


@pytest.mark.requirement("dtr:spec-145")
def test_only_a_person_completes() -> None:
    draft = answered(PARTS, filled(PARTS), must=False)
    with pytest.raises(InputError) as caught:
        complete(FORM, draft.response, Author(), NOW)
    assert caught.value.reason == "form.author"


def test_open_questions_are_named() -> None:
    draft = answered(PARTS, filled(PARTS), must=True)
    with pytest.raises(InputError) as caught:
        complete(FORM, draft.response, AUTHOR, NOW)
    assert (caught.value.reason, caught.value.expression) == ("form.incomplete", "more")


def test_wrong_answers_are_named() -> None:
    draft = answered(PARTS, filled(PARTS), must=True)
    draft = answered(PARTS, draft, more="far too long")
    with pytest.raises(InputError) as caught:
        complete(FORM, draft.response, AUTHOR, NOW)
    assert (caught.value.reason, caught.value.expression) == ("form.invalid", "more")
    assert "far" not in caught.value.message


def test_a_form_that_is_blocked_cannot_be_completed() -> None:
    blocked = form(item("x", "strange"))
    with pytest.raises(InputError) as caught:
        complete(blocked, filled(package(blocked)).response, AUTHOR, NOW)
    assert caught.value.reason == "form.blocked"


def test_the_completed_response_is_exact() -> None:
    draft = answered(PARTS, filled(PARTS), must=False)
    done = complete(FORM, draft.response, AUTHOR, NOW)
    assert done["status"] == "completed"
    assert done["questionnaire"] == "http://example.org/q|1.0.0"
    assert done["author"] == {"reference": "Practitioner/1"}
    assert done["authored"] == "2026-03-15T10:00:00-07:00"
    assert done["subject"] == {"reference": "Patient/p"}
    assert [one["linkId"] for one in done["item"]] == ["family", "must"]
    assert list(done)[:4] == ["resourceType", "id", "meta", "extension"]
    assert list(done)[-1] == "item"


def test_private_marks_do_not_leave() -> None:
    response = clear_answer(PARTS, answered(PARTS, filled(PARTS), must=False).response, "family", AUTHOR, NOW)
    assert CLEARED in dump_json(response).decode()
    done = complete(FORM, response, AUTHOR, NOW)
    assert CLEARED not in dump_json(done).decode()
    assert [one["linkId"] for one in done["item"]] == ["must"]


def test_completing_what_was_completed_is_an_amendment() -> None:
    done = complete(FORM, answered(PARTS, filled(PARTS), must=False).response, AUTHOR, NOW)
    assert complete(FORM, done, AUTHOR, NOW)["status"] == "amended"


def test_items_carry_the_words_of_the_form() -> None:
    draft: Any = answered(PARTS, filled(PARTS), must=False)
    assert {one["linkId"]: one["text"] for one in complete(FORM, draft.response, AUTHOR, NOW)["item"]} == {
        "family": "family",
        "must": "must",
    }
