"""Case rows: compare-and-set on `version`, keyset pages for the worklist, due rows for the sweep."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa

from gateway.errors import Conflict, NotFound
from gateway.store.base import ALL_TENANTS, Repository, record_of, values_of
from gateway.store.rows import CaseFilter, CaseRow, Cursor
from gateway.store.tables import case_words, cases
from gateway.store.worklist import (
    WORD_FIELDS,
    Search,
    count_statement,
    cursor_of,
    derived,
    derived_changes,
    hits_statement,
    page_statement,
    plan_search,
    words_of,
)

__all__ = ["Cases", "cursor_of"]


class Cases(Repository):
    """Named queries over case rows."""

    def insert(self, row: CaseRow) -> CaseRow:
        """Stores a new case; raises Conflict where the order already has one (`by_order_key` finds it)."""
        if not self._insert_new(cases, values_of(row) | derived(row)):
            raise Conflict("This order already has a case.", code="conflict.order-key")
        self._write_words(row)
        return row

    def get(self, tenant_id: str, case_id: str) -> CaseRow:
        """The case; raises NotFound, also for another tenant's."""
        row = self.find(tenant_id, case_id)
        if row is None:
            raise NotFound("There is no such case.")
        return row

    def find(self, tenant_id: str, case_id: str) -> CaseRow | None:
        """The case, or None."""
        row = self._one(tenant_id, sa.select(cases).where(_is(tenant_id, case_id)))
        return record_of(CaseRow, row) if row else None

    def by_order_key(self, tenant_id: str, order_key: str) -> CaseRow | None:
        """The order's case, or None."""
        where = (cases.c.tenant_id == tenant_id, cases.c.order_key == order_key)
        row = self._one(tenant_id, sa.select(cases).where(*where))
        return record_of(CaseRow, row) if row else None

    def by_order_reference(self, tenant_id: str, order_reference: str) -> tuple[CaseRow, ...]:
        """Cases of the order `Type/id`, oldest first; several where several coverages apply."""
        where = (cases.c.tenant_id == tenant_id, cases.c.order_reference == order_reference)
        ordered = sa.select(cases).where(*where).order_by(cases.c.created_at, cases.c.case_id)
        return self._records(tenant_id, ordered)

    def update(self, tenant_id: str, case_id: str, expected_version: int, **changes: Any) -> CaseRow:
        """Changes the fields named and returns the new row.

        Raises Conflict where the case no longer has `expected_version`. `version` and `updated_at`
        move by themselves; `updated_at` may be given.
        """
        changes = {"updated_at": self._now()} | changes
        where = sa.and_(_is(tenant_id, case_id), cases.c.version == expected_version)
        values = changes | derived_changes(changes) | {"version": expected_version + 1}
        row = record_of(CaseRow, self._compare_and_set(tenant_id, cases, where, values))
        if changes.keys() & set(WORD_FIELDS):
            self._write_words(row)
        return row

    def list(
        self, tenant_id: str, chosen: CaseFilter | None = None, *, after: Cursor | None = None, limit: int = 50
    ) -> tuple[CaseRow, ...]:
        """One worklist page: our moves first, then the nearest deadline. `after` is `cursor_of(last row)`."""
        chosen = chosen or CaseFilter()
        search = self._search(tenant_id, chosen)
        return self._records(tenant_id, page_statement(tenant_id, chosen, search, after, limit))

    def count_by_state(self, tenant_id: str) -> dict[str, int]:
        """How many cases are in each state; states without a case are absent. Reads an entry for every case."""
        statement = sa.select(cases.c.state, sa.func.count().label("number")).where(cases.c.tenant_id == tenant_id)
        found = self._all(tenant_id, statement.group_by(cases.c.state))
        return {row["state"]: int(row["number"]) for row in found}

    def count(self, tenant_id: str, chosen: CaseFilter, *, at_most: int = 10_000) -> int:
        """How many cases the filter shows, counted up to `at_most`: that many means "or more"."""
        statement = count_statement(tenant_id, chosen, self._search(tenant_id, chosen), at_most)
        return int(self._value(tenant_id, statement))

    def due(self, now: datetime, limit: int = 100, *, after: CaseRow | None = None) -> tuple[CaseRow, ...]:
        """Cases of all tenants whose `due_at` has come, longest waiting first. For the sweep alone.

        `after` is the last row of the page before.
        """
        statement = sa.select(cases).where(cases.c.due_at <= now)
        if after is not None:
            place = (sa.literal(after.due_at, cases.c.due_at.type), sa.literal(after.case_id, cases.c.case_id.type))
            statement = statement.where(sa.tuple_(cases.c.due_at, cases.c.case_id) > sa.tuple_(*place))
        return self._records(ALL_TENANTS, statement.order_by(cases.c.due_at, cases.c.case_id).limit(limit))

    def next_due_at(self) -> datetime | None:
        """When the next case of any tenant is due; None where none is."""
        found: datetime | None = self._value(ALL_TENANTS, sa.select(sa.func.min(cases.c.due_at)))
        return found

    def _search(self, tenant_id: str, chosen: CaseFilter) -> Search:
        words = words_of([chosen.text])
        if not words:
            return Search()
        counted = self._one(tenant_id, hits_statement(tenant_id, words))
        return plan_search(words, [int(hits) for hits in counted.values()] if counted else [0])

    def _records(self, tenant_id: str, statement: sa.Select[Any]) -> tuple[CaseRow, ...]:
        return tuple(record_of(CaseRow, row) for row in self._all(tenant_id, statement))

    def _write_words(self, row: CaseRow) -> None:
        owned = (case_words.c.tenant_id == row.tenant_id, case_words.c.case_id == row.case_id)
        self._change(row.tenant_id, sa.delete(case_words).where(*owned))
        words = words_of(getattr(row, name) for name in WORD_FIELDS)
        rows = [{"tenant_id": row.tenant_id, "word": word, "case_id": row.case_id} for word in words]
        if rows:
            self._insert_all(row.tenant_id, case_words, rows)


def _is(tenant_id: str, case_id: str) -> sa.ColumnElement[bool]:
    return sa.and_(cases.c.tenant_id == tenant_id, cases.c.case_id == case_id)
