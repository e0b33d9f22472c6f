"""Constraints that a form lays on its answers in its own words: `targetConstraint`, and `constraint` before it.

An expression that gives false breaks the constraint. One that gives nothing, or cannot be run, breaks nothing:
payers cannot rely on this extension, so it must not stop anybody by accident (dtr:spec-20, spec-21).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from gateway.fhir import Json
from gateway.forms.scope import Scope
from gateway.forms.slots import Sheet, Slot
from gateway.profiles.dtr_sdc import FormConstraint, read_constraints
from gateway.reasoning.fhirpath_operators import truth

PLAIN = "The answers here do not fit together as the form wants."


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """A constraint that does not hold."""

    address: str
    """Place; empty for the form as a whole."""
    sentence: str
    severity: Literal["error", "warning"]


def broken(questionnaire: Json, sheet: Sheet, scope: Scope, addresses: set[str]) -> Iterator[Broken]:
    """Constraints of the form and of its enabled items that do not hold, in document order."""
    yield from _broken(read_constraints(questionnaire), scope, None)
    for slot in sheet.walk():
        if slot.address in addresses:
            yield from _broken(read_constraints(slot.definition.item), scope, slot)


def _broken(constraints: tuple[FormConstraint, ...], scope: Scope, slot: Slot | None) -> Iterator[Broken]:
    for constraint in constraints:
        result = scope.evaluate(constraint.expression, slot)
        if not result.reason and result.items and truth(list(result.items)) is False:
            address = slot.address if slot is not None else ""
            severity: Literal["error", "warning"] = "error" if constraint.severity == "error" else "warning"
            yield Broken(address=address, sentence=constraint.human or PLAIN, severity=severity)
