"""Answers of a template as Observations, by what its Questionnaire says of each item.

An item marked `observationExtract` is an Observation of its own; one marked `component` belongs to the
Observation of its group. In a marked group the unmarked item is the value. The date is that of the item
coded `observed-on` in the same group, else of the nearest one above; the side that of the group around it
where the group is coded with one. What was not answered leaves no Observation.
Source: SDC observation-based extraction; spec/clinical.md §4.2, §5.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from gateway.clinical.concepts import Concepts
from gateway.fhir import Json
from gateway.fhir.codes import SNOMED
from gateway.fhir.reading import objects, one, text

_SDC: Final = "http://hl7.org/fhir/uv/sdc/StructureDefinition/sdc-questionnaire-"
EXTRACT: Final = f"{_SDC}observationExtract"
CATEGORY: Final = f"{_SDC}observation-extract-category"
OBSERVED_ON: Final = "observed-on"
"""Local code of the item that says when."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What every Observation of a response shares."""

    subject: Json
    """Reference to the patient."""
    performer: tuple[Json, ...]
    """References to who found it."""
    encounter: Json | None = None
    """Reference to the visit."""
    effective: str = ""
    """Date where the response says none."""
    derived_from: Json | None = None
    """Reference to the response, where it is kept as a resource."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """Where in the form we are."""

    concepts: Concepts
    context: Context
    effective: str
    side: Json | None = None
    category: Json | None = None


def extract_observations(
    questionnaire: Json, response: Json, concepts: Concepts, context: Context
) -> tuple[dict[str, Any], ...]:
    """Observations of the answered items, in the order of the form, each with `linkId` order kept.

    None for unanswered items and for values without a date.
    """
    answers = _answers(response)
    place = _Place(concepts=concepts, context=context, effective=context.effective, category=_category(questionnaire))
    return tuple(_of_items(objects(questionnaire.get("item")), answers, place))


def observation_key(observation: Json, concepts: Concepts) -> str:
    """A short stable name of an Observation within its response: its first code and its side."""
    code = text(one(objects(one(observation.get("code")).get("coding"))[0]).get("code"))
    sides = [part for part in objects(observation.get("component")) if _is_side(part, concepts)]
    named = "-".join(
        text(coding.get("code"))
        for part in sides
        for coding in objects(one(part.get("valueCodeableConcept")).get("coding"))
    )
    return f"{code}-{named}" if named else code


def answered_on(response: Json, questionnaire: Json, concepts: Concepts) -> str:
    """Date that a response gives for the whole of it; empty when it gives none."""
    return _own_date(objects(questionnaire.get("item")), _answers(response), concepts)


def _of_items(items: Sequence[Json], answers: Mapping[str, Sequence[Json]], place: _Place) -> Iterator[dict[str, Any]]:
    own_date = _own_date(items, answers, place.concepts)
    place = replace(place, effective=own_date or place.effective)
    for item in items:
        here = replace(place, category=_category(item) or place.category)
        if _is_whole(item):
            yield from _observation(item, answers, here)
        elif item.get("type") == "group":
            here = replace(here, side=_side_of(item, place.concepts) or place.side)
            yield from _of_items(objects(item.get("item")), answers, here)


def _observation(item: Json, answers: Mapping[str, Sequence[Json]], place: _Place) -> Iterator[dict[str, Any]]:
    below = objects(item.get("item"))
    if item.get("type") == "group":
        place = replace(place, effective=_own_date(below, answers, place.concepts) or place.effective)
        valued = next((inner for inner in below if not _relation(inner) and not _is_date(inner, place.concepts)), item)
    else:
        valued = item
    given = answers.get(text(valued.get("linkId")), ())
    if not given or not place.effective:
        return
    parts = [part for inner in below if _relation(inner) == "component" for part in _components(inner, answers)]
    if place.side is not None:
        parts.append({"code": _local(place.concepts, place.concepts.exam.side), "valueCodeableConcept": place.side})
    context = place.context
    found: dict[str, Any] = {
        "resourceType": "Observation",
        "status": "final",
        "category": [place.category] if place.category else [],
        "code": {"coding": [dict(code) for code in objects(item.get("code"))], "text": text(item.get("text"))},
        "subject": context.subject,
        "encounter": context.encounter,
        "effectiveDateTime": place.effective,
        "performer": list(context.performer),
        **_value(given[0]),
        "derivedFrom": [context.derived_from] if context.derived_from else [],
        "component": parts,
    }
    yield {key: value for key, value in found.items() if value not in (None, [], "")}


def _components(item: Json, answers: Mapping[str, Sequence[Json]]) -> list[dict[str, Any]]:
    code = {"coding": [dict(code) for code in objects(item.get("code"))]}
    return [{"code": code, **_value(answer)} for answer in answers.get(text(item.get("linkId")), ())]


def _value(answer: Json) -> dict[str, Any]:
    """`value[x]` of an Observation from one of an answer; a coding without the form's words, which become the text."""
    if "valueCoding" in answer:
        coding = one(answer["valueCoding"])
        bare = {key: value for key, value in coding.items() if key not in ("display", "extension")}
        return {"valueCodeableConcept": {"coding": [bare], "text": text(coding.get("display")) or bare.get("code")}}
    if "valueQuantity" in answer:
        return {"valueQuantity": dict(one(answer["valueQuantity"]))}
    for name in ("valueDate", "valueDateTime"):
        if name in answer:
            return {"valueDateTime": answer[name]}
    return {key: value for key, value in answer.items() if key in ("valueBoolean", "valueInteger", "valueString")}


