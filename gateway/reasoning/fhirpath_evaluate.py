"""Walks a FHIRPath tree: paths, variables, indexers; operators and functions are beside it.

A collection is a list of Items. An operator on more than one item where one is wanted raises; an
empty operand gives an empty answer, which readers must show as "cannot tell".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final

from gateway.errors import ReasoningError
from gateway.fhir import Json
from gateway.reasoning import fhirpath_operators as operators
from gateway.reasoning.fhirpath_items import Item, computed, is_kind, items_of, known_type, members, system_value
from gateway.reasoning.fhirpath_syntax import (
    Binary,
    Call,
    Index,
    Literal,
    Member,
    Special,
    Step,
    Tree,
    TypeTest,
    Unary,
    Variable,
)

Collection = list[Item]


@dataclass(slots=True, kw_only=True)
class Meter:
    """Work left; shared by all scopes of one evaluation."""

    steps_left: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """What one evaluation may use, and the `$this` it stands at."""

    environment: Mapping[str, Any]
    now: datetime | None
    resolve: Callable[[str], Json | None] | None
    member_of: Callable[[str, Mapping[str, Any] | str], bool | None] | None
    call: Callable[[Call, Collection, Evaluation], Collection]
    """The table of functions; handed in, since functions evaluate their arguments here."""
    steps_left: int
    max_items: int
    this: Collection = field(default_factory=list)
    index: int | None = None
    total: Collection = field(default_factory=list)
    meter: Meter = field(default_factory=lambda: Meter(steps_left=-1))

    def spend(self, steps: int = 1) -> None:
        """Count work; raises when the budget is gone."""
        self.meter.steps_left -= steps
        if self.meter.steps_left < 0:
            raise ReasoningError("The expression needs too many steps.", code="fhirpath.limit")

    def at(self, item: Item, index: int, total: Collection | None = None) -> Evaluation:
        """The scope of one pass of a function's argument."""
        return replace(self, this=[item], index=index, total=self.total if total is None else total)


def evaluate_tree(tree: Tree, focus: Collection, evaluation: Evaluation, budget: Meter | None = None) -> Collection:
    """Result of the whole expression; `$this` is the focus. What it used comes off the budget, also when it fails."""
    meter = Meter(steps_left=evaluation.steps_left)
    try:
        return run(tree, focus, replace(evaluation, this=focus, meter=meter))
    finally:
        if budget is not None:
            budget.steps_left -= evaluation.steps_left - meter.steps_left


