"""Checks of a response: each rule once, and that findings hold no answers."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from gateway.forms.validate import check_response
from tests.form_samples import CORE, answer, form, item, response_of

A = {"system": "http://example.org", "code": "a"}
B = {"system": "http://example.org", "code": "b"}


def limit(name: str, **value: Any) -> dict[str, Any]:
    return {"url": CORE + name, **value}


@pytest.mark.requirement("dtr:spec-142")
@pytest.mark.parametrize(
    "raw, given, code",
    [
        (item("q", "string", required=True), [], "required"),
        (item("q", "string"), [{"valueInteger": 1}], "type"),
        (item("q", "integer"), [{"valueInteger": Decimal("1.5")}], "type"),
        (item("q", "integer"), [{"valueInteger": True}], "type"),
        (item("q", "boolean"), [{"valueBoolean": "true"}], "type"),
        (item("q", "date"), [{"valueDate": "2026-02-30"}], "type"),
        (item("q", "date"), [{"valueDate": "2026-02-28T10:00:00Z"}], "type"),
        (item("q", "time"), [{"valueTime": "10:30"}], "type"),
        (item("q", "string"), [{"valueString": ""}], "type"),
        (item("q", "string"), [{"valueString": "a"}, {"valueString": "b"}], "count"),
        (item("q", "string", maxLength=3), [{"valueString": "four"}], "length"),
        (item("q", "string", limit("minLength", valueInteger=3)), [{"valueString": "ab"}], "length"),
        (item("q", "string", limit("regex", valueString=r"\d{5}")), [{"valueString": "123456"}], "pattern"),
        (item("q", "integer", limit("minValue", valueInteger=0)), [{"valueInteger": -1}], "range"),
        (item("q", "decimal", limit("maxValue", valueDecimal=1)), [{"valueDecimal": Decimal("1.01")}], "range"),
        (item("q", "date", limit("maxValue", valueDate="2026-01-01")), [{"valueDate": "2026-01-02"}], "range"),
        (item("q", "decimal", limit("maxDecimalPlaces", valueInteger=1)), [{"valueDecimal": Decimal("1.23")}], "range"),
        (item("q", "choice", answerOption=[{"valueCoding": A}]), [{"valueCoding": B}], "option"),
        (item("q", "choice", answerOption=[{"valueString": "a"}]), [{"valueCoding": A}], "option"),
        (
            item("q", "string", limit("questionnaire-minOccurs", valueInteger=2), repeats=True),
            [{"valueString": "a"}],
            "count",
        ),
        (
            item("q", "string", limit("questionnaire-maxOccurs", valueInteger=1), repeats=True),
            [{"valueString": "a"}, {"valueString": "b"}],
            "count",
        ),
        (
            item("q", "quantity", limit("questionnaire-unitOption", valueCoding={"system": "u", "code": "kg"})),
            [{"valueQuantity": {"value": 1, "system": "u", "code": "g"}}],
            "unit",
        ),
        (
            item(
                "q",
                "choice",
                repeats=True,
                answerOption=[
                    {"valueCoding": A},
                    {"valueCoding": B, "extension": [limit("questionnaire-optionExclusive", valueBoolean=True)]},
                ],
            ),
            [{"valueCoding": A}, {"valueCoding": B}],
            "option",
        ),
    ],
)
def test_each_rule_finds_its_fault(raw: dict[str, Any], given: list[Any], code: str) -> None:
    response = response_of(*([answer("q", *given)] if given else []))
    findings = check_response(form(raw), response)
    assert [(finding.link_id, finding.code) for finding in findings] == [("q", code)]
    assert "four" not in findings[0].sentence


@pytest.mark.parametrize(
    "raw, given",
    [
        (item("q", "string", required=True), [{"valueString": "x"}]),
        (item("q", "boolean", required=True), [{"valueBoolean": False}]),
        (item("q", "integer", required=True), [{"valueInteger": 0}]),
        (item("q", "open-choice", answerOption=[{"valueCoding": A}]), [{"valueCoding": B}]),
        (item("q", "open-choice"), [{"valueString": "free"}]),
        (item("q", "choice", answerOption=[{"valueCoding": A}]), [{"valueCoding": {**A, "display": "Letter"}}]),
        (item("q", "decimal", limit("minValue", valueDecimal=0)), [{"valueDecimal": 0}]),
        (item("q", "string", limit("regex", valueString=r"(a+)+$")), [{"valueString": "aaa"}]),
        (item("q", "string", limit("regex", valueString=r"(?=x)")), [{"valueString": "not judged"}]),
        (item("q", "dateTime"), [{"valueDateTime": "2026-02"}]),
        (item("q", "choice", answerValueSet="http://example.org/absent"), [{"valueCoding": A}]),
    ],
)
def test_what_is_right_has_no_finding(raw: dict[str, Any], given: list[Any]) -> None:
    assert check_response(form(raw), response_of(answer("q", *given))) == []


def test_what_is_switched_off_is_not_checked() -> None:
    off = item(
        "q", "string", required=True, enableWhen=[{"question": "a", "operator": "exists", "answerBoolean": True}]
    )
    assert check_response(form(item("a", "string"), off), response_of()) == []


def test_unknown_questions_and_blockers_are_findings() -> None:
    findings = check_response(form(item("q", "strange")), response_of(answer("x", {"valueString": "y"})))
    assert [finding.code for finding in findings] == ["blocked", "unknown"]


def test_repetitions_are_counted() -> None:
    group = item(
        "g", "group", limit("questionnaire-maxOccurs", valueInteger=1), repeats=True, item=[item("a", "string")]
    )
    row = {"linkId": "g", "item": [answer("a", {"valueString": "x"})]}
    assert [one.code for one in check_response(form(group), response_of(row, row))] == ["count"]
