"""Days, instants and time left as people read them."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from gateway.web.dates import exact, show_clock, show_day, show_instant, time_left
from gateway.web.rendering import size_text

NOW = datetime(2026, 11, 25, 18, 42, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("2012-02-19", "2012-02-19"),
        (date(2012, 2, 19), "2012-02-19"),
        ("1970-03", "March 1970"),
        ("1970", "1970"),
        ("", ""),
        (None, ""),
        ("1970-13", "1970-13"),
        ("unknown", "unknown"),
    ],
)
def test_a_day_is_as_exact_as_it_was_given(value: str | date | None, shown: str) -> None:
    assert show_day(value) == shown


def test_an_instant_is_shown_in_the_zone_of_the_practice_and_exactly() -> None:
    assert show_instant(NOW, "America/Los_Angeles") == "2026-11-25 10:42"
    assert show_instant(NOW, "Pacific/Auckland") == "2026-11-26 07:42"
    assert show_instant(None, "UTC") == ""
    assert show_clock(NOW, "UTC") == "18:42"
    assert exact(NOW) == "2026-11-25T18:42:10Z"


@pytest.mark.parametrize(
    ("left", "text", "tone"),
    [
        (timedelta(hours=5, minutes=12), "5 h 12 min left", "urgent"),
        (timedelta(minutes=9, seconds=30), "9 min left", "urgent"),
        (timedelta(days=3, hours=4, minutes=5), "3 d 4 h left", "calm"),
        (timedelta(hours=30), "1 d 6 h left", "soon"),
        (timedelta(hours=-2), "2 h 0 min over", "over"),
        (timedelta(0), "0 min left", "urgent"),
    ],
)
def test_time_left_is_text_and_tone(left: timedelta, text: str, tone: str) -> None:
    found = time_left(NOW + left, NOW)
    assert (found.text, found.tone) == (text, tone)


@pytest.mark.parametrize(
    ("size", "text"), [(1, "1 byte"), (940, "940 bytes"), (12_345, "12.3 kB"), (4_100_000, "4.1 MB")]
)
def test_sizes_are_words(size: int, text: str) -> None:
    assert size_text(size) == text
