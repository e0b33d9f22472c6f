"""Who is alive: the proof that lets one process take over another's jobs.

PostgreSQL: every process holds a session advisory lock named after its executor id on a connection of
its own; the server drops it when the process or its machine dies. Who can take a lock of that name knows
its owner is gone. SQLite: one process per file, proved by a lock on a file beside it; so everything
running at start belongs to nobody.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from pathlib import Path
from typing import Protocol
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DBAPIError

from gateway.errors import SettingsError

_KEEPALIVES = "-c tcp_keepalives_idle=5 -c tcp_keepalives_interval=2 -c tcp_keepalives_count=3"
"""So that the server notices a machine that vanished within about 11 seconds."""


class Liveness(Protocol):
    """Proof of this process's life, and of others' death."""

    executor: str
    """Name of this process in the engine's rows."""

    def claim(self) -> None:
        """Begins to be alive; raises SettingsError where another process excludes us."""
        ...

    def keep(self) -> None:
        """Renews the proof where it was lost."""
        ...

    def is_dead(self, executor: str) -> bool:
        """Whether nobody of that name lives. Holds its lock until `settle`, so that one peer alone takes over."""
        ...

    def settle(self, executor: str) -> None:
        """The jobs of the dead are taken care of."""
        ...

    def release(self) -> None:
        """Ends being alive; peers may take over what is left."""
        ...


class FileLiveness:
    """SQLite: one process per file; the lock dies with the process."""

    executor = "embedded"

    def __init__(self, database: Path) -> None:
        self._path = database.with_name(database.name + ".lock")
        self._descriptor: int | None = None

    def claim(self) -> None:
        """Locks the file beside the database; raises SettingsError where another process works on it."""
        descriptor = os.open(self._path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            raise SettingsError(
                "Another process works on this SQLite file. Stop it, or use PostgreSQL for more than one process."
            ) from None
        self._descriptor = descriptor

    def keep(self) -> None:
        """Nothing to renew: the lock lasts as long as the process."""

    def is_dead(self, executor: str) -> bool:
        """Everybody else is: one process per file."""
        return executor != self.executor

    def settle(self, executor: str) -> None:
        """Nothing was locked."""

    def release(self) -> None:
        """Gives the file free."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


class AdvisoryLiveness:
    """PostgreSQL: a session advisory lock named after the executor, on a connection of its own."""

    def __init__(self, engine: Engine) -> None:
        self.executor = f"gw-{uuid4().hex}"
        self._engine = sa.create_engine(
            engine.url,
            poolclass=sa.NullPool,
            isolation_level="AUTOCOMMIT",
            hide_parameters=True,
            connect_args={"application_name": "pa-gateway-liveness", "connect_timeout": 10, "options": _KEEPALIVES},
        )
        self._connection: Connection | None = None

    def claim(self) -> None:
        """Connects and takes this process's lock."""
        connection = self._engine.connect()
        if not _try_lock(connection, self.executor):
            connection.close()
            raise SettingsError("Another process uses this executor id.")
        self._connection = connection

    def keep(self) -> None:
        """Connects and locks again where the session was lost; peers may have taken over meanwhile."""
        if self._connection is not None:
            try:
                self._connection.execute(sa.text("SELECT 1"))
                return
            except DBAPIError:
                self._drop()
        self.claim()

    def is_dead(self, executor: str) -> bool:
        """Takes the lock of that name, if nobody holds it."""
        return self._connection is not None and _try_lock(self._connection, executor)

    def settle(self, executor: str) -> None:
        """Lets the dead one's lock go."""
        if self._connection is not None:
            self._connection.execute(sa.text("SELECT pg_advisory_unlock(:number)"), {"number": lock_number(executor)})

    def release(self) -> None:
        """Closes the session and with it every lock."""
        self._drop()
        self._engine.dispose()

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.invalidate()
            self._connection.close()
            self._connection = None


def lock_number(executor: str) -> int:
    """The advisory lock's number: the first 8 bytes of the name's SHA-256, signed."""
    digest = hashlib.sha256(f"gateway.executor.{executor}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


def _try_lock(connection: Connection, executor: str) -> bool:
    asked = sa.text("SELECT pg_try_advisory_lock(:number)")
    return bool(connection.execute(asked, {"number": lock_number(executor)}).scalar())


def liveness_for(engine: Engine) -> Liveness:
    """The proof that fits the database."""
    if engine.dialect.name == "sqlite":
        return FileLiveness(Path(engine.url.database or ""))
    return AdvisoryLiveness(engine)
