"""Case rows: compare-and-set on `version`, worklist pages, due rows for the sweep."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from gateway.errors import Conflict, NotFound
from gateway.store.base import ALL_TENANTS, Repository, of, record_of, values_of
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

_OF_TENANT = cases.c.tenant_id == of("tenant")
_BY_ID = sa.select(cases).where(_OF_TENANT, cases.c.case_id == of("case"))
_BY_ORDER_KEY = sa.select(cases).where(_OF_TENANT, cases.c.order_key == of("key"))
_BY_ORDER = (
    sa.select(cases)
    .where(_OF_TENANT, cases.c.order_reference == of("order"))
    .order_by(cases.c.created_at, cases.c.case_id)
)
_NEWEST = (
    sa.select(cases)
    .where(_OF_TENANT, cases.c.service_code.in_(sa.bindparam("of_codes", expanding=True)))
    .order_by(cases.c.created_at.desc(), cases.c.case_id.desc())
    .limit(of("limit"))
)
_BY_STATE = sa.select(cases.c.state, sa.func.count().label("number")).where(_OF_TENANT).group_by(cases.c.state)
_DUE = sa.select(cases).where(cases.c.due_at <= of("now")).order_by(cases.c.due_at, cases.c.case_id).limit(of("limit"))
_DUE_BEHIND = _DUE.where(
    sa.tuple_(cases.c.due_at, cases.c.case_id)
    > sa.tuple_(sa.bindparam("of_due", type_=cases.c.due_at.type), sa.bindparam("of_case", type_=cases.c.case_id.type))
)
_NEXT_DUE = sa.select(sa.func.min(cases.c.due_at))
_FORGET_WORDS = sa.delete(case_words).where(case_words.c.tenant_id == of("tenant"), case_words.c.case_id == of("case"))


class Cases(Repository):
    """Named queries over case rows."""

    def insert(self, row: CaseRow) -> CaseRow:
        """Stores a new case; raises Conflict where the order already has one (`by_order_key` finds it)."""
        if not self._insert_new(cases, values_of(row) | derived(row)):
            raise Conflict("This order already has a case.", code="conflict.order-key")
        self._add_words(row)
        return row

    def get(self, tenant_id: str, case_id: str) -> CaseRow:
        """The case; raises NotFound, also for another tenant's."""
        row = self.find(tenant_id, case_id)
        if row is None:
            raise NotFound("There is no such case.")
        return row

    def find(self, tenant_id: str, case_id: str) -> CaseRow | None:
        """The case, or None."""
        row = self._one(tenant_id, _BY_ID, of_case=case_id)
        return record_of(CaseRow, row) if row else None

    def by_order_key(self, tenant_id: str, order_key: str) -> CaseRow | None:
        """The order's case, or None."""
        row = self._one(tenant_id, _BY_ORDER_KEY, of_key=order_key)
        return record_of(CaseRow, row) if row else None

    def by_order_reference(self, tenant_id: str, order_reference: str) -> tuple[CaseRow, ...]:
        """Cases of the order `Type/id`, oldest first; several where several coverages apply."""
        return self._records(tenant_id, _BY_ORDER, of_order=order_reference)

    def update(self, tenant_id: str, case_id: str, expected_version: int, **changes: Any) -> CaseRow:
        """Changes the fields named and returns the new row.

        Raises Conflict where the case no longer has `expected_version`. `version` and `updated_at`
        move by themselves; `updated_at` may be given.
        """
        values = {"updated_at": self._now()} | changes | derived_changes(changes)
        row = record_of(CaseRow, self._compare_and_set(cases, tenant_id, case_id, expected_version, values))
        if changes.keys() & set(WORD_FIELDS):
            self._change(tenant_id, _FORGET_WORDS, of_case=case_id)
            self._add_words(row)
        return row

    def list(
        self, tenant_id: str, chosen: CaseFilter | None = None, *, after: Cursor | None = None, limit: int = 50
    ) -> tuple[CaseRow, ...]:
        """One worklist page: our moves first, then the nearest deadline. `after` is `cursor_of(last row)`."""
        chosen = chosen or CaseFilter()
        search = self._search(tenant_id, chosen)
        return self._records(tenant_id, page_statement(tenant_id, chosen, search, after, limit))

    def newest(self, tenant_id: str, service_codes: Collection[str], limit: int) -> tuple[CaseRow, ...]:
        """The last cases about one of the services, whatever became of them, newest first."""
        return self._records(tenant_id, _NEWEST, of_codes=sorted(service_codes), of_limit=limit)

    def count_by_state(self, tenant_id: str) -> dict[str, int]:
        """How many cases are in each state; states without a case are absent. Reads an entry for every case."""
        return {row["state"]: int(row["number"]) for row in self._all(tenant_id, _BY_STATE)}

    def count(self, tenant_id: str, chosen: CaseFilter, *, at_most: int = 10_000) -> int:
        """How many cases the filter shows, counted up to `at_most`: that many means "or more"."""
        statement = count_statement(tenant_id, chosen, self._search(tenant_id, chosen), at_most)
        return int(self._value(tenant_id, statement))

    def due(self, now: datetime, limit: int = 100, *, after: CaseRow | None = None) -> tuple[CaseRow, ...]:
        """Cases of all tenants whose `due_at` has come, longest waiting first. For the sweep alone.

        `after` is the last row of the page before.
        """
        if after is None:
            return self._records(ALL_TENANTS, _DUE, of_now=now, of_limit=limit)
        place = {"of_due": after.due_at, "of_case": after.case_id}
        return self._records(ALL_TENANTS, _DUE_BEHIND, of_now=now, of_limit=limit, **place)

    def next_due_at(self) -> datetime | None:
        """When the next case of any tenant is due; None where none is."""
        found: datetime | None = self._value(ALL_TENANTS, _NEXT_DUE)
        return found

    def _search(self, tenant_id: str, chosen: CaseFilter) -> Search:
        words = words_of([chosen.text])
        if not words:
            return Search()
        counted = self._one(tenant_id, hits_statement(tenant_id, words))
        return plan_search(words, [int(hits) for hits in counted.values()] if counted else [0])

    def _records(self, tenant_id: str, statement: sa.Select[Any], **values: Any) -> tuple[CaseRow, ...]:
        return tuple(record_of(CaseRow, row) for row in self._all(tenant_id, statement, **values))

    def _add_words(self, row: CaseRow) -> None:
        words = words_of(getattr(row, name) for name in WORD_FIELDS)
        rows = [{"tenant_id": row.tenant_id, "word": word, "case_id": row.case_id} for word in words]
        if rows:
            self._insert_all(row.tenant_id, case_words, rows)
