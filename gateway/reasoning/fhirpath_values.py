"""Values of FHIRPath that JSON does not have: partial dates and times, and amounts with a unit.

Both answer "cannot tell" (None) where precision or unit leaves a question open; a caller must not
round that to yes or no (field cases B23, B27).
"""

from __future__ import annotations

import calendar
import re
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from decimal import Decimal
from typing import Final, Literal

from gateway.reasoning.fhirpath_units import same_scale

CALENDAR_UNITS: Final = {
    word + plural: word
    for word in ("year", "month", "week", "day", "hour", "minute", "second", "millisecond")
    for plural in ("", "s")
}
"""Calendar duration words to their singular."""
_UCUM_OF: Final = {"week": "wk", "day": "d", "hour": "h", "minute": "min", "second": "s", "millisecond": "ms"}
_CALENDAR_OF: Final = {**{code: word for word, code in _UCUM_OF.items()}, "a": "year", "mo": "month"}
_MOMENT = re.compile(
    r"(?:(\d{4})(?:-(\d\d)(?:-(\d\d))?)?)?"
    r"(?:(T)(?:(\d\d)(?::(\d\d)(?::(\d\d(?:\.\d+)?))?)?)?(Z|[+-]\d\d:\d\d)?)?"
)


@dataclass(frozen=True, slots=True)
class Amount:
    """A quantity: exact value, UCUM code or calendar word (`calendar`); `unit` "1" has no dimension."""

    value: Decimal
    unit: str = "1"
    calendar: bool = False

    def scaled_to(self, other: Amount) -> tuple[Decimal, Decimal] | None:
        """Both values in one unit, or None when the units are of different kinds."""
        left, right = self._code(), other._code()
        if left == right:
            return self.value, other.value
        return same_scale(self.value, left, other.value, right)

    def _code(self) -> str:
        if not self.calendar:
            return self.unit
        return _UCUM_OF.get(self.unit, f"calendar {self.unit}")

    def text(self) -> str:
        """`5 'mg'`, `3 days`, as FHIRPath writes it."""
        value = format(self.value, "f")
        if self.calendar:
            return f"{value} {self.unit}{'' if self.value == 1 else 's'}"
        return f"{value} '{self.unit}'"


@dataclass(frozen=True, slots=True)
class Moment:
    """A date, dateTime or time, as precise as it was written.

    `parts` are year, month, day, hour, minute, second (a time starts at hour); fewer when the rest is
    unknown. Seconds are Decimal with all their digits. `offset` is minutes east, None when unsaid.
    """

    kind: Literal["date", "dateTime", "time"]
    parts: tuple[int | Decimal, ...]
    offset: int | None = None

    def text(self) -> str:
        """ISO text at the precision there is; a dateTime keeps its offset."""
        if self.kind == "time":
            return _clock(self.parts)
        day = "-".join(f"{int(part):0{4 if position == 0 else 2}d}" for position, part in enumerate(self.parts[:3]))
        if len(self.parts) <= 3:
            return day
        return f"{day}T{_clock(self.parts[3:])}{_offset_text(self.offset)}"

    def to_date(self) -> Moment:
        """The calendar day as written, in its own offset."""
        return Moment("date", self.parts[:3])

    def compare(self, other: Moment, zone: tzinfo | None) -> int | None:
        """-1, 0, 1; None when precision or a missing offset leaves it open."""
        if (self.kind == "time") != (other.kind == "time"):
            return None
        left, right = _aligned(self, other, zone)
        for one, two in zip(left, right, strict=False):
            if one != two:
                return -1 if one < two else 1
        return 0 if len(left) == len(right) else None

    def plus(self, amount: Amount, sign: int = 1) -> Moment | None:
        """This moment moved by an amount of time; None when the amount is not of time."""
        word = CALENDAR_UNITS.get(amount.unit) or _CALENDAR_OF.get(amount.unit)
        if word is None or amount.unit in ("a", "mo"):
            return None
        if self.kind == "time":
            return _plus_clock(self, amount.value * sign, word)
        return _plus_calendar(self, amount.value * sign, word)


def read_moment(text: str) -> Moment | None:
    """A Moment of FHIR or FHIRPath text (`2026-03`, `2026-03-15T10:00:00Z`, `T10:30`); None when it is none."""
    match = _MOMENT.fullmatch(text)
    if match is None or text in ("", "T"):
        return None
    year, month, day, mark, hour, minute, second, zone = match.groups()
    parts: list[int | Decimal] = [int(part) for part in (year, month, day) if part]
    parts += [int(part) for part in (hour, minute) if part]
    parts += [Decimal(second)] if second else []
    kind: Literal["date", "dateTime", "time"] = "time" if not year else "dateTime" if mark else "date"
    if (mark and year and hour and not day) or (zone and not hour):
        return None
    return Moment(kind, tuple(parts), _offset(zone)) if _plausible(kind, parts) else None


def read_clock(text: str) -> Moment | None:
    """A Moment of FHIR time text, `10:30:00`."""
    return read_moment("T" + text)


