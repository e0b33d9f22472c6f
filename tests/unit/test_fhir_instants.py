"""Times with their zone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from gateway.errors import InputError
from gateway.fhir.instants import NO_ZONE, read_instant, read_moment, require_zone, write_instant

READ = [
    ("2026", "year", "2026-01-01T00:00:00-07:00", ""),
    ("2026-03", "month", "2026-03-01T00:00:00-07:00", ""),
    ("2026-03-15", "day", "2026-03-15T00:00:00-06:00", ""),
    ("2026-03-15T08:08", "minute", "2026-03-15T08:08:00-06:00", NO_ZONE),
    ("2026-03-15T08:08:08", "second", "2026-03-15T08:08:08-06:00", NO_ZONE),
    ("2026-03-15T08:08:08.5Z", "second", "2026-03-15T08:08:08.500000+00:00", ""),
    ("2026-03-15T08:08:08-03:30", "second", "2026-03-15T08:08:08-03:30", ""),
]


@pytest.mark.parametrize(("text", "precision", "starts", "note"), READ)
def test_moment_is_read_with_its_precision(text: str, precision: str, starts: str, note: str) -> None:
    moment = read_moment(text, "America/Denver")
    assert (moment.precision, moment.starts_at.isoformat(), moment.note) == (precision, starts, note)


BAD = [
    "",
    "x",
    "2026-13",
    "2026-02-30",
    "26-01-01",
    "2026-03-15T25:00:00Z",
    "2026-03-15T08:08:08+99:00",
    "2026-03-15 08:08:08Z",
]


@pytest.mark.parametrize("text", BAD)
def test_other_text_is_refused_without_being_repeated(text: str) -> None:
    with pytest.raises(InputError) as caught:
        read_moment(text, "America/Denver")
    assert caught.value.reason == "fhir.instant"


def test_instant_needs_its_offset() -> None:
    assert read_instant("2026-03-15T08:08:08-06:00") == datetime(2026, 3, 15, 14, 8, 8, tzinfo=UTC)
    with pytest.raises(InputError):
        read_instant("2026-03-15T08:08:08")


WRITTEN = [
    (datetime(2026, 3, 15, 8, 8, 8), "2026-03-15T08:08:08-06:00"),
    (datetime(2026, 1, 15, 8, 8, 8), "2026-01-15T08:08:08-07:00"),
    (datetime(2026, 3, 15, 8, 8, 8, tzinfo=UTC), "2026-03-15T08:08:08Z"),
    (datetime(2026, 3, 15, 8, 8, 8, 5000, tzinfo=UTC), "2026-03-15T08:08:08.005Z"),
    (datetime(2026, 3, 15, 8, 8, 8, tzinfo=timezone(timedelta(hours=2))), "2026-03-15T08:08:08+02:00"),
]


@pytest.mark.parametrize(("moment", "text"), WRITTEN)
def test_nothing_is_written_without_an_offset(moment: datetime, text: str) -> None:
    assert write_instant(moment, "America/Denver") == text


def test_unknown_zone_is_an_input_error() -> None:
    for name in ("Nowhere/Land", "../etc/passwd", ""):
        with pytest.raises(InputError):
            require_zone(name)
