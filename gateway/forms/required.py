"""Which required questions are still open."""

from __future__ import annotations

from gateway.forms.slots import Sheet, Slot


def open_required(sheet: Sheet, addresses: set[str]) -> tuple[str, ...]:
    """Addresses of enabled required questions without an answer, and of required groups without any.

    A question inside an optional repetition that is empty is not required (sdc:validation): it was not begun. One in a
    group that does not repeat is: payers use such groups as headings.
    """
    return tuple(slot.address for slot in sheet.walk() if slot.address in addresses and is_open(slot, addresses))


def unanswerable(sheet: Sheet, addresses: set[str]) -> tuple[str, ...]:
    """Sentences about what must be answered and is not, though the form lets nobody answer it.

    A form may hide a required question for its own logic to fill; when that finds nothing, no person can help.
    """
    found = []
    for slot in sheet.walk():
        if slot.definition.is_read_only and slot.address in addresses and is_open(slot, addresses):
            way = "hides it" if slot.definition.is_hidden else "does not let people answer it"
            found.append(f"Question {slot.address} is required and was not filled, and the form {way}.")
    return tuple(found)


def is_open(slot: Slot, addresses: set[str]) -> bool:
    """Whether this place must be answered and is not."""
    if not slot.definition.is_required or slot.definition.type == "display":
        return False
    if slot.definition.is_group:
        return not has_answer(slot, addresses)
    return not slot.answers and _is_due(slot, addresses)


def _is_due(slot: Slot, addresses: set[str]) -> bool:
    """A question is due unless a repetition around it that may be left out is wholly empty."""
    at = slot.parent
    while at is not None:
        optional = at.definition.is_group and at.definition.repeats and not at.definition.is_required
        if optional and not has_answer(at, addresses):
            return False
        at = at.parent
    return True


def has_answer(slot: Slot, addresses: set[str]) -> bool:
    """Whether any enabled question here or below is answered."""
    return any(one.answers and one.address in addresses for one in slot.walk())
