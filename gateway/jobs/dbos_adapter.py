"""The durable engine: DBOS Transact behind our port.

What DBOS would do by itself, and what is done instead:
1. its application version is a digest of the code, so an upgrade would strand every waiting job: ours is constant;
2. its executor id is `local` for everybody: ours is one per process, and liveness decides who takes over;
3. it pickles arguments: ours are JSON lists of short ids, and nothing else can be read or written;
4. its threads are unbounded and a claim may outrun them: each queue has a limit and the threads are their sum;
5. a failed job's message and the log would carry exception texts: only classes get out;
6. a duplicate key aborts a PostgreSQL transaction: each enqueue has a savepoint;
7. finished jobs stay for ever: they are deleted after an hour;
8. a job taken by a process that does not know its name stays taken: it is returned to the queue.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from dbos import DBOS, DBOSClient, DBOSConfig
from dbos._error import DBOSQueueDeduplicatedError
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from gateway.errors import SettingsError
from gateway.jobs.engine_database import engine_database
from gateway.jobs.engine_logs import reduce_engine_logs
from gateway.jobs.engine_rows import FAILED, EngineRows
from gateway.jobs.liveness import liveness_for
from gateway.jobs.port import Handler, JobsHealth, QueueLimits, require_job
from gateway.jobs.run import run_handler
from gateway.jobs.serializer import IdsOnly
from gateway.logs import get_logger

APPLICATION = "pa-gateway"
VERSION = "1"
"""Never changes with the code. Raise it only when jobs of the old version must not run any more."""

MAX_ATTEMPTS = 20
"""How often a job may take its process down before it is set aside; the sweep brings the case back."""

KEEP_FINISHED = timedelta(hours=1)
ORPHANED_AFTER = timedelta(seconds=30)
WATCH_SECONDS = 0.5
CLEAN_SECONDS = 60.0
CLEAN_BATCH = 500

_log = get_logger()


class DbosJobs:
    """Durable jobs in the caller's database. One started instance per process. Implements `port.Jobs`."""

    def __init__(self, engine: Engine, *, poll_seconds: float = 0.2) -> None:
        """`engine` is the store's; the job tables are made here if they are absent."""
        reduce_engine_logs()
        self._own = engine_database(engine, pool_size=8)
        self._poll_seconds = poll_seconds
        self._liveness = liveness_for(engine)
        self._rows = EngineRows(engine)
        self._client = _client(self._own)
        self._client._sys_db.run_migrations()
        self._in_transaction = _client(engine)
        self._queues: dict[str, QueueLimits] = {}
        self._dbos: DBOS | None = None
        self._stopping = threading.Event()
        self._watcher: threading.Thread | None = None

    def declare_queue(self, name: str, limits: QueueLimits | None = None) -> None:
        """Makes a queue or changes its limits."""
        chosen = limits or QueueLimits()
        self._client.register_queue(
            name,
            worker_concurrency=chosen.concurrency,
            limiter=_rate(chosen.per_second),
            partition_concurrency=chosen.partition_concurrency,
            partition_limiter=_rate(chosen.partition_per_second),
            polling_interval_sec=self._poll_seconds,
            on_conflict="always_update",
        )
        self._queues[name] = chosen

    def enqueue(
        self, connection: Connection, queue: str, name: str, ids: tuple[str, ...], key: str, *, partition: str = ""
    ) -> bool:
        """Adds a job in the caller's transaction; False while one with this key waits or runs."""
        return self._insert(connection, queue, name, ids, key, partition, None)

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
        """Adds a job that becomes ready at `at`, by this machine's clock."""
        delay = (at - datetime.now(UTC)).total_seconds()
        return self._insert(connection, queue, name, ids, key, partition, max(0.0, delay))

    def cancel(self, key: str) -> bool:
        """Removes the waiting jobs with this key."""
        with self._own.connect() as connection:
            found = self._rows.waiting_with_key(connection, key)
        if found:
            self._client.delete_workflows(found)
        return bool(found)

    def recover(self) -> int:
        """Returns the jobs of dead processes, and our own lost ones, to their queues."""
        count = 0
        with self._own.connect() as connection:
            others = self._rows.busy_executors(connection, self._liveness.executor)
        for executor in others:
            if self._liveness.is_dead(executor):
                try:
                    count += self._requeue(executor, None)
                finally:
                    self._liveness.settle(executor)
        count += self._requeue_orphans()
        if count:
            _log.warning("jobs.recovered", count=count)
        return count

    def health(self) -> JobsHealth:
        """How the engine is doing."""
        with self._own.connect() as connection:
            counts = self._rows.counts(connection)
            waited = self._rows.oldest_waiting(connection, datetime.now(UTC))
        return JobsHealth(
            is_running=self._dbos is not None,
            waiting=counts.get("ENQUEUED", 0),
            running=counts.get("PENDING", 0),
            delayed=counts.get("DELAYED", 0),
            failed=sum(counts.get(status, 0) for status in FAILED),
            oldest_waiting_seconds=waited.total_seconds(),
        )

    def start(self, handlers: Mapping[str, Handler]) -> None:
        """Proves to be alive, takes over what the dead left, begins to work."""
        if self._dbos is not None:
            raise SettingsError("The durable engine of this process is already running.")
        self._liveness.claim()
        self._stopping.clear()
        self._requeue(self._liveness.executor, None)
        self._dbos = DBOS(config=self._config())
        for name, handler in handlers.items():
            _register(name, handler)
        DBOS.launch()
        reduce_engine_logs()
        self._watcher = threading.Thread(target=self._watch, name="jobs-watch", daemon=True)
        self._watcher.start()

    def stop(self, timeout_seconds: float = 10.0) -> None:
        """Takes no new jobs, waits for running ones up to the time given, then lets go."""
        self._stopping.set()
        if self._dbos is not None:
            self._drain(timeout_seconds)
            DBOS.destroy(destroy_registry=True)
            self._dbos = None
        if self._watcher is not None:
            self._watcher.join(timeout_seconds)
            self._watcher = None
        self._liveness.release()

    def close(self) -> None:
        """Stops and closes every connection."""
        self.stop()
        self._client.destroy()
        self._in_transaction.destroy()
        self._own.dispose()

    def _insert(
        self,
        connection: Connection,
        queue: str,
        name: str,
        ids: tuple[str, ...],
        key: str,
        partition: str,
        delay_seconds: float | None,
    ) -> bool:
        require_job(name, ids, key, partition)
        options: Any = {"queue_name": queue, "workflow_name": name, "deduplication_id": key, "app_version": VERSION}
        if partition:
            options["queue_partition_key"] = partition
        if delay_seconds is not None:
            options["delay_seconds"] = delay_seconds
        try:
            with connection.begin_nested():
                self._in_transaction.enqueue_in_transaction(connection, options, *ids)
        except DBOSQueueDeduplicatedError:
            return False
        return True

    def _config(self) -> DBOSConfig:
        threads = sum(limits.concurrency for limits in self._queues.values()) + 2
        return {
            "name": APPLICATION,
            "application_version": VERSION,
            "executor_id": self._liveness.executor,
            "system_database_engine": self._own,
            "serializer": IdsOnly(),
            "max_executor_threads": threads,
            "use_listen_notify": False,
            "enable_otlp": False,
            "log_level": "WARNING",
            "notification_listener_polling_interval_sec": 0.5,
            "scheduler_polling_interval_sec": 3600.0,
        }

    def _requeue(self, executor: str, started_before: datetime | None, besides: frozenset[str] = frozenset()) -> int:
        with self._own.connect() as connection:
            found = self._rows.running_of(connection, executor, started_before)
        lost = [job for job in found if job not in besides]
        system = self._client._sys_db
        return sum(system.reenqueue_for_recovery(job, [executor], "_dbos_internal_queue") for job in lost)

    def _requeue_orphans(self) -> int:
        """Own jobs that were taken but that no thread works on."""
        if self._dbos is None:
            return 0
        active = frozenset(self._dbos._active_workflows_set.activeList())
        return self._requeue(self._liveness.executor, datetime.now(UTC) - ORPHANED_AFTER, active)

    def _drain(self, timeout_seconds: float) -> None:
        assert self._dbos is not None
        for stopped in self._dbos.background_thread_stop_events:
            stopped.set()
        pause, waited = threading.Event(), 0.0
        while self._dbos._active_workflows_set.activeList() and waited < timeout_seconds:
            pause.wait(0.05)
            waited += 0.05

    def _watch(self) -> None:
        cleaned = 0.0
        while not self._stopping.wait(WATCH_SECONDS):
            cleaned += WATCH_SECONDS
            try:
                self._liveness.keep()
                self.recover()
                if cleaned >= CLEAN_SECONDS:
                    cleaned = 0.0
                    self.clean()
            except (SQLAlchemyError, SettingsError) as error:
                _log.warning("jobs.watch-failed", error=type(error).__name__)

    def clean(self, keep: timedelta = KEEP_FINISHED) -> int:
        """Deletes jobs that ended longer ago than `keep`; returns how many."""
        before, count = datetime.now(UTC) - keep, 0
        while not self._stopping.is_set() or self._dbos is None:
            with self._own.connect() as connection:
                found = self._rows.finished_before(connection, before, CLEAN_BATCH)
            if not found:
                break
            self._client.delete_workflows(found)
            count += len(found)
        return count


def _client(engine: Engine) -> DBOSClient:
    return DBOSClient(
        system_database_engine=engine,
        serializer=IdsOnly(),
        application_name=APPLICATION,
        lazy=True,
    )


def _rate(per_second: int | None) -> Any:
    return None if per_second is None else {"limit": per_second, "period": 1.0}


def _register(name: str, handler: Handler) -> None:
    def job(*ids: str) -> None:
        run_handler(name, handler, ids)

    job.__qualname__ = name
    DBOS.workflow(name=name, max_recovery_attempts=MAX_ATTEMPTS)(job)
