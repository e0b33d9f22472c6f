"""The payer's forms of a case: asked for, asked for again where they may be out of date, and drafts that end.

A person who takes up a draft again works on the form that is in force: the payer is asked what changed since the form
came, and a form whose time is over is asked for anew (spec/dtr.md §4.2, §4.3; dtr:spec-123, oper-20).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Final

from gateway.cases.facts import Facts, FormFact, RequestedDocument
from gateway.cases.states import CaseState
from gateway.clients.payer import Exchange
from gateway.errors import InputError, PayerRejected, PayerUnreadable
from gateway.fhir import Json
from gateway.fhir.json import dump_json, parse_json
from gateway.flows import ledger, request
from gateway.flows.extract import Snapshot, load_snapshot, references_in
from gateway.flows.form_cases import after_forms, guide_of, launch_of, load_part, response_item, todo
from gateway.flows.ledger import Act, Item
from gateway.flows.logic_codes import fetch_codes
from gateway.flows.logic_data import wanted_types
from gateway.flows.services import Services
from gateway.forms import adaptive
from gateway.forms.carry import carry_over
from gateway.forms.definition import read_definition
from gateway.forms.draft import blank_response
from gateway.forms.parts import content_digest, forms_of
from gateway.forms.session import FormSession
from gateway.profiles.dtr_package import FormPackageParts, PackageAnswer, read_package_answer
from gateway.profiles.dtr_sdc import read_effective_end
from gateway.store.rows import CaseRow

_S = CaseState
RESUMED_AFTER: Final = timedelta(hours=12)
"""A form that is taken up later than this after it came is looked for anew at the payer."""
NO_FORM: Final = "The payer wants documentation but sent no form; read its message and ask by phone."


@dataclass(frozen=True, slots=True, kw_only=True)
class _Received:
    """Forms that came in one answer."""

    exchange: Exchange
    package: Item
    parts: tuple[tuple[int, int, FormPackageParts], ...]
    """Position of the package, number of the form in it, and the form."""
    codes: tuple[tuple[Item, ...], ...]
    """Codes fetched for each of `parts`."""
    types: tuple[tuple[str, ...], ...]
    """Types of records that each of `parts` asks for besides what every chart is read with."""
    looked_at: str
    """When it was asked for, by our clock."""

    @property
    def sources(self) -> tuple[Item, ...]:
        """What was sent, and what was fetched besides, each once."""
        further = {item.digest: item for items in self.codes for item in items}
        return (Item.body(self.exchange.request_bytes), *further.values())

    @property
    def at(self) -> str:
        """When it came, by the payer's clock where it told the time: its changes are dated by that clock."""
        try:
            told = parsedate_to_datetime(self.exchange.headers.get("date", ""))
        except (TypeError, ValueError):
            told = self.exchange.answered_at
        return (told if told.tzinfo else self.exchange.answered_at).isoformat(timespec="seconds")


def fetch(services: Services, case: CaseRow, facts: Facts) -> CaseRow:
    """Ask the payer for the forms its coverage answer wants. Raises PayerError.

    No form in the answer does not mean that nothing is needed: a person looks, unless nothing was to be
    documented anyway.
    """
    named = () if facts.assertion_id else facts.questionnaires  # the context says it all (dtr:spec-126)
    received = _ask(services, case, facts, named, None)
    known = {form.canonical or form.title: form for form in facts.forms if form.response or form.earlier}
    last = max((int(form.form_id) for form in known.values()), default=0)
    found = []
    for number in range(len(received.parts)):
        fresh = _fact(received, number)
        earlier = known.pop(fresh.canonical or fresh.title, None)
        last += earlier is None
        answers = (earlier.response or earlier.earlier) if earlier else ""
        found.append(replace(fresh, form_id=earlier.form_id if earlier else str(last), earlier=answers))
    changed = replace(facts.succeeded("fetch-forms"), forms_fetched=True, forms=_dated(services, found))
    note = {"count": len(found), "form": ", ".join(form.canonical for form in found)[:200]}
    if found:
        return ledger.append(services, case, _act(services, case, received, note), facts=changed)
    act = _act(services, case, received, note)
    return ledger.append(services, case, act, facts=changed, to=_S.NEEDS_ATTENTION, next_action=NO_FORM)


