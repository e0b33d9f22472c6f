"""Queries: sources, let, with and without, where, return or aggregate, sort.

Rows are tried one after the other; each row's part of the trace is dropped with the row, and kept with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from gateway.fhir import Json
from gateway.reasoning.elm.compiler import Compiler, operator
from gateway.reasoning.elm.hoisting import kept
from gateway.reasoning.elm.library import Frame, Run
from gateway.reasoning.elm.list_math import distinct_positions
from gateway.reasoning.elm.operators.joins import find_join
from gateway.reasoning.elm.operators.lists import build_sorter, selected
from gateway.reasoning.elm.operators.shared import is_true
from gateway.reasoning.elm.shape import listed
from gateway.reasoning.elm.state import SourcedList, State, checked_list, narrowed

Test = Callable[[Frame], bool]


@dataclass(frozen=True, slots=True)
class Source:
    """An aliased source: its closure, its slot and its alias."""

    run: Run
    slot: int
    alias: str


@operator("Query")
def build_query(compiler: Compiler, node: Json) -> Run:
    sources = [_source(compiler, one) for one in listed(node.get("source"))]
    with compiler.repeated(), compiler.named({one.alias: one.slot for one in sources}):
        lets = _lets(compiler, listed(node.get("let")))
        with compiler.named({name: slot for name, slot, _ in lets}):
            tests = [_relationship(compiler, one) for one in listed(node.get("relationship"))]
            where = compiler.optional(node.get("where"))
            rows = _rows(sources, [(slot, run) for _, slot, run in lets], tests, where)
            if node.get("aggregate"):
                slots = [*(one.slot for one in sources), *(slot for _, slot, _ in lets)]
                return _aggregated(compiler, node["aggregate"], sources, slots, rows)
            return _returned(compiler, node, sources, rows)


def _source(compiler: Compiler, node: Json) -> Source:
    return Source(compiler.compile(node.get("expression")), compiler.new_slot(), str(node.get("alias")))


def _lets(compiler: Compiler, nodes: list[Json]) -> list[tuple[str, int, Run]]:
    """A let may use those before it."""
    found: list[tuple[str, int, Run]] = []
    for node in nodes:
        with compiler.named({name: slot for name, slot, _ in found}):
            run = compiler.compile(node.get("expression"))
        found.append((str(node.get("identifier")), compiler.new_slot(), run))
    return found


def _relationship(compiler: Compiler, node: Json) -> Test:
    source = _source(compiler, node)
    is_same_for_all = not compiler.names_of(node.get("expression"))
    rows_of = kept(source.run) if is_same_for_all else source.run
    with compiler.named({source.alias: source.slot}):
        such_that = compiler.compile(node.get("suchThat"))
        join = find_join(compiler, node.get("suchThat"), source.alias, source.slot) if is_same_for_all else None
    wanted = node.get("type") != "Without"

    def test(frame: Frame) -> bool:
        state: State = frame[0]
        start = len(state.log)
        found = rows_of(frame)
        values = found if isinstance(found, list) else [] if found is None else [found]
        mark = len(state.log)
        for place in join.candidates(frame, values) if join else range(len(values)):
            state.spend(1)
            frame[source.slot] = values[place]
            if is_true(such_that(frame), frame):
                if wanted and isinstance(found, SourcedList):
                    state.log[start:mark] = narrowed(state.log[start:mark], found.origins[place])
                return wanted
            del state.log[mark:]
        return not wanted

    return test


def _rows(
    sources: list[Source], lets: list[tuple[int, Run]], tests: list[Test], where: Run | None
) -> Callable[[Frame, list[Any]], Iterator[tuple[Any, ...]]]:
    """Function that fills the frame for each row that is kept and yields what the row rests on."""

    def keep(frame: Frame) -> bool:
        for slot, run in lets:
            frame[slot] = run(frame)
        if not all(test(frame) for test in tests):
            return False
        return where is None or is_true(where(frame), frame)

    def rows(frame: Frame, collections: list[Any]) -> Iterator[tuple[Any, ...]]:
        state: State = frame[0]
        mark = len(state.log)
        for origin in _combinations(frame, sources, collections, 0):
            if keep(frame):
                yield (*origin, *state.log[mark:])
            del state.log[mark:]

    return rows


def _combinations(frame: Frame, sources: list[Source], collections: list[Any], depth: int) -> Iterator[tuple[Any, ...]]:
    state: State = frame[0]
    slot, values = sources[depth].slot, collections[depth]
    origins = values.origins if isinstance(values, SourcedList) else None
    for place, value in enumerate(values):
        state.spend(1)
        frame[slot] = value
        origin = origins[place] if origins is not None else ()
        if depth == len(sources) - 1:
            yield origin
        else:
            for rest in _combinations(frame, sources, collections, depth + 1):
                yield (*origin, *rest)


def _collections(frame: Frame, sources: list[Source]) -> tuple[list[Any], bool] | None:
    """Values of each source as a list, and whether none was one; None when a source is null."""
    found: list[Any] = []
    are_single = True
    for source in sources:
        value = source.run(frame)
        if value is None:
            return None
        if isinstance(value, list):
            are_single = False
            found.append(value)
        else:
            found.append([value])
    return found, are_single


def _returned(compiler: Compiler, node: Json, sources: list[Source], rows: Any) -> Run:
    clause = node.get("return") or {}
    make = compiler.optional(clause.get("expression")) or _whole_row(sources)
    is_distinct = bool(node.get("return")) and clause.get("distinct", True) is not False
    by = listed((node.get("sort") or {}).get("by"))
    sort = build_sorter(compiler, by) if by else None

    def run(frame: Frame) -> Any:
        state: State = frame[0]
        start = len(state.log)
        collections = _collections(frame, sources)
        if collections is None:
            return None
        if collections[1]:
            return _single(frame, rows, collections[0], make)
        if any(isinstance(one, SourcedList) for one in collections[0]):
            state.log[start:] = narrowed(state.log[start:], ())
        values: list[Any] = []
        origins: list[tuple[Any, ...]] = []
        mark = len(state.log)
        for origin in rows(frame, collections[0]):
            before = len(state.log)
            values.append(make(frame))
            origins.append((*origin, *state.log[before:]))
        del state.log[mark:]
        found: list[Any] = SourcedList(checked_list(values), origins)
        if is_distinct:
            found = selected(found, distinct_positions(found, state.offset, state))
        if sort is not None:
            found = selected(found, sort(found, frame))
        _enter(state, found)
        return found

    return run


def _enter(state: State, found: list[Any]) -> None:
    if isinstance(found, SourcedList):
        for origin in found.origins:
            state.log.extend(origin)


def _single(frame: Frame, rows: Any, collections: list[Any], make: Run) -> Any:
    """Value of a query whose sources are all single values."""
    for origin in rows(frame, collections):
        value = make(frame)
        frame[0].log.extend(origin)
        return value
    return None


def _whole_row(sources: list[Source]) -> Run:
    if len(sources) == 1:
        slot = sources[0].slot
        return lambda frame: frame[slot]
    return lambda frame: {one.alias: frame[one.slot] for one in sources}


def _aggregated(compiler: Compiler, clause: Json, sources: list[Source], slots: list[int], rows: Any) -> Run:
    starting = compiler.optional(clause.get("starting"))
    slot = compiler.new_slot()
    with compiler.named({str(clause.get("identifier")): slot}):
        step = compiler.compile(clause.get("expression"))
    is_distinct = bool(clause.get("distinct"))

    def run(frame: Frame) -> Any:
        collections = _collections(frame, sources)
        if collections is None:
            return None
        chosen = [([frame[one] for one in slots], origin) for origin in rows(frame, collections[0])]
        if is_distinct:
            places = distinct_positions([row for row, _ in chosen], frame[0].offset, frame[0])
            chosen = [chosen[place] for place in places]
        frame[slot] = starting(frame) if starting else None
        for row, origin in chosen:
            frame[0].spend(1)
            frame[0].log.extend(origin)
            for one, value in zip(slots, row, strict=True):
                frame[one] = value
            frame[slot] = step(frame)
        return frame[slot]

    return run
