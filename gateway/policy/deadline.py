"""Until when a payer must decide, and how urgent that is by now.

Deadlines are dated rows of tables/deadlines.toml, never constants. There is no clock before a
confirmed receipt, and silence is never a decision. Source: spec/ux.md (deadlines), spec/pas.md §7.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from gateway.policy.tables import read_table


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadline:
    """The payer's time limit for one request."""

    due_at: datetime
    """Aware instant by which a decision is due."""
    started_at: datetime
    """Confirmed receipt, where the clock began."""
    rule: str
    """Which rule, in words."""
    source: str
    """Where the rule stands."""


class Urgency(StrEnum):
    """How a running deadline is shown."""

    CALM = "calm"
    """More than half of the time is left."""
    SOON = "soon"
    """Less than half is left."""
    URGENT = "urgent"
    """Little is left."""
    OVER = "over"
    """It has passed."""


def decide_deadline(
    received_at: datetime | None, line_of_business: str, *, is_expedited: bool, is_drug: bool = False
) -> Deadline | None:
    """The shortest limit that applies to a request received at `received_at` (aware); None when none does.

    `line_of_business` is the payer row's. None for `received_at` means that receipt is not confirmed.
    """
    if received_at is None:
        return None
    urgency = "expedited" if is_expedited else "standard"
    rows = [
        row
        for row in read_table("deadlines")["deadline"]
        if _applies(row, received_at, line_of_business, urgency, is_drug)
    ]
    if not rows:
        return None
    row = min(rows, key=lambda each: int(each["hours"]))
    due_at = received_at + timedelta(hours=row["hours"])
    return Deadline(due_at=due_at, started_at=received_at, rule=row["words"], source=row["source"])


def _applies(row: dict[str, Any], received_at: datetime, line: str, urgency: str, is_drug: bool) -> bool:
    scope = row["applies_to"]
    until = row.get("effective_until")
    day = received_at.date()
    in_force = row["effective_on"] <= day and (until is None or day <= until)
    return in_force and line in scope["lines"] and scope["urgency"] == urgency and scope["drugs"] is is_drug


def decide_urgency(deadline: Deadline, now: datetime) -> Urgency:
    """How urgent a deadline is at `now` (aware)."""
    shown = read_table("deadlines")["shown"]
    left, whole = deadline.due_at - now, deadline.due_at - deadline.started_at
    if left <= timedelta(0):
        return Urgency.OVER
    if left < timedelta(hours=shown["urgent_below_hours"]) or left * 100 < whole * shown["urgent_below_share"]:
        return Urgency.URGENT
    return Urgency.CALM if left * 100 > whole * shown["calm_above_share"] else Urgency.SOON