def fetch_named(services: Services, case: CaseRow, facts: Facts) -> CaseRow:
    """Fetch the forms that the payer named since; those of the case stay as they are. Raises PayerError."""
    received = _ask(services, case, facts, facts.forms_named, None)
    here = {_url(form) for form in facts.forms}
    last = max((int(form.form_id) for form in facts.forms), default=0)
    fresh = [one for one in (_fact(received, number) for number in range(len(received.parts))) if _url(one) not in here]
    added = _dated(services, [replace(one, form_id=str(last + count + 1)) for count, one in enumerate(fresh)])
    done = facts.succeeded("fetch-named-forms")
    changed = replace(done, forms_named=(), forms=(*facts.forms, *added))
    note = {"count": len(added), "kind": "forms-named", "form": ", ".join(form.canonical for form in added)[:200]}
    act = _act(services, case, received, note)
    to = None if added else after_forms(changed)
    return ledger.append(services, case, act, facts=changed, to=to, next_action="" if to else todo(changed))


def requested(facts: Facts) -> RequestedDocument | None:
    """A request of the payer for its own form that no form of the case answers yet; None when there is none."""
    here = {form.asked_by for form in facts.forms}
    return next(
        (one for one in facts.requests if one.context and not one.attachment and one.control_number not in here), None
    )


def fetch_requested(services: Services, case: CaseRow, facts: Facts) -> CaseRow:
    """Fetch the form that the payer asked for after a pend, under its trace number. Raises PayerError.

    Earlier answers are not taken over: the payer asks anew (dtr:spec-107, spec-125).
    """
    wanted = requested(facts)
    assert wanted is not None
    received = _ask(services, case, replace(facts, assertion_id=wanted.context), (), None)
    last = max((int(form.form_id) for form in facts.forms), default=0)
    fresh = [_fact(received, number) for number in range(len(received.parts))]
    numbered = [replace(one, form_id=str(last + n + 1), asked_by=wanted.control_number) for n, one in enumerate(fresh)]
    done = facts.succeeded("fetch-requested-form")
    changed = replace(done, forms=(*facts.forms, *_dated(services, numbered)))
    act = _act(services, case, received, {"count": len(fresh), "kind": "form-requested", "code": wanted.code})
    if not fresh:
        changed = _without_context(changed, wanted)
    return ledger.append(services, case, act, facts=changed, next_action="" if fresh else NO_FORM)


def request_given_up(services: Services, facts: Facts) -> Facts:
    """The facts after the form could not be had: a person answers the request, as one for documents."""
    wanted = requested(facts)
    done = facts.succeeded("fetch-requested-form")
    return _without_context(done, wanted) if wanted is not None else done


def _without_context(facts: Facts, request: RequestedDocument) -> Facts:
    rest = tuple(replace(one, context="") if one is request else one for one in facts.requests)
    return replace(facts, requests=rest)


def is_due(services: Services, facts: Facts) -> bool:
    """Whether the payer is to be asked for its forms again: one is out of force, or was taken up after a while."""
    return facts.forms_look or any(_has_ended(services, form) for form in facts.forms)


def is_resumed(services: Services, form: FormFact) -> bool:
    """Whether a form came so long ago that it may have changed."""
    if not form.looked_at or form.status == "completed" or form.is_adaptive:
        return False
    return services.clock.now() - datetime.fromisoformat(form.looked_at) > RESUMED_AFTER


def refresh(services: Services, case: CaseRow, facts: Facts) -> CaseRow:
    """Ask the payer what changed of the forms that are being filled, and begin anew those that did.

    What people answered goes over where the question is the same; the draft that was begun is stopped. A form that is
    out of force is asked for without naming it. Raises PayerError; the forms then stay as they are.
    """
    ended = [form for form in facts.forms if _has_ended(services, form)]
    active = [form for form in facts.forms if form.status != "completed" and not form.is_adaptive]
    named = () if ended else tuple(form.canonical for form in active if form.canonical)
    since = None if ended else min((datetime.fromisoformat(form.received_at) for form in active), default=None)
    received = _ask(services, case, facts, named, since)
    forms, superseded = _renewed(services, facts, received, ended)
    changed = replace(
        facts.succeeded("refresh-forms"), forms_look=False, forms=forms, superseded=(*facts.superseded, *superseded)
    )
    note = {"count": len(superseded), "kind": "forms-again", "form": ", ".join(one.canonical for one in forms)[:200]}
    act = _act(services, case, received, note)
    if not forms:
        return ledger.append(services, case, act, facts=changed, to=_S.NEEDS_ATTENTION, next_action=NO_FORM)
    sentence = "The payer changed its form; it is filled anew with your answers." if superseded else ""
    return ledger.append(services, case, act, facts=changed, next_action=sentence or todo(changed))


