"""The answers a question offers at this moment: listed ones, those the form computes, without those it switches off.

`answerExpression` computes the list; `answerOptionsToggleExpression` says when a listed answer may be chosen.
Source: spec/dtr.md §5, §11 (sdc:behavior).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from gateway.fhir import Json
from gateway.forms.conversion import fits_option
from gateway.forms.options import MAX_OPTIONS, Option, OptionList, text_of
from gateway.forms.scope import Scope
from gateway.forms.slots import Slot
from gateway.profiles.dtr_sdc import OptionToggle, read_expression, read_option_toggles
from gateway.reasoning.fhirpath import Item, json_value
from gateway.reasoning.fhirpath_operators import truth

NOT_COMPUTED: Final = "The list of answers cannot be computed."
_KEYS: Final[Mapping[type, str]] = {bool: "valueBoolean", int: "valueInteger", str: "valueString"}


def is_dynamic(item: Json) -> bool:
    """Whether what a question offers depends on other answers or on the record."""
    return read_expression(item, "answerExpression") is not None or bool(read_option_toggles(item))


def offered(listed: OptionList, slot: Slot, scope: Scope) -> OptionList:
    """What a question offers now; `listed` is what its list or value set says."""
    item = slot.definition.item
    if not is_dynamic(item):
        return listed
    expression = read_expression(item, "answerExpression")
    if expression is not None and slot.definition.type in ("choice", "open-choice"):
        found = scope.evaluate(expression, slot)
        if found.reason:
            return OptionList(missing=NOT_COMPUTED)
        listed = OptionList(options=_computed(found.items))
    off = [toggle for toggle in read_option_toggles(item) if not _is_on(toggle, slot, scope)]
    kept = (one for one in listed.options if not any(_is_among(one, toggle) for toggle in off))
    return OptionList(options=tuple(kept), missing=listed.missing)


def _computed(items: tuple[Item, ...]) -> tuple[Option, ...]:
    """Options of computed values, each once; a concept stands for each of its codings."""
    found: dict[str, Option] = {}
    for item in items[:MAX_OPTIONS]:
        for value in _values(json_value(item)):
            answer = _answer(value)
            key = str(value.get("code") or value.get("reference") or "") if isinstance(value, Mapping) else str(value)
            if answer is not None and key:
                found.setdefault(key, Option(value=answer, text=text_of(value), key=key))
    return tuple(found.values())


def _values(raw: Any) -> list[Any]:
    return list(raw["coding"]) if isinstance(raw, Mapping) and isinstance(raw.get("coding"), list | tuple) else [raw]


def _answer(value: Any) -> Json | None:
    if isinstance(value, Mapping):
        if value.get("resourceType") and value.get("id"):
            return {"valueReference": {"reference": f"{value['resourceType']}/{value['id']}"}}
        return {"valueCoding": value} if value.get("code") else {"valueReference": value}
    key = _KEYS.get(type(value))
    return {key: value} if key else None


def _is_on(toggle: OptionToggle, slot: Slot, scope: Scope) -> bool:
    """A switch that cannot be run leaves its answers as they are listed."""
    result = scope.evaluate(toggle.expression, slot)
    return bool(result.reason) or truth(list(result.items)) is True


def _is_among(option: Option, toggle: OptionToggle) -> bool:
    return any(fits_option(_bare(option.value), one) for one in toggle.options)


def _bare(answer: Json) -> Any:
    return next(iter(answer.values()), None)
