"""Which case, which timer, and who may: what every act of people on conservative care begins with."""

from __future__ import annotations

from gateway.cases.facts import Facts, read_facts
from gateway.cases.states import CaseState
from gateway.errors import Conflict, NotFound
from gateway.flows import ledger
from gateway.flows.actors import Actor
from gateway.flows.services import Services
from gateway.policy.access import CaseFacts, require_access
from gateway.store.care_rows import TimerRow
from gateway.store.rows import CaseRow


def require_running(services: Services, case: CaseRow) -> TimerRow:
    """The timer that runs for the case; Conflict where none does."""
    facts = read_facts(case.facts)
    with services.store.read() as tx:
        timer = tx.timers.get(case.tenant_id, facts.timer) if facts.timer else None
    if timer is None or timer.state != "running":
        raise Conflict("No conservative care runs for this case.", code="care.none")
    return timer


def load_case(services: Services, actor: Actor, case_id: str, action: str) -> tuple[CaseRow, Facts]:
    """The case and what it remembers, if the person may do this; NotFound, AccessError, Conflict."""
    case = ledger.load(services, actor.tenant, case_id)
    require_access(actor.caller, action, CaseFacts(tenant=case.tenant_id, state=CaseState(case.state)))
    return case, read_facts(case.facts)


def newest_timer(services: Services, case: CaseRow) -> TimerRow:
    """The timer that was started last; NotFound where there is none."""
    with services.store.read() as tx:
        return tx.timers.get(case.tenant_id, read_facts(case.facts).timer)


def find_timer(services: Services, actor: Actor, case_id: str) -> tuple[CaseRow, TimerRow]:
    """A case and its newest timer. NotFound where there is none."""
    case, facts = load_case(services, actor, case_id, "care.read")
    if not facts.timer:
        raise NotFound("No conservative care was started for this case.", code="care.never")
    with services.store.read() as tx:
        return case, tx.timers.get(case.tenant_id, facts.timer)
