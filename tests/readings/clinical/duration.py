"""How long conservative care has lasted, and whether there was contact after it.

Source: spec/clinical.md §1.5 (anchors, episode gap), §1.6 (DURATION, REEVAL).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date, timedelta
from itertools import pairwise

from gateway.clinical.dates import Span
from gateway.clinical.elements import ElementResult, Status
from gateway.fhir import Json
from gateway.fhir.reading import objects, one
from gateway.fhir.references import reference_text
from gateway.reasoning.record import reference_of
from tests.readings.clinical.chart import About, Chart, about, refers_to
from tests.readings.clinical.conditions import Episode
from tests.readings.clinical.dates import at_least, hull
from tests.readings.clinical.exam import read_signs, worsened
from tests.readings.clinical.pharm import Pharm, read_pharm
from tests.readings.clinical.therapy import Finding, encounter_about, is_therapy_visit, read_advice, read_sessions
from tests.readings.clinical.words import is_or_are


@dataclass(frozen=True, slots=True, kw_only=True)
class Care:
    """Everything in the chart that is treatment."""

    pharm: Pharm
    """Drugs."""
    sessions: tuple[Finding, ...]
    """Therapy sessions."""
    advice: tuple[Finding, ...]
    """Activity advice."""


def read_care(chart: Chart) -> Care:
    """Treatment that counts, or might count, in the chart's window and episode."""
    return Care(pharm=read_pharm(chart), sessions=read_sessions(chart), advice=read_advice(chart))


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchor:
    """Day 0 of treatment."""

    certain: date | None
    """First day of treatment that counts; None when there is none."""
    possible: date | None
    """First day if unclear entries counted too; None when there are none either."""
    evidence: tuple[str, ...] = ()
    """What gave the certain day."""
    possible_evidence: tuple[str, ...] = ()
    """What gave the possible day."""
    is_restarted: bool = False
    """A worse sign moved it."""


def treatment_anchor(chart: Chart, care: Care) -> Anchor:
    """Earliest of medication, attended session and advice that count; moved by a worse sign where the row says so."""
    certain: list[tuple[date, str]] = [(min(days), course.reference) for course, days in care.pharm.counted]
    certain += [(item.day, item.reference) for item in care.sessions if item.is_certain]
    certain += [(item.day, item.reference) for item in care.advice if item.subject in (About.REGION, About.NOTHING)]
    unclear: list[tuple[date, str]] = [(min(days), course.reference) for course, days in care.pharm.possible]
    unclear += [(item.day, item.reference) for item in care.sessions if not item.is_certain]
    unclear += [(item.day, item.reference) for item in care.advice if item.subject is About.UNCLEAR]
    first = min(certain, default=None)
    maybe = min([*certain, *unclear], default=None)
    anchor = Anchor(
        certain=first[0] if first else None,
        possible=maybe[0] if maybe else None,
        evidence=(first[1],) if first else (),
        possible_evidence=(maybe[1],) if maybe else (),
    )
    return _restarted(chart, anchor) if chart.rule.duration.restart_on_symptom_change else anchor


def _restarted(chart: Chart, anchor: Anchor) -> Anchor:
    """The anchor moved to the latest exam after it that shows a worse sign."""
    if anchor.certain is None:
        return anchor
    worse = [sign for sign in worsened(read_signs(chart)) if sign.day > anchor.certain]
    if not worse:
        return anchor
    last = max(worse, key=lambda sign: sign.at)
    return replace(anchor, certain=last.day, possible=last.day, evidence=(last.reference,), is_restarted=True)


def episode_cut(chart: Chart, care: Care) -> date | None:
    """Day up to which evidence belongs to an earlier episode: before the last gap that is too long; None = no gap."""
    days = set(care.pharm.days)
    days |= {item.day for item in care.sessions if item.is_certain}
    days |= {item.day for item in care.advice if item.subject in (About.REGION, About.NOTHING)}
    ordered = [*sorted(days), chart.order_on]
    limit = chart.rule.episode_gap_days
    gaps = [day for day, after in pairwise(ordered) if (after - day).days > limit]
    return max(gaps, default=None)


def judge_duration(chart: Chart, episode: Episode, anchor: Anchor, need: int) -> ElementResult:
    """Whether `need` days have passed since day 0 of the row's policy."""
    by_onset = chart.rule.duration.anchor == "onset_or_treatment"
    spans = [_exact(anchor.certain)] if anchor.certain else []
    if by_onset and episode.onset is not None:
        return _dated(chart, hull([episode.onset, *spans]), need, _first_evidence(episode, anchor))
    if anchor.certain is not None and (not by_onset or at_least(_exact(anchor.certain), need, chart.order_on)):
        return _by_treatment(chart, anchor, need)
    if by_onset:
        elapsed = (chart.order_on - anchor.certain).days if anchor.certain else None
        line = f"The onset of symptoms is not dated; {need} days are asked."
        if elapsed is not None:
            line = f"Treatment reached day {elapsed} of {need}, and the onset of symptoms is not dated."
        return _result("indeterminate", elapsed, need, "onset_missing", line, anchor.evidence)
    return _by_treatment(chart, anchor, need)


def _first_evidence(episode: Episode, anchor: Anchor) -> tuple[str, ...]:
    """What decided the anchor: the onset, unless treatment began before it for certain."""
    onset = episode.onset
    if onset is not None and anchor.certain is not None and anchor.certain < onset.earliest:
        return anchor.evidence
    return episode.evidence


