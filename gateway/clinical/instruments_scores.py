"""Scores of the measures that are entered here: total, per cent, band, and how they go over time.

All arithmetic is exact. Plateau and improvement are judged by the rule's own functions, so that a page never
says something else than the verdict. Source: spec/clinical.md §3.3–§3.5.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from typing import Any, Final

from gateway.clinical.chart import Chart
from gateway.clinical.concepts import Measure
from gateway.clinical.outcome import find_pair, show
from gateway.clinical.scores import read_scores, score_items
from gateway.fhir import Json
from gateway.fhir.codes import LOINC
from gateway.fhir.reading import objects, one, text

UCUM: Final = "http://unitsofmeasure.org"
BANDS: Final = ((10, "none"), (30, "mild"), (50, "moderate"), (70, "severe"), (101, "complete"))
"""Upper ends in per cent, open, with their names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemScore:
    """What the items of one response come to."""

    answered: int
    """Items with a value."""
    raw: int
    """Their sum."""
    percent: Fraction | None
    """Exact per cent of what could be reached; None when too few items are answered."""
    prorated: Fraction | None
    """The sum as if all items were answered; None as above."""
    band: str
    """Name of the band; empty as above."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrendPoint:
    """One score over time."""

    day: date
    """Local day."""
    value: Fraction
    """Per cent for item measures, the scale's own number otherwise."""
    shown: str
    """The value as people read it."""
    band: str
    """Name of the band; empty for scales."""
    reference: str
    """`Type/id` of the record."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trend:
    """Scores of one measure in the episode."""

    measure: str
    """Name of the measure."""
    label: str
    """Our word for it."""
    unit: str
    """` %` or empty."""
    top: int
    """Largest value, for drawing."""
    points: tuple[TrendPoint, ...]
    """Oldest first, one for each day."""
    verdict: str
    """What the pair that decides comes to, in one sentence; empty while there is no pair."""


def band_of(percent: Fraction) -> str:
    """Band of a per cent value, half open: 10 is mild, 70 complete."""
    return next(name for end, name in BANDS if percent < end)


def score_response(response: Json, measure: Measure) -> ItemScore:
    """Score of a response that was answered here; blanks are left out, never counted as 0."""
    values = [value for item in objects(response.get("item")) for value in _ordinals(item, measure)]
    percent = score_items(values, measure)
    whole = len(measure.items) * measure.item_max
    return ItemScore(
        answered=len(values),
        raw=sum(values),
        percent=percent,
        prorated=percent * whole / 100 if percent is not None else None,
        band=band_of(percent) if percent is not None else "",
    )


def _ordinals(item: Json, measure: Measure) -> list[int]:
    if text(item.get("linkId")) not in measure.items:
        return []
    codes = [text(one(answer.get("valueCoding")).get("code")) for answer in objects(item.get("answer"))[:1]]
    return [measure.ordinals.index(code) for code in codes if code in measure.ordinals]


def score_observation(response: Json, score: ItemScore, measure: Measure, own: Mapping[str, Any]) -> dict[str, Any]:
    """The total of a response as an Observation in points; `own` holds subject, performer, derivedFrom and the like.

    A prorated total may be rounded and says so: the items decide, the total is for reading.
    """
    if score.prorated is None:
        raise ValueError("a response without a score has no total")
    number = decimal_of(score.prorated)
    note = f"{score.answered} of {len(measure.items)} items answered; the total is prorated"
    return {
        "resourceType": "Observation",
        "status": "final",
        "category": [_survey()],
        "code": {"coding": [{"system": LOINC, "code": measure.totals[0]}], "text": f"{measure.label} total"},
        "effectiveDateTime": response["authored"],
        "valueQuantity": {"value": number, "unit": "{score}", "system": UCUM, "code": "{score}"},
        **own,
        **({"note": [{"text": note}]} if score.answered < len(measure.items) else {}),
    }


def scale_observation(
    measure: Measure, coding: Mapping[str, Any], number: int, unit: str, own: Mapping[str, Any]
) -> dict[str, Any]:
    """One number of a scale as an Observation; `unit` is `{score}` or `mm`."""
    return {
        "resourceType": "Observation",
        "status": "final",
        "category": [_survey()],
        "code": {"coding": [dict(coding)], "text": measure.label},
        "valueQuantity": {"value": number, "unit": unit, "system": UCUM, "code": unit},
        **own,
    }


def mean_observation(
    measure: Measure, system: str, scores: Sequence[tuple[str, int]], own: Mapping[str, Any]
) -> dict[str, Any]:
    """The mean of several chosen activities as an Observation with one component for each (name, number)."""
    mean = decimal_of(Fraction(sum(number for _, number in scores), len(scores)))
    quantity = {"unit": "{score}", "system": UCUM, "code": "{score}"}
    code = {"system": system, "code": measure.component}
    return {
        "resourceType": "Observation",
        "status": "final",
        "category": [_survey()],
        "code": {"coding": [{"system": system, "code": measure.local_totals[0]}], "text": measure.label},
        "valueQuantity": {"value": mean, **quantity},
        "component": [
            {"code": {"coding": [dict(code)], "text": name}, "valueQuantity": {"value": number, **quantity}}
            for name, number in scores
        ],
        **own,
    }


def decimal_of(value: Fraction) -> int | Decimal:
    """A number as FHIR holds it: whole ones as they are, others with at most three decimals, half up."""
    if value.denominator == 1:
        return value.numerator
    number = (Decimal(value.numerator) / Decimal(value.denominator)).quantize(Decimal("0.001"), ROUND_HALF_UP)
    return number.normalize()


def read_trend(chart: Chart, measure: Measure) -> Trend:
    """Scores of a measure as the rule sees them, and what its pair comes to."""
    is_items = measure.kind == "items"
    points = tuple(
        TrendPoint(
            day=score.day,
            value=score.value,
            shown=show(score.value),
            band=band_of(score.value) if is_items else "",
            reference=score.reference,
        )
        for score in read_scores(chart, measure)
    )
    return Trend(
        measure=measure.name,
        label=measure.label,
        unit=" %" if is_items else "",
        top=100 if is_items else measure.total_max,
        points=points,
        verdict=_verdict(chart, measure),
    )


def _verdict(chart: Chart, measure: Measure) -> str:
    pair = find_pair(chart, measure)
    if pair is None:
        return ""
    unit = " percentage points" if measure.kind == "items" else " points"
    better = pair.improvement
    change = f"{show(abs(better))}{unit} {'better' if better > 0 else 'worse' if better < 0 else 'of change'}"
    if not pair.is_residual:
        return f"{change}: little disability remains."
    return f"{change}: {'no relevant improvement' if pair.is_plateau else 'improving'}."


def _survey() -> dict[str, Any]:
    system = "http://terminology.hl7.org/CodeSystem/observation-category"
    return {"coding": [{"system": system, "code": "survey"}]}
