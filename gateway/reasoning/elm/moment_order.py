"""Order of dates and times at a precision, with "cannot tell" where a part is not known.

CQL 1.5, Same As and Before: values are brought to the offset of the evaluation only when hours or finer parts
take part; a comparison of days uses the calendar day each value was written with (field case B05).
"""

from __future__ import annotations

from gateway.reasoning.elm.moments import DateTime, Moment, Time, shifted


def compare_moments(left: Moment, right: Moment, precision: int | None, offset: int) -> int | None:
    """-1, 0 or 1; None when the parts known do not decide.

    `precision` is an index of PRECISIONS or None for all parts; `offset` is that of the evaluation, in minutes.
    Raises TypeError when a Time meets a date.
    """
    if isinstance(left, Time) != isinstance(right, Time):
        raise TypeError("a time of day and a date have no order")
    if isinstance(left, DateTime) or isinstance(right, DateTime):
        left, right = aligned(as_date_time(left, offset), as_date_time(right, offset), precision, offset)
    return _compare_parts(left.parts, right.parts, None if precision is None else precision + 1 - left.first)


def _compare_parts(one: tuple[int, ...], two: tuple[int, ...], count: int | None) -> int | None:
    """Part by part; `count` parts decide, or all that either has."""
    if count is not None:
        one, two = one[:count], two[:count]
    shared = min(len(one), len(two))
    if one[:shared] != two[:shared]:
        return -1 if one < two else 1
    return 0 if len(one) == len(two) and (count is None or shared >= count) else None


def aligned(left: DateTime, right: DateTime, precision: int | None, offset: int) -> tuple[DateTime, DateTime]:
    """Both on one clock when hours take part; that of a value without an hour when there is one."""
    if left.offset == right.offset or (precision is not None and precision < 3):
        return left, right
    if len(left.parts) < 4:
        offset = left.offset
    elif len(right.parts) < 4:
        offset = right.offset
    return shifted(left, offset), shifted(right, offset)


def as_date_time(value: Moment, offset: int) -> DateTime:
    """A Date as DateTime of the same precision."""
    if isinstance(value, DateTime):
        return value
    if isinstance(value, Time):
        raise TypeError("a time of day has no date")
    return DateTime(value.parts, offset)


def equivalent_moments(left: Moment, right: Moment, offset: int) -> bool:
    """Whether both are the same at the same precision."""
    return len(left.parts) == len(right.parts) and compare_moments(left, right, None, offset) == 0


def sort_key(value: Moment, offset: int) -> tuple[int, ...]:
    """Key for sorting on one clock; a value that leaves the rest open comes before those that fill it in."""
    return shifted(value, offset).parts if isinstance(value, DateTime) else value.parts
