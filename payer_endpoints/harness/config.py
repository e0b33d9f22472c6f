"""Settings of one harness process and the payers it plays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import httpx


@dataclass(frozen=True, slots=True, kw_only=True)
class Payer:
    """One simulated payer."""

    slug: str
    """Its path segment."""
    name: str
    identifier: str
    """Value in the payer identifier system."""


PAYERS = (
    Payer(slug="example-medicare", name="Example Medicare Plan", identifier="SYN-MCR-01"),
    Payer(slug="example-open", name="Example Open Plan", identifier="SYN-OPEN-02"),
    Payer(slug="example-down", name="Example Plan That Is Down", identifier="SYN-DOWN-03"),
    Payer(slug="example-slow", name="Example Plan That Is Slow", identifier="SYN-SLOW-04"),
)


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class HarnessConfig:
    """How the harness behaves. Only for tests and demonstrations: it knows no real members."""

    payers: tuple[Payer, ...] = PAYERS
    token: str | None = None
    """A bearer token that is always accepted."""
    require_token: bool = True
    """False accepts every caller."""
    client_id: str = "gateway"
    client_secret: str = "synthetic-secret"
    token_lifetime_seconds: int = 300
    scenarios: Path | None = None
    """Folder of scenario files instead of the ones that come with the harness."""
    forms: Path | None = None
    """Folder of questionnaires instead of the installed `questionnaires` package."""
    ledger_file: Path | None = None
    """Append-only journal; a restart with the same file keeps everything."""
    max_body_bytes: int = 64 * 1024 * 1024
    max_messages: int = 5_000
    """Messages kept with their bodies; older ones are only in the ledger file."""
    delivery_seconds: float = 120
    """How long a notification is tried before its subscription turns to `error`."""
    slow_seconds: float | None = None
    """Overrides the seconds of every `slow` fault of the scenarios."""
    pace: float = 1.0
    """Factor on every waiting time of the scenarios and of redelivery; tests use less."""
    now: Callable[[], datetime] = _utc_now
    """The clock."""
    transport: httpx.AsyncBaseTransport | None = field(default=None, repr=False)
    """Where notifications go out; None = the network."""
