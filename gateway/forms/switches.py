"""Which items are switched on: enableWhen, enableBehavior and enableWhenExpression.

A switched-off question counts as unanswered for every other switch, whatever is kept in it. A switch inside
a repeated group looks at the nearest question: its own repetition first (field case B41). `!=` holds when no
answer equals the value, also when there is none (wording of R4). Below a switched-off item all is off, and so is a
repetition that a person took out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from gateway.errors import InputError, ReasoningError
from gateway.fhir import Json
from gateway.forms.marks import is_cleared
from gateway.forms.options import same_coding
from gateway.forms.slots import Sheet, Slot
from gateway.profiles.dtr_sdc import value_of
from gateway.reasoning.fhirpath_equality import compare, equal_items
from gateway.reasoning.fhirpath_items import Item, system_value

_TYPE_OF_KEY = {
    "valueDate": "date",
    "valueDateTime": "dateTime",
    "valueTime": "time",
    "valueDecimal": "decimal",
    "valueQuantity": "Quantity",
    "answerDate": "date",
    "answerDateTime": "dateTime",
    "answerTime": "time",
    "answerDecimal": "decimal",
    "answerQuantity": "Quantity",
}


def decide_enabled(sheet: Sheet, verdicts: Mapping[str, bool]) -> set[str]:
    """Addresses of enabled slots. `verdicts` holds the answers of enableWhenExpressions by address.

    Raises InputError `form.circle` when switches depend on each other in a circle, or in a row too long to follow.
    """
    judge = _Judge(sheet, verdicts)
    try:
        return {slot.address for slot in sheet.walk() if judge.is_enabled(slot)}
    except RecursionError:
        raise InputError("Too many questions of the form switch each other in a row.", code="form.circle") from None


class _Judge:
    """Decides slots on demand and remembers."""

    def __init__(self, sheet: Sheet, verdicts: Mapping[str, bool]) -> None:
        self._known: dict[int, bool] = {}
        self._asking: set[int] = set()
        self._verdicts = verdicts
        self._by_link_id: dict[str, list[Slot]] = {}
        for slot in sheet.walk():
            self._by_link_id.setdefault(slot.definition.link_id, []).append(slot)

    def is_enabled(self, slot: Slot) -> bool:
        if id(slot) in self._known:
            return self._known[id(slot)]
        if id(slot) in self._asking:
            raise InputError(
                "Questions of the form switch each other in a circle.", code="form.circle", expression=slot.address
            )
        self._asking.add(id(slot))
        answer = self._decide(slot)
        self._asking.discard(id(slot))
        self._known[id(slot)] = answer
        return answer

    def _decide(self, slot: Slot) -> bool:
        if slot.parent is not None and not self.is_enabled(slot.parent):
            return False
        if not slot.reachable and slot.definition.type != "display":
            return False
        if slot.definition.is_group and is_cleared(slot.node):
            return False  # a person took this repetition out
        by_expression = self._verdicts.get(slot.address)
        if by_expression is not None:
            return by_expression
        conditions = [one for one in slot.definition.item.get("enableWhen") or () if isinstance(one, Mapping)]
        if not conditions:
            return True
        answers = [self._holds(slot, condition) for condition in conditions]
        return any(answers) if slot.definition.item.get("enableBehavior") == "any" else all(answers)

    def _holds(self, slot: Slot, condition: Json) -> bool:
        nearest = _nearest(slot, self._by_link_id.get(str(condition.get("question", "")), []))
        answers = [answer for one in nearest if self.is_enabled(one) for answer in one.answers]
        return condition_holds(condition, answers)


def _nearest(slot: Slot, candidates: Sequence[Slot]) -> list[Slot]:
    """Candidates that share the deepest ancestor with the slot."""
    if len(candidates) < 2:
        return list(candidates)
    own = _ancestry(slot)
    depths = [sum(1 for one in _ancestry(candidate) if any(one is other for other in own)) for candidate in candidates]
    return [candidate for candidate, depth in zip(candidates, depths, strict=True) if depth == max(depths)]


def _ancestry(slot: Slot) -> list[Slot]:
    found, at = [], slot.parent
    while at is not None:
        found.append(at)
        at = at.parent
    return found


def condition_holds(condition: Json, answers: Sequence[Json]) -> bool:
    """Whether one enableWhen holds for the answers of its question."""
    operator = str(condition.get("operator", ""))
    key = next((name for name in condition if name.startswith("answer")), "")
    wanted = condition.get(key)
    if operator == "exists":
        return bool(answers) is (wanted is True)
    if operator == "=":
        return any(_equals(answer, key, wanted) for answer in answers)
    if operator == "!=":
        return not any(_equals(answer, key, wanted) for answer in answers)
    return any(_in_order(operator, answer, key, wanted) for answer in answers)


def _equals(answer: Json, key: str, wanted: Any) -> bool:
    value = value_of(answer)
    if isinstance(value, Mapping) and isinstance(wanted, Mapping):
        if key == "answerCoding":
            return same_coding(value, wanted)
        if key == "answerReference":
            return value.get("reference") == wanted.get("reference")
    return equal_items(_item(answer), Item(wanted, _TYPE_OF_KEY.get(key, "")), None) is True


def _in_order(operator: str, answer: Json, key: str, wanted: Any) -> bool:
    left, right = system_value(_item(answer)), system_value(Item(wanted, _TYPE_OF_KEY.get(key, "")))
    try:
        order = compare(_number(left), _number(right), None)
    except ReasoningError:  # values of different kinds: the condition does not hold
        return False
    if order is None:
        return False
    return {">": order > 0, "<": order < 0, ">=": order >= 0, "<=": order <= 0}.get(operator, False)


def _number(value: Any) -> Any:
    return Decimal(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _item(answer: Json) -> Item:
    key = next((name for name in answer if name.startswith("value")), "")
    return Item(answer.get(key), _TYPE_OF_KEY.get(key, ""))
