"""Moving a case on: the one job of the gateway.

It decides the next step from state and facts, takes it, and goes on until nothing is left to do now.
A step that fails through somebody else's fault waits and is tried again; one that cannot succeed ends
with a person. Running it twice, or at the wrong moment, does nothing.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from gateway.cases.facts import Facts, read_facts
from gateway.cases.states import CaseState
from gateway.errors import Busy, Conflict, GatewayError, NotFound, PartnerError
from gateway.flows import (
    attach,
    care_steps,
    evaluate,
    extract,
    form_fetch,
    form_renewal,
    form_reports,
    forms,
    intercept_signed,
    ledger,
    logic_data,
    need,
    notices,
    packet,
    submit,
    subscribe,
    write_back,
)
from gateway.flows.ledger import Act, Item
from gateway.flows.services import Services
from gateway.flows.subjects import case_task
from gateway.logs import get_logger
from gateway.policy.retry import (
    Failure,
    FailureKind,
    RetryAt,
    RetryLimits,
    decide_retry,
    default_limits,
    read_failure,
)
from gateway.store.rows import CaseRow

Step = Callable[[Services, CaseRow, Facts], CaseRow]
STEPS: dict[str, Step] = {
    "extract": extract.extract,
    "find-signed": intercept_signed.look,
    "ask-payer": need.ask_payer,
    "check-rules": evaluate.check_rules,
    "fetch-forms": form_fetch.fetch,
    "refresh-forms": form_renewal.refresh,
    "stop-drafts": form_renewal.stop_drafts,
    "fetch-named-forms": form_fetch.fetch_named,
    "fetch-requested-form": form_fetch.fetch_requested,
    "read-more": logic_data.read_more,
    "populate": forms.populate_next,
    "assemble": packet.assemble,
    "release": submit.release,
    "send": submit.send,
    "conclude": submit.conclude_stored,
    "notification": notices.process,
    "send-attachment": attach.send_attachment,
    "care": care_steps.step,
    "write-back": write_back.write_back,
    "report-form-errors": form_reports.send,
}
BESIDE: dict[str, Callable[[Services, Facts], Facts]] = {
    "report-form-errors": form_reports.given_up,
    "refresh-forms": form_renewal.given_up,
    "fetch-requested-form": form_fetch.request_given_up,
    "read-more": logic_data.given_up,
}
"""Steps that hold up nothing: after the last try the case goes on without them, with these facts."""
MOST_STEPS = 40
"""Steps one job takes at most; a case that wants more is taken up by the next job."""
WATCH_EVERY = timedelta(days=1)
"""How often a pended case is looked at while the payer says nothing."""
OVERDUE = "The payer's time to decide is over; ask it where the request stands."
"""Sentence for a pend past its deadline."""
RELEASE = "Review the packet and release it."
"""Sentence for a packet that waits for a person."""
BROKEN = "The gateway failed on this step; tell whoever runs it, then check the case again."
"""Sentence for an error that nobody expected."""
_S = CaseState
NO_WAY_BACK = frozenset({_S.CANCELLED, _S.EXPIRED})
"""States that nothing but a person leaves."""


def advance(services: Services, tenant: str, case_id: str) -> None:
    """Take every step that can be taken now. Never raises for a fault of an EHR, a payer or a case."""
    token = ledger.MOVING.set(case_id)
    try:
        _move(services, tenant, case_id)
    finally:
        ledger.MOVING.reset(token)


def _move(services: Services, tenant: str, case_id: str) -> None:
    for _ in range(MOST_STEPS):
        try:
            case = ledger.load(services, tenant, case_id)
        except NotFound:
            return
        if not _go_on(services, case, read_facts(case.facts)):
            return


def _go_on(services: Services, case: CaseRow, facts: Facts) -> bool:
    """Decide and take one step; False when the job should stop now."""
    try:
        step = decide_step(services, case, facts)
    except Busy:
        return False  # the database is away; the sweep comes back
    except GatewayError as error:
        _ask_person(services, case, facts, "decide", error.diagnostics())
        return False
    if step is None:
        _rest(services, case, facts)
        return False
    if facts.wait == step and case.due_at and case.due_at > services.clock.now():
        return False
    return _take(services, case, facts, step)


def decide_step(services: Services, case: CaseRow, facts: Facts) -> str | None:
    """The next step of the case, or None when it rests: its own work first, then what EHR and payer must be told."""
    own = "stop-drafts" if facts.superseded else _own_step(services, case, facts)
    own = own or ("care" if care_steps.is_due(services, case, facts) else None)
    own = own or ("write-back" if _may_write_back(facts) else None)
    return own or ("report-form-errors" if form_reports.waiting(facts.forms) else None)


def _may_write_back(facts: Facts) -> bool:
    """Whether the EHR has to be told something of an order that it has."""
    return facts.pending_write_back() is not None and not facts.is_unsaved


def _own_step(services: Services, case: CaseRow, facts: Facts) -> str | None:
    state = CaseState(case.state)
    if intercept_signed.is_due(case, facts, services.clock.now()):
        return "find-signed"
    if state is _S.RECEIVED:
        return "extract"
    if state is _S.CHECKING:
        return _first((("extract", not facts.snapshot), ("ask-payer", not facts.need), ("check-rules", True)))
    if state is _S.DOCUMENTING:
        waiting = any(not form.response for form in facts.forms)
        again = facts.forms_fetched and form_renewal.is_due(services, facts)
        more = bool(facts.snapshot and logic_data.missing_types(facts))
        fetching = (("fetch-forms", not facts.forms_fetched), ("fetch-named-forms", bool(facts.forms_named)))
        return _first((*fetching, ("refresh-forms", again), ("read-more", more), ("populate", waiting)))
    if state is _S.READY:
        if not facts.document:
            return "assemble"
        return "release" if submit.decide(services, case, facts).now else None
    if state is _S.DOCUMENTED and not facts.document:
        return "assemble"
    if state is _S.SUBMITTING:
        return "conclude" if submit.is_answered(services, case, facts) else "send"
    unsent = any(item.attachment and not item.sent for item in facts.requests)
    if state is _S.PENDED and unsent:
        return "send-attachment"
    if facts.submission_id and notices.pending(services, case):
        return "notification"
    waiting = any(not form.response for form in facts.forms)
    asked = (("fetch-requested-form", form_fetch.requested(facts) is not None), ("populate", waiting))
    return _first(asked) if state is _S.PENDED else None


def _first(options: tuple[tuple[str, bool], ...]) -> str | None:
    return next((name for name, holds in options if holds), None)


def _take(services: Services, case: CaseRow, facts: Facts, step: str) -> bool:
    """Take one step; False when the job should stop now.

    A step that failed may have moved the case before it did, so what follows starts from the case as it stands.
    """
    try:
        changed = STEPS[step](services, case, facts)
        return changed.version != case.version and not _waits(services, changed)
    except Busy:
        return False  # the database is away; the sweep comes back
    except Exception as error:
        try:
            now = ledger.load(services, case.tenant_id, case.case_id)
        except (NotFound, Busy):
            return False
        return _after_error(services, case, now, step, error)


def _after_error(services: Services, before: CaseRow, case: CaseRow, step: str, error: Exception) -> bool:
    """Steps: (1) somebody else moved the case, so decide anew; (2) a row beside it changed; (3) a partner failed,
    or refuses as long as things stand so; (4) all else needs a person, foreign errors by a sentence of our own."""
    facts = read_facts(case.facts)
    if isinstance(error, Conflict) and (case.version != before.version or error.reason == "conflict.serialization"):
        get_logger().info("case-moved-meanwhile", case_id=case.case_id, stage=step, code=error.reason)  # (1)
        return True
    if case.state != before.state:
        return True  # (1)
    if isinstance(error, Conflict) and error.reason.startswith("conflict"):
        return False  # (2) a submission or subscription: the sweep comes back
    if isinstance(error, PartnerError):  # (3)
        failure = replace(read_failure(error, is_safe=True), token_was_renewed=True)  # clients renew it themselves
        _fail(services, case, facts, step, failure, error)
    elif isinstance(error, Conflict) and error.reason.startswith("ehr."):
        _fail(services, case, facts, step, Failure(kind=FailureKind.TRY_LATER, is_safe=True), error)
    elif isinstance(error, GatewayError):  # (4)
        _ask_person(services, case, facts, step, error.diagnostics())
    else:
        get_logger().error("step-broken", case_id=case.case_id, stage=step, error=type(error))
        _ask_person(services, case, facts, step, f"{BROKEN} ({step})")
    return False


def _waits(services: Services, case: CaseRow) -> bool:
    return bool(read_facts(case.facts).wait) and bool(case.due_at and case.due_at > services.clock.now())


def _fail(services: Services, case: CaseRow, facts: Facts, step: str, failure: Failure, error: GatewayError) -> None:
    """Try again later, or ask a person when that makes no sense or was done often enough."""
    counted = facts.failed(step)
    decision = decide_retry(
        failure, counted.attempts[step], services.clock.now(), random.random(), _limits(services, case)
    )
    get_logger().info(
        "step-failed", case_id=case.case_id, stage=step, attempt=counted.attempts[step], code=error.reason
    )
    if isinstance(decision, RetryAt):
        # What the EHR was not told yet says nothing about whose move the case is.
        why = "" if step == "write-back" or step in BESIDE else f"{decision.why} ({step})"
        _quietly(lambda: ledger.set_waiting(services, case, counted, decision.when, why))
        return
    todo = getattr(decision, "next_action", "")
    _ask_person(services, case, counted, step, f"{error.diagnostics()} {todo}".strip())


def _limits(services: Services, case: CaseRow) -> RetryLimits:
    try:
        return submit.limits(services, case)
    except NotFound:
        return default_limits()  # the payer's row is gone; what failed may be the EHR's


def _ask_person(services: Services, case: CaseRow, facts: Facts, step: str, sentence: str) -> None:
    """The case needs a person: say what to do, keep everything.

    A failed write-back leaves the state as it is. A notification that cannot be taken is set aside, so that it is
    not tried for ever; a closed case then stays closed.
    """
    get_logger().warning("step-given-up", case_id=case.case_id, stage=step)
    if step in BESIDE:
        _quietly(lambda: ledger.set_waiting(services, case, BESIDE[step](services, facts), services.clock.now()))
        return
    if step == "write-back":
        _quietly(lambda: _leave(services, case, facts, sentence))
        return
    if step == "notification":
        notices.set_aside(services, case, "it could not be taken")
    if CaseState(case.state) in NO_WAY_BACK:
        return
    task = case_task(replace(case, state=_S.NEEDS_ATTENTION.value))
    act = Act(verb="hold", about=(Item.local("Task", task, case.case_id),), note={"stage": step})
    cleared = facts.succeeded(step)
    _quietly(lambda: ledger.append(services, case, act, to=_S.NEEDS_ATTENTION, next_action=sentence, facts=cleared))


def _leave(services: Services, case: CaseRow, facts: Facts, sentence: str) -> CaseRow:
    """Give up telling the EHR this one thing; the worklist says so."""
    item = facts.pending_write_back()
    rest = tuple(replace(other, done=True, attempts=-1) if other is item else other for other in facts.write_backs)
    changed = replace(facts.succeeded("write-back"), write_backs=rest)
    text = f"The EHR could not be told: {sentence}"
    return ledger.set_waiting(services, case, changed, services.clock.now(), text)


def _rest(services: Services, case: CaseRow, facts: Facts) -> None:
    """Nothing to do now: keep a timer of the future, drop one of the past."""
    now = services.clock.now()
    if case.state == _S.HELD:
        _keep_held(services, case, facts, now)
    elif case.state == _S.PENDED:
        _keep_pended(services, case, facts, now)
    elif case.state == _S.READY and case.move != "us":
        _keep_ready(services, case, facts)
    elif (look_at := intercept_signed.look_time(case, facts)) is not None:
        if case.due_at != look_at:
            _quietly(lambda: ledger.set_waiting(services, case, replace(facts, wait=""), look_at))
    elif case.due_at is not None and case.due_at <= now:
        _quietly(lambda: ledger.set_waiting(services, case, replace(facts, wait=""), None))


def _keep_ready(services: Services, case: CaseRow, facts: Facts) -> None:
    """A sealed packet that does not leave by itself is a person's move, with the reasons why it waits."""
    release = submit.decide(services, case, facts)
    sentences = [*release.reasons, *([RELEASE] if release.person_may_release else [])]
    changes = {"move": "us", "next_action": " ".join(sentences)}
    rested = replace(facts, wait="")
    due_at = case.due_at if case.due_at and case.due_at > services.clock.now() else None
    _quietly(lambda: ledger.set_waiting(services, case, rested, due_at, changes=changes))


