"""The contract between flows and the durable engine."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from sqlalchemy.engine import Connection

from gateway.errors import InputError

Handler = Callable[[tuple[str, ...]], None]
"""A plain function of ids. It may run again after a crash and must then find its own work."""

MAX_IDS = 8
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/=+@~-]{0,127}")
_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/=+@~-]{0,255}")


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueLimits:
    """How much of a queue may run at once. `None` means no such limit."""

    concurrency: int = 4
    """Jobs at once in each process; also bounds its threads."""
    per_second: int | None = None
    """Starts a second, over all processes."""
    partition_concurrency: int | None = None
    """Jobs at once in each partition (payer), over all processes. Makes the queue partitioned."""
    partition_per_second: int | None = None
    """Starts a second in each partition, over all processes. Makes the queue partitioned."""

    @property
    def is_partitioned(self) -> bool:
        """Whether every job of the queue must name its partition."""
        return self.partition_concurrency is not None or self.partition_per_second is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobsHealth:
    """What operators see of the engine."""

    is_running: bool
    """Whether this process works on jobs."""
    waiting: int
    """Ready to run, nobody took them yet."""
    running: int
    delayed: int
    """Wait for their time."""
    failed: int
    """Ended by an exception and not yet cleaned up; the sweep brings their cases back."""
    oldest_waiting_seconds: float
    """How long the longest-waiting ready job waits; 0 when none does."""


class Jobs(Protocol):
    """The durable engine."""

    def declare_queue(self, name: str, limits: QueueLimits | None = None) -> None:
        """Makes a queue or changes its limits. Call before `start`."""
        ...

    def enqueue(
        self, connection: Connection, queue: str, name: str, ids: tuple[str, ...], key: str, *, partition: str = ""
    ) -> bool:
        """Adds a job in the caller's transaction: it exists exactly when that commits.

        `key` makes it one job: False, and nothing added, while a job of the queue with this key waits
        or runs. After that the key is free again, so put into it what makes the work unique, such as
        the case's version. Raises InputError for anything but a few short id-like strings.
        """
        ...

    def enqueue_at(
        self,
        connection: Connection,
        queue: str,
        name: str,
        ids: tuple[str, ...],
        key: str,
        at: datetime,
        *,
        partition: str = "",
    ) -> bool:
        """Like `enqueue`, but the job becomes ready at `at` (to about a second)."""
        ...

    def cancel(self, key: str, connection: Connection | None = None) -> bool:
        """Removes the waiting jobs with this key; says whether there were any. A running job goes on.

        Inside a transaction of the caller's, hand over its connection: on SQLite the call would wait for
        itself otherwise.
        """
        ...

    def recover(self) -> int:
        """Returns the jobs of dead processes to their queues; says how many. Called by itself while running."""
        ...

    def health(self) -> JobsHealth:
        """How the engine is doing."""
        ...

    def start(self, handlers: Mapping[str, Handler]) -> None:
        """Begins to work on jobs; `handlers` maps a job's name to its function."""
        ...

    def stop(self, timeout_seconds: float = 10.0) -> None:
        """Takes no new jobs, waits for the running ones up to the time given. What is left is recovered later."""
        ...


def require_job(name: str, ids: tuple[str, ...], key: str, partition: str) -> None:
    """Raises InputError unless everything is short and id-like, so that no patient data gets into a job (T36)."""
    words = [name, *ids, *([partition] if partition else [])]
    if len(ids) > MAX_IDS or not all(isinstance(word, str) and _ID.fullmatch(word) for word in words):
        raise InputError("A job takes a few short ids and nothing else.", code="jobs.ids")
    if not _KEY.fullmatch(key):
        raise InputError("A job's key is a short id-like string.", code="jobs.key")
