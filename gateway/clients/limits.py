"""How much and how long an endpoint may take, and what its Retry-After says."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

MEBIBYTE = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of one exchange; all of them count, whichever is met first."""

    total_seconds: float = 10.0
    """One deadline for name, connection, sending and the whole answer."""
    connect_seconds: float = 5.0
    """Part of it within which the connection must stand."""
    raw_bytes: int = 32 * MEBIBYTE
    """Answer as it comes over the wire."""
    body_bytes: int = 32 * MEBIBYTE
    """Answer after decompression."""
    connections: int = 16
    """Open connections to one endpoint."""
    idle_seconds: float = 2.0
    """A connection unused for longer is not used again: servers commonly close theirs after 5 s, and a
    request that meets a closing connection has an unknown outcome."""


def read_retry_after(value: str | None, now: datetime) -> int | None:
    """Seconds to wait from a Retry-After header, whole and at least 0; None when absent or unreadable.

    `value` is seconds or an HTTP date (RFC 9110 §10.2.3); `now` is aware.
    """
    if not value:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit():
        return min(int(text), 10**9) if len(text) <= 10 else None
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError):
        return None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0, -int(-(aware - now).total_seconds() // 1))
