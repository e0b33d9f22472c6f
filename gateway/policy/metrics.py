"""The measures: exact numerators and denominators over one frozen input. Pure; nothing is estimated.

What the gateway does not record is reported as *not recorded* unless an operator supplies it. No measure says
why a number changed. Source: spec/clinical.md §8; spec/ux.md (measures).
"""

from __future__ import annotations

from gateway.policy import metrics_care, metrics_forms, metrics_money, metrics_payer
from gateway.policy.metrics_measure import Measure
from gateway.policy.metrics_rows import MeasureInput

__all__ = ["BUILDERS", "Measure", "compute"]

BUILDERS = (*metrics_payer.BUILDERS, *metrics_care.BUILDERS, *metrics_forms.BUILDERS, *metrics_money.BUILDERS)
"""One function per measure, in the order in which they are shown."""


def compute(given: MeasureInput) -> tuple[Measure, ...]:
    """Every measure over the input."""
    return tuple(build(given).guarded() for build in BUILDERS)
