"""What the repositories share: the tenant's scope, INSERT with conflict clause, compare-and-set, rows to records.

Every statement goes through here and names its tenant. On PostgreSQL that sets the tenant which row-level
security lets the transaction see, so a query that forgets its condition finds nothing instead of everybody's.
Source: spec/security.md T14.
"""

from __future__ import annotations

from dataclasses import fields
from datetime import datetime
from typing import Any, Final, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection, RowMapping

from gateway.clock import Clock
from gateway.errors import Conflict

Record = TypeVar("Record")

ALL_TENANTS: Final = "*"
"""Scope of the sweep and of look-ups whose key is itself the credential. No tenant may be called so."""

_SET_TENANT = sa.text("SELECT set_config('gateway.tenant', :tenant, true)")


class Scope:
    """Which tenant the open transaction works for."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.is_sqlite = connection.dialect.name == "sqlite"
        self._tenant = ""

    def enter(self, tenant_id: str) -> None:
        """Lets the following statements see this tenant's rows; lasts until the transaction ends."""
        if self.is_sqlite or tenant_id == self._tenant:
            return
        self.connection.execute(_SET_TENANT, {"tenant": tenant_id})
        self._tenant = tenant_id


class Repository:
    """One table's named queries on one open transaction."""

    def __init__(self, scope: Scope, clock: Clock) -> None:
        self._scope = scope
        self._clock = clock

    def _now(self) -> datetime:
        return self._clock.now()

    def _insert(self, table: sa.Table) -> Any:
        """INSERT of this database's dialect, which has `on_conflict_do_nothing` and `…_do_update`."""
        return sqlite.insert(table) if self._scope.is_sqlite else postgresql.insert(table)

    def _insert_new(self, table: sa.Table, values: dict[str, Any]) -> bool:
        """Inserts unless a unique key is taken; says whether it did. Keeps the transaction usable."""
        statement = self._insert(table).values(**values).on_conflict_do_nothing()
        return self._change(values["tenant_id"], statement) == 1

    def _insert_all(self, tenant_id: str, table: sa.Table, rows: list[dict[str, Any]]) -> None:
        self._scope.enter(tenant_id)
        self._scope.connection.execute(sa.insert(table), rows)

    def _change(self, tenant_id: str, statement: Any) -> int:
        """Runs INSERT, UPDATE or DELETE; returns the number of rows."""
        self._scope.enter(tenant_id)
        done = self._scope.connection.execute(statement, execution_options={"preserve_rowcount": True})
        return int(done.rowcount)

    def _value(self, tenant_id: str, statement: sa.Select[Any]) -> Any:
        """The first column of the first row, or None."""
        self._scope.enter(tenant_id)
        return self._scope.connection.execute(statement).scalar()

    def _one(self, tenant_id: str, statement: sa.Select[Any]) -> RowMapping | None:
        self._scope.enter(tenant_id)
        return self._scope.connection.execute(statement).mappings().first()

    def _all(self, tenant_id: str, statement: sa.Select[Any]) -> list[RowMapping]:
        self._scope.enter(tenant_id)
        return list(self._scope.connection.execute(statement).mappings())

    def _compare_and_set(
        self, tenant_id: str, table: sa.Table, where: sa.ColumnElement[bool], changes: dict[str, Any]
    ) -> RowMapping:
        """Updates the one row that matches `where` and returns it; raises Conflict where none does."""
        self._scope.enter(tenant_id)
        statement = sa.update(table).where(where).values(**changes).returning(table)
        row = self._scope.connection.execute(statement).mappings().first()
        if row is None:
            raise Conflict("It was changed meanwhile. Read it again and repeat what you did.", code="conflict.version")
        return row


def values_of(record: Any) -> dict[str, Any]:
    """The fields of a frozen record as a dictionary; one level, nothing copied."""
    return {field.name: getattr(record, field.name) for field in fields(record)}


def record_of(kind: type[Record], row: RowMapping) -> Record:
    """`row` as a record; columns the record does not know are left out."""
    names = [field.name for field in fields(kind)]  # type: ignore[arg-type]
    return kind(**{name: row[name] for name in names})
