"""What a rule says about an order: the seam between Python and the rule's own logic.

Python chooses the row, passes its parameters and the frozen record, and reads the result. The result
is advisory; it never blocks an order. Source: spec/clinical.md §1.7.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta

from gateway.clinical.concepts import Concepts, Region, read_order_code, service_codes
from gateway.clinical.dates import add_units, read_period_start
from gateway.clinical.elements import ElementResult, Evaluation, RedFlagState, Status, Verdict
from gateway.clinical.rule_row import Rule
from gateway.fhir import Json
from gateway.fhir.reading import objects, one, text
from gateway.policy.routing import choose_coverage, is_in_force
from gateway.reasoning.record import RecordSnapshot
from tests.readings.clinical.chart import About, Chart, open_chart, order_day
from tests.readings.clinical.conditions import Episode, Indication, read_episode, read_indication
from tests.readings.clinical.duration import (
    Care,
    episode_cut,
    judge_duration,
    judge_reevaluation,
    read_care,
    treatment_anchor,
)
from tests.readings.clinical.order_checks import exclusions, judge_laterality, judge_prior_imaging
from tests.readings.clinical.outcome import judge_outcome
from tests.readings.clinical.pharm import judge_pharm
from tests.readings.clinical.red_flags import RedFlags, read_red_flags
from tests.readings.clinical.support import judge_support
from tests.readings.clinical.therapy import judge_advice, judge_referral, judge_sessions, read_referrals

__all__ = ["ElementResult", "Evaluation", "RedFlagState", "Status", "Verdict", "evaluate"]


def evaluate(
    record: RecordSnapshot,
    order: Json,
    rule: Rule,
    concepts: Concepts,
    practice_zone: str,
    now: datetime,
    *,
    audit: bool = False,
) -> Evaluation:
    """The verdict of one rule row on one order.

    `record` holds the patient's resources, the order's own encounter included; `practice_zone` is an
    IANA name; `now` matters only for orders without a date. `audit` also looks at orders that are
    completed or revoked. Steps: (1) is it in scope; (2) the red-flag state decides first; (3) every
    element; (4) unmet before undecided. Nothing is raised for content of the record; `InputError`
    for a zone that does not exist.
    """
    order_on, notes = order_day(order, practice_zone, now)
    code = read_order_code(order, concepts)
    region = concepts.region_of(code or "")
    if region is None or code not in rule.procedure.cpt:
        return _not_applicable(rule, "procedure", order_on, practice_zone, (*notes, *_uncoded(order, concepts)))
    chart = open_chart(record, order, rule, concepts, region, practice_zone, order_on)
    indication = read_indication(chart)
    scope = _out_of_scope(chart, indication, audit)  # (1)
    if scope:
        return _not_applicable(rule, scope, order_on, practice_zone, notes)
    flags = read_red_flags(chart, indication)  # (2)
    notes = (*notes, *indication.notes, *flags.notes, *_advisories(chart, code))
    if not indication.primary:
        return _finish(chart, indication, flags, (_no_indication(),), notes)
    elements, extra = _elements(chart, indication)  # (3)
    return _finish(chart, indication, flags, elements, (*notes, *extra))  # (4)


def _elements(chart: Chart, indication: Indication) -> tuple[tuple[ElementResult, ...], tuple[str, ...]]:
    """All elements in the order of the rule, and what was odd on the way."""
    ordered = (judge_laterality(chart, indication), judge_prior_imaging(chart))
    episode = read_episode(chart)
    chart = _within(chart, episode)
    care = read_care(chart)
    cut = episode_cut(chart, care)
    if cut is not None:
        chart = chart.since(cut + timedelta(days=1))
        care = read_care(chart)
    anchor = treatment_anchor(chart, care)
    need = chart.rule.required_days(indication.code)
    results = {
        "DURATION": judge_duration(chart, episode, anchor, need),
        "PHARM": judge_pharm(chart, care.pharm),
        "PT_REFERRAL": judge_referral(chart, read_referrals(chart)),
        "PT_SESSIONS": judge_sessions(chart, care.sessions, care.advice, chart.rule.required_sessions(_plans(chart))),
        "OUTCOME": judge_outcome(chart),
        "ACTIVITY": judge_advice(chart, care.advice),
    }
    listed = [results[name] if name in chart.rule.required_elements else _not_required(name) for name in results]
    further = (judge_reevaluation(chart, anchor, need), judge_support(chart, indication), *ordered)
    listed += [found for found in further if found]
    return tuple(listed), (*exclusions(chart, indication), *episode.notes, *_without_reason(care))


def _without_reason(care: Care) -> Iterator[str]:
    """Drugs and advice count without saying what they are for; a person should know."""
    drugs = any(course.subject is About.NOTHING for course, _ in care.pharm.counted)
    if drugs or any(item.subject is About.NOTHING for item in care.advice):
        yield "NO_REASON: a drug or an advice that counts does not say what it is for"


def _within(chart: Chart, episode: Episode) -> Chart:
    """The chart narrowed to the episode: nothing dated before its earliest onset or up to the end of an earlier one."""
    starts = [episode.onset.earliest] if episode.onset else []
    starts += [episode.not_before + timedelta(days=1)] if episode.not_before else []
    return chart.about_episode(max(starts, default=None))


def _out_of_scope(chart: Chart, indication: Indication, audit: bool) -> str:
    """Why the rule does not apply; empty when it does."""
    order, scope = chart.order, chart.concepts.order
    statuses = {*scope.statuses, *(scope.audit_statuses if audit else ())}
    if order.get("resourceType") != "ServiceRequest" or text(order.get("status")) not in statuses:
        return "order_status"
    if order.get("intent") not in scope.intents or order.get("doNotPerform") is True:
        return "order_intent"
    if _is_child(chart):
        return "pediatric"
    encounter = chart.encounter
    if encounter and text(one(encounter.get("class")).get("code")) in scope.acute_encounter_classes:
        return "setting"
    known = indication.primary in chart.rule.indications or indication.is_trigger
    return "" if known or not indication.primary else "indication"


def _is_child(chart: Chart) -> bool:
    """Certainly below the adult age on the order date."""
    birth = chart.birth()
    return birth is not None and add_units(birth.earliest, chart.concepts.order.adult_age, "a") > chart.order_on


def _plans(chart: Chart) -> frozenset[str]:
    """Plan ids of the coverage that pays first; of all in force where that cannot be told."""
    coverages = chart.record.of_type("Coverage")
    first, _ = choose_coverage(coverages, chart.order_on)
    own = [first] if first else [item for item in coverages if is_in_force(item, chart.order_on)]
    classes = [part for coverage in own for part in objects(coverage.get("class"))]
    return frozenset(text(part.get("value")) for part in classes if _is_plan(part))


def _is_plan(part: Json) -> bool:
    return any(coding.get("code") == "plan" for coding in objects(one(part.get("type")).get("coding")))


def _not_required(element: str) -> ElementResult:
    return ElementResult(element=element, status="not_required", line="Not asked by this rule.")


def _no_indication() -> ElementResult:
    line = "The order names no diagnosis, and its encounter neither; add the diagnosis to the order."
    return ElementResult(element="INDICATION", status="indeterminate", reason="not_documented", line=line)


def _exception(flags: RedFlags) -> ElementResult:
    return ElementResult(
        element="RED_FLAG",
        status="met",
        value=flags.reason,
        reason="documented",
        line=flags.lines[0],
        evidence=flags.evidence,
    )


def _waived(element: ElementResult) -> ElementResult:
    return ElementResult(
        element=element.element,
        status="waived",
        value=element.value,
        threshold=element.threshold,
        reason="red_flag",
        line="Waived: a red-flag exception is documented and attested.",
    )


def _decide(flags: RedFlags, elements: tuple[ElementResult, ...]) -> tuple[Verdict, str]:
    if flags.state == "complete_attested":
        return "RED_FLAG_BYPASS", flags.reason
    if flags.state == "incomplete":
        return "RED_FLAG_INCOMPLETE", flags.reason
    worst: tuple[tuple[Status, Verdict], ...] = (("unmet", "GAP"), ("indeterminate", "INDETERMINATE"))
    for status, verdict in worst:
        first = next((element.element for element in elements if element.status == status), "")
        if first:
            return verdict, first
    return "PASS", ""


def _finish(
    chart: Chart, indication: Indication, flags: RedFlags, elements: tuple[ElementResult, ...], notes: tuple[str, ...]
) -> Evaluation:
    verdict, reason = _decide(flags, elements)
    if verdict == "RED_FLAG_BYPASS":
        elements = (_exception(flags), *(_waived(element) for element in elements))
    duration = next((element for element in elements if element.element == "DURATION"), None)
    return Evaluation(
        verdict=verdict,
        reason=reason,
        elements=elements,
        red_flag=flags.state,
        resume_on=_resume_on(verdict, elements),
        rule_id=chart.rule.rule_id,
        rule_version=chart.rule.version,
        rule_status=chart.rule.status,
        advisories=tuple(dict.fromkeys(notes)),
        red_flag_lines=flags.lines,
        red_flag_evidence=flags.evidence,
        indication=indication.code,
        order_on=chart.order_on,
        required_days=chart.rule.required_days(indication.code) if indication.code else 0,
        elapsed_days=duration.value if duration and isinstance(duration.value, int) else None,
        onset_days=_onset_days(chart),
        practice_zone=chart.zone,
    )


def _onset_days(chart: Chart) -> int | None:
    """Days from the latest possible onset to the order."""
    onset = read_episode(chart).onset
    return (chart.order_on - onset.latest).days if onset is not None else None


def _resume_on(verdict: Verdict, elements: tuple[ElementResult, ...]) -> date | None:
    """The latest of the days on which time alone may meet an element that is not met."""
    if verdict not in ("GAP", "INDETERMINATE"):
        return None
    days = [element.resume_on for element in elements if element.status in ("unmet", "indeterminate")]
    return max((day for day in days if day is not None), default=None)


def _not_applicable(rule: Rule, reason: str, order_on: date, zone: str, notes: tuple[str, ...]) -> Evaluation:
    return Evaluation(
        verdict="NOT_APPLICABLE",
        reason=reason,
        elements=(),
        red_flag="none",
        resume_on=None,
        rule_id=rule.rule_id,
        rule_version=rule.version,
        rule_status=rule.status,
        advisories=notes,
        order_on=order_on,
        practice_zone=zone,
    )


def _uncoded(order: Json, concepts: Concepts) -> Iterator[str]:
    """A remark for an order whose text looks like one of the services although its code does not."""
    words = text(one(order.get("code")).get("text")).lower()
    if any(region.uncoded_words and all(word in words for word in region.uncoded_words) for region in concepts.region):
        yield "ORDER_UNCODED: the order looks like imaging of the region but carries no code that is known here"


def _advisories(chart: Chart, code: str) -> Iterator[str]:
    if code in chart.region.contrast_procedures and not read_indication(chart).is_trigger:
        yield "CONTRAST_UNJUSTIFIED: contrast is ordered and no reason for it is coded"
    oldest = chart.order_on - timedelta(days=chart.concepts.order.repeat_imaging_days)
    if any(_is_earlier_imaging(item, chart.region, chart, oldest) for item in chart.record.all()):
        yield "REPEAT_IMAGING: the same region was imaged within the last year"


def _is_earlier_imaging(resource: Json, region: Region, chart: Chart, oldest: date) -> bool:
    if resource is chart.order or resource.get("resourceType") not in ("DiagnosticReport", "Procedure"):
        return False
    done = resource.get("status") in ("final", "amended", "corrected", "completed")
    prefix = "performed" if resource.get("resourceType") == "Procedure" else "effective"
    day = read_period_start(resource, prefix, chart.zone)
    if not done or not service_codes(resource.get("code")) & set(region.procedures):
        return False
    return day is not None and oldest < day <= chart.order_on
