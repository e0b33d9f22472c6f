"""What the doors may know of the store: rows to read, filters to ask with, never the tables."""

from __future__ import annotations

from gateway.store.cases import cursor_of
from gateway.store.rows import CaseFilter, CaseRow, Cursor, EventRow, IdempotencyRow, SessionRow, SubmissionRow

__all__ = [
    "CaseFilter",
    "CaseRow",
    "Cursor",
    "EventRow",
    "IdempotencyRow",
    "SessionRow",
    "SubmissionRow",
    "cursor_of",
]
