"""The append-only history. Sequence numbers have no gaps; a second writer of the same number loses."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.engine import RowMapping

from gateway.errors import Conflict
from gateway.store.base import Repository, values_of
from gateway.store.notes import read_note, write_note
from gateway.store.rows import EventRow
from gateway.store.tables import events


class Events(Repository):
    """Named queries over event rows."""

    def append(self, row: EventRow) -> EventRow:
        """Adds the next event; raises Conflict where `seq` is not the next number (take `last` again, sign again)."""
        if row.seq != self.next_seq(row.tenant_id, row.case_id):
            raise Conflict("Another event was written meanwhile.", code="conflict.seq")
        values = values_of(row) | {"note": write_note(row.note)}
        if not self._insert_new(events, values):
            raise Conflict("Another event was written meanwhile.", code="conflict.seq")
        return row

    def next_seq(self, tenant_id: str, case_id: str) -> int:
        """The number the next event must carry: 0 for the first."""
        highest = self._value(tenant_id, sa.select(sa.func.max(events.c.seq)).where(_of(tenant_id, case_id)))
        return 0 if highest is None else int(highest) + 1

    def list(self, tenant_id: str, case_id: str, after_seq: int = -1) -> tuple[EventRow, ...]:
        """Events behind `after_seq`, oldest first; all of them by default."""
        where = sa.and_(_of(tenant_id, case_id), events.c.seq > after_seq)
        ordered = sa.select(events).where(where).order_by(events.c.seq)
        return tuple(_record(row) for row in self._all(tenant_id, ordered))

    def last(self, tenant_id: str, case_id: str) -> EventRow | None:
        """The newest event; None for a case without one."""
        newest = sa.select(events).where(_of(tenant_id, case_id)).order_by(events.c.seq.desc()).limit(1)
        row = self._one(tenant_id, newest)
        return _record(row) if row else None


def _of(tenant_id: str, case_id: str) -> sa.ColumnElement[bool]:
    return sa.and_(events.c.tenant_id == tenant_id, events.c.case_id == case_id)


def _record(row: RowMapping) -> EventRow:
    return EventRow(**(dict(row) | {"note": read_note(row["note"])}))
