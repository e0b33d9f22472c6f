"""A red-flag exception: looked at, attested by a clinician, written to the EHR, and let through.

Steps: (1) the clinician proves who they are and attests what stands on the page; that is recorded first, with
the exact words; (2) findings, chosen codes, assessment and Provenance go to the EHR, each once; (3) the chart
is read anew and the rule decides, so that nothing passes but what stands in the chart. After a fault of the EHR
(2) is repeated without a second attestation. Source: spec/clinical.md §4; spec/provenance.md §3.1, §7.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Final

from gateway.clinical.attestation import (
    EXPEDITED,
    Choices,
    Offer,
    check_choices,
    finding_lines,
    free_texts,
    make_offers,
    statement_of,
    weighty_codes,
)
from gateway.clinical.chart import order_day
from gateway.clinical.evaluate import Evaluation
from gateway.clinical.instruments import Instrument, RedFlagTemplate
from gateway.clinical.instruments_extract import answered_on, extract_observations
from gateway.errors import Conflict, InputError
from gateway.fhir import Json
from gateway.fhir.json import dump_json, parse_json
from gateway.flows import actions, instruments, ledger
from gateway.flows.actors import Actor
from gateway.flows.attest_records import Deed, changed_order, proof_of, put_all, require_practitioner, signing_of
from gateway.flows.instruments import Bench, TemplateSheet
from gateway.flows.instruments_write import EhrShelf, TrialShelf, change_order
from gateway.flows.ledger import Act, Item
from gateway.flows.services import Services
from gateway.policy.access import require_access
from gateway.store.rows import CaseRow, EventRow

__all__ = ["EXPEDITED", "Choices", "Review", "attest", "finish", "free_texts", "is_written", "review", "unwritten"]

ATTESTED: Final = "template-attested"
"""Kind of the event of an attestation."""
WRITTEN: Final = "template-written"
"""Kind of the event after which the EHR holds what was attested."""
UNSAVED: Final = (
    "The attestation is kept. The order is not in the EHR yet; once it is saved there, open the template again and "
    "have it written to the EHR."
)
"""Sentence for an attestation on an order that a hook announced and nobody saved yet."""
LOOK_BACK: Final = timedelta(days=183)
"""How far before the order findings of the chart are offered as evidence for a code."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """A template before it is attested: what will be recorded, what may be chosen, what is missing."""

    opened: TemplateSheet
    """The template with its answers."""
    template: RedFlagTemplate
    """What it is for."""
    notice: str
    """What is always shown."""
    findings: tuple[str, ...]
    """What will be recorded, one line each."""
    offers: tuple[Offer, ...]
    """Codes that may be chosen."""
    missing: tuple[str, ...]
    """What the exception lacks; empty when it would be complete."""
    is_complete: bool
    """Whether the rule would accept it once attested."""
    order_on: date
    """Day of the order."""
    examined_on: str
    """Day of the examination; empty while it is open."""
    needs_renewal: bool
    """The examination is later than the order: it counts only for an order that is renewed."""
    may_attest: bool
    """Whether this person may attest once they have proved who they are."""


def review(services: Services, actor: Actor, case_id: str, slug: str) -> Review:
    """What would be attested, as the template stands now. Conflict where no rule judged the case."""
    opened = instruments.open_template(services, actor, case_id, slug)
    bench = instruments.open_bench(services, opened.sheet)
    deed = _deed(services, actor, opened, bench, Choices(), require_person=False)
    order_on = order_day(bench.order, bench.zone, services.clock.now())[0]
    examined_on = answered_on(opened.response, opened.instrument.questionnaire, bench.concepts)
    needs_renewal = examined_on > order_on.isoformat()
    found, shelf = _trial(services, bench, _renewed(deed, services, needs_renewal))
    open_words = instruments.open_questions(opened.instrument.questionnaire, opened.response)
    complete = found.red_flag == "complete_attested" and not open_words
    stepped_up = replace(actor.caller, stepped_up=True)
    return Review(
        opened=opened,
        template=deed.template,
        notice=bench.concepts.red_flags.notice,
        findings=finding_lines(item for item in shelf.resources if item["resourceType"] == "Observation"),
        offers=deed.offers,
        missing=() if complete else (*(f"Open: {words}" for words in open_words), *_lacking(found)),
        is_complete=complete,
        order_on=order_on,
        examined_on=examined_on,
        needs_renewal=needs_renewal,
        may_attest=instruments.may(stepped_up, "red_flag.attest", opened.sheet.case),
    )


def _lacking(found: Evaluation) -> tuple[str, ...]:
    return found.red_flag_lines if found.red_flag == "incomplete" else ()


def attest(
    services: Services, actor: Actor, case_id: str, slug: str, choices: Choices, seen: str, *, stepped_up: bool
) -> CaseRow:
    """Attest a template as a clinician, write it to the EHR and let the rule decide anew.

    `seen` is the digest of the draft that stood on the page; `stepped_up` says that the person has just proved who
    they are. Raises AccessError (role, step-up, no Practitioner), Conflict (the template or the case has moved on),
    InputError 422 (something is missing, or speaks against the choice), and the EHR's errors: what was attested
    is kept then, and `finish` writes it again.
    """

    def once() -> CaseRow:
        opened = instruments.open_template(services, actor, case_id, slug)
        about = instruments.about(opened.sheet.case)
        require_access(replace(actor.caller, stepped_up=stepped_up), "red_flag.attest", about)
        return _attest(services, actor, opened, choices, seen)

    ledger.retry_on_conflict(once)
    return finish(services, actor, case_id, slug)


def _attest(services: Services, actor: Actor, opened: TemplateSheet, choices: Choices, seen: str) -> CaseRow:
    """Judge and record an attestation; nothing is written to the EHR yet."""
    if not opened.digest or seen != opened.digest:
        raise Conflict(instruments.CHANGED, code="template.changed")
    bench = instruments.open_bench(services, opened.sheet)
    deed = _deed(services, actor, opened, bench, choices, require_person=True)
    _require_sound(services, opened, bench, deed)
    return _record(services, actor, opened, deed, _attestation(actor, deed))


def _require_sound(services: Services, opened: TemplateSheet, bench: Bench, deed: Deed) -> None:
    """Nothing is attested that the rule would not accept, or that the guard rails speak against."""
    problems = [f"Open: {words}" for words in instruments.open_questions(deed.instrument.questionnaire, deed.response)]
    problems += check_choices(deed.offers, deed.choices)
    examined = answered_on(deed.response, deed.instrument.questionnaire, deed.concepts)
    order_on = order_day(bench.order, bench.zone, services.clock.now())[0]
    if examined > instruments.today(services, bench).isoformat():
        problems.append("The examination is dated in the future.")
    elif examined > order_on.isoformat() and not deed.choices.renews_order:
        problems.append("The examination is later than the order; renew the order as of today, or correct the date.")
    if not problems:
        found, _ = _trial(services, bench, deed)
        if found.red_flag != "complete_attested":
            problems += _lacking(found) or ("The rule does not accept this exception.",)
    if problems:
        raise InputError(" ".join(problems), code="red-flag.incomplete", status=422)


def unwritten(events: Sequence[EventRow], slug: str) -> str:
    """Digest of an attestation that the EHR does not hold yet; empty when there is none."""
    for event in reversed(events):
        if event.note.get("form") == slug and event.note.get("kind") in (ATTESTED, WRITTEN):
            return event.object_digest if event.note["kind"] == ATTESTED else ""
    return ""


def is_written(events: Sequence[EventRow], slug: str) -> bool:
    """Whether the EHR holds the latest attestation of a template; False where there is none."""
    kinds = [event.note.get("kind") for event in events if event.note.get("form") == slug]
    return next((kind == WRITTEN for kind in reversed(kinds) if kind in (ATTESTED, WRITTEN)), False)


def finish(services: Services, actor: Actor, case_id: str, slug: str) -> CaseRow:
    """Write to the EHR what was attested, and check the case again.

    Who writes need not be who attested: the records name the clinician of the attestation. Raises AccessError for
    those who only read, Conflict where nothing waits, the EHR's errors.
    """
    require_access(actor.caller, "template.answer")
    opened = instruments.open_template(services, actor, case_id, slug)
    case = opened.sheet.case
    digest = unwritten(opened.sheet.events, slug)
    if not digest:
        raise Conflict("There is no attestation of this template that waits to be written.", code="template.state")
    if opened.sheet.facts.is_unsaved:
        raise Conflict(UNSAVED, code="order.unsaved")
    bench = instruments.open_bench(services, opened.sheet)
    deed = _read(services, case, bench, opened.instrument, parse_json(ledger.load_object(services, case, digest)))
    shelf = EhrShelf(services=services, case=case, act_id=digest)
    put_all(deed, shelf, lambda: _write_order(services, case, deed, shelf))
    act = Act(
        verb="write-back",
        about=shelf.items(),
        note={"kind": WRITTEN, "form": slug, "count": len(shelf.written)},
    )
    ledger.append_done(services, case, act)
    return actions.read_again(services, actor, case_id, f"red flag attested: {deed.template.category}")


def _write_order(services: Services, case: CaseRow, deed: Deed, shelf: EhrShelf) -> None:
    shelf.written.append(change_order(services, case, lambda order: changed_order(order, deed)))


def _trial(services: Services, bench: Bench, deed: Deed) -> tuple[Evaluation, TrialShelf]:
    """What the rule would say if all of it stood in the chart."""
    shelf = TrialShelf()
    put_all(deed, shelf, lambda: None)
    return instruments.judge(services, bench, changed_order(deed.order, deed), shelf.resources), shelf


def _renewed(deed: Deed, services: Services, needs_renewal: bool) -> Deed:
    return replace(deed, choices=replace(deed.choices, renews_order=True)) if needs_renewal else deed


def _deed(
    services: Services, actor: Actor, opened: TemplateSheet, bench: Bench, choices: Choices, *, require_person: bool
) -> Deed:
    template = opened.instrument.template
    if not isinstance(template, RedFlagTemplate):
        raise InputError("This template is no red-flag exception.", code="red-flag.template", status=422)
    if require_person:
        require_practitioner(actor)
    signing = signing_of(services, actor.practitioner or "Practitioner/not-signed-in", bench.zone)
    bare = Deed(
        instrument=opened.instrument,
        template=template,
        response=opened.response,
        choices=choices,
        offers=(),
        concepts=bench.concepts,
        order=bench.order,
        signing=signing,
        statement="",
    )
    offers = _offers(bare, bench, instruments.today(services, bench))
    lines = finding_lines(
        extract_observations(opened.instrument.questionnaire, opened.response, bench.concepts, bare.context)
    )
    order = f"{bench.order['resourceType']}/{bench.order['id']}"
    statement = statement_of(template, actor.name or actor.id, order, lines, choices, signing.at)
    return replace(bare, offers=offers, statement=statement)


def _offers(deed: Deed, bench: Bench, today: date) -> tuple[Offer, ...]:
    """Codes with evidence from the chart and from this template."""
    drafted = extract_observations(deed.instrument.questionnaire, deed.response, deed.concepts, deed.context)
    recorded = bench.snapshot.record.of_type("Observation")
    since = order_day(bench.order, bench.zone, deed.signing.at)[0] - LOOK_BACK
    return make_offers(deed.template, (*recorded, *drafted), deed.concepts, since, today)


def _attestation(actor: Actor, deed: Deed) -> bytes:
    """Everything that `finish` needs, and how the person proved who they are."""
    return proof_of(
        actor,
        deed.signing,
        deed.statement,
        response_sha256=hashlib.sha256(dump_json(deed.response)).hexdigest(),
        response=dump_json(deed.response).decode(),
        codes=list(deed.choices.codes),
        confirmed=sorted(deed.choices.confirmed),
        weighed=sorted(deed.choices.weighed),
        expedited=deed.choices.is_expedited,
        renews_order=deed.choices.renews_order,
    )


def _record(services: Services, actor: Actor, opened: TemplateSheet, deed: Deed, body: bytes) -> CaseRow:
    case, slug = opened.sheet.case, deed.instrument.slug
    weighty = weighty_codes(deed.choices, deed.offers)
    act = Act(
        verb="red-flag-attest",
        about=(
            Item.body(body, "application/json"),
            instruments.template_item(case, slug, dump_json(deed.response)),
        ),
        sources=(Item.body(deed.statement.encode(), "text/plain"),),
        actor=actor,
        note={
            "kind": ATTESTED,
            "form": slug,
            "code": deed.template.category,
            "decision": "expedited" if deed.choices.is_expedited else "standard",
            "why": f"risk adjustment: {', '.join(weighty)}" if weighty else "",
            "role": ",".join(actor.roles),
        },
    )
    return ledger.append(services, case, act)


def _read(services: Services, case: CaseRow, bench: Bench, instrument: Instrument, kept: Json) -> Deed:
    """The attestation as it was recorded: same words, same instant, same clinician."""
    template = instrument.template
    if not isinstance(template, RedFlagTemplate):
        raise InputError("This template is no red-flag exception.", code="red-flag.template", status=422)
    choices = Choices(
        codes=tuple(kept["codes"]),
        confirmed=frozenset(kept["confirmed"]),
        weighed=frozenset(kept["weighed"]),
        is_expedited=kept["expedited"],
        renews_order=kept["renews_order"],
    )
    signing = replace(signing_of(services, kept["clinician"], bench.zone), at=datetime.fromisoformat(kept["at"]))
    deed = Deed(
        instrument=instrument,
        template=template,
        response=parse_json(kept["response"].encode()),
        choices=choices,
        offers=(),
        concepts=bench.concepts,
        order=bench.order,
        signing=signing,
        statement=kept["statement"],
    )
    return replace(deed, offers=_offers(deed, bench, signing.at.date()))