def moment_of(instant: datetime) -> Moment:
    """The Moment of an aware datetime, to the millisecond."""
    second = Decimal(instant.second) + Decimal(instant.microsecond // 1000) / 1000
    offset = instant.utcoffset()
    minutes = int(offset.total_seconds() // 60) if offset is not None else None
    parts = (instant.year, instant.month, instant.day, instant.hour, instant.minute, second.quantize(Decimal("0.001")))
    return Moment("dateTime", parts, minutes)


def _offset(zone: str | None) -> int | None:
    if not zone:
        return None
    if zone == "Z":
        return 0
    minutes = int(zone[1:3]) * 60 + int(zone[4:6])
    return -minutes if zone[0] == "-" else minutes


def _offset_text(offset: int | None) -> str:
    if offset is None:
        return ""
    if offset == 0:
        return "Z"
    return f"{'-' if offset < 0 else '+'}{abs(offset) // 60:02d}:{abs(offset) % 60:02d}"


def _clock(parts: tuple[int | Decimal, ...]) -> str:
    shown = [f"{int(part):02d}" for part in parts[:2]]
    if len(parts) > 2:
        second = format(parts[2], "f") if isinstance(parts[2], Decimal) else str(parts[2])
        whole, dot, rest = second.partition(".")
        shown.append(whole.zfill(2) + dot + rest)
    return ":".join(shown)


def _plausible(kind: str, parts: list[int | Decimal]) -> bool:
    """Months 1–12, days that the month has, hours below 24 and so on."""
    date_parts = [] if kind == "time" else parts[:3]
    clock = parts if kind == "time" else parts[3:]
    if len(date_parts) > 1 and not 1 <= date_parts[1] <= 12:
        return False
    if date_parts and not date_parts[0]:
        return False
    if len(date_parts) > 2:
        last = calendar.monthrange(int(date_parts[0]), int(date_parts[1]))[1]
        if not 1 <= date_parts[2] <= last:
            return False
    return all(0 <= part < limit for part, limit in zip(clock, (24, 60, 60), strict=False))


def _aligned(
    left: Moment, right: Moment, zone: tzinfo | None
) -> tuple[tuple[int | Decimal, ...], tuple[int | Decimal, ...]]:
    """Parts of both, brought to UTC when both know an hour and one of them knows its offset."""
    timed = left.kind != "time" and len(left.parts) > 3 and len(right.parts) > 3
    if not timed or left.offset == right.offset:
        return left.parts, right.parts
    return _in_utc(left, zone), _in_utc(right, zone)


def _in_utc(moment: Moment, zone: tzinfo | None) -> tuple[int | Decimal, ...]:
    parts = moment.parts
    hour, minute = int(parts[3]), int(parts[4]) if len(parts) > 4 else 0
    naive = datetime(int(parts[0]), int(parts[1]), int(parts[2]), hour, minute)
    if moment.offset is not None:
        own: tzinfo = timezone(timedelta(minutes=moment.offset))
    else:
        own = zone or UTC
    try:
        moved = naive.replace(tzinfo=own).astimezone(UTC)
    except OverflowError:
        return parts
    whole = (moved.year, moved.month, moved.day, moved.hour, moved.minute)
    return (*whole[: len(parts)], *parts[5:])


def _plus_calendar(moment: Moment, value: Decimal, word: str) -> Moment | None:
    if word in ("year", "month"):
        months = int(value) * (12 if word == "year" else 1)
        return _plus_months(moment, months)
    whole = value if word in ("second", "millisecond") else Decimal(int(value))
    seconds = _SECONDS[word] * whole
    if len(moment.parts) < 3:
        days = int(seconds // 86400) if word in ("week", "day") else int(seconds / 86400)
        return _plus_months(moment, int(days / 30) if len(moment.parts) == 2 else int(days / 365) * 12)
    return _plus_seconds(moment, seconds)


_SECONDS: Final = {
    "week": Decimal(604800),
    "day": Decimal(86400),
    "hour": Decimal(3600),
    "minute": Decimal(60),
    "second": Decimal(1),
    "millisecond": Decimal("0.001"),
}


def _plus_months(moment: Moment, months: int) -> Moment | None:
    """Whole months on; the last day of a shorter month stands for a day that it lacks."""
    year = int(moment.parts[0])
    month = int(moment.parts[1]) if len(moment.parts) > 1 else 1
    total = year * 12 + (month - 1) + months
    year, month = total // 12, total % 12 + 1
    if not 1 <= year <= 9999:
        return None
    parts = list(moment.parts)
    parts[0] = year
    if len(parts) > 1:
        parts[1] = month
    if len(parts) > 2:
        parts[2] = min(int(parts[2]), calendar.monthrange(year, month)[1])
    return replace(moment, parts=tuple(parts))


def _plus_seconds(moment: Moment, seconds: Decimal) -> Moment | None:
    parts = [*moment.parts, 0, 0, Decimal(0)][:6] if len(moment.parts) < 6 else list(moment.parts)
    while len(parts) < 6:
        parts.append(0)
    precise = len(moment.parts)
    total = Decimal(int(parts[3]) * 3600 + int(parts[4]) * 60) + Decimal(parts[5]) + seconds
    if precise == 3:
        total = Decimal(int(seconds / 86400) * 86400)
    days, rest = divmod(total, Decimal(86400))
    if rest < 0:
        days, rest = days - 1, rest + 86400
    try:
        day = date(int(parts[0]), int(parts[1]), int(parts[2])) + timedelta(days=int(days))
    except OverflowError:
        return None
    hour, rest = divmod(rest, Decimal(3600))
    minute, second = divmod(rest, Decimal(60))
    moved = (day.year, day.month, day.day, int(hour), int(minute), second)
    return replace(moment, parts=moved[:precise])


def _plus_clock(moment: Moment, value: Decimal, word: str) -> Moment | None:
    if word not in _SECONDS or word in ("week", "day"):
        return None
    parts = [*moment.parts, 0, Decimal(0)][:3]
    total = Decimal(int(parts[0]) * 3600 + int(parts[1]) * 60) + Decimal(parts[2]) + _SECONDS[word] * value
    total %= 86400
    if total < 0:
        total += 86400
    hour, rest = divmod(total, Decimal(3600))
    minute, second = divmod(rest, Decimal(60))
    return replace(moment, parts=(int(hour), int(minute), second)[: len(moment.parts)])
