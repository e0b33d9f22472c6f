"""The day on which an order counts while conservative care runs.

An order that waits for conservative care is decided on the day on which it is looked at, not on the day on which it
was written: the request leaves on that day. Source: spec/clinical.md §1.5, §2.2.
"""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from gateway.cases.facts import Facts
from gateway.errors import NotFound
from gateway.fhir import Json
from gateway.flows.services import Services
from gateway.store.rows import CaseRow


def as_of(order: Json, at: datetime, zone: str) -> Json:
    """The order as if it were written at that instant."""
    return {**order, "authoredOn": at.astimezone(ZoneInfo(zone)).replace(microsecond=0).isoformat()}


def decision_order(services: Services, case: CaseRow, facts: Facts, order: Json, zone: str) -> Json:
    """The order as the check should see it: dated today while conservative care runs or has just been completed."""
    if not facts.timer:
        return order
    try:
        with services.store.read() as tx:
            timer = tx.timers.get(case.tenant_id, facts.timer)
    except NotFound:
        return order
    return as_of(order, services.clock.now(), zone) if timer.state in ("running", "completed") else order


def due_instant(day_zero: date, day: int, hour: int, zone: str) -> datetime:
    """The instant at which day `day` of a timer reaches a local hour."""
    return datetime.combine(day_zero + timedelta(days=day), time(hour), ZoneInfo(zone))
