"""`lowBoundary` and `highBoundary`: the least and greatest value that a value of its precision can mean."""

from __future__ import annotations

import calendar
from collections.abc import Mapping
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal, localcontext
from typing import Any, Final

from gateway.reasoning.fhirpath_conversions import ValueFunction
from gateway.reasoning.fhirpath_equality import failed, is_number
from gateway.reasoning.fhirpath_items import computed, system_value
from gateway.reasoning.fhirpath_operators import Collection, integer, single
from gateway.reasoning.fhirpath_values import Amount, Moment

_MOST_PLACES: Final = 31
_DEFAULT_PLACES: Final = 8
_DATE_DIGITS: Final = (4, 6, 8)
_DATE_TIME_DIGITS: Final = (4, 6, 8, 10, 12, 17)
_TIME_DIGITS: Final = (2, 4, 9)
_EARLIEST_OFFSET: Final = 14 * 60
_LATEST_OFFSET: Final = -12 * 60


def _boundary(sign: int) -> ValueFunction:
    def function(focus: Collection, arguments: list[Collection]) -> Collection:
        item = single(focus)
        if item is None:
            return []
        digits = integer(arguments[0]) if arguments and arguments[0] else None
        value = _of_value(system_value(item), digits, sign)
        return [] if value is None else [computed(value, focus)]

    return function


def _of_value(value: Any, digits: int | None, sign: int) -> Any:
    if isinstance(value, Amount):
        number = _of_number(value.value, digits, sign)
        return None if number is None else Amount(number, value.unit, value.calendar)
    if isinstance(value, Moment):
        return _of_moment(value, digits, sign)
    if is_number(value):
        return _of_number(Decimal(value), digits, sign)
    raise failed("A boundary wants a number, a quantity or a date.")


def _of_number(value: Decimal, digits: int | None, sign: int) -> Decimal | None:
    """Half a step of the value's own precision away, rounded outwards to the wanted places."""
    places = _DEFAULT_PLACES if digits is None else digits
    exponent = value.as_tuple().exponent
    if not 0 <= places <= _MOST_PLACES or not isinstance(exponent, int):
        return None
    with localcontext() as context:
        context.prec = 80
        edge = value + Decimal(5).scaleb(min(exponent, 0) - 1) * sign
        rounding = ROUND_FLOOR if sign < 0 else ROUND_CEILING
        if -min(exponent, 0) > places:
            # The value is finer than asked for: its own step outwards is what the suite expects.
            edge = value
        return edge.quantize(Decimal(1).scaleb(-places), rounding)


def _of_moment(value: Moment, digits: int | None, sign: int) -> Moment | None:
    steps = {"date": _DATE_DIGITS, "dateTime": _DATE_TIME_DIGITS, "time": _TIME_DIGITS}[value.kind]
    wanted = steps[-1] if digits is None else digits
    if wanted not in steps:
        return None
    count = steps.index(wanted) + 1
    parts = list(value.parts[:count])
    while len(parts) < count:
        parts.append(_edge(value.kind, parts, sign, hour_only=len(value.parts) == 4))
    offset = value.offset
    if value.kind == "dateTime" and count > 3 and offset is None:
        offset = _EARLIEST_OFFSET if sign < 0 else _LATEST_OFFSET
    kind = "date" if value.kind == "dateTime" and count <= 3 else value.kind
    return Moment(kind, tuple(parts), offset if count > 3 else None)


def _edge(kind: str, parts: list[int | Decimal], sign: int, *, hour_only: bool) -> int | Decimal:
    """First or last value of the next part; an hour alone stands for its first minute, as the suite has it."""
    position = len(parts) + (3 if kind == "time" else 0)
    if position == 1:
        return 1 if sign < 0 else 12
    if position == 2:
        return 1 if sign < 0 else calendar.monthrange(int(parts[0]), int(parts[1]))[1]
    if position == 3:
        return 0 if sign < 0 else 23
    if position == 4:
        return 0 if sign < 0 or hour_only else 59
    return Decimal("0.000") if sign < 0 else Decimal("59.999")


BOUNDARIES: Final[Mapping[str, tuple[int, int, ValueFunction]]] = {
    "lowBoundary": (0, 1, _boundary(-1)),
    "highBoundary": (0, 1, _boundary(1)),
}
