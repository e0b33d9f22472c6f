"""The door of the room: opening a database and beginning transactions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DBAPIError, OperationalError

from gateway.clock import Clock, SystemClock
from gateway.errors import Busy, Conflict, SettingsError
from gateway.logs import get_logger
from gateway.store.base import Scope
from gateway.store.cases import Cases
from gateway.store.engine import READ_ONLY, open_engine, separates_tenants
from gateway.store.events import Events
from gateway.store.guards import Breakers, Idempotency, Sessions
from gateway.store.inbox import Notifications, Subscriptions
from gateway.store.migrate import migrate, require_current
from gateway.store.objects import Objects
from gateway.store.submissions import Submissions
from gateway.store.turns import Turns

_RETRIED_STATES = ("40001", "40P01")
"""PostgreSQL's serialization failure and deadlock: repeat the transaction."""


class Tx:
    """One open transaction: every repository, and the connection for the jobs port."""

    def __init__(self, connection: Connection, clock: Clock) -> None:
        self.connection = connection
        """Hand it to `jobs.enqueue`, so that the job commits or vanishes with the rows."""
        scope = Scope(connection)
        self.cases = Cases(scope, clock)
        self.events = Events(scope, clock)
        self.objects = Objects(scope, clock)
        self.submissions = Submissions(scope, clock)
        self.notifications = Notifications(scope, clock)
        self.subscriptions = Subscriptions(scope, clock)
        self.breakers = Breakers(scope, clock)
        self.idempotency = Idempotency(scope, clock)
        self.sessions = Sessions(scope, clock)


class Store:
    """An open database. Thread-safe; a transaction belongs to the thread that began it."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self.engine = engine
        self._clock = clock
        self._turns = Turns(enabled=engine.dialect.name == "sqlite")
        self.separates_tenants = separates_tenants(engine)
        """Whether the database itself keeps tenants apart. False on SQLite, which serves one tenant per file."""
        if engine.dialect.name != "sqlite" and not self.separates_tenants:
            get_logger().warning("store.row-security-bypassed", why="the database role is a superuser or bypasses RLS")

    @classmethod
    def open(cls, url: str, *, create: bool = True, clock: Clock | None = None) -> Store:
        """Opens `sqlite:///path` or `postgresql+psycopg://…`, ready for use.

        With `create` a missing file is made and the tables are brought up to date; without it the
        tables must already be. Raises SettingsError for a bad url, wide file modes, an unreachable
        database or tables of another version.
        """
        engine = open_engine(url, create=create)
        try:
            migrate(engine) if create else require_current(engine)
        except OperationalError:
            engine.dispose()
            raise SettingsError("The database of store.url cannot be reached or used.") from None
        except SettingsError:
            engine.dispose()
            raise
        return cls(engine, clock or SystemClock())

    @contextmanager
    def begin(self) -> Iterator[Tx]:
        """A writing transaction: commits at the end, rolls back on any exception.

        Raises Busy where the database stayed locked, Conflict where it asks to repeat.
        """
        with self._turns.take(), _translated(), self.engine.begin() as connection:
            yield Tx(connection, self._clock)

    @contextmanager
    def read(self) -> Iterator[Tx]:
        """A reading transaction; a write inside it fails."""
        with _translated(), self.engine.connect() as plain:
            connection = plain.execution_options(**_read_options(plain))
            with connection.begin():
                yield Tx(connection, self._clock)

    def close(self) -> None:
        """Closes every pooled connection."""
        self.engine.dispose()


def _read_options(connection: Connection) -> dict[str, object]:
    if connection.dialect.name == "sqlite":
        return {READ_ONLY: True}
    return {"postgresql_readonly": True, READ_ONLY: True}


@contextmanager
def _translated() -> Iterator[None]:
    """Database faults a caller can act on, as errors of the tree; their texts (which hold values) stay inside."""
    try:
        yield
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) in _RETRIED_STATES:
            raise Conflict("The database asks to repeat this.", code="conflict.serialization") from None
        if "database is locked" in str(error.orig):
            raise Busy("The database is busy. Try again in a moment.", code="busy.database") from None
        raise
