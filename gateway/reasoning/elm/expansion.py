"""Collapse and expand: intervals joined where they touch, and cut into unit intervals.

Work is bounded before it is done: a century by the millisecond is refused, not begun.
"""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_DOWN, ROUND_FLOOR, Decimal
from functools import cmp_to_key
from typing import Any

from gateway.errors import ReasoningError
from gateway.reasoning.elm.calculation import add
from gateway.reasoning.elm.equality import compare
from gateway.reasoning.elm.failures import failure, limit
from gateway.reasoning.elm.interval_math import Scale, end_of, meets_before, overlaps, start_of, union
from gateway.reasoning.elm.intervals import MAXIMUM, Interval
from gateway.reasoning.elm.moment_spans import duration_between
from gateway.reasoning.elm.moment_steps import UNIT_INDEX, add_duration, step
from gateway.reasoning.elm.moments import PRECISIONS, Date, DateTime, Moment, Time
from gateway.reasoning.elm.numbers import as_decimal, is_number
from gateway.reasoning.elm.quantities import Quantity, convert_quantity
from gateway.reasoning.elm.state import MAX_LIST, State
from gateway.reasoning.elm.units import CALENDAR, WORD_OF_UCUM

_MOMENTS = (Date, DateTime, Time)


def collapse(intervals: Any, per: Any, state: State) -> list[Any]:
    """Intervals joined where they overlap, meet, or are no further apart than `per`; nulls are left out."""
    known: list[Interval] = [one for one in _listed(intervals) if _reaches(one)]
    state.spend(len(known) * 4)
    scale = Scale(None, state.offset)
    known.sort(key=cmp_to_key(lambda one, two: _order(one, two, state.offset)))
    found: list[Interval] = []
    for one in known:
        joined = _join(found[-1], one, per, scale) if found else None
        if joined is None:
            found.append(one)
        else:
            found[-1] = joined
    return found


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _reaches(interval: Any) -> bool:
    return interval is not None and (interval.start() is not None or interval.end() is not None)


def _order(left: Interval, right: Interval, offset: int) -> int:
    one, two = left.start(), right.start()
    if one is None or two is None:
        return (one is not None) - (two is not None)
    return compare(one, two, None, offset) or 0


def _join(left: Interval, right: Interval, per: Any, scale: Scale) -> Interval | None:
    if overlaps(left, right, scale) or meets_before(left, right, scale) or _is_near(left, right, per, scale):
        start, end = start_of(left), end_of(left)
        later = end if scale.at_most(end_of(right), end) else end_of(right)
        low = start.least if start.is_known else None
        high = later.least if later.is_known else None
        return Interval(low, high, low is not None, high is not None, left.point_type)
    return union(left, right, scale)


def _is_near(left: Interval, right: Interval, per: Any, scale: Scale) -> bool:
    end, start = left.end(), right.start()
    if not isinstance(per, Quantity) or end is None or start is None:
        return False
    reach = add(end, as_number(per) if is_number(end) else per)
    return reach is not None and compare(start, reach, None, scale.offset) in (-1, 0)


def as_number(per: Quantity) -> Any:
    """A step without a unit as a number."""
    return int(per.value) if per.value == per.value.to_integral_value() else per.value


def expand(intervals: Any, per: Any, state: State) -> list[Any] | None:
    """Unit intervals of a list of intervals, or the points where those of one interval begin.

    None when an end of the single interval is not known.
    """
    if isinstance(intervals, Interval):
        found = _units(intervals, per, state)
        return None if found is None else [one.low for one in found]
    units: list[Any] = []
    for one in collapse(intervals, per, state):
        units += _units(one, per, state) or []
    return units


def _units(interval: Interval, per: Any, state: State) -> list[Interval] | None:
    start, end = interval.start(), interval.end()
    if interval.low is None or interval.high is None or start is None or end is None:
        return None
    if isinstance(start, _MOMENTS) and isinstance(end, _MOMENTS):
        return _moment_units(start, end, per, state)
    if isinstance(start, Quantity):
        return _quantity_units(start, end, per, state)
    if not is_number(start):
        raise failure("value", "An operation of the logic met values it is not defined for.")
    width = per.value if isinstance(per, Quantity) else _default_width(start, end)
    return _number_units(start, end, width, state)


