"""Intervals with open, closed, infinite and unknown ends.

A closed end that is null reaches to the least or greatest value of the type; an open one is not known, and
whatever depends on it is null (CQL 1.5, Interval values; field case B09).
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from gateway.reasoning.elm.failures import failure
from gateway.reasoning.elm.moment_steps import step
from gateway.reasoning.elm.moments import Date, DateTime, Time
from gateway.reasoning.elm.numbers import (
    MAX_DECIMAL,
    MAX_INTEGER,
    MAX_LONG,
    MIN_DECIMAL,
    MIN_INTEGER,
    MIN_LONG,
    STEP,
    Long,
    Uncertain,
    fit,
)
from gateway.reasoning.elm.quantities import Quantity

MINIMUM: Final[dict[str, Any]] = {
    "Integer": MIN_INTEGER,
    "Long": Long(MIN_LONG),
    "Decimal": MIN_DECIMAL,
    "Quantity": Quantity(MIN_DECIMAL),
    "Date": Date((1, 1, 1)),
    "DateTime": DateTime((1, 1, 1, 0, 0, 0, 0), 0, True),
    "Time": Time((0, 0, 0, 0)),
}
MAXIMUM: Final[dict[str, Any]] = {
    "Integer": MAX_INTEGER,
    "Long": Long(MAX_LONG),
    "Decimal": MAX_DECIMAL,
    "Quantity": Quantity(MAX_DECIMAL),
    "Date": Date((9999, 12, 31)),
    "DateTime": DateTime((9999, 12, 31, 23, 59, 59, 999), 0, True),
    "Time": Time((23, 59, 59, 999)),
}


@dataclass(frozen=True, slots=True)
class Interval:
    """Two ends, each closed or open."""

    low: Any
    high: Any
    low_closed: bool = True
    high_closed: bool = True
    point: str = ""
    """System type of the points where neither end tells it; empty when unknown."""

    def start(self) -> Any:
        """First point; None when it is not known."""
        if self.low is None:
            return self._extreme(MINIMUM, self.high) if self.low_closed else None
        return self.low if self.low_closed else successor(self.low)

    def end(self) -> Any:
        """Last point; None when it is not known."""
        if self.high is None:
            return self._extreme(MAXIMUM, self.low) if self.high_closed else None
        return self.high if self.high_closed else predecessor(self.high)

    def _extreme(self, of_type: dict[str, Any], other: Any) -> Any:
        value = of_type.get(type_of_point(other) or self.point)
        if isinstance(other, Quantity) and isinstance(value, Quantity):
            return Quantity(value.value, other.unit)
        return value

    @property
    def point_type(self) -> str:
        """System type of the points; empty when unknown."""
        return type_of_point(self.low) or type_of_point(self.high) or self.point


def type_of_point(value: Any) -> str:
    """System type name of a value that may be a point; empty for None."""
    for kind, name in _POINTS:
        if isinstance(value, kind):
            return name
    return ""


_POINTS: Final = (
    (Long, "Long"),
    (int, "Integer"),
    (Decimal, "Decimal"),
    (Date, "Date"),
    (DateTime, "DateTime"),
    (Time, "Time"),
    (Quantity, "Quantity"),
    (str, "String"),
)


def successor(value: Any) -> Any:
    """Next value of the type. Raises `elm.value` beyond the greatest one."""
    return _neighbour(value, 1)


def predecessor(value: Any) -> Any:
    """Previous value of the type. Raises `elm.value` before the least one."""
    return _neighbour(value, -1)


def _neighbour(value: Any, direction: int) -> Any:
    if isinstance(value, Date | DateTime | Time):
        return step(value, direction)
    if isinstance(value, Quantity):
        return Quantity(_next_number(value.value, direction), value.unit)
    if isinstance(value, Uncertain):
        return Uncertain(value.low + direction, value.high + direction)
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        return _next_number(value, direction)
    raise failure("value", "The value has no neighbour.")


def _next_number(value: Any, direction: int) -> Any:
    found = fit(value + STEP * direction if isinstance(value, Decimal) else type(value)(value + direction))
    if found is None:
        raise failure("value", "There is no value beyond the last one of its type.")
    return found
