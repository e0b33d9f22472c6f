"""Courses of drugs as the criteria read them, for pages and timers. Source: spec/clinical.md §1.6, §2.3."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Literal

from gateway.clinical.chart import Chart
from gateway.clinical.concepts import Drug

Kind = Literal["order", "dispense", "statement"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """One entry of a drug."""

    kind: Kind
    """Where it stands."""
    reference: str
    """`Type/id` of the entry."""
    drug: Drug | None
    """Ingredient; None for a coded drug that nobody here knows."""
    start: date
    """First day."""
    end: date | None
    """First day without it (half-open); None when it cannot be computed."""


def read_courses(chart: Chart) -> tuple[Course, ...]:
    """Every coded drug entry begun by the order date, in an allowed state, not plainly for another region."""
    criteria = chart.criteria()
    return tuple(
        Course(
            kind=row["kind"],
            reference=criteria.original(row["key"]),
            drug=chart.concepts.drug_of(row["drug"]["code"]) if row["drug"] else None,
            start=date.fromisoformat(row["first"]),
            end=date.fromisoformat(row["until"]) if row["until"] else None,
        )
        for row in criteria.value("Courses", "CareTreatment")
    )
