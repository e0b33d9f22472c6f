"""Rows of the conservative-care protocol as frozen records."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal

TimerState = Literal["running", "completed", "cancelled", "failed"]
TimerPhase = Literal["draft", "signed", "completed", "cancelled", "failed"]
"""What the timer's resources in the EHR should show; drafts become active when a clinician signs."""
UploadState = Literal["previewed", "writing", "counted", "discarded"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TimerRow:
    """One conservative-care timer of one case."""

    tenant_id: str
    timer_id: str
    case_id: str
    ehr_id: str
    patient_reference: str
    episode_key: str
    """Digest of patient and region: one timer runs for each."""
    practitioner: str
    """`Practitioner/id` who ordered; empty where the order names none."""
    started_on: date
    """Day 0, at the practice."""
    days: int
    """Days from day 0 to the decision."""
    zone: str
    """IANA zone in which days are counted."""
    created_at: datetime
    state: TimerState = "running"
    phase: TimerPhase = "draft"
    reason: str = ""
    """Why it ended, a machine word; empty while it runs."""
    ended_at: datetime | None = None
    facts: str = "{}"
    """JSON text of its resources in the EHR and of what was seen last."""
    version: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class DueRow:
    """One milestone, or the daily look at the chart."""

    tenant_id: str
    timer_id: str
    name: str
    case_id: str
    day: int
    """Day of the protocol; 0 for the daily look, which has none."""
    due_at: datetime
    fired_at: datetime | None = None
    outcome: str = ""
    """met, missing or void once it fired; empty before."""
    tries: int = 0
    """Tries that failed because the chart could not be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadRow:
    """One file of visits from an outside clinic."""

    tenant_id: str
    upload_id: str
    timer_id: str
    case_id: str
    digest: str
    """SHA-256 (hex) of the bytes as they came; their name among the case's objects."""
    media_type: str
    created_by: str
    created_at: datetime
    state: UploadState = "previewed"
    visits: str = "[]"
    """JSON text of the visits read from it."""
    version: int = 1
