"""Operators on text. Patterns of payers run on an engine of linear time (spec/security.md T33)."""

from __future__ import annotations

import re
from typing import Any, Final

from gateway.fhir import Json
from gateway.reasoning.elm.compiler import Compiler, operator
from gateway.reasoning.elm.library import Frame, Run
from gateway.reasoning.elm.operators.shared import binary, parts, plained, unary
from gateway.reasoning.elm.shape import operands
from gateway.reasoning.elm.state import checked_list, checked_text
from gateway.reasoning.patterns import safe_pattern

_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)
operator("Upper")(unary(lambda text: checked_text(text.upper())))
operator("Lower")(unary(lambda text: checked_text(text.lower())))
operator("StartsWith")(binary(lambda text, prefix: text.startswith(prefix)))
operator("EndsWith")(binary(lambda text, suffix: text.endswith(suffix)))


@operator("Matches")
def build_matches(compiler: Compiler, node: Json) -> Run:
    text, pattern = parts(compiler, node, 2)

    def run(frame: Frame) -> Any:
        value, expression = plained(text(frame), frame), plained(pattern(frame), frame)
        if value is None or expression is None:
            return None
        found = safe_pattern(expression).fullmatch(value)
        frame[0].look()
        return found

    return run


def _substitution(template: str) -> str:
    """A replacement as Java reads it: a backslash makes the next character plain."""
    return _ESCAPED.sub(lambda match: "$\0" if match.group(1) == "$" else match.group(1), template)


@operator("ReplaceMatches")
def build_replace_matches(compiler: Compiler, node: Json) -> Run:
    text, pattern, template = parts(compiler, node, 3)

    def run(frame: Frame) -> Any:
        values = [plained(one(frame), frame) for one in (text, pattern, template)]
        if any(value is None for value in values):
            return None
        found = safe_pattern(values[1]).substitute(values[0], _substitution(values[2]))
        frame[0].look()
        return checked_text(found.replace("$\0", "$"))

    return run


@operator("Concatenate")
def build_concatenate(compiler: Compiler, node: Json) -> Run:
    runs = [compiler.compile(one) for one in operands(node)]

    def run(frame: Frame) -> Any:
        values = [one(frame) for one in runs]
        if any(type(value) is not str for value in values):
            values = [plained(value, frame) for value in values]
        return None if None in values else checked_text("".join(values))

    return run


@operator("Combine")
def build_combine(compiler: Compiler, node: Json) -> Run:
    source, separator = compiler.compile(node.get("source")), compiler.optional(node.get("separator"))

    def run(frame: Frame) -> Any:
        values = source(frame)
        between = plained(separator(frame), frame) if separator else ""
        if values is None or between is None:
            return None
        texts = [plained(one, frame) for one in values]
        known = [text for text in texts if text is not None]
        return checked_text(between.join(known)) if known else None

    return run


@operator("Split")
def build_split(compiler: Compiler, node: Json) -> Run:
    text, separator = compiler.compile(node.get("stringToSplit")), compiler.compile(node.get("separator"))

    def run(frame: Frame) -> Any:
        value, between = plained(text(frame), frame), plained(separator(frame), frame)
        if value is None:
            return None
        return checked_list(value.split(between)) if between else [value]

    return run


@operator("SplitOnMatches")
def build_split_on_matches(compiler: Compiler, node: Json) -> Run:
    text, pattern = compiler.compile(node.get("stringToSplit")), compiler.compile(node.get("separatorPattern"))

    def run(frame: Frame) -> Any:
        value, expression = plained(text(frame), frame), plained(pattern(frame), frame)
        if value is None:
            return None
        if expression is None:
            return [value]
        # A mark that cannot be in the text stands for each match.
        found = safe_pattern(expression).substitute(value.replace("\0", ""), "\0").split("\0")
        frame[0].look()
        return checked_list(found)

    return run


@operator("Length")
def build_length(compiler: Compiler, node: Json) -> Run:
    (operand,) = parts(compiler, node, 1)

    def run(frame: Frame) -> Any:
        value = plained(operand(frame), frame)
        return (0 if _is_list(node) else None) if value is None else len(value)

    return run


def _is_list(node: Json) -> bool:
    """Whether the operand is known to be a list; the length of a null list is 0."""
    specifiers = [*(node.get("signature") or ()), operands(node)[0].get("resultTypeSpecifier") or {}]
    specifiers.append(operands(node)[0].get("asTypeSpecifier") or {})
    return any(one.get("type") == "ListTypeSpecifier" for one in specifiers)


@operator("Substring")
def build_substring(compiler: Compiler, node: Json) -> Run:
    text, start = compiler.compile(node.get("stringToSub")), compiler.compile(node.get("startIndex"))
    length = compiler.optional(node.get("length"))

    def run(frame: Frame) -> Any:
        value, first = plained(text(frame), frame), plained(start(frame), frame)
        count = plained(length(frame), frame) if length else None
        if value is None or first is None or (length and count is None):
            return None
        if first < 0 or (first >= len(value) and not first == len(value) == 0):
            return None
        return value[first:] if count is None else value[first : first + max(count, 0)]

    return run


@operator("PositionOf")
def build_position_of(compiler: Compiler, node: Json) -> Run:
    return _position(compiler, node, lambda text, part: text.find(part))


@operator("LastPositionOf")
def build_last_position_of(compiler: Compiler, node: Json) -> Run:
    return _position(compiler, node, lambda text, part: text.rfind(part))


def _position(compiler: Compiler, node: Json, find: Any) -> Run:
    pattern, text = compiler.compile(node.get("pattern")), compiler.compile(node.get("string"))

    def run(frame: Frame) -> Any:
        part, value = plained(pattern(frame), frame), plained(text(frame), frame)
        return None if part is None or value is None else find(value, part)

    return run
