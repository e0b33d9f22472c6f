"""How often the engine looks for work: seldom while idle, often while there is some.

DBOS sleeps a fixed time after every look, so a queue of four jobs at once and a pause of 0.2 s would start
20 jobs a second at best. The pause is part of the queue's settings, which it reads again before each
sleep; the reading is where we set it. It also spares a query per look: settings are read every few seconds.
"""

from __future__ import annotations

from time import monotonic
from typing import Any

BUSY_SECONDS = 0.02
STAYS_BUSY_SECONDS = 1.0
SETTINGS_SECONDS = 5.0


class Pace:
    """The pause between two looks."""

    def __init__(self, idle_seconds: float) -> None:
        self._idle_seconds = idle_seconds
        self._busy_until = 0.0
        self._known: dict[str, tuple[float, Any]] = {}

    def touch(self) -> None:
        """There is work: a job was added or begun in this process."""
        self._busy_until = monotonic() + STAYS_BUSY_SECONDS

    def seconds(self) -> float:
        """The pause to make now."""
        busy = monotonic() < self._busy_until
        return min(BUSY_SECONDS, self._idle_seconds) if busy else self._idle_seconds

    def lead(self, system_database: Any) -> None:
        """Makes the engine's queue threads keep this pace."""
        read = system_database.get_queue

        def get_queue(name: str, **options: Any) -> Any:
            queue = self._settings(name, read, options)
            if queue is not None:
                queue._polling_interval_sec = self.seconds()
            return queue

        system_database.get_queue = get_queue

    def _settings(self, name: str, read: Any, options: dict[str, Any]) -> Any:
        until, queue = self._known.get(name, (0.0, None))
        if monotonic() >= until:
            queue = read(name, **options)
            self._known[name] = (monotonic() + SETTINGS_SECONDS, queue)
        return queue
