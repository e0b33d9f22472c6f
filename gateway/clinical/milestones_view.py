"""How far conservative care has come, read from a fresh chart: what milestones ask and the dashboard shows.

Most of it is what the rule itself finds on that day; the rest (bookings, windows of scores, tolerance) is read
beside it. Source: spec/clinical.md §2.2, §3.4.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from gateway.clinical.chart import Chart
from gateway.clinical.concepts import Measure, diagnoses
from gateway.clinical.conditions import is_active, is_uncertain
from gateway.clinical.courses import read_courses
from gateway.clinical.elements import ElementResult, Evaluation
from gateway.clinical.outcome import find_pair, show
from gateway.clinical.protocol import OutcomePlan
from gateway.clinical.scores import read_scores
from gateway.fhir import Json
from gateway.fhir.reading import objects, one, text
from gateway.reasoning.record import reference_of

EMERGENCY = "EMER"
"""Encounter class of an emergency visit (v3-ActCode)."""
BOOKED = frozenset({"booked", "pending", "arrived", "fulfilled", "checked-in", "proposed"})
"""Appointment statuses of a visit that is or was planned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    """The calendar of one timer on one day."""

    day_zero: date
    """Day 0 at the practice."""
    days: int
    """Days to the decision."""
    today: date
    """The day looked at."""
    outcome: OutcomePlan | None
    """When the outcome is measured."""

    @property
    def day(self) -> int:
        """Day of the protocol."""
        return (self.today - self.day_zero).days

    @property
    def ends_on(self) -> date:
        """Day of the decision."""
        return self.day_zero + timedelta(days=self.days)


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far one patient has come."""

    timed: Timed
    """The calendar."""
    found: Evaluation
    """What the rule says today."""
    at_end: Evaluation
    """What the rule would say on the decision day if nothing more were recorded."""
    scores: tuple[tuple[date, str], ...]
    """Day and value of each valid score of the first measure, oldest first."""
    score_days: tuple[date, ...]
    """Days of the scores since the timer began or shortly before."""
    is_improving: bool
    """The latest score is better than the first by more than the rule's plateau."""
    booked: tuple[date, ...]
    """Days of therapy appointments on file, past and future."""
    screened_on: date | None
    """Day on which all screens were last answered; None where one has no answer."""
    is_screen_negative: bool
    """The latest answers of all screens are no."""
    has_drug: bool
    """A coded drug that may count is on file since the timer began or runs into it."""
    is_tolerated: bool
    """Somebody looked whether the drug is tolerated: an encounter, a dispense or a statement since mid-course."""
    covered_by_fill: int
    """Days covered by dispenses and statements since the first order; the adherence view, never a verdict input."""
    since_first_order: int
    """Days since the first order of a drug; 0 where there is none."""
    sessions: tuple[str, ...]
    """References of the sessions that count."""
    alarms: tuple[tuple[str, str], ...]
    """What re-opens the panel: kind and reference."""

    def element(self, name: str) -> ElementResult | None:
        """One element of today's evaluation; None where the rule does not list it."""
        return _element(self.found, name)

    @property
    def attended(self) -> int:
        """Sessions that count."""
        return _number(self.element("PT_SESSIONS"))

    @property
    def sessions_needed(self) -> int:
        """Sessions the rule asks for; 0 where it asks for none."""
        found = self.element("PT_SESSIONS")
        return int(found.threshold or 0) if found and found.status != "not_required" else 0

    @property
    def projected(self) -> int:
        """Sessions by the decision day: attended and still booked, or by the pace so far where nothing is booked."""
        ahead = {day for day in self.booked if self.timed.today < day <= self.timed.ends_on}
        if ahead or self.timed.day <= 0:
            return self.attended + len(ahead)
        return self.attended * max(self.timed.days, self.timed.day) // self.timed.day

    @property
    def covered(self) -> int:
        """Covered days of medication."""
        return _number(self.element("PHARM"))

    @property
    def adherence_percent(self) -> int | None:
        """Covered days since the first order, per cent; None where there is no order."""
        return min(100, self.covered_by_fill * 100 // self.since_first_order) if self.since_first_order > 0 else None


def _element(found: Evaluation, name: str) -> ElementResult | None:
    return next((element for element in found.elements if element.element == name), None)


def _number(element: ElementResult | None) -> int:
    return element.value if element is not None and isinstance(element.value, int) else 0


def read_progress(
    chart: Chart, timed: Timed, found: Evaluation, at_end: Evaluation, appointments: Sequence[Json]
) -> Progress:
    """What the chart of `timed.today` shows; `appointments` are those of the patient."""
    measure = chart.concepts.measure_named(timed.outcome.measure) if timed.outcome else None
    scores = read_scores(chart, measure) if measure else ()
    screened_on, negative = _screens(chart)
    sessions = _element(found, "PT_SESSIONS")
    return Progress(
        timed=timed,
        found=found,
        at_end=at_end,
        scores=tuple((score.day, show(score.value)) for score in scores),
        score_days=tuple(score.day for score in scores),
        is_improving=_improves(chart, measure),
        booked=tuple(_booked(chart, appointments)),
        screened_on=screened_on,
        is_screen_negative=negative,
        has_drug=_has_drug(chart, timed),
        is_tolerated=_is_tolerated(chart, timed),
        covered_by_fill=_filled(chart, timed),
        since_first_order=_since_first_order(chart, timed),
        sessions=sessions.evidence if sessions else (),
        alarms=tuple(_alarms(chart, timed, found)),
    )


def _improves(chart: Chart, measure: Measure | None) -> bool:
    """Whether the latest score is better than the baseline by more than the rule counts as none."""
    pair = find_pair(chart, measure, any_interval=True) if measure is not None else None
    return pair is not None and pair.improvement > 0 and not pair.is_plateau


def _booked(chart: Chart, appointments: Sequence[Json]) -> list[date]:
    """Days of appointments that are typed as therapy, or that rest on a therapy request."""
    days = []
    for appointment in appointments:
        day = chart.day(appointment.get("start"))
        if day is not None and text(appointment.get("status")) in BOOKED and _is_therapy(appointment, chart):
            days.append(day)
    return sorted(set(days))


def _is_therapy(appointment: Json, chart: Chart) -> bool:
    therapy = chart.concepts.therapy
    wanted = {*therapy.encounter_types, *therapy.category_snomed}
    concepts = [item for name in ("serviceType", "serviceCategory") for item in objects(appointment.get(name))]
    coded = {text(coding.get("code")) for concept in concepts for coding in objects(concept.get("coding"))}
    if coded & (wanted | set(therapy.referral_codes)):
        return True
    targets = [chart.record.find(text(item.get("reference"))) for item in objects(appointment.get("basedOn"))]
    requests = [code for target in targets if target for code in objects(one(target.get("code")).get("coding"))]
    return any(text(coding.get("code")) in therapy.referral_codes for coding in requests)


def _screens(chart: Chart) -> tuple[date | None, bool]:
    """Oldest of the latest answers to all screens and whether all are no; None where one has no answer."""
    rows = chart.criteria().value("Screens", "CareRedFlags")
    if len(rows) < len(chart.concepts.red_flags.screens):
        return None, False
    days = [date.fromisoformat(row["dated"]) for row in rows]
    return min(days), not any(row["isPresent"] for row in rows)


def _has_drug(chart: Chart, timed: Timed) -> bool:
    """A drug that is no other class begins by today and does not end before the timer began."""
    for course in read_courses(chart):
        if course.drug is not None and course.drug.kind != "other" and course.start is not None:
            ends_early = course.end is not None and course.end <= timed.day_zero
            if course.start <= timed.today and not ends_early:
                return True
    return False


def _is_tolerated(chart: Chart, timed: Timed) -> bool:
    """A contact, dispense or statement since the middle of the first half, when side effects show."""
    since = timed.day_zero + timedelta(days=timed.days // 4)
    days = [chart.day(one(item.get("period")).get("start")) for item in chart.record.of_type("Encounter")]
    days += [chart.day(item.get("sent")) for item in chart.record.of_type("Communication")]
    days += [course.start for course in read_courses(chart) if course.kind != "order"]
    return any(day is not None and since <= day <= timed.today for day in days)


def _filled(chart: Chart, timed: Timed) -> int:
    """Days since the first order on which a dispense or statement covers the patient."""
    first = _first_order(chart, timed)
    if first is None:
        return 0
    days: set[date] = set()
    for course in read_courses(chart):
        if course.kind == "order" or course.drug is None or course.drug.kind == "other" or course.start is None:
            continue
        begin, end = max(course.start, first), min(course.end or timed.today, timed.today)
        days |= {begin + timedelta(days=step) for step in range(max(0, (end - begin).days))}
    return len(days)


def _first_order(chart: Chart, timed: Timed) -> date | None:
    starts = [
        course.start
        for course in read_courses(chart)
        if course.kind == "order" and course.drug is not None and course.drug.kind != "other" and course.start
    ]
    return min((start for start in starts if start <= timed.today), default=None)


def _since_first_order(chart: Chart, timed: Timed) -> int:
    first = _first_order(chart, timed)
    return (timed.today - first).days if first else 0


def _alarms(chart: Chart, timed: Timed, found: Evaluation) -> list[tuple[str, str]]:
    """Steps: (1) a red-flag finding; (2) evidence for the diagnosis that needs findings; (3) an emergency visit."""
    alarms: list[tuple[str, str]] = []
    if found.red_flag != "none":  # (1)
        alarms += [("red-flag", reference) for reference in found.red_flag_evidence or ("",)]
    for condition in chart.record.of_type("Condition"):  # (2)
        coded = chart.region.diagnosis_code and chart.region.diagnosis_code in diagnoses(condition.get("code"))
        recorded = chart.day(condition.get("recordedDate")) or timed.today
        if coded and is_active(condition, chart) and not is_uncertain(condition) and recorded > timed.day_zero:
            alarms.append(("new-diagnosis", reference_of(condition)))
    for encounter in chart.record.of_type("Encounter"):  # (3)
        day = chart.day(one(encounter.get("period")).get("start"))
        is_emergency = text(one(encounter.get("class")).get("code")) == EMERGENCY
        if is_emergency and day is not None and timed.day_zero < day <= timed.today:
            alarms.append(("emergency-visit", reference_of(encounter)))
    return alarms
