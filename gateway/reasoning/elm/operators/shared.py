"""Builders for the many operators that take one or two values and are null when one is null."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gateway.fhir import Json
from gateway.reasoning.elm.compiler import Builder, Compiler
from gateway.reasoning.elm.failures import failure
from gateway.reasoning.elm.library import Frame, Run
from gateway.reasoning.elm.moments import precision_index
from gateway.reasoning.elm.nodes import Node
from gateway.reasoning.elm.shape import operands
from gateway.reasoning.elm.wire import plain

One = Callable[[Any], Any]
Two = Callable[[Any, Any], Any]


def parts(compiler: Compiler, node: Json, count: int) -> list[Run]:
    """Closures of exactly `count` operands. Raises `elm.library` for another number."""
    found = operands(node)
    if len(found) != count:
        raise failure("library", "An operator of the library has the wrong number of operands.")
    return [compiler.compile(one) for one in found]


def unary(function: One) -> Builder:
    """Builder of an operator of one value; FHIR values are converted, null stays null."""

    def build(compiler: Compiler, node: Json) -> Run:
        (operand,) = parts(compiler, node, 1)

        def run(frame: Frame) -> Any:
            value = operand(frame)
            if type(value) is Node:
                value = plain(value, frame[0].offset)
            return None if value is None else function(value)

        return run

    return build


def binary(function: Two) -> Builder:
    """Builder of an operator of two values; FHIR values are converted, null with anything is null."""

    def build(compiler: Compiler, node: Json) -> Run:
        left, right = parts(compiler, node, 2)

        def run(frame: Frame) -> Any:
            one, two = left(frame), right(frame)
            if type(one) is Node:
                one = plain(one, frame[0].offset)
            if type(two) is Node:
                two = plain(two, frame[0].offset)
            return None if one is None or two is None else function(one, two)

        return run

    return build


def precision_of(node: Json) -> int | None:
    """Index of the `precision` attribute, or None. Raises `elm.operator` for an unknown word."""
    word = node.get("precision")
    if not word:
        return None
    try:
        return precision_index(str(word).capitalize())
    except ValueError:
        raise failure("operator", "The logic uses a precision that is not known.") from None


def is_true(value: Any, frame: Frame) -> bool:
    """Whether a condition holds; null and false do not."""
    return value is True or (type(value) is Node and plain(value, frame[0].offset) is True)


def plained(value: Any, frame: Frame) -> Any:
    """The value, FHIR types converted."""
    return plain(value, frame[0].offset) if type(value) is Node else value
