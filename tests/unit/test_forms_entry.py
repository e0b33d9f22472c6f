"""Typed answers of every type, and what is refused."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from gateway.errors import InputError
from gateway.forms.definition import ItemDefinition
from gateway.forms.entry import read_entries
from gateway.forms.options import read_options
from gateway.profiles.dtr_package import FormPackageParts
from tests.form_samples import CORE, NOW, item

A = {"system": "http://example.org", "code": "a", "display": "Letter a"}
LISTED = [{"valueCoding": A}, {"valueCoding": {"code": "b"}}]
UNITS = [
    {"url": f"{CORE}questionnaire-unitOption", "valueCoding": {"system": "http://unitsofmeasure.org", "code": code}}
    for code in ("kg", "g")
]


def read(raw: dict[str, Any], *values: Any) -> list[dict[str, Any]]:
    definition = ItemDefinition(link_id="q", item=raw)
    return read_entries(definition, values, read_options(FormPackageParts(questionnaire={}), definition), NOW)


@pytest.mark.parametrize(
    "raw, value, expected",
    [
        (item("q", "boolean"), "yes", {"valueBoolean": True}),
        (item("q", "boolean"), "False", {"valueBoolean": False}),
        (item("q", "boolean"), True, {"valueBoolean": True}),
        (item("q", "integer"), " 12 ", {"valueInteger": 12}),
        (item("q", "integer"), 0, {"valueInteger": 0}),
        (item("q", "decimal"), "87.50", {"valueDecimal": Decimal("87.50")}),
        (item("q", "decimal"), 0.5, {"valueDecimal": Decimal("0.5")}),
        (item("q", "string"), "  text ", {"valueString": "text"}),
        (item("q", "text"), "two\r\nlines", {"valueString": "two\nlines"}),
        (item("q", "url"), "https://example.org/x", {"valueUri": "https://example.org/x"}),
        (item("q", "date"), "2026-02-28", {"valueDate": "2026-02-28"}),
        (item("q", "date"), "2026", {"valueDate": "2026"}),
        (item("q", "dateTime"), "2026-07-01T10:30", {"valueDateTime": "2026-07-01T10:30:00-07:00"}),
        (item("q", "time"), "10:30", {"valueTime": "10:30:00"}),
        (item("q", "choice", answerOption=LISTED), "a", {"valueCoding": A}),
        (item("q", "choice", answerOption=LISTED), "letter A", {"valueCoding": A}),
        (item("q", "choice", answerOption=LISTED), {"valueCoding": {"code": "b"}}, {"valueCoding": {"code": "b"}}),
        (item("q", "choice", answerOption=LISTED), {"code": "a", "system": "http://example.org"}, {"valueCoding": A}),
        (item("q", "open-choice", answerOption=LISTED), "else", {"valueString": "else"}),
        (
            item("q", "quantity", *UNITS),
            "80.5 kg",
            {
                "valueQuantity": {
                    "value": Decimal("80.5"),
                    "unit": "kg",
                    "system": "http://unitsofmeasure.org",
                    "code": "kg",
                }
            },
        ),
        (item("q", "quantity"), "3 cups", {"valueQuantity": {"value": 3, "unit": "cups"}}),
        (item("q", "reference"), "Device/1", {"valueReference": {"reference": "Device/1"}}),
        (
            item("q", "attachment"),
            {"valueAttachment": {"contentType": "text/plain", "data": "eA=="}},
            {"valueAttachment": {"contentType": "text/plain", "data": "eA=="}},
        ),
    ],
)
def test_what_is_read(raw: dict[str, Any], value: Any, expected: dict[str, Any]) -> None:
    assert read(raw, value) == [expected]


@pytest.mark.parametrize(
    "raw, value",
    [
        (item("q", "boolean"), "perhaps"),
        (item("q", "integer"), "1.5"),
        (item("q", "integer"), "99999999999"),
        (item("q", "integer"), True),
        (item("q", "decimal"), "1,5"),
        (item("q", "decimal"), "NaN"),
        (item("q", "decimal"), "1e5"),
        (item("q", "string"), "two\nlines"),
        (item("q", "date"), "02/28/2026"),
        (item("q", "date"), "2026-02-30"),
        (item("q", "date"), "2026-02-28T10:00"),
        (item("q", "dateTime"), "10:00"),
        (item("q", "time"), "25:00"),
        (item("q", "url"), "a b"),
        (item("q", "choice", answerOption=LISTED), "z"),
        (item("q", "choice", answerOption=LISTED), {"valueCoding": {"code": "z"}}),
        (item("q", "choice", answerValueSet="http://example.org/absent"), "a"),
        (item("q", "quantity", *UNITS), "80"),
        (item("q", "quantity", *UNITS), "80 stone"),
        (item("q", "reference"), "javascript:alert(1)"),
        (item("q", "attachment"), "a file"),
        (item("q", "string"), "x" * 100_001),
    ],
)
def test_what_is_refused(raw: dict[str, Any], value: Any) -> None:
    with pytest.raises(InputError) as caught:
        read(raw, value)
    assert caught.value.http_status == 422
    assert caught.value.expression == "q"
    assert str(value)[:40] not in caught.value.message or len(str(value)) < 4


def test_blank_is_nothing() -> None:
    assert read(item("q", "string"), "", "  ") == []


def test_several_answers_only_where_the_item_repeats() -> None:
    assert read(item("q", "string", repeats=True), "a", "b", "a") == [{"valueString": "a"}, {"valueString": "b"}]
    with pytest.raises(InputError):
        read(item("q", "string"), "a", "b")
