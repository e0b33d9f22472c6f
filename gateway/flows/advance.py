"""Moving a case on: the one job of the gateway.

It decides the next step from state and facts, takes it, and goes on until nothing is left to do now.
A step that fails through somebody else's fault waits and is tried again; one that cannot succeed ends
with a person. Running it twice, or at the wrong moment, does nothing.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

from gateway.cases.facts import Facts, read_facts
from gateway.cases.states import CaseState
from gateway.errors import Conflict, GatewayError, NotFound, PartnerError
from gateway.flows import attach, evaluate, extract, forms, ledger, need, notices, packet, submit, write_back
from gateway.flows.ledger import Act, Item
from gateway.flows.services import Services
from gateway.flows.subjects import case_task
from gateway.logs import get_logger
from gateway.policy.retry import RetryAt, decide_retry, read_failure
from gateway.store.rows import CaseRow

Step = Callable[[Services, CaseRow, Facts], CaseRow]
STEPS: dict[str, Step] = {
    "extract": extract.extract,
    "ask-payer": need.ask_payer,
    "check-rules": evaluate.check_rules,
    "fetch-forms": forms.fetch,
    "populate": forms.populate_next,
    "assemble": packet.assemble,
    "release": submit.release,
    "send": submit.send,
    "conclude": submit.conclude_stored,
    "notification": notices.process,
    "send-attachment": attach.send_attachment,
    "write-back": write_back.write_back,
}
MOST_STEPS = 40
"""Steps one job takes at most; a case that wants more is taken up by the next job."""
_S = CaseState


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
        facts = read_facts(case.facts)
        step = decide_step(services, case, facts)
        if step is None:
            _rest(services, case, facts)
            return
        if facts.wait == step and case.due_at and case.due_at > services.clock.now():
            return
        if not _take(services, case, facts, step):
            return


def decide_step(services: Services, case: CaseRow, facts: Facts) -> str | None:
    """The next step of the case, or None when it rests: its own work first, then what the EHR must be told."""
    return _own_step(services, case, facts) or ("write-back" if facts.pending_write_back() else None)


def _own_step(services: Services, case: CaseRow, facts: Facts) -> str | None:
    state = CaseState(case.state)
    if state is _S.RECEIVED:
        return "extract"
    if state is _S.CHECKING:
        return _first((("extract", not facts.snapshot), ("ask-payer", not facts.need), ("check-rules", True)))
    if state is _S.DOCUMENTING:
        waiting = any(not form.response for form in facts.forms)
        return _first((("fetch-forms", not facts.forms_fetched), ("populate", waiting)))
    if state is _S.READY:
        if not facts.document:
            return "assemble"
        return "release" if submit.decide(services, case, facts).now else None
    if state is _S.SUBMITTING:
        return "conclude" if submit.is_answered(services, case, facts) else "send"
    unsent = any(item.attachment and not item.sent for item in facts.requests)
    if state is _S.PENDED and unsent:
        return "send-attachment"
    return "notification" if facts.submission_id and notices.pending(services, case) else None


def _first(options: tuple[tuple[str, bool], ...]) -> str | None:
    return next((name for name, holds in options if holds), None)


def _take(services: Services, case: CaseRow, facts: Facts, step: str) -> bool:
    """Take one step; False when the job should stop now. Conflicts mean that somebody else moved the case."""
    before = case.version
    try:
        changed = STEPS[step](services, case, facts)
        return changed.version != before and not _waits(services, changed)
    except Conflict as error:
        get_logger().info("case-moved-meanwhile", case_id=case.case_id, stage=step, code=error.reason)
        return True
    except PartnerError as error:
        _fail(services, case, facts, step, error)
    except GatewayError as error:
        _ask_person(services, case, facts, step, error.diagnostics())
    return False


def _waits(services: Services, case: CaseRow) -> bool:
    return bool(read_facts(case.facts).wait) and bool(case.due_at and case.due_at > services.clock.now())


def _fail(services: Services, case: CaseRow, facts: Facts, step: str, error: PartnerError) -> None:
    """Try again later, or ask a person when that makes no sense or was done often enough."""
    counted = facts.failed(step)
    limits = submit.limits(services, case)
    failure = read_failure(error, is_safe=True)
    decision = decide_retry(failure, counted.attempts[step], services.clock.now(), random.random(), limits)
    get_logger().info(
        "step-failed", case_id=case.case_id, stage=step, attempt=counted.attempts[step], code=error.reason
    )
    if isinstance(decision, RetryAt):
        _quietly(lambda: ledger.set_waiting(services, case, counted, decision.when, f"{decision.why} ({step})"))
        return
    todo = getattr(decision, "next_action", "")
    _ask_person(services, case, counted, step, f"{error.diagnostics()} {todo}".strip())


def _ask_person(services: Services, case: CaseRow, facts: Facts, step: str, sentence: str) -> None:
    """The case needs a person: say what to do, keep everything. A failed write-back leaves the state as it is."""
    get_logger().warning("step-given-up", case_id=case.case_id, stage=step)
    if step == "write-back":
        _quietly(lambda: _leave(services, case, facts, sentence))
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
    if case.state == _S.HELD and case.due_at and case.due_at <= now and _held_long_enough(services, case):
        _quietly(lambda: _look_again(services, case, facts))
    elif case.due_at is not None and case.due_at <= now:
        _quietly(lambda: ledger.set_waiting(services, case, replace(facts, wait=""), None))


def _held_long_enough(services: Services, case: CaseRow) -> bool:
    """Whether a held case was due by its timer, not by the event that has just put it there."""
    return bool(case.due_at and case.due_at > case.updated_at)


def _look_again(services: Services, case: CaseRow, facts: Facts) -> CaseRow:
    fresh = replace(facts, snapshot="", need="", evaluation="", verdict="", lines=())
    task = case_task(replace(case, state=_S.CHECKING.value))
    act = Act(verb="release", about=(Item.local("Task", task, case.case_id),), note={"reason": "timer"})
    return ledger.append(services, case, act, to=_S.CHECKING, facts=fresh)


def _quietly(action: Callable[[], CaseRow]) -> None:
    """Bookkeeping that somebody else's change makes unnecessary."""
    try:
        action()
    except Conflict:
        return
