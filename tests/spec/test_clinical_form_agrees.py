"""The payer's form and our own criteria read one chart in the same way where they ask the same thing."""

from __future__ import annotations

import base64
from decimal import ROUND_HALF_UP, Decimal
from functools import cache
from importlib.resources import files
from typing import Any

import pytest

from gateway.clinical.criteria import Criteria
from gateway.demo.charts import DemoChart, all_charts
from gateway.forms.populate import populate
from gateway.forms.view import form_view
from gateway.reasoning.elm import ElmDefines
from gateway.reasoning.record import RecordSnapshot
from tests.clinical_charts import RULES
from tests.criteria_mutants import criteria
from tests.form_samples import NOW
from tests.spec.test_form_worked_cases import launch_of, parts_of

CHARTS = {chart.chart_id: chart for chart in all_charts()}
ROW = "ill-carelon"
"""The row that counts what a form may name: orders, dispenses and the medication list."""


@cache
def _form(name: str) -> dict[str, str]:
    """Answers of the form by linkId, as people read them."""
    chart, package = CHARTS[name], parts_of("cervical-mri")
    record = RecordSnapshot.from_bundle(chart.bundle)
    launch = launch_of(chart, record)
    elm = (files("questionnaires") / "cervical-mri" / "library" / "CervicalMriForm.json").read_bytes()
    content = {"contentType": "application/elm+json", "data": base64.b64encode(elm).decode()}
    library = {"resourceType": "Library", "name": "CervicalMriForm", "content": [content]}
    order = record.find(chart.order_reference)
    defines = ElmDefines([library], (), record, now=NOW, order=order)
    draft = populate(package, launch, record, None, NOW, lambda: "form", defines)
    rows = form_view(package, draft, launch=launch, record=record)
    return {row.link_id: row.values[0] for row in rows if row.values}


@cache
def _criteria(name: str) -> Criteria:
    chart: DemoChart = CHARTS[name]
    entries = {entry["resource"]["id"]: entry["resource"] for entry in chart.bundle["entry"]}
    order = entries.pop(chart.order_reference.partition("/")[2])
    return criteria({**entries, "order": order}, RULES[ROW])


def _percent(score: dict[str, Any] | None) -> str | None:
    if score is None:
        return None
    exact = Decimal(score["amount"]) / Decimal(score["scale"])
    return str(exact.quantize(Decimal("0.1"), ROUND_HALF_UP))


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _day(found: dict[str, Any] | None) -> str | None:
    return found["dated"] if found else None


@pytest.mark.parametrize("name", sorted(CHARTS))
def test_form_and_criteria_agree(name: str) -> None:
    form, own = _form(name), _criteria(name)
    scores = own.value("First scores", "CareOutcome")
    drugs = own.value("Counted medication", "CareTreatment")
    wanted = {
        "days-since-onset": _text(own.value("Onset days", "CareRecord")),
        "pt-referral": _day(own.value("First referral")),
        "pt-sessions": _text(len(own.value("Session days")) or None),
        "pt-first": min(own.value("Session days"), default=None),
        "advice-date": _day(own.value("First advice")),
        "ndi-first": _percent(scores[0] if scores else None),
        "ndi-latest": _percent(scores[-1] if len(scores) > 1 else None),
        "drug-start": min((drug["first"] for drug in drugs), default=None),
    }
    assert {link_id: form.get(link_id) for link_id in wanted} == wanted
