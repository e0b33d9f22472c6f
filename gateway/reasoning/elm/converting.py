"""Conversions between System types. Text that cannot be read is null, never an error."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

from gateway.reasoning.elm.codes import Code, Concept
from gateway.reasoning.elm.moments import Date, DateTime, Time, read_date, read_date_time, read_time
from gateway.reasoning.elm.numbers import Long, fit_decimal, fit_integer, fit_long, is_number
from gateway.reasoning.elm.quantities import Quantity, Ratio, ratio_value
from gateway.reasoning.elm.units import CALENDAR, measure

_TRUE: Final = frozenset({"true", "t", "yes", "y", "1"})
_FALSE: Final = frozenset({"false", "f", "no", "n", "0"})
_INTEGER: Final = re.compile(r"[+-]?\d{1,19}")
_DECIMAL: Final = re.compile(r"[+-]?\d{1,28}(\.\d{1,28})?")
_QUANTITY: Final = re.compile(r"([+-]?\d{1,28}(?:\.\d{1,28})?)\s*(?:'([^']*)'|([a-z]+))?")
Conversion = Callable[[Any, int], Any]


def to_boolean(value: Any, offset: int) -> bool | None:
    """Boolean of usual words or of 1 and 0."""
    if isinstance(value, bool):
        return value
    if is_number(value):
        return {0: False, 1: True}.get(value)
    text = value.lower() if isinstance(value, str) else ""
    return True if text in _TRUE else False if text in _FALSE else None


def to_integer(value: Any, offset: int) -> int | None:
    """Integer of digits, a Long or a Boolean."""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, str):
        return fit_integer(int(value)) if _INTEGER.fullmatch(value) else None
    return fit_integer(int(value)) if isinstance(value, int) else None


def to_long(value: Any, offset: int) -> Long | None:
    """Long of digits, an Integer or a Boolean."""
    if isinstance(value, str):
        return fit_long(int(value)) if _INTEGER.fullmatch(value) else None
    return fit_long(int(value)) if isinstance(value, int) else None


def to_decimal(value: Any, offset: int) -> Decimal | None:
    """Decimal of digits, a number or a Boolean."""
    if isinstance(value, str):
        return fit_decimal(Decimal(value)) if _DECIMAL.fullmatch(value) else None
    return fit_decimal(Decimal(value)) if isinstance(value, int | Decimal) else None


def to_string(value: Any, offset: int) -> str | None:
    """Text of a value as CQL writes it."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, int):
        return str(int(value))
    if isinstance(value, DateTime):
        # The offset is shown only when it was written (the public suite).
        return value.text() if value.zoned else value.text()[:23]
    if isinstance(value, Date | Time):
        return value.text()
    if isinstance(value, Quantity):
        return f"{value.value:f} '{value.unit}'" if value.unit not in CALENDAR else f"{value.value:f} {value.unit}"
    if isinstance(value, Ratio):
        return f"{to_string(value.numerator, offset)}:{to_string(value.denominator, offset)}"
    return value.code if isinstance(value, Code) else None


def to_date(value: Any, offset: int) -> Date | None:
    """Date of ISO text or of a DateTime's calendar day."""
    if isinstance(value, Date):
        return value
    if isinstance(value, DateTime):
        return Date(value.parts[:3])
    if not isinstance(value, str):
        return None
    moment = read_date_time(value, offset) if "T" in value else None
    return Date(moment.parts[:3]) if moment else read_date(value)


def to_date_time(value: Any, offset: int) -> DateTime | None:
    """DateTime of ISO text or of a Date."""
    if isinstance(value, DateTime):
        return value
    if isinstance(value, Date):
        return DateTime(value.parts, offset)
    return read_date_time(value, offset) if isinstance(value, str) else None


def to_time(value: Any, offset: int) -> Time | None:
    """Time of ISO text or of a DateTime."""
    if isinstance(value, DateTime):
        return Time(value.parts[3:]) if len(value.parts) > 3 else None
    return value if isinstance(value, Time) else read_time(value) if isinstance(value, str) else None


def to_quantity(value: Any, offset: int) -> Quantity | None:
    """Quantity of `5 'mg'` or `5 days`, of a number, or of a ratio."""
    if isinstance(value, Quantity):
        return value
    if is_number(value):
        number = fit_decimal(Decimal(value))
        return None if number is None else Quantity(number)
    if isinstance(value, Ratio):
        return ratio_value(value)
    match = _QUANTITY.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        return None
    number, code, word = fit_decimal(Decimal(match.group(1))), match.group(2), match.group(3)
    if number is None or (word and word not in CALENDAR) or (code and measure(code) is None):
        return None
    return Quantity(number, code or word or "1")


def to_ratio(value: Any, offset: int) -> Ratio | None:
    """Ratio of two quantities with a colon between them."""
    if isinstance(value, Ratio):
        return value
    parts = value.split(":") if isinstance(value, str) else []
    found = [to_quantity(part, offset) for part in parts]
    if len(found) != 2 or found[0] is None or found[1] is None:
        return None
    return Ratio(found[0], found[1])


def to_concept(value: Any, offset: int) -> Concept | None:
    """Concept of a code or of a list of codes."""
    if isinstance(value, Code):
        return Concept((value,), value.display)
    if isinstance(value, list):
        return Concept(tuple(one for one in value if isinstance(one, Code)))
    return value if isinstance(value, Concept) else None


CONVERSIONS: Final[dict[str, Conversion]] = {
    "Boolean": to_boolean,
    "Integer": to_integer,
    "Long": to_long,
    "Decimal": to_decimal,
    "String": to_string,
    "Date": to_date,
    "DateTime": to_date_time,
    "Time": to_time,
    "Quantity": to_quantity,
    "Ratio": to_ratio,
    "Concept": to_concept,
}
