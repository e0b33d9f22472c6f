"""Parts of a row's logic that are the same for every row, computed once per evaluation.

`Interval[Today() - 6 months, Today()]` inside a `where` does not look at the row. Logic is pure, so its value, and
what it looked at, can be kept: a query over n rows then does not pay for it n times.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from gateway.fhir import Json
from gateway.reasoning.elm.library import Frame, Run
from gateway.reasoning.elm.shape import listed
from gateway.reasoning.elm.state import State

_CHEAP: Final = frozenset(
    (
        "Literal",
        "Null",
        "Quantity",
        "Ratio",
        "Code",
        "Concept",
        "ExpressionRef",
        "ParameterRef",
        "CodeRef",
        "CodeSystemRef",
        "ValueSetRef",
        "Retrieve",
        "Today",
        "Now",
    )
)
"""Not worth keeping, or kept elsewhere."""
_ROW: Final = "$row"
"""Stands for whatever a scope without a name gives."""
_OF_SCOPE: Final = frozenset(
    ("Current", "Total", "Iteration", "IdentifierRef", "Filter", "ForEach", "Repeat", "Aggregate")
)


class Names:
    """Names that expressions take from outside, remembered by node."""

    def __init__(self) -> None:
        self._known: dict[int, frozenset[str]] = {}

    def is_worth_keeping(self, node: Json) -> bool:
        """Whether an expression depends on no row and costs something."""
        return str(node.get("type")) not in _CHEAP and not self.of(node)

    def of(self, node: Any) -> frozenset[str]:
        """Names of aliases, lets and operands that a node uses and does not bring itself."""
        if isinstance(node, list):
            return frozenset().union(*(self.of(one) for one in node))
        if not isinstance(node, Mapping):
            return frozenset()
        if id(node) not in self._known:
            self._known[id(node)] = self._find(node)
        return self._known[id(node)]

    def _find(self, node: Json) -> frozenset[str]:
        kind = str(node.get("type"))
        own = self._own(node, kind)
        inner: frozenset[str] = frozenset().union(*(self.of(one) for one in node.values()))
        return own | (inner - _brought(node) if kind == "Query" else inner)

    @staticmethod
    def _own(node: Json, kind: str) -> frozenset[str]:
        if kind in ("AliasRef", "QueryLetRef", "OperandRef"):
            return frozenset((str(node.get("name")),))
        if kind == "Property" and node.get("source") is None:
            return frozenset((str(node.get("scope") or _ROW),))
        return frozenset((_ROW,)) if kind in _OF_SCOPE else frozenset()


def _brought(node: Json) -> frozenset[str]:
    """Names that a query defines for its own parts."""
    found = [one.get("alias") for one in (*listed(node.get("source")), *listed(node.get("relationship")))]
    found += [one.get("identifier") for one in listed(node.get("let"))]
    found.append((node.get("aggregate") or {}).get("identifier"))
    return frozenset(str(one) for one in found if one)


def kept(inner: Run) -> Run:
    """The closure, its value computed once per evaluation; what it looked at is noted every time."""
    site = object()

    def run(frame: Frame) -> Any:
        state: State = frame[0]
        found = state.cache.get(site)
        if found is None:
            mark = len(state.log)
            found = state.cache[site] = (inner(frame), tuple(state.log[mark:]))
        else:
            state.log.extend(found[1])
        return found[0]

    return run
