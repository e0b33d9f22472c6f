"""Payer forms: fetched, prefilled from the snapshot, answered and completed by people.

Every version of the answers is kept and is the target of a signed event; a completed form is what goes
into the packet. Only a person completes a form (dtr:spec-145).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import provenance
from gateway.cases.decisions import NEEDS_AUTHORIZATION, NeedAction
from gateway.cases.facts import Facts, FormFact, read_facts
from gateway.cases.states import CaseState
from gateway.clients.payer import Exchange
from gateway.errors import Conflict, InputError, NotFound, PayerRejected, PayerUnreadable
from gateway.fhir import Json
from gateway.fhir.json import dump_json, parse_json
from gateway.fhir.references import reference_text
from gateway.flows import ledger, request
from gateway.flows.actors import Actor
from gateway.flows.extract import Snapshot, load_snapshot, references_in
from gateway.flows.ledger import Act, Item
from gateway.flows.logic import IsolatedDefines
from gateway.flows.packet import own_key
from gateway.flows.services import Services
from gateway.forms.answers import set_answer
from gateway.forms.complete import complete as complete_form
from gateway.forms.launch import LaunchContext
from gateway.forms.populate import Draft, populate
from gateway.forms.session import FormSession
from gateway.forms.view import FormView, form_view
from gateway.policy.access import CaseFacts, require_access
from gateway.profiles.dtr_guide import DtrGuide, OriginAuthor, dtr_guide
from gateway.profiles.dtr_package import FormPackageParts, PackageAnswer, read_package_answer
from gateway.reasoning.record import RecordSnapshot, reference_of
from gateway.store.rows import CaseRow

_S = CaseState


def fetch(services: Services, case: CaseRow, facts: Facts) -> CaseRow:
    """Ask the payer for the forms its coverage answer wants. Raises PayerError.

    No form in the answer does not mean that nothing is needed: a person looks, unless nothing was to be
    documented anyway.
    """
    guide = _guide(services, case)
    snapshot = load_snapshot(services, case, facts)
    parameters = guide.build_package_parameters(
        snapshot.require(case.coverage_reference).resource,
        request.with_coverage_information(services, case, facts, snapshot),
        _referenced(case, snapshot),
        facts.questionnaires,
        facts.assertion_id or None,
    )
    exchange = services.payer(case.payer).questionnaire_package(dump_json(parameters))
    answer = _read(exchange)
    package = Item.body(exchange.response_bytes, exchange.media_type or "application/fhir+json")
    found = _form_facts(answer, package.digest, facts.forms)
    act = Act(
        verb="form-receive",
        about=(package,),
        sources=(Item.body(exchange.request_bytes),),
        payer=services.payer_row(case.payer).name,
        note={"count": len(found), "form": ", ".join(form.canonical for form in found)[:200]},
    )
    changed = replace(facts.succeeded("fetch-forms"), forms_fetched=True, forms=found)
    if found:
        return ledger.append(services, case, act, facts=changed)
    sentence = "The payer wants documentation but sent no form; read its message and ask by phone."
    return ledger.append(services, case, act, facts=changed, to=_S.NEEDS_ATTENTION, next_action=sentence)


def populate_next(services: Services, case: CaseRow, facts: Facts) -> CaseRow:
    """Prefill the first form that has no answers yet, and record what every answer came from.

    What people answered in an earlier round of the case stays.
    """
    form = next(item for item in facts.forms if not item.response)
    snapshot = load_snapshot(services, case, facts)
    parts, launch = load_package(services, case, form), _launch(services, case, snapshot)
    earlier = ledger.load_object(services, case, form.earlier) if form.earlier else None
    draft = populate(
        parts,
        launch,
        snapshot.record,
        {**parse_json(earlier), "status": "in-progress"} if earlier else None,
        services.clock.now(),
        services.new_id,
        _evaluator(services, parts, launch, snapshot.record),
        _guide(services, case),
    )
    body, trace = dump_json(draft.response), provenance.salted_record("population", trace_of(draft))
    package = ledger.load_object(services, case, form.package)
    revised = (_response_item(case, form, earlier, role="revision"),) if earlier else ()
    act = Act(
        verb="populate-auto-client",
        about=(_response_item(case, form, body, elements=answer_ids(draft.response)),),
        sources=(*revised, *_sources(draft, snapshot), Item.body(package), Item.body(trace, "application/json")),
        note={"form": form.title[:200], "count": sum(bool(answer.value) for answer in draft.answers)},
    )
    changed = facts.succeeded("populate").with_form(
        replace(
            form,
            response=_sha(body),
            trace=_sha(trace),
            status="in-progress",
            open_required=draft.open_required,
            answered=sum(bool(answer.value) for answer in draft.answers),
        )
    )
    return ledger.append(services, case, act, facts=changed, next_action=_todo(changed), changes={"move": "us"})


def fill(services: Services, actor: Actor, case_id: str, form_id: str, answers: Mapping[str, Sequence[Any]]) -> CaseRow:
    """Set or clear answers as a person, then run the form's own logic again around them.

    Raises NotFound, InputError (`answer.*`) for a value that does not fit, Conflict for a form that is done.
    """

    def once() -> CaseRow:
        case, facts, form = _open_form(services, actor, case_id, form_id, "form.answer")
        guide, parts = _guide(services, case), load_package(services, case, form)
        before = ledger.load_object(services, case, form.response)
        working: Json = parse_json(before)
        author, now = author_of(actor), services.clock.now()
        for link_id, values in answers.items():
            working = set_answer(parts, working, link_id, values, author, now, guide)
        return _keep_answers(services, actor, case, facts, form, parts, before, working, tuple(answers))

    return ledger.retry_on_conflict(once)


def complete(services: Services, actor: Actor, case_id: str, form_id: str) -> CaseRow:
    """Complete a form as a person; after the last one the case goes on.

    Raises InputError (`form.incomplete`, `form.invalid`, `form.blocked`), Conflict for a form that is done.
    """

    def once() -> CaseRow:
        case, facts, form = _open_form(services, actor, case_id, form_id, "form.complete")
        before = ledger.load_object(services, case, form.response)
        parts = load_package(services, case, form)
        snapshot = load_snapshot(services, case, facts)
        session = _session(services, case, parts, snapshot)
        done = complete_form(parts.questionnaire, parse_json(before), author_of(actor), services.clock.now(), session)
        body = dump_json(done)
        completed = replace(form, response=_sha(body), status="completed", open_required=())
        changed = facts.with_form(completed)
        to = _after_forms(changed)
        if to is _S.CHECKING:
            changed = replace(
                changed, need="", evaluation=""
            )  # now that its forms are filled, the payer is asked again
        act = Act(
            verb="manual-answer",
            about=(_response_item(case, form, body),),
            sources=(_response_item(case, form, before, role="revision"),),
            actor=actor,
            note={"form": form.title[:200], "kind": "completed"},
        )
        return ledger.append(services, case, act, facts=changed, to=to, next_action="" if to else _todo(changed))

    return ledger.retry_on_conflict(once)


def show_forms(services: Services, actor: Actor, case_id: str) -> list[dict[str, Any]]:
    """Every form of the case with its questions, answers, origins and reasons. NotFound."""
    case = ledger.load(services, actor.tenant, case_id)
    require_access(actor.caller, "form.read", CaseFacts(tenant=case.tenant_id, state=_S(case.state)))
    facts = read_facts(case.facts)
    shown = []
    for form in facts.forms:
        view = view_of(services, case, facts, form)
        head = {"form_id": form.form_id, "title": form.title, "questionnaire": form.canonical, "status": form.status}
        shown.append({**head, **(view.as_json() if view else {"rows": []}), "status": form.status})
    return shown


def view_of(services: Services, case: CaseRow, facts: Facts, form: FormFact) -> FormView | None:
    """One form as it stands, every answer with its origin and reason; None before it is populated."""
    if not form.response:
        return None
    parts = load_package(services, case, form)
    snapshot = load_snapshot(services, case, facts)
    response: Json = parse_json(ledger.load_object(services, case, form.response))
    session = _session(services, case, parts, snapshot)
    draft = populate(
        parts,
        _launch(services, case, snapshot),
        snapshot.record,
        response,
        services.clock.now(),
        services.new_id,
        session.evaluator,
        session.guide,
    )
    return form_view(parts, response, draft, session)


def load_package(services: Services, case: CaseRow, form: FormFact) -> FormPackageParts:
    """The package a form came in, read again from its exact bytes."""
    answer = read_package_answer(parse_json(ledger.load_object(services, case, form.package)))
    return answer.packages[form.position]


def trace_of(draft: Draft) -> dict[str, Any]:
    """Why each answer is what it is, as a small object: kept beside the answers, never sent to the payer."""
    return {
        "evaluated_at": draft.evaluated_at,
        "record": draft.record_digest,
        "answers": [
            {
                "link_id": answer.link_id,
                "origin": answer.origin,
                "sources": list(dict.fromkeys(source.reference for source in answer.sources if source.reference)),
                "element": answer.element,
                "version": answer.source_version,
                "expression": answer.expression[:500],
                "library": answer.library,
                "define": answer.define,
                "reason_if_empty": answer.reason_if_empty,
            }
            for answer in draft.answers
        ],
        "problems": [{"code": item.code, "link_id": item.link_id} for item in draft.problems],
        "findings": list(draft.findings),
    }


def author_of(actor: Actor) -> OriginAuthor:
    """The person as author of answers: their Practitioner where the EHR has one, and their role in words."""
    role = "clinician" if "clinician" in actor.roles else "administrative staff"
    return OriginAuthor(practitioner=actor.practitioner, roles=({"text": role},))


def _keep_answers(
    services: Services,
    actor: Actor,
    case: CaseRow,
    facts: Facts,
    form: FormFact,
    parts: FormPackageParts,
    before: bytes,
    working: Json,
    touched: tuple[str, ...],
) -> CaseRow:
    snapshot = load_snapshot(services, case, facts)
    guide, launch = _guide(services, case), _launch(services, case, snapshot)
    draft = populate(
        parts,
        launch,
        snapshot.record,
        working,
        services.clock.now(),
        services.new_id,
        _evaluator(services, parts, launch, snapshot.record),
        guide,
    )
    body, trace = dump_json(draft.response), provenance.salted_record("population", trace_of(draft))
    origins = {answer.origin for answer in draft.answers if answer.link_id in touched}
    act = Act(
        verb="override" if guide.OVERRIDE in origins else "manual-answer",
        about=(_response_item(case, form, body, elements=answer_ids(draft.response, touched)),),
        sources=(_response_item(case, form, before, role="revision"), Item.body(trace, "application/json")),
        actor=actor,
        note={"form": form.title[:200], "link_id": ", ".join(touched)[:200], "count": len(touched)},
    )
    changed = facts.with_form(
        replace(
            form,
            response=_sha(body),
            trace=_sha(trace),
            open_required=draft.open_required,
            answered=sum(bool(answer.value) for answer in draft.answers),
        )
    )
    return ledger.append(services, case, act, facts=changed, next_action=_todo(changed))


def _open_form(
    services: Services, actor: Actor, case_id: str, form_id: str, action: str
) -> tuple[CaseRow, Facts, FormFact]:
    case = ledger.load(services, actor.tenant, case_id)
    require_access(actor.caller, action, CaseFacts(tenant=case.tenant_id, state=_S(case.state)))
    facts = read_facts(case.facts)
    form = facts.form(form_id)
    if form is None or not form.response:
        raise NotFound("The case has no such form, or it is still being prepared.")
    if form.status == "completed":
        raise Conflict("This form is completed.", code="form.closed")
    return case, facts, form


def _read(exchange: Exchange) -> PackageAnswer:
    if not exchange.is_success:
        raise PayerRejected(
            f"The payer answered the request for forms with HTTP {exchange.status}.",
            http_answer=exchange.status,
            body=exchange.response_bytes,
            retry_after_seconds=exchange.retry_after_seconds,
        )
    try:
        return read_package_answer(parse_json(exchange.response_bytes) if exchange.response_bytes.strip() else None)
    except InputError:
        raise PayerUnreadable("The payer's forms cannot be read.", body=exchange.response_bytes) from None


def _form_facts(answer: PackageAnswer, package: str, before: Sequence[FormFact]) -> tuple[FormFact, ...]:
    """The forms of an answer; one that the case had before keeps its id and the answers of people."""
    known = {form.canonical: form for form in before if form.response or form.earlier}
    last = max((int(form.form_id) for form in known.values()), default=0)
    found = []
    for position, parts in enumerate(answer.packages):
        earlier = known.pop(parts.canonical, None)
        last += earlier is None
        title = str(parts.questionnaire.get("title") or parts.questionnaire.get("name") or "Payer form")
        found.append(
            FormFact(
                form_id=earlier.form_id if earlier else str(last),
                canonical=parts.canonical,
                title=title,
                package=package,
                position=position,
                earlier=(earlier.response or earlier.earlier) if earlier else "",
            )
        )
    return tuple(found)


def _referenced(case: CaseRow, snapshot: Snapshot) -> list[Json]:
    """Patient and people that the order points to; never what it cites as support (spec/dtr.md §4.1)."""
    order = snapshot.require(case.order_reference).resource
    named = {key: order[key] for key in ("subject", "requester", "performer") if key in order}
    found = [snapshot.get(reference) for reference in references_in(named)]
    return [item.resource for item in found if item is not None]


def _launch(services: Services, case: CaseRow, snapshot: Snapshot) -> LaunchContext:
    order = snapshot.require(case.order_reference).resource
    encounter = snapshot.get(reference_text(order.get("encounter")))
    requester = snapshot.get(reference_text(order.get("requester")))
    return LaunchContext(
        patient=snapshot.require(case.patient_reference).resource,
        order=order,
        coverage=snapshot.require(case.coverage_reference).resource,
        user=requester.resource if requester else None,
        encounter=encounter.resource if encounter else None,
        practice_zone=services.zone_of(snapshot.record),
    )


def _session(services: Services, case: CaseRow, parts: FormPackageParts, snapshot: Snapshot) -> FormSession:
    launch = _launch(services, case, snapshot)
    return FormSession(
        package=parts,
        launch=launch,
        record=snapshot.record,
        now=services.clock.now(),
        evaluator=_evaluator(services, parts, launch, snapshot.record),
        guide=_guide(services, case),
    )


def _evaluator(
    services: Services, parts: FormPackageParts, launch: LaunchContext, record: RecordSnapshot
) -> IsolatedDefines | None:
    """What runs the CQL of a form, in a process of its own; None for a form without libraries."""
    if not parts.libraries:
        return None
    return IsolatedDefines(
        parts.libraries,
        parts.value_sets,
        record,
        now=launch.local(services.clock.now()),
        order=launch.order,
        contexts=launch.environment(),
        patient=reference_of(launch.patient),
    )


def _guide(services: Services, case: CaseRow) -> DtrGuide:
    row = services.payer_row(case.payer)
    return dtr_guide(row.dtr.version if row.dtr else "2.2.0")


def _sources(draft: Draft, snapshot: Snapshot) -> tuple[Item, ...]:
    named = dict.fromkeys(source.reference for answer in draft.answers for source in answer.sources)
    found: Iterable[Any] = (snapshot.get(reference) for reference in named if reference)
    return tuple(Item.resource(item.full_url, item.raw) for item in found if item is not None)


def _response_item(
    case: CaseRow, form: FormFact, body: bytes, role: str = "source", elements: Sequence[str] = ()
) -> Item:
    key = own_key(case.case_id, f"form-{form.form_id}")
    return Item.local("QuestionnaireResponse", body, key, role=role, elements=elements)


def answer_ids(response: Json, link_ids: Iterable[str] | None = None) -> tuple[str, ...]:
    """Ids of the answers to these questions, or of all answers; what a statement says it is about."""
    wanted = None if link_ids is None else {link_id.partition("@")[0] for link_id in link_ids}
    found: list[str] = []
    stack: list[Any] = list(response.get("item") or ())
    while stack:
        item = stack.pop(0)
        for answer in item.get("answer") or ():
            if answer.get("id") and (wanted is None or item.get("linkId") in wanted):
                found.append(str(answer["id"]))
            stack.extend(answer.get("item") or ())
        stack.extend(item.get("item") or ())
    return tuple(found)


def _todo(facts: Facts) -> str:
    """What people have to do about the forms, in one sentence."""
    open_count = sum(len(form.open_required) for form in facts.forms)
    waiting = [form.title for form in facts.forms if form.status != "completed"]
    if not waiting:
        return "The forms are complete."
    if open_count:
        return f"Answer {open_count} open question{'s' if open_count != 1 else ''} of the payer's form."
    return "Review the payer's form and complete it."


def _after_forms(facts: Facts) -> CaseState | None:
    """Where the case goes when all forms are done; None while one is open."""
    if any(form.status != "completed" for form in facts.forms):
        return None
    if NeedAction(facts.need_action) in NEEDS_AUTHORIZATION:
        return _S.READY
    return _S.DOCUMENTED if facts.need_action == NeedAction.DOCUMENT_ONLY else _S.CHECKING


def _sha(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()
