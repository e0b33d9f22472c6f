"""Days as the practice sees them."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from gateway.clinical.dates import Span, add_units, read_age, read_day, read_span
from tests.readings.clinical.dates import age_span, at_least, hull

LA = "America/Los_Angeles"


@pytest.mark.parametrize(
    ("text", "zone", "day"),
    [
        ("2026-02-16", LA, "2026-02-16"),
        ("2026-02-16T10:00:00-08:00", LA, "2026-02-16"),
        ("2026-02-17T07:59:59Z", LA, "2026-02-16"),
        ("2026-02-17T08:00:00Z", LA, "2026-02-17"),
        ("2026-03-08T09:59:59Z", LA, "2026-03-08"),
        ("2026-07-01T06:59:00Z", LA, "2026-06-30"),
        ("2026-07-01T07:00:00Z", LA, "2026-07-01"),
        ("2026-02-16T23:30:00-12:00", LA, "2026-02-17"),
        ("2026-02-16T00:30:00+14:00", LA, "2026-02-15"),
        ("2026-02-16T22:00:00", LA, "2026-02-16"),
        ("2026-02", LA, None),
        ("2026", LA, None),
        ("yesterday", LA, None),
        (None, LA, None),
        (20260216, LA, None),
    ],
)
def test_local_day(text: Any, zone: str, day: str | None) -> None:
    found = read_day(text, zone)
    assert (found.isoformat() if found else None) == day


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("2026", "2026-01-01", "2026-12-31"),
        ("2026-02", "2026-02-01", "2026-02-28"),
        ("2024-02", "2024-02-01", "2024-02-29"),
        ("2026-12", "2026-12-01", "2026-12-31"),
    ],
)
def test_partial_dates_are_intervals(text: str, first: str, last: str) -> None:
    span = read_span(text, LA)
    assert span is not None
    assert (span.earliest.isoformat(), span.latest.isoformat()) == (first, last)


@pytest.mark.parametrize(
    ("first", "last", "days", "truth"),
    [
        ("2026-01-05", "2026-01-05", 42, True),
        ("2026-01-06", "2026-01-06", 42, False),
        ("2026-01-01", "2026-01-05", 42, True),
        ("2026-01-01", "2026-01-06", 42, None),
        ("2026-01-06", "2026-01-31", 42, False),
    ],
)
def test_a_test_over_an_interval_may_be_undecided(first: str, last: str, days: int, truth: bool | None) -> None:
    span = Span(earliest=date.fromisoformat(first), latest=date.fromisoformat(last))
    assert at_least(span, days, date(2026, 2, 16)) is truth
    assert at_least(None, days, date(2026, 2, 16)) is None


def test_days_survive_a_clock_change() -> None:
    start = read_span("2026-02-01T23:30:00-08:00", LA)
    end = read_day("2026-03-15T23:30:00-07:00", LA)
    assert end is not None
    assert at_least(start, 42, end) is True
    assert at_least(start, 43, end) is False


def test_days_over_a_leap_day() -> None:
    assert at_least(read_span("2028-02-01", LA), 42, date(2028, 3, 14)) is True
    assert at_least(read_span("2028-02-01", LA), 42, date(2028, 3, 13)) is False


@pytest.mark.parametrize(
    ("day", "number", "unit", "moved"),
    [
        ("2024-02-29", 1, "a", "2025-02-28"),
        ("2024-02-29", 4, "a", "2028-02-29"),
        ("2026-01-31", 1, "m", "2026-02-28"),
        ("2026-11-30", 3, "m", "2027-02-28"),
        ("2026-01-05", 6, "w", "2026-02-16"),
        ("2026-01-05", 42, "d", "2026-02-16"),
    ],
)
def test_units(day: str, number: int, unit: str, moved: str) -> None:
    assert add_units(date.fromisoformat(day), number, unit).isoformat() == moved


@pytest.mark.parametrize(
    ("quantity", "age"),
    [
        ({"value": 76, "code": "a"}, (76, "a")),
        ({"value": 3, "unit": "months"}, (3, "m")),
        ({"value": 76, "code": "min"}, None),
        ({"value": "x", "code": "a"}, None),
        (None, None),
    ],
)
def test_age(quantity: Any, age: tuple[int, str] | None) -> None:
    assert read_age(quantity) == age


def test_an_age_is_a_year_wide_and_a_partial_birth_widens_it() -> None:
    exact = age_span(read_span("1950-03-10", LA), (76, "a"))
    partial = age_span(read_span("1950", LA), (76, "a"))
    assert exact == Span(earliest=date(2026, 3, 10), latest=date(2027, 3, 9))
    assert partial == Span(earliest=date(2026, 1, 1), latest=date(2027, 12, 30))
    assert age_span(None, (76, "a")) is None


def test_the_first_of_several_uncertain_days() -> None:
    spans = [
        Span(earliest=date(2026, 1, 1), latest=date(2026, 1, 31)),
        Span(earliest=date(2026, 1, 5), latest=date(2026, 1, 5)),
    ]
    assert hull(spans) == Span(earliest=date(2026, 1, 1), latest=date(2026, 1, 5))
    assert hull([]) is None
