"""The tables as SQLAlchemy sees them. The migrations make them; a test compares the two."""

from __future__ import annotations

import sqlalchemy as sa

from gateway.store.columns import Instant, plain_text

metadata = sa.MetaData()


def _text(name: str, default: str | None = None) -> sa.Column[str]:
    return sa.Column(name, plain_text(), nullable=False, server_default=default)


def _key(name: str) -> sa.Column[str]:
    return sa.Column(name, plain_text(), primary_key=True, nullable=False)


def _of_open_cases(name: str, *columns: str) -> sa.Index:
    """An index that open cases alone are in."""
    names = ("tenant_id", *columns)
    return sa.Index(name, *names, postgresql_where=sa.text("is_open"), sqlite_where=sa.text("is_open = 1"))


cases = sa.Table(
    "cases",
    metadata,
    _key("tenant_id"),
    _key("case_id"),
    _text("order_key"),
    _text("order_identity"),
    _text("ehr_id"),
    _text("order_reference"),
    _text("patient_reference"),
    _text("coverage_reference"),
    _text("payer"),
    _text("state"),
    sa.Column("version", sa.Integer, nullable=False),
    _text("case_tag"),
    sa.Column("signed_at", Instant),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("updated_at", Instant, nullable=False),
    sa.Column("due_at", Instant),
    _text("next_action"),
    _text("move"),
    sa.Column("deadline_at", Instant),
    _text("deadline_rule"),
    _text("owner"),
    _text("service_code"),
    _text("service_display"),
    _text("service_line"),
    sa.Column("service_on", sa.Date),
    _text("patient_label"),
    sa.Column("patient_birth_on", sa.Date),
    _text("patient_mrn"),
    _text("clinician_label"),
    _text("decision"),
    _text("authorization_number"),
    sa.Column("approval_ends_on", sa.Date),
    sa.Column("is_expedited", sa.Boolean, nullable=False),
    sa.Column("is_open", sa.Boolean, nullable=False),
    _text("facts"),
    sa.Column("move_rank", sa.SmallInteger, nullable=False),
    sa.Column("sort_at", Instant, nullable=False),
    sa.UniqueConstraint("tenant_id", "order_key", name="cases_order_key"),
    sa.Index("cases_worklist", "tenant_id", "is_open", "move_rank", "sort_at", "case_id"),
    sa.Index("cases_state", "tenant_id", "state", "move_rank", "sort_at", "case_id"),
    _of_open_cases("cases_owner", "owner", "move_rank", "sort_at", "case_id"),
    _of_open_cases("cases_payer", "payer", "move_rank", "sort_at", "case_id"),
    _of_open_cases("cases_expedited", "is_expedited", "move_rank", "sort_at", "case_id"),
    _of_open_cases("cases_service_on", "service_on"),
    _of_open_cases("cases_updated", "updated_at"),
    sa.Index(
        "cases_approval_ends",
        "tenant_id",
        "approval_ends_on",
        postgresql_where=sa.text("approval_ends_on IS NOT NULL"),
        sqlite_where=sa.text("approval_ends_on IS NOT NULL"),
    ),
    sa.Index("cases_patient", "tenant_id", "patient_reference"),
    sa.Index("cases_order", "tenant_id", "order_reference"),
    sa.Index("cases_created", "tenant_id", "created_at", "case_id"),
    sa.Index(
        "cases_due",
        "due_at",
        "case_id",
        postgresql_where=sa.text("due_at IS NOT NULL"),
        sqlite_where=sa.text("due_at IS NOT NULL"),
    ),
)
"""`move_rank` and `sort_at` are derived from `move` and `deadline_at`; they exist for the worklist's order."""

case_words = sa.Table(
    "case_words",
    metadata,
    _key("tenant_id"),
    _key("word"),
    _key("case_id"),
    sa.ForeignKeyConstraint(["tenant_id", "case_id"], ["cases.tenant_id", "cases.case_id"], ondelete="CASCADE"),
    sa.Index("case_words_case", "tenant_id", "case_id", "word"),
)
"""Lower-case words by which staff look a case up; a range over `word` finds beginnings on both databases."""

events = sa.Table(
    "events",
    metadata,
    _key("tenant_id"),
    _key("case_id"),
    sa.Column("seq", sa.Integer, primary_key=True, nullable=False, autoincrement=False),
    sa.Column("at", Instant, nullable=False),
    _text("actor"),
    _text("verb"),
    _text("from_state"),
    _text("to_state"),
    _text("object_digest"),
    _text("provenance_digest"),
    _text("jws"),
    _text("jws_digest"),
    _text("note"),
    sa.ForeignKeyConstraint(["tenant_id", "case_id"], ["cases.tenant_id", "cases.case_id"]),
)

