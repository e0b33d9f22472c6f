"""What the repositories share: dialect's INSERT with conflict clause, rows to records, compare-and-set."""

from __future__ import annotations

from dataclasses import fields
from datetime import datetime
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection, RowMapping

from gateway.clock import Clock
from gateway.errors import Conflict

Record = TypeVar("Record")


class Repository:
    """One table's named queries on one open transaction."""

    def __init__(self, connection: Connection, clock: Clock) -> None:
        self._connection = connection
        self._clock = clock

    def _now(self) -> datetime:
        return self._clock.now()

    def _insert(self, table: sa.Table) -> Any:
        """INSERT of this database's dialect, which has `on_conflict_do_nothing` and `…_do_update`."""
        if self._connection.dialect.name == "sqlite":
            return sqlite.insert(table)
        return postgresql.insert(table)

    def _insert_new(self, table: sa.Table, values: dict[str, Any]) -> bool:
        """Inserts unless a unique key is taken; says whether it did. Keeps the transaction usable."""
        statement = self._insert(table).values(**values).on_conflict_do_nothing()
        counted = self._connection.execute(statement, execution_options={"preserve_rowcount": True})
        return bool(counted.rowcount == 1)

    def _one(self, statement: sa.Select[Any]) -> RowMapping | None:
        return self._connection.execute(statement).mappings().first()

    def _all(self, statement: sa.Select[Any]) -> list[RowMapping]:
        return list(self._connection.execute(statement).mappings())

    def _compare_and_set(self, table: sa.Table, where: sa.ColumnElement[bool], changes: dict[str, Any]) -> RowMapping:
        """Updates the one row that matches `where` and returns it; raises Conflict where none does."""
        statement = sa.update(table).where(where).values(**changes).returning(table)
        row = self._connection.execute(statement).mappings().first()
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
