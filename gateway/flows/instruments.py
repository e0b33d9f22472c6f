"""Our own templates on a case: opened, answered, saved at any time, and looked at again.

A draft is an event of the case, so that it survives everything and says who answered. What is recorded in the
EHR, and when, is decided by the flows that attest, examine and measure. Source: spec/clinical.md §3–§5.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final
from zoneinfo import ZoneInfo

from gateway.cases.facts import read_facts
from gateway.cases.states import CaseState
from gateway.clients.ehr import Fetched
from gateway.clinical.concepts import Concepts
from gateway.clinical.evaluate import Evaluation, evaluate
from gateway.clinical.focus import chosen_concepts
from gateway.clinical.instruments import Exam, Instrument, RedFlagTemplate, exam_of, red_flags_of, require_instrument
from gateway.clinical.rules import Rule
from gateway.clinical.wording import countable
from gateway.errors import Conflict, InputError, NotFound
from gateway.fhir import Json
from gateway.fhir.json import dump_json, parse_json
from gateway.flows import desk, ledger
from gateway.flows.actors import Actor
from gateway.flows.evaluate import rule_for
from gateway.flows.extract import Kept, Snapshot, load_snapshot
from gateway.flows.form_cases import author_of
from gateway.flows.instruments_wording import counts_here
from gateway.flows.ledger import Act, Item
from gateway.flows.packet import own_key
from gateway.flows.services import Services
from gateway.forms.answers import set_answer
from gateway.forms.session import FormSession, response_as_sent
from gateway.forms.validate import check_sheet
from gateway.forms.view import FormView, form_view
from gateway.policy.access import Caller, CaseFacts, decide_access, require_access
from gateway.profiles.dtr_guide import OriginAuthor
from gateway.profiles.dtr_package import FormPackageParts
from gateway.reasoning.record import RecordSnapshot
from gateway.store.rows import CaseRow, EventRow

DRAFT: Final = "template-draft"
"""Kind of an event that keeps answers which are not recorded yet."""
DONE: Final = frozenset({"template-attested", "template-recorded"})
"""Kinds of events after which a template begins anew."""
CHANGED: Final = "Somebody else saved this template while you were writing; look at the answers as they are now."


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateSheet:
    """One template of a case as it stands."""

    sheet: desk.CaseSheet
    """The case."""
    instrument: Instrument
    """The template."""
    response: Json
    """Answers so far."""
    digest: str
    """Digest of the draft; empty while nothing was saved."""
    view: FormView
    """Questions and answers."""
    can_answer: bool
    """Whether this person may answer it now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What a template of a case is judged with: its chart, its rule row and that row's codes."""

    snapshot: Snapshot
    """The chart as last read."""
    order: Json
    """The order as last read."""
    rule: Rule
    """Row that judged the case."""
    concepts: Concepts
    """Codes of that row."""
    zone: str
    """Zone of the practice."""


def open_bench(services: Services, sheet: desk.CaseSheet) -> Bench:
    """Chart, rule and codes of a case, as last read. Conflict where it is not read yet or no rule applies to it."""
    if not sheet.facts.snapshot:
        raise Conflict("The chart is being read; open the page again in a moment.", code="case.reading")
    return _bench(services, sheet.case, load_snapshot(services, sheet.case, sheet.facts))


def read_bench(services: Services, case: CaseRow) -> Bench:
    """The same from the EHR as it stands this moment.

    Raises EhrError; Conflict where no rule applies, or where the order is a draft that the EHR does not hold yet.
    """
    if read_facts(case.facts).is_unsaved:
        raise Conflict(
            "The order is not in the EHR yet; once it is saved there, its diagnosis can be changed here.",
            code="order.unsaved",
        )
    ehr = services.ehr(case.ehr_id)
    order = ehr.read(*case.order_reference.split("/", 1))
    fetched = [order, *ehr.chart(case.patient_reference.partition("/")[2]).fetched]
    kept = {item.reference: item for item in reversed(fetched) if counts_here(services.settings, item.resource)}
    snapshot = Snapshot(kept=tuple(_kept(services, case, item) for item in kept.values()), findings=())
    return _bench(services, case, snapshot)