objects = sa.Table(
    "objects",
    metadata,
    _key("tenant_id"),
    _key("case_id"),
    _key("digest"),
    _text("media_type"),
    sa.Column("size_bytes", sa.BigInteger, nullable=False),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.ForeignKeyConstraint(["tenant_id", "case_id"], ["cases.tenant_id", "cases.case_id"]),
)

submissions = sa.Table(
    "submissions",
    metadata,
    _key("tenant_id"),
    _key("submission_id"),
    _text("case_id"),
    _text("kind"),
    _text("endpoint"),
    _text("bundle_identifier"),
    _text("claim_identifier"),
    _text("request_digest"),
    _text("state"),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("first_sent_at", Instant),
    sa.Column("last_sent_at", Instant),
    sa.Column("answered_at", Instant),
    _text("response_digest"),
    sa.Column("http_status", sa.Integer, nullable=False),
    sa.Column("next_attempt_at", Instant),
    sa.Column("inquired", sa.Boolean, nullable=False),
    sa.ForeignKeyConstraint(["tenant_id", "case_id"], ["cases.tenant_id", "cases.case_id"]),
    sa.Index("submissions_case", "tenant_id", "case_id", "created_at"),
    sa.Index("submissions_claim", "tenant_id", "claim_identifier"),
)

notifications = sa.Table(
    "payer_notifications",
    metadata,
    _key("tenant_id"),
    _key("notification_id"),
    _text("token_sha256"),
    sa.Column("event_number", sa.BigInteger, nullable=False),
    _text("digest"),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.Column("received_at", Instant, nullable=False),
    sa.Column("case_id", plain_text()),
    sa.Column("processed_at", Instant),
    _text("quarantined"),
    sa.UniqueConstraint("tenant_id", "token_sha256", "event_number", "digest", name="payer_notifications_once"),
    sa.Index("payer_notifications_case", "tenant_id", "case_id"),
    sa.Index(
        "payer_notifications_open",
        "received_at",
        postgresql_where=sa.text("processed_at IS NULL"),
        sqlite_where=sa.text("processed_at IS NULL"),
    ),
)

subscriptions = sa.Table(
    "subscriptions",
    metadata,
    _key("tenant_id"),
    _key("subscription_id"),
    _text("payer"),
    _text("token_sha256"),
    _text("header_sha256"),
    _text("remote_id"),
    _text("status"),
    sa.Column("last_event_number", sa.BigInteger, nullable=False),
    sa.Column("expires_at", Instant),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.UniqueConstraint("token_sha256", name="subscriptions_token"),
    sa.Index("subscriptions_payer", "tenant_id", "payer"),
)

breakers = sa.Table(
    "breakers",
    metadata,
    _key("tenant_id"),
    _key("payer"),
    _text("state"),
    sa.Column("failures", sa.Integer, nullable=False),
    sa.Column("opened_until", Instant),
)

idempotency = sa.Table(
    "idempotency",
    metadata,
    _key("tenant_id"),
    _key("client_id"),
    _key("route"),
    _key("key"),
    _text("body_sha256"),
    sa.Column("status", sa.Integer, nullable=False),
    _text("response"),
    sa.Column("created_at", Instant, nullable=False),
    sa.Index("idempotency_created", "created_at"),
)

sessions = sa.Table(
    "sessions",
    metadata,
    _key("session_sha256"),
    _text("tenant_id"),
    _text("user"),
    _text("role"),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("expires_at", Instant, nullable=False),
    _text("data"),
    sa.Index("sessions_expiry", "expires_at"),
)

hook_tokens = sa.Table(
    "hook_tokens",
    metadata,
    _key("tenant_id"),
    _key("token_sha256"),
    sa.Column("expires_at", Instant, nullable=False),
    sa.Index("hook_tokens_expiry", "expires_at"),
)
"""Tokens of CDS clients that were used, by a digest of issuer and jti."""

hook_panels = sa.Table(
    "hook_panels",
    metadata,
    _key("tenant_id"),
    _key("panel_key"),
    sa.Column("shown_at", Instant, nullable=False),
    sa.Index("hook_panels_shown", "shown_at"),
)
"""Panels shown a short while ago, by a keyed digest."""

hook_cards = sa.Table(
    "hook_cards",
    metadata,
    _key("tenant_id"),
    _key("card_id"),
    _text("case_id"),
    _text("service"),
    _text("choices"),
    sa.Column("shown_at", Instant, nullable=False),
    _text("outcome"),
    sa.Column("answered_at", Instant),
    sa.Index("hook_cards_shown", "shown_at"),
)
"""Cards handed to an EHR; `case_id` is empty where the card belongs to no case."""
