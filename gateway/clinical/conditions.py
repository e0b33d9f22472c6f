"""Whether a problem is present, for pages and timers. Source: spec/clinical.md §1.3."""

from __future__ import annotations

from gateway.clinical.chart import Chart
from gateway.fhir import Json
from gateway.fhir.reading import objects, one, text
from gateway.reasoning.record import reference_of

_UNCERTAIN = frozenset({"unconfirmed", "provisional", "differential"})


def codes_of(resource: Json, element: str) -> frozenset[str]:
    """Codes of a status CodeableConcept, whatever their system."""
    return frozenset(text(coding.get("code")) for coding in objects(one(resource.get(element)).get("coding")))


def is_uncertain(condition: Json) -> bool:
    """Whether a Condition is recorded as not certain."""
    return bool(codes_of(condition, "verificationStatus") & _UNCERTAIN)


def is_active(condition: Json, chart: Chart) -> bool:
    """Whether a Condition of the chart's record is a present problem on the order date."""
    active = chart.criteria().value("Active problems", "CareRecord")
    return any(chart.criteria().original(row["key"]) == reference_of(condition) for row in active)
