"""Bringing a timer's resources to the EHR, one at a time: made as drafts, moved on when signed, closed at the end.

A resource is made only if none has its identifier yet, and changed only on the version that was read, so that a
repeat after a crash finds what it did. Source: spec/clinical.md §2.1, §2.1 row 9.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import datetime

from gateway.clients.ehr import Fetched
from gateway.clinical.protocol import packaged_protocol
from gateway.clinical.protocol_names import IDENTIFIERS, resolved, urn_of
from gateway.clinical.protocol_phases import Change, in_phase, with_sessions
from gateway.errors import NotFound
from gateway.fhir import Json
from gateway.fhir.json import parse_json
from gateway.flows import ledger
from gateway.flows.care_facts import Kept, TimerFacts, unlinked, wanted_phase
from gateway.flows.ledger import Act, Item
from gateway.flows.services import Services
from gateway.store import Tx
from gateway.store.care_rows import TimerRow
from gateway.store.rows import CaseRow


def write_resource(services: Services, case: CaseRow, timer: TimerRow, facts: TimerFacts, item: Kept) -> CaseRow:
    """Make or move one resource and record it. Raises EhrError, Conflict where it changed meanwhile."""
    draft = ledger.load_object(services, case, item.draft)
    if not item.reference:
        return _record(services, case, timer, facts, item, _create(services, timer, facts, item, draft), draft, "")
    phase = wanted_phase(timer, item)
    found = _move(services, timer, facts, item, phase)
    return _record(services, case, timer, facts, item, found, draft, phase)


def _create(services: Services, timer: TimerRow, facts: TimerFacts, item: Kept, draft: bytes) -> Fetched:
    written = {urn_of(timer.timer_id, other.key): other.reference for other in facts.resources if other.reference}
    resource: Json = resolved(parse_json(draft), written)
    identifier = (IDENTIFIERS, urn_of(timer.timer_id, item.key))
    return services.ehr(timer.ehr_id).create(resource, if_none_identifier=identifier).fetched


def _move(services: Services, timer: TimerRow, facts: TimerFacts, item: Kept, phase: str) -> Fetched | None:
    """The resource in its new status; None where it is gone, or beyond our reach in the EHR."""
    ehr = services.ehr(timer.ehr_id)
    try:
        current = ehr.read(*item.reference.split("/", 1))
    except NotFound:
        return None
    changed = in_phase(current.resource, item.key, _change(services, timer, facts, phase))
    return ehr.update(changed, current.etag or current.version).fetched if changed is not None else None


def _change(services: Services, timer: TimerRow, facts: TimerFacts, phase: str) -> Change:
    is_red_flag = timer.reason == "red-flag"
    at = datetime.fromisoformat(facts.signed_at) if phase == "signed" else timer.ended_at or services.clock.now()
    return Change(
        phase=phase,
        at=at,
        zone=timer.zone,
        signer=facts.signer,
        reason_system=services.concepts.local_system if is_red_flag else "",
        reason=packaged_protocol().plan.red_flag_reason if is_red_flag else timer.reason,
    )


def _record(
    services: Services,
    case: CaseRow,
    timer: TimerRow,
    facts: TimerFacts,
    item: Kept,
    found: Fetched | None,
    draft: bytes,
    phase: str,
) -> CaseRow:
    """The event over what the EHR now holds; where nothing had to be done there, only the timer's own note of it."""
    done = replace(item, phase=phase or "draft")
    if found is not None:
        done = replace(done, reference=found.reference, raw=hashlib.sha256(found.raw).hexdigest())
    changed = replace(facts.with_resource(done), hold_until="", tries=0)

    def also(tx: Tx) -> None:
        tx.timers.update(timer.tenant_id, timer.timer_id, timer.version, facts=changed.to_text())

    if found is None:
        with services.store.begin() as tx:
            also(tx)
        return case
    act = Act(
        verb="write-back",
        about=(Item.resource(services.address(timer.ehr_id, found.reference), found.raw),),
        sources=(Item.body(draft), *_file(services, case, item)),
        note={"kind": "care", "stage": item.key, "version": found.version},
    )
    return ledger.append(services, case, act, also=also)


def _file(services: Services, case: CaseRow, item: Kept) -> tuple[Item, ...]:
    """The file that the resource was read from, where there is one."""
    return (Item.body(ledger.load_object(services, case, item.source), item.source_type),) if item.source else ()


def link_sessions(services: Services, case: CaseRow, timer: TimerRow, facts: TimerFacts) -> CaseRow:
    """Let the plan in the EHR refer to the sessions that count, as outcome of its therapy activity. Raises EhrError."""
    plan, referral = facts.resource("plan"), facts.resource("referral")
    found: Fetched | None = None
    fresh = unlinked(facts)
    if plan is not None and referral is not None and plan.reference and referral.reference:
        ehr = services.ehr(timer.ehr_id)
        current = ehr.read(*plan.reference.split("/", 1))
        changed = with_sessions(current.resource, referral.reference, fresh)
        if changed is not None:
            found = ehr.update(changed, current.etag or current.version).fetched
    noted = replace(facts, linked=(*facts.linked, *fresh), hold_until="", tries=0)

    def also(tx: Tx) -> None:
        tx.timers.update(timer.tenant_id, timer.timer_id, timer.version, facts=noted.to_text())

    if found is None:
        with services.store.begin() as tx:
            also(tx)
        return case
    act = Act(
        verb="write-back",
        about=(Item.resource(services.address(timer.ehr_id, found.reference), found.raw),),
        note={"kind": "care", "stage": "sessions", "count": len(fresh), "version": found.version},
    )
    return ledger.append(services, case, act, also=also)
