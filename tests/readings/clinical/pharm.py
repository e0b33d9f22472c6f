"""Pharmacotherapy: enough covered days, enough agents, or a waiver with an alternative.

Source: spec/clinical.md §1.6 (PHARM, medication readings), §6.2 (second agent).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date, timedelta

from gateway.clinical.concepts import codes_in, diagnoses, matches
from gateway.clinical.elements import ElementResult
from gateway.fhir.codes import RXNORM
from gateway.reasoning.record import reference_of
from tests.readings.clinical.chart import About, Chart
from tests.readings.clinical.conditions import codes_of, is_active
from tests.readings.clinical.courses import Course, Kind, read_courses
from tests.readings.clinical.words import counted, is_or_are

_LEVELS: dict[str, tuple[Kind, ...]] = {
    "order": ("order",),
    "eprescribe_or_dispense": ("order", "dispense"),
    "list": ("order", "dispense", "statement"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Pharm:
    """What a rule row makes of the drugs in a chart."""

    counted: tuple[tuple[Course, frozenset[date]], ...]
    """Courses that count, each with its covered days in the window before the order."""
    possible: tuple[tuple[Course, frozenset[date]], ...]
    """Courses that might count if more were known, with the days they might cover."""
    waiver: tuple[str, ...]
    """Contraindications to the first-line class; empty when there are none."""

    @property
    def days(self) -> frozenset[date]:
        """All covered days."""
        return frozenset().union(*(days for _, days in self.counted))

    @property
    def starts(self) -> frozenset[date]:
        """First counted day of each course."""
        return frozenset(min(days) for _, days in self.counted if days)

    @property
    def possible_days(self) -> frozenset[date]:
        """Days that are or might be covered."""
        return self.days.union(*(days for _, days in self.possible))


def read_pharm(chart: Chart) -> Pharm:
    """Drugs that count for the chart's rule row, within its window and episode."""
    courses = read_courses(chart)
    kinds = {kind for level in chart.rule.pharm.evidence for kind in _LEVELS[level]}
    counted, possible = [], []
    for course in courses:
        if course.kind not in kinds or not _is_wanted(course, chart):
            continue
        days = _days(course, courses, chart)
        if _is_certain(course):
            counted.append((course, days))
        else:
            possible.append((course, days))
    return Pharm(
        counted=tuple((course, days) for course, days in counted if days),
        possible=tuple((course, days) for course, days in possible if days),
        waiver=tuple(_contraindications(chart)),
    )


def _is_wanted(course: Course, chart: Chart) -> bool:
    """Whether the entry may count: class, details the row asks, and a start inside the episode."""
    if not set(chart.rule.pharm.detail) <= course.details or not _in_episode(course, chart):
        return False
    if course.drug is None:
        return course.subject is About.REGION
    if course.drug.kind == _first_line(chart):
        return True
    return course.drug.kind != "other" and chart.rule.pharm.alternatives_ok


def _in_episode(course: Course, chart: Chart) -> bool:
    """Begun on or after the earliest onset and before the order; begun before the window counts from its first day."""
    if course.start is None or course.start > chart.order_on:
        return False
    return chart.onset_from is None or chart.onset_from <= course.start


def _is_certain(course: Course) -> bool:
    return course.drug is not None and course.end is not None and course.subject in (About.REGION, About.NOTHING)


def _first_line(chart: Chart) -> str:
    return chart.concepts.drug_rules.first_line


def _days(course: Course, courses: Iterable[Course], chart: Chart) -> frozenset[date]:
    """Covered days in [window, order); an order to be taken as needed covers what another entry shows was taken."""
    own = _window_days(course, chart)
    if course.kind != "order" or not course.as_needed:
        return own
    taken = [
        _window_days(other, chart)
        for other in courses
        if other.kind != "order" and other.drug is not None and other.drug == course.drug
    ]
    return own & frozenset().union(*taken)


def _window_days(course: Course, chart: Chart) -> frozenset[date]:
    if course.start is None:
        return frozenset()
    first = max(course.start, chart.from_on)
    last = min(course.end or chart.order_on, chart.order_on)
    return frozenset(first + timedelta(days=step) for step in range(max(0, (last - first).days)))


def _contraindications(chart: Chart) -> Iterable[str]:
    """Active allergies to the first-line class and active problems that speak against it."""
    for allergy in chart.record.of_type("AllergyIntolerance"):
        codes = codes_in(allergy.get("code"), RXNORM)
        drugs = [drug for code in sorted(codes) if (drug := chart.concepts.drug_of(code))]
        active = "active" in codes_of(allergy, "clinicalStatus")
        void = codes_of(allergy, "verificationStatus") & {"entered-in-error", "refuted"}
        if active and not void and any(drug.kind == _first_line(chart) for drug in drugs):
            yield reference_of(allergy)
    for condition in chart.record.of_type("Condition"):
        codes_found = diagnoses(condition.get("code"))
        patterns = chart.concepts.drug_rules.contraindications
        if any(matches(code, patterns) for code in codes_found) and is_active(condition, chart):
            yield reference_of(condition)


