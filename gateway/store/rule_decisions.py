"""Who let which rule row apply to which payer, and who took it back. Rows are only ever added."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from gateway.errors import Conflict
from gateway.store.base import Repository, of, record_of, values_of
from gateway.store.columns import Instant, plain_text
from gateway.store.tables import metadata

EVERY_PAYER = "*"
"""Payer of a decision that holds for all of them."""


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, plain_text(), nullable=False)


rule_decisions = sa.Table(
    "rule_decisions",
    metadata,
    sa.Column("tenant_id", plain_text(), primary_key=True, nullable=False),
    sa.Column("seq", sa.Integer, primary_key=True, nullable=False, autoincrement=False),
    _text("rule_id"),
    _text("version"),
    _text("rule_digest"),
    _text("payer"),
    _text("decision"),
    _text("decided_by"),
    sa.Column("decided_at", Instant, nullable=False),
    _text("reason"),
    _text("statement"),
    _text("jws"),
)
"""Append-only: triggers refuse changes on both databases."""

_ALL = sa.select(rule_decisions).where(rule_decisions.c.tenant_id == of("tenant")).order_by(rule_decisions.c.seq)


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleDecisionRow:
    """One decision, signed."""

    tenant_id: str
    seq: int
    """0 for the first, no gaps."""
    rule_id: str
    version: str
    rule_digest: str
    """SHA-256 (hex) of the row's content as canonical JSON: a changed row is not the accepted one."""
    payer: str
    """Slug, or `*` for every payer."""
    decision: str
    """accepted or withdrawn."""
    decided_by: str
    """Who decided, as they named themselves."""
    decided_at: datetime
    reason: str
    """Why, in their words; no patient data."""
    statement: str
    """What was signed: canonical JSON text."""
    jws: str
    """Detached compact JWS over the statement by the event key."""


class RuleDecisions(Repository):
    """Named queries over decisions on rule rows."""

    def list(self, tenant_id: str) -> tuple[RuleDecisionRow, ...]:
        """Every decision, oldest first."""
        return tuple(record_of(RuleDecisionRow, row) for row in self._all(tenant_id, _ALL))

    def append(self, row: RuleDecisionRow) -> RuleDecisionRow:
        """Adds the next one; raises Conflict where another took its number meanwhile."""
        if not self._insert_new(rule_decisions, values_of(row)):
            raise Conflict("Another decision on a rule was recorded meanwhile. Try again.", code="conflict.seq")
        return row
