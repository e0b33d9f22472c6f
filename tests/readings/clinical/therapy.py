"""Physical therapy and advice: referral, sessions, and what the patient was told to do.

A session is a day, however many services were billed on it; an evaluation is no session; a referral
is no treatment. Source: spec/clinical.md §1.6 (PT_REFERRAL, PT_SESSIONS, ACTIVITY).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any

from gateway.clinical.concepts import diagnoses, matches, service_codes, snomed_codes
from gateway.clinical.dates import read_period_start
from gateway.clinical.elements import ElementResult, Status
from gateway.fhir import Json
from gateway.fhir.reading import objects, one, whole_number
from gateway.reasoning.record import reference_of
from tests.readings.clinical.chart import About, Chart, about
from tests.readings.clinical.words import counted, is_or_are


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One dated piece of evidence."""

    day: date
    """Local day."""
    reference: str
    """`Type/id`."""
    subject: About
    """What it is about."""
    kind: str = ""
    """Code of an advice; empty otherwise."""

    @property
    def is_certain(self) -> bool:
        """About the region for certain."""
        return self.subject is About.REGION


def read_referrals(chart: Chart) -> tuple[Finding, ...]:
    """Therapy referrals in force or done, signed in the window, not for another region."""
    found: list[Finding] = []
    for request in chart.record.of_type("ServiceRequest"):
        day = chart.day(request.get("authoredOn"))
        if request.get("status") in ("active", "completed") and _is_referral(request, chart):
            found += _finding(request, day, about(request, chart, follow=False), chart)
    return tuple(found)


def _is_referral(request: Json, chart: Chart) -> bool:
    if request.get("doNotPerform") is True or request is chart.order:
        return False
    codes = service_codes(request.get("code")).union(*map(service_codes, objects(request.get("orderDetail"))))
    categories = frozenset().union(*map(snomed_codes, objects(request.get("category"))))
    therapy = chart.concepts.therapy
    return bool(codes & set(therapy.referral_codes) or categories & set(therapy.category_snomed))


def _finding(resource: Json, day: date | None, subject: About, chart: Chart, kind: str = "") -> Iterator[Finding]:
    if day is not None and chart.counts(day) and subject is not About.OTHER:
        yield Finding(day=day, reference=reference_of(resource), subject=subject, kind=kind)


def read_sessions(chart: Chart) -> tuple[Finding, ...]:
    """Attended sessions in the window, not for another region: procedures, therapy visits, claim lines."""
    found: list[Finding] = []
    for procedure in chart.record.of_type("Procedure"):
        if procedure.get("status") == "completed" and service_codes(procedure.get("code")) & set(chart.rule.pt.counts):
            found += _finding(
                procedure, read_period_start(procedure, "performed", chart.zone), about(procedure, chart), chart
            )
    for encounter in chart.record.of_type("Encounter"):
        if encounter.get("status") == "finished" and is_therapy_visit(encounter, chart):
            day = chart.day(one(encounter.get("period")).get("start"))
            found += _finding(encounter, day, encounter_about(encounter, chart), chart)
    for kind in ("ExplanationOfBenefit", "Claim"):
        for claim in chart.record.of_type(kind):
            found += _claim_lines(claim, chart)
    return tuple(found)


def is_therapy_visit(encounter: Json, chart: Chart) -> bool:
    """Whether an encounter is typed as physical therapy."""
    types = frozenset().union(*map(snomed_codes, objects(encounter.get("type"))))
    return bool(types & set(chart.concepts.therapy.encounter_types))


def encounter_about(encounter: Json, chart: Chart) -> About:
    """What an encounter is about, its diagnoses included."""
    return about(encounter, chart, conditions=[entry.get("condition") for entry in objects(encounter.get("diagnosis"))])


def _claim_lines(claim: Json, chart: Chart) -> Iterator[Finding]:
    if claim.get("status") != "active" or claim.get("use", "claim") != "claim":
        return
    listed = {whole_number(entry.get("sequence")): entry for entry in objects(claim.get("diagnosis"))}
    for item in objects(claim.get("item")):
        if not service_codes(item.get("productOrService")) & set(chart.rule.pt.counts):
            continue
        day = chart.day(item.get("servicedDate")) or chart.day(one(item.get("servicedPeriod")).get("start"))
        pointed = [listed[number] for number in _numbers(item.get("diagnosisSequence")) if number in listed]
        yield from _finding(claim, day, _claim_about(pointed, chart), chart)


def _numbers(value: Any) -> list[int | None]:
    return [whole_number(item) for item in value] if isinstance(value, list | tuple) else []


def _claim_about(entries: Iterable[Json], chart: Chart) -> About:
    codes = [code for entry in entries for code in diagnoses(entry.get("diagnosisCodeableConcept"))]
    if any(matches(code, (*chart.rule.indications, *chart.region.conditions)) for code in codes):
        return About.REGION
    return About.OTHER if codes else About.NOTHING


def read_advice(chart: Chart) -> tuple[Finding, ...]:
    """Dated activity advice in the window, not for another region."""
    found: list[Finding] = []
    for plan in chart.record.of_type("CarePlan"):
        if plan.get("status") in ("active", "completed", "on-hold"):
            found += _plan_advice(plan, chart)
    for procedure in chart.record.of_type("Procedure"):
        kind = _advice_kind([procedure.get("code")], chart)
        if kind and procedure.get("status") == "completed":
            day = read_period_start(procedure, "performed", chart.zone)
            found += _finding(procedure, day, about(procedure, chart), chart, kind)
    for message in chart.record.of_type("Communication"):
        concepts = [message.get("topic"), *objects(message.get("category")), *objects(message.get("reasonCode"))]
        kind = _advice_kind(concepts, chart)
        if kind and message.get("status") == "completed":
            found += _finding(message, chart.day(message.get("sent")), _message_about(message, chart), chart, kind)
    return tuple(found)


