"""Case rows: compare-and-set on `version`, keyset pages for the worklist, due rows for the sweep."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from gateway.errors import Conflict, NotFound
from gateway.store.base import Repository, record_of, values_of
from gateway.store.columns import FAR_AT
from gateway.store.rows import CaseFilter, CaseRow, Cursor
from gateway.store.tables import case_words, cases

MOVE_RANKS: Mapping[str, int] = {"us": 0, "clinician": 1, "patient": 2, "payer": 3, "nobody": 4}
"""Order of the worklist: our own moves first."""

WORD_FIELDS = (
    "patient_label",
    "patient_mrn",
    "order_identity",
    "order_reference",
    "service_code",
    "service_display",
    "authorization_number",
    "case_id",
)
MAX_WORDS = 64
MAX_WORD_CHARACTERS = 64


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
        row = self._one(sa.select(cases).where(_is(tenant_id, case_id)))
        return record_of(CaseRow, row) if row else None

    def by_order_key(self, tenant_id: str, order_key: str) -> CaseRow | None:
        """The order's case, or None."""
        row = self._one(sa.select(cases).where(cases.c.tenant_id == tenant_id, cases.c.order_key == order_key))
        return record_of(CaseRow, row) if row else None

    def by_order_reference(self, tenant_id: str, order_reference: str) -> tuple[CaseRow, ...]:
        """Cases of the order `Type/id`, oldest first; several where several coverages apply."""
        where = (cases.c.tenant_id == tenant_id, cases.c.order_reference == order_reference)
        return self._records(sa.select(cases).where(*where).order_by(cases.c.created_at, cases.c.case_id))

    def update(self, tenant_id: str, case_id: str, expected_version: int, **changes: Any) -> CaseRow:
        """Changes the fields named and returns the new row.

        Raises Conflict where the case no longer has `expected_version`. `version` and `updated_at`
        move by themselves; `updated_at` may be given.
        """
        changes = {"updated_at": self._now()} | changes
        where = sa.and_(_is(tenant_id, case_id), cases.c.version == expected_version)
        values = changes | derived_changes(changes) | {"version": expected_version + 1}
        row = record_of(CaseRow, self._compare_and_set(cases, where, values))
        if changes.keys() & set(WORD_FIELDS):
            self._write_words(row)
        return row

    def list(
        self, tenant_id: str, chosen: CaseFilter | None = None, *, after: Cursor | None = None, limit: int = 50
    ) -> tuple[CaseRow, ...]:
        """One worklist page: our moves first, then the nearest deadline. `after` is `cursor_of(last row)`."""
        statement = sa.select(cases).where(*conditions(tenant_id, chosen or CaseFilter()))
        if after is not None:
            statement = statement.where(_behind(after))
        statement = statement.order_by(cases.c.move_rank, cases.c.sort_at, cases.c.case_id)
        return self._records(statement.limit(limit))

    def count_by_state(self, tenant_id: str) -> dict[str, int]:
        """How many cases are in each state; states without a case are absent."""
        statement = sa.select(cases.c.state, sa.func.count()).where(cases.c.tenant_id == tenant_id)
        found = self._connection.execute(statement.group_by(cases.c.state)).all()
        return {str(row[0]): int(row[1]) for row in found}

    def count(self, tenant_id: str, chosen: CaseFilter, *, at_most: int = 10_000) -> int:
        """How many cases the filter shows, counted up to `at_most`."""
        inner = sa.select(sa.literal(1)).where(*conditions(tenant_id, chosen)).limit(at_most).subquery()
        return int(self._connection.execute(sa.select(sa.func.count()).select_from(inner)).scalar_one())

    def due(self, now: datetime, limit: int = 100, *, after: CaseRow | None = None) -> tuple[CaseRow, ...]:
        """Cases of all tenants whose `due_at` has come, longest waiting first. For the sweep alone.

        `after` is the last row of the page before.
        """
        statement = sa.select(cases).where(cases.c.due_at <= now)
        if after is not None:
            place = (sa.literal(after.due_at, cases.c.due_at.type), sa.literal(after.case_id, cases.c.case_id.type))
            statement = statement.where(sa.tuple_(cases.c.due_at, cases.c.case_id) > sa.tuple_(*place))
        return self._records(statement.order_by(cases.c.due_at, cases.c.case_id).limit(limit))

    def next_due_at(self) -> datetime | None:
        """When the next case of any tenant is due; None where none is."""
        found: datetime | None = self._connection.execute(sa.select(sa.func.min(cases.c.due_at))).scalar_one()
        return found

    def _records(self, statement: sa.Select[Any]) -> tuple[CaseRow, ...]:
        return tuple(record_of(CaseRow, row) for row in self._all(statement))

    def _write_words(self, row: CaseRow) -> None:
        owned = (case_words.c.tenant_id == row.tenant_id, case_words.c.case_id == row.case_id)
        self._connection.execute(sa.delete(case_words).where(*owned))
        words = words_of(getattr(row, name) for name in WORD_FIELDS)
        rows = [{"tenant_id": row.tenant_id, "word": word, "case_id": row.case_id} for word in words]
        if rows:
            self._connection.execute(sa.insert(case_words), rows)


