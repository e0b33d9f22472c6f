"""One-time links by which a patient answers a questionnaire without an account.

A row holds the digest of the link's random part, never the link itself, and nothing of the patient.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from gateway.store.base import ALL_TENANTS, Repository, of, record_of, values_of
from gateway.store.columns import Instant, plain_text
from gateway.store.tables import metadata

answer_links = sa.Table(
    "answer_links",
    metadata,
    sa.Column("tenant_id", plain_text(), primary_key=True, nullable=False),
    sa.Column("token_sha256", plain_text(), primary_key=True, nullable=False),
    sa.Column("case_id", plain_text(), nullable=False),
    sa.Column("instrument", plain_text(), nullable=False),
    sa.Column("made_by", plain_text(), nullable=False),
    sa.Column("response_id", plain_text(), nullable=False),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("expires_at", Instant, nullable=False),
    sa.Column("used_at", Instant),
    sa.ForeignKeyConstraint(["tenant_id", "case_id"], ["cases.tenant_id", "cases.case_id"]),
    sa.Index("answer_links_case", "tenant_id", "case_id"),
    sa.Index("answer_links_expiry", "expires_at"),
)

_BY_TOKEN = sa.select(answer_links).where(answer_links.c.token_sha256 == of("token"))
_OPEN = sa.and_(
    answer_links.c.tenant_id == of("tenant"),
    answer_links.c.token_sha256 == of("token"),
    answer_links.c.used_at.is_(None),
    answer_links.c.expires_at > of("now"),
)
_USE = sa.update(answer_links).where(_OPEN)
_FREE = sa.update(answer_links).where(
    answer_links.c.tenant_id == of("tenant"), answer_links.c.token_sha256 == of("token")
)
_END = sa.update(answer_links).where(
    answer_links.c.tenant_id == of("tenant"),
    answer_links.c.case_id == of("case"),
    answer_links.c.instrument == of("instrument"),
    answer_links.c.used_at.is_(None),
    answer_links.c.expires_at > of("now"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkRow:
    """One link."""

    tenant_id: str
    token_sha256: str
    """SHA-256 (hex) of the random part."""
    case_id: str
    instrument: str
    """Name of the questionnaire's folder."""
    made_by: str
    """Who handed it out."""
    response_id: str
    """What the answers are kept under, so that a repeat after a fault finds its own."""
    created_at: datetime
    expires_at: datetime
    used_at: datetime | None = None
    """When it was answered; None while it is open."""


class Links(Repository):
    """Named queries over links; the digest of the random part is itself the credential."""

    def insert(self, row: LinkRow) -> LinkRow:
        """Stores a link and ends the open ones for the same questionnaire of the case."""
        self._change(
            row.tenant_id,
            _END.values(expires_at=row.created_at),
            of_case=row.case_id,
            of_instrument=row.instrument,
            of_now=row.created_at,
        )
        self._insert_new(answer_links, values_of(row))
        return row

    def find(self, token_sha256: str) -> LinkRow | None:
        """The link, open or not; None where there is none."""
        row = self._one(ALL_TENANTS, _BY_TOKEN, of_token=token_sha256)
        return record_of(LinkRow, row) if row else None

    def use(self, row: LinkRow, at: datetime) -> bool:
        """Whether the link is used now, for the first time and in time."""
        return self._change(row.tenant_id, _USE.values(used_at=at), of_token=row.token_sha256, of_now=at) == 1

    def free(self, row: LinkRow) -> None:
        """Opens the link again after a fault in which nothing was kept."""
        self._change(row.tenant_id, _FREE.values(used_at=None), of_token=row.token_sha256)
