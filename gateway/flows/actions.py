"""What people and client systems may do to a case: release, check again, override, send again, cancel, inquire."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from gateway.cases.facts import Facts, WriteBack, read_facts
from gateway.cases.states import CaseState
from gateway.errors import Busy, Conflict, InputError
from gateway.flows import inquiry, ledger, submit
from gateway.flows.actors import Actor
from gateway.flows.evaluate import is_stopped
from gateway.flows.ledger import Act, Item
from gateway.flows.outcome import Outcome, decide_outcome, in_force
from gateway.flows.services import Services
from gateway.flows.subjects import case_task
from gateway.flows.withdraw import withdraw
from gateway.policy.access import CaseFacts, require_access
from gateway.store.rows import CaseRow, SubmissionRow

MIN_REASON = 5
"""Least number of characters of a reason."""
INQUIRY_INTERVAL = timedelta(minutes=15)
"""Time between two inquiries of people about one case (pas:spec-42)."""
_S = CaseState


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

    A request that was given up is sent again as it is, and an answer that could not be taken is read again.
    Conflict where the request is with the payer.
    """

    def once() -> CaseRow:
        case, facts = _load(services, actor, case_id, "case.recheck")
        found = decide_outcome(case, facts, in_force(services, case, facts))
        if case.state == _S.NEEDS_ATTENTION and found in (Outcome.UNKNOWN, Outcome.UNREAD):
            return submit.send_again(services, case, facts, actor)
        if found is not Outcome.NOTHING:
            raise Conflict(
                "A request for this order is with the payer or decided; ask the payer, or cancel it first.",
                code="case.state",
            )
        return restart(services, case, facts, actor, reason or "checked again")

    return ledger.retry_on_conflict(once)


def read_again(services: Services, actor: Actor, case_id: str, reason: str) -> CaseRow:
    """`check_again` after the chart was changed for the case, also while it is being checked: that reading came first.

    The caller has asked whether the person may change the chart.
    """

    def once() -> CaseRow:
        case = ledger.load(services, actor.tenant, case_id)
        if case.state != _S.CHECKING:
            return check_again(services, actor, case_id, reason)
        return restart(services, case, read_facts(case.facts), actor, reason)

    return ledger.retry_on_conflict(once)


def override(services: Services, actor: Actor, case_id: str, reason: str) -> CaseRow:
    """A clinician goes on in spite of the clinical gap, with a reason that is kept.

    Conflict once it was sent, and where no verdict stops the case.
    """
    if len(reason.strip()) < MIN_REASON:
        raise InputError("Say in a few words why the case should go on.", code="case.reason", status=422)

    def once() -> CaseRow:
        case, facts = _load(services, actor, case_id, "case.override")
        if decide_outcome(case, facts, in_force(services, case, facts)) is not Outcome.NOTHING:
            raise Conflict(
                "A request for this order was sent already; send it again or ask the payer.", code="case.submitted"
            )
        if not is_stopped(case, facts):
            raise Conflict(
                "No verdict stops this case now, so there is nothing to override; its page says what it waits for.",
                code="case.no-gap",
            )
        return restart(services, case, replace(facts, is_overridden=True), actor, reason)

    return ledger.retry_on_conflict(once)


def is_withdrawal(services: Services, actor: Actor, case_id: str) -> bool:
    """Whether cancelling the case is about a request that the payer has or may have, or what came of it.

    Raises what `cancel` raises where this person may not cancel it or its state does not allow that.
    """
    case, facts = _load(services, actor, case_id, "case.cancel")
    return decide_outcome(case, facts, in_force(services, case, facts)) is not Outcome.NOTHING


def cancel(services: Services, actor: Actor, case_id: str, reason: str = "") -> CaseRow:
    """Close a case. A request that the payer has is withdrawn there first; its answer closes the case.

    Conflict while the outcome of a request is not known and the payer was not asked since it was sent last.
    """

    def once() -> CaseRow:
        case, facts = _load(services, actor, case_id, "case.cancel")
        rows = in_force(services, case, facts)
        found = decide_outcome(case, facts, rows)
        if found is Outcome.HELD:
            return withdraw(services, case, facts, actor, reason)
        if found is Outcome.UNKNOWN and rows[-1].kind == "cancel":
            return submit.send_again(services, case, facts, actor)
        if found is not Outcome.NOTHING and not _was_asked(services, case, rows[-1]):
            raise Conflict(
                "The outcome of the request is not known; ask the payer whether it has it, then cancel.",
                code="case.submitted",
            )
        act = _act("cancel", case, _S.CANCELLED, actor, reason)
        return ledger.append(services, case, act, to=_S.CANCELLED, facts=_telling(facts, act.about[0].digest))

    return ledger.retry_on_conflict(once)


def inquire(services: Services, actor: Actor, case_id: str) -> CaseRow:
    """Ask the payer once where the request stands, because a person wants to know (pas:spec-42).

    Busy where it was asked a short while ago; Conflict where nothing was sent.
    """
    case, facts = _load(services, actor, case_id, "case.inquire")
    if not facts.submission_id:
        raise Conflict("Nothing was sent to the payer yet.", code="case.state")
    asked = _last_asked(services, case)
    if asked and services.clock.now() < asked + INQUIRY_INTERVAL:
        raise Busy("The payer was asked a few minutes ago; wait for its notification.")
    return inquiry.inquire_now(services, case, facts, actor)


def _telling(facts: Facts, task: str) -> Facts:
    """The EHR is told of the new Task where it has one of the case, in place of older news that it has not had."""
    if not facts.task_id:
        return facts
    return facts.telling(WriteBack(kind="task", digest=task))


def _last_asked(services: Services, case: CaseRow) -> datetime | None:
    """When a person last asked the payer about the case."""
    with services.store.read() as tx:
        events = tx.events.list(case.tenant_id, case.case_id)
    return max((event.at for event in events if event.note.get("kind") == "inquiry"), default=None)


def _was_asked(services: Services, case: CaseRow, row: SubmissionRow) -> bool:
    """Whether nothing can have come of the request: it never left, or the payer was asked after the last try."""
    asked = _last_asked(services, case)
    return row.last_sent_at is None or (asked is not None and asked > row.last_sent_at)


def _load(services: Services, actor: Actor, case_id: str, action: str) -> tuple[CaseRow, Facts]:
    case = ledger.load(services, actor.tenant, case_id)
    require_access(actor.caller, action, CaseFacts(tenant=case.tenant_id, state=CaseState(case.state)))
    return case, read_facts(case.facts)


def restart(services: Services, case: CaseRow, facts: Facts, actor: Actor, reason: str) -> CaseRow:
    """Check the case anew from the chart on; nothing sent before counts any more."""
    fresh = replace(
        facts,
        snapshot="",
        need="",
        evaluation="",
        verdict="",
        lines=(),
        forms_fetched=False,
        document="",
        held_until="",
        submission_id="",
        sent="",
        answered="",
        answer="",
        requests=(),
        denial_reasons=(),
        authorization_numbers=(),
        attempts={},
        wait="",
    )
    undecided = {"decision": "", "authorization_number": "", "approval_ends_on": None}
    act = _act("release", case, _S.CHECKING, actor, reason)
    return ledger.append(services, case, act, to=_S.CHECKING, facts=fresh, changes=undecided)


def _act(verb: str, case: CaseRow, to: CaseState, actor: Actor, reason: str) -> Act:
    task = case_task(replace(case, state=to.value))
    return Act(
        verb=verb,
        about=(Item.local("Task", task, case.case_id),),
        actor=actor,
        note={"reason": reason.strip()[:400], "role": ",".join(actor.roles)},
    )
