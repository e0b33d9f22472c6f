"""Scores of outcome measures: those that were just entered, and those of a chart as the criteria read them.

A questionnaire's items are summed and read as per cent, one or two blanks are prorated, more make the
score invalid. Zero is a score. Source: spec/clinical.md §3.3, §3.5; field case B121.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any

from gateway.clinical.chart import Chart
from gateway.clinical.concepts import Measure


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """One valid score."""

    day: date
    """Local day."""
    value: Fraction
    """Per cent for item measures, the scale's own number otherwise."""
    reference: str
    """`Type/id`."""


def score_items(values: Iterable[int], measure: Measure) -> Fraction | None:
    """Per cent of the answered items of a form that is being filled, exact; None when too few are answered.

    `values` are the answers between 0 and the item's maximum, blanks left out.
    """
    answered = [value for value in values if 0 <= value <= measure.item_max]
    if len(answered) < measure.min_items:
        return None
    return Fraction(sum(answered) * 100, measure.item_max * len(answered))


def read_number(value: Any) -> Fraction | None:
    """A JSON number exactly; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        return None
    return Fraction(value) if not isinstance(value, Decimal) or value.is_finite() else None


def read_scores(chart: Chart, measure: Measure) -> tuple[Score, ...]:
    """Valid scores in the window and episode, one for each day, oldest first."""
    criteria = chart.criteria(measure.name)
    rows = criteria.value("Scores", "CareOutcome")
    return tuple(sorted((score_of(row, criteria.original(row["key"])) for row in rows), key=lambda score: score.day))


def score_of(row: Any, reference: str) -> Score:
    """A score from a row of the criteria."""
    value = Fraction(row["amount"]) / Fraction(row["scale"])
    return Score(day=date.fromisoformat(row["dated"]), value=value, reference=reference)
