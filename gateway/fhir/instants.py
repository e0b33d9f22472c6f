"""Dates, dateTimes and instants with their zone.

FHIR: an instant, and a dateTime with a time, always carry an offset. What comes in without one is
read as local time of the practice and noted; nothing leaves without one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from gateway.errors import InputError

Precision = Literal["year", "month", "day", "minute", "second"]

_PARTS = re.compile(
    r"(?P<year>\d{4})(?:-(?P<month>\d\d)(?:-(?P<day>\d\d)"
    r"(?:T(?P<hour>\d\d):(?P<minute>\d\d)(?::(?P<second>\d\d)(?:\.(?P<fraction>\d{1,9}))?)?"
    r"(?P<zone>Z|[+-]\d\d:\d\d)?)?)?)?"
)
NO_ZONE = "time without a zone read as local time of the practice"
"""Data-quality note of a reading whose zone was missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """A FHIR date or dateTime as an aware interval of time."""

    starts_at: datetime
    """First instant it covers, aware, in its own zone or that of the practice."""
    precision: Precision
    """How exactly it was given."""
    note: str = ""
    """Data-quality note; empty when the text was complete."""


def read_moment(value: str, practice_zone: str) -> Moment:
    """Read a FHIR date, dateTime or instant.

    Partial values start at their first local instant in `practice_zone` (an IANA name). A time
    without a zone is read there too and noted. `InputError` (`fhir.instant`) for anything else.
    """
    match = _PARTS.fullmatch(value)
    if match is None:
        raise _bad()
    parts = match.groupdict()
    zone = None if parts["zone"] else require_zone(practice_zone)
    try:
        year, month, day, hour, minute, second = (int(parts[key] or default) for key, default in _FIELDS)
        naive = datetime(year, month, day, hour, minute, second, _micro(parts["fraction"]))
        starts_at = naive.replace(tzinfo=zone) if zone else naive.replace(tzinfo=_offset(parts["zone"]))
    except ValueError:
        raise _bad() from None
    missing = NO_ZONE if parts["hour"] and not parts["zone"] else ""
    return Moment(starts_at=starts_at, precision=_precision(parts), note=missing)


def read_instant(value: str) -> datetime:
    """Read an instant (date, time and offset) as aware UTC; `InputError` when a part is missing."""
    match = _PARTS.fullmatch(value)
    if match is None or not match["zone"]:
        raise _bad()
    return read_moment(value, "UTC").starts_at.astimezone(UTC)


def write_instant(moment: datetime, practice_zone: str = "UTC") -> str:
    """FHIR text of an instant with its offset, milliseconds only where there are any.

    A naive `moment` is local time of the practice (field case B53); an aware one keeps its own offset.
    """
    aware = moment.replace(tzinfo=require_zone(practice_zone)) if moment.tzinfo is None else moment
    shown = aware.isoformat(timespec="milliseconds" if aware.microsecond else "seconds")
    return shown.removesuffix("+00:00") + "Z" if shown.endswith("+00:00") else shown


def require_zone(name: str) -> ZoneInfo:
    """The IANA zone of that name; `InputError` (`fhir.zone`) when there is none."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise InputError("The practice zone is not an IANA time zone name.", code="fhir.zone") from None


_FIELDS = (("year", "1"), ("month", "1"), ("day", "1"), ("hour", "0"), ("minute", "0"), ("second", "0"))


def _precision(parts: dict[str, str | None]) -> Precision:
    ladder: tuple[tuple[str, Precision], ...] = (
        ("second", "second"),
        ("hour", "minute"),
        ("day", "day"),
        ("month", "month"),
    )
    return next((name for key, name in ladder if parts[key]), "year")


def _micro(fraction: str | None) -> int:
    return int((fraction or "")[:6].ljust(6, "0"))


def _offset(zone: str) -> timezone:
    if zone == "Z":
        return UTC
    hours, minutes = int(zone[1:3]), int(zone[4:6])
    if hours > 14 or minutes > 59:
        raise ValueError(zone)
    span = timedelta(hours=hours, minutes=minutes)
    return timezone(-span if zone[0] == "-" else span)


def _bad() -> InputError:
    return InputError("A date or time is not in FHIR form (YYYY-MM-DDThh:mm:ss+zz:zz).", code="fhir.instant")
