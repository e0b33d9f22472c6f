"""The append-only history. Sequence numbers have no gaps; a second writer of the same number loses."""

from __future__ import annotations

from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import RowMapping

from gateway.errors import Conflict
from gateway.store.base import Repository, of, values_of
from gateway.store.notes import read_note, write_note
from gateway.store.rows import EventRow
from gateway.store.tables import events

_OF_CASE = sa.and_(events.c.tenant_id == of("tenant"), events.c.case_id == of("case"))
_BEHIND = sa.select(events).where(_OF_CASE, events.c.seq > of("seq")).order_by(events.c.seq)
_NEWEST = sa.select(events).where(_OF_CASE).order_by(events.c.seq.desc()).limit(1)


class Events(Repository):
    """Named queries over event rows."""

    def append(self, row: EventRow) -> EventRow:
        """Adds the next event; raises Conflict where `seq` is not the next number (take `last` again, sign again)."""
        values = values_of(row) | {"note": write_note(row.note)}
        parameters = {f"new_{name}": value for name, value in values.items()}
        parameters |= {"of_tenant": row.tenant_id, "of_case": row.case_id}
        statement = _insert_next(is_sqlite=self._scope.is_sqlite)
        if self._run(row.tenant_id, statement, parameters).rowcount != 1:
            raise Conflict("Another event was written meanwhile.", code="conflict.seq")
        return row

    def list(self, tenant_id: str, case_id: str, after_seq: int = -1) -> tuple[EventRow, ...]:
        """Events behind `after_seq`, oldest first; all of them by default."""
        return tuple(_record(row) for row in self._all(tenant_id, _BEHIND, of_case=case_id, of_seq=after_seq))

    def last(self, tenant_id: str, case_id: str) -> EventRow | None:
        """The newest event; None for a case without one."""
        row = self._one(tenant_id, _NEWEST, of_case=case_id)
        return _record(row) if row else None


@cache
def _insert_next(*, is_sqlite: bool) -> Any:
    """INSERT of an event whose number follows the newest one's, and of none otherwise."""
    names = [column.name for column in events.columns]
    given = [sa.bindparam(f"new_{column.name}", type_=column.type) for column in events.columns]
    newest = sa.select(sa.func.coalesce(sa.func.max(events.c.seq), -1)).where(_OF_CASE).scalar_subquery()
    follows = newest + 1 == sa.bindparam("new_seq", type_=events.c.seq.type)
    build = sqlite.insert if is_sqlite else postgresql.insert
    statement = build(events).from_select(names, sa.select(*given).where(follows))
    return statement.on_conflict_do_nothing().execution_options(preserve_rowcount=True)


def _record(row: RowMapping) -> EventRow:
    return EventRow(**(dict(row) | {"note": read_note(row["note"])}))
