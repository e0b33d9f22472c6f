"""The durable engine: DBOS Transact behind our port.

What DBOS would do by itself, and what is done instead:
1. its application version is a digest of the code, so an upgrade would strand every waiting job: ours is constant;
2. its executor id is `local` for everybody: ours is one per process, and liveness decides who takes over;
3. it pickles arguments: ours are JSON lists of short ids, and nothing else can be written or read;
4. its threads are unbounded and a claim may outrun them: each queue has a limit and the threads are their sum;
5. a failed job's message and the log would carry exception texts: only classes get out;
6. a duplicate key aborts a PostgreSQL transaction: each enqueue has a savepoint there (SQLite needs none);
7. finished jobs stay for ever: they are deleted after an hour;
8. a job taken by a process that does not know its name stays taken: it is returned to its queue;
9. its pause between two looks is fixed: ours is short while there is work.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
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
from gateway.jobs.pace import Pace
from gateway.jobs.port import Handler, JobsHealth, QueueLimits, require_job
from gateway.jobs.run import run_handler
from gateway.jobs.serializer import IdsOnly
from gateway.jobs.takeover import KEEP_FINISHED, Takeover
from gateway.logs import get_logger

APPLICATION = "pa-gateway"
VERSION = "1"
"""Never changes with the code. Raise it only when jobs of the old version must not run any more."""

MAX_ATTEMPTS = 20
"""How often a job may take its process down before it is set aside; the sweep then brings its case back."""

WATCH_SECONDS = 0.5
CLEAN_SECONDS = 60.0

_log = get_logger()


class DbosJobs:
    """Durable jobs in the caller's database. One started instance per process. Implements `port.Jobs`."""

    def __init__(self, engine: Engine, *, poll_seconds: float = 0.2) -> None:
        """`engine` is the store's; the job tables are made here where they are absent."""
        reduce_engine_logs()
        self._database = engine_database(engine, pool_size=8)
        self._client = _client(self._database)
        self._client._sys_db.run_migrations()
        self._in_transaction = _client(engine)
        self._rows = EngineRows(engine)
        self._liveness = liveness_for(engine)
        self._takeover = Takeover(self._database, self._rows, self._client, self._liveness)
        self._pace = Pace(poll_seconds)
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
            polling_interval_sec=self._pace.seconds(),
            on_conflict="always_update",
        )
        self._queues[name] = chosen

    def enqueue(
        self, connection: Connection, queue: str, name: str, ids: tuple[str, ...], key: str, *, partition: str = ""
    ) -> bool:
        """Adds a job in the caller's transaction; False while one with this key waits or runs."""
        return self._insert(connection, _options(queue, name, key, partition), ids)

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
        delay_seconds = max(0.0, (at - datetime.now(UTC)).total_seconds())
        return self._insert(connection, _options(queue, name, key, partition) | {"delay_seconds": delay_seconds}, ids)

    def cancel(self, key: str, connection: Connection | None = None) -> bool:
        """Removes the waiting jobs with this key, in the caller's transaction where one is given."""
        if connection is not None:
            return self._rows.cancel(connection, key, datetime.now(UTC)) > 0
        with self._database.begin() as own:
            return self._rows.cancel(own, key, datetime.now(UTC)) > 0

    def recover(self) -> int:
        """Returns the jobs of dead processes, and own lost ones, to their queues."""
        return self._takeover.lost(self._active)

    def clean(self, keep: timedelta = KEEP_FINISHED) -> int:
        """Deletes jobs that ended longer ago than `keep`; called by itself every minute."""
        return self._takeover.clean(keep)

    def health(self) -> JobsHealth:
        """How the engine is doing."""
        with self._database.connect() as connection:
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
        self._takeover.own()
        self._stopping.clear()
        self._dbos = DBOS(config=self._config())
        for name, handler in handlers.items():
            self._register(name, handler)
        DBOS.launch()
        self._pace.lead(self._dbos._sys_db)
        self._watcher = threading.Thread(target=self._watch, name="jobs-watch", daemon=True)
        self._watcher.start()

    def stop(self, timeout_seconds: float = 10.0) -> None:
        """Takes no new jobs, waits for running ones up to the time given, then lets go."""
        self._stopping.set()
        if self._watcher is not None:
            self._watcher.join(timeout_seconds)
            self._watcher = None
        if self._dbos is not None:
            self._drain(self._dbos, timeout_seconds)
            DBOS.destroy(destroy_registry=True)
            self._dbos = None
        self._liveness.release()

    def close(self) -> None:
        """Stops and closes every connection."""
        self.stop()
        self._client.destroy()
        self._in_transaction.destroy()
        self._database.dispose()

    def _insert(self, connection: Connection, options: dict[str, Any], ids: tuple[str, ...]) -> bool:
        require_job(options["workflow_name"], ids, options["deduplication_id"], options.get("queue_partition_key", ""))
        chosen: Any = options
        savepoint: AbstractContextManager[Any] = (
            nullcontext() if connection.dialect.name == "sqlite" else connection.begin_nested()
        )
        try:
            with savepoint:
                self._in_transaction.enqueue_in_transaction(connection, chosen, *ids)
        except DBOSQueueDeduplicatedError:
            return False
        self._pace.touch()
        return True

    def _config(self) -> DBOSConfig:
        threads = sum(limits.concurrency for limits in self._queues.values()) + 2
        return {
            "name": APPLICATION,
            "application_version": VERSION,
            "executor_id": self._liveness.executor,
            "system_database_engine": self._database,
            "serializer": IdsOnly(),
            "max_executor_threads": threads,
            "run_migrations": False,
            "use_listen_notify": False,
            "enable_otlp": False,
            "log_level": "WARNING",
            "notification_listener_polling_interval_sec": 0.1,
            "scheduler_polling_interval_sec": 3600.0,
        }

    def _register(self, name: str, handler: Handler) -> None:
        def job(*ids: str) -> None:
            self._pace.touch()
            run_handler(name, handler, ids)

        job.__qualname__ = name
        DBOS.workflow(name=name, max_recovery_attempts=MAX_ATTEMPTS)(job)

    def _active(self) -> frozenset[str]:
        """Jobs that threads of this process work on."""
        return frozenset(self._dbos._active_workflows_set.activeList()) if self._dbos is not None else frozenset()

    def _drain(self, engine: DBOS, timeout_seconds: float) -> None:
        for stopped in engine.background_thread_stop_events:
            stopped.set()
        pause, waited = threading.Event(), 0.0
        while self._active() and waited < timeout_seconds:
            pause.wait(0.05)
            waited += 0.05

    def _watch(self) -> None:
        """Every half second: stay alive, take over; every minute: clean up."""
        since_clean = 0.0
        while not self._stopping.wait(WATCH_SECONDS):
            since_clean += WATCH_SECONDS
            try:
                self._liveness.keep()
                self.recover()
                if since_clean >= CLEAN_SECONDS:
                    since_clean = 0.0
                    self.clean()
            except (SQLAlchemyError, SettingsError) as error:
                _log.warning("jobs.watch-failed", error=type(error).__name__)


def _client(engine: Engine) -> DBOSClient:
    return DBOSClient(system_database_engine=engine, serializer=IdsOnly(), application_name=APPLICATION, lazy=True)


def _options(queue: str, name: str, key: str, partition: str) -> dict[str, Any]:
    chosen = {"queue_name": queue, "workflow_name": name, "deduplication_id": key, "app_version": VERSION}
    return chosen | ({"queue_partition_key": partition} if partition else {})


def _rate(per_second: int | None) -> Any:
    return None if per_second is None else {"limit": per_second, "period": 1.0}
