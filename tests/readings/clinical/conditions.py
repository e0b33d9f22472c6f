"""Which diagnosis an order is for, and since when the patient has had it.

Deleted and refuted problems count for nothing, not even their onset; a recorded date is never an
onset; a relapse starts anew. Source: spec/clinical.md §1.2, §1.3, §1.4.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from gateway.clinical.concepts import diagnoses, matches
from gateway.clinical.dates import Span, read_age
from gateway.fhir import Json
from gateway.fhir.codes import normalise_icd10
from gateway.fhir.reading import objects, one, text, whole_number
from gateway.fhir.references import reference_text
from gateway.reasoning.record import reference_of
from tests.readings.clinical.chart import Chart, is_ignored, is_of_region, refers_to
from tests.readings.clinical.dates import age_span, hull

_UNCERTAIN = frozenset({"unconfirmed", "provisional", "differential"})
_ENDED = frozenset({"inactive", "remission", "resolved"})
_AGAIN = frozenset({"recurrence", "relapse"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """One diagnosis among the reasons of an order."""

    code: str
    """ICD-10-CM code in written form."""
    reference: str = ""
    """Condition it came from; empty for a code on the order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Indication:
    """What an order is for."""

    primary: str
    """First diagnosis found; empty when there is none."""
    code: str
    """Diagnosis whose elements are listed."""
    reasons: tuple[Reason, ...] = ()
    """All reasons, in order."""
    is_trigger: bool = False
    """The primary diagnosis raises a red-flag question."""
    is_uncertain: bool = False
    """The diagnosis is recorded as not certain only."""
    notes: tuple[str, ...] = ()
    """Advisories."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Episode:
    """When the present episode began."""

    onset: Span | None
    """Days of onset; None = missing."""
    not_before: date | None
    """Evidence up to this day belongs to an earlier episode; None = no such day."""
    evidence: tuple[str, ...] = ()
    """Conditions that gave the onset."""
    notes: tuple[str, ...] = ()
    """Advisories."""


def codes_of(resource: Json, element: str) -> frozenset[str]:
    """Codes of a status CodeableConcept, whatever their system."""
    return frozenset(text(coding.get("code")) for coding in objects(one(resource.get(element)).get("coding")))


def is_uncertain(condition: Json) -> bool:
    """Whether a Condition is recorded as not certain."""
    return bool(codes_of(condition, "verificationStatus") & _UNCERTAIN)


def abated_on(condition: Json, chart: Chart) -> date | None:
    """Last possible day on which a Condition ended, no later than the order; None when it did not, or not yet."""
    for name in ("abatementDateTime", "abatementPeriod", "abatementAge", "abatementRange"):
        span = _read_start(condition.get(name), name, chart) if name in condition else None
        if span is not None and span.earliest <= chart.order_on:
            return min(span.latest, chart.order_on)
    return None


def _ends_unreadably(condition: Json, chart: Chart) -> bool:
    """Whether a Condition has an end of which no day can be said."""
    names = ("abatementDateTime", "abatementPeriod", "abatementAge", "abatementRange")
    given = [name for name in names if name in condition]
    if given:
        return _read_start(condition[given[0]], given[0], chart) is None
    return "abatementString" in condition


def is_active(condition: Json, chart: Chart) -> bool:
    """Whether a Condition that is not ignored is a present problem on the order date."""
    status = codes_of(condition, "clinicalStatus")
    is_known = not status or bool(status & {"active", *_AGAIN})
    if is_ignored(condition) or status & _ENDED or not is_known or (not status and _ends_unreadably(condition, chart)):
        return False
    return abated_on(condition, chart) is None or bool(status & _AGAIN)


def read_indication(chart: Chart) -> Indication:
    """The diagnosis of an order: its reasons first, then its encounter's (spec/clinical.md §1.2)."""
    reasons = tuple(_reasons(chart))
    notes: list[str] = []
    if not reasons:
        return Indication(primary="", code="", notes=())
    primary = reasons[0].code
    triggers = (*chart.region.red_flag_triggers.always, *chart.region.red_flag_triggers.unless_screened)
    is_trigger = matches(primary, triggers) and not matches(primary, chart.region.red_flag_triggers.never)
    listed = [reason.code for reason in reasons if reason.code in chart.rule.indications]
    code = primary if primary in chart.rule.indications else _listed_next(chart, listed)
    if {chart.region.symptom_code, chart.region.diagnosis_code} <= set(listed):
        code = chart.region.diagnosis_code
        notes.append("CODE_REDUNDANT: the symptom is part of the diagnosis that is listed beside it")
    uncertain = _all_uncertain(chart, code)
    notes += ["UNCERTAIN: the diagnosis is recorded as uncertain only"] if uncertain else []
    return Indication(
        primary=primary,
        code=code,
        reasons=reasons,
        is_trigger=is_trigger,
        is_uncertain=uncertain,
        notes=tuple(notes),
    )


