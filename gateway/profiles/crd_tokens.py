"""The small FHIRPath of prefetch tokens, in all three grammars that payers publish.

CDS Hooks 2.0 (`context.patientId`, `userPractitionerId`), CRD 2.0.1
(`context.draftOrders.DeviceRequest.id`) and CRD 2.2 (`%encounter.participant.individual.resolve()
.ofType(Practitioner).id`, `|`, `today() - 90 days`). A token that cannot be read or has no value gives
nothing; it never fails (crd:found-23). Source: spec/crd.md §5.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from gateway.fhir import Json
from gateway.fhir.reading import objects, one, text
from gateway.fhir.references import read_reference, reference_text

Find = Callable[[str], Json | None]
"""Runs a read or a search (`Patient/1`, `Coverage?patient=1`); None when nothing was found."""

_STEP = re.compile(r"(?P<name>%?[A-Za-z][A-Za-z0-9_-]*)(?P<call>\((?P<argument>[^()]*)\))?(?:\[(?P<index>\d{1,4})\])?")
_TODAY = re.compile(r"today\(\)(?:\s*(?P<sign>[+-])\s*(?P<days>\d{1,5})\s*days?)?")
_CHOICE = re.compile(
    r"(?:Reference|CodeableConcept|Coding|String|Uri|Url|Canonical|Code|Id|DateTime|Date|Period|Quantity|Timing|Boolean|Integer)"
)
_SAFE = re.compile(r"[A-Za-z0-9.\-:/_|+]{1,256}")
MAX_VALUES = 200
"""Values taken from one token; a payer's template must not make an endless id list."""


@dataclass(frozen=True, slots=True)
class _Target:
    """A resolved reference whose resource is fetched only when more than its type and id is asked for."""

    type: str
    id: str


class TokenReader:
    """Evaluates tokens against a hook's context and the prefetch keys that are filled already."""

    def __init__(self, context: Json, find: Find, today: date, known: Callable[[str], Any]) -> None:
        self._context = context
        self._find = find
        self._today = today
        self._known = known

    def nodes(self, expression: str) -> list[Any]:
        """All values of a token, alternatives joined, in order and without repeats; empty when it has none."""
        found: list[Any] = []
        for alternative in _split(expression, "|"):
            found += [node for node in self._path(alternative.strip()) if node not in found]
        return found[:MAX_VALUES]

    def values(self, expression: str) -> list[str]:
        """The token's values as text fit for a query: ids of references and resources, plain values as they are."""
        shown = (_as_text(node) for node in self.nodes(expression))
        return list(dict.fromkeys(value for value in shown if _SAFE.fullmatch(value)))

    def resource(self, node: Any) -> Json | None:
        """The resource behind a value, fetched where needed; None when it is no resource."""
        if isinstance(node, _Target):
            return self._fetch(node)
        return node if isinstance(node, Mapping) and "resourceType" in node else None

    def _path(self, expression: str) -> list[Any]:
        today = _TODAY.fullmatch(expression)
        if today:
            days = int(today["days"] or 0)
            return [(self._today + timedelta(days=-days if today["sign"] == "-" else days)).isoformat()]
        steps = [_STEP.fullmatch(part.strip()) for part in _split(expression, ".")]
        if not steps or steps[0] is None:
            return []
        nodes, rest = self._root(steps[0]["name"]), steps[1:]
        for step in rest:
            if step is None:
                return []
            nodes = self._step(nodes, step)[:MAX_VALUES]
        return nodes

    def _root(self, name: str) -> list[Any]:
        if name == "context":
            return [self._context]
        if name.startswith("%"):
            value = self._known(name[1:])
            return [] if value is None else [value]
        return _user(text(self._context.get("userId")), name)

    def _step(self, nodes: Iterable[Any], step: re.Match[str]) -> list[Any]:
        name, argument = step["name"], (step["argument"] or "").strip()
        if step["call"]:
            found = self._call(nodes, name, argument)
        else:
            found = [value for node in nodes for value in self._children(node, name)]
        if step["index"] is None:
            return found
        position = int(step["index"])
        return found[position : position + 1]

    def _call(self, nodes: Iterable[Any], name: str, argument: str) -> list[Any]:
        if name == "resolve":
            return [target for node in nodes for target in _targets(node)]
        if name == "ofType":
            wanted = argument.removeprefix("FHIR.")
            return [node for node in _resources(nodes) if _type_of(node) == wanted]
        if name == "extension":
            url = argument.strip("'\"")
            lists = (objects(one(node).get("extension")) for node in nodes)
            return [item for listed in lists for item in listed if item.get("url") == url]
        if name == "first":
            return list(nodes)[:1]
        return []

    def _children(self, node: Any, name: str) -> list[Any]:
        if isinstance(node, _Target):
            if name == "id":
                return [node.id]
            node = self._fetch(node)
        if not isinstance(node, Mapping):
            return []
        if name not in node and node.get("resourceType") == "Bundle":
            return self._bundle_children(node, name)
        return _member(node, name)

    def _bundle_children(self, bundle: Json, name: str) -> list[Any]:
        """`draftOrders.DeviceRequest` (2.0.1) names entries by type; `%roles.practitioner` looks into every entry."""
        held = [one(entry.get("resource")) for entry in objects(bundle.get("entry"))]
        if name[:1].isupper():
            return [item for item in held if item.get("resourceType") == name]
        return [value for item in held for value in _member(item, name)]

    def _fetch(self, target: _Target) -> Json | None:
        drafts = objects(one(self._context.get("draftOrders")).get("entry"))
        local = (one(entry.get("resource")) for entry in drafts)
        inside = next((item for item in local if _type_of(item) == target.type and item.get("id") == target.id), None)
        return inside if inside is not None else self._find(f"{target.type}/{target.id}")


