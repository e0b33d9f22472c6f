"""The first tables: cases and their words, events, objects, submissions, inbox, guards.

Events are append-only and objects never change: triggers refuse it on both databases, whoever asks.

Revision: 0001
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
INSTANT = sa.DateTime(timezone=True).with_variant(sa.String(27), "sqlite")

TENANT_TABLES = (
    "cases",
    "case_words",
    "events",
    "objects",
    "submissions",
    "subscriptions",
    "payer_notifications",
    "breakers",
    "idempotency",
    "sessions",
)


def upgrade() -> None:
    """Makes the tables and their guards."""
    _cases()
    _worklist_indexes()
    _history()
    _exchange()
    _guards()
    _refuse("events", "UPDATE")
    _refuse("events", "DELETE")
    _refuse("objects", "UPDATE")
    if op.get_bind().dialect.name == "postgresql":
        _refuse_truncate("events")
        for table in TENANT_TABLES:
            _separate_tenants(table)


def _cases() -> None:
    op.create_table(
        "cases",
        sa.Column("tenant_id", TEXT, nullable=False),
        sa.Column("case_id", TEXT, nullable=False),
        sa.Column("order_key", TEXT, nullable=False),
        sa.Column("order_identity", TEXT, nullable=False),
        sa.Column("ehr_id", TEXT, nullable=False),
        sa.Column("order_reference", TEXT, nullable=False),
        sa.Column("patient_reference", TEXT, nullable=False),
        sa.Column("coverage_reference", TEXT, nullable=False),
        sa.Column("payer", TEXT, nullable=False),
        sa.Column("state", TEXT, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("case_tag", TEXT, nullable=False),
        sa.Column("signed_at", INSTANT, nullable=True),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("updated_at", INSTANT, nullable=False),
        sa.Column("due_at", INSTANT, nullable=True),
        sa.Column("next_action", TEXT, nullable=False),
        sa.Column("move", TEXT, nullable=False),
        sa.Column("deadline_at", INSTANT, nullable=True),
        sa.Column("deadline_rule", TEXT, nullable=False),
        sa.Column("owner", TEXT, nullable=False),
        sa.Column("service_code", TEXT, nullable=False),
        sa.Column("service_display", TEXT, nullable=False),
        sa.Column("service_line", TEXT, nullable=False),
        sa.Column("service_on", sa.Date(), nullable=True),
        sa.Column("patient_label", TEXT, nullable=False),
        sa.Column("patient_birth_on", sa.Date(), nullable=True),
        sa.Column("patient_mrn", TEXT, nullable=False),
        sa.Column("clinician_label", TEXT, nullable=False),
        sa.Column("decision", TEXT, nullable=False),
        sa.Column("authorization_number", TEXT, nullable=False),
        sa.Column("approval_ends_on", sa.Date(), nullable=True),
        sa.Column("is_expedited", sa.Boolean(), nullable=False),
        sa.Column("is_open", sa.Boolean(), nullable=False),
        sa.Column("facts", TEXT, nullable=False),
        sa.Column("move_rank", sa.SmallInteger(), nullable=False),
        sa.Column("sort_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "case_id"),
        sa.UniqueConstraint("tenant_id", "order_key", name="cases_order_key"),
    )
    op.create_index(
        "cases_due",
        "cases",
        ["due_at", "case_id"],
        unique=False,
        postgresql_where=sa.text("due_at IS NOT NULL"),
        sqlite_where=sa.text("due_at IS NOT NULL"),
    )
    op.create_index("cases_order", "cases", ["tenant_id", "order_reference"], unique=False)
    op.create_index("cases_patient", "cases", ["tenant_id", "patient_reference"], unique=False)
    op.create_index("cases_state", "cases", ["tenant_id", "state", "move_rank", "sort_at", "case_id"], unique=False)
    op.create_index(
        "cases_worklist", "cases", ["tenant_id", "is_open", "move_rank", "sort_at", "case_id"], unique=False
    )
    op.create_table(
        "case_words",
        sa.Column("tenant_id", TEXT, nullable=False),
        sa.Column("word", TEXT, nullable=False),
        sa.Column("case_id", TEXT, nullable=False),
        sa.ForeignKeyConstraint(["tenant_id", "case_id"], ["cases.tenant_id", "cases.case_id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("tenant_id", "word", "case_id"),
    )
    op.create_index("case_words_case", "case_words", ["tenant_id", "case_id", "word"], unique=False)


def _worklist_indexes() -> None:
    order = ("move_rank", "sort_at", "case_id")
    _index_open_cases("cases_owner", "owner", *order)
    _index_open_cases("cases_payer", "payer", *order)
    _index_open_cases("cases_expedited", "is_expedited", *order)
    _index_open_cases("cases_service_on", "service_on")
    _index_open_cases("cases_updated", "updated_at")
    has_end = sa.text("approval_ends_on IS NOT NULL")
    columns = ["tenant_id", "approval_ends_on"]
    op.create_index("cases_approval_ends", "cases", columns, postgresql_where=has_end, sqlite_where=has_end)


def _index_open_cases(name: str, *columns: str) -> None:
    names = ["tenant_id", *columns]
    op.create_index(name, "cases", names, postgresql_where=sa.text("is_open"), sqlite_where=sa.text("is_open = 1"))


def _history() -> None:
    op.create_table(
        "events",
        sa.Column("tenant_id", TEXT, nullable=False),
        sa.Column("case_id", TEXT, nullable=False),
        sa.Column("seq", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("at", INSTANT, nullable=False),
        sa.Column("actor", TEXT, nullable=False),
        sa.Column("verb", TEXT, nullable=False),
        sa.Column("from_state", TEXT, nullable=False),
        sa.Column("to_state", TEXT, nullable=False),
        sa.Column("object_digest", TEXT, nullable=False),
        sa.Column("provenance_digest", TEXT, nullable=False),
        sa.Column("jws", TEXT, nullable=False),
        sa.Column("jws_digest", TEXT, nullable=False),
        sa.Column("note", TEXT, nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "case_id"],
            ["cases.tenant_id", "cases.case_id"],
        ),
        sa.PrimaryKeyConstraint("tenant_id", "case_id", "seq"),
    )
    op.create_table(
        "objects",
        sa.Column("tenant_id", TEXT, nullable=False),
        sa.Column("case_id", TEXT, nullable=False),
        sa.Column("digest", TEXT, nullable=False),
        sa.Column("media_type", TEXT, nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "case_id"],
            ["cases.tenant_id", "cases.case_id"],
        ),
        sa.PrimaryKeyConstraint("tenant_id", "case_id", "digest"),
    )


def _exchange() -> None:
    op.create_table(
        "submissions",
        sa.Column("tenant_id", TEXT, nullable=False),
        sa.Column("submission_id", TEXT, nullable=False),
        sa.Column("case_id", TEXT, nullable=False),
        sa.Column("kind", TEXT, nullable=False),
        sa.Column("endpoint", TEXT, nullable=False),
        sa.Column("bundle_identifier", TEXT, nullable=False),
        sa.Column("claim_identifier", TEXT, nullable=False),
        sa.Column("request_digest", TEXT, nullable=False),
        sa.Column("state", TEXT, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("first_sent_at", INSTANT, nullable=True),
        sa.Column("last_sent_at", INSTANT, nullable=True),
        sa.Column("answered_at", INSTANT, nullable=True),
        sa.Column("response_digest", TEXT, nullable=False),
        sa.Column("http_status", sa.Integer(), nullable=False),
        sa.Column("next_attempt_at", INSTANT, nullable=True),
        sa.Column("inquired", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "case_id"],
            ["cases.tenant_id", "cases.case_id"],
        ),
        sa.PrimaryKeyConstraint("tenant_id", "submission_id"),
    )
    op.create_index("submissions_case", "submissions", ["tenant_id", "case_id", "created_at"], unique=False)
    op.create_index("submissions_claim", "submissions", ["tenant_id", "claim_identifier"], unique=False)
    op.create_table(
        "subscriptions",
        sa.Column("tenant_id", TEXT, nullable=False),
        sa.Column("subscription_id", TEXT, nullable=False),
        sa.Column("payer", TEXT, nullable=False),
        sa.Column("token_sha256", TEXT, nullable=False),
        sa.Column("header_sha256", TEXT, nullable=False),
        sa.Column("remote_id", TEXT, nullable=False),
        sa.Column("status", TEXT, nullable=False),
        sa.Column("last_event_number", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", INSTANT, nullable=True),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "subscription_id"),
        sa.UniqueConstraint("token_sha256", name="subscriptions_token"),
    )
    op.create_index("subscriptions_payer", "subscriptions", ["tenant_id", "payer"], unique=False)
    op.create_table(
        "payer_notifications",
        sa.Column("tenant_id", TEXT, nullable=False),
        sa.Column("notification_id", TEXT, nullable=False),
        sa.Column("token_sha256", TEXT, nullable=False),
        sa.Column("event_number", sa.BigInteger(), nullable=False),
        sa.Column("digest", TEXT, nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("received_at", INSTANT, nullable=False),
        sa.Column("case_id", TEXT, nullable=True),
        sa.Column("processed_at", INSTANT, nullable=True),
        sa.Column("quarantined", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "notification_id"),
        sa.UniqueConstraint("tenant_id", "token_sha256", "event_number", "digest", name="payer_notifications_once"),
    )
    op.create_index("payer_notifications_case", "payer_notifications", ["tenant_id", "case_id"], unique=False)
    op.create_index(
        "payer_notifications_open",
        "payer_notifications",
        ["received_at"],
        unique=False,
        postgresql_where=sa.text("processed_at IS NULL"),
        sqlite_where=sa.text("processed_at IS NULL"),
    )


def _guards() -> None:
    op.create_table(
        "breakers",
        sa.Column("tenant_id", TEXT, nullable=False),
        sa.Column("payer", TEXT, nullable=False),
        sa.Column("state", TEXT, nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("opened_until", INSTANT, nullable=True),
        sa.PrimaryKeyConstraint("tenant_id", "payer"),
    )
    op.create_table(
        "idempotency",
        sa.Column("tenant_id", TEXT, nullable=False),
        sa.Column("client_id", TEXT, nullable=False),
        sa.Column("route", TEXT, nullable=False),
        sa.Column("key", TEXT, nullable=False),
        sa.Column("body_sha256", TEXT, nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("response", TEXT, nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "client_id", "route", "key"),
    )
    op.create_index("idempotency_created", "idempotency", ["created_at"], unique=False)
    op.create_table(
        "sessions",
        sa.Column("session_sha256", TEXT, nullable=False),
        sa.Column("tenant_id", TEXT, nullable=False),
        sa.Column("user", TEXT, nullable=False),
        sa.Column("role", TEXT, nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("expires_at", INSTANT, nullable=False),
        sa.Column("data", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("session_sha256"),
    )
    op.create_index("sessions_expiry", "sessions", ["expires_at"], unique=False)


def _refuse(table: str, verb: str) -> None:
    """A trigger that fails every `verb` on `table`."""
    name, message = f"{table}_no_{verb.lower()}", f"{table} refuses {verb}"
    if op.get_bind().dialect.name == "sqlite":
        op.execute(f"CREATE TRIGGER {name} BEFORE {verb} ON {table} BEGIN SELECT RAISE(ABORT, '{message}'); END")
        return
    _make_refusal()
    op.execute(f"CREATE TRIGGER {name} BEFORE {verb} ON {table} FOR EACH STATEMENT EXECUTE FUNCTION gateway_refuse()")


def _refuse_truncate(table: str) -> None:
    op.execute(
        f"CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {table} "
        "FOR EACH STATEMENT EXECUTE FUNCTION gateway_refuse()"
    )


def _make_refusal() -> None:
    op.execute(
        "CREATE OR REPLACE FUNCTION gateway_refuse() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION '% refuses %', TG_TABLE_NAME, TG_OP; END $$"
    )


def _separate_tenants(table: str) -> None:
    """Row-level security, for the owner too: a transaction sees the tenant it named, and none without."""
    named = "current_setting('gateway.tenant', true)"
    op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
    op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
    op.execute(f"CREATE POLICY {table}_of_tenant ON {table} USING (tenant_id = {named} OR {named} = '*')")
