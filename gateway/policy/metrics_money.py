"""Measures whose input lives in billing and time systems: an operator supplies it, or they say *not recorded*.

Source: spec/clinical.md §8 (revenue at risk, audits, recovery, staff time).
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from fractions import Fraction

from gateway.policy.metrics_care import authored
from gateway.policy.metrics_math import Cell, is_small, rate, spread
from gateway.policy.metrics_measure import NOT_RECORDED, Measure
from gateway.policy.metrics_rows import RUN_OUT, ClaimFact, MeasureInput

_CENT = Decimal("0.01")


def revenue_at_risk(given: MeasureInput) -> Measure:
    """Money at risk: each claim in one bucket, recouped before denied before paid with a gap."""
    measure = Measure(
        id="revenue_at_risk",
        title="Revenue at risk",
        definition="over distinct claims of the period: recouped amounts + expected amounts of denials not overturned "
        "+ cost of appeals (at least); + paid amounts of claims with a gap on audit (at most)",
        unit="amount",
        notes=(NOT_RECORDED,),
    )
    claims = _claims(given)
    if claims is None:
        return measure
    if is_small(len(claims)):
        return _with(measure, (Cell(is_hidden=True),))
    low, gap = _amounts(given, claims)
    cells = [Cell(denominator=len(claims), amount_low=low, amount_high=low + gap)]
    orders = len(authored(given))
    if orders and not is_small(orders):
        each = Decimal(100) / orders
        cells.append(
            Cell(
                by="per 100 orders",
                group="in scope",
                denominator=orders,
                amount_low=(low * each).quantize(_CENT),
                amount_high=((low + gap) * each).quantize(_CENT),
            )
        )
    cost = given.operator.appeal_cost
    notes = () if cost is not None else ("The cost of an appeal is not set; appeals are left out.",)
    return _with(measure, tuple(cells), notes)


def _amounts(given: MeasureInput, claims: Iterable[ClaimFact]) -> tuple[Decimal, Decimal]:
    """(recouped, denied and appeals; paid with a gap)."""
    low, gap = Decimal(0), Decimal(0)
    for claim in claims:
        low += claim.appeals * (given.operator.appeal_cost or Decimal(0))
        if claim.recouped:
            low += claim.recouped
        elif claim.is_denied and not claim.is_overturned:
            low += claim.expected
        elif claim.paid and claim.audit_verdict == "GAP":
            gap += claim.paid
    return low, gap


def post_pay_audits(given: MeasureInput) -> Measure:
    """How often paid claims are asked about."""
    measure = Measure(
        id="post_pay_audit_frequency",
        title="Post-pay audits",
        definition="claims with a record request or audit notice in the period / paid in-scope claims",
        unit="share",
        notes=(NOT_RECORDED,),
    )
    if given.operator.claims is None:
        return measure
    paid = [claim for claim in _distinct(given.operator.claims) if claim.paid]
    asked = sum(given.period.has(claim.audit_on) for claim in paid)
    return _with(measure, (rate(asked, len(paid)),))


def post_pay_recovery(given: MeasureInput) -> Measure:
    """How often paid claims are taken back, once a year has passed."""
    measure = Measure(
        id="post_pay_recovery_rate",
        title="Post-pay recovery",
        definition="claims taken back / paid in-scope claims of at least 12 months ago",
        unit="share",
        notes=(NOT_RECORDED,),
    )
    if given.operator.claims is None:
        return measure
    oldest = given.period.day(given.as_of) - RUN_OUT
    paid = [claim for claim in _distinct(given.operator.claims) if claim.paid and claim.on <= oldest]
    return _with(measure, (rate(sum(bool(claim.recouped) for claim in paid), len(paid)),), ("It lags by a year.",))


def staff_time(given: MeasureInput) -> Measure:
    """Minutes of staff for a request."""
    measure = Measure(
        id="staff_time",
        title="Staff time per request",
        definition="active minutes per request sent in the period: median and 90th percentile",
        unit="minutes",
        notes=(NOT_RECORDED,),
    )
    minutes = given.operator.staff_minutes
    if minutes is None:
        return measure
    values = [Fraction(number) for on, number in minutes if given.period.has(on)]
    return _with(measure, (spread(values),), ("Supplied by the operator; portal and telephone time may be missing.",))


def _with(measure: Measure, cells: tuple[Cell, ...], notes: tuple[str, ...] = ()) -> Measure:
    return Measure(
        id=measure.id,
        title=measure.title,
        definition=measure.definition,
        unit=measure.unit,
        cells=cells,
        notes=notes,
    )


def _claims(given: MeasureInput) -> list[ClaimFact] | None:
    """Distinct claims dated in the period; None where an operator supplied none."""
    if given.operator.claims is None:
        return None
    return [claim for claim in _distinct(given.operator.claims) if given.period.has(claim.on)]


def _distinct(claims: Iterable[ClaimFact]) -> list[ClaimFact]:
    """The last entry of each claim."""
    return list({claim.claim_id: claim for claim in claims}.values())


BUILDERS = (revenue_at_risk, post_pay_audits, post_pay_recovery, staff_time)
"""Measures of this module, in their order."""
