"""The day on which an order counts while conservative care runs.

An order that waits for conservative care is decided on the day on which it is looked at, not on the day on which it
was written: the request leaves on that day. Source: spec/clinical.md §1.5, §2.2.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from gateway.cases.facts import Facts
from gateway.clinical.protocol import packaged_protocol
from gateway.errors import NotFound
from gateway.fhir import Json
from gateway.flows.services import Services
from gateway.store.care_rows import TimerRow
from gateway.store.rows import CaseRow


def as_of(order: Json, at: datetime, zone: str) -> Json:
    """The order as if it were written at that instant."""
    return {**order, "authoredOn": at.astimezone(ZoneInfo(zone)).replace(microsecond=0).isoformat()}


def decision_order(services: Services, case: CaseRow, facts: Facts, order: Json, zone: str) -> Json:
    """The order as the check should see it: dated today while conservative care runs or has just been completed."""
    timer = find_timer(services, case, facts)
    counts = timer is not None and timer.state in ("running", "completed")
    return as_of(order, services.clock.now(), zone) if counts else order


def hold_until(services: Services, case: CaseRow, facts: Facts, wake: datetime | None) -> datetime | None:
    """When a held case is looked at again by itself: not before its timer's last day while one runs, since the timer
    looks at the chart more often than that; else at `wake`."""
    timer = find_timer(services, case, facts)
    if timer is None or timer.state != "running" or wake is None:
        return wake
    return max(wake, last_day(timer))


def last_day(timer: TimerRow) -> datetime:
    """The morning behind a timer's last day: by then it has ended in any case."""
    last = timer.days + packaged_protocol().expires_after_days + 1
    return due_instant(timer.started_on, last, 6, timer.zone).astimezone(UTC)


def find_timer(services: Services, case: CaseRow, facts: Facts) -> TimerRow | None:
    """The newest timer of the case, or None."""
    if not facts.timer:
        return None
    try:
        with services.store.read() as tx:
            return tx.timers.get(case.tenant_id, facts.timer)
    except NotFound:
        return None


def due_instant(day_zero: date, day: int, hour: int, zone: str) -> datetime:
    """The instant at which day `day` of a timer reaches a local hour."""
    return datetime.combine(day_zero + timedelta(days=day), time(hour), ZoneInfo(zone))
