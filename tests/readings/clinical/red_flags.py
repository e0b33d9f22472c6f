"""Red-flag exceptions: whether one is documented completely and attested by a clinician.

A code alone never bypasses; a person attests findings that are there. What is begun and not complete is
said so, with what is missing. Source: spec/clinical.md §1.7, §4.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta

from gateway.clinical.concepts import Group, RedFlag, diagnoses, loinc_codes, matches, snomed_codes
from gateway.clinical.elements import RedFlagState
from gateway.fhir import Json
from gateway.fhir.reading import objects, one, text
from gateway.fhir.references import reference_text, same_target
from gateway.reasoning.record import reference_of
from tests.readings.clinical.chart import Chart, is_ignored, refers_to
from tests.readings.clinical.conditions import Indication, is_active
from tests.readings.clinical.dates import read_at
from tests.readings.clinical.exam import (
    FINAL,
    Finding,
    coded_answer,
    component_number,
    in_window,
    latest,
    latest_by_side,
    latest_signs,
    read_findings,
    read_signs,
    sides,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RedFlags:
    """State of the exception and what it rests on."""

    state: RedFlagState
    """none, incomplete or complete_attested."""
    reason: str = ""
    """Category of a complete one, or what raised the question."""
    lines: tuple[str, ...] = ()
    """One sentence each for staff."""
    evidence: tuple[str, ...] = ()
    """`Type/id` of what it rests on."""
    notes: tuple[str, ...] = ()
    """Advisories."""


def read_red_flags(chart: Chart, indication: Indication) -> RedFlags:
    """State of the exception on the order date.

    Steps: (1) a complete attested category bypasses; (2) anything that raises the question and is not
    complete is incomplete; (3) otherwise none, with an advisory when screens are missing.
    """
    asked = latest(read_findings(chart, chart.concepts.red_flags.screens))
    screens = {name: found for name, found in asked.items() if found.is_present or found.is_absent}
    notes = tuple(_notes(chart, screens))
    lacking: list[str] = []
    impressions = [item for item in chart.record.of_type("ClinicalImpression") if _is_attestation(item, chart)]
    for impression in impressions:
        for flag in _accepted(impression, chart):
            missing, evidence = _missing(flag, impression, chart)
            if not missing:  # (1)
                line = f"Exception documented and attested: {flag.label}."
                seen = (reference_of(impression), *evidence)
                return RedFlags(
                    state="complete_attested",
                    reason=flag.code,
                    lines=(line,),
                    evidence=tuple(dict.fromkeys(seen)),
                    notes=notes,
                )
            lacking += [f"{flag.label.capitalize()}: {what} is missing." for what in missing]
    raised = [*_raised(chart, indication, screens), *_begun(impressions, chart)]  # (2)
    if raised:
        return RedFlags(
            state="incomplete",
            reason=raised[0][0],
            lines=tuple(dict.fromkeys([line for _, line, _ in raised] + lacking)),
            evidence=tuple(dict.fromkeys(reference for _, _, reference in raised if reference)),
            notes=notes,
        )
    return RedFlags(state="none", notes=notes)  # (3)


_Raised = tuple[str, str, str]
"""What raised the question, a sentence, and the resource it rests on (may be empty)."""


def _raised(chart: Chart, indication: Indication, screens: dict[str, Finding]) -> Iterator[_Raised]:
    triggers = chart.region.red_flag_triggers
    negative = all(name in screens and not screens[name].is_present for name in chart.concepts.red_flags.screens)
    patterns = triggers.always if negative else (*triggers.always, *triggers.unless_screened)
    for reason in indication.reasons:
        if matches(reason.code, patterns) and not matches(reason.code, triggers.never):
            yield "trigger_code", "A reason of the order raises a red-flag question.", reason.reference
    for screen in screens.values():
        if screen.is_present:
            yield "screen", "A red-flag screen was answered with yes.", screen.reference
    for sign in latest_by_side(read_findings(chart, chart.concepts.red_flags.signs)):
        if sign.is_present:
            yield "sign", "A sign of the long tracts is present.", sign.reference
    yield from _weakness(chart)


def _weakness(chart: Chart) -> Iterator[_Raised]:
    """The latest strength is severe, or below an earlier exam, same muscle and side."""
    motor = [sign for sign in read_signs(chart) if sign.kind == "motor"]
    for (code, side), last in latest_signs(motor).items():
        earlier = [sign.grade for sign in motor if (sign.code, sign.side) == (code, side) and sign.day < last.day]
        if last.grade <= chart.concepts.exam.strength_severe or last.grade < max(earlier, default=last.grade):
            yield "weakness", "Strength is severely reduced or lower than in an earlier exam.", last.reference


def _begun(impressions: Iterable[Json], chart: Chart) -> Iterator[_Raised]:
    for impression in impressions:
        if in_window(_day(impression, chart), chart):
            line = "A red-flag exception is begun and not complete."
            yield "attestation_incomplete", line, reference_of(impression)


def _is_attestation(impression: Json, chart: Chart) -> bool:
    coded = chart.concepts.red_flags.attestation in chart.concepts.local(impression.get("code"))
    named = any(True for _ in _categories(impression, chart))
    day = _day(impression, chart)
    return (coded or named) and impression.get("status") != "entered-in-error" and in_window(day, chart)


def _day(impression: Json, chart: Chart) -> date | None:
    period = one(impression.get("effectivePeriod"))
    return chart.day(impression.get("effectiveDateTime") or period.get("start") or impression.get("date"))


def _categories(impression: Json, chart: Chart) -> Iterator[RedFlag]:
    local = frozenset().union(
        *(chart.concepts.local(item.get("itemCodeableConcept")) for item in objects(impression.get("finding")))
    )
    return (flag for flag in chart.concepts.red_flag if flag.screen in local)


def _accepted(impression: Json, chart: Chart) -> Iterator[RedFlag]:
    accepted = {*chart.rule.red_flags.accept, *chart.rule.red_flags.extra}
    return (flag for flag in _categories(impression, chart) if flag.code in accepted)


def _missing(flag: RedFlag, impression: Json, chart: Chart) -> tuple[list[str], list[str]]:
    """What a category lacks, and the resources that satisfy the rest."""
    missing: list[str] = []
    evidence: list[str] = []
    if impression.get("status") != "completed" or not _is_recent(_day(impression, chart), flag.max_age_days, chart):
        missing.append("a completed and recent assessment")
    attestation = _attestation(impression, chart)
    if attestation is None:
        missing.append("the attestation of a clinician on the order or its encounter")
    else:
        evidence.append(attestation)
    for group in flag.needs:
        found = _satisfied(group, flag, chart)
        evidence += found
        missing += [] if found else [group.label]
    return missing, evidence


def _is_recent(day: date | None, days: int, chart: Chart) -> bool:
    return day is not None and chart.order_on - timedelta(days=days) <= day <= chart.order_on


def _attestation(impression: Json, chart: Chart) -> str | None:
    """The Provenance in which the assessor attests, when the assessor is on the order or its encounter."""
    assessor = reference_text(impression.get("assessor"))
    if not assessor or not any(_same_person(assessor, other, chart) for other in _clinicians(chart)):
        return None
    for provenance in chart.record.of_type("Provenance"):
        if any(refers_to(target, impression) for target in objects(provenance.get("target"))):
            for agent in objects(provenance.get("agent")):
                who = reference_text(agent.get("who"))
                if _is_attester(agent, chart) and _same_person(who, assessor, chart):
                    return reference_of(provenance)
    return None


def _is_attester(agent: Json, chart: Chart) -> bool:
    kinds = [one(agent.get("type")), *objects(agent.get("role"))]
    codes = {text(coding.get("code")) for kind in kinds for coding in objects(kind.get("coding"))}
    return chart.concepts.red_flags.attester_role in codes


def _clinicians(chart: Chart) -> Iterator[str]:
    yield reference_text(chart.order.get("requester"))
    for participant in objects((chart.encounter or {}).get("participant")):
        yield reference_text(participant.get("individual"))


def _same_person(left: str, right: str, chart: Chart) -> bool:
    """Whether two references name one clinician, also through a PractitionerRole."""
    return any(same_target(one_name, other) for one_name in _names(left, chart) for other in _names(right, chart))


def _names(reference: str, chart: Chart) -> list[str]:
    if not reference:
        return []
    role = chart.record.find(reference)
    practitioner = reference_text(role.get("practitioner")) if role else ""
    return [reference, *([practitioner] if practitioner else [])]


def _satisfied(group: Group, flag: RedFlag, chart: Chart) -> list[str]:
    """Resources that satisfy one group; empty when it is not satisfied."""
    days = group.max_age_days or flag.max_age_days
    found = [item for item in _observations(group, chart) if _is_recent(item.day, days, chart)]
    newest = {(item.code, tuple(sorted(item.side))): item for item in found}
    good = [item for item in newest.values() if item.is_answered and (item.is_present or not group.present)]
    if any(not _is_complete(item, group, chart) for item in good):
        return []
    if good:
        return [item.reference for item in good]
    return [*_problems(group, chart), *(_pending(group, days, chart) if group.pending else [])][:1]


def _is_complete(item: Finding, group: Group, chart: Chart) -> bool:
    """A finding that is present names its side and its count, where these are asked."""
    needs_side = group.sided and item.code not in group.unsided
    if needs_side and not sides(item.resource, chart):
        return False
    counted = group.counted.get(item.code)
    return counted is None or component_number(item.resource, counted, chart) is not None


def _observations(group: Group, chart: Chart) -> list[Finding]:
    """Observations of a group by local, LOINC or SNOMED CT code, oldest first."""
    local = {
        code for code in _local_codes(chart) if code in group.any or (group.prefix and code.startswith(group.prefix))
    }
    found = list(read_findings(chart, local))
    for observation in chart.record.of_type("Observation"):
        code = observation.get("code")
        named = loinc_codes(code) & set(group.loinc) or snomed_codes(code) & set(group.snomed)
        day = chart.day(observation.get("effectiveDateTime"))
        if (
            named
            and day is not None
            and text(observation.get("status")) in FINAL
            and not chart.concepts.local(code) & local
        ):
            found.append(_foreign(observation, min(named), day, chart))
    return sorted(found, key=lambda finding: finding.at)


def _foreign(observation: Json, code: str, day: date, chart: Chart) -> Finding:
    exam = chart.concepts.exam
    value = snomed_codes(observation.get("valueCodeableConcept"))
    said = coded_answer(observation, chart)
    negative = said == "no" or (said == "" and bool(value & {exam.absent, exam.normal}))
    answered = said != "unknown" and any(key.startswith("value") for key in observation)
    return Finding(
        code=code,
        is_present=answered and not negative,
        is_absent=negative,
        is_answered=answered,
        side=sides(observation, chart),
        day=day,
        at=read_at(observation.get("effectiveDateTime"), chart.zone),
        resource=observation,
    )


def _local_codes(chart: Chart) -> frozenset[str]:
    codes = (chart.concepts.local(item.get("code")) for item in chart.record.of_type("Observation"))
    return frozenset().union(*codes)


def _problems(group: Group, chart: Chart) -> list[str]:
    conditions = [item for item in chart.record.of_type("Condition") if is_active(item, chart)]
    return [
        reference_of(item)
        for item in conditions
        if any(matches(code, group.problems) for code in diagnoses(item.get("code")))
    ]


def _pending(group: Group, days: int, chart: Chart) -> list[str]:
    wanted = set(group.loinc)
    requests = [item for item in chart.record.of_type("ServiceRequest") if item.get("doNotPerform") is not True]
    dated = [(item, chart.day(item.get("authoredOn"))) for item in requests]
    recent = [item for item, day in dated if day is None or _is_recent(day, days, chart)]
    active = [item for item in recent if item.get("status") in ("active", "draft")]
    return [
        reference_of(item)
        for item in active
        if loinc_codes(item.get("code")) & wanted or chart.concepts.local(item.get("code")) & set(group.any)
    ]


def _notes(chart: Chart, screens: dict[str, Finding]) -> Iterator[str]:
    if any(name not in screens for name in chart.concepts.red_flags.screens):
        yield "SCREEN_MISSING: not all red-flag screening questions have an answer"
    triggers = chart.region.red_flag_triggers
    for condition in chart.record.of_type("Condition"):
        raised = any(
            matches(code, (*triggers.always, *triggers.unless_screened)) for code in diagnoses(condition.get("code"))
        )
        if raised and not is_ignored(condition) and _is_negated(condition, chart):
            yield "TEXT_CONFLICT: a problem's text says it was ruled out, its status does not; a person decides"


def _is_negated(condition: Json, chart: Chart) -> bool:
    notes = [text(note.get("text")) for note in objects(condition.get("note"))]
    said = " ".join([*notes, text(one(condition.get("code")).get("text"))]).lower()
    return any(words in said for words in chart.concepts.red_flags.negations)
