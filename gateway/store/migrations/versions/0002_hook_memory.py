"""Memory of the CDS services: tokens used, panels shown, cards handed out.

Revision: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
INSTANT = sa.DateTime(timezone=True).with_variant(sa.String(27), "sqlite")
TABLES = ("hook_tokens", "hook_panels", "hook_cards")


def upgrade() -> None:
    """Makes the tables."""
    op.create_table(
        "hook_tokens",
        sa.Column("tenant_id", TEXT, nullable=False),
        sa.Column("token_sha256", TEXT, nullable=False),
        sa.Column("expires_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "token_sha256"),
    )
    op.create_index("hook_tokens_expiry", "hook_tokens", ["expires_at"], unique=False)
    op.create_table(
        "hook_panels",
        sa.Column("tenant_id", TEXT, nullable=False),
        sa.Column("panel_key", TEXT, nullable=False),
        sa.Column("shown_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "panel_key"),
    )
    op.create_index("hook_panels_shown", "hook_panels", ["shown_at"], unique=False)
    op.create_table(
        "hook_cards",
        sa.Column("tenant_id", TEXT, nullable=False),
        sa.Column("card_id", TEXT, nullable=False),
        sa.Column("case_id", TEXT, nullable=False),
        sa.Column("service", TEXT, nullable=False),
        sa.Column("choices", TEXT, nullable=False),
        sa.Column("shown_at", INSTANT, nullable=False),
        sa.Column("outcome", TEXT, nullable=False),
        sa.Column("answered_at", INSTANT, nullable=True),
        sa.PrimaryKeyConstraint("tenant_id", "card_id"),
    )
    op.create_index("hook_cards_shown", "hook_cards", ["shown_at"], unique=False)
    if op.get_bind().dialect.name == "postgresql":
        for table in TABLES:
            _separate_tenants(table)


def _separate_tenants(table: str) -> None:
    """Row-level security, for the owner too: a transaction sees the tenant it named, and none without."""
    named = "current_setting('gateway.tenant', true)"
    op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
    op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
    op.execute(f"CREATE POLICY {table}_of_tenant ON {table} USING (tenant_id = {named} OR {named} = '*')")
