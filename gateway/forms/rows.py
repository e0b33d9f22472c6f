"""Repetitions of a group from `itemPopulationContext`: one for each row that its expression yields."""

from __future__ import annotations

from gateway.forms.marks import is_cleared, is_person_set
from gateway.forms.scope import Evaluated, Scope
from gateway.forms.session import FormSession
from gateway.forms.slots import Sheet, Slot
from gateway.profiles.dtr_sdc import read_expression

MAX_ROWS = 200
"""Repetitions that are made of one expression."""


class Rows:
    """Lays rows once for each group and binds them to their repetitions."""

    def __init__(self, session: FormSession) -> None:
        self._session = session
        self._done: set[tuple[str, str]] = set()

    def lay(self, slot: Slot, scope: Scope, sheet: Sheet) -> Evaluated | None:
        """Make repetitions for a group's rows; the failed evaluation when there is a problem, else None."""
        expression = read_expression(slot.definition.item, "itemPopulationContext")
        key = (slot.definition.link_id, slot.parent.address if slot.parent else "")
        if expression is None or not expression.name or key in self._done:
            return None
        self._done.add(key)
        found = scope.evaluate(expression, slot)
        if found.reason:
            return found
        rows = found.items[:MAX_ROWS]
        if len(rows) > 1 and not slot.definition.repeats:
            return Evaluated(reason="Several rows were found and the group takes one.", code="form.rows")
        if slot.definition.repeats and not self._is_touched(slot, sheet):
            self._repeat(slot, len(rows), sheet)
        for position, row in enumerate(rows):
            self._session.rows[_sibling(slot, position)] = (expression.name, row)
        return None

    def _is_touched(self, slot: Slot, sheet: Sheet) -> bool:
        siblings = sheet.named(slot.definition.link_id)
        return any(
            is_cleared(one.node) or is_person_set(one.answers, self._session.guide)
            for sibling in siblings
            for one in sibling.walk()
        )

    def _repeat(self, slot: Slot, count: int, sheet: Sheet) -> None:
        host = slot.parent.node if slot.parent is not None else sheet.response
        present = [node for node in host.get("item") or () if node.get("linkId") == slot.definition.link_id]
        missing = max(count, 1) - len(present)
        position = next((index for index, node in enumerate(host.get("item") or ()) if node is present[-1]), 0)
        fresh = [{"linkId": slot.definition.link_id} for _ in range(max(0, missing))]
        host["item"] = [*host["item"][: position + 1], *fresh, *host["item"][position + 1 :]]


def _sibling(slot: Slot, position: int) -> str:
    """Address of the repetition at a position beside `slot`."""
    if not slot.definition.repeats or position == 0:
        return slot.address
    link_id, _, places = slot.address.partition("@")
    depth = _depth(slot)
    indexes = [*places.split("."), str(position)] if places else ["0"] * depth + [str(position)]
    if places:
        indexes = [*places.split(".")[:-1], str(position)]
    return f"{link_id}@{'.'.join(indexes)}"


def _depth(slot: Slot) -> int:
    """Repeating groups around a slot."""
    count, at = 0, slot.parent
    while at is not None:
        count += at.definition.repeats and at.definition.is_group
        at = at.parent
    return count
