"""The engine's rows, read and changed where its own calls do not reach.

Knows DBOS 3.4's table `workflow_status`; the version is pinned below 4 and a test of each query runs on
both databases.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

WAITING = ("ENQUEUED", "DELAYED")
FINISHED = ("SUCCESS", "ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED")
FAILED = ("ERROR", "MAX_RECOVERY_ATTEMPTS_EXCEEDED")


class EngineRows:
    """Named queries over the engine's status table."""

    def __init__(self, engine: Engine) -> None:
        schema = None if engine.dialect.name == "sqlite" else "dbos"
        names = (
            "workflow_uuid",
            "status",
            "name",
            "queue_name",
            "executor_id",
            "deduplication_id",
            "created_at",
            "delay_until_epoch_ms",
            "started_at_epoch_ms",
            "completed_at",
        )
        self._rows = sa.table("workflow_status", *[sa.column(name) for name in names], schema=schema)

    def cancel(self, connection: Connection, key: str, now: datetime) -> int:
        """Takes the waiting jobs with this key off their queues; a running one is left alone. Says how many."""
        columns = self._rows.c
        waiting = sa.update(self._rows).where(columns.deduplication_id == key, columns.status.in_(WAITING))
        ended = {
            "status": "CANCELLED",
            "queue_name": None,
            "deduplication_id": None,
            "completed_at": _milliseconds(now),
        }
        return connection.execute(waiting.values(**ended)).rowcount

    def busy_executors(self, connection: Connection, own: str) -> list[str]:
        """Executors other than `own` that hold running jobs, dead or alive."""
        columns = self._rows.c
        running = sa.select(columns.executor_id).where(columns.status == "PENDING", columns.executor_id != own)
        return [str(name) for name in connection.execute(running.distinct()).scalars() if name]

    def running_of(self, connection: Connection, executor: str, started_before: datetime | None = None) -> list[str]:
        """Ids of jobs that `executor` took and did not finish; None: whenever it took them."""
        columns = self._rows.c
        found = sa.select(columns.workflow_uuid).where(columns.status == "PENDING", columns.executor_id == executor)
        if started_before is not None:
            found = found.where(columns.started_at_epoch_ms < _milliseconds(started_before))
        return list(connection.execute(found).scalars())

    def finished_before(self, connection: Connection, before: datetime, limit: int) -> list[str]:
        """Ids of jobs that ended before, at most `limit`."""
        columns = self._rows.c
        ended = (columns.status.in_(FINISHED), columns.completed_at < _milliseconds(before))
        return list(connection.execute(sa.select(columns.workflow_uuid).where(*ended).limit(limit)).scalars())

    def counts(self, connection: Connection) -> dict[str, int]:
        """How many jobs are in each of the engine's states."""
        columns = self._rows.c
        counted = sa.select(columns.status, sa.func.count()).group_by(columns.status)
        return {str(row[0]): int(row[1]) for row in connection.execute(counted)}

    def oldest_waiting(self, connection: Connection, now: datetime) -> timedelta:
        """How long the longest-waiting ready job waits; zero when none does."""
        columns = self._rows.c
        since = sa.func.min(sa.func.coalesce(columns.delay_until_epoch_ms, columns.created_at))
        found: Any = connection.execute(sa.select(since).where(columns.status == "ENQUEUED")).scalar()
        waited = _milliseconds(now) - int(found) if found is not None else 0
        return timedelta(milliseconds=max(0, waited))


def _milliseconds(instant: datetime) -> int:
    return int(instant.timestamp() * 1000)