def cursor_of(row: CaseRow) -> Cursor:
    """Where a page that ends with `row` ends."""
    return Cursor(move_rank=MOVE_RANKS[row.move], sort_at=row.deadline_at or FAR_AT, case_id=row.case_id)


def derived(row: CaseRow) -> dict[str, Any]:
    """The two columns that exist for the order of the worklist."""
    return derived_changes({"move": row.move, "deadline_at": row.deadline_at})


def derived_changes(changes: Mapping[str, Any]) -> dict[str, Any]:
    """The derived columns that follow from `changes`."""
    found: dict[str, Any] = {}
    if "move" in changes:
        found["move_rank"] = MOVE_RANKS[changes["move"]]
    if "deadline_at" in changes:
        found["sort_at"] = changes["deadline_at"] or FAR_AT
    return found


def words_of(texts: Iterable[str]) -> list[str]:
    """Distinct lower-case words of letters and digits, in sorted order, bounded in number and length."""
    found = {word[:MAX_WORD_CHARACTERS] for text in texts for word in re.findall(r"[^\W_]+", text.casefold())}
    return sorted(found)[:MAX_WORDS]


def conditions(tenant_id: str, chosen: CaseFilter) -> list[sa.ColumnElement[bool]]:
    """The filter as SQL conditions; the tenant's comes first."""
    columns = cases.c
    found: list[sa.ColumnElement[bool]] = [columns.tenant_id == tenant_id]
    if chosen.states:
        found.append(columns.state.in_(chosen.states))
    for name in ("payer", "service_line", "patient_reference", "order_reference"):
        if wanted := getattr(chosen, name):
            found.append(columns[name] == wanted)
    for name in ("owner", "is_expedited", "is_open", "move"):
        if (value := getattr(chosen, name)) is not None:
            found.append(columns[name] == value)
    found += _limits(chosen)
    return found + [_has_word(tenant_id, word) for word in words_of([chosen.text])]


def _limits(chosen: CaseFilter) -> list[sa.ColumnElement[bool]]:
    columns = cases.c
    pairs = (
        (columns.sort_at, chosen.deadline_before),
        (columns.updated_at, chosen.updated_before),
        (columns.service_on, chosen.service_before),
        (columns.approval_ends_on, chosen.approval_ends_before),
    )
    return [column < limit for column, limit in pairs if limit is not None]


def _has_word(tenant_id: str, beginning: str) -> sa.ColumnElement[bool]:
    """Whether the case has a word that begins so; a range, so that the index serves it."""
    inside = sa.select(case_words.c.case_id).where(
        case_words.c.tenant_id == tenant_id,
        case_words.c.word >= beginning,
        case_words.c.word < beginning + "\U0010ffff",
    )
    return cases.c.case_id.in_(inside)


def _behind(place: Cursor) -> sa.ColumnElement[bool]:
    """Rows that come after `place` in the worklist's order; a row comparison, which one index serves."""
    columns = (cases.c.move_rank, cases.c.sort_at, cases.c.case_id)
    values = (place.move_rank, place.sort_at, place.case_id)
    bound = [sa.literal(value, column.type) for value, column in zip(values, columns, strict=True)]
    return sa.tuple_(*columns) > sa.tuple_(*bound)


def _is(tenant_id: str, case_id: str) -> sa.ColumnElement[bool]:
    return sa.and_(cases.c.tenant_id == tenant_id, cases.c.case_id == case_id)
