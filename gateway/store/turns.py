"""Writers of one process take turns on SQLite.

The file has one writer at a time, and a writer that finds it busy sleeps up to 100 ms before it looks again.
Within the process a lock wakes the next one at once. A thread that begins to write while it is writing would
wait for itself; that is told at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock, get_ident

from gateway.errors import Busy

WAIT_SECONDS = 30.0


class Turns:
    """A queue of writing transactions; `enabled=False` lets everybody in."""

    def __init__(self, *, enabled: bool, wait_seconds: float = WAIT_SECONDS) -> None:
        self._lock = Lock() if enabled else None
        self._wait_seconds = wait_seconds
        self._writer = 0

    @contextmanager
    def take(self) -> Iterator[None]:
        """Waits for the turn; raises Busy after half a minute, RuntimeError where this thread has it already."""
        if self._lock is None:
            yield
            return
        if self._writer == get_ident():
            raise RuntimeError("this thread has a writing transaction open; use that one")
        if not self._lock.acquire(timeout=self._wait_seconds):
            raise Busy("The database is busy. Try again in a moment.", code="busy.database")
        self._writer = get_ident()
        try:
            yield
        finally:
            self._writer = 0
            self._lock.release()
