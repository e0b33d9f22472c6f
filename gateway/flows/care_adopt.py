"""A plan that a clinician made active in the EHR itself is signed, wherever the signature was given.

The two orders are the clinician's own there: one that still is a draft stays one. Source: spec/clinical.md §2.1.
"""

from __future__ import annotations

from dataclasses import replace

from gateway.flows import ledger
from gateway.flows.actors import Actor
from gateway.flows.care_chart import Reading
from gateway.flows.care_facts import TimerFacts
from gateway.flows.care_facts import read_facts as read_timer
from gateway.flows.ledger import Act, Item
from gateway.flows.services import Services
from gateway.store import Tx
from gateway.store.care_rows import TimerRow
from gateway.store.rows import CaseRow


def adopt_signature(services: Services, case: CaseRow, timer: TimerRow, reading: Reading) -> CaseRow | None:
    """The case after its plan was found signed in the EHR; None where there is nothing to adopt."""
    facts = read_timer(timer)
    plan = facts.resource("plan")
    found = reading.snapshot.get(plan.reference) if plan is not None and plan.reference else None
    if timer.phase != "draft" or found is None or found.resource.get("status") != "active":
        return None
    changed = _signed(services, facts)

    def also(tx: Tx) -> None:
        tx.timers.update(timer.tenant_id, timer.timer_id, timer.version, phase="signed", facts=changed.to_text())

    act = Act(
        verb="care-milestone",
        about=(Item.resource(found.full_url, found.raw),),
        actor=Actor(id=case.ehr_id, kind="ehr"),
        note={"kind": "signed-in-ehr", "stage": "plan"},
    )
    return ledger.append(services, case, act, also=also)


def _signed(services: Services, facts: TimerFacts) -> TimerFacts:
    """Signed by somebody: who made the plan active is not known here, and its author is the one we proposed."""
    resources = tuple(
        replace(item, phase="signed") if item.key in ("drug", "referral") else item for item in facts.resources
    )
    return replace(facts, resources=resources, signed_at=services.clock.now().isoformat())
