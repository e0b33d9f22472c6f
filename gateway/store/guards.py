"""Small rows that guard the doors and the payers: breakers, idempotency keys, staff sessions."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa

from gateway.errors import Conflict
from gateway.store.base import ALL_TENANTS, Repository, record_of, values_of
from gateway.store.rows import BreakerRow, IdempotencyRow, SessionRow
from gateway.store.tables import breakers, idempotency, sessions


class Breakers(Repository):
    """One circuit breaker per tenant and payer; a missing row reads as closed."""

    def get(self, tenant_id: str, payer: str, *, lock: bool = False) -> BreakerRow:
        """The breaker; `lock` keeps other writers out until the transaction ends (PostgreSQL)."""
        closed = BreakerRow(tenant_id=tenant_id, payer=payer)
        if lock:
            self._insert_new(breakers, values_of(closed))
        found = sa.select(breakers).where(breakers.c.tenant_id == tenant_id, breakers.c.payer == payer)
        row = self._one(tenant_id, found.with_for_update() if lock else found)
        return record_of(BreakerRow, row) if row else closed

    def save(self, row: BreakerRow) -> BreakerRow:
        """Stores the breaker as given."""
        values = values_of(row)
        statement = self._insert(breakers).values(**values)
        changes = {name: values[name] for name in ("state", "failures", "opened_until")}
        self._change(
            row.tenant_id, statement.on_conflict_do_update(index_elements=["tenant_id", "payer"], set_=changes)
        )
        return row

    def list(self, tenant_id: str) -> tuple[BreakerRow, ...]:
        """All breakers that ever moved, by payer."""
        found = sa.select(breakers).where(breakers.c.tenant_id == tenant_id).order_by(breakers.c.payer)
        return tuple(record_of(BreakerRow, row) for row in self._all(tenant_id, found))


class Idempotency(Repository):
    """Idempotency-Key: scoped to tenant, client and route, so that a key never reaches another's data (T39)."""

    def begin(self, row: IdempotencyRow) -> IdempotencyRow | None:
        """Claims the key; None when it was free, else the first request's row to answer from.

        Raises Conflict where the key was used for another body. A row with status 0 means that the
        first request is still at work.
        """
        if self._insert_new(idempotency, values_of(row)):
            return None
        first = self._one(row.tenant_id, sa.select(idempotency).where(_is(row)))
        if first is None or first["body_sha256"] != row.body_sha256:
            raise Conflict("This Idempotency-Key was used for a different request.", code="conflict.idempotency-key")
        return record_of(IdempotencyRow, first)

    def finish(self, row: IdempotencyRow, status: int, response: str) -> None:
        """Keeps the answer for repeats; `response` is JSON text."""
        self._change(row.tenant_id, sa.update(idempotency).where(_is(row)).values(status=status, response=response))

    def purge(self, before: datetime) -> int:
        """Forgets keys created before; returns how many."""
        return self._change(ALL_TENANTS, sa.delete(idempotency).where(idempotency.c.created_at < before))


class Sessions(Repository):
    """Staff sessions, found by the digest of the cookie's value, which is the credential."""

    def insert(self, row: SessionRow) -> SessionRow:
        """Stores a session; raises Conflict where the digest is taken."""
        if not self._insert_new(sessions, values_of(row)):
            raise Conflict("This session is already stored.", code="conflict.session")
        return row

    def find(self, session_sha256: str, now: datetime) -> SessionRow | None:
        """The live session, or None where there is none or it has expired."""
        where = (sessions.c.session_sha256 == session_sha256, sessions.c.expires_at > now)
        row = self._one(ALL_TENANTS, sa.select(sessions).where(*where))
        return record_of(SessionRow, row) if row else None

    def save(self, session_sha256: str, *, data: str, expires_at: datetime) -> None:
        """Replaces the session's JSON text and its end."""
        chosen = sa.update(sessions).where(sessions.c.session_sha256 == session_sha256)
        self._change(ALL_TENANTS, chosen.values(data=data, expires_at=expires_at))

    def delete(self, session_sha256: str) -> None:
        """Ends the session; nothing happens where there is none."""
        self._change(ALL_TENANTS, sa.delete(sessions).where(sessions.c.session_sha256 == session_sha256))

    def purge(self, now: datetime) -> int:
        """Removes expired sessions of all tenants; returns how many."""
        return self._change(ALL_TENANTS, sa.delete(sessions).where(sessions.c.expires_at <= now))


def _is(row: IdempotencyRow) -> sa.ColumnElement[bool]:
    columns = idempotency.c
    return sa.and_(
        columns.tenant_id == row.tenant_id,
        columns.client_id == row.client_id,
        columns.route == row.route,
        columns.key == row.key,
    )
