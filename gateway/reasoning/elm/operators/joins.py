"""`with … such that A.x = B.y`: rows of B are found by an index of their keys instead of one by one.

Only a choice of candidates: the whole condition still decides on each of them. Keys must be texts; with any other
value every row is a candidate. The index is made once per evaluation, when the source looks at no row.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway.fhir import Json
from gateway.reasoning.elm.compiler import Compiler
from gateway.reasoning.elm.library import Frame, Run
from gateway.reasoning.elm.operators.shared import plained
from gateway.reasoning.elm.shape import operands
from gateway.reasoning.elm.state import State

Index = dict[str, list[int]]


@dataclass(frozen=True, slots=True)
class Join:
    """The two sides of an equality: one of the joined row alone, one without it."""

    inner: Run
    outer: Run
    slot: int
    site: object = field(default_factory=object)

    def candidates(self, frame: Frame, values: Sequence[Any]) -> Iterable[int]:
        """Positions of the values that may fulfil the condition."""
        state: State = frame[0]
        mark = len(state.log)
        wanted = plained(self.outer(frame), frame)
        del state.log[mark:]
        if wanted is None:
            return ()
        index = state.cache.get(self.site)
        if index is None:
            index = state.cache[self.site] = (self._index(frame, values),)
        return range(len(values)) if index[0] is None or type(wanted) is not str else index[0].get(wanted, ())

    def _index(self, frame: Frame, values: Sequence[Any]) -> Index | None:
        state: State = frame[0]
        state.spend(len(values))
        mark, index = len(state.log), Index()
        for place, value in enumerate(values):
            frame[self.slot] = value
            key = plained(self.inner(frame), frame)
            if key is not None:
                if type(key) is not str:
                    return None
                index.setdefault(key, []).append(place)
        del state.log[mark:]
        return index


def find_join(compiler: Compiler, condition: Any, alias: str, slot: int) -> Join | None:
    """An equality of the condition that tells rows apart, or None. Aliases must be known to the compiler."""
    for node in _conjuncts(condition):
        sides = operands(node) if node.get("type") == "Equal" else []
        for inner, outer in (sides, sides[::-1]) if len(sides) == 2 else ():
            names = compiler.names_of(inner)
            if names == {alias} and alias not in compiler.names_of(outer):
                return Join(compiler.compile(inner), compiler.compile(outer), slot)
    return None


def _conjuncts(node: Any) -> Iterable[Json]:
    """Parts that all must be true."""
    if not isinstance(node, dict):
        return
    if node.get("type") == "And":
        for one in operands(node):
            yield from _conjuncts(one)
    else:
        yield node