def _listed_next(chart: Chart, listed: list[str]) -> str:
    """Where the primary is no indication: the next one listed, else the encounter's, else the symptom."""
    own = [reason.code for reason in _encounter_reasons(chart) if reason.code in chart.rule.indications]
    return next(iter([*listed, *own]), chart.region.symptom_code)


def _reasons(chart: Chart) -> Iterator[Reason]:
    found = False
    for reference in objects(chart.order.get("reasonReference")):
        for reason in _of_condition(chart.record.find(reference_text(reference)), chart):
            found = True
            yield reason
    for concept in objects(chart.order.get("reasonCode")):
        for code in diagnoses(concept):
            found = True
            yield Reason(code=code)
    if not found:
        yield from _encounter_reasons(chart)


def _encounter_reasons(chart: Chart) -> Iterator[Reason]:
    """Diagnoses of the order's encounter by rank, then problems recorded as its diagnosis."""
    encounter = chart.encounter
    if encounter is None:
        return
    ranked = [entry for entry in objects(encounter.get("diagnosis")) if whole_number(entry.get("rank")) == 1]
    for entry in ranked:
        yield from _of_condition(chart.record.find(reference_text(entry.get("condition"))), chart)
    for condition in chart.record.of_type("Condition"):
        categories = {code for item in objects(condition.get("category")) for code in _plain(item)}
        if "encounter-diagnosis" in categories and refers_to(condition.get("encounter"), encounter):
            yield from _of_condition(condition, chart)


def _plain(concept: Any) -> Iterator[str]:
    for coding in objects(one(concept).get("coding")):
        yield text(coding.get("code"))


def _of_condition(condition: Json | None, chart: Chart) -> Iterator[Reason]:
    if condition is None or condition.get("resourceType") != "Condition" or not is_active(condition, chart):
        return
    for code in diagnoses(condition.get("code")):
        yield Reason(code=code, reference=reference_of(condition))


def _all_uncertain(chart: Chart, code: str) -> bool:
    own = [condition for condition in _with_code(chart, [code]) if is_active(condition, chart)]
    return bool(own) and all(is_uncertain(condition) for condition in own)


def _with_code(chart: Chart, codes: Iterable[str]) -> list[Json]:
    wanted = {normalise_icd10(code) for code in codes}
    conditions = chart.record.of_type("Condition")
    return [condition for condition in conditions if wanted & set(diagnoses(condition.get("code")))]