def stop_drafts(services: Services, case: CaseRow, facts: Facts) -> CaseRow:
    """Mark one draft that was replaced or ran out as stopped, for the record (dtr:spec-123)."""
    form_id, _, digest = facts.superseded[0].partition(" ")
    before = ledger.load_object(services, case, digest)
    stopped: Json = {**parse_json(before), "status": "stopped", "authored": _local(services, case, facts)}
    form = facts.form(form_id) or FormFact(form_id=form_id, canonical="", title="", package="", position=0)
    act = Act(
        verb="void",
        about=(response_item(case, form, dump_json(stopped)),),
        sources=(response_item(case, form, before, role="revision"),),
        note={"kind": "stopped", "form": str(parse_json(before).get("questionnaire", ""))[:200]},
    )
    return ledger.append(services, case, act, facts=replace(facts, superseded=facts.superseded[1:]))


def given_up(services: Services, facts: Facts) -> Facts:
    """The facts after the payer could not be asked again: the forms that are there are worked with; one that is out
    of force waits for a person, who sees that it cannot be completed."""
    forms = tuple(replace(form, is_ended=form.is_ended or _has_ended(services, form)) for form in facts.forms)
    return replace(facts.succeeded("refresh-forms"), forms_look=False, forms=forms)


def _ask(
    services: Services, case: CaseRow, facts: Facts, canonicals: Sequence[str], since: datetime | None
) -> _Received:
    snapshot = load_snapshot(services, case, facts)
    parameters = guide_of(services, case).build_package_parameters(
        snapshot.require(case.coverage_reference).resource,
        request.with_coverage_information(services, case, facts, snapshot),
        _referenced(case, snapshot),
        canonicals,
        facts.assertion_id or None,
        since,
    )
    exchange = services.payer(case.payer).questionnaire_package(dump_json(parameters))
    answer = _read(exchange)
    parts = tuple(
        (position, number, form)
        for position, package in enumerate(answer.packages)
        for number, form in enumerate(forms_of(package))
    )
    package = Item.body(exchange.response_bytes or exchange.request_bytes, exchange.media_type or ledger.FHIR_JSON)
    codes = tuple(fetch_codes(services, case.payer, form) for _, _, form in parts)
    types = tuple(wanted_types(services, form) for _, _, form in parts)
    looked_at = services.clock.now().isoformat(timespec="seconds")
    return _Received(exchange=exchange, package=package, parts=parts, codes=codes, types=types, looked_at=looked_at)


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


def _act(services: Services, case: CaseRow, received: _Received, note: dict[str, Any]) -> Act:
    came = bool(received.exchange.response_bytes)
    return Act(
        verb="form-receive",
        about=(received.package,),
        sources=received.sources,
        payer=services.payer_row(case.payer).name if came else "",
        note=note,
    )


def _fact(received: _Received, number: int) -> FormFact:
    """A form as it came, without id."""
    position, part, parts = received.parts[number]
    questionnaire = parts.questionnaire
    return FormFact(
        form_id="",
        canonical=parts.canonical,
        title=str(questionnaire.get("title") or questionnaire.get("name") or "Payer form"),
        package=received.package.digest,
        position=position,
        part=part,
        value_sets=tuple(item.digest for item in received.codes[number]),
        wanted_types=received.types[number],
        is_adaptive=adaptive.is_adaptive(parts),
        received_at=received.at,
        looked_at=received.looked_at,
        effective_until=read_effective_end(questionnaire)[:10],
        content=content_digest(parts),
    )


def _dated(services: Services, forms: Sequence[FormFact]) -> tuple[FormFact, ...]:
    """The forms, those marked that were out of force already when they came."""
    return tuple(replace(form, is_ended=_is_over(services, form)) for form in forms)


