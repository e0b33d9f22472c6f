"""`+ - * / div mod` for any two values: numbers, quantities, dates and a duration, uncertain Integers."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from gateway.reasoning.elm.equality import bounds
from gateway.reasoning.elm.failures import failure
from gateway.reasoning.elm.moment_steps import UNIT_INDEX, add_duration
from gateway.reasoning.elm.moments import Date, DateTime, Time
from gateway.reasoning.elm.numbers import (
    WORK,
    Long,
    Uncertain,
    as_decimal,
    divide,
    fit_decimal,
    fit_integer,
    fit_long,
    is_number,
    modulo,
    truncated_divide,
    uncertain,
)
from gateway.reasoning.elm.quantities import (
    Quantity,
    add_quantities,
    divide_quantities,
    modulo_quantities,
    multiply_quantities,
    subtract_quantities,
    truncated_divide_quantities,
)
from gateway.reasoning.elm.state import checked_text
from gateway.reasoning.elm.units import CALENDAR, WORD_OF_UCUM

_MOMENTS = (Date, DateTime, Time)


def not_defined() -> Exception:
    """The error of an operator that does not know the types it was given."""
    return failure("value", "An operation of the logic met values it is not defined for.")


def add(left: Any, right: Any) -> Any:
    """Sum; a date plus a duration is a date."""
    if isinstance(left, _MOMENTS):
        return _moved(left, right, 1)
    if isinstance(left, str) and isinstance(right, str):
        return checked_text(left + right)
    if isinstance(left, Quantity) and isinstance(right, Quantity):
        return add_quantities(left, right)
    return _numbers(left, right, lambda one, two: one + two, WORK.add)


def subtract(left: Any, right: Any) -> Any:
    """Difference; a date minus a duration is a date."""
    if isinstance(left, _MOMENTS):
        return _moved(left, right, -1)
    if isinstance(left, Quantity) and isinstance(right, Quantity):
        return subtract_quantities(left, right)
    if isinstance(right, Uncertain):
        return add(left, Uncertain(-right.high, -right.low))
    return _numbers(left, right, lambda one, two: one - two, WORK.subtract)


def multiply(left: Any, right: Any) -> Any:
    """Product; a quantity times a number is a quantity."""
    left, right = _as_quantities(left, right)
    if isinstance(left, Quantity) and isinstance(right, Quantity):
        return multiply_quantities(left, right)
    return _numbers(left, right, lambda one, two: one * two, WORK.multiply)


def quotient(left: Any, right: Any) -> Any:
    """`/`, always Decimal or Quantity; null for a division by zero."""
    left, right = _as_quantities(left, right)
    if isinstance(left, Quantity) and isinstance(right, Quantity):
        return divide_quantities(left, right)
    if is_number(left) and is_number(right):
        return divide(as_decimal(left), as_decimal(right))
    raise not_defined()


def truncated(left: Any, right: Any) -> Any:
    """`div`; null for a division by zero."""
    return _whole(left, right, truncated_divide, truncated_divide_quantities)


def remainder(left: Any, right: Any) -> Any:
    """`mod` with the sign of the dividend; null for a division by zero."""
    return _whole(left, right, modulo, modulo_quantities)


def _whole(
    left: Any,
    right: Any,
    decimals: Callable[[Decimal, Decimal], Decimal | None],
    quantities: Callable[[Quantity, Quantity], Quantity | None],
) -> Any:
    left, right = _as_quantities(left, right)
    if isinstance(left, Quantity) and isinstance(right, Quantity):
        return quantities(left, right)
    if not is_number(left) or not is_number(right):
        raise not_defined()
    found = decimals(as_decimal(left), as_decimal(right))
    if found is None or isinstance(left, Decimal) or isinstance(right, Decimal):
        return found
    return fit_long(int(found)) if isinstance(left, Long) or isinstance(right, Long) else fit_integer(int(found))


def _as_quantities(left: Any, right: Any) -> tuple[Any, Any]:
    """A number beside a quantity becomes a quantity without a unit."""
    if isinstance(left, Quantity) and is_number(right):
        return left, Quantity(as_decimal(right))
    if isinstance(right, Quantity) and is_number(left):
        return Quantity(as_decimal(left)), right
    return left, right


def _numbers(
    left: Any,
    right: Any,
    integers: Callable[[int, int], int],
    decimals: Callable[[Decimal, Decimal], Decimal],
) -> Any:
    if isinstance(left, Uncertain) or isinstance(right, Uncertain):
        return _uncertain(left, right, integers)
    if not is_number(left) or not is_number(right):
        raise not_defined()
    if isinstance(left, Decimal) or isinstance(right, Decimal):
        return fit_decimal(decimals(as_decimal(left), as_decimal(right)))
    found = integers(int(left), int(right))
    return fit_long(found) if isinstance(left, Long) or isinstance(right, Long) else fit_integer(found)


def _uncertain(left: Any, right: Any, integers: Callable[[int, int], int]) -> Any:
    if not all(isinstance(one, int | Uncertain) and not isinstance(one, bool) for one in (left, right)):
        raise not_defined()
    found = [integers(one, two) for one in bounds(left) for two in bounds(right)]
    return uncertain(min(found), max(found))


def _moved(moment: Any, duration: Any, sign: int) -> Any:
    if not isinstance(duration, Quantity):
        raise not_defined()
    unit = CALENDAR.get(duration.unit) or WORD_OF_UCUM.get(duration.unit, "")
    if unit != "week" and unit not in UNIT_INDEX:
        raise failure("value", "A date can only be moved by a duration.")
    return add_duration(moment, duration.value * sign, unit)