def read_episode(chart: Chart) -> Episode:
    """Onset of the present episode and the day up to which evidence belongs to an earlier one.

    Steps: (1) the problems that count; (2) the end of the last earlier episode; (3) the onset of each;
    (4) the earliest of them. Source: spec/clinical.md §1.3.
    """
    counted = _counted(chart)  # (1)
    ended = _last_end(chart)  # (2)
    spans: list[Span] = []
    evidence: list[str] = []
    notes: list[str] = []
    limit: date | None = None
    for condition in counted:
        again = bool(codes_of(condition, "clinicalStatus") & _AGAIN)
        span, problem = _onset(condition, chart)  # (3)
        notes += [problem] if problem else []
        if span is not None and again and ended is not None and span.earliest <= ended:
            span = None
        if ended is not None and (again or span is None):
            limit = ended
        if span is not None:
            spans.append(span)
            evidence.append(reference_of(condition))
    if any(is_active(item, chart) and not codes_of(item, "clinicalStatus") for item in counted):
        notes.append("STATUS_MISSING: a problem has no clinical status and was taken for a present one")
    return Episode(onset=hull(spans), not_before=limit, evidence=tuple(evidence), notes=tuple(notes))  # (4)


def _counted(chart: Chart) -> list[Json]:
    """Active problems of the indications named by the order, else all of them, and the symptom they grew from."""
    active = [condition for condition in _with_code(chart, chart.rule.indications) if is_active(condition, chart)]
    named = objects(chart.order.get("reasonReference"))
    own = [condition for condition in active if any(refers_to(item, condition) for item in named)]
    counted = own or active
    return counted + [item for item in _refined(chart, counted) if item not in counted]


def _refined(chart: Chart, counted: list[Json]) -> list[Json]:
    """The ended symptom whose episode the diagnosis continues: ended at most so many days before it began."""
    diagnosed = [item for item in counted if chart.region.diagnosis_code in diagnoses(item.get("code"))]
    starts = [span.earliest for item in diagnosed for span in [_onset(item, chart)[0]] if span is not None]
    if not starts:
        return []
    oldest = min(starts) - timedelta(days=chart.region.refinement_days)
    symptoms = _with_code(chart, [chart.region.symptom_code])
    ended = [item for item in symptoms if not is_ignored(item) and not is_active(item, chart)]
    return [item for item in ended if (abated_on(item, chart) or date.min) >= oldest]


def _last_end(chart: Chart) -> date | None:
    """The latest day on which any problem of the region that is not ignored ended."""
    conditions = chart.record.of_type("Condition")
    own = [item for item in conditions if not is_ignored(item) and is_of_region(item.get("code"), chart)]
    ends = [end for item in own for end in [abated_on(item, chart)] if end is not None]
    return max(ends, default=None)


def _onset(condition: Json, chart: Chart) -> tuple[Span | None, str]:
    """Onset of one Condition and what is wrong with it; after the order or before birth it is a data error."""
    for name in ("onsetDateTime", "onsetPeriod", "onsetAge", "onsetRange"):
        if name in condition:
            return _checked(_read_start(condition.get(name), name, chart), chart)
    return None, "ONSET_TEXT: the onset is text only; a date is needed" if "onsetString" in condition else ""


def _checked(span: Span | None, chart: Chart) -> tuple[Span | None, str]:
    birth = chart.birth()
    if span is None:
        return None, ""
    if span.earliest > chart.order_on or (birth is not None and span.latest < birth.earliest):
        return None, "DATA_ERROR: an onset lies after the order or before birth"
    return Span(earliest=span.earliest, latest=min(span.latest, chart.order_on)), ""


def _read_start(value: Any, name: str, chart: Chart) -> Span | None:
    """Days of an `onset[x]` or `abatement[x]`; a Period's end counts for an abatement."""
    if name.endswith("DateTime"):
        return chart.span(value)
    if name.endswith("Period"):
        period = one(value)
        first = period.get("start") if name.startswith("onset") else period.get("end") or period.get("start")
        return chart.span(first)
    if name.endswith("Age"):
        return age_span(chart.birth(), read_age(value))
    if name.endswith("Range"):
        low = age_span(chart.birth(), read_age(one(value).get("low")))
        high = age_span(chart.birth(), read_age(one(value).get("high")))
        return Span(earliest=low.earliest, latest=high.latest) if low and high else None
    return None
