"""FHIRPath conversions between system types: `toInteger`, `convertsToDate` and their kin.

A value that cannot be converted gives an empty answer; more than one item raises.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final

from gateway.reasoning.fhirpath_items import Item, computed, system_value
from gateway.reasoning.fhirpath_operators import Collection, single
from gateway.reasoning.fhirpath_values import CALENDAR_UNITS, Amount, Moment, read_moment

ValueFunction = Callable[[Collection, list[Collection]], Collection]
_TRUE: Final = frozenset({"true", "t", "yes", "y", "1", "1.0"})
_FALSE: Final = frozenset({"false", "f", "no", "n", "0", "0.0"})
_INTEGER = re.compile(r"[+-]?\d{1,18}")
_DECIMAL = re.compile(r"[+-]?\d{1,40}(\.\d{1,40})?")
_QUANTITY = re.compile(r"([+-]?\d{1,40}(?:\.\d{1,40})?)\s*(?:'([^']+)'|([a-zA-Z]+))?")


def to_boolean(value: Any) -> bool | None:
    """Truth of a value, by the words and numbers that FHIRPath lists."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int | Decimal):
        return {1: True, 0: False}.get(int(value)) if value in (0, 1) else None
    if isinstance(value, str):
        return True if value.lower() in _TRUE else False if value.lower() in _FALSE else None
    return None


def to_integer(value: Any) -> int | None:
    """Whole number of a boolean, integer or text."""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, int):
        return value
    return int(value) if isinstance(value, str) and _INTEGER.fullmatch(value) else None


def to_decimal(value: Any) -> Decimal | None:
    """Exact decimal of a boolean, number or text."""
    if isinstance(value, bool | int | Decimal):
        return Decimal(value)
    return Decimal(value) if isinstance(value, str) and _DECIMAL.fullmatch(value) else None


def to_text(value: Any) -> str | None:
    """Text of a system value; None for structures."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, Moment | Amount):
        return value.text()
    return value if isinstance(value, str) else None


def to_date(value: Any) -> Moment | None:
    """Day of a date, dateTime or text."""
    moment = _moment(value)
    return moment.to_date() if moment and moment.kind != "time" else None


def to_date_time(value: Any) -> Moment | None:
    """A dateTime of a date, dateTime or text; no time of day is invented."""
    moment = _moment(value)
    return Moment("dateTime", moment.parts, moment.offset) if moment and moment.kind != "time" else None


def to_time(value: Any) -> Moment | None:
    """A time of a time or text."""
    if isinstance(value, str):
        value = read_moment(value if value.startswith("T") else f"T{value}")
    return value if isinstance(value, Moment) and value.kind == "time" else None


def to_quantity(value: Any) -> Amount | None:
    """An amount of a number or of text such as `5 'mg'` or `3 days`."""
    if isinstance(value, Amount):
        return value
    if isinstance(value, bool | int | Decimal):
        return Amount(Decimal(value))
    match = _QUANTITY.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        return None
    number, unit, word = match.groups()
    if word is not None:
        return Amount(Decimal(number), CALENDAR_UNITS[word], calendar=True) if word in CALENDAR_UNITS else None
    return Amount(Decimal(number), unit or "1")


def _moment(value: Any) -> Moment | None:
    return read_moment(value) if isinstance(value, str) else value if isinstance(value, Moment) else None


def _converted(function: Callable[[Any], Any]) -> ValueFunction:
    def convert(focus: Collection, arguments: list[Collection]) -> Collection:
        item = single(focus)
        value = function(system_value(item)) if item is not None else None
        if isinstance(value, Amount) and arguments:
            value = _in_unit(value, arguments[0])
        return [] if value is None else [computed(value, focus)]

    return convert


def _in_unit(value: Amount, wanted: Collection) -> Amount | None:
    item = single(wanted)
    if item is None:
        return None
    unit = str(item.value)
    if unit == value.unit:
        return value
    scaled = value.scaled_to(Amount(Decimal(1), unit))
    return None if scaled is None else Amount(scaled[0] / scaled[1], unit)


def _converts(function: Callable[[Any], Any]) -> ValueFunction:
    def test(focus: Collection, arguments: list[Collection]) -> Collection:
        item = single(focus)
        return [] if item is None else [computed(function(system_value(item)) is not None, focus)]

    return test


_BY_TYPE: Final[Mapping[str, Callable[[Any], Any]]] = {
    "Boolean": to_boolean,
    "Integer": to_integer,
    "Decimal": to_decimal,
    "String": to_text,
    "Date": to_date,
    "DateTime": to_date_time,
    "Time": to_time,
    "Quantity": to_quantity,
}
CONVERSIONS: Final[Mapping[str, tuple[int, int, ValueFunction]]] = {
    **{f"to{name}": (0, 1 if name == "Quantity" else 0, _converted(function)) for name, function in _BY_TYPE.items()},
    **{
        f"convertsTo{name}": (0, 1 if name == "Quantity" else 0, _converts(function))
        for name, function in _BY_TYPE.items()
    },
}

__all__ = ["CONVERSIONS", "Item", "ValueFunction", "to_date", "to_date_time", "to_decimal", "to_integer", "to_text"]