def _default_width(start: Any, end: Any) -> Decimal:
    """A step of the coarser of both ends."""
    places = min(_places(start), _places(end))
    return Decimal(1).scaleb(-places)


def _places(value: Any) -> int:
    exponent = as_decimal(value).as_tuple().exponent
    return max(-exponent, 0) if isinstance(exponent, int) else 0


def _number_units(start: Any, end: Any, width: Decimal, state: State) -> list[Interval]:
    """Ends finer than the step are cut to it; an Integer stands for all numbers that begin with it."""
    places = _places(width)
    unit = Decimal(1).scaleb(-places)
    low = as_decimal(start).quantize(unit, ROUND_FLOOR)
    high = as_decimal(end).quantize(unit, ROUND_FLOOR)
    if places and not isinstance(end, Decimal):
        high += 1 - unit
    _require_room((high - low) / width if width > 0 else Decimal(MAX_LIST), state)
    found: list[Interval] = []
    while low + width - unit <= high:
        last = low + width - unit
        found.append(Interval(_whole(low, places), _whole(last, places)))
        low += width
    return found


def _whole(value: Decimal, places: int) -> Any:
    return value if places else int(value.to_integral_value(ROUND_DOWN))


def _require_room(count: Decimal, state: State) -> None:
    if count >= MAX_LIST:
        raise limit("The payer's logic makes a list that is too long.")
    state.spend(int(count.to_integral_value(ROUND_CEILING)) * 2)


def _quantity_units(start: Quantity, end: Quantity, per: Any, state: State) -> list[Interval] | None:
    last = convert_quantity(end, start.unit)
    width = Quantity(_default_width(start.value, end.value), start.unit) if per is None else per
    if width.unit == "1":
        width = Quantity(width.value, start.unit)
    converted = convert_quantity(width, start.unit)
    if last is None or converted is None:
        return []
    found = _number_units(start.value, last.value, converted.value, state)
    return [Interval(_with_unit(one.low, start.unit), _with_unit(one.high, start.unit)) for one in found]


def _with_unit(value: Any, unit: str) -> Quantity:
    return Quantity(as_decimal(value), unit)


def _moment_units(start: Moment, end: Moment, per: Any, state: State) -> list[Interval] | None:
    width, word = _duration(start, end, per)
    index = UNIT_INDEX.get("day" if word == "week" else word)
    if index is None or width <= 0 or width != width.to_integral_value():
        return []
    count = index + 1 - start.first
    if count < 1 or len(start.parts) < count or len(end.parts) < count:
        return []
    low, high = _cut(start, count), _cut(end, count)
    _require_room(Decimal(_distance(low, high, index, state)) / width, state)
    return _moment_steps(low, high, width, word, state)


def _moment_steps(low: Moment, high: Moment, width: Decimal, word: str, state: State) -> list[Interval]:
    found: list[Interval] = []
    while True:
        last = _last_of_unit(low, width, word)
        if last is None or compare(last, high, None, state.offset) == 1:
            return found
        found.append(Interval(low, last))
        if last == _greatest(last):
            return found
        low = step(last, 1)


def _greatest(value: Moment) -> Moment:
    return _cut(MAXIMUM[type(value).__name__], len(value.parts))


def _last_of_unit(low: Moment, width: Decimal, word: str) -> Moment | None:
    """Last value of the unit that begins at `low`; None when it would reach over the end of the calendar or day."""
    try:
        following = add_duration(low, width, word)
    except ReasoningError:
        return None
    if isinstance(low, Time) and following.parts <= low.parts:
        return _greatest(low) if not any(following.parts) else None
    return step(following, -1)


def _distance(low: Moment, high: Moment, index: int, state: State) -> int:
    span = duration_between(low, high, PRECISIONS[index], state.offset)
    return span if isinstance(span, int) else span.high


def _duration(start: Moment, end: Moment, per: Any) -> tuple[Decimal, str]:
    if isinstance(per, Quantity):
        return per.value, CALENDAR.get(per.unit) or WORD_OF_UCUM.get(per.unit, "")
    finest = start.first + min(len(start.parts), len(end.parts)) - 1
    return Decimal(1), PRECISIONS[finest].lower()


def _cut(value: Moment, count: int) -> Moment:
    if isinstance(value, DateTime):
        return DateTime(value.parts[:count], value.offset, value.zoned)
    return type(value)(value.parts[:count])