def _by_treatment(chart: Chart, anchor: Anchor, need: int) -> ElementResult:
    if anchor.certain is not None:
        found = _dated(chart, _exact(anchor.certain), need, anchor.evidence)
        if found.status == "met" or not _might(chart, anchor, need):
            return found
    if _might(chart, anchor, need):
        line = f"Treatment may have lasted {need} days, but the entries that say so are not clear."
        return _result("indeterminate", None, need, "unclear_entry", line, anchor.possible_evidence)
    if anchor.certain is not None:
        return _dated(chart, _exact(anchor.certain), need, anchor.evidence)
    line = f"No treatment is documented from which {need} days could count."
    found = _result("unmet", None, need, "not_documented", line, ())
    return replace(found, resume_on=chart.order_on + timedelta(days=need))


def _might(chart: Chart, anchor: Anchor, need: int) -> bool:
    return bool(anchor.possible and not anchor.is_restarted and (chart.order_on - anchor.possible).days >= need)


def _dated(chart: Chart, span: Span | None, need: int, evidence: tuple[str, ...]) -> ElementResult:
    truth = at_least(span, need, chart.order_on)
    elapsed = (chart.order_on - span.latest).days if span else 0
    if truth:
        return _result("met", elapsed, need, "documented", f"Day {elapsed} of {need}: long enough.", evidence)
    resume = span.latest + timedelta(days=need) if span else None
    if truth is None:
        line = f"Day 0 is known only roughly; {need} days may or may not have passed."
        found = _result("indeterminate", elapsed, need, "partial_date", line, evidence)
        return replace(found, resume_on=resume)
    more = need - elapsed
    line = f"Day {elapsed} of {need}; {more} more {is_or_are(more)} asked."
    return replace(_result("unmet", elapsed, need, "too_short", line, evidence), resume_on=resume)


def _exact(day: date) -> Span:
    return Span(earliest=day, latest=day)


def _result(
    status: Status, value: int | None, need: int, reason: str, line: str, evidence: tuple[str, ...]
) -> ElementResult:
    return ElementResult(
        element="DURATION",
        status=status,
        value=value,
        threshold=need,
        reason=reason,
        line=line,
        evidence=evidence,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Contact:
    """One contact with the patient."""

    day: date
    """Local day."""
    reference: str
    """`Type/id`."""
    is_certain: bool
    """About the region for certain, or the order's own encounter."""


def judge_reevaluation(chart: Chart, anchor: Anchor, need: int) -> ElementResult | None:
    """Whether there was contact on or after day `need` of treatment; None where the row asks for none."""
    if not chart.rule.reevaluation.required:
        return None
    base = ElementResult(element="REEVAL", status="unmet", threshold=need)
    if anchor.certain is None:
        line = "No re-evaluation can count, because no treatment is documented."
        return replace(base, reason="not_documented", line=line)
    due = anchor.certain + timedelta(days=need)
    contacts = [item for item in _contacts(chart) if due <= item.day <= chart.order_on]
    certain = [item for item in contacts if item.is_certain]
    if certain:
        last = max(certain, key=lambda item: item.day)
        line = f"Re-evaluated on {last.day.isoformat()}, after day {need} of treatment."
        return replace(
            base, status="met", value=last.day.isoformat(), reason="documented", line=line, evidence=(last.reference,)
        )
    if contacts:
        line = "A contact after the treatment is on file, but it does not say what about."
        seen = tuple(item.reference for item in contacts)
        return replace(base, status="indeterminate", reason="no_reason", line=line, evidence=seen)
    line = f"No re-evaluation on or after {due.isoformat()} (day {need} of treatment) is on file."
    later = due if due > chart.order_on else None
    return replace(base, reason="not_documented", line=line, resume_on=later)


def _contacts(chart: Chart) -> Iterable[Contact]:
    own = chart.encounter
    for encounter in chart.record.of_type("Encounter"):
        day = chart.day(one(encounter.get("period")).get("start"))
        is_own = encounter is own
        if encounter.get("status") not in ("finished", "in-progress") or is_therapy_visit(encounter, chart):
            continue
        subject = About.REGION if is_own else encounter_about(encounter, chart)
        day = day or (chart.order_on if is_own else None)
        if day is not None and subject is not About.OTHER:
            yield Contact(day=day, reference=reference_of(encounter), is_certain=subject is About.REGION)
    for message in chart.record.of_type("Communication"):
        yield from _message_contact(message, chart)


def _message_contact(message: Json, chart: Chart) -> Iterable[Contact]:
    """A completed message to or from the patient that is no reminder."""
    day = chart.day(message.get("sent") or message.get("received"))
    categories = {
        str(coding.get("code")) for item in objects(message.get("category")) for coding in objects(item.get("coding"))
    }
    if message.get("status") != "completed" or day is None:
        return
    if categories & set(chart.concepts.therapy.reminder_categories) or not _with_patient(message, chart):
        return
    conditions = [item for item in objects(message.get("about")) if "Condition/" in reference_text(item)]
    subject = about(message, chart, conditions=conditions)
    if subject is not About.OTHER:
        yield Contact(day=day, reference=reference_of(message), is_certain=subject is About.REGION)


def _with_patient(message: Json, chart: Chart) -> bool:
    people = [one(message.get("sender")), *objects(message.get("recipient"))]
    patients = chart.record.of_type("Patient")
    return any(refers_to(person, patient) for person in people for patient in patients)
