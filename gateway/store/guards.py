"""Small rows that guard the doors and the payers: breakers, idempotency keys, staff sessions."""

from __future__ import annotations

from datetime import datetime
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from gateway.errors import Conflict
from gateway.store.base import ALL_TENANTS, Repository, of, record_of, values_of
from gateway.store.rows import BreakerRow, IdempotencyRow, SessionRow
from gateway.store.tables import breakers, idempotency, sessions

_BREAKER = sa.select(breakers).where(breakers.c.tenant_id == of("tenant"), breakers.c.payer == of("payer"))
_LOCKED_BREAKER = _BREAKER.with_for_update()
_BREAKERS = sa.select(breakers).where(breakers.c.tenant_id == of("tenant")).order_by(breakers.c.payer)

_KEY = sa.and_(
    idempotency.c.tenant_id == of("tenant"),
    idempotency.c.client_id == of("client"),
    idempotency.c.route == of("route"),
    idempotency.c.key == of("key"),
)
_FIRST = sa.select(idempotency).where(_KEY)
_FINISH = sa.update(idempotency).where(_KEY)
_RELEASE = sa.delete(idempotency).where(_KEY, idempotency.c.status == 0)
_FORGET = sa.delete(idempotency).where(idempotency.c.created_at < of("before"))

_IS_SESSION = sessions.c.session_sha256 == of("session")
_LIVE = sa.select(sessions).where(_IS_SESSION, sessions.c.expires_at > of("now"))
_SAVE = sa.update(sessions).where(_IS_SESSION)
_END = sa.delete(sessions).where(_IS_SESSION)
_PURGE = sa.delete(sessions).where(sessions.c.expires_at <= of("now"))


class Breakers(Repository):
    """One circuit breaker per tenant and payer; a missing row reads as closed."""

    def get(self, tenant_id: str, payer: str, *, lock: bool = False) -> BreakerRow:
        """The breaker; `lock` keeps other writers out until the transaction ends (PostgreSQL)."""
        closed = BreakerRow(tenant_id=tenant_id, payer=payer)
        if lock:
            self._insert_new(breakers, values_of(closed))
        row = self._one(tenant_id, _LOCKED_BREAKER if lock else _BREAKER, of_payer=payer)
        return record_of(BreakerRow, row) if row else closed

    def save(self, row: BreakerRow) -> BreakerRow:
        """Stores the breaker as given."""
        self._run(row.tenant_id, _save_breaker(is_sqlite=self._scope.is_sqlite), values_of(row))
        return row

    def list(self, tenant_id: str) -> tuple[BreakerRow, ...]:
        """All breakers that ever moved, by payer."""
        return tuple(record_of(BreakerRow, row) for row in self._all(tenant_id, _BREAKERS))


class Idempotency(Repository):
    """Idempotency-Key: scoped to tenant, client and route, so that a key never reaches another's data (T39)."""

    def begin(self, row: IdempotencyRow) -> IdempotencyRow | None:
        """Claims the key; None when it was free, else the first request's row to answer from.

        Raises Conflict where the key was used for another body. A row with status 0 means that the
        first request is still at work.
        """
        if self._insert_new(idempotency, values_of(row)):
            return None
        first = self._one(row.tenant_id, _FIRST, **_name(row))
        if first is None or first["body_sha256"] != row.body_sha256:
            raise Conflict("This Idempotency-Key was used for a different request.", code="conflict.idempotency-key")
        return record_of(IdempotencyRow, first)

    def finish(self, row: IdempotencyRow, status: int, response: str) -> None:
        """Keeps the answer for repeats; `response` is JSON text."""
        self._change(row.tenant_id, _FINISH.values(status=status, response=response), **_name(row))

    def release(self, row: IdempotencyRow) -> None:
        """Frees a key whose request was refused and stored nothing; one with an answer stays."""
        self._change(row.tenant_id, _RELEASE, **_name(row))

    def purge(self, before: datetime) -> int:
        """Forgets keys of all tenants created before; returns how many."""
        return self._change(ALL_TENANTS, _FORGET, of_before=before)


class Sessions(Repository):
    """Staff sessions, found by the digest of the cookie's value, which is the credential."""

    def insert(self, row: SessionRow) -> SessionRow:
        """Stores a session; raises Conflict where the digest is taken."""
        if not self._insert_new(sessions, values_of(row)):
            raise Conflict("This session is already stored.", code="conflict.session")
        return row

    def find(self, session_sha256: str, now: datetime) -> SessionRow | None:
        """The live session, or None where there is none or it has expired."""
        row = self._one(ALL_TENANTS, _LIVE, of_session=session_sha256, of_now=now)
        return record_of(SessionRow, row) if row else None

    def save(self, session_sha256: str, *, data: str, expires_at: datetime) -> None:
        """Replaces the session's JSON text and its end."""
        self._change(ALL_TENANTS, _SAVE.values(data=data, expires_at=expires_at), of_session=session_sha256)

    def delete(self, session_sha256: str) -> None:
        """Ends the session; nothing happens where there is none."""
        self._change(ALL_TENANTS, _END, of_session=session_sha256)

    def purge(self, now: datetime) -> int:
        """Removes expired sessions of all tenants; returns how many."""
        return self._change(ALL_TENANTS, _PURGE, of_now=now)


@cache
def _save_breaker(*, is_sqlite: bool) -> Any:
    """INSERT of a breaker, or UPDATE where there is one."""
    insert = sqlite.insert if is_sqlite else postgresql.insert
    statement = insert(breakers)
    changes = {name: statement.excluded[name] for name in ("state", "failures", "opened_until")}
    return statement.on_conflict_do_update(index_elements=["tenant_id", "payer"], set_=changes)


def _name(row: IdempotencyRow) -> dict[str, str]:
    return {"of_client": row.client_id, "of_route": row.route, "of_key": row.key}
