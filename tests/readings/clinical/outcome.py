"""Functional outcome: a baseline and a decision score that show no relevant improvement.

The first measure of the row with a valid pair decides; another one is looked at only when it has none,
so that nobody picks the better one. Source: spec/clinical.md §3.4, §3.5.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction

from gateway.clinical.concepts import Measure
from gateway.clinical.elements import ElementResult
from gateway.fhir import Json
from gateway.fhir.reading import objects, one
from gateway.reasoning.record import reference_of
from tests.readings.clinical.chart import Chart
from tests.readings.clinical.scores import Score, lacks_unit, read_scores


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A baseline and a decision score of one measure."""

    measure: Measure
    """The measure."""
    baseline: Score
    """Earliest valid score of the episode."""
    decision: Score
    """Latest valid score."""
    narrative: tuple[str, ...] = ()
    """Narrative that goes with it."""


def judge_outcome(chart: Chart) -> ElementResult:
    """Whether function has not improved although care was given."""
    named = [chart.concepts.measure_named(name) for name in chart.rule.outcome.measures]
    measures = [measure for measure in named if measure is not None]
    for measure in measures:
        pair = find_pair(chart, measure)
        if pair is not None:
            return _judge(chart, pair)
    return _missing(chart, measures)


def find_pair(chart: Chart, measure: Measure) -> Pair | None:
    """The measure's pair whose distance and age fit the row; None when there is none."""
    if measure.kind == "scale_with_narrative":
        return _with_narrative(chart, measure)
    scores = read_scores(chart, measure)
    for code in sorted({score.code for score in scores}):
        own = [score for score in scores if score.code == code]
        if not _problem(chart, own):
            return Pair(measure=measure, baseline=own[0], decision=own[-1])
    return None


def _problem(chart: Chart, scores: list[Score]) -> str:
    """Why scores of one code, oldest first, are no pair; empty when they are."""
    if not scores:
        return "not_documented"
    first, last = scores[0].day, scores[-1].day
    if len(scores) < 2:
        return "no_follow_up"
    if (last - first).days < chart.rule.outcome.min_interval_days:
        return "follow_up_too_early"
    if (chart.order_on - last).days > chart.rule.outcome.max_age_days:
        return "follow_up_too_old"
    return ""


def _with_narrative(chart: Chart, measure: Measure) -> Pair | None:
    base = chart.concepts.measure_named(measure.base)
    pair = find_pair(chart, base) if base else None
    narrative = tuple(_narratives(chart, measure))
    return replace(pair, narrative=narrative[:1]) if pair and narrative else None


def _narratives(chart: Chart, measure: Measure) -> list[str]:
    """Recent documents or impressions that name at least one limit of daily life."""
    oldest = chart.order_on - timedelta(days=chart.rule.outcome.max_age_days)
    found = []
    for document in chart.record.of_type("DocumentReference"):
        day = chart.day(document.get("date"))
        typed = measure.narrative_type in chart.concepts.local(document.get("type"))
        if typed and document.get("status") == "current" and day and oldest <= day <= chart.order_on:
            events = objects(one(document.get("context")).get("event"))
            found += [reference_of(document)] if _names_limit(events, chart, measure) else []
    for impression in chart.record.of_type("ClinicalImpression"):
        day = chart.day(impression.get("effectiveDateTime", impression.get("date")))
        if impression.get("status") == "completed" and day and oldest <= day <= chart.order_on:
            concepts = [one(item.get("itemCodeableConcept")) for item in objects(impression.get("finding"))]
            found += [reference_of(impression)] if _names_limit(concepts, chart, measure) else []
    return found


def _names_limit(concepts: list[Json] | tuple[Json, ...], chart: Chart, measure: Measure) -> bool:
    return any(measure.narrative_limit in chart.concepts.local(concept) for concept in concepts)


def improvement(pair: Pair) -> Fraction:
    """How much better the decision score is, in the measure's own unit; negative when worse."""
    change = pair.baseline.value - pair.decision.value
    return change if pair.measure.higher_is == "worse" else -change


