"""Computed values as answers: what converts, what does not, and what is shown instead."""

from __future__ import annotations

from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from gateway.forms.conversion import convert
from gateway.forms.definition import ItemDefinition
from gateway.forms.options import OptionList, read_options
from gateway.profiles.dtr_package import FormPackageParts
from gateway.reasoning.fhirpath import FhirPath
from tests.form_samples import CORE, item

ZONE = ZoneInfo("America/Los_Angeles")
A = {"system": "http://example.org", "code": "a", "display": "Letter a"}
B = {"system": "http://example.org", "code": "b"}
LISTED = [{"valueCoding": A}, {"valueCoding": B}]
KG = {"url": f"{CORE}questionnaire-unitOption", "valueCoding": {"system": "http://unitsofmeasure.org", "code": "kg"}}
RESOURCE: dict[str, Any] = {
    "resourceType": "Observation",
    "id": "o",
    "status": "final",
    "code": {"coding": [{"system": "http://other.org", "code": "x"}, A], "text": "words"},
    "subject": {"reference": "Patient/p"},
    "effectiveDateTime": "2026-01-13T01:30:00Z",
    "issued": "2026-01-13T01:30:00.123Z",
    "valueQuantity": {"value": Decimal("6.0"), "unit": "kg", "system": "http://unitsofmeasure.org", "code": "kg"},
    "note": [{"text": "one"}, {"text": "two"}],
}


def converted(raw: dict[str, Any], path: str) -> Any:
    definition = ItemDefinition(link_id="q", item=raw)
    options = read_options(FormPackageParts(questionnaire={}), definition)
    return convert(FhirPath().trace(path, RESOURCE), definition, options, ZONE)


@pytest.mark.parametrize(
    "raw, path, expected",
    [
        (item("q", "date"), "effective", {"valueDate": "2026-01-12"}),
        (item("q", "dateTime"), "effective", {"valueDateTime": "2026-01-13T01:30:00Z"}),
        (item("q", "dateTime"), "@2026-01-13T10", {"valueDateTime": "2026-01-13"}),
        (item("q", "dateTime"), "@2026-07-13T10:30", {"valueDateTime": "2026-07-13T10:30:00-07:00"}),
        (item("q", "date"), "@2026-01", {"valueDate": "2026-01"}),
        (item("q", "time"), "@T10:30", {"valueTime": "10:30:00"}),
        (item("q", "integer"), "6.0", {"valueInteger": 6}),
        (item("q", "integer"), "value", {"valueInteger": 6}),
        (item("q", "decimal"), "value", {"valueDecimal": Decimal("6.0")}),
        (item("q", "decimal"), "3", {"valueDecimal": 3}),
        (item("q", "quantity"), "value", {"valueQuantity": RESOURCE["valueQuantity"]}),
        (
            item("q", "quantity", KG),
            "5",
            {"valueQuantity": {"value": 5, "unit": "kg", "system": "http://unitsofmeasure.org", "code": "kg"}},
        ),
        (item("q", "string"), "status", {"valueString": "final"}),
        (item("q", "string"), "code", {"valueString": "words"}),
        (item("q", "string"), "3.50", {"valueString": "3.50"}),
        (item("q", "boolean"), "status = 'final'", {"valueBoolean": True}),
        (item("q", "url"), "'http://example.org'", {"valueUri": "http://example.org"}),
        (item("q", "choice", answerOption=LISTED), "code", {"valueCoding": A}),
        (item("q", "choice", answerOption=LISTED), "'b'", {"valueCoding": B}),
        (item("q", "choice", answerOption=[{"valueString": "final"}]), "status", {"valueString": "final"}),
        (item("q", "choice", answerOption=[{"valueInteger": 3}]), "3", {"valueInteger": 3}),
        (
            item("q", "open-choice", answerOption=[{"valueCoding": B}]),
            "code",
            {"valueCoding": {"system": "http://other.org", "code": "x"}},
        ),
        (item("q", "open-choice", answerOption=[{"valueCoding": B}]), "'words'", {"valueString": "words"}),
        (item("q", "reference"), "subject", {"valueReference": {"reference": "Patient/p"}}),
        (item("q", "reference"), "$this", {"valueReference": {"reference": "Observation/o"}}),
    ],
)
def test_what_converts(raw: dict[str, Any], path: str, expected: dict[str, Any]) -> None:
    assert converted(raw, path).answers == (expected,)


@pytest.mark.parametrize(
    "raw, path, word",
    [
        (item("q", "integer"), "6.5", "type"),
        (item("q", "integer"), "status", "type"),
        (item("q", "boolean"), "status", "type"),
        (item("q", "date"), "@T10:30", "type"),
        (item("q", "time"), "@2026", "type"),
        (item("q", "quantity"), "status", "type"),
        (item("q", "quantity"), "5", "type"),
        (item("q", "choice", answerOption=[{"valueCoding": B}]), "code", "answers this question offers"),
        (item("q", "choice", answerOption=[{"valueString": "a"}]), "3", "answers this question offers"),
        (item("q", "string"), "note.text", "Several"),
        (
            item("q", "reference", {"url": f"{CORE}questionnaire-referenceResource", "valueCode": "Device"}),
            "subject",
            "type",
        ),
        (item("q", "attachment"), "status", "type"),
    ],
)
def test_what_does_not_fit_is_kept_aside_with_a_reason(raw: dict[str, Any], path: str, word: str) -> None:
    found = converted(raw, path)
    assert found.answers == ()
    assert word in found.reason
    assert found.refused


def test_a_comparator_is_not_a_number() -> None:
    definition = ItemDefinition(link_id="q", item=item("q", "decimal"))
    resource = {**RESOURCE, "valueQuantity": {"value": 5, "comparator": "<", "unit": "mg"}}
    found = convert(FhirPath().trace("value", resource), definition, OptionList(), ZONE)
    assert found.answers == ()


def test_repeating_items_take_each_value_once() -> None:
    raw = item("q", "string", repeats=True)
    assert converted(raw, "note.text | 'one'").answers == ({"valueString": "one"}, {"valueString": "two"})


def test_nothing_in_is_nothing_out_without_a_reason() -> None:
    found = converted(item("q", "string"), "{}")
    assert (found.answers, found.reason, found.refused) == ((), "", ())
