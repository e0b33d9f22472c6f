"""A person's answers: origin from state to state, marks, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gateway.errors import GatewayError
from gateway.forms.answers import Author, add_repetition, clear_answer, set_answer
from gateway.forms.marks import cleared_at, is_cleared
from gateway.profiles import dtr_2_2_0 as guide
from tests.form_samples import (
    AUTHOR,
    LAUNCH,
    NOW,
    PATIENT,
    expression,
    filled,
    form,
    item,
    package,
    response_of,
    variable,
)

PARTS = package(
    form(
        item("auto", "string", expression("initialExpression", "%patient.name.family")),
        item("blank", "string"),
        item("fixed", "string", readOnly=True),
        item("words", "display"),
        item("parent", "boolean", item=[item("child", "string")]),
        item("visit", "group", repeats=True, item=[item("kind", "string")]),
    )
)


def origin(response: Any, link_id: str) -> Any:
    for one in response["item"]:
        if one["linkId"] == link_id and one.get("answer"):
            return guide.read_origin(one["answer"][0])
    return None


@pytest.mark.requirement("dtr:spec-137")
def test_origin_follows_what_was_there() -> None:
    response = filled(PARTS).response
    changed = set_answer(PARTS, response, "auto", ["Else"], AUTHOR, NOW)
    assert origin(changed, "auto").source == "override"
    assert origin(set_answer(PARTS, changed, "auto", ["Again"], AUTHOR, NOW), "auto").source == "override"
    typed = set_answer(PARTS, response, "blank", ["x"], AUTHOR, NOW)
    assert origin(typed, "blank").source == "manual"
    assert origin(set_answer(PARTS, typed, "blank", ["y"], AUTHOR, NOW), "blank").source == "manual"


@pytest.mark.requirement("dtr:spec-138")
def test_origin_names_the_author_and_role() -> None:
    author = origin(set_answer(PARTS, filled(PARTS).response, "blank", ["x"], AUTHOR, NOW), "blank").author
    assert (author.practitioner, author.roles) == ("Practitioner/1", ({"text": "nurse"},))
    roles_only = Author(roles=({"text": "clerk"},))
    found = origin(set_answer(PARTS, filled(PARTS).response, "blank", ["x"], roles_only, NOW), "blank").author
    assert found.practitioner == ""


def test_the_same_value_again_changes_no_origin() -> None:
    response = filled(PARTS).response
    same = set_answer(PARTS, response, "auto", ["Example"], AUTHOR, NOW)
    assert origin(same, "auto").source == "auto-client"


def test_clearing_leaves_a_private_mark_with_author_and_time() -> None:
    cleared = clear_answer(PARTS, filled(PARTS).response, "auto", AUTHOR, NOW)
    node = next(one for one in cleared["item"] if one["linkId"] == "auto")
    assert is_cleared(node)
    assert cleared_at(node) == "2026-03-15T10:00:00-07:00"
    assert "Practitioner/1" in str(node["extension"])
    again = set_answer(PARTS, cleared, "auto", ["Else"], AUTHOR, NOW)
    assert origin(again, "auto").source == "manual"
    assert not is_cleared(next(one for one in again["item"] if one["linkId"] == "auto"))


def test_blank_values_clear() -> None:
    response = set_answer(PARTS, filled(PARTS).response, "auto", ["  "], AUTHOR, NOW)
    assert is_cleared(next(one for one in response["item"] if one["linkId"] == "auto"))


def test_clearing_nothing_leaves_no_mark() -> None:
    response = clear_answer(PARTS, filled(PARTS).response, "blank", AUTHOR, NOW)
    assert all(not is_cleared(one) for one in response["item"])


def test_the_id_of_an_answer_stays_when_its_value_changes() -> None:
    response = filled(PARTS).response
    changed = set_answer(PARTS, response, "auto", ["Else"], AUTHOR, NOW)
    assert changed["item"][0]["answer"][0]["id"] == response["item"][0]["answer"][0]["id"]


def test_what_was_nested_below_an_answer_stays() -> None:
    response = set_answer(PARTS, filled(PARTS).response, "parent", [True], AUTHOR, NOW)
    response = set_answer(PARTS, response, "child", ["x"], AUTHOR, NOW)
    response = set_answer(PARTS, response, "parent", [False], AUTHOR, NOW)
    node = next(one for one in response["item"] if one["linkId"] == "parent")
    assert node["answer"][0]["item"][0]["answer"][0]["valueString"] == "x"


def test_repetitions_are_added_and_answered_by_address() -> None:
    response = set_answer(PARTS, filled(PARTS).response, "kind", ["first"], AUTHOR, NOW)
    response, address = add_repetition(PARTS, response, "visit", NOW)
    assert address == "visit@1"
    response = set_answer(PARTS, response, "kind@1", ["second"], AUTHOR, NOW)
    groups = [one for one in response["item"] if one["linkId"] == "visit"]
    assert [group["item"][0]["answer"][0]["valueString"] for group in groups] == ["first", "second"]


@pytest.mark.parametrize(
    "link_id, response, author, code",
    [
        ("nowhere", None, AUTHOR, "answer.unknown"),
        ("kind@7", None, AUTHOR, "answer.unknown"),
        ("fixed", None, AUTHOR, "answer.read-only"),
        ("words", None, AUTHOR, "answer.read-only"),
        ("visit", None, AUTHOR, "answer.read-only"),
        ("child", None, AUTHOR, "answer.nested"),
        ("blank", response_of(status="completed"), AUTHOR, "answer.closed"),
        ("blank", None, Author(), "answer.author"),
    ],
)
def test_what_a_person_may_not_do(link_id: str, response: Any, author: Author, code: str) -> None:
    with pytest.raises(GatewayError) as caught:
        set_answer(PARTS, response or filled(PARTS).response, link_id, ["x"], author, NOW)
    assert caught.value.reason == code


def test_only_repeating_groups_repeat() -> None:
    with pytest.raises(GatewayError) as caught:
        add_repetition(PARTS, filled(PARTS).response, "blank", NOW)
    assert caught.value.reason == "answer.repeat"


DRUGS = package(
    form(
        item("drugs", "string", expression("initialExpression", "%names"), repeats=True, item=[item("dose", "string")]),
        extension=[variable("names", "%patient.name.given")],
    )
)
OTHER = Author(practitioner="Practitioner/2", roles=({"text": "physician"},))


def drugs_of(response: Any) -> dict[str, tuple[str, str, str]]:
    """(origin, author, dose) of each drug."""
    found = {}
    for one in next(node for node in response["item"] if node["linkId"] == "drugs")["answer"]:
        said = guide.read_origin(one)
        below = [given["valueString"] for node in one.get("item", ()) for given in node.get("answer", ())]
        author = said.author.practitioner if said and said.author else ""
        found[one["valueString"]] = (said.source if said else "", author, "".join(below))
    return found


def charted(*names: str, previous: Any = None) -> Any:
    """The form filled from a chart with these drugs."""
    launch = replace(LAUNCH, patient={**PATIENT, "name": [{"given": list(names)}]})
    return filled(DRUGS, previous, launch=launch).response


def dosed(response: Any) -> Any:
    """With a dose that a person gave for the first and the second drug."""
    response = set_answer(DRUGS, response, "dose", ["10"], AUTHOR, NOW)
    return set_answer(DRUGS, response, "dose@1", ["20"], AUTHOR, NOW)


@pytest.mark.requirement("dtr:spec-137")
def test_what_is_said_below_an_answer_goes_with_it() -> None:
    typed = dosed(set_answer(DRUGS, charted(), "drugs", ["A", "B"], AUTHOR, NOW))
    me, you = ("manual", "Practitioner/1"), ("manual", "Practitioner/2")
    assert drugs_of(set_answer(DRUGS, typed, "drugs", ["B"], OTHER, NOW)) == {"B": (*me, "20")}
    added = set_answer(DRUGS, typed, "drugs", ["C", "A", "B"], OTHER, NOW)
    assert drugs_of(added) == {"C": (*you, ""), "A": (*me, "10"), "B": (*me, "20")}
    corrected = set_answer(DRUGS, typed, "drugs", ["A1", "B"], OTHER, NOW)
    assert drugs_of(corrected) == {"A1": (*you, "10"), "B": (*me, "20")}


@pytest.mark.requirement("dtr:spec-137")
def test_an_answer_of_the_chart_beside_a_typed_one_stays_the_charts() -> None:
    added = set_answer(DRUGS, charted("A", "B"), "drugs", ["A", "B", "C"], AUTHOR, NOW)
    assert [source for source, _, _ in drugs_of(added).values()] == ["auto-client", "auto-client", "override"]
    fewer = set_answer(DRUGS, charted("A", "B"), "drugs", ["B"], AUTHOR, NOW)
    assert set(drugs_of(charted("A", "B", previous=fewer))) == {"B"}


def test_a_chart_that_changes_takes_nothing_of_a_person_along() -> None:
    response = dosed(charted("A", "B"))
    grown = drugs_of(charted("C", "A", "B", previous=response))
    assert {name: dose for name, (_, _, dose) in grown.items()} == {"C": "", "A": "10", "B": "20"}
    for names in (("B",), ("C",), ()):
        assert {name: dose for name, (_, _, dose) in drugs_of(charted(*names, previous=response)).items()} == {
            "A": "10",
            "B": "20",
        }
