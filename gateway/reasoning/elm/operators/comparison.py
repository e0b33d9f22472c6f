"""`=`, `~`, `<` and their kin, for values of any type."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gateway.fhir import Json
from gateway.reasoning.elm.compiler import Builder, Compiler, operator
from gateway.reasoning.elm.equality import at_most, equal, equivalent
from gateway.reasoning.elm.library import Frame, Run
from gateway.reasoning.elm.operators.shared import parts


@operator("Equal")
def build_equal(compiler: Compiler, node: Json) -> Run:
    left, right = parts(compiler, node, 2)

    def run(frame: Frame) -> Any:
        one, two = left(frame), right(frame)
        if one is None or two is None:
            return None
        if type(one) is str and type(two) is str:
            return one == two
        return equal(one, two, frame[0].offset)

    return run


@operator("NotEqual")
def build_not_equal(compiler: Compiler, node: Json) -> Run:
    left, right = parts(compiler, node, 2)

    def run(frame: Frame) -> Any:
        same = equal(left(frame), right(frame), frame[0].offset)
        return None if same is None else not same

    return run


@operator("Equivalent")
def build_equivalent(compiler: Compiler, node: Json) -> Run:
    left, right = parts(compiler, node, 2)
    return lambda frame: equivalent(left(frame), right(frame), frame[0].offset)


def _ordered(test: Callable[[Any, Any, int], bool | None]) -> Builder:
    def build(compiler: Compiler, node: Json) -> Run:
        left, right = parts(compiler, node, 2)

        def run(frame: Frame) -> Any:
            one, two = left(frame), right(frame)
            return None if one is None or two is None else test(one, two, frame[0].offset)

        return run

    return build


def _less(left: Any, right: Any, offset: int) -> bool | None:
    reversed_order = at_most(right, left, None, offset)
    return None if reversed_order is None else not reversed_order


operator("Less")(_ordered(_less))
operator("Greater")(_ordered(lambda left, right, offset: _less(right, left, offset)))
operator("LessOrEqual")(_ordered(lambda left, right, offset: at_most(left, right, None, offset)))
operator("GreaterOrEqual")(_ordered(lambda left, right, offset: at_most(right, left, None, offset)))
