"""Operators that go through a list or a tree element by element."""

from __future__ import annotations

from typing import Any

from gateway.fhir import Json
from gateway.reasoning.elm.compiler import Compiler, operator
from gateway.reasoning.elm.equality import equal
from gateway.reasoning.elm.failures import failure
from gateway.reasoning.elm.library import Frame, Run
from gateway.reasoning.elm.nodes import Node
from gateway.reasoning.elm.operators.lists import require_list, selected, source_of
from gateway.reasoning.elm.operators.shared import is_true, parts
from gateway.reasoning.elm.state import checked_list


@operator("Filter")
def build_filter(compiler: Compiler, node: Json) -> Run:
    source = compiler.compile(node.get("source"))
    name, slot = str(node.get("scope") or "$this"), compiler.new_slot()
    with compiler.named({name: slot, "$this": slot}), compiler.row(slot):
        condition = compiler.compile(node.get("condition"))

    def run(frame: Frame) -> Any:
        values = source(frame)
        if values is None:
            return None
        kept = []
        for place, value in enumerate(require_list(values)):
            frame[0].spend(1)
            frame[slot] = value
            if is_true(condition(frame), frame):
                kept.append(place)
        return selected(values, kept)

    return run


@operator("ForEach")
def build_for_each(compiler: Compiler, node: Json) -> Run:
    source = compiler.compile(node.get("source"))
    name, slot = str(node.get("scope") or "$this"), compiler.new_slot()
    with compiler.named({name: slot, "$this": slot}), compiler.row(slot):
        element = compiler.compile(node.get("element"))

    def run(frame: Frame) -> Any:
        values = source(frame)
        if values is None:
            return None
        found = []
        for value in require_list(values):
            frame[0].spend(1)
            frame[slot] = value
            found.append(element(frame))
        return checked_list(found)

    return run


@operator("Repeat")
def build_repeat(compiler: Compiler, node: Json) -> Run:
    source = compiler.compile(node.get("source"))
    name, slot = str(node.get("scope") or "$this"), compiler.new_slot()
    with compiler.named({name: slot, "$this": slot}), compiler.row(slot):
        element = compiler.compile(node.get("element"))

    def run(frame: Frame) -> Any:
        values = source(frame)
        if values is None:
            return None
        found: list[Any] = []
        waiting = list(require_list(values))
        while waiting:
            frame[0].spend(1)
            frame[slot] = waiting.pop(0)
            made = _as_list(element(frame))
            frame[0].spend(len(made) * len(found))
            fresh = [one for one in made if not any(equal(one, old) for old in found)]
            found += fresh
            waiting += fresh
            checked_list(found)
        return found

    return run


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


@operator("Times")
def build_times(compiler: Compiler, node: Json) -> Run:
    left, right = parts(compiler, node, 2)

    def run(frame: Frame) -> Any:
        one, two = left(frame), right(frame)
        if one is None or two is None:
            return None
        frame[0].spend(len(one) * len(two))
        return checked_list([{**first, **second} for first in one for second in two])

    return run


@operator("Children")
def build_children(compiler: Compiler, node: Json) -> Run:
    source = source_of(compiler, node)

    def run(frame: Frame) -> Any:
        value = source(frame)
        return None if value is None else [kid for one in _as_list(value) for kid in _kids(one)]

    return run


@operator("Descendents", "Descendants")
def build_descendents(compiler: Compiler, node: Json) -> Run:
    source = source_of(compiler, node)

    def run(frame: Frame) -> Any:
        value = source(frame)
        if value is None:
            return None
        found: list[Any] = []
        waiting = [kid for one in _as_list(value) for kid in _kids(one)]
        while waiting:
            frame[0].spend(1)
            one = waiting.pop(0)
            found.append(one)
            waiting += _kids(one)
        return checked_list(found)

    return run


def _kids(value: Any) -> list[Any]:
    if isinstance(value, Node):
        return list(value.children())
    if isinstance(value, dict):
        return [kid for one in value.values() for kid in _as_list(one)]
    return value if isinstance(value, list) else []


@operator("Current")
def build_current(compiler: Compiler, node: Json) -> Run:
    slot = compiler.slot_of(str(node.get("scope"))) if node.get("scope") else compiler.row_slot
    if slot is None:
        raise failure("reference", "The logic uses a name that is not known where it stands.")
    return lambda frame: frame[slot]
