"""Another part of the body is new data, not new code."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.clinical.concepts import Concepts
from gateway.clinical.evaluate import Evaluation, evaluate
from gateway.clinical.rules import load_concepts
from gateway.reasoning.record import RecordSnapshot
from tests.clinical_charts import CPT, ICD, NOW, RULES, ZONE, base, concept, element, order

LOINC = "http://loinc.org"
REGION: dict[str, Any] = {
    "name": "low back",
    "procedures": ["72148", "72149", "72158"],
    "symptom_code": "M54.50",
    "diagnosis_code": "M54.16",
    "refinement_days": 14,
    "conditions": ["M54.5-", "M54.16", "M54.17", "M51.-"],
    "red_flag_triggers": {"always": ["G83.4"], "unless_screened": [], "never": []},
}
OSWESTRY: dict[str, Any] = {
    "name": "ODI",
    "kind": "items",
    "label": "Oswestry",
    "totals": ["97908-8"],
    "total_max": 50,
    "higher_is": "worse",
}


def _concepts() -> Concepts:
    content = load_concepts().model_dump(by_alias=True)
    content["region"] = [*content["region"], REGION]
    content["measure"] = [*content["measure"], OSWESTRY]
    return Concepts.model_validate(content)


def _odi(day: str, percent: int) -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "id": f"odi-{day}",
        "status": "final",
        "code": concept("97908-8", LOINC),
        "effectiveDateTime": day,
        "valueQuantity": {"value": percent, "code": "%"},
    }


def _judge(diagnosis: str) -> Evaluation:
    chart = base()
    for name in [key for key in chart if key.startswith("ndi")]:
        del chart[name]
    chart["neck"]["code"] = concept(diagnosis, ICD)
    chart["order"] = order(code=concept("72148", CPT))
    for score in (_odi("2026-01-07", 44), _odi("2026-02-16", 40)):
        chart[score["id"]] = score
    rule = RULES["default-strict"].overlaid(
        {
            "procedure": {"cpt": ["72148", "72149", "72158"]},
            "indications": ["M54.50", "M54.51", "M54.59"],
            "outcome": {"measures": ["ODI"]},
            "code_support": {},
        }
    )
    return evaluate(RecordSnapshot(chart.values()), chart["order"], rule, _concepts(), ZONE, NOW)


def test_the_same_code_judges_the_low_back() -> None:
    found = _judge("M54.50")
    assert found.verdict == "PASS"
    assert element(found, "OUTCOME").value == "44 % → 40 %"


@pytest.mark.parametrize("diagnosis", ["M54.2", "M17.11"])
def test_another_regions_diagnosis_is_not_applicable(diagnosis: str) -> None:
    assert _judge(diagnosis).reason == "indication"
