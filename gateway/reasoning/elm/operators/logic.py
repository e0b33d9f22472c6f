"""Three-valued logic, conditions and null."""

from __future__ import annotations

from typing import Any

from gateway.fhir import Json
from gateway.reasoning.elm.compiler import Compiler, operator
from gateway.reasoning.elm.equality import equal
from gateway.reasoning.elm.library import Frame, Run
from gateway.reasoning.elm.nodes import Node
from gateway.reasoning.elm.operators.shared import is_true, parts, plained, unary
from gateway.reasoning.elm.shape import listed, operands


@operator("And")
def build_and(compiler: Compiler, node: Json) -> Run:
    left, right = parts(compiler, node, 2)

    def run(frame: Frame) -> Any:
        one = left(frame)
        if type(one) is Node:
            one = plained(one, frame)
        if one is False:
            return False
        two = right(frame)
        if type(two) is Node:
            two = plained(two, frame)
        return False if two is False else None if one is None or two is None else True

    return run


@operator("Or")
def build_or(compiler: Compiler, node: Json) -> Run:
    left, right = parts(compiler, node, 2)

    def run(frame: Frame) -> Any:
        one = plained(left(frame), frame)
        if one is True:
            return True
        two = plained(right(frame), frame)
        return True if two is True else None if one is None or two is None else False

    return run


@operator("Xor")
def build_xor(compiler: Compiler, node: Json) -> Run:
    left, right = parts(compiler, node, 2)

    def run(frame: Frame) -> Any:
        one, two = plained(left(frame), frame), plained(right(frame), frame)
        return None if one is None or two is None else one is not two

    return run


@operator("Implies")
def build_implies(compiler: Compiler, node: Json) -> Run:
    left, right = parts(compiler, node, 2)

    def run(frame: Frame) -> Any:
        one = plained(left(frame), frame)
        if one is False:
            return True
        two = plained(right(frame), frame)
        return True if two is True else None if one is None or two is None else False

    return run


@operator("Not")
def build_not(compiler: Compiler, node: Json) -> Run:
    return unary(lambda value: not value)(compiler, node)


@operator("IsNull")
def build_is_null(compiler: Compiler, node: Json) -> Run:
    (operand,) = parts(compiler, node, 1)
    return lambda frame: operand(frame) is None


@operator("IsTrue")
def build_is_true(compiler: Compiler, node: Json) -> Run:
    (operand,) = parts(compiler, node, 1)
    return lambda frame: is_true(operand(frame), frame)


@operator("IsFalse")
def build_is_false(compiler: Compiler, node: Json) -> Run:
    (operand,) = parts(compiler, node, 1)
    return lambda frame: plained(operand(frame), frame) is False


@operator("Coalesce")
def build_coalesce(compiler: Compiler, node: Json) -> Run:
    found = operands(node)
    runs = [compiler.compile(one) for one in found]
    if len(runs) == 1:
        return _coalesce_list(runs[0])

    def run(frame: Frame) -> Any:
        for one in runs:
            value = one(frame)
            if value is not None:
                return value
        return None

    return run


def _coalesce_list(source: Run) -> Run:
    def run(frame: Frame) -> Any:
        value = source(frame)
        if isinstance(value, list):
            return next((one for one in value if one is not None), None)
        return value

    return run


@operator("If")
def build_if(compiler: Compiler, node: Json) -> Run:
    condition, then = compiler.compile(node.get("condition")), compiler.compile(node.get("then"))
    otherwise = compiler.compile(node.get("else") or {"type": "Null"})

    def run(frame: Frame) -> Any:
        return then(frame) if is_true(condition(frame), frame) else otherwise(frame)

    return run


@operator("Case")
def build_case(compiler: Compiler, node: Json) -> Run:
    comparand = compiler.optional(node.get("comparand"))
    items = [
        (compiler.compile(one.get("when")), compiler.compile(one.get("then"))) for one in listed(node.get("caseItem"))
    ]
    otherwise = compiler.compile(node.get("else") or {"type": "Null"})

    def run(frame: Frame) -> Any:
        for when, then in items:
            if is_true(when(frame), frame):
                return then(frame)
        return otherwise(frame)

    def run_compared(frame: Frame) -> Any:
        assert comparand is not None
        value = comparand(frame)
        for when, then in items:
            if equal(value, when(frame), frame[0].offset):
                return then(frame)
        return otherwise(frame)

    return run if comparand is None else run_compared
