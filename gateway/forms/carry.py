"""What people answered, carried from a form that was replaced into its successor.

Answers that a person set, and places that a person cleared, go over where the question is the same: linkId, type and
text. Everything else is filled or asked anew (spec/dtr.md §4.2, own practice where the guide is silent).
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from gateway.fhir import Json
from gateway.forms import marks
from gateway.forms.definition import FormDefinition
from gateway.profiles.dtr_guide import DtrGuide


def carry_over(old: FormDefinition, new: FormDefinition, response: Json, header: Json, guide: DtrGuide) -> Json:
    """A working response to the new form with a person's answers from `response`, which is of the old one.

    `header` is the new form's blank response. Origins, authors and ids of the answers stay as they are.
    """
    items = _Carrier(old, new, guide).items(response.get("item"))
    return {**header, "item": items} if items else dict(header)


class _Carrier:
    def __init__(self, old: FormDefinition, new: FormDefinition, guide: DtrGuide) -> None:
        self._old, self._new, self._guide = old.by_link_id, new.by_link_id, guide

    def items(self, raw: Any) -> list[dict[str, Any]]:
        """Items that hold something of a person; beside such a row of a group all its rows, which keep their place."""
        nodes = [(node, self._item(node)) for node in raw or () if isinstance(node, Mapping)]
        touched = {str(node.get("linkId", "")) for node, kept in nodes if kept}
        found = []
        for node, kept in nodes:
            link_id = str(node.get("linkId", ""))
            if kept:
                found.append(kept)
            elif link_id in touched and self._new[link_id].is_group:
                found.append({"linkId": link_id})
        return found

    def _item(self, node: Json) -> dict[str, Any] | None:
        link_id = str(node.get("linkId", ""))
        if not self._is_same(link_id):
            return None
        kept: dict[str, Any] = {"linkId": link_id}
        private = [one for one in node.get("extension") or () if marks.is_private(one)]
        answers = [found for one in node.get("answer") or () if (found := self._answer(one))]
        items = self.items(node.get("item"))
        if private:
            kept["extension"] = copy.deepcopy(private)
        if answers:
            kept["answer"] = answers
        if items:
            kept["item"] = items
        return kept if len(kept) > 1 else None

    def _answer(self, answer: Json) -> dict[str, Any] | None:
        if not marks.is_person_set([answer], self._guide):
            return None
        kept = copy.deepcopy({key: value for key, value in answer.items() if key != "item"})
        items = self.items(answer.get("item"))
        return {**kept, "item": items} if items else kept

    def _is_same(self, link_id: str) -> bool:
        """The same question, in the same place: what stands around it is the same too."""
        old, new = self._old.get(link_id), self._new.get(link_id)
        while old is not None and new is not None:
            if (old.link_id, old.type, old.text, old.repeats) != (new.link_id, new.type, new.text, new.repeats):
                return False
            old, new = old.parent, new.parent
        return old is None and new is None and link_id in self._new
