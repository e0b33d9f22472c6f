"""The next questions of an adaptive form, asked of the payer's service when a person says so.

Each call discloses the answers so far, so it is never made by a job or a timer (spec/dtr.md §13). Whatever comes of
it is an event: what was sent and what came. Answers that are on file stay as they are unless the answer can be used.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from threading import Lock
from typing import Any, Final

import provenance
from gateway.cases.facts import Facts, FormFact
from gateway.cases.states import CaseState
from gateway.clients.payer import Exchange
from gateway.errors import Conflict, GatewayError, InputError, PayerRejected, PayerTimedOut, PayerUnreadable
from gateway.fhir import Json
from gateway.fhir.json import dump_json, parse_json
from gateway.flows import form_reports, ledger
from gateway.flows.actors import Actor
from gateway.flows.attach import answer_with_form
from gateway.flows.extract import Snapshot, load_snapshot
from gateway.flows.form_cases import (
    after_forms,
    answer_ids,
    digest_of,
    evaluator_of,
    guide_of,
    launch_of,
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
from gateway.flows.form_coverage import CoverageAnswer, take_over
from gateway.flows.ledger import FHIR_JSON, Act, Item
from gateway.flows.logic_codes import fetch_codes, with_answers
from gateway.flows.services import Services
from gateway.forms import adaptive
from gateway.forms.populate import Draft, populate
from gateway.profiles.dtr_next_question import read_next_question, service_paths
from gateway.profiles.dtr_package import FormPackageParts
from gateway.store.rows import CaseRow

DISCLOSURE: Final = "This sends your answers to the payer."
"""What a person is told before each call."""
MAX_BYTES: Final = 4 * 1024 * 1024
"""Size of one answer of the service."""
MAX_SETS: Final = 100
"""Times the service of one form is asked."""
_TRIES: Final = 5
_asking: set[tuple[str, str, str]] = set()
_lock: Final = Lock()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """One form about to be continued, and whom for."""

    actor: Actor
    form: FormFact
    package: FormPackageParts
    """As it was received."""
    snapshot: Snapshot
    working: Json
    sent: Json
    """The response as the payer gets it."""
    before: bytes
    codes: tuple[Item, ...] = ()
    """Codes that were fetched for the new questions."""


def ask_next(services: Services, actor: Actor, case_id: str, form_id: str, seen: str = "") -> CaseRow:
    """Send the answers so far to the payer's service and take the next questions into the form.

    `seen` is the digest of the answers that the person was shown, where known. The form is complete when the service
    says so. Raises InputError as `complete` and `form.kind`, `form.service`, `form.sets`; Conflict for a form that is
    done, changed meanwhile (`form.changed`) or being asked for (`form.in-flight`); PayerError, also for an answer that
    would change what a person answered. After an error the form stands as before.
    """
    with _alone((actor.tenant, case_id, form_id)):
        case, facts, form = open_form(services, actor, case_id, form_id, "form.continue")
        require_seen(form, seen)
        asked = _prepare(services, actor, case, facts, form)
        exchange = _call(services, case, asked)
        try:
            taken = _read(services, case, asked, exchange)
        except GatewayError as error:
            _record(services, asked, case, exchange.request_bytes, exchange, error=error.reason)
            raise
        _record(services, asked, case, exchange.request_bytes, exchange, count=len(taken.added))
        return _keep(services, case_id, _with_codes(services, case, asked, taken), taken, exchange)


def _with_codes(services: Services, case: CaseRow, asked: _Asked, taken: adaptive.NextSet) -> _Asked:
    """With the codes that the new questions need and bring along neither."""
    codes = fetch_codes(services, case.payer, adaptive.opened(asked.package, taken.response))
    package = with_answers(asked.package, (item.raw for item in codes))
    return replace(asked, package=package, codes=codes)


@contextmanager
def _alone(key: tuple[str, str, str]) -> Iterator[None]:
    """One call in flight for each form (spec/dtr.md §8)."""
    with _lock:
        if key in _asking:
            raise Conflict("The payer is being asked for the next questions already.", code="form.in-flight")
        _asking.add(key)
    try:
        yield
    finally:
        with _lock:
            _asking.discard(key)


def _prepare(services: Services, actor: Actor, case: CaseRow, facts: Facts, form: FormFact) -> _Asked:
    if not form.is_adaptive:
        raise InputError("All questions of this form are here; complete it instead.", code="form.kind", status=422)
    if form.sets >= MAX_SETS:
        text = "The payer's service does not come to an end; ask the payer by phone."
        raise InputError(text, code="form.sets", status=422)
    package, snapshot = load_received(services, case, form), load_snapshot(services, case, facts)
    before = ledger.load_object(services, case, form.response)
    working: Json = parse_json(before)
    session = session_of(services, case, adaptive.opened(package, working), snapshot)
    return _Asked(
        actor=actor,
        form=form,
        package=package,
        snapshot=snapshot,
        working=working,
        sent=adaptive.build_disclosure(session, working, services.clock.now()),
        before=before,
    )


def _call(services: Services, case: CaseRow, asked: _Asked) -> Exchange:
    """Ask where the form says, below the payer's base only; the next place where there is no such operation."""
    row = services.payer_row(case.payer)
    base = row.dtr.base_url if row.dtr else ""
    form = adaptive.opened(asked.package, asked.working).questionnaire
    paths = service_paths(asked.package.questionnaire, base) if base else ()
    if not paths or not service_paths(form, base):
        text = "The form names a service outside the payer's own address; it was not asked."
        raise InputError(text, code="form.service", status=422)
    body = dump_json(guide_of(services, case).build_next_question(asked.sent))
    client = services.payer(case.payer)
    try:
        exchange = client.next_question(body, path=paths[0])
        for path in paths[1:]:
            if exchange.status != 404:
                break
            exchange = client.next_question(body, path=path)
    except (PayerTimedOut, PayerUnreadable) as error:
        _record(services, asked, case, body, None, error=error.reason)
        raise
    return exchange