def _plan_advice(plan: Json, chart: Chart) -> Iterator[Finding]:
    for activity in objects(plan.get("activity")):
        detail = one(activity.get("detail"))
        kind = _advice_kind([detail.get("code")], chart)
        if not kind or detail.get("status") not in ("in-progress", "completed"):
            continue
        own = about(detail, chart)
        subject = own if own is not About.NOTHING else about(plan, chart, conditions=objects(plan.get("addresses")))
        yield from _finding(plan, chart.day(one(detail.get("scheduledPeriod")).get("start")), subject, chart, kind)


def _advice_kind(concepts: Iterable[object], chart: Chart) -> str:
    known = set(chart.concepts.advice.codes)
    return next((code for concept in concepts for code in sorted(chart.concepts.local(concept) & known)), "")


def _message_about(message: Json, chart: Chart) -> About:
    """What a message is about; its reason codes may hold the advice itself, which is no reason."""
    reasons = [concept for concept in objects(message.get("reasonCode")) if not _advice_kind([concept], chart)]
    return about({**message, "reasonCode": reasons}, chart, conditions=_conditions(message, chart))


def _conditions(message: Json, chart: Chart) -> list[Json]:
    abouts = objects(message.get("about"))
    return [item for item in abouts if "Condition/" in str(item.get("reference", ""))]


def judge_referral(chart: Chart, referrals: tuple[Finding, ...]) -> ElementResult:
    """Whether a therapy referral is on file."""
    if not chart.rule.pt.referral_required:
        return ElementResult(element="PT_REFERRAL", status="not_required", line="No therapy referral is asked.")
    certain = [item for item in referrals if item.is_certain]
    if certain:
        first = min(certain, key=lambda item: item.day)
        return ElementResult(
            element="PT_REFERRAL",
            status="met",
            value=first.day.isoformat(),
            reason="documented",
            line=f"A therapy referral of {first.day.isoformat()} is on file.",
            evidence=(first.reference,),
        )
    if referrals:
        line = "A therapy referral is on file, but it does not say what for."
        seen = tuple(item.reference for item in referrals)
        return ElementResult(
            element="PT_REFERRAL", status="indeterminate", reason="no_reason", line=line, evidence=seen
        )
    return ElementResult(
        element="PT_REFERRAL", status="unmet", reason="not_documented", line="No therapy referral is on file."
    )


def judge_sessions(
    chart: Chart, sessions: tuple[Finding, ...], advice: tuple[Finding, ...], need: int
) -> ElementResult:
    """Whether enough therapy days were attended; `need` is that of the plan."""
    certain = sorted({item.day for item in sessions if item.is_certain})
    possible = {item.day for item in sessions}
    evidence = tuple(dict.fromkeys(item.reference for item in sessions if item.is_certain))
    have = len(certain)
    home = [item for item in advice if item.kind == chart.concepts.advice.home_exercise and item.is_certain]
    if have >= need:
        were = "was" if have == 1 else "were"
        line = f"{counted(have, 'therapy session')} {were} attended; {need} {is_or_are(need)} asked."
        return _sessions("met", have, need, "documented", line, evidence)
    if chart.rule.pt.hep_substitutes and home:
        line = "A documented home exercise program stands in for therapy sessions."
        seen = tuple(item.reference for item in home)
        return _sessions("met", have, need, "home_exercise", line, (*evidence, *seen))
    if len(possible) >= need:
        line = (
            f"{counted(have, 'therapy session')} {'counts' if have == 1 else 'count'} for certain; "
            f"more are on file that do not say what for; {need} {is_or_are(need)} asked."
        )
        seen = tuple(dict.fromkeys(item.reference for item in sessions))
        return _sessions("indeterminate", have, need, "no_reason", line, seen)
    if not have:
        line = f"No therapy session is on file; {need} {is_or_are(need)} asked."
        return _sessions("unmet", 0, need, "not_documented", line, ())
    line = f"{have} of {need} therapy sessions are on file."
    return _sessions("unmet", have, need, "too_few", line, evidence)


def _sessions(status: Status, have: int, need: int, reason: str, line: str, evidence: tuple[str, ...]) -> ElementResult:
    return ElementResult(
        element="PT_SESSIONS",
        status=status,
        value=have,
        threshold=need,
        reason=reason,
        line=line,
        evidence=evidence,
    )


def judge_advice(chart: Chart, advice: tuple[Finding, ...]) -> ElementResult:
    """Whether activity advice is documented; advice without a reason counts."""
    if not chart.rule.activity.required:
        return ElementResult(element="ACTIVITY", status="not_required", line="No activity advice is asked.")
    counted = [item for item in advice if item.subject in (About.REGION, About.NOTHING)]
    if counted:
        first = min(counted, key=lambda item: item.day)
        return ElementResult(
            element="ACTIVITY",
            status="met",
            value=first.day.isoformat(),
            reason="documented",
            line=f"Activity advice of {first.day.isoformat()} is on file.",
            evidence=(first.reference,),
        )
    if advice:
        return ElementResult(
            element="ACTIVITY",
            status="indeterminate",
            reason="unclear_reason",
            line="Activity advice is on file, but what it is for cannot be read.",
            evidence=tuple(item.reference for item in advice),
        )
    return ElementResult(
        element="ACTIVITY", status="unmet", reason="not_documented", line="No dated activity advice is on file."
    )
