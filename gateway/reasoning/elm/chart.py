"""The record as nodes, with the indexes that retrieves ask.

Built once per snapshot and FHIR version and kept with it, since one order asks many defines. A resource belongs
to the patient when one of the elements that model info names refers to them, also by `urn:uuid` (B21); types
with no such element, like Practitioner, are taken as they are (spec/dtr.md §6.4).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gateway.fhir import Json
from gateway.reasoning.elm.failures import failure
from gateway.reasoning.elm.model import FhirType, Model
from gateway.reasoning.elm.nodes import Node
from gateway.reasoning.record import RecordSnapshot

CodeIndex = dict[tuple[str | None, str], list[int]]


class Chart:
    """Nodes of one record, seen from one patient."""

    def __init__(self, record: RecordSnapshot, model: Model, patient: Json | None) -> None:
        self.record = record
        self.model = model
        self.patient = patient
        self._nodes: dict[str, list[Node]] = {}
        self._own: dict[str, list[Node]] = {}
        self._codes: dict[tuple[str, str, bool], CodeIndex] = {}

    def rows(self, resource_type: str, *, unfiltered: bool = False) -> list[Node]:
        """Nodes of a type, of the patient alone unless `unfiltered`. The list must not be changed."""
        store = self._nodes if unfiltered else self._own
        if resource_type not in store:
            if unfiltered:
                kind = self.model.of_resource(resource_type)
                store[resource_type] = [Node(one, kind, self.model) for one in self.record.of_type(resource_type)]
            else:
                everyone = self.rows(resource_type, unfiltered=True)
                store[resource_type] = [node for node in everyone if self._is_own(node)]
        return store[resource_type]

    def _is_own(self, node: Node) -> bool:
        if self.patient is None:
            return True
        if node.type.name == "Patient":
            return node.value is self.patient
        paths = node.type.patient_paths
        return not paths or any(self._names_patient(text) for path in paths for text in references(node.value, path))

    def _names_patient(self, text: str) -> bool:
        return self.record.find(text) is self.patient

    def by_code(self, resource_type: str, path: str, *, unfiltered: bool) -> CodeIndex:
        """Positions in `rows` by (system, code) of the element at `path`."""
        key = (resource_type, path, unfiltered)
        if key not in self._codes:
            index: CodeIndex = {}
            for position, node in enumerate(self.rows(resource_type, unfiltered=unfiltered)):
                for pair in dict.fromkeys(self._pairs(node, path)):
                    index.setdefault(pair, []).append(position)
            self._codes[key] = index
        return self._codes[key]

    def _pairs(self, node: Node, path: str) -> Iterator[tuple[str | None, str]]:
        for key, value in code_values(node, path):
            yield from _pairs_of(value, key)

    def refers(self, node: Node, target: Node) -> bool:
        """Whether any reference inside a resource leads to another one."""
        return any(self.record.find(text) is target.value for text in _all_references(node.value))


def code_values(node: Node, path: str) -> Iterator[tuple[str, Any]]:
    """JSON of the coded element; a choice is looked up under each of its names."""
    at: list[tuple[FhirType, Any]] = [(node.type, node.value)]
    parts = path.split(".")
    for depth, part in enumerate(parts):
        found: list[tuple[FhirType, Any]] = []
        for kind, holder in at:
            if not isinstance(holder, Mapping):
                continue
            element = kind.elements.get(part)
            if element is None:
                raise failure("property", "The logic filters by an element that FHIR does not have.")
            for key, choice in element.choices:
                value = holder.get(key)
                found += [(choice, one) for one in (value if isinstance(value, list) else [value]) if one is not None]
        at = found
        if depth == len(parts) - 1:
            yield from ((part, value) for _, value in found)


def _pairs_of(value: Any, key: str) -> Iterator[tuple[str | None, str]]:
    if isinstance(value, str):
        yield None, value
    elif isinstance(value, Mapping) and "coding" in value:
        for coding in value.get("coding") or ():
            yield from _pairs_of(coding, key)
    elif isinstance(value, Mapping) and isinstance(value.get("code"), str):
        yield value.get("system"), value["code"]


def references(resource: Any, path: str) -> Iterator[str]:
    """Reference texts at a dotted path of a resource."""
    at = [resource]
    for part in path.split("."):
        at = [kid for one in at if isinstance(one, Mapping) for kid in _listed(one.get(part))]
    for one in at:
        if isinstance(one, Mapping) and isinstance(one.get("reference"), str):
            yield one["reference"]


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _all_references(value: Any) -> Iterator[str]:
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, Mapping):
            if isinstance(one.get("reference"), str):
                yield one["reference"]
            waiting.extend(one.values())
        elif isinstance(one, list):
            waiting.extend(one)
