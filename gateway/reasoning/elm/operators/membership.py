"""In, contains, includes and their proper forms, over lists and intervals alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from gateway.fhir import Json
from gateway.reasoning.elm import interval_math as math
from gateway.reasoning.elm.compiler import Builder, Compiler, operator
from gateway.reasoning.elm.equality import equal
from gateway.reasoning.elm.failures import failure
from gateway.reasoning.elm.interval_math import Answer, Scale
from gateway.reasoning.elm.intervals import Interval
from gateway.reasoning.elm.library import Frame, Run
from gateway.reasoning.elm.list_math import distinct, holds
from gateway.reasoning.elm.operators.shared import parts, plained, precision_of
from gateway.reasoning.elm.shape import operands

Test = Callable[[Any, Any, Scale, Any], Answer]


def _contains(whole: Any, element: Any, scale: Scale, state: Any) -> Answer:
    if isinstance(whole, list):
        state.spend(1 + len(whole) // 8)
        return holds(whole, element, scale.offset)
    if element is None:
        return None
    return math.includes(_interval(whole), element, scale)


def _contains_properly(whole: Any, element: Any, scale: Scale, state: Any) -> Answer:
    if isinstance(whole, list):
        state.spend(1 + len(whole) // 8)
        others = any(not _is_same(one, element, scale.offset) for one in whole)
        if element is None:
            return others and any(one is None for one in whole)
        return math.both(holds(whole, element, scale.offset), others)
    return None if element is None else math.includes_properly(_interval(whole), element, scale)


def _is_same(left: Any, right: Any, offset: int) -> bool:
    return (left is None and right is None) or equal(left, right, offset) is True


def _includes(whole: Any, part: Any, scale: Scale, state: Any) -> Answer:
    if not isinstance(whole, list):
        return math.includes(_interval(whole), part, scale)
    if not isinstance(part, list):
        return _contains(whole, part, scale, state)
    answer: Answer = True
    for one in part:
        answer = math.both(answer, _contains(whole, one, scale, state))
    return answer


def _includes_properly(whole: Any, part: Any, scale: Scale, state: Any) -> Answer:
    if not isinstance(whole, list):
        return math.includes_properly(_interval(whole), part, scale)
    if not isinstance(part, list):
        return _contains_properly(whole, part, scale, state)
    larger = len(distinct(whole, scale.offset, state)) > len(distinct(part, scale.offset, state))
    return math.both(_includes(whole, part, scale, state), larger)


def _interval(value: Any) -> Interval:
    if not isinstance(value, Interval):
        raise failure("value", "An operation of the logic met values it is not defined for.")
    return value


def _of_element(test: Test, *, whole_first: bool) -> Builder:
    """Element against a list or interval: nothing is in a null one, but in no interval at all is not known."""

    def build(compiler: Compiler, node: Json) -> Run:
        first, second = parts(compiler, node, 2)
        whole, element = (first, second) if whole_first else (second, first)
        precision = precision_of(node)
        of_null = (
            None if test is _contains_properly and _is_interval(operands(node)[0 if whole_first else 1]) else False
        )

        def run(frame: Frame) -> Any:
            collection, value = plained(whole(frame), frame), plained(element(frame), frame)
            if collection is None:
                return of_null
            return test(collection, value, Scale(precision, frame[0].offset), frame[0])

        return run

    return build


def _is_interval(node: Json) -> bool:
    specifiers = (node.get("asTypeSpecifier"), node.get("resultTypeSpecifier"))
    return any(isinstance(one, Mapping) and one.get("type") == "IntervalTypeSpecifier" for one in specifiers)


def _of_part(test: Test, *, whole_first: bool) -> Builder:
    def build(compiler: Compiler, node: Json) -> Run:
        first, second = parts(compiler, node, 2)
        whole, part = (first, second) if whole_first else (second, first)
        precision = precision_of(node)

        def run(frame: Frame) -> Any:
            collection, value = plained(whole(frame), frame), plained(part(frame), frame)
            if collection is None or value is None:
                return None
            return test(collection, value, Scale(precision, frame[0].offset), frame[0])

        return run

    return build


operator("Contains")(_of_element(_contains, whole_first=True))
operator("In")(_of_element(_contains, whole_first=False))
operator("ProperContains")(_of_element(_contains_properly, whole_first=True))
operator("ProperIn")(_of_element(_contains_properly, whole_first=False))
operator("Includes")(_of_part(_includes, whole_first=True))
operator("IncludedIn")(_of_part(_includes, whole_first=False))
operator("ProperIncludes")(_of_part(_includes_properly, whole_first=True))
operator("ProperIncludedIn")(_of_part(_includes_properly, whole_first=False))
