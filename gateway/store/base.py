"""What the repositories share: the tenant's scope, statements built once, compare-and-set, rows to records.

Every statement goes through here and names its tenant. On PostgreSQL that sets the tenant which row-level
security lets the transaction see, so a query that forgets its condition finds nothing instead of everybody's
(spec/security.md T14). Statements are built once and run with values, since building one costs more than
running it.
"""

from __future__ import annotations

from dataclasses import fields
from datetime import datetime
from functools import cache
from typing import Any, Final, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection, CursorResult, RowMapping

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
    """One table's named queries on one open transaction. `values` fill the statement's `of_…` parameters."""

    def __init__(self, scope: Scope, clock: Clock) -> None:
        self._scope = scope
        self._clock = clock

    def _now(self) -> datetime:
        return self._clock.now()

    def _run(self, tenant_id: str, statement: Any, values: Any) -> CursorResult[Any]:
        self._scope.enter(tenant_id)
        return self._scope.connection.execute(statement, values)

    def _insert_new(self, table: sa.Table, values: dict[str, Any]) -> bool:
        """Inserts unless a unique key is taken; says whether it did. Keeps the transaction usable."""
        statement = insert_if_new(table, is_sqlite=self._scope.is_sqlite)
        return self._run(values["tenant_id"], statement, values).rowcount == 1

    def _insert_all_new(self, tenant_id: str, table: sa.Table, rows: list[dict[str, Any]]) -> None:
        """Inserts the rows whose unique key is free."""
        self._run(tenant_id, insert_if_new(table, is_sqlite=self._scope.is_sqlite), rows)

    def _insert_all(self, tenant_id: str, table: sa.Table, rows: list[dict[str, Any]]) -> None:
        self._run(tenant_id, insert_plain(table), rows)

    def _change(self, tenant_id: str, statement: Any, **values: Any) -> int:
        """Runs UPDATE or DELETE; returns the number of rows."""
        return self._run(tenant_id, statement, {"of_tenant": tenant_id} | values).rowcount

    def _value(self, tenant_id: str, statement: sa.Select[Any], **values: Any) -> Any:
        """The first column of the first row, or None."""
        return self._run(tenant_id, statement, {"of_tenant": tenant_id} | values).scalar()

    def _one(self, tenant_id: str, statement: sa.Select[Any], **values: Any) -> RowMapping | None:
        return self._run(tenant_id, statement, {"of_tenant": tenant_id} | values).mappings().first()

    def _all(self, tenant_id: str, statement: sa.Select[Any], **values: Any) -> list[RowMapping]:
        return list(self._run(tenant_id, statement, {"of_tenant": tenant_id} | values).mappings())

    def _compare_and_set(
        self, table: sa.Table, tenant_id: str, row_id: str, expected_version: int, changes: dict[str, Any]
    ) -> RowMapping:
        """Updates the row of this id and version and returns it; raises Conflict where there is none."""
        values = changes | {"of_tenant": tenant_id, "of_id": row_id, "of_version": expected_version}
        statement = update_if_same(table, tuple(sorted(changes)))
        row = self._run(tenant_id, statement, values).mappings().first()
        if row is None:
            raise Conflict("It was changed meanwhile. Read it again and repeat what you did.", code="conflict.version")
        return row


def of(column: str) -> sa.BindParameter[Any]:
    """The parameter `of_<column>`, to be compared with a column."""
    return sa.bindparam(f"of_{column}")


@cache
def insert_plain(table: sa.Table) -> sa.Insert:
    """INSERT of one row or many."""
    return sa.insert(table)


@cache
def insert_if_new(table: sa.Table, *, is_sqlite: bool) -> Any:
    """INSERT that does nothing where a unique key is taken."""
    build = sqlite.insert if is_sqlite else postgresql.insert
    return build(table).on_conflict_do_nothing().execution_options(preserve_rowcount=True)


@cache
def update_if_same(table: sa.Table, names: tuple[str, ...]) -> Any:
    """UPDATE of these columns where id (the second key column) and version are as given, and its version goes up."""
    tenant, row_id = table.primary_key.columns
    same = (tenant == of("tenant"), row_id == of("id"), table.c.version == of("version"))
    changes: dict[str, Any] = {name: sa.bindparam(name, type_=table.c[name].type) for name in names}
    changes["version"] = table.c.version + 1
    return sa.update(table).where(*same).values(changes).returning(table)


def values_of(record: Any) -> dict[str, Any]:
    """The fields of a frozen record as a dictionary; one level, nothing copied."""
    return {name: getattr(record, name) for name in _names(type(record))}


def record_of(kind: type[Record], row: RowMapping) -> Record:
    """`row` as a record; columns the record does not know are left out."""
    return kind(**{name: row[name] for name in _names(kind)})


_known_names: dict[Any, tuple[str, ...]] = {}


def _names(kind: Any) -> tuple[str, ...]:
    """Names of a record's fields; looked up once per class."""
    if kind not in _known_names:
        _known_names[kind] = tuple(field.name for field in fields(kind))
    return _known_names[kind]
