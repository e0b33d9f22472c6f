"""Operators on lists. Picking an element keeps only what that element rests on in the trace."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gateway.fhir import Json
from gateway.reasoning.elm.compiler import Compiler, operator
from gateway.reasoning.elm.equality import equal
from gateway.reasoning.elm.failures import failure
from gateway.reasoning.elm.library import Frame, Run
from gateway.reasoning.elm.list_math import distinct_positions, sorted_positions
from gateway.reasoning.elm.operators.references import property_of
from gateway.reasoning.elm.operators.shared import parts, plained
from gateway.reasoning.elm.shape import listed, operands
from gateway.reasoning.elm.state import SourcedList, State, checked_list, narrowed

Pick = Callable[[list[Any], Frame], int | None]


def picked(values: list[Any], position: int, state: State, mark: int) -> Any:
    """Element of a list; the trace since `mark` is narrowed to what it rests on."""
    if isinstance(values, SourcedList):
        state.log[mark:] = narrowed(state.log[mark:], values.origins[position])
    return values[position]


def source_of(compiler: Compiler, node: Json) -> Run:
    return compiler.compile(node.get("source") or operands(node)[0])


def _picking(compiler: Compiler, node: Json, pick: Pick) -> Run:
    source = source_of(compiler, node)

    def run(frame: Frame) -> Any:
        state: State = frame[0]
        mark = len(state.log)
        values = source(frame)
        if values is None:
            return None
        position = pick(require_list(values), frame)
        return None if position is None else picked(values, position, state, mark)

    return run


def require_list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise failure("value", "An operation of the logic needs a list.")
    return value


@operator("First")
def build_first(compiler: Compiler, node: Json) -> Run:
    return _picking(compiler, node, lambda values, frame: 0 if values else None)


@operator("Last")
def build_last(compiler: Compiler, node: Json) -> Run:
    return _picking(compiler, node, lambda values, frame: len(values) - 1 if values else None)


@operator("SingletonFrom")
def build_singleton_from(compiler: Compiler, node: Json) -> Run:
    def pick(values: list[Any], frame: Frame) -> int | None:
        if len(values) > 1:
            raise failure("value", "The logic expects one value where there are several.")
        return 0 if values else None

    return _picking(compiler, node, pick)


@operator("Indexer")
def build_indexer(compiler: Compiler, node: Json) -> Run:
    source, index = parts(compiler, node, 2)

    def run(frame: Frame) -> Any:
        state: State = frame[0]
        mark = len(state.log)
        values = plained(source(frame), frame)
        position = plained(index(frame), frame)
        if values is None or position is None or not 0 <= position < len(values):
            return None
        return values[position] if isinstance(values, str) else picked(values, position, state, mark)

    return run


@operator("IndexOf")
def build_index_of(compiler: Compiler, node: Json) -> Run:
    source, element = compiler.compile(node.get("source")), compiler.compile(node.get("element"))

    def run(frame: Frame) -> Any:
        values, wanted = source(frame), element(frame)
        if values is None or wanted is None:
            return None
        frame[0].spend(1 + len(values))
        found = (place for place, value in enumerate(values) if equal(value, wanted, frame[0].offset))
        return next(found, -1)

    return run


@operator("Exists")
def build_exists(compiler: Compiler, node: Json) -> Run:
    (operand,) = parts(compiler, node, 1)

    def run(frame: Frame) -> Any:
        values = operand(frame)
        return values is not None and any(value is not None for value in require_list(values))

    return run


@operator("Flatten")
def build_flatten(compiler: Compiler, node: Json) -> Run:
    (operand,) = parts(compiler, node, 1)

    def run(frame: Frame) -> Any:
        values = operand(frame)
        if values is None:
            return None
        found: list[Any] = []
        for value in require_list(values):
            if isinstance(value, list):
                found += value
            elif value is not None:
                found.append(value)
        frame[0].spend(len(found))
        return checked_list(found)

    return run


@operator("Distinct")
def build_distinct(compiler: Compiler, node: Json) -> Run:
    (operand,) = parts(compiler, node, 1)

    def run(frame: Frame) -> Any:
        values = operand(frame)
        if values is None:
            return None
        return selected(values, distinct_positions(require_list(values), frame[0].offset, frame[0]))

    return run


def selected(values: list[Any], positions: list[int]) -> list[Any]:
    """Elements at positions, each with what it rests on."""
    kept = [values[place] for place in positions]
    if isinstance(values, SourcedList):
        return SourcedList(kept, [values.origins[place] for place in positions])
    return kept


@operator("Slice")
def build_slice(compiler: Compiler, node: Json) -> Run:
    source = compiler.compile(node.get("source"))
    start, end = compiler.optional(node.get("startIndex")), compiler.optional(node.get("endIndex"))

    def run(frame: Frame) -> Any:
        values = source(frame)
        first = plained(start(frame), frame) if start else 0
        last = plained(end(frame), frame) if end else None
        if values is None:
            return None
        return selected(require_list(values), list(range(len(values)))[first or 0 : last])

    return run


@operator("Sort")
def build_sort(compiler: Compiler, node: Json) -> Run:
    source = compiler.compile(node.get("source"))
    sort = build_sorter(compiler, listed(node.get("by")))

    def run(frame: Frame) -> Any:
        values = source(frame)
        return None if values is None else selected(values, sort(require_list(values), frame))

    return run


def build_sorter(compiler: Compiler, by: list[Json]) -> Callable[[list[Any], Frame], list[int]]:
    """Function that gives the positions of rows in the order of the `by` items of a sort clause."""
    slot = compiler.new_slot()
    keys: list[Callable[[Any, Frame], Any]] = []
    for item in by:
        if item.get("type") == "ByColumn":
            keys.append(_column(str(item.get("path")), property_of))
        elif item.get("type") == "ByExpression":
            with compiler.row(slot):
                keys.append(_expression(compiler.compile(item.get("expression")), slot))
        else:
            keys.append(lambda row, frame: row)
    descending = [str(item.get("direction", "asc")).startswith("desc") for item in by]

    def sort(values: list[Any], frame: Frame) -> list[int]:
        frame[0].spend(len(values) * (1 + len(keys)))
        mark = len(frame[0].log)
        rows = [tuple(key(value, frame) for key in keys) for value in values]
        del frame[0].log[mark:]
        return sorted_positions(rows, descending, frame[0].offset)

    return sort


def _column(path: str, read: Callable[[Any, str, State], Any]) -> Callable[[Any, Frame], Any]:
    return lambda row, frame: read(row, path, frame[0])


def _expression(run: Run, slot: int) -> Callable[[Any, Frame], Any]:
    def key(row: Any, frame: Frame) -> Any:
        frame[slot] = row
        return run(frame)

    return key
