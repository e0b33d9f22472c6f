"""The door of the room: opening a database and beginning transactions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from gateway.clock import Clock, SystemClock
from gateway.errors import Busy, Conflict, GatewayError, IntegrityError, SettingsError
from gateway.logs import get_logger
from gateway.store.base import Scope
from gateway.store.care import DueRows, Timers, Uploads
from gateway.store.cases import Cases
from gateway.store.engine import READ_ONLY, open_engine, separates_tenants
from gateway.store.events import Events
from gateway.store.guards import Breakers, Idempotency, Sessions
from gateway.store.hooks import Hooks
from gateway.store.inbox import Notifications, Subscriptions
from gateway.store.links import Links
from gateway.store.measures import Measures
from gateway.store.migrate import migrate, require_current
from gateway.store.objects import Objects
from gateway.store.rule_decisions import RuleDecisions
from gateway.store.submissions import Submissions
from gateway.store.turns import Turns

_REPEATED_STATES = ("40001", "40P01")
"""PostgreSQL's serialization failure and deadlock: repeat the transaction."""
_BUSY_STATES = ("SQLITE_BUSY", "SQLITE_BUSY_SNAPSHOT", "SQLITE_LOCKED", "SQLITE_FULL", "55P03", "57014")
"""Locked or full, lock not available, query cancelled by a timeout."""
_BUSY_CLASSES = ("08", "53", "57")
"""PostgreSQL's classes of lost connections, missing resources and operator intervention."""


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
        self.timers = Timers(scope, clock)
        self.care_due = DueRows(scope, clock)
        self.care_uploads = Uploads(scope, clock)
        self.hooks = Hooks(scope, clock)
        self.links = Links(scope, clock)
        self.rule_decisions = RuleDecisions(scope, clock)
        self.measures = Measures(scope, clock)


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

        Raises Busy where the database stayed locked or is away, Conflict where it asks to repeat,
        IntegrityError where it refuses for good.
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
    """Database faults as errors of the tree; their texts, which may hold values, go nowhere."""
    try:
        yield
    except DBAPIError as error:
        raise _as_ours(error) from None
    except PoolTimeout:
        raise Busy("Too many are at work at once. Try again in a moment.", code="busy.pool") from None


def _as_ours(error: DBAPIError) -> GatewayError:
    """Conflict: repeat it. Busy: try again later. IntegrityError: the database refused for good."""
    state = str(getattr(error.orig, "sqlstate", None) or getattr(error.orig, "sqlite_errorname", None) or "")
    if state in _REPEATED_STATES:
        return Conflict("The database asks to repeat this.", code="conflict.serialization")
    if error.connection_invalidated or state in _BUSY_STATES or state[:2] in _BUSY_CLASSES:
        return Busy("The database is busy or away. Try again in a moment.", code="busy.database")
    get_logger().error("store.refused", code=state, error=type(error).__name__)
    return IntegrityError("The database refused the change.", code="integrity.database")
