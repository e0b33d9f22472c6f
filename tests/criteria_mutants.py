"""The criteria with one mistake in them: what a test must notice. A mutation changes the ELM of one define."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from gateway.clinical.chart import order_day
from gateway.clinical.concepts import Concepts, read_order_code
from gateway.clinical.criteria import Criteria, open_criteria
from gateway.clinical.focus import focus
from gateway.clinical.rule_row import Rule
from gateway.clinical.rules import load_concepts
from gateway.reasoning.elm import LibrarySet, load_library
from gateway.reasoning.record import RecordSnapshot
from tests.clinical_charts import NOW, ZONE
from tests.conftest import ROOT

Json = dict[str, Any]
Edit = Callable[[Json], bool]
"""Changes a node in place when it is the one that is meant, and says so."""
FOLDER = ROOT / "questionnaires" / "conservative-care" / "library"


@cache
def _texts() -> dict[str, str]:
    return {path.stem: path.read_text("utf-8") for path in sorted(Path(FOLDER).glob("*.json"))}


def with_mistake(library: str, definition: str, edit: Edit) -> LibrarySet:
    """The libraries with one definition edited; fails when the edit finds nothing to change."""
    elm = {name: json.loads(text) for name, text in _texts().items()}
    statements = elm[library]["library"]["statements"]["def"]
    node = next(one for one in statements if one["name"] == definition)
    changed = [edit(inner) for inner in _nodes(node["expression"])]
    assert any(changed), f"{library}.{definition} has nothing that the edit is about"
    return LibrarySet([load_library(json.dumps(one).encode()) for one in elm.values()])


def _nodes(node: Any) -> Iterator[Json]:
    if isinstance(node, dict):
        yield node
        for item in list(node.values()):
            yield from _nodes(item)
    elif isinstance(node, list):
        for item in node:
            yield from _nodes(item)


def swap(kind: str, **other: Any) -> Edit:
    """Give every node of a type other properties."""

    def edit(node: Json) -> bool:
        if node.get("type") != kind:
            return False
        node.update(other)
        return True

    return edit


def instead(old: str, **new: Any) -> Edit:
    """Let what uses one definition, function or operand use another."""

    def edit(node: Json) -> bool:
        if node.get("name") != old or not str(node.get("type")).endswith("Ref"):
            return False
        node.pop("libraryName", None)
        node.update(new)
        return True

    return edit


def literal(old: str, new: str) -> Edit:
    """Put one value in the place of another."""

    def edit(node: Json) -> bool:
        if node.get("type") != "Literal" or node.get("value") != old:
            return False
        node["value"] = new
        return True

    return edit


def without(part: str) -> Edit:
    """Drop a part of every query: its `where`, its `return`."""

    def edit(node: Json) -> bool:
        return node.get("type") == "Query" and node.pop(part, None) is not None

    return edit


def all_rows(node: Json) -> bool:
    """Let every query give its doubles too."""
    if node.get("type") != "Query" or not isinstance(node.get("return"), dict):
        return False
    node["return"]["distinct"] = False
    return True


def criteria(
    chart: dict[str, Json],
    rule: Rule,
    libraries: LibrarySet | None = None,
    *,
    zone: str = ZONE,
    concepts: Concepts | None = None,
) -> Criteria:
    """The criteria over a chart, right ones or mutated ones."""
    known = concepts or load_concepts()
    record, order = RecordSnapshot(chart.values()), chart["order"]
    region = known.region_of(read_order_code(order, known) or "")
    assert region is not None
    own_rule, own_concepts, own_region = focus(rule, known, region, order, record)
    day, _ = order_day(order, zone, NOW)
    return open_criteria(record, order, own_rule, own_concepts, own_region, zone, day, NOW, libraries=libraries)
