"""The payer's circuit breaker, kept in a row so that every process sees it."""

from __future__ import annotations

from datetime import datetime

from gateway.errors import Conflict
from gateway.flows.services import Services
from gateway.policy.breaker import Breaker, BreakerLimits, after_failure, after_success, decide_call
from gateway.policy.retry import Failure
from gateway.store.rows import BreakerRow, CaseRow


def may_call(services: Services, case: CaseRow) -> datetime | None:
    """None: call now. Otherwise the instant before which this payer is left alone."""
    limits = _limits(services, case)
    decision = decide_call(_load(services, case), services.clock.now(), limits)
    if not decision.may_call:
        return decision.not_before
    _save(services, case, decision.breaker)
    return None


def succeeded(services: Services, case: CaseRow) -> None:
    """The payer answered."""
    _save(services, case, after_success(_load(services, case)))


def failed(services: Services, case: CaseRow, failure: Failure) -> None:
    """The payer failed in this way."""
    now = services.clock.now()
    _save(services, case, after_failure(_load(services, case), failure, now, _limits(services, case)))


def _limits(services: Services, case: CaseRow) -> BreakerLimits:
    return BreakerLimits(**services.payer_row(case.payer).breaker.model_dump())


def _load(services: Services, case: CaseRow) -> Breaker:
    with services.store.read() as tx:
        row = tx.breakers.get(case.tenant_id, case.payer)
    trial = row.opened_until if row.state == "half_open" else None
    return Breaker(failures=row.failures, open_until=row.opened_until, trial_until=trial)


def _save(services: Services, case: CaseRow, breaker: Breaker) -> None:
    row = BreakerRow(
        tenant_id=case.tenant_id,
        payer=case.payer,
        state="half_open" if breaker.trial_until else "open" if breaker.open_until else "closed",
        failures=breaker.failures,
        opened_until=breaker.trial_until or breaker.open_until,
    )
    try:
        with services.store.begin() as tx:
            tx.breakers.save(row)
    except Conflict:
        return  # another process wrote the same payer's row at this moment; its view is as good as ours
