"""Tables of the conservative-care protocol; the migrations make them, a test compares the two."""

from __future__ import annotations

import sqlalchemy as sa

from gateway.store.columns import Instant, plain_text
from gateway.store.tables import metadata

_CASE = ("cases.tenant_id", "cases.case_id")


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, plain_text(), nullable=False)


def _key(name: str) -> sa.Column[str]:
    return sa.Column(name, plain_text(), primary_key=True, nullable=False)


care_timers = sa.Table(
    "care_timers",
    metadata,
    _key("tenant_id"),
    _key("timer_id"),
    _text("case_id"),
    _text("ehr_id"),
    _text("patient_reference"),
    _text("episode_key"),
    _text("practitioner"),
    _text("state"),
    _text("phase"),
    _text("reason"),
    sa.Column("started_on", sa.Date, nullable=False),
    sa.Column("days", sa.Integer, nullable=False),
    _text("zone"),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("ended_at", Instant),
    _text("facts"),
    sa.Column("version", sa.Integer, nullable=False),
    sa.ForeignKeyConstraint(["tenant_id", "case_id"], list(_CASE)),
    sa.Index("care_timers_case", "tenant_id", "case_id", "created_at"),
    sa.Index("care_timers_state", "tenant_id", "state", "started_on", "timer_id"),
    sa.Index("care_timers_episode", "tenant_id", "episode_key", "created_at"),
    sa.Index(
        "care_timers_one_running",
        "tenant_id",
        "episode_key",
        unique=True,
        postgresql_where=sa.text("state = 'running'"),
        sqlite_where=sa.text("state = 'running'"),
    ),
)
"""One row per timer; the last index lets one run per patient and episode."""

care_due = sa.Table(
    "care_due",
    metadata,
    _key("tenant_id"),
    _key("timer_id"),
    _key("name"),
    _text("case_id"),
    sa.Column("day", sa.Integer, nullable=False),
    sa.Column("due_at", Instant, nullable=False),
    sa.Column("fired_at", Instant),
    _text("outcome"),
    sa.Column("tries", sa.Integer, nullable=False),
    sa.ForeignKeyConstraint(["tenant_id", "timer_id"], ["care_timers.tenant_id", "care_timers.timer_id"]),
    sa.Index(
        "care_due_open",
        "due_at",
        "case_id",
        postgresql_where=sa.text("fired_at IS NULL"),
        sqlite_where=sa.text("fired_at IS NULL"),
    ),
)
"""What is owed on which day; a row that fired stays."""

care_uploads = sa.Table(
    "care_uploads",
    metadata,
    _key("tenant_id"),
    _key("upload_id"),
    _text("timer_id"),
    _text("case_id"),
    _text("state"),
    _text("digest"),
    _text("media_type"),
    _text("created_by"),
    sa.Column("created_at", Instant, nullable=False),
    _text("visits"),
    sa.Column("version", sa.Integer, nullable=False),
    sa.ForeignKeyConstraint(["tenant_id", "timer_id"], ["care_timers.tenant_id", "care_timers.timer_id"]),
    sa.Index("care_uploads_timer", "tenant_id", "timer_id", "created_at"),
)
"""Visits of an outside clinic, as they were handed in; the bytes are an object of the case."""
