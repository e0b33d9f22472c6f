"""Bringing the tables up to date. Alembic is loaded only when there is something to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from gateway.errors import SettingsError

HEAD = "0006"
"""Newest revision in `migrations/versions`; a test compares the two."""

VERSION_TABLE = "gateway_version"
"""Alembic's version table; named so that it cannot meet another application's."""

_LOCK = 7_305_412_988_120_411
"""Number of the PostgreSQL advisory lock that lets one process migrate at a time."""


def migrate(engine: Engine) -> None:
    """Creates or upgrades the tables, in one transaction, one process at a time."""
    if current_revision(engine) == HEAD:
        return
    from alembic import command

    with engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(sa.text("SELECT pg_advisory_xact_lock(:number)"), {"number": _LOCK})
        command.upgrade(alembic_config(connection), "head")


def require_current(engine: Engine) -> None:
    """Raises SettingsError where the tables are absent or of another version."""
    if current_revision(engine) != HEAD:
        raise SettingsError("The database has no tables of this version. Start `pa-gateway serve` once to upgrade it.")


def current_revision(engine: Engine) -> str | None:
    """Revision of the tables; None where there are none."""
    with engine.connect() as connection:
        if not sa.inspect(connection).has_table(VERSION_TABLE):
            return None
        found: str | None = connection.execute(sa.text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()
        return found


def alembic_config(connection: Connection) -> Any:
    """Alembic's configuration, bound to an open connection; no ini file is read."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    return config