def is_plateau(chart: Chart, pair: Pair) -> bool:
    """Whether the improvement is too small to count (spec/clinical.md §3.4, §3.5)."""
    better = improvement(pair)
    if pair.measure.mdc is not None:
        return better <= Fraction(pair.measure.mdc)
    if pair.measure.kind != "items":
        return pair.measure.plateau_below is not None and better < Fraction(pair.measure.plateau_below)
    plateau = chart.rule.outcome.plateau
    if plateau.mode == "absolute_pp":
        return better <= plateau.threshold
    return better * 100 <= plateau.threshold * pair.baseline.value


def is_residual(chart: Chart, pair: Pair) -> bool:
    """Whether disability remains."""
    if pair.measure.kind == "items":
        return pair.decision.value >= chart.rule.outcome.residual_min_pct
    limit = Fraction(pair.measure.residual or 0)
    return pair.decision.value >= limit if pair.measure.higher_is == "worse" else pair.decision.value <= limit


def show(value: Fraction) -> str:
    """A score with one decimal, none where it is whole."""
    number = Decimal(value.numerator) / Decimal(value.denominator)
    return str(value.numerator) if value.denominator == 1 else str(number.quantize(Decimal("0.1"), ROUND_HALF_UP))


def _judge(chart: Chart, pair: Pair) -> ElementResult:
    unit = " %" if pair.measure.kind == "items" else ""
    values = f"{show(pair.baseline.value)}{unit} → {show(pair.decision.value)}{unit}"
    base = ElementResult(
        element="OUTCOME",
        status="met",
        value=values,
        threshold=_threshold(chart, pair.measure),
        evidence=tuple(dict.fromkeys((pair.baseline.reference, pair.decision.reference, *pair.narrative))),
    )
    label = f"{pair.measure.label} {values}"
    if not is_residual(chart, pair):
        return replace(base, status="unmet", reason="OUTCOME_MINIMAL", line=f"{label}: little disability remains.")
    if not is_plateau(chart, pair):
        line = f"{label}: improving, imaging is not yet supported."
        return replace(base, status="unmet", reason="OUTCOME_IMPROVING", line=line)
    return replace(base, reason="documented", line=f"{label}: no relevant improvement.")


def _threshold(chart: Chart, measure: Measure) -> str:
    if measure.mdc is not None:
        return f"improvement ≤ {measure.mdc}"
    if measure.kind != "items":
        return f"improvement < {measure.plateau_below}"
    unit = "percentage points" if chart.rule.outcome.plateau.mode == "absolute_pp" else "% of the baseline"
    return f"improvement ≤ {chart.rule.outcome.plateau.threshold} {unit}"


def _missing(chart: Chart, measures: list[Measure]) -> ElementResult:
    """No measure has a pair: say what the first one lacks."""
    first = next((measure for measure in measures if measure.kind != "scale_with_narrative"), None)
    scores = list(read_scores(chart, first)) if first else []
    reason = _problem(chart, scores) or "not_documented"
    label = first.label if first else "outcome"
    bare = lacks_unit(chart, first) if first else ()
    base = ElementResult(
        element="OUTCOME",
        status="unmet",
        value=show(scores[-1].value) if scores else None,
        threshold=_threshold(chart, first) if first else None,
        reason=reason,
        evidence=tuple(score.reference for score in (scores[:1] + scores[-1:] if len(scores) > 1 else scores)),
    )
    if not scores and bare:
        line = f"A {label} total without a unit is on file; say whether it is points or per cent."
        return replace(base, reason="needs_verification", line=line, evidence=bare)
    interval, age = chart.rule.outcome.min_interval_days, chart.rule.outcome.max_age_days
    lines = {
        "not_documented": f"No {label} score is on file.",
        "no_follow_up": f"One {label} score is on file; a second one at least {interval} days later is asked.",
        "follow_up_too_early": f"The last {label} score is less than {interval} days after the first.",
        "follow_up_too_old": f"The last {label} score is more than {age} days old.",
    }
    return replace(base, line=lines[reason])
