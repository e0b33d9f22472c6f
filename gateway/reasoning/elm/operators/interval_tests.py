"""Operators that say how intervals and points lie to each other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gateway.fhir import Json
from gateway.reasoning.elm import interval_math as math
from gateway.reasoning.elm.compiler import Builder, Compiler, operator
from gateway.reasoning.elm.interval_math import Answer, Scale
from gateway.reasoning.elm.library import Frame, Run
from gateway.reasoning.elm.operators.shared import parts, plained, precision_of

Test = Callable[[Any, Any, Scale], Answer]


def tested(test: Test) -> Builder:
    """Builder of a test of two values at the node's precision; null with anything is null."""

    def build(compiler: Compiler, node: Json) -> Run:
        left, right = parts(compiler, node, 2)
        precision = precision_of(node)

        def run(frame: Frame) -> Any:
            one, two = plained(left(frame), frame), plained(right(frame), frame)
            return None if one is None or two is None else test(one, two, Scale(precision, frame[0].offset))

        return run

    return build


def flipped(test: Test) -> Test:
    """The test with its sides exchanged."""
    return lambda left, right, scale: test(right, left, scale)


operator("Before")(tested(math.is_before))
operator("After")(tested(flipped(math.is_before)))
operator("SameOrBefore")(tested(math.is_same_or_before))
operator("SameOrAfter")(tested(flipped(math.is_same_or_before)))
operator("Overlaps")(tested(math.overlaps))
operator("OverlapsBefore")(tested(math.overlaps_before))
operator("OverlapsAfter")(tested(math.overlaps_after))
operator("MeetsBefore")(tested(math.meets_before))
operator("MeetsAfter")(tested(flipped(math.meets_before)))
operator("Meets")(
    tested(
        lambda left, right, scale: math.either(
            math.meets_before(left, right, scale), math.meets_before(right, left, scale)
        )
    )
)
operator("Starts")(tested(math.starts))
operator("Ends")(tested(math.ends))