def _keep_held(services: Services, case: CaseRow, facts: Facts, now: datetime) -> None:
    """Look again at a held case when its time has come; else make sure that its timer runs, whatever used it."""
    until = ledger.held_until(facts)
    if until is None or until <= now:
        _quietly(lambda: _look_again(services, case, facts))
    elif case.due_at != (due_at := min(until, intercept_signed.look_time(case, facts) or until)):
        _quietly(lambda: ledger.set_waiting(services, case, replace(facts, wait=""), due_at))


def _keep_pended(services: Services, case: CaseRow, facts: Facts, now: datetime) -> None:
    """A pend never waits in silence: daily its subscription is made sure of, and past its time it is our move."""
    if case.due_at is not None and case.due_at > now:
        return
    changes: dict[str, Any] = {}
    if case.deadline_at is not None and case.deadline_at <= now:
        changes = {"move": "us", "next_action": OVERDUE}
    try:
        subscribe.ensure(services, case)
    except GatewayError as error:
        get_logger().warning("subscription-missing", case_id=case.case_id, payer=case.payer, code=error.reason)
        _quietly_forget(services, case)
    ahead = [at for at in (now + WATCH_EVERY, case.deadline_at) if at is not None and at > now]
    rested = replace(facts, wait="")
    _quietly(lambda: ledger.set_waiting(services, case, rested, min(ahead), changes=changes))


def _quietly_forget(services: Services, case: CaseRow) -> None:
    try:
        subscribe.forget(services, case)
    except Conflict:
        return  # it was confirmed at this moment


def _look_again(services: Services, case: CaseRow, facts: Facts) -> CaseRow:
    fresh = replace(facts, snapshot="", need="", evaluation="", verdict="", lines=(), held_until="")
    task = case_task(replace(case, state=_S.CHECKING.value))
    act = Act(verb="release", about=(Item.local("Task", task, case.case_id),), note={"reason": "timer"})
    return ledger.append(services, case, act, to=_S.CHECKING, facts=fresh)


def _quietly(action: Callable[[], CaseRow]) -> None:
    """Bookkeeping that somebody else's change makes unnecessary."""
    try:
        action()
    except Conflict:
        return
