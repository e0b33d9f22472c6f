"""Arithmetic of the measures: rates with their n and interval, medians, and what small numbers hide.

Exact until the last step; shown with one decimal. Source: spec/clinical.md §8 (report n with every rate; hide
cells below 11; Wilson interval).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_HALF_UP, Decimal
from fractions import Fraction

SMALLEST_CELL = 11
"""A count of people below this, and not 0, is not shown: somebody might be recognised."""
_Z = Decimal("1.959963984540054")
"""Normal quantile of a 95 % interval."""
_TENTH = Decimal("0.1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One number of a measure, or one group of it."""

    by: str = ""
    """What it is split by: payer, diagnosis, reason, element, clinician; empty for the whole."""
    group: str = ""
    """The group; empty for the whole."""
    numerator: int | None = None
    """Count; None where there is none or it is hidden."""
    denominator: int | None = None
    """n; None where there is none or it is hidden."""
    percent: Decimal | None = None
    """Share in per cent, one decimal; None where n is 0 or it is hidden."""
    low: Decimal | None = None
    """Lower end of the 95 % Wilson interval, per cent."""
    high: Decimal | None = None
    """Upper end of it."""
    median: Decimal | None = None
    """Median, in the measure's unit."""
    p90: Decimal | None = None
    """90th percentile (nearest rank), in the measure's unit."""
    amount_low: Decimal | None = None
    """Money, at least."""
    amount_high: Decimal | None = None
    """Money, at most."""
    is_hidden: bool = False
    """Something was left out because it concerns fewer than 11."""


def rate(numerator: int, denominator: int, by: str = "", group: str = "") -> Cell:
    """A share with its n and interval; hidden where n, the count or its complement is from 1 to 10."""
    counts = (numerator, denominator, denominator - numerator)
    if is_small(denominator):
        return Cell(by=by, group=group, is_hidden=True)
    if any(is_small(count) for count in counts):
        return Cell(by=by, group=group, denominator=denominator, is_hidden=True)
    low, high = wilson(numerator, denominator)
    percent = shown(Fraction(100 * numerator, denominator)) if denominator else None
    return Cell(by=by, group=group, numerator=numerator, denominator=denominator, percent=percent, low=low, high=high)


def count(number: int, by: str = "", group: str = "") -> Cell:
    """A count of orders or people; hidden from 1 to 10."""
    if is_small(number):
        return Cell(by=by, group=group, is_hidden=True)
    return Cell(by=by, group=group, numerator=number)


def plain_count(number: int, by: str = "", group: str = "") -> Cell:
    """A count of things that are not people, shown whatever it is."""
    return Cell(by=by, group=group, numerator=number)


def spread(values: Sequence[Fraction], by: str = "", group: str = "") -> Cell:
    """Median and 90th percentile with n; hidden where n is from 1 to 10."""
    if is_small(len(values)):
        return Cell(by=by, group=group, is_hidden=True)
    if not values:
        return Cell(by=by, group=group, denominator=0)
    return Cell(
        by=by,
        group=group,
        denominator=len(values),
        median=shown(median(values)),
        p90=shown(nearest_rank(values, 90)),
    )


def is_small(number: int) -> bool:
    """Whether a count might let somebody be recognised."""
    return 0 < number < SMALLEST_CELL


def wilson(numerator: int, denominator: int) -> tuple[Decimal | None, Decimal | None]:
    """The 95 % Wilson score interval in per cent, one decimal; (None, None) for n = 0."""
    if not denominator:
        return None, None
    n = Decimal(denominator)
    share, square = Decimal(numerator) / n, _Z * _Z
    centre = share + square / (2 * n)
    half = _Z * (share * (1 - share) / n + square / (4 * n * n)).sqrt()
    whole = 1 + square / n
    ends = ((centre - half) / whole * 100, (centre + half) / whole * 100)
    low, high = (min(max(end, Decimal(0)), Decimal(100)).quantize(_TENTH, ROUND_HALF_UP) for end in ends)
    return low, high


def median(values: Sequence[Fraction]) -> Fraction:
    """The middle value, or the mean of the two middle ones; `values` is not empty."""
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def nearest_rank(values: Sequence[Fraction], percent: int) -> Fraction:
    """The smallest value that at least `percent` per cent of the values do not exceed; `values` is not empty."""
    rank = (Decimal(percent) * len(values) / 100).to_integral_value(ROUND_CEILING)
    return sorted(values)[max(int(rank), 1) - 1]


def shown(value: Fraction) -> Decimal:
    """A number with one decimal, half up."""
    return (Decimal(value.numerator) / Decimal(value.denominator)).quantize(_TENTH, ROUND_HALF_UP)
