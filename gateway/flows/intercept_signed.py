"""Provisional cases: an order that a hook announced is looked for in the EHR until it is seen signed there.

Its id may change when it is saved; it is found again by identifier or by what it asks for (spec/crd.md §14,
crd:found-36). One that is never signed is dropped after a week (design.md §4). Nothing is guessed: two orders
that ask for the same are none.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta

from gateway.cases.facts import Facts, read_facts
from gateway.cases.states import CaseState
from gateway.errors import EhrError, NotFound
from gateway.fhir import Json
from gateway.fhir.json import dump_json
from gateway.fhir.reading import text
from gateway.flows import actions, ledger
from gateway.flows.actors import GATEWAY, Actor
from gateway.flows.care_day import find_timer
from gateway.flows.intercept_draft import is_alike, is_saved_draft, relative
from gateway.flows.ledger import Act, Item
from gateway.flows.orders import CLOSED_STATUSES, is_id, order_identity
from gateway.flows.services import Services
from gateway.flows.subjects import case_task
from gateway.logs import get_logger
from gateway.store.rows import CaseFilter, CaseRow

KEPT_FOR = timedelta(days=7)
"""A provisional case whose order was not signed by then is dropped; the week begins anew where conservative care
ends."""
FIRST_LOOK = timedelta(minutes=2)
"""When the EHR is looked at for the first time."""
LONGEST_PAUSE = timedelta(hours=6)
"""The EHR is looked at no less often than this."""
MAX_CASES = 200
"""Open cases of one patient that are compared with an order."""
_S = CaseState
WATCHED = frozenset({_S.HELD, _S.DOCUMENTING, _S.READY, _S.NEEDS_ATTENTION})
"""States in which a case rests before its order is signed."""


def first_look(now: datetime) -> str:
    """When a case that is opened now first looks for its order."""
    return (now + FIRST_LOOK).isoformat()


def next_look(opened_at: datetime, now: datetime) -> datetime:
    """The next look: the pause grows with the age of the case; the last look is when its week is over."""
    pause = min(max(now - opened_at, FIRST_LOOK), LONGEST_PAUSE)
    end = opened_at + KEPT_FOR
    return min(now + pause, end) if now < end else now + LONGEST_PAUSE


def look_time(case: CaseRow, facts: Facts) -> datetime | None:
    """When the case looks for its order; None where it need not, or cannot at the moment."""
    if not facts.look_at or case.signed_at is not None or CaseState(case.state) not in WATCHED:
        return None
    return datetime.fromisoformat(facts.look_at)


def is_due(case: CaseRow, facts: Facts, now: datetime) -> bool:
    """Whether it is time to look."""
    at = look_time(case, facts)
    return at is not None and at <= now


def look(services: Services, case: CaseRow, facts: Facts) -> CaseRow:
    """Look for the order in the EHR: go on with it where it is signed, wait, or drop the case after its week.

    An EHR that does not answer is looked at again later, and an order for which conservative care runs is waited for.
    """
    try:
        found = _find(services, case, facts)
    except EhrError as error:
        get_logger().info("order-not-looked-up", case_id=case.case_id, ehr=case.ehr_id, code=error.reason)
        return _wait(services, case, facts)
    since = _waits_since(services, case, facts)
    is_closed = found is not None and text(found.get("status")) in CLOSED_STATUSES
    if is_closed and since is not None:
        return _drop(services, case, facts, "the order was closed in the EHR before it was signed")
    if found is not None and not is_closed and text(found.get("status")) != "draft":
        linked = relink(services, case, found, GATEWAY)
        again = next_look(case.created_at, services.clock.now())  # the chart ends this; what fails is not hurried
        known = replace(read_facts(linked.facts), look_at=again.isoformat())
        return actions.restart(services, linked, known, GATEWAY, "the order was signed")
    if since is not None and services.clock.now() >= since + KEPT_FOR:
        return _drop(services, case, facts, "the order was never signed")
    return _wait(services, case, facts)


def _waits_since(services: Services, case: CaseRow, facts: Facts) -> datetime | None:
    """Since when the signature is owed; None while conservative care runs, for which the clinician may keep the order
    as a draft or close it (spec/clinical.md §1.8)."""
    timer = find_timer(services, case, facts)
    if timer is None:
        return case.created_at
    return None if timer.state == "running" else max(case.created_at, timer.ended_at or case.created_at)


def find_provisional(services: Services, tenant: str, ehr_id: str, coverage: str, order: Json) -> CaseRow | None:
    """The provisional case that this order, saved under another id, belongs to; None where none or several fit."""
    patient = relative(order.get("subject")) or relative(order.get("patient"))
    chosen = CaseFilter(patient_reference=patient, is_open=True)
    with services.store.read() as tx:
        cases = tx.cases.list(tenant, chosen, limit=MAX_CASES)
    same_place = [case for case in cases if (case.ehr_id, case.coverage_reference) == (ehr_id, coverage)]
    fits = [case for case in same_place if _fits(case, order)]
    return fits[0] if len(fits) == 1 else None


def take_over(
    services: Services, actor: Actor, case: CaseRow | None, place: tuple[str, str], order: Json, *, is_saved: bool
) -> CaseRow | None:
    """The case of an order: `case` where its key is known, else the provisional one of its draft; None for neither.

    `place` is EHR and `Coverage/id`; `is_saved` says whether the order is as the EHR has it or still a draft.
    """
    found = case or find_provisional(services, actor.tenant, *place, order)
    return relink(services, found, order, actor, is_saved=is_saved) if found is not None else None


def relink(services: Services, case: CaseRow, order: Json, actor: Actor, *, is_saved: bool = True) -> CaseRow:
    """The case with the order under its present id, saved or still a draft. Nothing changes where that is known."""
    facts = read_facts(case.facts)
    reference = f"{order['resourceType']}/{order['id']}"
    is_news = is_saved and facts.is_unsaved
    if reference == case.order_reference and not is_news:
        return case
    body = dump_json(order)
    act = Act(
        verb="order-entry",
        about=(Item.resource(services.address(case.ehr_id, reference), body),),
        sources=(Item.body(ledger.load_object(services, case, facts.body), facts.body_type),),
        actor=actor,
        note={"reason": "the order was saved in the EHR" if is_saved else "the draft has another id"},
    )
    changed = replace(
        facts, is_unsaved=facts.is_unsaved and not is_saved, order_digest=hashlib.sha256(body).hexdigest()
    )
    identity = order_identity(order, case.ehr_id)
    changes = {
        "order_reference": reference,
        "order_identity": identity,
        "order_key": order_key(case.ehr_id, identity, case.coverage_reference.partition("/")[2]),
    }
    return ledger.append(services, case, act, facts=changed, changes=changes)


def order_key(ehr_id: str, identity: str, coverage_id: str) -> str:
    """What makes an order under a coverage this one: unique for each tenant."""
    return hashlib.sha256("\n".join((ehr_id, identity, coverage_id)).encode()).hexdigest()


def _find(services: Services, case: CaseRow, facts: Facts) -> Json | None:
    """The order in the EHR: under its id, else the only one that fits and has no case of its own. Raises EhrError."""
    ehr = services.ehr(case.ehr_id)
    kind, _, order_id = case.order_reference.partition("/")
    try:
        found = ehr.read(kind, order_id).resource
        if not facts.is_unsaved or is_saved_draft(case, facts, found):
            return found
    except NotFound:
        if not facts.is_unsaved:
            return None
    patient_id = case.patient_reference.partition("/")[2]
    fits = [item for item in ehr.search(kind, patient_id=patient_id).resources if _fits(case, item)]
    return next(iter(_without_case(services, case, fits)), None) if len(fits) == 1 else None


def _without_case(services: Services, case: CaseRow, orders: Iterable[Json]) -> list[Json]:
    coverage_id = case.coverage_reference.partition("/")[2]
    with services.store.read() as tx:
        return [
            order
            for order in orders
            if (key := order_key(case.ehr_id, order_identity(order, case.ehr_id), coverage_id)) == case.order_key
            or tx.cases.by_order_key(case.tenant_id, key) is None
        ]


def _fits(case: CaseRow, order: Json) -> bool:
    """Whether a provisional case and a saved order are the same: by identifier, else by what is asked for."""
    facts = read_facts(case.facts)
    if case.signed_at is not None or not facts.is_unsaved or not is_id(order.get("id")):
        return False
    if text(order.get("resourceType")) != case.order_reference.partition("/")[0]:
        return False
    return is_alike(case, facts, order)


def _wait(services: Services, case: CaseRow, facts: Facts) -> CaseRow:
    at = next_look(case.created_at, services.clock.now())
    return ledger.set_waiting(services, case, replace(facts, look_at=at.isoformat()), at)


def _drop(services: Services, case: CaseRow, facts: Facts, why: str) -> CaseRow:
    task = case_task(replace(case, state=_S.CANCELLED.value))
    act = Act(verb="cancel", about=(Item.local("Task", task, case.case_id),), note={"reason": why})
    dropped = replace(facts, look_at="")
    return ledger.append(services, case, act, to=_S.CANCELLED, next_action=f"Dropped: {why}.", facts=dropped)
