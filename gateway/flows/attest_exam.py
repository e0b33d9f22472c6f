"""A neurologic examination, and the diagnosis that it may support.

Findings are written to the EHR as the examiner's own. The order's diagnosis changes only where the findings
reach the rule's threshold, no documented cause is coded in its place, and a clinician asserts it with a fresh
proof of who they are; what the code is stands in the data. Source: spec/clinical.md §4.3 (5), §5.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Final

from gateway.clinical.chart import order_day
from gateway.clinical.elements import ElementResult, Evaluation
from gateway.clinical.instruments import Exam, Instrument
from gateway.clinical.instruments_extract import Context, answered_on, extract_observations, observation_key
from gateway.errors import Conflict, InputError, NotFound
from gateway.fhir import Json
from gateway.fhir.json import dump_json, parse_json
from gateway.fhir.reading import calendar_day, one
from gateway.flows import actions, desk, instruments, ledger
from gateway.flows.actors import Actor
from gateway.flows.attest_diagnosis import order_codes, redirects, region_of, trial, write
from gateway.flows.attest_records import proof_of, require_practitioner, signing_of
from gateway.flows.instruments import Bench
from gateway.flows.instruments_write import EhrShelf
from gateway.flows.ledger import Act, Item
from gateway.flows.services import Services
from gateway.policy.access import require_access
from gateway.store.rows import CaseRow, EventRow

RECORDED: Final = "template-recorded"
"""Kind of the event of an examination that the EHR holds."""
NOT_ASKED: Final = "The rule of this case asks for no findings; change the diagnosis in the EHR."
"""Sentence where a rule row has no threshold for the diagnosis."""
ASSERTED: Final = "diagnosis-asserted"
"""Kind of the event in which a clinician makes the diagnosis."""
CHANGED: Final = "diagnosis-written"
"""Kind of the event after which the EHR holds it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Support:
    """How far the findings of a chart support the diagnosis."""

    sheet: desk.CaseSheet
    """The case."""
    instrument: Instrument
    """The examination."""
    template: Exam
    """What it is for."""
    code: str
    """Diagnosis in question."""
    level: str
    """strong, moderate, weak, discordant or none; empty where the rule asks for no findings."""
    threshold: str
    """Level that the rule asks for."""
    line: str
    """The rule's sentence: the level and the roots in which symptom and signs agree."""
    evidence: tuple[str, ...]
    """Findings it rests on."""
    red_flag: tuple[str, ...]
    """What raises a red-flag question first; empty when nothing does."""
    redirect: tuple[str, ...]
    """Documented causes that are coded in its place; empty when there is none."""
    is_there: bool
    """The order has this diagnosis already."""
    is_enabled: bool
    """Whether a clinician may assert it."""
    needs_renewal: bool
    """Findings are later than the order, which must be renewed for them to count."""
    order_on: date
    """Day of the order."""
    may_assert: bool
    """Whether this person may, once they have proved who they are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Assertion:
    """What a clinician says on the page."""

    onset_on: str
    """Day since when, YYYY-MM-DD."""
    refines: bool = False
    """The symptom's problem ends with the order's day and continues as this diagnosis."""
    renews_order: bool = False
    """The order is renewed as of today."""


def record(services: Services, actor: Actor, case_id: str, slug: str, seen: str) -> CaseRow:
    """Write the examination to the EHR as the examiner's findings, and check the case again.

    Raises AccessError, Conflict (somebody saved meanwhile), InputError 422 (open or unfit answers), the EHR's errors.
    """
    opened = instruments.open_template(services, actor, case_id, slug)
    case, form = opened.sheet.case, opened.instrument.questionnaire
    require_access(actor.caller, "exam.record", instruments.about(case))
    who = require_practitioner(actor)
    if not opened.digest and not seen:
        raise InputError("Nothing is answered yet; nothing was recorded.", code="template.empty", status=422)
    if seen != opened.digest:
        raise Conflict(instruments.CHANGED, code="template.changed")
    bench = instruments.open_bench(services, opened.sheet)
    _require_complete(services, bench, form, opened.response)
    context = Context(
        subject=one(bench.order.get("subject")),
        performer=({"reference": who},),
        encounter=one(bench.order.get("encounter")) or None,
    )
    shelf = EhrShelf(services=services, case=case, act_id=opened.digest)
    for item in extract_observations(form, opened.response, bench.concepts, context):
        shelf.put(observation_key(item, bench.concepts), item)
    if not shelf.written:
        raise InputError("Nothing was examined; answer at least one line.", code="exam.empty", status=422)
    act = Act(
        verb="write-back",
        about=shelf.items(),
        sources=(instruments.template_item(case, slug, dump_json(opened.response)),),
        actor=actor,
        note={"kind": RECORDED, "form": slug, "count": len(shelf.written), "role": ",".join(actor.roles)},
    )
    ledger.append_done(services, case, act)
    return actions.read_again(services, actor, case_id, "examination recorded")


def _require_complete(services: Services, bench: Bench, form: Json, response: Json) -> None:
    wrong = instruments.open_questions(form, response)
    if wrong:
        raise InputError(f"Still open: {', '.join(wrong)}.", code="exam.incomplete", status=422)
    if answered_on(response, form, bench.concepts) > instruments.today(services, bench).isoformat():
        raise InputError("The examination is dated in the future.", code="exam.date", status=422)


def support(services: Services, actor: Actor, case_id: str) -> Support:
    """How far the chart, as the EHR holds it now, supports the diagnosis. NotFound where the region has none."""
    sheet = desk.open_case(services, actor, case_id)
    bench = instruments.read_bench(services, sheet.case)
    return _support(services, actor, sheet, bench)


def _support(services: Services, actor: Actor, sheet: desk.CaseSheet, bench: Bench) -> Support:
    instrument, region = instruments.exam_template(bench), region_of(services, bench)
    template = instrument.template
    if not isinstance(template, Exam) or not region.diagnosis_code:
        raise NotFound("No diagnosis is supported by an examination here.", code="instrument.exam")
    order_on = order_day(bench.order, bench.zone, services.clock.now())[0]
    plain = trial(services, bench, template, region, renews=False)
    renewed = trial(services, bench, template, region, renews=True)
    needs_renewal = _met(renewed) and not _met(plain)
    found = renewed if needs_renewal else plain
    element = _element(found)
    redirect = tuple(redirects(template, bench))
    flags = found.red_flag_lines if found.red_flag == "incomplete" else ()
    is_there = region.diagnosis_code in order_codes(bench)
    stepped_up = replace(actor.caller, stepped_up=True)
    return Support(
        sheet=sheet,
        instrument=instrument,
        template=template,
        code=region.diagnosis_code,
        level=str(element.value) if element else "",
        threshold=str(element.threshold) if element else "",
        line=element.line
        if element
        else "The rule of this case asks for no findings; change the diagnosis in the EHR.",
        evidence=element.evidence if element else (),
        red_flag=flags,
        redirect=redirect,
        is_there=is_there,
        is_enabled=_met(found) and not redirect and not flags and not is_there,
        needs_renewal=needs_renewal,
        order_on=order_on,
        may_assert=instruments.may(stepped_up, "diagnosis.assert", sheet.case),
    )


def assert_diagnosis(services: Services, actor: Actor, case_id: str, said: Assertion, *, stepped_up: bool) -> CaseRow:
    """Change the order's diagnosis in the EHR, because a clinician makes it and the findings support it.

    Raises AccessError (role, step-up, no Practitioner), Conflict where the findings do not reach the threshold or
    another cause is documented, InputError 422 for the onset; the EHR's errors: what was asserted is kept then, and
    `finish` writes it.
    """
    ledger.retry_on_conflict(lambda: _assert(services, actor, case_id, said, stepped_up))
    return finish(services, actor, case_id)


def _assert(services: Services, actor: Actor, case_id: str, said: Assertion, stepped_up: bool) -> CaseRow:
    """Judge and record an assertion; nothing is written to the EHR yet."""
    sheet = desk.open_case(services, actor, case_id)
    require_access(replace(actor.caller, stepped_up=stepped_up), "diagnosis.assert", instruments.about(sheet.case))
    who = require_practitioner(actor)
    bench = instruments.read_bench(services, sheet.case)
    found = _support(services, actor, sheet, bench)
    _require_supported(found, said, instruments.today(services, bench) if said.renews_order else found.order_on)
    signing = signing_of(services, who, bench.zone)
    statement = f"{found.template.statement}\n{found.code} {found.template.diagnosis_label}, since {said.onset_on}.\n"
    proof = proof_of(
        actor,
        signing,
        statement,
        code=found.code,
        onset_on=said.onset_on,
        refines=said.refines,
        renews_order=said.renews_order,
        support=found.level,
        evidence=list(found.evidence),
    )
    act = Act(
        verb="manual-answer",
        about=(Item.body(proof, "application/json"),),
        sources=(Item.body(statement.encode(), "text/plain"),),
        actor=actor,
        note={
            "kind": ASSERTED,
            "form": found.instrument.slug,
            "code": found.code,
            "decision": found.level,
            "role": ",".join(actor.roles),
        },
    )
    return ledger.append(services, sheet.case, act)


def _require_supported(found: Support, said: Assertion, latest: date) -> None:
    """`latest` is the day of the order as it will stand."""
    if found.redirect:
        raise Conflict(" ".join(found.redirect), code="diagnosis.excluded")
    if not found.is_enabled:
        raise Conflict(f"The diagnosis is not supported yet. {found.line}", code="diagnosis.unsupported")
    onset = calendar_day(said.onset_on)
    if onset is None or onset > latest:
        raise InputError("Say since when, as YYYY-MM-DD and not after the order.", code="diagnosis.onset", status=422)
    if found.needs_renewal and not said.renews_order:
        raise InputError(
            "The findings are later than the order; renew the order as of today.", code="diagnosis.renewal", status=422
        )


def unwritten(events: Sequence[EventRow]) -> str:
    """Digest of an assertion that the EHR does not hold yet; empty when there is none."""
    for event in reversed(events):
        if event.note.get("kind") in (ASSERTED, CHANGED):
            return event.object_digest if event.note["kind"] == ASSERTED else ""
    return ""


def finish(services: Services, actor: Actor, case_id: str) -> CaseRow:
    """Write to the EHR what was asserted, and check the case again.

    Raises AccessError, Conflict where nothing waits, the EHR's errors.
    """
    require_access(actor.caller, "template.answer")
    sheet = desk.open_case(services, actor, case_id)
    digest = unwritten(sheet.events)
    if not digest:
        raise Conflict("There is no asserted diagnosis that waits to be written.", code="template.state")
    case = sheet.case
    kept = parse_json(ledger.load_object(services, case, digest))
    bench = instruments.read_bench(services, case)
    shelf = EhrShelf(services=services, case=case, act_id=digest)
    write(services, case, bench, kept, shelf)
    act = Act(verb="write-back", about=shelf.items(), note={"kind": CHANGED, "code": kept["code"]})
    ledger.append_done(services, case, act)
    return actions.read_again(services, actor, case_id, "diagnosis of the order changed")


def _element(found: Evaluation) -> ElementResult | None:
    return next((element for element in found.elements if element.element == "CODE_SUPPORT"), None)


def _met(found: Evaluation) -> bool:
    element = _element(found)
    return element is not None and element.status == "met"
