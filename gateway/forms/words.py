"""Words for a coded answer: what people read in place of a bare code.

The answer itself keeps the codes it has; only what is shown is looked up (the form's own options first, then what
the coding says of itself, then what the chart calls the thing it came from).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from gateway.fhir import Json
from gateway.forms.options import OptionList, same_coding

_NAMING = ("code", "medicationCodeableConcept", "vaccineCode", "type")
_DATING = ("onsetDateTime", "effectiveDateTime", "performedDateTime", "authoredOn", "recordedDate", "date")
MAX_DEPTH = 12
"""Nesting of a chart resource that is looked through."""


def words_of(coding: Json, options: OptionList, chart: Iterable[Json] = ()) -> str:
    """The words for a Coding; its display or code where nothing says more, empty for none of both.

    `chart` are the resources that the answer was read from.
    """
    offered = next((one.text for one in options.options if _is_same(one.value.get("valueCoding"), coding)), "")
    own = str(coding.get("display") or "")
    found = offered or own or next(filter(None, (_named(resource, coding) for resource in chart)), "")
    return found or str(coding.get("code") or "")


def name_of(resource: Json) -> str:
    """What people call a record: the words of its code, drug or type, with its day; its reference where it has none."""
    concepts = (resource.get(key) for key in _NAMING)
    words = next(filter(None, (_concept_words(one) for one in concepts if isinstance(one, Mapping))), "")
    days = (resource.get(key) for key in _DATING)
    day = next((text[:10] for text in days if isinstance(text, str)), "")
    reference = f"{resource.get('resourceType', '')}/{resource.get('id', '')}"
    return ", ".join(filter(None, (words or reference, day)))


def concept_text(value: Any) -> str:
    """The words of a CodeableConcept; empty for anything else, or a concept without words."""
    return _concept_words(value) if isinstance(value, Mapping) and "coding" in value else ""


def _concept_words(concept: Json) -> str:
    listed = concept.get("coding")
    codings = listed if isinstance(listed, list | tuple) else ()
    displays = (str(one.get("display") or "") for one in codings if isinstance(one, Mapping))
    return str(concept.get("text") or next(filter(None, displays), ""))


def _is_same(offered: Any, coding: Json) -> bool:
    return isinstance(offered, Mapping) and same_coding(offered, coding)


def _named(resource: Json, coding: Json) -> str:
    """What a resource calls this coding: the display there, else the text of the concept around it."""
    for concept in _concepts(resource, 0):
        for one in concept["coding"]:
            if isinstance(one, Mapping) and same_coding(one, coding):
                return str(one.get("display") or concept.get("text") or "")
    return ""


def _concepts(node: Any, depth: int) -> Iterator[Json]:
    if depth > MAX_DEPTH:
        return
    if isinstance(node, Mapping):
        if isinstance(node.get("coding"), list | tuple):
            yield node
        for value in node.values():
            yield from _concepts(value, depth + 1)
    elif isinstance(node, list | tuple):
        for value in node:
            yield from _concepts(value, depth + 1)
