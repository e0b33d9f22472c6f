"""Exact bytes, found by tenant, case and digest. Nothing is shared between cases or tenants (T14)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import sqlalchemy as sa

from gateway.errors import IntegrityError, NotFound
from gateway.store.base import Repository, of, record_of
from gateway.store.rows import ObjectRow
from gateway.store.tables import objects

_OF_CASE = sa.and_(objects.c.tenant_id == of("tenant"), objects.c.case_id == of("case"))
_IS = sa.and_(_OF_CASE, objects.c.digest == of("digest"))
_KNOWN = sa.select(*[column for column in objects.c if column.name != "body"])
_ONE = _KNOWN.where(_IS)
_ALL = _KNOWN.where(_OF_CASE).order_by(objects.c.created_at, objects.c.digest)
_BODY = sa.select(objects.c.body).where(_IS)
_MANY = objects.c.digest.in_(sa.bindparam("of_digests", expanding=True))
_BODIES = sa.select(objects.c.digest, objects.c.body).where(_OF_CASE, _MANY)
_AT_ONCE = 500
"""Digests asked for in one statement; databases bound the number of values in one."""


class Objects(Repository):
    """Named queries over stored bytes."""

    def put(self, tenant_id: str, case_id: str, body: bytes, media_type: str) -> str:
        """Stores the bytes and returns their SHA-256 (hex); the same bytes again change nothing."""
        values = self._values(tenant_id, case_id, body, media_type)
        self._insert_new(objects, values)
        return str(values["digest"])

    def put_all(self, tenant_id: str, case_id: str, bodies: Iterable[tuple[bytes, str]]) -> None:
        """Stores many (bytes, media type) in one statement; the same bytes again change nothing."""
        rows: dict[str, dict[str, Any]] = {}
        for body, media_type in bodies:
            values = self._values(tenant_id, case_id, body, media_type)
            rows.setdefault(values["digest"], values)
        if rows:
            self._insert_all_new(tenant_id, objects, list(rows.values()))

    def _values(self, tenant_id: str, case_id: str, body: bytes, media_type: str) -> dict[str, Any]:
        return {
            "tenant_id": tenant_id,
            "case_id": case_id,
            "digest": hashlib.sha256(body).hexdigest(),
            "media_type": media_type,
            "size_bytes": len(body),
            "created_at": self._now(),
            "body": body,
        }

    def get(self, tenant_id: str, case_id: str, digest: str) -> bytes:
        """The exact bytes; raises NotFound, or IntegrityError where they no longer have this digest."""
        body: bytes | None = self._value(tenant_id, _BODY, of_case=case_id, of_digest=digest)
        if body is None:
            raise NotFound("There is no such object.")
        return _checked(body, digest)

    def get_all(self, tenant_id: str, case_id: str, digests: Iterable[str]) -> Mapping[str, bytes]:
        """The exact bytes of many objects by digest; raises as `get` does when one is missing or changed."""
        wanted = list(dict.fromkeys(digests))
        found: dict[str, bytes] = {}
        for start in range(0, len(wanted), _AT_ONCE):
            part = wanted[start : start + _AT_ONCE]
            rows = self._all(tenant_id, _BODIES, of_case=case_id, of_digests=part)
            found.update({row["digest"]: _checked(row["body"], row["digest"]) for row in rows})
        if len(found) < len(wanted):
            raise NotFound("There is no such object.")
        return found

    def describe(self, tenant_id: str, case_id: str, digest: str) -> ObjectRow:
        """Type and size of the bytes; raises NotFound."""
        row = self._one(tenant_id, _ONE, of_case=case_id, of_digest=digest)
        if row is None:
            raise NotFound("There is no such object.")
        return record_of(ObjectRow, row)

    def list(self, tenant_id: str, case_id: str) -> tuple[ObjectRow, ...]:
        """What the case stores, oldest first, without the bytes."""
        return tuple(record_of(ObjectRow, row) for row in self._all(tenant_id, _ALL, of_case=case_id))


def _checked(body: bytes, digest: str) -> bytes:
    if hashlib.sha256(body).hexdigest() != digest:
        raise IntegrityError("Stored bytes do not match their digest.", code="integrity.object")
    return bytes(body)
