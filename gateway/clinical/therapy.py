"""Therapy sessions as the criteria read them, for pages and timers. Source: spec/clinical.md §1.6."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from gateway.clinical.chart import Chart


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One attended session."""

    day: date
    """Local day."""
    reference: str
    """`Type/id`."""
    is_certain: bool
    """About the region for certain; otherwise it does not say what for."""


def read_sessions(chart: Chart) -> tuple[Session, ...]:
    """Attended sessions of the episode and the window that are not for another region."""
    criteria = chart.criteria()
    return tuple(
        Session(
            day=date.fromisoformat(row["dated"]),
            reference=criteria.original(row["key"]),
            is_certain=row["subject"] == "region",
        )
        for row in criteria.value("Counted sessions", "CareTreatment")
    )
