"""Integer, Long and Decimal as CQL has them: exact, bounded, eight places.

Integer is `int`, Long is `Long`, Decimal is `decimal.Decimal`. A result that does not fit is null.
Quotients and the like are rounded half away from zero to the eighth place (CQL 1.5, Decimal).
"""

from __future__ import annotations

from decimal import MAX_EMAX, MIN_EMIN, ROUND_HALF_UP, Context, Decimal, InvalidOperation
from typing import Any, Final

from gateway.reasoning.elm.failures import failure

MIN_INTEGER: Final = -(2**31)
MAX_INTEGER: Final = 2**31 - 1
MIN_LONG: Final = -(2**63)
MAX_LONG: Final = 2**63 - 1
MAX_DECIMAL: Final = Decimal("99999999999999999999.99999999")
MIN_DECIMAL: Final = -MAX_DECIMAL
STEP: Final = Decimal("0.00000001")
"""Distance between neighbouring Decimals."""
ZERO: Final = Decimal(0)
WORK: Final = Context(prec=60, rounding=ROUND_HALF_UP, Emin=MIN_EMIN, Emax=MAX_EMAX)
"""Precision of intermediate results."""
_NARROW: Final = Context(prec=60, rounding=ROUND_HALF_UP, Emin=-999, Emax=999, traps=[InvalidOperation])
"""For transcendental functions: a result beyond 10^999 is Infinity at once instead of slow."""


class Long(int):
    """A 64-bit integer; Python's own `int` stands for Integer."""

    __slots__ = ()


class Uncertain:
    """An Integer known only to lie between two bounds, as durations between partial dates are."""

    __slots__ = ("high", "low")

    def __init__(self, low: int, high: int) -> None:
        self.low = low
        self.high = high


def uncertain(low: int, high: int) -> Uncertain | int:
    """The bounds as one value; a plain Integer when they agree."""
    return low if low == high else Uncertain(low, high)


def fit_integer(value: int) -> int | None:
    """The value, or None outside 32 bits."""
    return value if MIN_INTEGER <= value <= MAX_INTEGER else None


def fit_long(value: int) -> Long | None:
    """The value as Long, or None outside 64 bits."""
    return Long(value) if MIN_LONG <= value <= MAX_LONG else None


def fit_decimal(value: Decimal) -> Decimal | None:
    """The value at eight places at most, or None outside 28 digits."""
    if not value.is_finite():
        return None
    exponent = value.as_tuple().exponent
    if value == 0:
        return value if exponent in range(-8, 1) else ZERO
    if isinstance(exponent, int) and exponent < -8:
        value = value.quantize(STEP, context=WORK)
    elif isinstance(exponent, int) and exponent > 0:
        if value.adjusted() > 30:
            return None
        value = value.quantize(Decimal(1), context=WORK)
    return value if MIN_DECIMAL <= value <= MAX_DECIMAL else None


def fit(value: int | Decimal) -> int | Decimal | None:
    """Bounds of whatever type the number has."""
    if isinstance(value, Decimal):
        return fit_decimal(value)
    return fit_long(value) if isinstance(value, Long) else fit_integer(value)


def is_number(value: Any) -> bool:
    """Whether a value is Integer, Long or Decimal; Boolean is none of them."""
    return isinstance(value, int | Decimal) and not isinstance(value, bool)


def as_decimal(value: int | Decimal) -> Decimal:
    """The number as Decimal, unbounded."""
    return value if isinstance(value, Decimal) else Decimal(int(value))


def divide(left: Decimal, right: Decimal) -> Decimal | None:
    """Quotient at eight places; None for a division by zero."""
    return None if right == 0 else fit_decimal(WORK.divide(left, right))


def truncated_divide(left: Decimal, right: Decimal) -> Decimal | None:
    """Quotient cut towards zero; None for a division by zero."""
    return None if right == 0 else fit_decimal(WORK.divide_int(left, right))


def modulo(left: Decimal, right: Decimal) -> Decimal | None:
    """Remainder with the sign of the dividend; None for a division by zero."""
    return None if right == 0 else fit_decimal(WORK.remainder(left, right))


def round_half(value: Decimal, places: int) -> Decimal | None:
    """Rounded half away from zero, as the CQL suite has it."""
    if places > 8:
        return fit_decimal(value)
    return fit_decimal(value.quantize(Decimal(1).scaleb(-max(places, -30)), context=WORK))


def natural_log(value: Decimal) -> Decimal | None:
    """`Ln`; None for a negative number. Raises `elm.value` at zero, where CQL says it fails."""
    if value == 0:
        raise failure("value", "The logarithm of zero does not exist.")
    return None if value < 0 else fit_decimal(_NARROW.ln(value))


def logarithm(value: Decimal, base: Decimal) -> Decimal | None:
    """`Log`; None where it does not exist."""
    if value <= 0 or base <= 0 or base == 1:
        return None
    return fit_decimal(WORK.divide(_NARROW.ln(value), _NARROW.ln(base)))


def exponential(value: Decimal) -> Decimal:
    """`Exp`. Raises `elm.value` when the result is out of range, as the suite has it."""
    found = fit_decimal(_NARROW.exp(value)) if value < 100 else None
    if found is None:
        raise failure("value", "The exponential is out of range.")
    return found


def power(base: int | Decimal, exponent: int | Decimal) -> int | Decimal | None:
    """`Power`: Integer or Long when both are and the exponent is not negative, else Decimal; None out of range."""
    if isinstance(base, int) and isinstance(exponent, int) and exponent >= 0:
        return _integer_power(base, exponent)
    try:
        return fit_decimal(_NARROW.power(as_decimal(base), as_decimal(exponent)))
    except InvalidOperation:
        return None


def _integer_power(base: int, exponent: int) -> int | None:
    if abs(base) > 1 and exponent > 64:
        return None
    value = int(base) ** int(exponent if abs(base) > 1 else min(exponent, 2 + exponent % 2))
    return fit_long(value) if isinstance(base, Long) or isinstance(exponent, Long) else fit_integer(value)


def square_root(value: Decimal) -> Decimal | None:
    """Square root at eight places."""
    return fit_decimal(WORK.sqrt(value))
