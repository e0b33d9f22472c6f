"""Arithmetic with days that are not known exactly. Source: spec/clinical.md §1.4, §1.5."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

from gateway.clinical.dates import Span, add_units
from gateway.errors import InputError
from gateway.fhir.instants import read_moment, require_zone
from gateway.fhir.reading import text

Truth = bool | None
"""True, False, or None for *cannot tell*."""


def read_at(value: Any, zone: str) -> datetime:
    """The instant of a FHIR dateTime for ordering within a day; the far past when it cannot be read."""
    try:
        return read_moment(text(value), zone).starts_at
    except InputError:
        return datetime.min.replace(tzinfo=require_zone("UTC"))


def at_least(span: Span | None, days: int, on: date) -> Truth:
    """Whether at least `days` days lie between the day in `span` and `on`; None when it depends or is missing."""
    if span is None:
        return None
    if (on - span.latest).days >= days:
        return True
    return False if (on - span.earliest).days < days else None


def hull(spans: list[Span]) -> Span | None:
    """From the earliest start to the earliest end: the first of several days that are not known exactly."""
    if not spans:
        return None
    return Span(earliest=min(span.earliest for span in spans), latest=min(span.latest for span in spans))


def age_span(birth: Span | None, age: tuple[int, str] | None) -> Span | None:
    """The days on which a person born in `birth` had that age; None when either is unknown."""
    if birth is None or age is None:
        return None
    number, unit = age
    return Span(
        earliest=add_units(birth.earliest, number, unit),
        latest=add_units(birth.latest, number + 1, unit) - timedelta(days=1),
    )
