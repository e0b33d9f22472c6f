"""Days and instants as people read them.

A FHIR date has no time zone and is never converted (field case B111). An instant is shown in the practice's
zone, which each page names once, with the exact instant in UTC beside it for machines and screen readers.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final, Literal
from zoneinfo import ZoneInfo

from gateway.clock import write_instant

MONTHS: Final = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
_DATE = re.compile(r"(\d{4})(?:-(\d{2}))?(?:-(\d{2}))?")
URGENT: Final = timedelta(hours=12)
SOON: Final = timedelta(hours=48)


def show_day(value: date | str | None) -> str:
    """A FHIR date as text: `2012-02-19`, `March 1970` or `1970`, as exact as it was given; empty for none.

    Text that is no date is shown as it is: it is better seen than guessed.
    """
    if isinstance(value, date):
        return value.isoformat()
    text = str(value or "").strip()
    match = _DATE.fullmatch(text)
    if match is None:
        return text
    year, month, day = match.groups()
    if day or not month:
        return text
    return f"{MONTHS[int(month) - 1]} {year}" if 1 <= int(month) <= 12 else text


def show_instant(instant: datetime | None, zone: str) -> str:
    """`2026-11-25 10:42` in the zone named; empty for none."""
    return instant.astimezone(ZoneInfo(zone)).strftime("%Y-%m-%d %H:%M") if instant else ""


def show_clock(instant: datetime, zone: str) -> str:
    """`10:42` in the zone named."""
    return instant.astimezone(ZoneInfo(zone)).strftime("%H:%M")


def exact(instant: datetime) -> str:
    """The instant in UTC to the second: `2026-11-25T18:42:00Z`."""
    return write_instant(instant.astimezone(UTC))


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeLeft:
    """How long until an instant that matters."""

    text: str
    """`5 h 12 min left`, `2 h 0 min over`, `3 d 4 h left`."""
    tone: Literal["calm", "soon", "urgent", "over"]
    """How pressing it is; the text says it too."""


def time_left(until: datetime, now: datetime) -> TimeLeft:
    """How long is left until an instant, or how long it is over."""
    left = until - now
    text = f"{_span(abs(left))} {'over' if left < timedelta(0) else 'left'}"
    if left < timedelta(0):
        return TimeLeft(text=text, tone="over")
    return TimeLeft(text=text, tone="urgent" if left < URGENT else "soon" if left < SOON else "calm")


def days_over(day: date, today: date) -> str:
    """How long a day is past: `9 days ago`; empty where it is not."""
    count = (today - day).days
    return "" if count < 1 else "1 day ago" if count == 1 else f"{count} days ago"


def _span(length: timedelta) -> str:
    minutes = int(length.total_seconds() // 60)
    days, hours = minutes // 1440, minutes % 1440 // 60
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {minutes % 60} min" if hours else f"{minutes} min"
