"""Calendar days as the practice sees them, and intervals for days that are not known exactly.

A day count runs over local dates, so that clock changes cannot matter. A date that is only known as
a month or a year is an interval, and a test over it may be undecided. Source: spec/clinical.md §1.4,
§1.5.
"""

from __future__ import annotations

import calendar
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import Any

from gateway.errors import InputError
from gateway.fhir import Json
from gateway.fhir.instants import read_moment, require_zone
from gateway.fhir.reading import one, text, whole_number


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A day known to lie between two days, both ends in."""

    earliest: date
    """First possible day."""
    latest: date
    """Last possible day."""

    @property
    def is_exact(self) -> bool:
        """Whether the day is known."""
        return self.earliest == self.latest


def read_span(value: Any, zone: str) -> Span | None:
    """The local day or days of a FHIR date or dateTime; None for anything else."""
    return _read_span(text(value), zone) if isinstance(value, str) else None


@lru_cache(maxsize=8192)
def _read_span(value: str, zone: str) -> Span | None:
    try:
        moment = read_moment(value, zone)
        first = moment.starts_at.astimezone(require_zone(zone)).date()
    except (InputError, OverflowError):  # Defensive: the first and last days of the calendar have no neighbours
        return None
    if moment.precision == "year":
        return Span(earliest=first, latest=date(first.year, 12, 31))
    if moment.precision == "month":
        last = calendar.monthrange(first.year, first.month)[1]
        return Span(earliest=first, latest=first.replace(day=last))
    return Span(earliest=first, latest=first)


def read_day(value: Any, zone: str) -> date | None:
    """The local day of a FHIR date or dateTime that names one; None for partial dates and anything else."""
    span = read_span(value, zone)
    return span.earliest if span and span.is_exact else None


def local_day(moment: datetime, zone: str) -> date:
    """The local day of an aware instant."""
    return moment.astimezone(require_zone(zone)).date()


def read_age(quantity: Any) -> tuple[int, str] | None:
    """(number, unit letter) of an Age; None when it is not a whole number of years, months, weeks or days."""
    age = one(quantity)
    unit = text(age.get("code")) or text(age.get("unit"))
    number = whole_number(age.get("value"))
    if number is None and text(age.get("value")).endswith(".0"):
        number = whole_number(text(age.get("value"))[:-2])
    words = {"a": "a", "year": "a", "years": "a", "mo": "m", "month": "m", "months": "m", "wk": "w", "d": "d"}
    return (number, words[unit]) if number is not None and unit in words else None


def after(day: date, days: int) -> date:
    """`day` plus `days`, no later than the calendar's last day."""
    return day + timedelta(days=days) if days <= (date.max - day).days else date.max


def add_units(day: date, number: int, unit: str) -> date:
    """`day` moved by years (`a`), months (`m`), weeks (`w`) or days (`d`); 29 February falls back to the 28th."""
    if unit in ("d", "w"):
        return after(day, number * (7 if unit == "w" else 1))
    months = day.year * 12 + day.month - 1 + number * (12 if unit == "a" else 1)
    year, month = divmod(months, 12)
    if year > date.max.year:
        return date.max
    last = calendar.monthrange(year, month + 1)[1]
    return date(year, month + 1, min(day.day, last))


def read_period_start(resource: Json, name: str, zone: str) -> date | None:
    """Local day of `<name>DateTime` or the start of `<name>Period`; None when neither names a day."""
    direct = read_day(resource.get(f"{name}DateTime"), zone)
    return direct or read_day(one(resource.get(f"{name}Period")).get("start"), zone)
