"""Packages in parts, and answers carried from a form into its successor."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.forms.answers import clear_answer
from gateway.forms.carry import carry_over
from gateway.forms.definition import read_definition
from gateway.forms.marks import is_cleared
from gateway.forms.parts import IN_PARTS, PART_MISSING, content_digest, forms_of
from gateway.forms.session import DEFAULT_GUIDE
from gateway.profiles import dtr_urls as urls
from tests.form_samples import AUTHOR, CORE, NOW, answered, expression, filled, form, item, package, variable

HEADER = {"resourceType": "QuestionnaireResponse", "id": "new", "status": "in-progress"}


def place(canonical: str, **more: Any) -> dict[str, Any]:
    return item("place", "display", {"url": urls.SUB_QUESTIONNAIRE, "valueCanonical": canonical}, **more)


def links(parts: Any) -> list[str]:
    return [one.link_id for one in read_definition(parts.questionnaire).walk()]


PART = form(item("inside", "string"), url="http://example.org/part", extension=[variable("v", "1")])


@pytest.mark.parametrize(
    "named", ["http://example.org/part|1.0.0", "http://example.org/part", "http://example.org/part|9"]
)
def test_a_placeholder_gives_way_to_the_questions_of_its_part(named: str) -> None:
    group = {"linkId": "g", "type": "group", "text": "g", "item": [place(named)]}
    (whole,) = forms_of(package(form(group, item("after", "string")), sub_questionnaires=(PART,)))
    assert links(whole) == ["g", "inside", "after"]
    assert IN_PARTS in whole.findings
    assert [one["url"] for one in whole.questionnaire["extension"]] == [f"{CORE}variable"]
    assert whole.canonical == "http://example.org/q|1.0.0"


def test_parts_hold_parts_and_a_circle_ends() -> None:
    inner = form(item("deep", "string"), url="http://example.org/inner")
    outer = form(item("o", "string"), place("http://example.org/inner"), url="http://example.org/outer")
    (whole,) = forms_of(package(form(place("http://example.org/outer")), sub_questionnaires=(outer, inner)))
    assert links(whole) == ["o", "deep"]
    itself = form(item("i", "string"), place("http://example.org/itself"), url="http://example.org/itself")
    (circle,) = forms_of(package(form(place("http://example.org/itself")), sub_questionnaires=(itself,)))
    assert PART_MISSING in circle.findings
    assert links(circle).count("i") <= 6


def test_a_part_that_is_not_there_leaves_its_placeholder_and_is_said() -> None:
    (whole,) = forms_of(package(form(place("http://example.org/absent"), item("a", "string"))))
    assert links(whole) == ["place", "a"]
    assert whole.findings == (PART_MISSING,)


def test_forms_beside_the_first_stand_alone_with_the_same_logic() -> None:
    own = {"resourceType": "ValueSet", "id": "vs"}
    beside = form(item("b", "string"), url="http://example.org/b", contained=[own])
    silent = form(url="http://example.org/silent")
    library = {"resourceType": "Library", "name": "L"}
    main, further = forms_of(
        package(form(item("a", "string")), sub_questionnaires=(beside, silent), libraries=(library,))
    )
    assert (links(main), links(further)) == (["a"], ["b"])
    assert further.libraries == (library,)
    assert further.value_sets == (own,)


def test_a_whole_package_stays_as_it_is() -> None:
    parts = package(form(item("a", "string")))
    assert forms_of(parts) == (parts,)


def test_content_is_told_apart_by_questions_and_logic_only() -> None:
    one = package(form(item("a", "string")), libraries=({"resourceType": "Library", "name": "L"},))
    assert content_digest(one) == content_digest(package(one.questionnaire, libraries=one.libraries, findings=("x",)))
    for other in (
        package(form(item("b", "string")), libraries=one.libraries),
        package(one.questionnaire, libraries=({"resourceType": "Library", "name": "M"},)),
        package(one.questionnaire),
    ):
        assert content_digest(one) != content_digest(other)


def carried(old: Any, new: Any, response: Any) -> dict[str, Any]:
    found = carry_over(
        read_definition(old.questionnaire), read_definition(new.questionnaire), response, HEADER, DEFAULT_GUIDE
    )
    return dict(found)


OLD = package(
    form(
        item("born", "date", expression("initialExpression", "%patient.birthDate")),
        item("typed", "string"),
        item("gone", "string"),
        item("cleared", "date", expression("initialExpression", "%patient.birthDate")),
        item("parent", "string", item=[item("child", "string")]),
    )
)


def test_answers_of_people_go_over_and_those_of_machines_do_not() -> None:
    draft = answered(OLD, filled(OLD), typed="mine", gone="mine too", parent="p")
    draft = answered(OLD, draft, child="c")
    response = clear_answer(OLD, draft.response, "cleared", AUTHOR, NOW)
    new = package(form(*(one for one in OLD.questionnaire["item"] if one["linkId"] != "gone"), version="2"))
    found = carried(OLD, new, response)
    assert [one["linkId"] for one in found["item"]] == ["typed", "cleared", "parent"]
    typed, cleared, parent = found["item"]
    assert typed["answer"][0]["valueString"] == "mine"
    assert typed["answer"][0]["extension"][0]["extension"][0]["valueCode"] == "manual"
    assert is_cleared(cleared)
    assert parent["answer"][0]["item"][0]["answer"][0]["valueString"] == "c"
    assert found["id"] == "new"


@pytest.mark.parametrize("change", [{"text": "Other words"}, {"type": "text"}, {"repeats": True}])
def test_a_question_that_changed_is_asked_again(change: dict[str, Any]) -> None:
    draft = answered(OLD, filled(OLD), typed="mine")
    items = [{**one, **change} if one["linkId"] == "typed" else one for one in OLD.questionnaire["item"]]
    assert "item" not in carried(OLD, package(form(*items)), draft.response)


def test_a_question_that_moved_is_asked_again() -> None:
    draft = answered(OLD, filled(OLD), typed="mine")
    moved = package(form({"linkId": "g", "type": "group", "item": [item("typed", "string")]}))
    assert "item" not in carried(OLD, moved, draft.response)


def test_rows_keep_their_place_when_one_of_them_is_of_a_person() -> None:
    group = item("g", "group", repeats=True, item=[item("a", "string")])
    parts = package(form(group))
    first = {"linkId": "g", "item": [{"linkId": "a", "answer": [_machine("one")]}]}
    second = {"linkId": "g", "item": [{"linkId": "a", "answer": [_person("two")]}]}
    found = carried(parts, parts, {**HEADER, "item": [first, second]})
    assert [one.get("item", [{}])[0].get("answer", [{}])[0].get("valueString") for one in found["item"]] == [
        None,
        "two",
    ]


def _machine(text: str) -> dict[str, Any]:
    return {"extension": [DEFAULT_GUIDE.information_origin("auto-client")], "valueString": text}


def _person(text: str) -> dict[str, Any]:
    return {"extension": [DEFAULT_GUIDE.information_origin("manual", AUTHOR)], "valueString": text}