def run(tree: Tree, focus: Collection, evaluation: Evaluation) -> Collection:
    """Result of one node for a focus."""
    evaluation.spend(1 + len(focus))
    found = _HANDLERS[type(tree)](tree, focus, evaluation)
    evaluation.spend(len(found))
    if type(tree) in _MAKERS:
        evaluation.spend(sum(len(item.value) for item in found if type(item.value) is str) // _TEXT_STEP)
    if len(found) > evaluation.max_items:
        raise ReasoningError("The expression yields too many items.", code="fhirpath.limit")
    return found


def _literal(tree: Literal, focus: Collection, evaluation: Evaluation) -> Collection:
    return [] if tree.value is None else [computed(tree.value)]


def _variable(tree: Variable, focus: Collection, evaluation: Evaluation) -> Collection:
    name = tree.name
    if name in evaluation.environment:
        return items_of(evaluation.environment[name])
    if name.startswith("vs-"):
        return [computed(f"http://hl7.org/fhir/ValueSet/{name[3:]}")]
    if name.startswith("ext-"):
        return [computed(f"http://hl7.org/fhir/StructureDefinition/{name[4:]}")]
    raise ReasoningError(
        "The expression uses a variable that is not known here.", code="fhirpath.variable", frame={"variable": name}
    )


def _special(tree: Special, focus: Collection, evaluation: Evaluation) -> Collection:
    if tree.name == "$this":
        return evaluation.this
    if tree.name == "$total":
        return evaluation.total
    if tree.name == "$index" and evaluation.index is not None:
        return [computed(evaluation.index)]
    raise ReasoningError(f"{tree.name} has no meaning here.", code="fhirpath.evaluation")


def _member(tree: Member, focus: Collection, evaluation: Evaluation) -> Collection:
    found: Collection = []
    for item in focus:
        found.extend(members(item, tree.name))
    return found


def _call(tree: Call, focus: Collection, evaluation: Evaluation) -> Collection:
    return evaluation.call(tree, focus, evaluation)


def _step(tree: Step, focus: Collection, evaluation: Evaluation) -> Collection:
    left = run(tree.left, focus, evaluation)
    return run(tree.right, left, evaluation)


def _index(tree: Index, focus: Collection, evaluation: Evaluation) -> Collection:
    left = run(tree.left, focus, evaluation)
    position = run(tree.position, evaluation.this, evaluation)
    if not position:
        return []
    at = operators.integer(position)
    return [left[at]] if 0 <= at < len(left) else []


def _unary(tree: Unary, focus: Collection, evaluation: Evaluation) -> Collection:
    return operators.signed(tree.sign, run(tree.operand, focus, evaluation))


def _binary(tree: Binary, focus: Collection, evaluation: Evaluation) -> Collection:
    left = run(tree.left, focus, evaluation)
    if tree.operator in ("and", "or", "implies"):
        settled = operators.settled(tree.operator, left)
        if settled is not None:
            return settled
    right = run(tree.right, focus, evaluation)
    evaluation.spend(len(left) + len(right))
    if tree.operator in ("|", "in", "contains", "=", "!=", "~", "!~") and len(left) > 8 and len(right) > 8:
        evaluation.spend(len(left) * len(right) // 4)
    zone = evaluation.now.tzinfo if evaluation.now else None
    return operators.apply(tree.operator, left, right, zone)


def _type_test(tree: TypeTest, focus: Collection, evaluation: Evaluation) -> Collection:
    left = run(tree.left, focus, evaluation)
    return test_type(tree.operator, left, tree.type_name)


def test_type(operator: str, left: Collection, type_name: str) -> Collection:
    """`is` and `as`: a truth, or the item when it has the type. More than one item raises."""
    require_type(type_name)
    if not left:
        return []
    if len(left) > 1:
        raise ReasoningError("A type test wants a single item.", code="fhirpath.evaluation")
    if operator == "is":
        return [computed(has_type(left[0], type_name), left)]
    return [item for item in left if is_exactly(item, type_name)]


def require_type(type_name: str) -> None:
    """Refuse a type that neither R4 nor System knows."""
    if not known_type(type_name):
        raise ReasoningError("The expression names a type that is not known.", code="fhirpath.evaluation")


def is_exactly(item: Item, type_name: str) -> bool:
    """As `has_type`, but a primitive must be of the very type: a code is not taken as a string."""
    if item.type[:1].islower():
        return item.type == type_name.removeprefix("FHIR.")
    return has_type(item, type_name)


def has_type(item: Item, type_name: str) -> bool:
    """Whether an item is of a type; a bare system name fits a computed value."""
    if item.type.startswith("System."):
        return is_kind(item.type, type_name if type_name.startswith("System.") else f"System.{type_name}")
    return is_kind(item.type, type_name)


_MAKERS: Final = frozenset((Binary, Call))
"""Nodes that make values."""
_TEXT_STEP: Final = 50
"""Characters of a text that cost one step, so that many long texts cannot fill the memory."""
Function = Callable[[tuple[Tree, ...], Collection, Evaluation], Collection]
"""A function of the language: unevaluated arguments, input, evaluation."""
_HANDLERS: dict[type, Callable[..., Collection]] = {
    Literal: _literal,
    Variable: _variable,
    Special: _special,
    Member: _member,
    Call: _call,
    Step: _step,
    Index: _index,
    Unary: _unary,
    Binary: _binary,
    TypeTest: _type_test,
}

__all__ = [
    "Collection",
    "Evaluation",
    "Function",
    "evaluate_tree",
    "has_type",
    "is_exactly",
    "require_type",
    "run",
    "system_value",
    "test_type",
]
