"""Calendar arithmetic: adding a duration, the next and the previous value, the first and last of a precision."""

from __future__ import annotations

from calendar import monthrange
from decimal import Decimal
from typing import Final

from gateway.reasoning.elm.failures import failure
from gateway.reasoning.elm.moments import DAY_MS, Date, DateTime, Moment, Time, clock_of, milliseconds, parts_of

UNIT_INDEX: Final = {"year": 0, "month": 1, "day": 2, "hour": 3, "minute": 4, "second": 5, "millisecond": 6}
_SMALLER: Final = (12, 30, 24, 60, 60, 1000)
"""How many of the next finer unit make one of this; a month counts 30 days where the day is not known."""
_UNIT_MS: Final = (0, 0, DAY_MS, 3_600_000, 60_000, 1000, 1)
_DIGITS: Final = {Date: (4, 6, 8), DateTime: (4, 6, 8, 10, 12, 14, 17), Time: (2, 4, 6, 9)}


def add_duration(value: Moment, amount: Decimal, unit: str) -> Moment:
    """Value moved by calendar units (`year` to `millisecond`, `week`). Raises `elm.value` outside the calendar.

    Fractions count only in seconds. A unit finer than the value's precision is converted down to it and cut
    (CQL 1.5, Add for dates): `DateTime(2014) + 735 days` is 2016.
    """
    if unit == "week":
        return add_duration(value, amount * 7, "day")
    index = UNIT_INDEX[unit]
    if index == 5:
        amount, index = amount * 1000, 6
    if abs(amount) > 10**15:
        raise failure("value", "The date is outside the calendar.")
    count, index = _coarsened(int(amount), index, value.first + len(value.parts) - 1)
    if index < value.first:
        raise failure("value", "A time of day cannot be moved by days or more.")
    return _moved(value, count, index)


def _coarsened(amount: int, index: int, finest: int) -> tuple[int, int]:
    while index > finest:
        if index == 2 and finest == 0:
            return _cut(amount, 365), 0
        index -= 1
        amount = _cut(amount, _SMALLER[index])
    return amount, index


def _cut(amount: int, by: int) -> int:
    return amount // by if amount >= 0 else -(-amount // by)


def _moved(value: Moment, amount: int, index: int) -> Moment:
    if isinstance(value, Time):
        clock = clock_of((milliseconds(value.low()) + amount * _UNIT_MS[index]) % DAY_MS)
        return Time(clock[: len(value.parts)])
    if index < 2:
        return _same_kind(value, add_months(value.parts, amount * (12 if index == 0 else 1)))
    parts = parts_of(milliseconds(value.low()) + amount * _UNIT_MS[index])
    if parts is None:
        raise failure("value", "The date is outside the calendar.")
    return _same_kind(value, parts[: len(value.parts)])


def _same_kind(value: Date | DateTime, parts: tuple[int, ...]) -> Date | DateTime:
    return DateTime(parts, value.offset, value.zoned) if isinstance(value, DateTime) else Date(parts)


def add_months(parts: tuple[int, ...], months: int) -> tuple[int, ...]:
    """Date parts moved by months; a day that the month lacks becomes its last. Raises `elm.value` out of range."""
    total = parts[0] * 12 + (parts[1] - 1 if len(parts) > 1 else 0) + months
    year, month = divmod(total, 12)
    if not 1 <= year <= 9999:
        raise failure("value", "The date is outside the calendar.")
    if len(parts) == 1:
        return (year,)
    if len(parts) == 2:
        return year, month + 1
    return (year, month + 1, min(parts[2], monthrange(year, month + 1)[1]), *parts[3:])


def step(value: Moment, direction: int) -> Moment:
    """Next (1) or previous (-1) value at the value's own precision. Raises `elm.value` beyond the last one."""
    index = value.first + len(value.parts) - 1
    if isinstance(value, Time):
        moved = milliseconds(value.low()) + direction * _UNIT_MS[index]
        if not 0 <= moved < DAY_MS:
            raise failure("value", "There is no time of day beyond the last one.")
        return Time(clock_of(moved)[: len(value.parts)])
    return _moved(value, direction, index)


def boundary(value: Moment, digits: int | None, *, high: bool) -> Moment | None:
    """First or last value of a precision counted in digits (`LowBoundary`); None for a count that does not exist."""
    steps = _DIGITS[type(value)]
    if digits is None:
        digits = steps[-1]
    if digits not in steps:
        return None
    parts = (value.high() if high else value.low())[: steps.index(digits) + 1]
    return Time(parts) if isinstance(value, Time) else _same_kind(value, parts)


def digits_of(value: Moment) -> int:
    """Precision counted in digits, as `Precision` gives it."""
    return _DIGITS[type(value)][len(value.parts) - 1]
