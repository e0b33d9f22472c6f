"""How far two dates or times are apart: whole units passed (duration) and boundaries crossed (difference).

Where a part is not known the answer is a range. Days and coarser units are counted on the calendar each value
was written with, hours and finer on one clock (CQL 1.5, Duration; field cases B01, B05).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Final

from gateway.reasoning.elm.failures import failure
from gateway.reasoning.elm.moment_order import as_date_time
from gateway.reasoning.elm.moment_steps import add_months
from gateway.reasoning.elm.moments import (
    DAY_MS,
    Date,
    Moment,
    Time,
    milliseconds,
    precision_index,
    shifted,
)
from gateway.reasoning.elm.numbers import Uncertain, uncertain

Parts = tuple[int, ...]
Span = Callable[[Parts, Parts], int]
_MS: Final = {
    "Week": 7 * DAY_MS,
    "Day": DAY_MS,
    "Hour": 3_600_000,
    "Minute": 60_000,
    "Second": 1000,
    "Millisecond": 1,
}


def duration_between(left: Moment, right: Moment, unit: str, offset: int) -> int | Uncertain:
    """Whole units from left to right, negative when right is earlier."""
    one, two = _pair(left, right, unit, offset)
    return _range(one, two, lambda first, last: _whole(first, last, unit), _is_partial(one) or _is_partial(two))


def _is_partial(value: Moment) -> bool:
    """Whether a part is missing; seconds and their fraction count as one decimal part (CQL 1.5, Duration)."""
    return len(value.parts) < value.full - (0 if isinstance(value, Date) else 1)


def difference_between(left: Moment, right: Moment, unit: str, offset: int) -> int | Uncertain:
    """Boundaries of the unit crossed from left to right; weeks begin on Sunday."""
    one, two = _pair(left, right, unit, offset)
    needed = precision_index(unit) + 1 - one.first
    return _range(
        one, two, lambda first, last: _crossed(first, last, unit), min(len(one.parts), len(two.parts)) < needed
    )


def _pair(left: Moment, right: Moment, unit: str, offset: int) -> tuple[Moment, Moment]:
    index = precision_index(unit)
    if isinstance(left, Time) or isinstance(right, Time):
        if not isinstance(left, Time) or not isinstance(right, Time) or index < 3:
            raise failure("value", "The two values have no distance in this unit.")
        return left, right
    if isinstance(left, Date) and isinstance(right, Date) and index < 3:
        return left, right
    one, two = as_date_time(left, offset), as_date_time(right, offset)
    return (one, two) if index < 3 else (shifted(one, offset), shifted(two, offset))


def _range(left: Moment, right: Moment, span: Span, is_open: bool) -> int | Uncertain:
    if not is_open:
        return span(left.low(), right.low())
    return uncertain(span(left.high(), right.low()), span(left.low(), right.high()))


def _whole(first: Parts, last: Parts, unit: str) -> int:
    if first > last:
        return -_whole(last, first, unit)
    if unit in ("Year", "Month"):
        size = 12 if unit == "Year" else 1
        count = last[0] - first[0] if unit == "Year" else (last[0] - first[0]) * 12 + last[1] - first[1]
        return count if add_months(first, count * size) <= last else count - 1
    return (milliseconds(last) - milliseconds(first)) // _MS[unit]


def _crossed(first: Parts, last: Parts, unit: str) -> int:
    return _number(last, unit) - _number(first, unit)


def _number(parts: Parts, unit: str) -> int:
    """Which year, month, week, … since the beginning the parts lie in."""
    if unit == "Year":
        return parts[0]
    if unit == "Month":
        return parts[0] * 12 + parts[1]
    if unit in ("Day", "Week"):
        day = date(*parts[:3]).toordinal()
        return day // 7 if unit == "Week" else day
    return milliseconds(parts) // _MS[unit]


__all__ = ["difference_between", "duration_between"]
