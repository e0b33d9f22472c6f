"""Retrieve: resources of the record by type, codes, dates and related context, over indexes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.fhir import Json
from gateway.reasoning.elm.codes import Code, ValueSet
from gateway.reasoning.elm.compiler import Compiler, operator
from gateway.reasoning.elm.failures import failure
from gateway.reasoning.elm.interval_math import Scale, overlaps
from gateway.reasoning.elm.intervals import Interval
from gateway.reasoning.elm.library import Frame, Run
from gateway.reasoning.elm.model import FHIR
from gateway.reasoning.elm.nodes import Node
from gateway.reasoning.elm.operators.clinical import expanded
from gateway.reasoning.elm.operators.references import property_of
from gateway.reasoning.elm.operators.shared import plained
from gateway.reasoning.elm.operators.types import model_of
from gateway.reasoning.elm.shape import listed
from gateway.reasoning.elm.state import Search, SourcedList, State
from gateway.reasoning.elm.terminology import codes_in

Positions = Callable[[Frame], set[int] | None]
"""Positions of the rows that a filter keeps; None when the logic has no codes to look for."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a retrieve asks for."""

    type: str
    code_path: str
    unfiltered: bool


@operator("Retrieve")
def build_retrieve(compiler: Compiler, node: Json) -> Run:
    plan = _plan(compiler, node)
    codes = _code_filter(compiler, node, plan)
    dates = _date_filters(compiler, node)
    identified = compiler.optional(node.get("id"))
    related = compiler.optional(node.get("context")) if isinstance(node.get("context"), Mapping) else None
    if listed(node.get("otherFilter")) or listed(node.get("include")):
        raise failure("operator", "The logic retrieves in a way that is not known here.")

    def run(frame: Frame) -> Any:
        state: State = frame[0]
        rows = state.chart.rows(plan.type, unfiltered=plan.unfiltered)
        state.spend(1 + len(rows) // 16)
        kept = codes(frame) if codes else None
        places = range(len(rows)) if kept is None else sorted(kept)
        found = [rows[place] for place in places]
        for dated in dates:
            found = [one for one in found if dated(one, frame)]
        if identified is not None:
            wanted = plained(identified(frame), frame)
            found = [one for one in found if wanted is not None and one.value.get("id") == wanted]
        if related is not None:
            found = _related(found, related(frame), state)
        state.log.append(Search(plan.type, "codes" if codes else "", len(found)))
        return _sourced(found, plan, bool(codes), state)

    return run


def _plan(compiler: Compiler, node: Json) -> Plan:
    name = str(node.get("dataType", ""))
    kind = model_of(compiler).find(name.removeprefix(FHIR)) if name.startswith(FHIR) else None
    if kind is None or "Resource" not in kind.names:
        raise failure("type", "The logic retrieves a type that is not a FHIR resource.")
    context = compiler.define.context
    path = str(node.get("codeProperty") or kind.code_path or "")
    return Plan(kind.name, path, context not in ("", "Patient"))


def _sourced(found: list[Node], plan: Plan, by_code: bool, state: State) -> SourcedList:
    """Rows that rest on themselves, or on the element they were filtered by."""
    key = ("origin", plan.type, plan.code_path if by_code else "")
    origins: dict[int, tuple[Any, ...]] = state.cache.setdefault(key, {})
    for node in found:
        if id(node) not in origins:
            coded = _coded(node, plan.code_path, state) if by_code else None
            origins[id(node)] = (coded,) if isinstance(coded, Node) else (node,)
    chosen = [origins[id(node)] for node in found]
    state.log.extend(entry for origin in chosen for entry in origin)
    return SourcedList(found, chosen)


def _coded(node: Node, path: str, state: State) -> Any:
    value: Any = node
    for part in path.split("."):
        value = property_of(value, part, state)
        value = value[0] if isinstance(value, list) and value else value
    return value


def _code_filter(compiler: Compiler, node: Json, plan: Plan) -> Positions | None:
    filters = (
        [_one_code_filter(compiler, node.get("codes"), plan, str(node.get("codeComparator") or ""))]
        if node.get("codes")
        else []
    )
    for one in listed(node.get("codeFilter")):
        path = str(one.get("property") or plan.code_path)
        other = Plan(plan.type, path, plan.unfiltered)
        filters.append(_one_code_filter(compiler, one.get("value"), other, str(one.get("comparator") or "")))
    if not filters:
        return None

    def positions(frame: Frame) -> set[int] | None:
        kept: set[int] | None = None
        for one in filters:
            found = one(frame) or set()
            kept = found if kept is None else kept & found
        return kept

    return positions


def _one_code_filter(compiler: Compiler, codes: Any, plan: Plan, comparator: str) -> Positions:
    wanted = compiler.compile(codes)
    if not plan.code_path:
        raise failure("type", "The logic filters a type by codes that has no code.")

    def positions(frame: Frame) -> set[int] | None:
        value = wanted(frame)
        if value is None:
            return set()
        state: State = frame[0]
        if isinstance(value, ValueSet):
            key = ("rows", plan, value.id, value.version)
            if key not in state.cache:
                state.cache[key] = _in_value_set(value, plan, state)
            found: set[int] = state.cache[key]
            return found
        return _with_codes(_all_codes(value, frame), plan, state)

    return positions


def _in_value_set(value_set: ValueSet, plan: Plan, state: State) -> set[int]:
    codes = expanded(state, value_set)
    index = state.chart.by_code(plan.type, plan.code_path, unfiltered=plan.unfiltered)
    found: set[int] = set()
    for (system, code), places in index.items():
        known = (system, code) in codes.pairs if system else code in codes.codes
        if known:
            found.update(places)
        elif not found.issuperset(places):
            codes.require_complete()
    return found


def _all_codes(value: Any, frame: Frame) -> list[Code | str]:
    values = value if isinstance(value, list) else [value]
    found: list[Code | str] = []
    for one in values:
        one = plained(one, frame)
        if isinstance(one, str):
            found.append(one)
        elif isinstance(one, ValueSet):
            found += expanded(frame[0], one).listed
        else:
            found += codes_in(one)
    return found


def _with_codes(codes: list[Code | str], plan: Plan, state: State) -> set[int]:
    index = state.chart.by_code(plan.type, plan.code_path, unfiltered=plan.unfiltered)
    found: set[int] = set()
    for one in codes:
        system, code = (None, one) if isinstance(one, str) else (one.system, one.code)
        if code is not None:
            found.update(index.get((system, code), ()))
            found.update(index.get((None, code), ()) if system else ())
            if system is None:
                found.update(place for (_, other), places in index.items() if other == code for place in places)
    return found


def _date_filters(compiler: Compiler, node: Json) -> list[Callable[[Node, Frame], bool]]:
    found = []
    if node.get("dateRange"):
        found.append(_date_filter(compiler, node, node["dateRange"], "date"))
    for one in listed(node.get("dateFilter")):
        found.append(_date_filter(compiler, one, one.get("value"), ""))
    return found


def _date_filter(compiler: Compiler, node: Json, value: Any, prefix: str) -> Callable[[Node, Frame], bool]:
    """Keep rows whose date surely lies in the range; a period counts when it overlaps."""
    wanted = compiler.compile(value)
    path, low, high = (_path(node, prefix, name) for name in ("property", "lowProperty", "highProperty"))

    def keep(node: Node, frame: Frame) -> bool:
        limits = plained(wanted(frame), frame)
        date = _dated(node, path, frame) if path else _period(node, low, high, frame)
        if limits is None or date is None:
            return False
        return overlaps(date, limits, Scale(None, frame[0].offset)) is True

    return keep


def _path(node: Json, prefix: str, name: str) -> str:
    return str(node.get(prefix + name[0].upper() + name[1:] if prefix else name) or "")


def _dated(node: Node, path: str, frame: Frame) -> Any:
    value: Any = node
    for part in path.split("."):
        value = property_of(value, part, frame[0])
    return plained(value, frame)


def _period(node: Node, low: str, high: str, frame: Frame) -> Interval | None:
    if not low or not high:
        return None
    return Interval(_dated(node, low, frame), _dated(node, high, frame), True, True, "DateTime")


def _related(rows: list[Node], target: Any, state: State) -> list[Node]:
    """Rows that belong to another context's resource, e.g. to one Practitioner."""
    if target is None:
        return []
    if not isinstance(target, Node):
        raise failure("value", "The logic retrieves for a context that is not a resource.")
    return [one for one in rows if one.value is target.value or state.chart.refers(one, target)]
