"""Forms that are taken up again: what the payer changed since, what ran out, and drafts that end.

A person who takes up a draft again works on the form that is in force: the payer is asked what changed since the form
came, and a form whose time is over is asked for anew (spec/dtr.md §4.2, §4.3; dtr:spec-123, oper-20).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from gateway.cases.facts import Facts, FormFact
from gateway.cases.states import CaseState
from gateway.fhir import Json
from gateway.fhir.json import dump_json, parse_json
from gateway.flows import ledger
from gateway.flows.extract import load_snapshot
from gateway.flows.form_cases import launch_of, load_part, response_item, todo
from gateway.flows.form_fetch import NO_FORM, Received, act_of, ask, fact_of, is_over, successor, url_of
from gateway.flows.ledger import Act
from gateway.flows.services import Services
from gateway.forms.carry import carry_over
from gateway.forms.definition import read_definition
from gateway.forms.draft import blank_response
from gateway.forms.session import FormSession
from gateway.store.rows import CaseRow

_S = CaseState
RESUMED_AFTER: Final = timedelta(hours=12)
"""A form that is taken up later than this after it came is looked for anew at the payer."""


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
    received = ask(services, case, facts, named, since)
    forms, superseded = _renewed(services, facts, received, ended)
    changed = replace(
        facts.succeeded("refresh-forms"), forms_look=False, forms=forms, superseded=(*facts.superseded, *superseded)
    )
    note = {"count": len(superseded), "kind": "forms-again", "form": ", ".join(one.canonical for one in forms)[:200]}
    act = act_of(services, case, received, note)
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


def _has_ended(services: Services, form: FormFact) -> bool:
    """Whether a form that was in force when it came is so no longer."""
    return not form.is_ended and form.status != "completed" and is_over(services, form)


def _renewed(
    services: Services, facts: Facts, received: Received, ended: Sequence[FormFact]
) -> tuple[tuple[FormFact, ...], list[str]]:
    """(the case's forms now, drafts to be stopped as `form id, digest`)."""
    fresh = {url_of(one): one for one in (fact_of(received, number) for number in range(len(received.parts)))}
    forms: list[FormFact] = []
    superseded: list[str] = []
    for form in facts.forms:
        new = fresh.pop(url_of(form), None) if form.status != "completed" else None
        if new is None:
            superseded += [f"{form.form_id} {form.response}"] if form in ended and form.response else []
            forms += [] if form in ended else [_seen(form, received)]
        elif new.content == form.content and new.canonical == form.canonical:
            forms.append(replace(_seen(form, received), is_ended=form in ended))  # the payer has no other
        else:
            superseded += [f"{form.form_id} {form.response}"] if form.response else []
            forms.append(successor(form, new))
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
        else replace(form, is_ended=is_over(services, form))
        for form in forms
    )


def _seen(form: FormFact, received: Received) -> FormFact:
    """The form, known to be unchanged until now."""
    return form if form.status == "completed" else replace(form, received_at=received.at, looked_at=received.looked_at)


def _local(services: Services, case: CaseRow, facts: Facts) -> str:
    launch = launch_of(services, case, load_snapshot(services, case, facts))
    return launch.local(services.clock.now()).isoformat(timespec="seconds")
