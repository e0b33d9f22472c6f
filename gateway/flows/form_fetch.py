"""The payer's forms of a case, asked for: at first, by name, and by the trace number of a request after a pend.

Whatever comes is kept byte for byte; a form is read again from those bytes whenever it is needed. What becomes of forms
that are taken up again is said in `form_renewal` (spec/dtr.md §2, §4).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
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
from gateway.flows.form_cases import after_forms, guide_of, todo
from gateway.flows.ledger import Act, Item
from gateway.flows.logic_codes import fetch_codes
from gateway.flows.logic_data import wanted_types
from gateway.flows.services import Services
from gateway.forms import adaptive
from gateway.forms.parts import content_digest, forms_of
from gateway.profiles.dtr_package import FormPackageParts, PackageAnswer, read_package_answer
from gateway.profiles.dtr_sdc import read_effective_end
from gateway.store.rows import CaseRow

_S = CaseState
NO_FORM: Final = "The payer wants documentation but sent no form; read its message and ask by phone."


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
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
    received = ask(services, case, facts, named, None)
    found, superseded = _after_earlier_rounds(facts, received)
    changed = replace(
        facts.succeeded("fetch-forms"),
        forms_fetched=True,
        forms=_dated(services, found),
        superseded=(*facts.superseded, *superseded),
    )
    note = {"count": len(found), "form": ", ".join(form.canonical for form in found)[:200]}
    if found:
        return ledger.append(services, case, act_of(services, case, received, note), facts=changed)
    act = act_of(services, case, received, note)
    return ledger.append(services, case, act, facts=changed, to=_S.NEEDS_ATTENTION, next_action=NO_FORM)


def _after_earlier_rounds(facts: Facts, received: Received) -> tuple[list[FormFact], list[str]]:
    """(the forms that came, with what people answered in an earlier round of the case; drafts to be stopped).

    A completed form answers no other version of it (dtr:spec-125); a draft is carried into a newer one.
    """
    known = [form for form in facts.forms if form.response or form.earlier]
    last = max((int(form.form_id) for form in known), default=0)
    found: list[FormFact] = []
    superseded: list[str] = []
    for fresh in (fact_of(received, number) for number in range(len(received.parts))):
        same = [form for form in known if (form.canonical or form.title) == (fresh.canonical or fresh.title)]
        drafts = [form for form in known if url_of(form) == url_of(fresh) and form.status != "completed"]
        earlier = next(iter((*same, *drafts)), None)
        if earlier is None:
            last += 1
            found.append(replace(fresh, form_id=str(last)))
            continue
        known.remove(earlier)
        found.append(successor(earlier, fresh))
        if not _is_same(earlier, fresh) and earlier.status != "completed" and earlier.response:
            superseded.append(f"{earlier.form_id} {earlier.response}")
    return found, superseded


def _is_same(form: FormFact, new: FormFact) -> bool:
    return form.canonical == new.canonical and (not form.content or form.content == new.content)


def successor(form: FormFact, new: FormFact) -> FormFact:
    """The form that came in the place of one that is there, with its answers to be filled around or carried over."""
    answers = form.working or form.response or form.earlier
    if _is_same(form, new):
        return replace(new, form_id=form.form_id, earlier=answers, replaced="" if form.response else form.replaced)
    if form.is_adaptive or new.is_adaptive or not answers:
        return replace(new, form_id=form.form_id)
    where = form.replaced if not form.response else f"{form.package} {form.position} {form.part}"
    return replace(new, form_id=form.form_id, earlier=answers, replaced=where)


def fetch_named(services: Services, case: CaseRow, facts: Facts) -> CaseRow:
    """Fetch the forms that the payer named since; those of the case stay as they are. Raises PayerError."""
    received = ask(services, case, facts, facts.forms_named, None)
    here = {url_of(form) for form in facts.forms}
    last = max((int(form.form_id) for form in facts.forms), default=0)
    fresh = [
        one for one in (fact_of(received, number) for number in range(len(received.parts))) if url_of(one) not in here
    ]
    added = _dated(services, [replace(one, form_id=str(last + count + 1)) for count, one in enumerate(fresh)])
    done = facts.succeeded("fetch-named-forms")
    changed = replace(done, forms_named=(), forms=(*facts.forms, *added))
    note = {"count": len(added), "kind": "forms-named", "form": ", ".join(form.canonical for form in added)[:200]}
    act = act_of(services, case, received, note)
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
    received = ask(services, case, replace(facts, assertion_id=wanted.context), (), None)
    last = max((int(form.form_id) for form in facts.forms), default=0)
    fresh = [fact_of(received, number) for number in range(len(received.parts))]
    numbered = [replace(one, form_id=str(last + n + 1), asked_by=wanted.control_number) for n, one in enumerate(fresh)]
    done = facts.succeeded("fetch-requested-form")
    changed = replace(done, forms=(*facts.forms, *_dated(services, numbered)))
    act = act_of(services, case, received, {"count": len(fresh), "kind": "form-requested", "code": wanted.code})
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


def ask(services: Services, case: CaseRow, facts: Facts, canonicals: Sequence[str], since: datetime | None) -> Received:
    """Ask the payer for forms, and for the codes that they need and do not bring.

    `canonicals` narrow the answer to these forms, `since` to what changed after it. Raises PayerError.
    """
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
    return Received(exchange=exchange, package=package, parts=parts, codes=codes, types=types, looked_at=looked_at)


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


def act_of(services: Services, case: CaseRow, received: Received, note: dict[str, Any]) -> Act:
    """The event of forms that were asked for: about what came, resting on what was sent."""
    came = bool(received.exchange.response_bytes)
    return Act(
        verb="form-receive",
        about=(received.package,),
        sources=received.sources,
        payer=services.payer_row(case.payer).name if came else "",
        note=note,
    )


def fact_of(received: Received, number: int) -> FormFact:
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
    return tuple(replace(form, is_ended=is_over(services, form)) for form in forms)


def is_over(services: Services, form: FormFact) -> bool:
    """Whether a form is out of force today at the practice."""
    until = form.effective_until
    return bool(until) and services.today().isoformat()[: len(until)] > until


def url_of(form: FormFact) -> str:
    """What tells forms apart over their versions: the url, or the title where a form has none."""
    return form.canonical.partition("|")[0] or form.title


def _referenced(case: CaseRow, snapshot: Snapshot) -> list[Json]:
    """Patient and people that the order points to; never what it cites as support (spec/dtr.md §4.1)."""
    order = snapshot.require(case.order_reference).resource
    named = {key: order[key] for key in ("subject", "requester", "performer") if key in order}
    found = [snapshot.get(reference) for reference in references_in(named)]
    return [item.resource for item in found if item is not None]
