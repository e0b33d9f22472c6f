"""When a timer's milestones are due, in the practice's own days."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from gateway.clinical.protocol import packaged_protocol
from gateway.flows.care_day import due_instant
from gateway.store.care_rows import DueRow, TimerRow

WATCH = "watch"
"""Name of the row that brings the regular look at the chart; it is moved on, and ends with the timer."""
DECISION = "decision"
"""Name of the milestone at which the rule decides."""
EXPIRY = "expiry"
"""Name of the milestone at which a timer without a decision fails."""
SOON = timedelta(minutes=1)
"""The chart is looked at so soon after a start or a signature; it is also the net under the job that writes."""
SETTLED_AFTER = timedelta(hours=2)
"""No milestone is due sooner after a start."""
SOONEST = timedelta(minutes=5)
MOST_DOUBLINGS = 8


def due_rows(timer: TimerRow, now: datetime) -> tuple[DueRow, ...]:
    """One row for each milestone and one for the regular look.

    Day 0 and the decision are looked at in the evening, after what the day brings; what lies in the past of a timer
    that was started again is due once its drafts had time to be signed.
    """
    protocol = packaged_protocol()
    rows = []
    for milestone, day in protocol.calendar(timer.days):
        is_evening = milestone.name == DECISION or day == 0
        hour = protocol.decides_at_hour if is_evening else protocol.fires_at_hour
        due_at = due_instant(timer.started_on, day, hour, timer.zone).astimezone(UTC)
        rows.append(_row(timer, milestone.name, day, max(due_at, now + SETTLED_AFTER)))
    return (*rows, _row(timer, WATCH, 0, now + SOON))


def _row(timer: TimerRow, name: str, day: int, due_at: datetime) -> DueRow:
    return DueRow(
        tenant_id=timer.tenant_id,
        timer_id=timer.timer_id,
        name=name,
        case_id=timer.case_id,
        day=day,
        due_at=due_at,
    )


def next_watch(now: datetime) -> datetime:
    """When the chart is looked at again."""
    return now + timedelta(hours=packaged_protocol().watch_hours)


def next_try(now: datetime, tries: int) -> datetime:
    """When something that failed `tries` times in a row is tried again: five minutes, doubling, at most a watch."""
    factor = int(2 ** min(tries - 1, MOST_DOUBLINGS))
    return min(now + SOONEST * factor, next_watch(now))
