"""A response laid beside its form: one slot for each item, each repetition of a group, each answer's children.

A slot has an address, so that pages, commands and logs can name it: the linkId, and for a later
repetition `@` and the positions of the repetitions it is in (`detail@1`, `dose@1.0`).
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.fhir import Json
from gateway.forms.definition import FormDefinition, ItemDefinition

Node = dict[str, Any]


@dataclass(slots=True, eq=False)
class Slot:
    """One place of a form where answers stand or could stand."""

    definition: ItemDefinition
    address: str
    node: Node
    """The item of the response, made empty when it has none; belongs to the working copy."""
    parent: Slot | None = field(default=None, repr=False)
    reachable: bool = True
    """False below a question without answer: there is no place for it in a response."""
    children: list[Slot] = field(default_factory=list, repr=False)

    @property
    def answers(self) -> list[Node]:
        """Answers that are there; the list is the response's own."""
        found = self.node.get("answer")
        return found if isinstance(found, list) else []

    def set_answers(self, answers: list[Node]) -> None:
        """Put answers in place of those that are there; none removes the element."""
        if answers:
            self.node["answer"] = answers
        else:
            self.node.pop("answer", None)

    def walk(self) -> Iterator[Slot]:
        """This slot and all below it, in document order."""
        yield self
        for child in self.children:
            yield from child.walk()


class Sheet:
    """Working copy of a response with its slots. The response handed in is not changed."""

    def __init__(self, form: FormDefinition, response: Json) -> None:
        self.form = form
        self.response: dict[str, Any] = copy.deepcopy(dict(response))
        self.unknown: list[str] = []
        """linkIds of the response that the form does not have."""
        self.roots: list[Slot] = []
        self.rebuild()

    def rebuild(self) -> None:
        """Lay the slots anew, after answers or repetitions came or went."""
        self.unknown = []
        self.roots = self._lay(self.form.items, self.response, None, (), reachable=True)
        self._by_address = {slot.address: slot for slot in self.walk()}

    def walk(self) -> Iterator[Slot]:
        """Every slot in document order."""
        for root in self.roots:
            yield from root.walk()

    def find(self, address: str) -> Slot | None:
        """The slot with an address; None when the form has no such place."""
        return self._by_address.get(address)

    def named(self, link_id: str) -> list[Slot]:
        """Every slot of an item, over all repetitions."""
        return [slot for slot in self.walk() if slot.definition.link_id == link_id]

    def _lay(
        self,
        items: tuple[ItemDefinition, ...],
        host: Node,
        parent: Slot | None,
        repetition: tuple[int, ...],
        *,
        reachable: bool,
    ) -> list[Slot]:
        present = [node for node in host.get("item") or () if isinstance(node, dict)]
        known = {item.link_id for item in items}
        self.unknown += [str(node.get("linkId", "")) for node in present if node.get("linkId") not in known]
        by_link_id: dict[Any, list[Node]] = {}
        for node in present:
            by_link_id.setdefault(str(node.get("linkId", "")), []).append(node)
        slots: list[Slot] = []
        for item in items:
            nodes = by_link_id.get(item.link_id, [])
            slots += self._instances(item, nodes, parent, repetition, reachable=reachable)
        nodes = [slot.node for slot in slots if slot.definition.type != "display"]
        if nodes:
            host["item"] = nodes
        else:
            host.pop("item", None)
        return slots

    def _instances(
        self,
        item: ItemDefinition,
        nodes: list[Node],
        parent: Slot | None,
        repetition: tuple[int, ...],
        *,
        reachable: bool,
    ) -> list[Slot]:
        if not item.is_group:
            nodes = [_merged(nodes)] if nodes else []
        nodes = nodes or [{"linkId": item.link_id}]
        many = item.is_group and item.repeats
        found = []
        for position, node in enumerate(nodes if many else nodes[:1]):
            place = (*repetition, position) if many else repetition
            found.append(self._slot(item, node, parent, place, reachable=reachable))
        return found

    def _slot(
        self,
        item: ItemDefinition,
        node: Node,
        parent: Slot | None,
        repetition: tuple[int, ...],
        *,
        reachable: bool,
    ) -> Slot:
        if item.item.get("text") is not None:
            node = _with_text(node, item.text)
        slot = Slot(item, address_of(item.link_id, repetition), node, parent, reachable)
        if not item.children:
            return slot
        if item.is_group:
            slot.children = self._lay(item.children, node, slot, repetition, reachable=reachable)
            return slot
        answers = slot.answers
        for position, answer in enumerate(answers):
            place = (*repetition, position) if item.repeats else repetition
            slot.children += self._lay(item.children, answer, slot, place, reachable=reachable)
        if not answers:
            slot.children = self._lay(item.children, {}, slot, repetition, reachable=False)
        return slot


def address_of(link_id: str, repetition: tuple[int, ...]) -> str:
    """Address text; positions are left out for the first repetition of everything."""
    if not any(repetition):
        return link_id
    return f"{link_id}@{'.'.join(str(position) for position in repetition)}"


def _with_text(node: Node, text: str) -> Node:
    """The node with the form's text after the linkId, as SDC wants it: equal to the question."""
    rest = {key: value for key, value in node.items() if key not in ("linkId", "text")}
    ordered = {"linkId": node.get("linkId"), "text": text, **rest}
    node.clear()
    node.update(ordered)
    return node


def _merged(nodes: list[Node]) -> Node:
    """One node for a question that came as repeated items, as older servers write it."""
    first = nodes[0]
    for other in nodes[1:]:
        first.setdefault("answer", []).extend(other.get("answer") or ())
    return first


def without_empty(node: Mapping[str, Any]) -> dict[str, Any]:
    """Copy of a response or item without items that hold neither answers nor items."""
    kept = {key: value for key, value in node.items() if key not in ("item", "answer")}
    if node.get("answer"):
        kept["answer"] = [without_empty(answer) for answer in node["answer"]]
    items = [without_empty(item) for item in node.get("item") or ()]
    items = [item for item in items if item.get("item") or item.get("answer")]
    if items:
        kept["item"] = items
    return kept
