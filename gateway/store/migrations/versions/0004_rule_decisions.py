"""Decisions on rule rows: who let which row apply to which payer. Append-only, as events are.

Revision: 0004
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

TABLE = "rule_decisions"
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
INSTANT = sa.DateTime(timezone=True).with_variant(sa.String(27), "sqlite")
TEXTS = ("rule_id", "version", "rule_digest", "payer", "decision", "decided_by")


def upgrade() -> None:
    """Makes the table, refuses changes to its rows and keeps tenants apart in it."""
    op.create_table(
        TABLE,
        sa.Column("tenant_id", TEXT, nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False, autoincrement=False),
        *(sa.Column(name, TEXT, nullable=False) for name in TEXTS),
        sa.Column("decided_at", INSTANT, nullable=False),
        *(sa.Column(name, TEXT, nullable=False) for name in ("reason", "statement", "jws")),
        sa.PrimaryKeyConstraint("tenant_id", "seq"),
    )
    for verb in ("UPDATE", "DELETE"):
        _refuse(verb)
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            f"CREATE TRIGGER {TABLE}_no_truncate BEFORE TRUNCATE ON {TABLE} "
            "FOR EACH STATEMENT EXECUTE FUNCTION gateway_refuse()"
        )
        _separate_tenants()


def _refuse(verb: str) -> None:
    """A trigger that fails every `verb`; the function it calls on PostgreSQL was made with the first tables."""
    name, message = f"{TABLE}_no_{verb.lower()}", f"{TABLE} refuses {verb}"
    if op.get_bind().dialect.name == "sqlite":
        op.execute(f"CREATE TRIGGER {name} BEFORE {verb} ON {TABLE} BEGIN SELECT RAISE(ABORT, '{message}'); END")
        return
    op.execute(f"CREATE TRIGGER {name} BEFORE {verb} ON {TABLE} FOR EACH STATEMENT EXECUTE FUNCTION gateway_refuse()")


def _separate_tenants() -> None:
    """Row-level security, for the owner too: a transaction sees the tenant it named, and none without."""
    named = "current_setting('gateway.tenant', true)"
    op.execute(f"ALTER TABLE {TABLE} ENABLE ROW LEVEL SECURITY")
    op.execute(f"ALTER TABLE {TABLE} FORCE ROW LEVEL SECURITY")
    op.execute(f"CREATE POLICY {TABLE}_of_tenant ON {TABLE} USING (tenant_id = {named} OR {named} = '*')")
