"""Quantity and Ratio: values with units, compared and calculated across units of one kind.

Units of different kinds have no common answer: comparing them gives null, never an error (field case B11).
Calendar years and months are not UCUM years and months; equality between them is null, equivalence is not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Final

from gateway.reasoning.elm.numbers import (
    MAX_DECIMAL,
    MIN_DECIMAL,
    WORK,
    divide,
    fit_decimal,
    modulo,
    truncated_divide,
)
from gateway.reasoning.elm.units import CALENDAR, Measure, joined, measure

_CALENDAR_DAYS: Final = {"year": 365, "month": 30, "week": 7, "day": 1}
_UCUM_OF: Final = {"year": "a", "month": "mo"}


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number with a UCUM code or a CQL duration word; `1` when it has none."""

    value: Decimal
    unit: str = "1"


@dataclass(frozen=True, slots=True)
class Ratio:
    """One quantity for another; not reduced."""

    numerator: Quantity
    denominator: Quantity


def same_unit(left: str, right: str) -> bool:
    """Whether two spellings are one unit: `day` and `days`, no unit and `1`."""
    return left == right or _plain(left) == _plain(right)


def _plain(unit: str) -> str:
    return CALENDAR.get(unit, unit) or "1"


def base_values(left: Quantity, right: Quantity) -> tuple[Fraction, Fraction] | None:
    """Both in base units; None when they are of different or unknown kinds."""
    if same_unit(left.unit, right.unit):
        return Fraction(left.value), Fraction(right.value)
    one, two = measure(left.unit), measure(right.unit)
    if one is None or two is None:
        return None
    if one.dimensions != two.dimensions:
        return _calendar_values(left, right)
    return _base(left.value, one), _base(right.value, two)


def _base(value: Decimal, unit: Measure) -> Fraction:
    return Fraction(value) * unit.factor + unit.shift


def _calendar_values(left: Quantity, right: Quantity) -> tuple[Fraction, Fraction] | None:
    """Two calendar durations in days, a year counting 365 and a month 30."""
    one, two = CALENDAR.get(left.unit), CALENDAR.get(right.unit)
    if one is None or two is None:
        return None
    return _days(left.value, one), _days(right.value, two)


def _days(value: Decimal, word: str) -> Fraction:
    if word in _CALENDAR_DAYS:
        return Fraction(value) * _CALENDAR_DAYS[word]
    seconds = measure(word)
    return Fraction(value) * seconds.factor / 86400 if seconds else Fraction(0)


def compare_quantities(left: Quantity, right: Quantity) -> int | None:
    """-1, 0 or 1; None for different kinds."""
    pair = base_values(left, right)
    if pair is None:
        return None
    return 0 if pair[0] == pair[1] else -1 if pair[0] < pair[1] else 1


def equivalent_quantities(left: Quantity, right: Quantity) -> bool:
    """As equality, but a calendar year or month may stand for the UCUM one; different kinds are not equivalent."""
    if (left.unit in CALENDAR) != (right.unit in CALENDAR):
        left, right = _as_ucum(left), _as_ucum(right)
    return compare_quantities(left, right) == 0


def _as_ucum(quantity: Quantity) -> Quantity:
    word = CALENDAR.get(quantity.unit, "")
    return Quantity(quantity.value, _UCUM_OF[word]) if word in _UCUM_OF else quantity


def ratio_value(ratio: Ratio) -> Quantity | None:
    """The quotient of a ratio."""
    return divide_quantities(ratio.numerator, ratio.denominator)


def equivalent_ratios(left: Ratio, right: Ratio) -> bool:
    """Whether both have the same quotient."""
    one, two = ratio_value(left), ratio_value(right)
    return one is not None and two is not None and equivalent_quantities(one, two)


def convert_quantity(quantity: Quantity, unit: str) -> Quantity | None:
    """The same amount in another unit; None for a unit of another or unknown kind."""
    if same_unit(quantity.unit, unit):
        return Quantity(quantity.value, unit)
    one, two = measure(quantity.unit), measure(unit)
    if one is None or two is None or one.dimensions != two.dimensions:
        return None
    return _quantity((_base(quantity.value, one) - two.shift) / two.factor, unit)


def _quantity(value: Fraction, unit: str) -> Quantity | None:
    found = fit_decimal(WORK.divide(Decimal(value.numerator), Decimal(value.denominator)))
    return None if found is None else Quantity(found, unit)


def _sum_of(left: Quantity, right: Quantity, operation: Callable[[Decimal, Decimal], Decimal]) -> Quantity | None:
    if not same_unit(left.unit, right.unit):
        pair = _common(left, right)
        if pair is None:
            return None
        left, right = pair
    value = fit_decimal(operation(left.value, right.value))
    return None if value is None else Quantity(value, left.unit)


def _common(left: Quantity, right: Quantity) -> tuple[Quantity, Quantity] | None:
    """Both in the finer of the two units (CQL 1.5, Add for quantities)."""
    one, two = measure(left.unit), measure(right.unit)
    if one is None or two is None or one.dimensions != two.dimensions:
        return None
    unit = left.unit if one.factor <= two.factor else right.unit
    first, second = convert_quantity(left, unit), convert_quantity(right, unit)
    return None if first is None or second is None else (first, second)


def add_quantities(left: Quantity, right: Quantity) -> Quantity | None:
    """Sum in the finer unit; None for different kinds or out of range."""
    return _sum_of(left, right, WORK.add)


def subtract_quantities(left: Quantity, right: Quantity) -> Quantity | None:
    """Difference in the finer unit; None for different kinds or out of range."""
    return _sum_of(left, right, WORK.subtract)


def multiply_quantities(left: Quantity, right: Quantity) -> Quantity | None:
    """Product with the product of the units."""
    return _combined(left, right, fit_decimal(WORK.multiply(left.value, right.value)), 1)


def divide_quantities(left: Quantity, right: Quantity) -> Quantity | None:
    """Quotient with the quotient of the units; None for a division by zero."""
    return _combined(left, right, divide(left.value, right.value), -1)


def _combined(left: Quantity, right: Quantity, value: Decimal | None, sign: int) -> Quantity | None:
    unit = joined(_ucum(left.unit), _ucum(right.unit), sign)
    if value is None or unit is None:
        return None
    scale = measure(unit)
    if scale is not None and not scale.dimensions and unit != "1":
        return convert_quantity(Quantity(value, unit), "1")
    return Quantity(value, unit)


def _ucum(unit: str) -> str:
    word = CALENDAR.get(unit)
    if word is None:
        return unit
    codes = {"year": "a", "month": "mo", "week": "wk", "day": "d", "hour": "h", "minute": "min", "second": "s"}
    return codes.get(word, "ms")


def truncated_divide_quantities(left: Quantity, right: Quantity) -> Quantity | None:
    """Whole times that right goes into left, in the unit of the left side as the CQL suite has it."""
    return _remaindered(left, right, truncated_divide)


def modulo_quantities(left: Quantity, right: Quantity) -> Quantity | None:
    """Remainder in the unit of the left side; None for different kinds or a division by zero."""
    return _remaindered(left, right, modulo)


def _remaindered(
    left: Quantity, right: Quantity, operation: Callable[[Decimal, Decimal], Decimal | None]
) -> Quantity | None:
    converted = convert_quantity(right, left.unit)
    value = None if converted is None else operation(left.value, converted.value)
    return None if value is None else Quantity(value, left.unit)


def is_in_range(value: Decimal) -> bool:
    """Whether a number may be the value of a quantity."""
    return MIN_DECIMAL <= value <= MAX_DECIMAL
