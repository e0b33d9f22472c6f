"""The port without a database: for tests, where jobs run when the test says so."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from gateway.clock import Clock, SystemClock
from gateway.jobs.port import Handler, JobsHealth, QueueLimits, require_job
from gateway.jobs.run import JobFailed, run_handler


@dataclass(slots=True, kw_only=True)
class _Job:
    queue: str
    name: str
    ids: tuple[str, ...]
    key: str
    at: datetime
    is_running: bool = field(default=False)


class MemoryJobs:
    """Jobs in memory; nothing survives the process. Implements `port.Jobs`.

    Jobs appear when the caller's transaction commits and vanish with it. `run_until_idle` runs them in the
    calling thread; after `start` a thread of its own does.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._lock = threading.RLock()
        self._jobs: list[_Job] = []
        self._handlers: dict[str, Handler] = {}
        self._stopping = threading.Event()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self.failed: list[tuple[str, tuple[str, ...], str]] = []
        """Name, ids and exception class of every job that failed."""
        self.queues: dict[str, QueueLimits] = {}

    def declare_queue(self, name: str, limits: QueueLimits | None = None) -> None:
        """Remembers the queue; limits are not applied here."""
        self.queues[name] = limits or QueueLimits()

    def enqueue(
        self,
        connection: Connection | None,
        queue: str,
        name: str,
        ids: tuple[str, ...],
        key: str,
        *,
        partition: str = "",
    ) -> bool:
        """Adds a job when `connection` commits; at once where it is None."""
        return self.enqueue_at(connection, queue, name, ids, key, self._clock.now(), partition=partition)

    def enqueue_at(
        self,
        connection: Connection | None,
        queue: str,
        name: str,
        ids: tuple[str, ...],
        key: str,
        at: datetime,
        *,
        partition: str = "",
    ) -> bool:
        """Adds a job that is ready at `at`, when `connection` commits."""
        require_job(name, ids, key, partition)
        job = _Job(queue=queue, name=name, ids=ids, key=key, at=at)
        with self._lock:
            if self._is_live(job):
                return False
        if connection is None:
            self._add(job)
        else:
            _on_commit(connection, lambda: self._add(job))
        return True

    def cancel(self, key: str, connection: Connection | None = None) -> bool:
        """Removes waiting jobs with this key, at once."""
        with self._lock:
            kept = [job for job in self._jobs if job.key != key or job.is_running]
            found = len(kept) < len(self._jobs)
            self._jobs = kept
        return found

    def recover(self) -> int:
        """Nothing to take over: jobs die with the process."""
        return 0

    def health(self) -> JobsHealth:
        """Counts of what is in memory."""
        now = self._clock.now()
        with self._lock:
            ready = [job for job in self._jobs if not job.is_running and job.at <= now]
            running = sum(job.is_running for job in self._jobs)
            return JobsHealth(
                is_running=self._thread is not None,
                waiting=len(ready),
                running=running,
                delayed=len(self._jobs) - len(ready) - running,
                failed=len(self.failed),
                oldest_waiting_seconds=max(((now - job.at).total_seconds() for job in ready), default=0.0),
            )

    def start(self, handlers: Mapping[str, Handler], *, threads: int = 1) -> None:
        """Runs ready jobs; with `threads=0` only `run_until_idle` does."""
        self._handlers = dict(handlers)
        if threads:
            self._stopping.clear()
            self._thread = threading.Thread(target=self._work, name="memory-jobs", daemon=True)
            self._thread.start()

    def stop(self, timeout_seconds: float = 10.0) -> None:
        """Ends the thread after its present job."""
        self._stopping.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(timeout_seconds)
            self._thread = None

    def run_until_idle(self, limit: int = 10_000) -> int:
        """Runs ready jobs, and those they add, in this thread; returns how many. RuntimeError beyond `limit`."""
        for count in range(limit):
            if not self._run_one():
                return count
        raise RuntimeError("jobs keep adding jobs")

    def waiting(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """Name and ids of every job that waits, ready or delayed."""
        with self._lock:
            return tuple((job.name, job.ids) for job in self._jobs if not job.is_running)

    def _is_live(self, wanted: _Job) -> bool:
        return any((job.queue, job.key) == (wanted.queue, wanted.key) for job in self._jobs)

    def _add(self, job: _Job) -> None:
        with self._lock:
            if not self._is_live(job):
                self._jobs.append(job)
        self._wake.set()

    def _take(self) -> _Job | None:
        now = self._clock.now()
        with self._lock:
            ready = [job for job in self._jobs if not job.is_running and job.at <= now]
            if not ready:
                return None
            job = min(ready, key=lambda found: found.at)
            job.is_running = True
            return job

    def _run_one(self) -> bool:
        job = self._take()
        if job is None:
            return False
        try:
            run_handler(job.name, self._handlers[job.name], job.ids)
        except JobFailed as failure:
            self.failed.append((job.name, job.ids, failure.error))
        finally:
            with self._lock:
                self._jobs.remove(job)
        return True

    def _work(self) -> None:
        while not self._stopping.is_set():
            if not self._run_one():
                self._wake.wait(0.05)
                self._wake.clear()


def _on_commit(connection: Connection, act: Callable[[], None]) -> None:
    """Calls `act` when the connection's present transaction commits, and not when it rolls back."""
    is_pending = True

    def committed(_: Connection) -> None:
        nonlocal is_pending
        if is_pending:
            is_pending = False
            act()

    def rolled_back(_: Connection) -> None:
        nonlocal is_pending
        is_pending = False

    sa.event.listen(connection, "commit", committed)
    sa.event.listen(connection, "rollback", rolled_back)
