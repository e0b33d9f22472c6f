"""What the scores of one measure come to, as the criteria judge it, for pages and timers.

Source: spec/clinical.md §3.4, §3.5.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction

from gateway.clinical.chart import Chart
from gateway.clinical.concepts import Measure
from gateway.clinical.scores import Score, score_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A baseline and a later score of one measure, and what the change comes to."""

    measure: Measure
    """The measure."""
    baseline: Score
    """Earliest valid score of the episode."""
    decision: Score
    """Latest valid score."""
    is_plateau: bool
    """The improvement is too small to count."""
    is_residual: bool
    """Disability remains."""

    @property
    def improvement(self) -> Fraction:
        """How much better the later score is, in the measure's own unit; negative when worse."""
        change = self.baseline.value - self.decision.value
        return change if self.measure.higher_is == "worse" else -change


def find_pair(chart: Chart, measure: Measure, *, any_interval: bool = False) -> Pair | None:
    """The measure's pair whose distance and age fit the row; None when there is none.

    `any_interval` takes the first and the last score, however far apart: how it goes, not what decides.
    """
    criteria = chart.criteria(measure.name, any_interval=any_interval)
    found = criteria.value("Pair", "CareOutcome")
    if found is None:
        return None
    return Pair(
        measure=measure,
        baseline=score_of(found["first"], criteria.original(found["first"]["key"])),
        decision=score_of(found["last"], criteria.original(found["last"]["key"])),
        is_plateau=bool(criteria.value("Is plateau", "CareOutcome")),
        is_residual=bool(criteria.value("Is residual", "CareOutcome")),
    )


def show(value: Fraction) -> str:
    """A score with one decimal, none where it is whole."""
    number = Decimal(value.numerator) / Decimal(value.denominator)
    return str(value.numerator) if value.denominator == 1 else str(number.quantize(Decimal("0.1"), ROUND_HALF_UP))
