"""Time enters the gateway here and nowhere else, so that a test can hold it still."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Source of the present instant."""

    def now(self) -> datetime:
        """The present instant, aware, in UTC."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """The present instant, aware, in UTC."""
        return datetime.now(UTC)


@dataclass(slots=True)
class FixedClock:
    """A clock that stands still until told otherwise; for tests and replays."""

    instant: datetime
    """Aware instant that `now` returns."""

    def now(self) -> datetime:
        """The instant it was set to, in UTC."""
        return self.instant.astimezone(UTC)


def write_instant(instant: datetime) -> str:
    """`instant` as FHIR text in UTC at whole seconds: `2026-11-25T09:00:00Z`. `instant` must be aware."""
    return instant.astimezone(UTC).replace(microsecond=0).isoformat().replace("+00:00", "Z")
