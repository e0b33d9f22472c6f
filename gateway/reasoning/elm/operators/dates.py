"""Dates and times: making them, taking them apart, counting between them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final

from gateway.fhir import Json
from gateway.reasoning.elm.compiler import Builder, Compiler, operator
from gateway.reasoning.elm.equality import compare
from gateway.reasoning.elm.failures import failure
from gateway.reasoning.elm.library import Frame, Run
from gateway.reasoning.elm.moment_spans import difference_between, duration_between
from gateway.reasoning.elm.moments import PRECISIONS, Date, DateTime, Time, is_clock, is_date
from gateway.reasoning.elm.numbers import WORK, as_decimal
from gateway.reasoning.elm.operators.shared import parts, plained, precision_of, unary

_DATE: Final = ("year", "month", "day")
_CLOCK: Final = ("hour", "minute", "second", "millisecond")


@operator("Date")
def build_date(compiler: Compiler, node: Json) -> Run:
    values = [compiler.compile(node[name]) for name in _DATE if node.get(name)]

    def run(frame: Frame) -> Any:
        found = _known(values, frame)
        if found and not is_date(found):
            raise failure("value", "The logic makes a date that does not exist.")
        return Date(found) if found else None

    return run


@operator("DateTime")
def build_date_time(compiler: Compiler, node: Json) -> Run:
    values = [compiler.compile(_part(node, name)) for name in (*_DATE, *_CLOCK) if node.get(name)]
    zone = compiler.optional(node.get("timezoneOffset"))

    def run(frame: Frame) -> Any:
        found = _known(values, frame)
        if not found:
            return None
        if not is_date(found[:3]) or not is_clock(found[3:]):
            raise failure("value", "The logic makes a date that does not exist.")
        hours = plained(zone(frame), frame) if zone else None
        if hours is None:
            return DateTime(found, frame[0].offset)
        return DateTime(found, int(as_decimal(hours) * 60), True)

    return run


@operator("Time")
def build_time(compiler: Compiler, node: Json) -> Run:
    values = [compiler.compile(_part(node, name)) for name in _CLOCK if node.get(name)]

    def run(frame: Frame) -> Any:
        found = _known(values, frame)
        if found and not is_clock(found):
            raise failure("value", "The logic makes a time that does not exist.")
        return Time(found) if found else None

    return run


def _part(node: Json, name: str) -> Any:
    """A part of the selector. Translators pass a long fraction of a second on as written: `10000` for .10000."""
    part = node[name]
    digits = str(part.get("value", "")) if isinstance(part, Mapping) and part.get("type") == "Literal" else ""
    return {**part, "value": digits[:3]} if name == "millisecond" and len(digits) > 3 else part


def _known(values: list[Run], frame: Frame) -> tuple[int, ...]:
    """Parts up to the first null."""
    found: list[int] = []
    for value in values:
        part = plained(value(frame), frame)
        if part is None:
            break
        found.append(int(part))
    return tuple(found)


@operator("Now")
def build_now(compiler: Compiler, node: Json) -> Run:
    return lambda frame: frame[0].now


@operator("Today")
def build_today(compiler: Compiler, node: Json) -> Run:
    return lambda frame: Date(frame[0].now.parts[:3])


@operator("TimeOfDay")
def build_time_of_day(compiler: Compiler, node: Json) -> Run:
    return lambda frame: Time(frame[0].now.parts[3:])


@operator("DateFrom")
def build_date_from(compiler: Compiler, node: Json) -> Run:
    return unary(lambda value: value if isinstance(value, Date) else Date(value.parts[:3]))(compiler, node)


@operator("TimeFrom")
def build_time_from(compiler: Compiler, node: Json) -> Run:
    return unary(lambda value: Time(value.parts[3:]) if len(value.parts) > 3 else None)(compiler, node)


@operator("TimezoneOffsetFrom", "TimezoneFrom")
def build_offset_from(compiler: Compiler, node: Json) -> Run:
    return unary(lambda value: WORK.divide(Decimal(value.offset), Decimal(60)))(compiler, node)


@operator("DateTimeComponentFrom")
def build_component_from(compiler: Compiler, node: Json) -> Run:
    index = precision_of(node)
    if index is None:
        raise failure("library", "A part of a date is asked for without saying which.")

    def function(value: Any) -> Any:
        position = index - value.first
        return value.parts[position] if 0 <= position < len(value.parts) else None

    return unary(function)(compiler, node)


def _between(count: Callable[[Any, Any, str, int], Any]) -> Builder:
    def build(compiler: Compiler, node: Json) -> Run:
        left, right = parts(compiler, node, 2)
        unit = str(node.get("precision", "")).capitalize()
        if unit != "Week" and unit not in PRECISIONS:
            raise failure("operator", "The logic uses a precision that is not known.")

        def run(frame: Frame) -> Any:
            one, two = plained(left(frame), frame), plained(right(frame), frame)
            return None if one is None or two is None else count(one, two, unit, frame[0].offset)

        return run

    return build


operator("DurationBetween")(_between(duration_between))
operator("DifferenceBetween")(_between(difference_between))


@operator("SameAs")
def build_same_as(compiler: Compiler, node: Json) -> Run:
    left, right = parts(compiler, node, 2)
    precision = precision_of(node)

    def run(frame: Frame) -> Any:
        one, two = plained(left(frame), frame), plained(right(frame), frame)
        if one is None or two is None:
            return None
        starts, ends = _ends(one), _ends(two)
        return _all_true(
            _same(first, second, precision, frame[0].offset) for first, second in zip(starts, ends, strict=True)
        )

    return run


def _ends(value: Any) -> tuple[Any, Any]:
    return (value.start(), value.end()) if hasattr(value, "start") else (value, value)


def _same(left: Any, right: Any, precision: int | None, offset: int) -> bool | None:
    order = None if left is None or right is None else compare(left, right, precision, offset)
    return None if order is None else order == 0


def _all_true(answers: Any) -> bool | None:
    found = list(answers)
    return False if False in found else None if None in found else True