def _answers(response: Json) -> dict[str, tuple[Json, ...]]:
    """linkId → answers, of every answered item."""
    found: dict[str, tuple[Json, ...]] = {}
    stack = list(objects(response.get("item")))
    while stack:
        item = stack.pop()
        answers = objects(item.get("answer"))
        if answers:
            found[text(item.get("linkId"))] = answers
        stack += [*objects(item.get("item")), *(inner for answer in answers for inner in objects(answer.get("item")))]
    return found


def _own_date(items: Sequence[Json], answers: Mapping[str, Sequence[Json]], concepts: Concepts) -> str:
    dates = [item for item in items if _is_date(item, concepts)]
    given = [answer for item in dates for answer in answers.get(text(item.get("linkId")), ())]
    return text(given[0].get("valueDate") or given[0].get("valueDateTime")) if given else ""


def _is_date(item: Json, concepts: Concepts) -> bool:
    codes = {(code.get("system"), code.get("code")) for code in objects(item.get("code"))}
    return (concepts.local_system, OBSERVED_ON) in codes


def _side_of(group: Json, concepts: Concepts) -> Json | None:
    """Side that a group is coded with, as a concept."""
    exam = concepts.exam
    words = {exam.right: "right", exam.left: "left", exam.both: "both sides"}
    for code in objects(group.get("code")):
        if code.get("system") == SNOMED and code.get("code") in words:
            return {"coding": [dict(code)], "text": words[text(code.get("code"))]}
    return None


def _is_side(part: Json, concepts: Concepts) -> bool:
    return concepts.exam.side in concepts.local(part.get("code"))


def _local(concepts: Concepts, code: str) -> dict[str, Any]:
    return {"coding": [{"system": concepts.local_system, "code": code}]}


def _relation(item: Json) -> str:
    """`observation` for an Observation of its own, `component` for a part of one; empty for neither."""
    for extension in objects(item.get("extension")):
        if extension.get("url") == EXTRACT:
            return "observation" if extension.get("valueBoolean") is True else text(extension.get("valueCode"))
    return ""


def _is_whole(item: Json) -> bool:
    return _relation(item) == "observation"


def _category(element: Json) -> Json | None:
    for extension in objects(element.get("extension")):
        if extension.get("url") == CATEGORY:
            return one(extension.get("valueCodeableConcept"))
    return None