def _bench(services: Services, case: CaseRow, snapshot: Snapshot) -> Bench:
    order = snapshot.require(case.order_reference).resource
    rule = rule_for(services, case, snapshot, order)
    if rule is None:
        raise Conflict("No clinical rule is about this order; there is nothing to document for one.", code="case.rule")
    return Bench(
        snapshot=snapshot,
        order=order,
        rule=rule,
        concepts=chosen_concepts(rule, services.concepts),
        zone=services.zone_of(snapshot.record),
    )


def _kept(services: Services, case: CaseRow, item: Fetched) -> Kept:
    address = services.address(case.ehr_id, item.reference)
    digest = hashlib.sha256(item.raw).hexdigest()
    return Kept(reference=item.reference, digest=digest, full_url=address, resource=item.resource, raw=item.raw)


def red_flag_templates(bench: Bench) -> tuple[Instrument, ...]:
    """Templates of the categories that the rule of a case accepts; empty where its catalogue has none."""
    accepted = (*bench.rule.red_flags.accept, *bench.rule.red_flags.extra)
    return red_flags_of(bench.concepts.red_flags.catalog, accepted)


def exam_template(bench: Bench) -> Instrument:
    """The examination of the rule of a case; NotFound where there is none."""
    found = exam_of(bench.concepts.exam.id)
    if found is None:
        raise NotFound("There is no examination template for this part of the body.", code="instrument.exam")
    return found


def judge(services: Services, bench: Bench, order: Json, added: Iterable[Json]) -> Evaluation:
    """What the rule would say of `order` if `added` stood in the chart too."""
    fresh = list(added)
    known = {f"{item.get('resourceType')}/{item.get('id')}" for item in (order, *fresh)}
    kept = [item.resource for item in bench.snapshot.kept if item.reference not in known]
    record = countable(RecordSnapshot([order, *fresh, *kept]), is_production=is_production(services))
    return evaluate(record, order, bench.rule, services.concepts, bench.zone, services.clock.now())


def today(services: Services, bench: Bench) -> date:
    """The calendar day at the practice of a chart."""
    return services.clock.now().astimezone(ZoneInfo(bench.zone)).date()


def is_production(services: Services) -> bool:
    """Whether real patients are treated here."""
    return services.settings.server.mode == "production"


def open_template(services: Services, actor: Actor, case_id: str, slug: str) -> TemplateSheet:
    """A red-flag or examination template of a case. NotFound for one of another part of the body."""
    sheet = desk.open_case(services, actor, case_id)
    instrument = require_instrument(slug)
    if not isinstance(instrument.template, RedFlagTemplate | Exam):
        raise NotFound("There is no such template.", code="instrument.unknown")
    draft = latest_draft(sheet.events, slug)
    response = parse_json(ledger.load_object(services, sheet.case, draft)) if draft else blank(services, instrument)
    return TemplateSheet(
        sheet=sheet,
        instrument=instrument,
        response=response,
        digest=draft,
        view=view_of(instrument.questionnaire, response, services),
        can_answer="template.answer" in sheet.allowed,
    )


def latest_draft(events: Sequence[EventRow], slug: str) -> str:
    """Digest of the answers that are saved and not recorded yet; empty when there are none."""
    for event in reversed(events):
        if event.note.get("form") == slug and event.note.get("kind") in {DRAFT, *DONE}:
            return event.object_digest if event.note["kind"] == DRAFT else ""
    return ""


def blank(services: Services, instrument: Instrument) -> dict[str, Any]:
    """A response without answers."""
    return {
        "resourceType": "QuestionnaireResponse",
        "id": services.new_id(),
        "questionnaire": instrument.canonical,
        "status": "in-progress",
    }