def _split(expression: str, separator: str) -> list[str]:
    """Split outside brackets and quotes."""
    parts, depth, quote, current = [], 0, "", ""
    for character in expression:
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        elif character in "()":
            depth += 1 if character == "(" else -1
        elif character == separator and depth == 0:
            parts.append(current)
            current = ""
            continue
        current += character
    return [*parts, current]


def _user(user: str, name: str) -> list[Any]:
    """CDS Hooks 2.0 user tokens: `userPractitionerId` and its like."""
    read = read_reference(user)
    return [read.id] if read.id and name == f"user{read.type}Id" else []


def _member(node: Json, name: str) -> list[Any]:
    """A member by name, else the choice element of that name (`medication` finds `medicationReference`)."""
    value = node.get(name)
    if value is None:
        value = next((item for key, item in node.items() if _is_choice(key, name)), None)
    if value is None:
        return []
    return list(value) if isinstance(value, list | tuple) else [value]


def _is_choice(key: str, name: str) -> bool:
    return key.startswith(name) and _CHOICE.fullmatch(key[len(name) :]) is not None


def _targets(node: Any) -> list[Any]:
    if isinstance(node, Mapping) and "resourceType" in node:
        return [node]
    reference = node if isinstance(node, str) else reference_text(node)
    read = read_reference(reference)
    return [_Target(read.type, read.id)] if read.type else []


def _resources(nodes: Iterable[Any]) -> list[Any]:
    """Nodes with Bundles opened, so that `%orders.ofType(Appointment)` looks at what they hold."""
    opened: list[Any] = []
    for node in nodes:
        if isinstance(node, Mapping) and node.get("resourceType") == "Bundle":
            opened += [one(entry.get("resource")) for entry in objects(node.get("entry"))]
        else:
            opened.append(node)
    return opened


def _type_of(node: Any) -> str:
    return node.type if isinstance(node, _Target) else text(one(node).get("resourceType"))


def _as_text(node: Any) -> str:
    if isinstance(node, _Target):
        return node.id
    if isinstance(node, Mapping):
        return text(node.get("id")) if "resourceType" in node else read_reference(reference_text(node)).id
    return text(node)
