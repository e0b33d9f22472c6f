"""Small invented charts of the low back and of the right shoulder: complete ones, to be changed at one place."""

from __future__ import annotations

from typing import Any

from gateway.clinical.evaluate import Evaluation, evaluate
from gateway.clinical.rules import load_concepts
from gateway.reasoning.record import RecordSnapshot
from tests.clinical_charts import (
    CPT,
    ICD,
    LOCAL,
    NOW,
    RULES,
    SCT,
    ZONE,
    Change,
    Json,
    base,
    concept,
    observation,
    order,
    put,
    ref,
)
from tests.readings.clinical.evaluate import evaluate as read_again

LOINC = "http://loinc.org"
HCPCS = "http://www.cms.gov/Medicare/Coding/HCPCSReleaseCodeSets"
RIGHT, LEFT = "24028007", "7771000"


def total(code: str, day: str, value: float | int, system: str = LOCAL, unit: str = "{score}") -> Json:
    """A total of an outcome measure."""
    return {
        "resourceType": "Observation",
        "id": f"score-{code}-{day}",
        "status": "final",
        "code": concept(code, system),
        "effectiveDateTime": f"{day}T09:00:00-08:00",
        "valueQuantity": {"value": value, "code": unit},
    }


def odi(day: str, percent: int) -> Json:
    """An Oswestry total in per cent."""
    return total("97908-8", day, percent, LOINC, "%")


def screens(catalog: str, *yes: str) -> list[Json]:
    """The screening questions of a catalogue, all answered, those of `yes` with yes."""
    known = load_concepts().with_catalog(catalog)
    assert known is not None
    return [observation(name, "2026-02-16", valueBoolean=name in yes) for name in known.red_flags.screens]


def attested(category: str, **changes: Any) -> list[Json]:
    """A completed impression of one category and the attestation of the ordering clinician."""
    impression = {
        "resourceType": "ClinicalImpression",
        "id": "impression",
        "status": "completed",
        "code": concept("red-flag-attestation"),
        "effectiveDateTime": "2026-02-16T09:40:00-08:00",
        "assessor": ref("Practitioner/doctor"),
        "finding": [{"itemCodeableConcept": concept(category)}],
        **changes,
    }
    agent = {"type": {"coding": [{"code": "attester"}]}, "who": ref("Practitioner/doctor")}
    attestation = {
        "resourceType": "Provenance",
        "id": "attestation",
        "target": [ref("ClinicalImpression/impression")],
        "agent": [agent],
    }
    return [impression, attestation]


def low_back() -> dict[str, Json]:
    """Day 42 of non-specific low back pain, everything documented."""
    chart = base()
    for name in [key for key in chart if key.startswith("ndi")]:
        del chart[name]
    chart["neck"]["code"] = concept("M54.50", ICD)
    chart["order"] = order(code=concept("72148", CPT))
    put(odi("2026-01-07", 44), odi("2026-02-16", 40), *screens("lumbar-spine"))(chart)
    return chart


def shoulder() -> dict[str, Json]:
    """Day 42 of a rotator cuff tear on the right, everything documented, a radiograph first."""
    chart = base()
    for name in [key for key in chart if key.startswith("ndi")]:
        del chart[name]
    chart["neck"]["code"] = concept("M75.111", ICD)
    chart["order"] = order(code=concept("73221", CPT), orderDetail=[concept("RT", HCPCS)])
    scores = (total("quickdash-score", "2026-01-07", 52), total("quickdash-score", "2026-02-16", 41))
    put(radiograph(), *scores, *screens("shoulder"))(chart)
    return chart


def radiograph(**changes: Any) -> Json:
    """A radiograph of the right shoulder at the beginning."""
    return {
        "resourceType": "DiagnosticReport",
        "id": "radiograph",
        "status": "final",
        "code": concept("73030", CPT),
        "effectiveDateTime": "2026-01-06",
        **changes,
    }


def site(code: str) -> list[Json]:
    """A body site or side as an order names it."""
    return [concept(code, SCT)]


def record_of(chart: dict[str, Json]) -> RecordSnapshot:
    """The chart as a record."""
    return RecordSnapshot(chart.values())


def judge_low_back(change: Change = lambda chart: None) -> Evaluation:
    """The verdict on the low back after `change`."""
    return _judge(low_back(), "default-lumbar", change)


def judge_shoulder(change: Change = lambda chart: None) -> Evaluation:
    """The verdict on the shoulder after `change`."""
    return _judge(shoulder(), "default-shoulder", change)


def _judge(chart: dict[str, Json], rule: str, change: Change) -> Evaluation:
    """The product's verdict, which the second reading of the rule must share element by element."""
    change(chart)
    given = (record_of(chart), chart["order"], RULES[rule], load_concepts(), ZONE, NOW)
    found, other = evaluate(*given), read_again(*given)
    assert _told(found) == _told(other)
    return found


def _told(found: Evaluation) -> tuple[str, str, list[tuple[str, str, str, list[str]]]]:
    elements = [(item.element, item.status, item.reason, sorted(item.evidence)) for item in found.elements]
    return found.verdict, found.reason, elements
