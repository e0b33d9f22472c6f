"""Nothing stays taken: jobs of dead processes, jobs no thread works on, and finished ones that pile up."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from dbos import DBOSClient
from sqlalchemy.engine import Engine

from gateway.jobs.engine_rows import EngineRows
from gateway.jobs.liveness import Liveness
from gateway.logs import get_logger

ORPHANED_AFTER = timedelta(seconds=30)
"""A job that was taken so long ago and that no thread works on was lost on the way."""

KEEP_FINISHED = timedelta(hours=1)
CLEAN_BATCH = 500

_log = get_logger()


class Takeover:
    """Returns lost jobs to their queues and deletes old finished ones."""

    def __init__(self, database: Engine, rows: EngineRows, client: DBOSClient, liveness: Liveness) -> None:
        self._database = database
        self._rows = rows
        self._client = client
        self._liveness = liveness

    def own(self) -> int:
        """Everything of this process's name, at its start: nobody works on it."""
        return self._return(self._liveness.executor, None, frozenset())

    def lost(self, active: Callable[[], frozenset[str]]) -> int:
        """Jobs of the dead, and own jobs that are not `active`; says how many went back."""
        with self._database.connect() as connection:
            others = self._rows.busy_executors(connection, self._liveness.executor)
        count = sum(self._from_dead(executor) for executor in others)
        before = datetime.now(UTC) - ORPHANED_AFTER
        count += self._return(self._liveness.executor, before, active())
        if count:
            _log.warning("jobs.recovered", count=count)
        return count

    def clean(self, keep: timedelta = KEEP_FINISHED) -> int:
        """Deletes jobs that ended longer ago than `keep`; returns how many."""
        before, count = datetime.now(UTC) - keep, 0
        while found := self._finished(before):
            self._client.delete_workflows(found)
            count += len(found)
        return count

    def _finished(self, before: datetime) -> list[str]:
        with self._database.connect() as connection:
            return self._rows.finished_before(connection, before, CLEAN_BATCH)

    def _from_dead(self, executor: str) -> int:
        if not self._liveness.is_dead(executor):
            return 0
        try:
            return self._return(executor, None, frozenset())
        finally:
            self._liveness.settle(executor)

    def _return(self, executor: str, started_before: datetime | None, besides: frozenset[str]) -> int:
        with self._database.connect() as connection:
            found = self._rows.running_of(connection, executor, started_before)
        system: Any = self._client._sys_db
        lost = [job for job in found if job not in besides]
        return sum(bool(system.reenqueue_for_recovery(job, [executor], "_dbos_internal_queue")) for job in lost)
