"""Date, DateTime and Time at the precision they were given, and their text.

A value holds only the parts that are known: `Date((2024, 3))` is March 2024 as a whole. A DateTime keeps the
offset it was written with; where the text has none, the offset of the evaluation instant stands in (CQL 1.5,
DateTime), so that the zone of the host never matters.
"""

from __future__ import annotations

import re
from calendar import monthrange
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache
from typing import ClassVar, Final

PRECISIONS: Final = ("Year", "Month", "Day", "Hour", "Minute", "Second", "Millisecond")
MINUTE_MS: Final = 60_000
DAY_MS: Final = 86_400_000
_DATE_LOWEST: Final = (1, 1, 1)
_CLOCK_LOWEST: Final = (0, 0, 0, 0)
_CLOCK_HIGHEST: Final = (23, 59, 59, 999)
_OFFSET = r"(Z|[+-]\d{2}(?::?\d{2})?)?"
_CLOCK = r"(\d{2})(?::(\d{2})(?::(\d{2})(?:\.(\d+))?)?)?"
_DATE = re.compile(r"(\d{4})(?:-(\d{2})(?:-(\d{2}))?)?")
_DATE_TIME = re.compile(rf"(\d{{4}})(?:-(\d{{2}})(?:-(\d{{2}})(?:T(?:{_CLOCK})?)?)?)?T?{_OFFSET}")
_TIME = re.compile(rf"T?{_CLOCK}{_OFFSET}")


@dataclass(frozen=True, slots=True)
class Date:
    """Year, month and day as far as they are known."""

    parts: tuple[int, ...]
    first: ClassVar[int] = 0
    """Index in PRECISIONS of the first part."""
    full: ClassVar[int] = 3

    def low(self) -> tuple[int, int, int]:
        """First day that the value can mean."""
        return (*self.parts, *_DATE_LOWEST[len(self.parts) :])  # type: ignore[return-value]

    def high(self) -> tuple[int, int, int]:
        """Last day that the value can mean."""
        return _highest_date(self.parts)

    def text(self) -> str:
        """ISO text at the value's precision."""
        return _date_text(self.parts)


@dataclass(frozen=True, slots=True)
class DateTime:
    """Date and clock as far as they are known, on the clock of its own offset."""

    parts: tuple[int, ...]
    offset: int
    """Minutes east of UTC."""
    zoned: bool = False
    """Whether the offset was written, not assumed."""
    first: ClassVar[int] = 0
    full: ClassVar[int] = 7

    def low(self) -> tuple[int, ...]:
        """First instant that the value can mean, on its own clock."""
        if len(self.parts) == 7:
            return self.parts
        return (*self.parts, *(*_DATE_LOWEST, *_CLOCK_LOWEST)[len(self.parts) :])

    def high(self) -> tuple[int, ...]:
        """Last instant that the value can mean, on its own clock."""
        if len(self.parts) >= 3:
            return (*self.parts, *_CLOCK_HIGHEST[len(self.parts) - 3 :])
        return (*_highest_date(self.parts), *_CLOCK_HIGHEST)

    def text(self) -> str:
        """ISO text at the value's precision; the offset when it was written or the value is complete."""
        if len(self.parts) <= 3:
            return _date_text(self.parts)
        clock = _clock_text(self.parts[3:])
        offset = offset_text(self.offset) if self.zoned or len(self.parts) == 7 else ""
        return f"{_date_text(self.parts)}T{clock}{offset}"


@dataclass(frozen=True, slots=True)
class Time:
    """Hour, minute, second and millisecond as far as they are known."""

    parts: tuple[int, ...]
    first: ClassVar[int] = 3
    full: ClassVar[int] = 4

    def low(self) -> tuple[int, ...]:
        """First time of day that the value can mean."""
        return (*self.parts, *_CLOCK_LOWEST[len(self.parts) :])

    def high(self) -> tuple[int, ...]:
        """Last time of day that the value can mean."""
        return (*self.parts, *_CLOCK_HIGHEST[len(self.parts) :])

    def text(self) -> str:
        """ISO text at the value's precision, without the leading T."""
        return _clock_text(self.parts)


Moment = Date | DateTime | Time


def _highest_date(parts: tuple[int, ...]) -> tuple[int, int, int]:
    year = parts[0]
    month = parts[1] if len(parts) > 1 else 12
    return year, month, parts[2] if len(parts) > 2 else monthrange(year, month)[1]


def _date_text(parts: tuple[int, ...]) -> str:
    return "-".join((f"{parts[0]:04d}", *(f"{part:02d}" for part in parts[1:3])))


def _clock_text(parts: tuple[int, ...]) -> str:
    whole = ":".join(f"{part:02d}" for part in parts[:3])
    return f"{whole}.{parts[3]:03d}" if len(parts) > 3 else whole


