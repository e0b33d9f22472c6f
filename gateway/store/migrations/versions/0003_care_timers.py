"""Timers of conservative care: what runs, what is due when, visits handed in by staff.

Revision: 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
INSTANT = sa.DateTime(timezone=True).with_variant(sa.String(27), "sqlite")
RUNNING = sa.text("state = 'running'")
OPEN = sa.text("fired_at IS NULL")
TENANT_TABLES = ("care_timers", "care_due", "care_uploads")


def upgrade() -> None:
    """Makes the three tables and keeps tenants apart in them."""
    _timers()
    _due()
    _uploads()
    if op.get_bind().dialect.name == "postgresql":
        for table in TENANT_TABLES:
            _separate_tenants(table)


def _timers() -> None:
    texts = ("case_id", "ehr_id", "patient_reference", "episode_key", "practitioner", "state", "phase", "reason")
    op.create_table(
        "care_timers",
        sa.Column("tenant_id", TEXT, nullable=False),
        sa.Column("timer_id", TEXT, nullable=False),
        *(sa.Column(name, TEXT, nullable=False) for name in texts),
        sa.Column("started_on", sa.Date(), nullable=False),
        sa.Column("days", sa.Integer(), nullable=False),
        sa.Column("zone", TEXT, nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("ended_at", INSTANT, nullable=True),
        sa.Column("facts", TEXT, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "timer_id"),
        sa.ForeignKeyConstraint(["tenant_id", "case_id"], ["cases.tenant_id", "cases.case_id"]),
    )
    op.create_index("care_timers_case", "care_timers", ["tenant_id", "case_id", "created_at"])
    op.create_index("care_timers_state", "care_timers", ["tenant_id", "state", "started_on", "timer_id"])
    op.create_index("care_timers_episode", "care_timers", ["tenant_id", "episode_key", "created_at"])
    op.create_index(
        "care_timers_one_running",
        "care_timers",
        ["tenant_id", "episode_key"],
        unique=True,
        postgresql_where=RUNNING,
        sqlite_where=RUNNING,
    )


def _due() -> None:
    op.create_table(
        "care_due",
        sa.Column("tenant_id", TEXT, nullable=False),
        sa.Column("timer_id", TEXT, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("case_id", TEXT, nullable=False),
        sa.Column("day", sa.Integer(), nullable=False),
        sa.Column("due_at", INSTANT, nullable=False),
        sa.Column("fired_at", INSTANT, nullable=True),
        sa.Column("outcome", TEXT, nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "timer_id", "name"),
        sa.ForeignKeyConstraint(["tenant_id", "timer_id"], ["care_timers.tenant_id", "care_timers.timer_id"]),
    )
    op.create_index("care_due_open", "care_due", ["due_at", "case_id"], postgresql_where=OPEN, sqlite_where=OPEN)


def _uploads() -> None:
    op.create_table(
        "care_uploads",
        sa.Column("tenant_id", TEXT, nullable=False),
        sa.Column("upload_id", TEXT, nullable=False),
        sa.Column("timer_id", TEXT, nullable=False),
        sa.Column("case_id", TEXT, nullable=False),
        sa.Column("state", TEXT, nullable=False),
        sa.Column("digest", TEXT, nullable=False),
        sa.Column("media_type", TEXT, nullable=False),
        sa.Column("created_by", TEXT, nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("visits", TEXT, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "upload_id"),
        sa.ForeignKeyConstraint(["tenant_id", "timer_id"], ["care_timers.tenant_id", "care_timers.timer_id"]),
    )
    op.create_index("care_uploads_timer", "care_uploads", ["tenant_id", "timer_id", "created_at"])


def _separate_tenants(table: str) -> None:
    """Row-level security, for the owner too: a transaction sees the tenant it named, and none without."""
    named = "current_setting('gateway.tenant', true)"
    op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
    op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
    op.execute(f"CREATE POLICY {table}_of_tenant ON {table} USING (tenant_id = {named} OR {named} = '*')")