def _read(services: Services, case: CaseRow, asked: _Asked, exchange: Exchange) -> adaptive.NextSet:
    if not exchange.is_success:
        raise PayerRejected(
            f"The payer's service refused the answers with HTTP {exchange.status}; its words are in the history.",
            http_answer=exchange.status,
            body=exchange.response_bytes,
            retry_after_seconds=exchange.retry_after_seconds,
        )
    try:
        if len(exchange.response_bytes) > MAX_BYTES:
            raise InputError("The payer's answer is too large.", code="adaptive.too-large")
        returned = read_next_question(parse_json(exchange.response_bytes))
        return adaptive.take_next(asked.package, asked.working, asked.sent, returned, guide_of(services, case))
    except InputError as error:
        code = error.reason if error.reason.startswith("adaptive.") else "adaptive.answer"
        text = error.message if code != "adaptive.answer" else "The payer's next questions cannot be read."
        raise PayerUnreadable(text, code=code, body=exchange.response_bytes) from None


def _record(
    services: Services, asked: _Asked, case: CaseRow, sent: bytes, exchange: Exchange | None, **more: str | int
) -> None:
    """The exchange as an event of its own, whatever came of it: the answers are disclosed by now."""
    received = exchange.response_bytes if exchange is not None else b""
    note = {"form": asked.form.title[:200], "kind": "next-questions", **more}
    if exchange is not None:
        note["http_status"] = exchange.status
    media_type = exchange.media_type if exchange is not None else ""
    act = Act(
        verb="form-receive",
        about=(Item.body(received, media_type or FHIR_JSON) if received else Item.body(sent),),
        sources=(Item.body(sent),),
        actor=asked.actor,
        payer=services.payer_row(case.payer).name if received else "",
        note=note,
    )
    ledger.retry_on_conflict(lambda: ledger.append(services, ledger.load(services, case.tenant_id, case.case_id), act))


def _keep(services: Services, case_id: str, asked: _Asked, taken: adaptive.NextSet, exchange: Exchange) -> CaseRow:
    """The form with its new questions, filled from the chart; Conflict when it was changed meanwhile."""

    def once() -> CaseRow:
        case, facts, form = open_form(services, asked.actor, case_id, asked.form.form_id, "form.continue")
        if form.response != asked.form.response:
            text = "The form was changed while the payer was asked; continue it once more."
            raise Conflict(text, code="form.changed")
        now, package = services.clock.now(), adaptive.opened(asked.package, taken.response)
        session = session_of(services, case, package, asked.snapshot)
        done = adaptive.build_completed(session, taken.response, now) if taken.says_completed else None
        if done is not None:
            return _complete(services, case, facts, asked, done, exchange)
        draft = _filled(services, case, asked, package, taken.response)
        return _go_on(services, case, facts, asked, taken, draft, exchange)

    return ledger.retry_on_conflict(once, _TRIES)


