"""Payer forms: fetched, prefilled from the snapshot, answered and completed by people.

Every version of the answers is kept and is the target of a signed event; a completed form is what goes
into the packet. Only a person completes a form (dtr:spec-145).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import provenance
from gateway.cases.facts import Facts, FormFact, read_facts
from gateway.cases.states import CaseState
from gateway.errors import Conflict, InputError, PartnerError
from gateway.fhir import Json
from gateway.fhir.json import dump_json, parse_json
from gateway.flows import form_renewal, form_reports, ledger
from gateway.flows.actors import Actor
from gateway.flows.attach import answer_with_form
from gateway.flows.extract import load_snapshot
from gateway.flows.form_cases import (
    after_forms,
    answer_ids,
    author_of,
    digest_of,
    guide_of,
    launch_of,
    load_package,
    load_received,
    open_form,
    require_seen,
    response_item,
    session_of,
    sources_of,
    to_be_saved,
    todo,
    trace_of,
)
from gateway.flows.form_signing import signer_of
from gateway.flows.ledger import Act, Item
from gateway.flows.services import Services
from gateway.forms import adaptive
from gateway.forms.answers import set_answer
from gateway.forms.complete import complete as complete_form
from gateway.forms.populate import populate
from gateway.forms.session import FormSession
from gateway.forms.view import FormView, form_view
from gateway.policy.access import CaseFacts, require_access
from gateway.store.rows import CaseRow

_S = CaseState
SENDING = "The form is being sent to the payer."
"""Sentence after a form that the payer asked for was completed."""


def populate_next(services: Services, case: CaseRow, facts: Facts) -> CaseRow:
    """Prefill the first form that has no answers yet, and record what every answer came from.

    What people answered in an earlier round of the case stays.
    """
    form = next(item for item in facts.forms if not item.response)
    snapshot = load_snapshot(services, case, facts)
    parts, launch = load_package(services, case, form), launch_of(services, case, snapshot)
    earlier = ledger.load_object(services, case, form.earlier) if form.earlier else None
    session = session_of(services, case, parts, snapshot)
    evaluator = session.evaluator
    draft = populate(
        parts,
        launch,
        snapshot.record,
        form_renewal.resumed(services, case, form, session),
        services.clock.now(),
        services.new_id,
        evaluator,
        guide_of(services, case),
    )
    form, reports = form_reports.noted(services, form, draft, evaluator)
    response: Json = draft.response
    if form.is_adaptive:
        response = adaptive.begin(load_received(services, case, form), response, guide_of(services, case))
    body, trace = dump_json(response), provenance.salted_record("population", trace_of(draft))
    package = ledger.load_object(services, case, form.package)
    revised = (response_item(case, form, earlier, role="revision"),) if earlier else ()
    act = Act(
        verb="populate-auto-client",
        about=(response_item(case, form, body, elements=answer_ids(draft.response)),),
        sources=(*revised, *sources_of(draft, snapshot), Item.body(package), Item.body(trace, "application/json")),
        note={"form": form.title[:200], "count": sum(bool(answer.value) for answer in draft.answers)},
    )
    changed = facts.succeeded("populate").with_form(
        replace(
            form,
            response=digest_of(body),
            trace=digest_of(trace),
            status="in-progress",
            open_required=draft.open_required,
            answered=sum(bool(answer.value) for answer in draft.answers),
        )
    )
    return ledger.append(
        services, case, act, facts=changed, next_action=todo(changed), changes={"move": "us"}, objects=reports
    )


def fill(
    services: Services,
    actor: Actor,
    case_id: str,
    form_id: str,
    answers: Mapping[str, Sequence[Any]],
    *,
    seen: str = "",
) -> CaseRow:
    """Set or clear answers as a person, then run the form's own logic again around them.

    `seen` is the digest of the answers that the person was shown, where known: others are not overwritten unseen.
    Raises NotFound, InputError (`answer.*`) for a value that does not fit, Conflict for a form that is done or was
    changed meanwhile (`form.changed`).
    """

    def once() -> CaseRow:
        case, facts, form = open_form(services, actor, case_id, form_id, "form.answer")
        require_seen(form, seen)
        guide, parts = guide_of(services, case), load_package(services, case, form)
        before = ledger.load_object(services, case, form.response)
        working: Json = parse_json(before)
        author, now = author_of(actor), services.clock.now()
        session = session_of(services, case, parts, load_snapshot(services, case, facts))
        for link_id, values in answers.items():
            working = set_answer(parts, working, link_id, values, author, now, guide, session)
        return keep_answers(services, actor, case, facts, form, session, before, working, tuple(answers))

    return ledger.retry_on_conflict(once)


def complete(
    services: Services, actor: Actor, case_id: str, form_id: str, *, signed: bool = False, seen: str = ""
) -> CaseRow:
    """Complete a form as a person; after the last one the case goes on.

    `signed` says that the person signs the answers, where the form demands it; `seen` is the digest of the answers
    that the person was shown, where known: no others are completed or signed. Raises InputError (`form.incomplete`,
    `form.invalid`, `form.blocked`, `form.adaptive`, `form.signature`), AccessError for a signature of anybody but a
    person, Conflict for a form that is done, changed meanwhile or that the payer changed (`form.changed`).
    """

    def once() -> CaseRow:
        case, facts, form = open_form(services, actor, case_id, form_id, "form.complete")
        require_seen(form, seen)
        if form.is_adaptive:
            text = "The payer's service completes this form; ask it for the next questions."
            raise InputError(text, code="form.adaptive", status=422)
        _require_current(services, case, facts, form)
        before = ledger.load_object(services, case, form.response)
        parts = load_package(services, case, form)
        snapshot = load_snapshot(services, case, facts)
        session = session_of(services, case, parts, snapshot)
        sign = signer_of(services, actor) if signed else None
        now = services.clock.now()
        done = complete_form(parts.questionnaire, parse_json(before), author_of(actor), now, session, sign)
        body = dump_json(done)
        completed = replace(form, response=digest_of(body), status="completed", open_required=(), working=form.response)
        changed = to_be_saved(services, case, facts.with_form(completed), completed)
        is_own = case.state in (_S.DOCUMENTING, _S.NEEDS_ATTENTION)
        to = after_forms(changed) if is_own else None
        kept: list[tuple[bytes, str]] = []
        if form.asked_by:
            changed, reply = answer_with_form(services, case, changed, completed, done)
            kept.append((reply, ledger.FHIR_JSON))
        if to is _S.CHECKING:
            changed = replace(
                changed, need="", evaluation=""
            )  # now that its forms are filled, the payer is asked again
        act = Act(
            verb="manual-answer",
            about=(response_item(case, form, body),),
            sources=(response_item(case, form, before, role="revision"),),
            actor=actor,
            note={"form": form.title[:200], "kind": "completed"},
        )
        sentence = "" if to else SENDING if form.asked_by else todo(changed)
        return ledger.append(services, case, act, facts=changed, to=to, next_action=sentence, objects=kept)

    return ledger.retry_on_conflict(once)


def _require_current(services: Services, case: CaseRow, facts: Facts, form: FormFact) -> None:
    """Look at the payer for a newer form before one is completed that came long ago; Conflict where there is one.

    A payer that cannot be asked does not hold anybody up.
    """
    if not form_renewal.is_resumed(services, form):
        return
    try:
        now = form_renewal.refresh(services, case, facts)
    except PartnerError:
        return
    current = read_facts(now.facts).form(form.form_id)
    if current is None or current.response != form.response:
        text = "The payer changed this form since it came; it is filled anew with your answers. Look at it again."
        raise Conflict(text, code="form.changed")
    raise Conflict("The form was looked for anew.", code="conflict.form")  # begin again with the case as it is now


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
    session = session_of(services, case, parts, snapshot)
    draft = populate(
        parts,
        launch_of(services, case, snapshot),
        snapshot.record,
        response,
        services.clock.now(),
        services.new_id,
        session.evaluator,
        session.guide,
    )
    return form_view(parts, response, draft, session)


def keep_answers(
    services: Services,
    actor: Actor,
    case: CaseRow,
    facts: Facts,
    form: FormFact,
    session: FormSession,
    before: bytes,
    working: Json,
    touched: tuple[str, ...],
) -> CaseRow:
    """Keep what a person changed, after the form's own logic ran again around it."""
    guide, launch = session.guide, session.launch
    assert launch is not None
    now = services.clock.now()
    draft = populate(session.package, launch, session.record, working, now, services.new_id, session.evaluator, guide)
    form, reports = form_reports.noted(services, form, draft, session.evaluator)
    body, trace = dump_json(draft.response), provenance.salted_record("population", trace_of(draft))
    origins = {answer.origin for answer in draft.answers if answer.link_id in touched}
    act = Act(
        verb="override" if guide.OVERRIDE in origins else "manual-answer",
        about=(response_item(case, form, body, elements=answer_ids(draft.response, touched)),),
        sources=(response_item(case, form, before, role="revision"), Item.body(trace, "application/json")),
        actor=actor,
        note={"form": form.title[:200], "link_id": ", ".join(touched)[:200], "count": len(touched)},
    )
    changed = facts.with_form(
        replace(
            form,
            response=digest_of(body),
            trace=digest_of(trace),
            open_required=draft.open_required,
            answered=sum(bool(answer.value) for answer in draft.answers),
        )
    )
    changed = replace(changed, forms_look=changed.forms_look or form_renewal.is_resumed(services, form))
    return ledger.append(services, case, act, facts=changed, next_action=todo(changed), objects=reports)