def judge_pharm(chart: Chart, pharm: Pharm) -> ElementResult:
    """Whether the row's pharmacotherapy is met.

    Steps: (1) days and agents; (2) a waiver with one alternative; (3) what might still count; (4) what is
    missing, and the day on which time alone may complete it.
    """
    need, have = chart.rule.pharm.min_days, len(pharm.days)
    agents = {course.drug.ingredient for course, _ in pharm.counted if course.drug}
    wanted = max(chart.rule.pharm.min_agents, 2 if _second_agent_is_due(chart, pharm) else 1)
    base = ElementResult(
        element="PHARM",
        status="met",
        value=have,
        threshold=need,
        evidence=tuple(course.reference for course, _ in pharm.counted),
    )
    if have >= need and len(agents) >= wanted:  # (1)
        return replace(
            base, reason="documented", line=f"Medication covers {counted(have, 'day')} before the order; {need} asked."
        )
    waived = _alternative(chart, pharm)
    if pharm.waiver and waived:  # (2)
        line = "An alternative agent counts, because a contraindication to the first choice is on file."
        return replace(base, reason="waived_alternative", line=line, evidence=(*pharm.waiver, *waived))
    if have < need <= len(pharm.possible_days):  # (3)
        return _undecided(base, pharm)
    return _missing(base, chart, pharm, len(agents), wanted)  # (4)


def _undecided(base: ElementResult, pharm: Pharm) -> ElementResult:
    unknown = any(course.drug is None for course, _ in pharm.possible)
    why = "a drug code is not known here" if unknown else "an entry lacks an end or a readable reason"
    line = f"Medication covers {counted(base.value, 'day')} for certain and might cover {base.threshold}, but {why}."
    seen = (*base.evidence, *(course.reference for course, _ in pharm.possible))
    return replace(base, status="indeterminate", reason="unclear_entry", line=line, evidence=seen)


def _missing(base: ElementResult, chart: Chart, pharm: Pharm, agents: int, wanted: int) -> ElementResult:
    need, have = chart.rule.pharm.min_days, len(pharm.days)
    if have >= need:
        tried = f"{counted(agents, 'agent')} {'was' if agents == 1 else 'were'} tried"
        asked = f"{wanted} {is_or_are(wanted)} asked"
        line = f"{tried}; {asked}, because the first one was stopped."
        if chart.rule.pharm.min_agents >= wanted:
            line = f"{tried}; {asked}."
        return replace(base, status="unmet", value=agents, threshold=wanted, reason="second_agent", line=line)
    if not have:
        line = f"No structured medication order counts; {counted(need, 'covered day')} {is_or_are(need)} asked."
        return replace(base, status="unmet", value=0, reason="not_documented", line=line)
    line = f"Medication covers {counted(have, 'day')} before the order; {need} {is_or_are(need)} asked."
    return replace(base, status="unmet", reason="too_short", line=line, resume_on=_complete_on(chart, pharm))


def _second_agent_is_due(chart: Chart, pharm: Pharm) -> bool:
    """One ingredient tried, and its last order stopped for a reason the row names."""
    reasons = chart.rule.pharm.second_agent_if
    tried = {course.drug.ingredient for course, _ in pharm.counted if course.drug}
    orders = [course for course, _ in pharm.counted if course.kind == "order" and course.start]
    if len(tried) != 1 or not orders or not reasons:
        return False
    last = max(orders, key=lambda course: (course.start or date.min, not course.is_stopped))
    return last.stop_reason in reasons


def _alternative(chart: Chart, pharm: Pharm) -> tuple[str, ...]:
    """References of counted agents outside the first-line class, begun before the order."""
    others = [course for course, _ in pharm.counted if course.drug and course.drug.kind != _first_line(chart)]
    return tuple(course.reference for course in others)


def _complete_on(chart: Chart, pharm: Pharm) -> date | None:
    """First order date on which running courses would cover enough days; None when they end too soon."""
    covered = set(pharm.days)
    runs = [
        (max(course.start, chart.from_on), course.end) for course, _ in pharm.counted if course.start and course.end
    ]
    day = chart.order_on
    while len(covered) < chart.rule.pharm.min_days:
        if not any(start <= day < end for start, end in runs):
            return None
        covered.add(day)
        day += timedelta(days=1)
    return day
