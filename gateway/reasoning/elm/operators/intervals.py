"""Making intervals and taking them apart."""

from __future__ import annotations

from typing import Any

from gateway.fhir import Json
from gateway.reasoning.elm.calculation import add, subtract
from gateway.reasoning.elm.compiler import Compiler, operator
from gateway.reasoning.elm.equality import compare, equal
from gateway.reasoning.elm.failures import failure
from gateway.reasoning.elm.intervals import Interval
from gateway.reasoning.elm.library import Frame, Run
from gateway.reasoning.elm.numbers import STEP
from gateway.reasoning.elm.operators.shared import plained, unary
from gateway.reasoning.elm.quantities import Quantity
from gateway.reasoning.elm.static import point_type_of, type_name_of


@operator("Interval")
def build_interval(compiler: Compiler, node: Json) -> Run:
    low, high = (compiler.compile(node.get(name) or {"type": "Null"}) for name in ("low", "high"))
    low_closed, high_closed = (_closed(compiler, node, name) for name in ("low", "high"))
    point = point_type_of(node) or type_name_of(node.get("low")) or type_name_of(node.get("high"))

    def run(frame: Frame) -> Any:
        first, last = plained(low(frame), frame), plained(high(frame), frame)
        found = Interval(first, last, low_closed(frame) is not False, high_closed(frame) is not False, point)
        if first is not None and last is not None:
            _require_order(found, frame[0].offset)
        return found

    return run


def _closed(compiler: Compiler, node: Json, side: str) -> Run:
    expression = node.get(f"{side}ClosedExpression")
    if expression:
        return compiler.compile(expression)
    closed = node.get(f"{side}Closed", True)
    return lambda frame: closed


def _require_order(interval: Interval, offset: int) -> None:
    if interval.low_closed and interval.high_closed:
        first, last = interval.low, interval.high
    else:
        first, last = interval.start(), interval.end()
    if compare(first, last, None, offset) == 1:
        raise failure("value", "An interval of the logic ends before it starts.")


operator("Start")(unary(lambda interval: interval.start()))
operator("End")(unary(lambda interval: interval.end()))


def _width(interval: Interval) -> Any:
    if interval.point_type in ("Date", "DateTime", "Time"):
        raise failure("value", "An interval of dates has no width; its duration is meant.")
    start, end = interval.start(), interval.end()
    return None if start is None or end is None else subtract(end, start)


def _size(interval: Interval) -> Any:

    width = _width(interval)
    if width is None or isinstance(width, int):
        return None if width is None else add(width, 1)
    return add(width, Quantity(STEP, width.unit) if isinstance(width, Quantity) else STEP)


operator("Width")(unary(_width))
operator("Size")(unary(_size))


@operator("PointFrom")
def build_point_from(compiler: Compiler, node: Json) -> Run:
    def function(interval: Interval) -> Any:
        start, end = interval.start(), interval.end()
        if start is None or end is None:
            return None
        if equal(start, end) is not True:
            raise failure("value", "An interval of the logic is more than one point.")
        return start

    return unary(function)(compiler, node)
