"""What people and client systems may do to a case: release, check again, override, send again, cancel, inquire."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from gateway.cases.facts import Facts, read_facts
from gateway.cases.states import CaseState
from gateway.errors import Busy, Conflict, InputError
from gateway.flows import ledger, submit
from gateway.flows.actors import Actor
from gateway.flows.ledger import Act, Item
from gateway.flows.services import Services
from gateway.flows.subjects import case_task
from gateway.policy.access import CaseFacts, require_access
from gateway.store.rows import CaseRow

MIN_REASON = 5
"""Least number of characters of a reason."""
INQUIRY_INTERVAL = timedelta(minutes=15)
"""Time between two inquiries of people about one case (pas:spec-42)."""
_S = CaseState
WITHDRAWN = frozenset({_S.PENDED, _S.APPROVED, _S.APPROVED_MODIFIED, _S.PARTIALLY_APPROVED})
"""States in which the payer holds something that has to be withdrawn; a denial holds nothing."""


def release(services: Services, actor: Actor, case_id: str) -> CaseRow:
    """Send the sealed packet now. Conflict where the case is not ready or something is still missing."""

    def once() -> CaseRow:
        case, facts = _load(services, actor, case_id, "case.release")
        if not facts.document:
            raise Conflict("The packet is still being assembled; try again in a moment.", code="case.state")
        decision = submit.decide(services, case, facts)
        if not decision.person_may_release:
            raise Conflict(" ".join(decision.reasons), code="case.release")
        return submit.release(services, case, facts, actor)

    return ledger.retry_on_conflict(once)


def check_again(services: Services, actor: Actor, case_id: str, reason: str = "") -> CaseRow:
    """Read the chart and ask the payer anew; forms already answered are filled again around people's answers.

    A request that was given up is sent again as it is. Conflict where the request is with the payer.
    """

    def once() -> CaseRow:
        case, facts = _load(services, actor, case_id, "case.recheck")
        if case.state == _S.NEEDS_ATTENTION and facts.submission_id and not facts.answer:
            return submit.send_again(services, case, facts, actor)
        if facts.submission_id and case.state not in (_S.NEEDS_ATTENTION, _S.DENIED):
            raise Conflict(
                "A request for this order is with the payer or decided; cancel it or post a new order.",
                code="case.state",
            )
        return _restart(services, case, facts, actor, reason or "checked again")

    return ledger.retry_on_conflict(once)


def override(services: Services, actor: Actor, case_id: str, reason: str) -> CaseRow:
    """A clinician goes on in spite of the clinical gap, with a reason that is kept."""
    if len(reason.strip()) < MIN_REASON:
        raise InputError("Say in a few words why the case should go on.", code="case.reason", status=422)

    def once() -> CaseRow:
        case, facts = _load(services, actor, case_id, "case.override")
        return _restart(services, case, replace(facts, is_overridden=True), actor, reason)

    return ledger.retry_on_conflict(once)


def cancel(services: Services, actor: Actor, case_id: str, reason: str = "") -> CaseRow:
    """Close a case. A request that the payer has is withdrawn there first; its answer closes the case.

    Conflict while the outcome of a request is not known: then a person has to ask the payer.
    """

    def once() -> CaseRow:
        case, facts = _load(services, actor, case_id, "case.cancel")
        if facts.submission_id and facts.answer and case.state in WITHDRAWN:
            return submit.withdraw(services, case, facts, actor, reason)
        if facts.submission_id and not facts.answer:
            raise Conflict(
                "The outcome of the request is not known; ask the payer whether it has it, then cancel.",
                code="case.submitted",
            )
        act = _act("cancel", case, _S.CANCELLED, actor, reason)
        return ledger.append(services, case, act, to=_S.CANCELLED, facts=facts)

    return ledger.retry_on_conflict(once)


def inquire(services: Services, actor: Actor, case_id: str) -> CaseRow:
    """Ask the payer once where the request stands, because a person wants to know (pas:spec-42).

    Busy where it was asked a short while ago; Conflict where nothing was sent.
    """
    case, facts = _load(services, actor, case_id, "case.inquire")
    if not facts.submission_id:
        raise Conflict("Nothing was sent to the payer yet.", code="case.state")
    with services.store.read() as tx:
        asked = [
            event.at for event in tx.events.list(case.tenant_id, case.case_id) if event.note.get("kind") == "inquiry"
        ]
    if asked and services.clock.now() < asked[-1] + INQUIRY_INTERVAL:
        raise Busy("The payer was asked a few minutes ago; wait for its notification.")
    return submit.inquire_now(services, case, facts, actor)


def _load(services: Services, actor: Actor, case_id: str, action: str) -> tuple[CaseRow, Facts]:
    case = ledger.load(services, actor.tenant, case_id)
    require_access(actor.caller, action, CaseFacts(tenant=case.tenant_id, state=CaseState(case.state)))
    return case, read_facts(case.facts)


def _restart(services: Services, case: CaseRow, facts: Facts, actor: Actor, reason: str) -> CaseRow:
    fresh = replace(
        facts,
        snapshot="",
        need="",
        evaluation="",
        verdict="",
        lines=(),
        forms_fetched=False,
        document="",
        submission_id="",
        answer="",
        requests=(),
        denial_reasons=(),
        authorization_numbers=(),
        attempts={},
        wait="",
    )
    return ledger.append(services, case, _act("release", case, _S.CHECKING, actor, reason), to=_S.CHECKING, facts=fresh)


def _act(verb: str, case: CaseRow, to: CaseState, actor: Actor, reason: str) -> Act:
    task = case_task(replace(case, state=to.value))
    return Act(
        verb=verb,
        about=(Item.local("Task", task, case.case_id),),
        actor=actor,
        note={"reason": reason.strip()[:400], "role": ",".join(actor.roles)},
    )
