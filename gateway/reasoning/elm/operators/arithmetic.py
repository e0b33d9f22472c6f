"""Arithmetic on numbers and quantities, and the ends and neighbours of types."""

from __future__ import annotations

from collections.abc import Callable
from decimal import ROUND_CEILING, ROUND_DOWN, ROUND_FLOOR, Decimal
from typing import Any

from gateway.fhir import Json
from gateway.reasoning.elm import calculation, numbers
from gateway.reasoning.elm.compiler import Compiler, constant, operator
from gateway.reasoning.elm.failures import failure
from gateway.reasoning.elm.intervals import MAXIMUM, MINIMUM, predecessor, successor
from gateway.reasoning.elm.library import Frame, Run
from gateway.reasoning.elm.moment_steps import boundary, digits_of
from gateway.reasoning.elm.moments import Date, DateTime, Time
from gateway.reasoning.elm.numbers import Uncertain, as_decimal, fit, fit_integer, is_number
from gateway.reasoning.elm.operators.literals import read_literal
from gateway.reasoning.elm.operators.shared import binary, parts, plained, unary
from gateway.reasoning.elm.quantities import Quantity
from gateway.reasoning.elm.shape import local_name, operands

operator("Add")(binary(calculation.add))
operator("Subtract")(binary(calculation.subtract))
operator("Multiply")(binary(calculation.multiply))
operator("Divide")(binary(calculation.quotient))
operator("TruncatedDivide")(binary(calculation.truncated))
operator("Modulo")(binary(calculation.remainder))
operator("Successor")(unary(successor))
operator("Predecessor")(unary(predecessor))
operator("Ln")(unary(lambda value: numbers.natural_log(as_decimal(value))))
operator("Exp")(unary(lambda value: numbers.exponential(as_decimal(value))))
operator("Log")(binary(lambda value, base: numbers.logarithm(as_decimal(value), as_decimal(base))))
operator("Power")(binary(numbers.power))


def _absolute(value: Any) -> Any:
    if isinstance(value, Quantity):
        return Quantity(abs(value.value), value.unit)
    return fit(type(value)(abs(value)))


def _negated(value: Any) -> Any:
    if isinstance(value, Quantity):
        return Quantity(-value.value, value.unit)
    if isinstance(value, Uncertain):
        return Uncertain(-value.high, -value.low)
    return fit(value.copy_negate() if isinstance(value, Decimal) else type(value)(-value))


def _integral(rounding: str) -> Callable[[Any], Any]:
    def function(value: Any) -> Any:
        return fit_integer(int(as_decimal(value).to_integral_value(rounding)))

    return function


operator("Abs")(unary(_absolute))
operator("Ceiling")(unary(_integral(ROUND_CEILING)))
operator("Floor")(unary(_integral(ROUND_FLOOR)))
operator("Truncate")(unary(_integral(ROUND_DOWN)))


@operator("Negate")
def build_negate(compiler: Compiler, node: Json) -> Run:
    """The least Integer is written as the negation of a literal that is itself out of range."""
    inner = operands(node)[0]
    if inner.get("type") == "Literal":
        value = read_literal(local_name(inner.get("valueType")), f"-{inner.get('value')}")
        if is_number(value):
            return constant(value)
    return unary(_negated)(compiler, node)


@operator("Round")
def build_round(compiler: Compiler, node: Json) -> Run:
    (operand,) = parts(compiler, node, 1)
    places = compiler.optional(node.get("precision"))

    def run(frame: Frame) -> Any:
        value = plained(operand(frame), frame)
        count = plained(places(frame), frame) if places else 0
        return None if value is None else numbers.round_half(as_decimal(value), count or 0)

    return run


def _extreme(compiler: Compiler, node: Json, values: dict[str, Any]) -> Run:
    kind = local_name(node.get("valueType"))
    if kind not in values:
        raise failure("value", "The type has no least or greatest value.")
    return constant(values[kind])


@operator("MinValue")
def build_min_value(compiler: Compiler, node: Json) -> Run:
    return _extreme(compiler, node, MINIMUM)


@operator("MaxValue")
def build_max_value(compiler: Compiler, node: Json) -> Run:
    return _extreme(compiler, node, MAXIMUM)


@operator("Precision")
def build_precision(compiler: Compiler, node: Json) -> Run:
    def function(value: Any) -> Any:
        if isinstance(value, Date | DateTime | Time):
            return digits_of(value)
        exponent = as_decimal(value).as_tuple().exponent
        return max(0, -exponent) if isinstance(exponent, int) else 0

    return unary(function)(compiler, node)


def _boundary(compiler: Compiler, node: Json, high: bool) -> Run:
    value, digits = parts(compiler, node, 2)

    def run(frame: Frame) -> Any:
        one, count = plained(value(frame), frame), plained(digits(frame), frame)
        if one is None:
            return None
        if isinstance(one, Date | DateTime | Time):
            return boundary(one, count, high=high)
        return _number_boundary(as_decimal(one), 8 if count is None else count, high)

    return run


def _number_boundary(value: Decimal, places: int, high: bool) -> Decimal | None:
    """Least or greatest number of `places` digits that starts with the digits of the value."""
    exponent = value.as_tuple().exponent
    if not 0 <= places <= 8 or not isinstance(exponent, int):
        return None
    step = Decimal(1).scaleb(-places)
    if -exponent >= places or high is (value < 0):
        rounding = ROUND_DOWN
        return value.quantize(step, rounding, numbers.WORK)
    width = Decimal(1).scaleb(exponent) - step
    return numbers.fit_decimal(value + (width if high else -width))


@operator("LowBoundary")
def build_low_boundary(compiler: Compiler, node: Json) -> Run:
    return _boundary(compiler, node, high=False)


@operator("HighBoundary")
def build_high_boundary(compiler: Compiler, node: Json) -> Run:
    return _boundary(compiler, node, high=True)
