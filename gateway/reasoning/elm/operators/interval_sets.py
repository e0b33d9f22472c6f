"""Union, intersect and except of lists or intervals; collapse and expand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gateway.fhir import Json
from gateway.reasoning.elm import interval_math, list_math
from gateway.reasoning.elm.compiler import Builder, Compiler, operator
from gateway.reasoning.elm.expansion import collapse, expand
from gateway.reasoning.elm.failures import failure
from gateway.reasoning.elm.interval_math import Scale
from gateway.reasoning.elm.intervals import Interval
from gateway.reasoning.elm.library import Frame, Run
from gateway.reasoning.elm.operators.shared import parts, plained
from gateway.reasoning.elm.shape import operands
from gateway.reasoning.elm.state import SourcedList, State, checked_list

Lists = Callable[[list[Any], list[Any], int, Any], list[Any]]
Intervals = Callable[[Interval, Interval, Scale], Interval | None]


@operator("Union")
def build_union(compiler: Compiler, node: Json) -> Run:
    """A null list counts as empty; each value once. Elements keep what they rest on."""
    left, right = parts(compiler, node, 2)

    def run(frame: Frame) -> Any:
        state: State = frame[0]
        mark = len(state.log)
        one = plained(left(frame), frame)
        middle = len(state.log)
        two = plained(right(frame), frame)
        if isinstance(one, Interval) and isinstance(two, Interval):
            return interval_math.union(one, two, Scale(None, state.offset))
        if isinstance(one, Interval) or isinstance(two, Interval):
            return None
        if one is None and two is None:
            return None
        return _joined(one or [], two or [], state, mark, middle)

    return run


def _joined(one: list[Any], two: list[Any], state: State, mark: int, middle: int) -> list[Any]:
    values = [*_listed(one), *_listed(two)]
    kept = list_math.distinct_positions(values, state.offset, state)
    origins = [*_origins(one, state.log[mark:middle]), *_origins(two, state.log[middle:])]
    return SourcedList(checked_list([values[place] for place in kept]), [origins[place] for place in kept])


def _origins(values: list[Any], looked: list[Any]) -> list[tuple[Any, ...]]:
    return values.origins if isinstance(values, SourcedList) else [tuple(looked)] * len(values)


def _listed(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise failure("value", "An operation of the logic met values it is not defined for.")
    return value


def _set_operation(lists: Lists, intervals: Intervals, *, right_may_be_null: bool) -> Builder:
    def build(compiler: Compiler, node: Json) -> Run:
        left, right = parts(compiler, node, 2)

        def run(frame: Frame) -> Any:
            one, two = plained(left(frame), frame), plained(right(frame), frame)
            if isinstance(one, list) and two is None and right_may_be_null:
                two = []
            if one is None or two is None:
                return None
            if isinstance(one, Interval) and isinstance(two, Interval):
                return intervals(one, two, Scale(None, frame[0].offset))
            return lists(_listed(one), _listed(two), frame[0].offset, frame[0])

        return run

    return build


operator("Intersect")(_set_operation(list_math.intersect, interval_math.intersect, right_may_be_null=False))
operator("Except")(_set_operation(list_math.except_, interval_math.except_, right_may_be_null=True))


@operator("Collapse")
def build_collapse(compiler: Compiler, node: Json) -> Run:
    return _with_per(compiler, node, collapse)


@operator("Expand")
def build_expand(compiler: Compiler, node: Json) -> Run:
    return _with_per(compiler, node, expand)


def _with_per(compiler: Compiler, node: Json, function: Callable[[Any, Any, State], Any]) -> Run:
    runs = [compiler.compile(one) for one in operands(node)]

    def run(frame: Frame) -> Any:
        values = [plained(one(frame), frame) for one in runs]
        if values[0] is None:
            return None
        return function(values[0], values[1] if len(values) > 1 else None, frame[0])

    return run
