"""FHIRPath functions that reach outside the expression: the session's instant, references, value sets, extensions."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from gateway.errors import ReasoningError
from gateway.reasoning import fhirpath_operators as operators
from gateway.reasoning.fhirpath_evaluate import Collection, Evaluation, Function, has_type, run
from gateway.reasoning.fhirpath_items import Item, computed, items_of, known_type, members, system_value
from gateway.reasoning.fhirpath_syntax import Tree
from gateway.reasoning.fhirpath_values import Moment, moment_of


def _require_now(evaluation: Evaluation) -> Moment:
    if evaluation.now is None:
        raise ReasoningError("No evaluation instant is given.", code="fhirpath.evaluation")
    return moment_of(evaluation.now)


def _now(arguments: tuple[Tree, ...], focus: Collection, evaluation: Evaluation) -> Collection:
    return [computed(_require_now(evaluation))]


def _today(arguments: tuple[Tree, ...], focus: Collection, evaluation: Evaluation) -> Collection:
    return [computed(_require_now(evaluation).to_date())]


def _time_of_day(arguments: tuple[Tree, ...], focus: Collection, evaluation: Evaluation) -> Collection:
    return [computed(Moment("time", _require_now(evaluation).parts[3:]))]


def _extension(arguments: tuple[Tree, ...], focus: Collection, evaluation: Evaluation) -> Collection:
    url = operators.single(run(arguments[0], evaluation.this, evaluation))
    found: Collection = []
    for item in focus:
        holder = (
            item
            if isinstance(item.value, Mapping)
            else Item(item.shadow, item.type, path=item.path, resource=item.resource)
        )
        for extension in members(holder, "extension"):
            if url is not None and isinstance(extension.value, Mapping) and extension.value.get("url") == url.value:
                found.append(extension)
    return found


def _has_value(arguments: tuple[Tree, ...], focus: Collection, evaluation: Evaluation) -> Collection:
    primitive = len(focus) == 1 and focus[0].value is not None and not isinstance(focus[0].value, Mapping)
    return [computed(primitive, focus)]


def _get_value(arguments: tuple[Tree, ...], focus: Collection, evaluation: Evaluation) -> Collection:
    if len(focus) != 1 or focus[0].value is None or isinstance(focus[0].value, Mapping):
        return []
    return [computed(system_value(focus[0]), focus)]


def _resolve(arguments: tuple[Tree, ...], focus: Collection, evaluation: Evaluation) -> Collection:
    found: Collection = []
    for item in focus:
        text = item.value.get("reference") if isinstance(item.value, Mapping) else item.value
        if isinstance(text, str):
            found.extend(items_of(_resolved(text, item, evaluation)))
    return found


def _resolved(text: str, item: Item, evaluation: Evaluation) -> Any:
    if text.startswith("#") and item.resource is not None:
        if text == "#":
            return item.resource
        return next((one for one in item.resource.get("contained") or () if one.get("id") == text[1:]), None)
    return evaluation.resolve(text) if evaluation.resolve else None


def _member_of(arguments: tuple[Tree, ...], focus: Collection, evaluation: Evaluation) -> Collection:
    url = operators.single(run(arguments[0], evaluation.this, evaluation))
    item = operators.single(focus)
    if item is None or url is None:
        return []
    answer = evaluation.member_of(str(url.value), item.value) if evaluation.member_of else None
    if answer is None:
        raise ReasoningError("The value set is not at hand.", code="fhirpath.terminology")
    return [computed(answer, focus)]


def _conforms_to(arguments: tuple[Tree, ...], focus: Collection, evaluation: Evaluation) -> Collection:
    """Only base types can be judged; a profile is refused, not taken for kept."""
    url = operators.single(run(arguments[0], evaluation.this, evaluation))
    item = operators.single(focus)
    if item is None or url is None:
        return []
    base, _, name = str(url.value).rpartition("/")
    if base != "http://hl7.org/fhir/StructureDefinition" or not known_type(name):
        raise ReasoningError("The profile cannot be judged here.", code="fhirpath.unsupported")
    return [computed(has_type(item, name), focus)]


_WEIGHTS: Final = ("/ordinalValue", "/itemWeight")


def _weight(arguments: tuple[Tree, ...], focus: Collection, evaluation: Evaluation) -> Collection:
    """SDC: the score of a coded answer, from the answer itself or from the form's option of the same code."""
    found: Collection = []
    for item in focus:
        score = _score(item.value)
        if score is None and isinstance(item.value, Mapping):
            score = _score_of_option(item.value, evaluation)
        if score is not None:
            found.append(computed(Decimal(str(score)), (item,)))
    return found


def _score(element: Any) -> Any:
    extensions = element.get("extension") or () if isinstance(element, Mapping) else ()
    return next((one.get("valueDecimal") for one in extensions if str(one.get("url", "")).endswith(_WEIGHTS)), None)


def _score_of_option(coding: Mapping[str, Any], evaluation: Evaluation) -> Any:
    form = evaluation.environment.get("questionnaire", {})
    waiting = list(form.get("item") or ()) if isinstance(form, Mapping) else []
    while waiting:
        item = waiting.pop(0)
        evaluation.spend()
        for option in item.get("answerOption") or ():
            offered = option.get("valueCoding") or {}
            if (offered.get("system"), offered.get("code")) == (coding.get("system"), coding.get("code")):
                score = _score(offered)
                return _score(option) if score is None else score
        waiting += item.get("item") or ()
    return None


CONTEXT_FUNCTIONS: Final[Mapping[str, tuple[int, int, Function]]] = {
    "conformsTo": (1, 1, _conforms_to),
    "now": (0, 0, _now),
    "today": (0, 0, _today),
    "timeOfDay": (0, 0, _time_of_day),
    "extension": (1, 1, _extension),
    "hasValue": (0, 0, _has_value),
    "getValue": (0, 0, _get_value),
    "resolve": (0, 0, _resolve),
    "memberOf": (1, 1, _member_of),
    "weight": (0, 0, _weight),
    "ordinal": (0, 0, _weight),
}