def view_of(questionnaire: Json, response: Json, services: Services) -> FormView:
    """Questions and answers as rows; a page renders them as it renders a payer's form."""
    parts = FormPackageParts(questionnaire=questionnaire)
    return form_view(parts, response, (), FormSession(package=parts, now=services.clock.now()))


def answer(
    services: Services, questionnaire: Json, response: Json, answers: Mapping[str, Sequence[str]], author: OriginAuthor
) -> tuple[dict[str, Any], dict[str, str]]:
    """The response with these answers, and link id → sentence of each that does not fit; the others are kept."""
    parts, working, refused = FormPackageParts(questionnaire=questionnaire), dict(response), {}
    for link_id, values in answers.items():
        try:
            working = set_answer(parts, working, link_id, values, author, services.clock.now())
        except InputError as error:
            refused[link_id] = error.diagnostics()
    return working, refused


def open_questions(questionnaire: Json, response: Json) -> tuple[str, ...]:
    """Words of the required questions that are open, and of answers that do not fit."""
    session = FormSession.of_response(questionnaire)
    sheet = session.sheet(response)
    places = [finding.link_id for finding in check_sheet(session, sheet) if finding.severity == "error"]
    slots = (sheet.find(place) for place in places)
    return tuple(dict.fromkeys(slot.definition.text for slot in slots if slot is not None))


def finished(questionnaire: Json, response: Json, **header: Any) -> dict[str, Any]:
    """The completed response as it is kept: answers only, without ids and marks of the page."""
    session = FormSession.of_response(questionnaire)
    made = response_as_sent(session, session.sheet(response))
    made["item"] = [_plain(item) for item in made.get("item", ())]
    items = made.pop("item")
    return {**made, "status": "completed", **header, "item": items}


def _plain(node: dict[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in node.items() if key not in ("extension", "id")}
    for name in ("item", "answer"):
        if name in kept:
            kept[name] = [_plain(inner) for inner in kept[name]]
    return kept


def save_draft(
    services: Services, actor: Actor, case_id: str, slug: str, answers: Mapping[str, Sequence[str]], seen: str
) -> dict[str, str]:
    """Keep answers; gives link id → sentence of each that does not fit.

    `seen` is the digest of the draft that stood on the page; Conflict where somebody else saved meanwhile.
    """

    def once() -> dict[str, str]:
        opened = open_template(services, actor, case_id, slug)
        require_access(actor.caller, "template.answer", about(opened.sheet.case))
        if seen != opened.digest:
            raise Conflict(CHANGED, code="template.changed")
        form = opened.instrument.questionnaire
        working, refused = answer(services, form, opened.response, answers, author_of(actor))
        if len(refused) < len(answers):
            _keep(services, actor, opened, working, len(answers) - len(refused))
        return refused

    return ledger.retry_on_conflict(once)


def _keep(services: Services, actor: Actor, opened: TemplateSheet, working: Json, count: int) -> CaseRow:
    case, slug = opened.sheet.case, opened.instrument.slug
    act = Act(
        verb="manual-answer",
        about=(template_item(case, slug, dump_json(working)),),
        actor=actor,
        note={"kind": DRAFT, "form": slug, "count": count, "role": ",".join(actor.roles)},
    )
    return ledger.append(services, case, act, facts=opened.sheet.facts)


def template_item(case: CaseRow, slug: str, body: bytes, role: str = "source") -> Item:
    """Answers of a template as something an event is about."""
    return Item.local("QuestionnaireResponse", body, own_key(case.case_id, f"template-{slug}"), role=role)


def about(case: CaseRow) -> CaseFacts:
    """What access needs to know of a case."""
    return CaseFacts(tenant=case.tenant_id, state=CaseState(case.state))


def may_write(actor: Actor) -> bool:
    """Whether somebody may have written to the EHR again what was attested, by whomever."""
    return decide_access(actor.caller, "template.answer").allowed


def may(caller: Caller, action: str, case: CaseRow) -> bool:
    """Whether somebody may do something to a case as it stands."""
    return decide_access(caller, action, about(case)).allowed
