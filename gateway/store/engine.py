"""Opening the database: urls, file modes, the settings every SQLite connection needs.

SQLite: write-ahead log, `synchronous=FULL`, foreign keys on; every writing transaction begins
IMMEDIATE, so that two writers queue instead of failing half-way. The file and its folder are ours
alone (0600 in 0700) and wider modes are refused at start (spec/security.md T37); `-wal` and `-shm` get
the file's own mode from SQLite.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import URL, Connection, Engine, make_url
from sqlalchemy.exc import ArgumentError

from gateway.errors import SettingsError

READ_ONLY = "gateway_read_only"
"""Execution option of connections that only read: they begin DEFERRED and take no write lock."""

BUSY_TIMEOUT_MS = 30_000
POOL_SIZE = 20


def open_engine(url: str, *, create: bool) -> Engine:
    """An engine for `sqlite:///path` or `postgresql+psycopg://…`.

    `create` lets a missing SQLite file and its folder be made. Raises SettingsError for another kind
    of url, a missing file, or modes wider than 0600 in 0700.
    """
    parsed = read_url(url)
    if parsed.get_backend_name() == "sqlite":
        return _open_sqlite(parsed, create=create)
    return _open_postgresql(parsed)


def read_url(url: str) -> URL:
    """The parsed url; raises SettingsError, without repeating the url, since it may hold a password."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise SettingsError("store.url cannot be read: expected sqlite:///path or postgresql+psycopg://…") from None
    if parsed.drivername == "sqlite" and parsed.database and parsed.database != ":memory:":
        return parsed
    if parsed.drivername in ("postgresql+psycopg", "postgresql") and parsed.database:
        return parsed.set(drivername="postgresql+psycopg")
    raise SettingsError("store.url must be sqlite:///path (a file) or postgresql+psycopg://host/database.")


def _open_sqlite(url: URL, *, create: bool) -> Engine:
    path = Path(url.database or "")
    _prepare_file(path, create=create)
    engine = sa.create_engine(
        url,
        connect_args={"check_same_thread": False, "isolation_level": None},
        pool_size=POOL_SIZE,
        max_overflow=POOL_SIZE,
        hide_parameters=True,
    )
    event.listen(engine, "connect", _set_pragmas)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_file(path: Path, *, create: bool) -> None:
    """Makes the folder and the file where asked, then refuses modes wider than ours."""
    if create and not path.parent.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if create and not path.exists():
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    if not path.exists():
        raise SettingsError(f"The database file {path.name} does not exist. Create it with `pa-gateway serve`.")
    require_private(path.parent, 0o700)
    require_private(path, 0o600)
    for ending in ("-wal", "-shm"):
        beside = path.with_name(path.name + ending)
        if beside.exists():
            require_private(beside, 0o600)


def require_private(path: Path, widest: int) -> None:
    """Raises SettingsError where `path` is open to more than `widest` or belongs to somebody else."""
    found = path.stat()
    if stat.S_IMODE(found.st_mode) & ~widest:
        mode = f"{stat.S_IMODE(found.st_mode):04o}"
        raise SettingsError(f"{path.name} can be read by others (mode {mode}). Run: chmod {widest:04o} on it.")
    if found.st_uid != os.geteuid():
        raise SettingsError(f"{path.name} belongs to another user. Run the gateway as its owner.")


def _set_pragmas(connection: Any, _record: Any) -> None:
    connection.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA foreign_keys=ON")
    connection.execute("PRAGMA trusted_schema=OFF")


def _begin_sqlite(connection: Connection) -> None:
    reads_only = connection.get_execution_options().get(READ_ONLY, False)
    connection.exec_driver_sql("BEGIN" if reads_only else "BEGIN IMMEDIATE")


def _open_postgresql(url: URL) -> Engine:
    return sa.create_engine(
        url,
        pool_size=POOL_SIZE,
        max_overflow=POOL_SIZE,
        pool_pre_ping=True,
        hide_parameters=True,
        connect_args={"application_name": "pa-gateway", "connect_timeout": 10},
    )


def separates_tenants(engine: Engine) -> bool:
    """Whether row-level security binds the role we connect as: never on SQLite, nor for a superuser."""
    if engine.dialect.name == "sqlite":
        return False
    bound = sa.text("SELECT NOT (rolsuper OR rolbypassrls) FROM pg_roles WHERE rolname = current_user")
    with engine.connect() as connection:
        return bool(connection.execute(bound).scalar())
