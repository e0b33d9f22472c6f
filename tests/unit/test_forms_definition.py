"""Reading a form, and what blocks it."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.forms.definition import read_definition
from tests.form_samples import CORE, form, item


@pytest.mark.parametrize(
    "questionnaire, word",
    [
        (form(item("a", "question")), "type"),
        (form(item("a", "string", modifierExtension=[{"url": "http://x"}])), "modifier"),
        (form(item("a", "string"), modifierExtension=[{"url": "http://x"}]), "modifier"),
        (form(item("a", "string"), item("a", "string")), "linkId"),
        (form(), "no questions"),
        ({"resourceType": "Patient"}, "readable"),
    ],
)
def test_what_is_not_handled_blocks_with_a_sentence(questionnaire: dict[str, Any], word: str) -> None:
    blockers = read_definition(questionnaire).blockers
    assert any(word in sentence for sentence in blockers), blockers


@pytest.mark.parametrize("operator", ["~", "", None, "==", 1, ["="]])
def test_a_condition_that_is_not_known_blocks_instead_of_switching_off(operator: Any) -> None:
    condition = {"question": "b", "operator": operator, "answerBoolean": True}
    questions = [item("b", "boolean"), item("a", "string", required=True, enableWhen=[condition])]
    assert any("applies cannot be told" in one for one in read_definition(form(*questions)).blockers)
    condition["operator"] = "="
    assert read_definition(form(*questions)).blockers == ()


def test_a_plain_form_has_no_blockers() -> None:
    definition = read_definition(form(item("g", "group", item=[item("a", "string", required=True)])))
    assert definition.blockers == ()
    assert [one.link_id for one in definition.walk()] == ["g", "a"]
    assert definition.by_link_id["a"].parent is definition.by_link_id["g"]
    assert (definition.title, definition.canonical) == ("A form", "http://example.org/q|1.0.0")


def test_a_form_that_is_too_deep_is_blocked_not_followed() -> None:
    inner = item("x", "group")
    for level in range(200):
        inner = item(f"g{level}", "group", item=[inner])
    assert any("too large" in sentence for sentence in read_definition(form(inner)).blockers)


def test_hidden_covers_what_is_below() -> None:
    hidden = {"url": f"{CORE}questionnaire-hidden", "valueBoolean": True}
    definition = read_definition(form(item("g", "group", hidden, item=[item("a", "string")])))
    assert definition.by_link_id["a"].is_hidden
    assert definition.by_link_id["a"].is_read_only
