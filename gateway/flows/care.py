"""What a clinician and staff do to conservative care that was started: sign its drafts, end it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from gateway.cases.states import CaseState
from gateway.errors import Conflict, InputError
from gateway.flows import ledger
from gateway.flows.actors import Actor
from gateway.flows.attest_records import require_practitioner
from gateway.flows.care_access import load_case, newest_timer, require_running
from gateway.flows.care_calendar import SOON, WATCH
from gateway.flows.care_end import ending, without_hold
from gateway.flows.care_facts import TimerFacts
from gateway.flows.care_facts import read_facts as read_timer
from gateway.flows.ledger import Act, Item
from gateway.flows.services import Services
from gateway.store import Tx
from gateway.store.care_rows import TimerRow
from gateway.store.rows import CaseRow

ORDERS = frozenset({"drug", "referral"})
"""Drafts that become orders of the one who signs."""
MIN_REASON = 5
"""Least number of characters of a reason."""


def sign(services: Services, actor: Actor, case_id: str, keys: frozenset[str]) -> TimerRow:
    """A clinician signs the drafts: those of `drug` and `referral` that are not in `keys` are declined.

    The plan, its Tasks and the screens always become active with it. Raises Conflict where nothing waits for it,
    AccessError where an order is signed by somebody whose sign-in names no Practitioner: it would stand in the EHR
    in the name of the one who ordered the imaging.
    """
    if keys & ORDERS:
        require_practitioner(actor)

    def once() -> CaseRow:
        case, _ = load_case(services, actor, case_id, "care.sign")
        timer = require_running(services, case)
        facts = read_timer(timer)
        if timer.phase != "draft":
            raise Conflict("This plan is signed already.", code="care.signed")
        if any(not item.reference for item in facts.resources):
            raise Conflict("The drafts are still being written to the EHR; try again in a moment.", code="care.writing")
        return _signed(services, actor, case, timer, facts, keys)

    return newest_timer(services, ledger.retry_on_conflict(once))


def cancel(services: Services, actor: Actor, case_id: str, reason: str) -> TimerRow:
    """A person ends the timer with a reason that is kept. Conflict where none runs."""
    if len(reason.strip()) < MIN_REASON:
        raise InputError("Say in a few words why conservative care ends.", code="care.reason", status=422)

    def once() -> CaseRow:
        case, facts = load_case(services, actor, case_id, "care.cancel")
        timer = require_running(services, case)
        end = ending(services, case, timer, read_timer(timer), "cancelled", "by-person", actor=actor, words=reason)
        sentence = end.sentence if case.state == CaseState.HELD else ""
        facts = without_hold(services, facts)
        return ledger.append(services, case, end.act, next_action=sentence, facts=facts, also=end.also)

    return newest_timer(services, ledger.retry_on_conflict(once))


def _signed(
    services: Services, actor: Actor, case: CaseRow, timer: TimerRow, facts: TimerFacts, keys: frozenset[str]
) -> CaseRow:
    """The clinician's event over the drafts as the EHR holds them; the job brings them to their new status."""
    wanted = tuple(replace(item, is_declined=item.key in ORDERS and item.key not in keys) for item in facts.resources)
    about = tuple(
        Item.resource(services.address(case.ehr_id, item.reference), ledger.load_object(services, case, item.raw))
        for item in wanted
        if not item.is_declined
    )
    now = services.clock.now()
    changed = replace(facts, resources=wanted, signer=actor.practitioner, signed_at=now.isoformat())
    act = Act(
        verb="care-sign",
        about=about,
        actor=actor,
        note={"kind": "timer-sign", "count": len(about), "role": ",".join(actor.roles)},
    )

    def also(tx: Tx) -> None:
        tx.timers.update(timer.tenant_id, timer.timer_id, timer.version, phase="signed", facts=changed.to_text())
        tx.care_due.move(timer.tenant_id, timer.timer_id, WATCH, now + SOON, 0)

    until = timer.started_on + timedelta(days=timer.days)
    return ledger.append(
        services, case, act, next_action=f"Conservative care runs until {until.isoformat()}.", also=also
    )