def offset_text(minutes: int) -> str:
    """`+05:30`; `+00:00` for UTC."""
    return f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02d}:{abs(minutes) % 60:02d}"


def precision_index(name: str) -> int:
    """Index of a precision word of ELM; weeks count as days."""
    return 2 if name == "Week" else PRECISIONS.index(name)


def is_date(parts: tuple[int, ...]) -> bool:
    """Whether the date parts name a day, month or year of the calendar."""
    if not 1 <= parts[0] <= 9999 or (len(parts) > 1 and not 1 <= parts[1] <= 12):
        return False
    return len(parts) < 3 or 1 <= parts[2] <= monthrange(parts[0], parts[1])[1]


def is_clock(parts: tuple[int, ...]) -> bool:
    """Whether the parts name a time of day."""
    return all(0 <= part <= most for part, most in zip(parts, _CLOCK_HIGHEST, strict=False))


def read_date(text: str) -> Date | None:
    """Date of ISO text, or None when it is none."""
    match = _DATE.fullmatch(text)
    parts = _numbers(match.groups()) if match else ()
    return Date(parts) if parts and is_date(parts) else None


@lru_cache(maxsize=8192)
def read_date_time(text: str, offset: int) -> DateTime | None:
    """DateTime of ISO text; `offset` in minutes stands in where the text has none. None when it is none."""
    match = _DATE_TIME.fullmatch(text)
    if match is None:
        return None
    *numbers, fraction, zone = match.groups()
    parts = _numbers(numbers)
    if len(parts) == 6 and fraction:
        parts = (*parts, int(fraction[:3].ljust(3, "0")))
    if not is_date(parts[:3]) or not is_clock(parts[3:]):
        return None
    found = read_offset(zone)
    if zone and found is None:
        return None
    return DateTime(parts, offset if found is None else found, found is not None)


def read_time(text: str) -> Time | None:
    """Time of ISO text with or without T; an offset is ignored, as CQL has none for Time. None when it is none."""
    match = _TIME.fullmatch(text)
    if match is None:
        return None
    hour, minute, second, fraction, _ = match.groups()
    parts = _numbers((hour, minute, second))
    if len(parts) == 3 and fraction:
        parts = (*parts, int(fraction[:3].ljust(3, "0")))
    return Time(parts) if is_clock(parts) else None


def _numbers(groups: tuple[str | None, ...] | list[str | None]) -> tuple[int, ...]:
    found = []
    for group in groups:
        if group is None:
            break
        found.append(int(group))
    return tuple(found)


def read_offset(zone: str | None) -> int | None:
    """Minutes of `Z` or `+hh:mm`; None for no or an impossible offset. The sign counts for both parts."""
    if not zone:
        return None
    if zone == "Z":
        return 0
    minutes = int(zone[1:3]) * 60 + int(zone[3:].replace(":", "") or 0)
    if minutes > 14 * 60:
        return None
    return -minutes if zone[0] == "-" else minutes


def moment_of(instant: datetime) -> DateTime:
    """An aware datetime with all its parts."""
    gap = instant.utcoffset()
    if gap is None:
        raise ValueError("an aware datetime is needed")
    offset = int(gap.total_seconds() // 60)
    clock = (instant.hour, instant.minute, instant.second, instant.microsecond // 1000)
    return DateTime((instant.year, instant.month, instant.day, *clock), offset, True)


def milliseconds(parts: tuple[int, ...]) -> int:
    """Milliseconds of full parts on their own clock; for a Time since midnight, for a Date since year 1."""
    if len(parts) == 4:
        return ((parts[0] * 60 + parts[1]) * 60 + parts[2]) * 1000 + parts[3]
    days = date(parts[0], parts[1], parts[2]).toordinal() * DAY_MS
    return days if len(parts) == 3 else days + milliseconds(parts[3:])


def parts_of(value: int) -> tuple[int, ...] | None:
    """Full DateTime parts of clock milliseconds, or None outside the years 1 to 9999."""
    days, rest = divmod(value, DAY_MS)
    if not 1 <= days <= date.max.toordinal():
        return None
    day = date.fromordinal(days)
    return (day.year, day.month, day.day, *clock_of(rest))


def clock_of(value: int) -> tuple[int, int, int, int]:
    """Hour, minute, second and millisecond of milliseconds since midnight."""
    seconds, thousandths = divmod(value, 1000)
    minutes, second = divmod(seconds, 60)
    return minutes // 60, minutes % 60, second, thousandths


def shifted(value: DateTime, offset: int) -> DateTime:
    """The same instant on the clock of another offset; a value without an hour stays as it is."""
    count = len(value.parts)
    if value.offset == offset or count < 4:
        return value
    moved = parts_of(milliseconds(value.low()) + (offset - value.offset) * MINUTE_MS)
    return value if moved is None else DateTime(moved[:count], offset, value.zoned)
