"""Aggregates over lists; nulls are left out, and of nothing the answer is null unless CQL says otherwise."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from functools import reduce
from typing import Any

from gateway.fhir import Json
from gateway.reasoning.elm import calculation, numbers
from gateway.reasoning.elm.compiler import Builder, Compiler, operator
from gateway.reasoning.elm.equality import compare, equal
from gateway.reasoning.elm.failures import failure
from gateway.reasoning.elm.library import Frame, Run
from gateway.reasoning.elm.numbers import WORK, as_decimal
from gateway.reasoning.elm.operators.references import property_of
from gateway.reasoning.elm.operators.shared import plained
from gateway.reasoning.elm.quantities import Quantity, convert_quantity
from gateway.reasoning.elm.shape import operands

Aggregate = Callable[[list[Any], Frame], Any]


def _aggregate(function: Aggregate, of_null: Any = None, of_none: Any = None) -> Builder:
    """Builder: `of_null` is the answer for a null list, `of_none` for one without values."""

    def build(compiler: Compiler, node: Json) -> Run:
        source = compiler.compile(node.get("source") or operands(node)[0])
        path = node.get("path")

        def run(frame: Frame) -> Any:
            values = source(frame)
            if values is None:
                return of_null
            if not isinstance(values, list):
                raise failure("value", "An operation of the logic needs a list.")
            frame[0].spend(len(values))
            if path:
                values = [property_of(value, str(path), frame[0]) for value in values]
            known = [value for value in (plained(one, frame) for one in values) if value is not None]
            return function(known, frame) if known else of_none

        return run

    return build


def _best(wanted: int) -> Aggregate:
    def function(values: list[Any], frame: Frame) -> Any:
        best = values[0]
        for value in values[1:]:
            if compare(value, best, None, frame[0].offset) == wanted:
                best = value
        return best

    return function


def _total(values: list[Any], frame: Frame) -> Any:
    return _folded(values, calculation.add)


def _folded(values: list[Any], step: Callable[[Any, Any], Any]) -> Any:
    return reduce(lambda one, two: None if one is None else step(one, two), values)


def _on_decimals(function: Callable[[list[Decimal]], Decimal | None]) -> Aggregate:
    """Statistics of numbers, or of quantities in the unit of the first."""

    def aggregate(values: list[Any], frame: Frame) -> Any:
        if not isinstance(values[0], Quantity):
            return function([as_decimal(value) for value in values])
        unit = values[0].unit
        converted = [convert_quantity(value, unit) for value in values]
        if any(one is None for one in converted):
            return None
        found = function([one.value for one in converted if one is not None])
        return None if found is None else Quantity(found, unit)

    return aggregate


def _mean(values: list[Decimal]) -> Decimal:
    return WORK.divide(sum(values, Decimal(0)), Decimal(len(values)))


def _average(values: list[Decimal]) -> Decimal | None:
    return numbers.fit_decimal(_mean(values))


def _median(values: list[Decimal]) -> Decimal | None:
    ordered, middle = sorted(values), len(values) // 2
    return _average(ordered[middle : middle + 1] if len(values) % 2 else ordered[middle - 1 : middle + 1])


def _squares(values: list[Decimal]) -> Decimal:
    mean = _mean(values)
    total = Decimal(0)
    for value in values:
        distance = WORK.subtract(value, mean)
        total = WORK.add(total, WORK.multiply(distance, distance))
    return total


def _spread(less: int) -> Callable[[list[Decimal]], Decimal | None]:
    """Variance, exact until the caller fits it; a single value has no sample variance."""
    return lambda values: None if len(values) <= less else WORK.divide(_squares(values), Decimal(len(values) - less))


def _variance(less: int) -> Callable[[list[Decimal]], Decimal | None]:
    spread = _spread(less)

    def function(values: list[Decimal]) -> Decimal | None:
        found = spread(values)
        return None if found is None else numbers.fit_decimal(found)

    return function


def _deviation(less: int) -> Callable[[list[Decimal]], Decimal | None]:
    spread = _spread(less)

    def function(values: list[Decimal]) -> Decimal | None:
        found = spread(values)
        return None if found is None else numbers.square_root(found)

    return function


def _geometric_mean(values: list[Decimal]) -> Decimal | None:
    product = reduce(WORK.multiply, values)
    if product <= 0:
        return None
    return numbers.fit_decimal(WORK.exp(WORK.divide(WORK.ln(product), Decimal(len(values)))))


def _mode(values: list[Any], frame: Frame) -> Any:
    groups: list[tuple[Any, int]] = []
    for value in values:
        for place, (other, count) in enumerate(groups):
            frame[0].spend(1)
            if equal(value, other, frame[0].offset):
                groups[place] = (other, count + 1)
                break
        else:
            groups.append((value, 1))
    return max(groups, key=lambda group: group[1])[0]


operator("Count")(_aggregate(lambda values, frame: len(values), of_null=0, of_none=0))
operator("Sum")(_aggregate(_total))
operator("Product")(_aggregate(lambda values, frame: _folded(values, calculation.multiply)))
operator("Min")(_aggregate(_best(-1)))
operator("Max")(_aggregate(_best(1)))
operator("Avg")(_aggregate(_on_decimals(_average)))
operator("Median")(_aggregate(_on_decimals(_median)))
operator("Mode")(_aggregate(_mode))
operator("Variance")(_aggregate(_on_decimals(_variance(1))))
operator("PopulationVariance")(_aggregate(_on_decimals(_variance(0))))
operator("StdDev")(_aggregate(_on_decimals(_deviation(1))))
operator("PopulationStdDev")(_aggregate(_on_decimals(_deviation(0))))
operator("GeometricMean")(_aggregate(_on_decimals(_geometric_mean)))
operator("AllTrue")(_aggregate(lambda values, frame: all(values), of_null=True, of_none=True))
operator("AnyTrue")(_aggregate(lambda values, frame: any(values), of_null=False, of_none=False))


@operator("Aggregate")
def build_aggregate(compiler: Compiler, node: Json) -> Run:
    """General fold: `$this`, `$index` and `$total` inside `iteration`."""
    source = compiler.compile(node.get("source"))
    initial = compiler.optional(node.get("initialValue"))
    row, total, index = compiler.new_slot(), compiler.new_slot(), compiler.new_slot()
    before = compiler.total_slot, compiler.index_slot
    compiler.total_slot, compiler.index_slot = total, index
    with compiler.named({"$this": row, str(node.get("scope") or "$this"): row}), compiler.row(row):
        iteration = compiler.compile(node.get("iteration"))
    compiler.total_slot, compiler.index_slot = before

    def run(frame: Frame) -> Any:
        values = source(frame)
        frame[total] = initial(frame) if initial else None
        for place, value in enumerate(values or ()):
            frame[0].spend(1)
            frame[row], frame[index] = value, place
            frame[total] = iteration(frame)
        return frame[total]

    return run


@operator("Total")
def build_total(compiler: Compiler, node: Json) -> Run:
    return _slot(compiler.total_slot)


@operator("Iteration")
def build_iteration(compiler: Compiler, node: Json) -> Run:
    return _slot(compiler.index_slot)


def _slot(slot: int | None) -> Run:
    if slot is None:
        raise failure("reference", "The logic uses a name that is not known where it stands.")
    return lambda frame: frame[slot]
