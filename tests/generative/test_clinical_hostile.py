"""Charts that were tampered with: the verdict may change, nothing may break."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.clinical.evaluate import evaluate
from gateway.clinical.panel import build_panel
from gateway.clinical.rules import load_concepts
from gateway.reasoning.record import RecordSnapshot
from tests.clinical_charts import NOW, RULES, ZONE, base, concept, observation, ref

VERDICTS = {"NOT_APPLICABLE", "RED_FLAG_BYPASS", "RED_FLAG_INCOMPLETE", "GAP", "INDETERMINATE", "PASS"}
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**20), 10**20),
    st.text(max_size=8),
    st.sampled_from(["2026-13-45", "2026-02", "0000", "active", "Condition/neck", "9999-12-31"]),
)
JSON = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["coding", "code", "system", "value", "start", "end", "reference"]), inner, max_size=3
        )
    ),
    max_leaves=6,
)


def everything() -> dict[str, Any]:
    """The complete chart with one of every other kind of evidence."""
    chart = base()
    extra = [
        observation(
            "arm-symptom",
            "2026-02-10",
            "left",
            valueBoolean=True,
            component=[{"code": concept("radiation"), "valueCodeableConcept": concept("digit-3")}],
        ),
        observation("strength-triceps", "2026-02-10", "left", valueCodeableConcept=concept("mrc-4")),
        observation(
            "clonus",
            "2026-02-10",
            "left",
            valueBoolean=True,
            component=[{"code": concept("clonus-beats"), "valueInteger": 3}],
        ),
        {
            "resourceType": "ClinicalImpression",
            "id": "ci",
            "status": "completed",
            "code": concept("red-flag-attestation"),
            "date": "2026-02-16",
            "assessor": ref("Practitioner/doctor"),
            "finding": [{"itemCodeableConcept": concept("rf2")}],
        },
        {
            "resourceType": "Provenance",
            "id": "pv",
            "target": [ref("ClinicalImpression/ci")],
            "agent": [{"type": concept("attester"), "who": ref("Practitioner/doctor")}],
        },
        {
            "resourceType": "MedicationDispense",
            "id": "md",
            "status": "completed",
            "medicationCodeableConcept": concept("7258", "http://www.nlm.nih.gov/research/umls/rxnorm"),
            "whenHandedOver": "2026-01-05",
            "daysSupply": {"value": 10},
        },
        {
            "resourceType": "Communication",
            "id": "cm",
            "status": "completed",
            "topic": concept("home-exercise"),
            "sent": "2026-01-10",
            "recipient": [ref("Patient/p")],
        },
        {
            "resourceType": "Coverage",
            "id": "cv",
            "status": "active",
            "period": {"start": "2025"},
            "class": [{"type": concept("plan"), "value": "x"}],
        },
        {
            "resourceType": "ExplanationOfBenefit",
            "id": "eob",
            "status": "active",
            "item": [
                {
                    "productOrService": concept("97110", "http://www.ama-assn.org/go/cpt"),
                    "servicedDate": "2026-02-01",
                    "diagnosisSequence": [1],
                }
            ],
            "diagnosis": [{"sequence": 1}],
        },
    ]
    return {**chart, **{resource["id"]: resource for resource in extra}}


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Paths of everything inside a JSON value."""
    items = (
        list(value.items()) if isinstance(value, dict) else list(enumerate(value)) if isinstance(value, list) else []
    )
    return [found for key, item in items for found in [(*path, key), *_places(item, (*path, key))]]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data(), row=st.sampled_from(sorted(RULES)), times=st.integers(1, 4))
def test_any_chart_gets_a_verdict(data: st.DataObject, row: str, times: int) -> None:
    chart = everything()
    for _ in range(times):
        resource = data.draw(st.sampled_from(sorted(chart)))
        places = _places(chart[resource])
        *path, last = data.draw(st.sampled_from(places))
        spot: Any = chart[resource]
        for key in path:
            spot = spot[key]
        spot[last] = data.draw(JSON)
    record = RecordSnapshot(chart.values())
    found = evaluate(record, chart["order"], RULES[row], load_concepts(), ZONE, NOW)
    assert found.verdict in VERDICTS
    assert all(element.line for element in found.elements)
    build_panel(found, RULES[row], NOW.date())
