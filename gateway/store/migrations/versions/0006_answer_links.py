"""One-time links for patients' answers.

Revision: 0006
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
INSTANT = sa.DateTime(timezone=True).with_variant(sa.String(27), "sqlite")


def upgrade() -> None:
    """Makes the table."""
    op.create_table(
        "answer_links",
        sa.Column("tenant_id", TEXT, nullable=False),
        sa.Column("token_sha256", TEXT, nullable=False),
        sa.Column("case_id", TEXT, nullable=False),
        sa.Column("instrument", TEXT, nullable=False),
        sa.Column("made_by", TEXT, nullable=False),
        sa.Column("response_id", TEXT, nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("expires_at", INSTANT, nullable=False),
        sa.Column("used_at", INSTANT, nullable=True),
        sa.PrimaryKeyConstraint("tenant_id", "token_sha256"),
        sa.ForeignKeyConstraint(["tenant_id", "case_id"], ["cases.tenant_id", "cases.case_id"]),
    )
    op.create_index("answer_links_case", "answer_links", ["tenant_id", "case_id"], unique=False)
    op.create_index("answer_links_expiry", "answer_links", ["expires_at"], unique=False)
    if op.get_bind().dialect.name == "postgresql":
        named = "current_setting('gateway.tenant', true)"
        op.execute("ALTER TABLE answer_links ENABLE ROW LEVEL SECURITY")
        op.execute("ALTER TABLE answer_links FORCE ROW LEVEL SECURITY")
        op.execute(f"CREATE POLICY answer_links_of_tenant ON answer_links USING (tenant_id = {named} OR {named} = '*')")
