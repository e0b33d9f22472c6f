"""Plans of the coverage that pays, for rows that ask differently by plan."""

from __future__ import annotations

from datetime import date

from gateway.fhir import Json
from gateway.fhir.reading import objects, one, text
from gateway.policy.routing import choose_coverage, is_in_force
from gateway.reasoning.record import RecordSnapshot


def plan_ids(record: RecordSnapshot, on: date) -> frozenset[str]:
    """Plan ids of the coverage that pays first; of all in force where that cannot be told."""
    coverages = record.of_type("Coverage")
    first, _ = choose_coverage(coverages, on)
    own = [first] if first else [item for item in coverages if is_in_force(item, on)]
    classes = [part for coverage in own for part in objects(coverage.get("class"))]
    return frozenset(text(part.get("value")) for part in classes if _is_plan(part))


def _is_plan(part: Json) -> bool:
    return any(coding.get("code") == "plan" for coding in objects(one(part.get("type")).get("coding")))