def _is_over(services: Services, form: FormFact) -> bool:
    until = form.effective_until
    return bool(until) and services.today().isoformat()[: len(until)] > until


def _has_ended(services: Services, form: FormFact) -> bool:
    """Whether a form that was in force when it came is so no longer."""
    return not form.is_ended and form.status != "completed" and _is_over(services, form)


def _renewed(
    services: Services, facts: Facts, received: _Received, ended: Sequence[FormFact]
) -> tuple[tuple[FormFact, ...], list[str]]:
    """(the case's forms now, drafts to be stopped as `form id, digest`)."""
    fresh = {_url(one): one for one in (_fact(received, number) for number in range(len(received.parts)))}
    forms: list[FormFact] = []
    superseded: list[str] = []
    for form in facts.forms:
        new = fresh.pop(_url(form), None) if form.status != "completed" else None
        if new is None:
            superseded += [f"{form.form_id} {form.response}"] if form in ended and form.response else []
            forms += [] if form in ended else [_seen(form, received)]
        elif new.content == form.content and new.canonical == form.canonical:
            forms.append(replace(_seen(form, received), is_ended=form in ended))  # the payer has no other
        else:
            superseded += [f"{form.form_id} {form.response}"] if form.response else []
            forms.append(_successor(form, new))
    if ended:  # what is asked for besides comes along; without one out of force, only the forms named were wanted
        last = max((int(form.form_id) for form in facts.forms), default=0)
        further = [one for one in fresh.values() if one.canonical not in {form.canonical for form in facts.forms}]
        forms += [replace(one, form_id=str(last + count + 1)) for count, one in enumerate(further)]
    return _dated_again(services, forms, facts.forms), superseded


def _dated_again(services: Services, forms: Sequence[FormFact], before: Sequence[FormFact]) -> tuple[FormFact, ...]:
    old = {form.form_id: form for form in before}
    return tuple(
        form
        if (known := old.get(form.form_id)) is not None and known.package == form.package
        else replace(form, is_ended=_is_over(services, form))
        for form in forms
    )


def _seen(form: FormFact, received: _Received) -> FormFact:
    """The form, known to be unchanged until now."""
    return form if form.status == "completed" else replace(form, received_at=received.at, looked_at=received.looked_at)


def _url(form: FormFact) -> str:
    return form.canonical.partition("|")[0] or form.title


def _successor(form: FormFact, new: FormFact) -> FormFact:
    """The new form in the place of an old one, with the old one's answers to be carried over."""
    if form.is_adaptive or new.is_adaptive or not (form.response or form.earlier):
        return replace(new, form_id=form.form_id)
    where = form.replaced if not form.response else f"{form.package} {form.position} {form.part}"
    return replace(new, form_id=form.form_id, earlier=form.response or form.earlier, replaced=where)


def resumed(services: Services, case: CaseRow, form: FormFact, session: FormSession) -> Json | None:
    """What a form starts from where people answered it before, in an earlier round or its predecessor; else None."""
    if not form.earlier:
        return None
    earlier: Json = parse_json(ledger.load_object(services, case, form.earlier))
    if not form.replaced or session.launch is None:
        return {**earlier, "status": "in-progress"}
    package, position, part = form.replaced.split(" ")
    old = read_definition(load_part(services, case, package, int(position), int(part)).questionnaire)
    now = services.clock.now()
    header = blank_response(session, session.launch, now, services.new_id())
    return carry_over(old, session.form, earlier, header, session.guide)


def _local(services: Services, case: CaseRow, facts: Facts) -> str:
    launch = launch_of(services, case, load_snapshot(services, case, facts))
    return launch.local(services.clock.now()).isoformat(timespec="seconds")


def _referenced(case: CaseRow, snapshot: Snapshot) -> list[Json]:
    """Patient and people that the order points to; never what it cites as support (spec/dtr.md §4.1)."""
    order = snapshot.require(case.order_reference).resource
    named = {key: order[key] for key in ("subject", "requester", "performer") if key in order}
    found = [snapshot.get(reference) for reference in references_in(named)]
    return [item.resource for item in found if item is not None]
