"""Scores of outcome measures in a record, computed exactly.

A questionnaire's items are summed and read as per cent, one or two blanks are prorated, more make the
score invalid. Zero is a score. Source: spec/clinical.md §3.3, §3.5; field case B121.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

from gateway.clinical.concepts import Measure, loinc_codes
from gateway.fhir import Json
from gateway.fhir.codes import LOINC
from gateway.fhir.reading import codings, objects, one, text
from gateway.reasoning.record import reference_of
from tests.readings.clinical.chart import Chart
from tests.readings.clinical.dates import read_at

_ORDINAL = (
    "http://hl7.org/fhir/StructureDefinition/ordinalValue",
    "http://hl7.org/fhir/StructureDefinition/itemWeight",
)
_FINAL = frozenset({"final", "amended", "corrected"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """One valid score."""

    day: date
    """Local day."""
    value: Fraction
    """Per cent for item measures, the scale's own number otherwise."""
    reference: str
    """`Type/id`."""
    code: str
    """Code of a scale; a pair has one code. Empty for questionnaires."""
    rank: tuple[int, int, datetime]
    """Of several on one day the highest counts: items before totals, amended before final, then the latest."""


def score_items(values: Iterable[int], measure: Measure) -> Fraction | None:
    """Per cent of the answered items, exact; None when too few are answered.

    `values` are the answers between 0 and the item's maximum, blanks left out.
    """
    answered = [value for value in values if 0 <= value <= measure.item_max]
    if len(answered) < measure.min_items:
        return None
    return Fraction(sum(answered) * 100, measure.item_max * len(answered))


def read_scores(chart: Chart, measure: Measure) -> tuple[Score, ...]:
    """Valid scores in the window and episode, one for each day, oldest first."""
    best: dict[tuple[date, str], Score] = {}
    for score in [*_responses(chart, measure), *_observations(chart, measure)]:
        key = (score.day, score.code)
        if chart.counts(score.day) and (key not in best or best[key].rank < score.rank):
            best[key] = score
    return tuple(sorted(best.values(), key=lambda score: (score.day, score.rank)))


def _responses(chart: Chart, measure: Measure) -> Iterator[Score]:
    for response in chart.record.of_type("QuestionnaireResponse"):
        form = text(response.get("questionnaire")).partition("|")[0]
        day = chart.day(response.get("authored"))
        if form not in measure.questionnaires or response.get("status") not in ("completed", "amended") or day is None:
            continue
        value = score_items(_answers(response, measure), measure)
        if value is not None:
            rank = (1, int(response.get("status") == "amended"), read_at(response.get("authored"), chart.zone))
            yield Score(day=day, value=value, reference=reference_of(response), code="", rank=rank)


def _answers(response: Json, measure: Measure) -> Iterator[int]:
    answered = [text(item.get("linkId")) for item in _flat(response) if objects(item.get("answer"))]
    for item in _flat(response):
        if text(item.get("linkId")) in measure.items and answered.count(text(item.get("linkId"))) == 1:
            for answer in objects(item.get("answer"))[:1]:
                value = _ordinal(answer, measure)
                if value is not None:
                    yield value


def _flat(element: Json) -> Iterator[Json]:
    for item in objects(element.get("item")):
        yield item
        yield from _flat(item)


def _ordinal(answer: Json, measure: Measure) -> int | None:
    """The value of one answer: its ordinal, its code's place, or its number; None when it is none of these."""
    coding = one(answer.get("valueCoding"))
    for extension in objects(coding.get("extension")):
        if extension.get("url") in _ORDINAL:
            return _integer(extension.get("valueDecimal"))
    if text(coding.get("code")) in measure.ordinals:
        return measure.ordinals.index(text(coding.get("code")))
    return _integer(answer.get("valueInteger", answer.get("valueDecimal")))


def _integer(value: Any) -> int | None:
    number = read_number(value)
    return int(number) if number is not None and number.denominator == 1 else None


def read_number(value: Any) -> Fraction | None:
    """A JSON number exactly; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        return None
    return Fraction(value) if not isinstance(value, Decimal) or value.is_finite() else None


def _observations(chart: Chart, measure: Measure) -> Iterator[Score]:
    for observation in chart.record.of_type("Observation"):
        code = _total_code(observation, chart, measure)
        day = chart.day(observation.get("effectiveDateTime"))
        if not code or text(observation.get("status")) not in _FINAL or day is None:
            continue
        value = _total(observation, chart, measure)
        if value is not None:
            late = int(observation.get("status") != "final")
            rank = (0, late, read_at(observation.get("effectiveDateTime"), chart.zone))
            own = code if measure.kind != "items" else ""
            yield Score(day=day, value=value, reference=reference_of(observation), code=own, rank=rank)


def _total_code(observation: Json, chart: Chart, measure: Measure) -> str:
    found = loinc_codes(observation.get("code")) & set(measure.totals)
    local = chart.concepts.local(observation.get("code")) & set(measure.local_totals)
    return next(iter(sorted(found | local)), "")


def _total(observation: Json, chart: Chart, measure: Measure) -> Fraction | None:
    if measure.component:
        parts = [
            item
            for item in objects(observation.get("component"))
            if measure.component in chart.concepts.local(item.get("code"))
        ]
        if parts and not measure.min_components <= len(parts) <= measure.max_components:
            return None
    quantity = one(observation.get("valueQuantity"))
    if "comparator" in quantity:
        return None
    number = read_number(quantity.get("value", observation.get("valueInteger")))
    unit = text(quantity.get("code")) or text(quantity.get("unit"))
    return _percent(number, unit, measure) if measure.kind == "items" else _scale(number, unit, measure)


def _percent(number: Fraction | None, unit: str, measure: Measure) -> Fraction | None:
    """A total as per cent. Without a unit it cannot be told from per cent and is not counted."""
    if number is None or number < 0:
        return None
    if unit == "%":
        return number if number <= 100 else None
    if unit in ("{score}", "{points}") and number <= measure.total_max:
        return number * 100 / measure.total_max
    return None


def _scale(number: Fraction | None, unit: str, measure: Measure) -> Fraction | None:
    if number is None or number < 0:
        return None
    value = number / 10 if unit == "mm" else number
    return value if value <= measure.total_max else None


def lacks_unit(chart: Chart, measure: Measure) -> tuple[str, ...]:
    """Totals that were not counted because their unit is missing: a person must say what they are."""
    found = []
    for observation in chart.record.of_type("Observation"):
        quantity = one(observation.get("valueQuantity"))
        named = any(
            coding.get("system") == LOINC and coding.get("code") in measure.totals
            for coding in codings(observation.get("code"))
        )
        number = read_number(quantity.get("value", observation.get("valueInteger")))
        bare = not quantity.get("unit") and not quantity.get("code")
        if measure.kind == "items" and named and number is not None and bare and "comparator" not in quantity:
            found.append(reference_of(observation))
    return tuple(found)
