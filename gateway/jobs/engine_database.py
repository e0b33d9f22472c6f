"""The durable engine's own connections to the database the caller's rows are in.

SQLite: the same file, so that a job and the rows that led to it are one transaction. The engine's own
commits (job taken, job done) run with `synchronous=NORMAL`: a power cut may forget that a job was done and
it runs again, which handlers bear; nothing the caller committed is lost, since that commit is FULL.
PostgreSQL: the schema `dbos` of the same database.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import Engine

BUSY_TIMEOUT_MS = 30_000


def engine_database(caller: Engine, pool_size: int) -> Engine:
    """A pool of connections for the durable engine beside the caller's."""
    if caller.dialect.name != "sqlite":
        return sa.create_engine(
            caller.url,
            pool_size=pool_size,
            max_overflow=pool_size,
            pool_pre_ping=True,
            hide_parameters=True,
            connect_args={"application_name": "pa-gateway-jobs", "connect_timeout": 10},
        )
    engine = sa.create_engine(
        caller.url,
        pool_size=pool_size,
        max_overflow=pool_size,
        hide_parameters=True,
        connect_args={"check_same_thread": False},
    )
    event.listen(engine, "connect", _set_pragmas)
    return engine


def _set_pragmas(connection: Any, _record: Any) -> None:
    connection.isolation_level = "IMMEDIATE"
    connection.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
    connection.execute("PRAGMA foreign_keys=ON")
    connection.execute("PRAGMA synchronous=NORMAL")