def _filled(services: Services, case: CaseRow, asked: _Asked, package: FormPackageParts, working: Json) -> Draft:
    launch = launch_of(services, case, asked.snapshot)
    return populate(
        package,
        launch,
        asked.snapshot.record,
        working,
        services.clock.now(),
        services.new_id,
        evaluator_of(services, case, package, launch, asked.snapshot.record),
        guide_of(services, case),
    )


def _go_on(
    services: Services,
    case: CaseRow,
    facts: Facts,
    asked: _Asked,
    taken: adaptive.NextSet,
    draft: Draft,
    exchange: Exchange,
) -> CaseRow:
    body, trace = dump_json(draft.response), provenance.salted_record("population", trace_of(draft))
    guide = guide_of(services, case)
    form, reports = form_reports.noted(services, asked.form, draft)
    is_ours = any(one.origin == guide.AUTO and one.link_id in taken.added for one in draft.answers)
    act = Act(
        verb="populate-auto-client" if is_ours else "populate-auto-server",
        about=(response_item(case, asked.form, body, elements=answer_ids(draft.response)),),
        sources=(
            *sources_of(draft, asked.snapshot),
            response_item(case, asked.form, asked.before, role="revision"),
            Item.body(exchange.response_bytes),
            Item.body(trace, "application/json"),
            *asked.codes,
        ),
        payer="" if is_ours else services.payer_row(case.payer).name,
        note=_note(asked.form, taken),
    )
    changed = facts.with_form(
        replace(
            form,
            response=digest_of(body),
            trace=digest_of(trace),
            open_required=draft.open_required,
            answered=sum(bool(answer.value) for answer in draft.answers),
            sets=form.sets + 1,
            value_sets=tuple(dict.fromkeys((*form.value_sets, *(item.digest for item in asked.codes)))),
        )
    )
    return ledger.append(services, case, act, facts=changed, next_action=_words(taken, todo(changed)), objects=reports)


def _complete(
    services: Services, case: CaseRow, facts: Facts, asked: _Asked, done: dict[str, Any], exchange: Exchange
) -> CaseRow:
    """The payer's service asks nothing more: the form is complete, and after the last one the case goes on."""
    body = dump_json(done)
    act = Act(
        verb="populate-auto-server",
        about=(response_item(case, asked.form, body, elements=answer_ids(done)),),
        sources=(
            response_item(case, asked.form, asked.before, role="revision"),
            Item.body(exchange.response_bytes),
        ),
        payer=services.payer_row(case.payer).name,
        note={"form": asked.form.title[:200], "kind": "completed"},
    )
    completed = replace(
        asked.form, response=digest_of(body), status="completed", open_required=(), sets=asked.form.sets + 1
    )
    saved = to_be_saved(services, case, facts.with_form(completed), completed)
    if completed.asked_by:  # answers a pend: nothing about coverage comes with it (dtr:spec-42)
        changed, reply = answer_with_form(services, case, saved, completed, done)
        said = CoverageAnswer(facts=changed, kept=((reply, FHIR_JSON),))
    else:
        said = take_over(services, case, saved, done, hashlib.sha256(exchange.response_bytes).hexdigest())
        changed = said.facts
    is_ours = case.state in (CaseState.DOCUMENTING, CaseState.NEEDS_ATTENTION)
    to = after_forms(changed) if is_ours and not changed.forms_named else None
    return ledger.append(
        services,
        case,
        act,
        facts=changed,
        to=to,
        next_action="" if to else todo(changed),
        objects=said.kept,
        changes=said.changes,
    )


def _note(form: FormFact, taken: adaptive.NextSet) -> dict[str, Any]:
    note: dict[str, Any] = {"form": form.title[:200], "kind": "next-questions", "count": len(taken.added)}
    return note | ({"link_id": ", ".join(taken.dropped)[:200], "why": "no longer asked"} if taken.dropped else {})


def _words(taken: adaptive.NextSet, otherwise: str) -> str:
    if taken.dropped:
        count = len(taken.dropped)
        return f"The payer no longer asks {count} answered question{'s' if count != 1 else ''}. {otherwise}"
    return otherwise if taken.added else f"The payer asked nothing new. {otherwise}"
