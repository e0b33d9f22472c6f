"""enableWhen in all its operators and types, behaviour, nearness, circles and expressions."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from gateway.errors import InputError
from gateway.forms.enablement import enabled_items
from gateway.forms.switches import condition_holds
from tests.form_samples import answer, expression, form, item, response_of

CODE = {"system": "http://example.org", "code": "a"}


@pytest.mark.parametrize(
    "operator, key, wanted, answers, holds",
    [
        ("exists", "answerBoolean", True, [{"valueBoolean": False}], True),
        ("exists", "answerBoolean", True, [], False),
        ("exists", "answerBoolean", False, [], True),
        ("=", "answerBoolean", False, [{"valueBoolean": False}], True),
        ("=", "answerDecimal", 0, [{"valueDecimal": Decimal("0.0")}], True),
        ("=", "answerDecimal", 0, [], False),
        ("!=", "answerDecimal", 1, [{"valueDecimal": Decimal("1.0")}], False),
        ("!=", "answerString", "a", [{"valueString": "b"}], True),
        ("!=", "answerString", "a", [], True),
        ("!=", "answerString", "a", [{"valueString": "b"}, {"valueString": "a"}], False),
        (">", "answerInteger", 3, [{"valueInteger": 4}], True),
        (">=", "answerInteger", 4, [{"valueInteger": 4}], True),
        ("<", "answerDecimal", Decimal("0.5"), [{"valueDecimal": 0}], True),
        ("<=", "answerInteger", 3, [{"valueInteger": 4}, {"valueInteger": 2}], True),
        (">", "answerDate", "2026-01-01", [{"valueDate": "2026-01-02"}], True),
        (">", "answerDate", "2026-01-01", [{"valueDate": "2026"}], False),
        ("<", "answerDateTime", "2026-01-01T10:00:00Z", [{"valueDateTime": "2026-01-01T10:30:00+01:00"}], True),
        (">", "answerTime", "10:00:00", [{"valueTime": "10:00:01"}], True),
        ("=", "answerCoding", CODE, [{"valueCoding": {**CODE, "display": "A"}}], True),
        ("=", "answerCoding", CODE, [{"valueCoding": {"system": "http://other.org", "code": "a"}}], False),
        ("=", "answerCoding", {"code": "a"}, [{"valueCoding": CODE}], True),
        ("=", "answerReference", {"reference": "Patient/1"}, [{"valueReference": {"reference": "Patient/1"}}], True),
        (
            ">",
            "answerQuantity",
            {"value": 1, "code": "kg", "system": "http://unitsofmeasure.org"},
            [{"valueQuantity": {"value": 1500, "code": "g", "system": "http://unitsofmeasure.org"}}],
            True,
        ),
        (">", "answerInteger", 3, [{"valueString": "four"}], False),
        ("~", "answerInteger", 3, [{"valueInteger": 3}], False),
    ],
)
def test_operators(operator: str, key: str, wanted: Any, answers: list[Any], holds: bool) -> None:
    assert condition_holds({"question": "q", "operator": operator, key: wanted}, answers) is holds


def when(question: str, value: bool = True) -> dict[str, Any]:
    return {"question": question, "operator": "=", "answerBoolean": value}


@pytest.mark.parametrize("behaviour, enabled", [("all", False), ("any", True)])
def test_behaviour_joins_conditions(behaviour: str, enabled: bool) -> None:
    questionnaire = form(
        item("a", "boolean"),
        item("b", "boolean"),
        item("c", "string", enableWhen=[when("a"), when("b")], enableBehavior=behaviour),
    )
    assert ("c" in enabled_items(questionnaire, response_of(answer("a", {"valueBoolean": True})))) is enabled


def test_a_switched_off_answer_switches_nothing() -> None:
    questionnaire = form(
        item("a", "boolean"),
        item("b", "boolean", enableWhen=[when("a")]),
        item("c", "string", enableWhen=[when("b")]),
    )
    kept = [answer("a", {"valueBoolean": False}), answer("b", {"valueBoolean": True})]
    assert enabled_items(questionnaire, response_of(*kept)) == {"a"}


def test_a_switched_off_group_switches_off_what_it_holds() -> None:
    questionnaire = form(
        item("a", "boolean"),
        item("g", "group", enableWhen=[when("a")], item=[item("b", "string"), item("d", "display")]),
    )
    assert enabled_items(questionnaire, response_of()) == {"a"}


def test_below_an_unanswered_question_only_words_are_shown() -> None:
    questionnaire = form(item("a", "boolean", item=[item("help", "display"), item("b", "string")]))
    assert enabled_items(questionnaire, response_of()) == {"a", "help"}
    assert enabled_items(questionnaire, response_of(answer("a", {"valueBoolean": False}))) == {"a", "help", "b"}


def test_nearest_question_over_two_levels_of_repetition() -> None:
    inner = item(
        "inner", "group", repeats=True, item=[item("k", "boolean"), item("x", "string", enableWhen=[when("k")])]
    )
    questionnaire = form(item("outer", "group", repeats=True, item=[inner]))

    def row(value: bool) -> dict[str, Any]:
        return {"linkId": "inner", "item": [answer("k", {"valueBoolean": value})]}

    response = response_of(
        {"linkId": "outer", "item": [row(False), row(True)]}, {"linkId": "outer", "item": [row(True)]}
    )
    enabled = enabled_items(questionnaire, response)
    assert {address for address in enabled if address.startswith("x")} == {"x@0.1", "x@1.0"}


def test_a_circle_of_switches_is_an_error() -> None:
    questionnaire = form(item("a", "boolean", enableWhen=[when("b")]), item("b", "boolean", enableWhen=[when("a")]))
    with pytest.raises(InputError) as caught:
        enabled_items(questionnaire, response_of())
    assert caught.value.reason == "form.circle"


def test_expressions_that_do_not_settle_are_an_error() -> None:
    path = "%resource.item.where(linkId = '{}').empty()"
    questionnaire = form(
        item("a", "string", expression("enableWhenExpression", path.format("b"))),
        item("b", "string", expression("enableWhenExpression", path.format("a") + ".not()")),
    )
    filled = response_of(answer("a", {"valueString": "x"}), answer("b", {"valueString": "y"}))
    with pytest.raises(InputError) as caught:
        enabled_items(questionnaire, filled)
    assert caught.value.reason == "form.circle"


def test_an_expression_sees_only_what_is_enabled() -> None:
    questionnaire = form(
        item("a", "boolean"),
        item("b", "string", enableWhen=[when("a")]),
        item("c", "string", expression("enableWhenExpression", "%resource.item.where(linkId = 'b').exists()")),
    )
    kept = [answer("a", {"valueBoolean": False}), answer("b", {"valueString": "x"})]
    assert enabled_items(questionnaire, response_of(*kept)) == {"a"}


def test_an_empty_expression_switches_off() -> None:
    questionnaire = form(item("a", "string", expression("enableWhenExpression", "{}")))
    assert enabled_items(questionnaire, response_of()) == set()
