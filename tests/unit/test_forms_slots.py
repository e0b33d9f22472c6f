"""A response laid beside its form: addresses, repetitions, nested items, unknown ones."""

from __future__ import annotations

import copy

from gateway.forms.definition import read_definition
from gateway.forms.slots import Sheet, address_of, without_empty
from tests.form_samples import answer, form, item, response_of

FORM = form(
    item(
        "g",
        "group",
        repeats=True,
        item=[item("a", "string"), item("h", "group", repeats=True, item=[item("b", "string")])],
    ),
    item("q", "choice", repeats=True, item=[item("n", "string")]),
)


def test_addresses_name_each_repetition() -> None:
    row = {"linkId": "h", "item": [answer("b", {"valueString": "x"})]}
    response = response_of({"linkId": "g", "item": [row, row]}, {"linkId": "g", "item": [row]})
    sheet = Sheet(read_definition(FORM), response)
    assert [slot.address for slot in sheet.named("b")] == ["b", "b@0.1", "b@1.0"]
    assert [slot.address for slot in sheet.named("a")] == ["a", "a@1"]


def test_items_below_each_answer_have_their_own_place() -> None:
    given = answer("q", {"valueString": "1", "item": [answer("n", {"valueString": "x"})]}, {"valueString": "2"})
    sheet = Sheet(read_definition(FORM), response_of(given))
    assert [(slot.address, bool(slot.answers)) for slot in sheet.named("n")] == [("n", True), ("n@1", False)]


def test_the_response_is_not_changed_and_texts_come_from_the_form() -> None:
    response = response_of({"linkId": "g", "text": "other words", "item": [answer("a", {"valueString": "x"})]})
    before = copy.deepcopy(response)
    sheet = Sheet(read_definition(FORM), response)
    assert response == before
    assert without_empty(sheet.response)["item"][0]["text"] == "g"


def test_unknown_link_ids_are_named_and_left_out() -> None:
    sheet = Sheet(read_definition(FORM), response_of(answer("zzz", {"valueString": "x"})))
    assert sheet.unknown == ["zzz"]
    assert "item" not in without_empty(sheet.response)


def test_a_question_that_came_as_repeated_items_is_joined() -> None:
    twice = response_of(answer("q", {"valueString": "1"}), answer("q", {"valueString": "2"}))
    sheet = Sheet(read_definition(FORM), twice)
    (slot,) = sheet.named("q")
    assert len(slot.answers) == 2


def test_address_of_the_first_repetition_is_the_link_id() -> None:
    assert [address_of("a", place) for place in ((), (0,), (0, 0), (2,), (0, 1))] == ["a", "a", "a", "a@2", "a@0.1"]
