"""What an event's note may say. A key that is not here is refused, so that nothing slips in by habit."""

from __future__ import annotations

import json
from collections.abc import Mapping

from gateway.errors import InputError
from gateway.store.rows import NoteValue

NOTE_KEYS = frozenset(
    {
        "action", "assertion_id", "attempt", "authorization_number", "case_tag", "code", "count", "decision",
        "digest", "error", "expires_on", "form", "guide", "http_status", "item_sequence", "kind", "library",
        "link_id", "move", "origin", "payer", "questionnaire", "reason", "resume_on", "retry_at", "review_action",
        "role", "rule", "rule_version", "stage", "subscription_id", "submission_id", "until", "verdict", "version",
        "why",
    }
)  # fmt: skip

MAX_NOTE_CHARACTERS = 400
"""Longest text value; longer content belongs into an object."""


def write_note(note: Mapping[str, NoteValue]) -> str:
    """`note` as JSON text; raises InputError for an unknown key, a long text or another type of value."""
    for key, value in note.items():
        if key not in NOTE_KEYS:
            raise InputError("An event note has a key that is not allowed.", code="event.note-key")
        if not isinstance(value, str | int | bool | None):
            raise InputError("An event note holds text, whole numbers and booleans only.", code="event.note-value")
        if isinstance(value, str) and len(value) > MAX_NOTE_CHARACTERS:
            raise InputError("An event note has a text that is too long.", code="event.note-length")
    return json.dumps(dict(note), ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def read_note(text: str) -> dict[str, NoteValue]:
    """The note of JSON text that `write_note` made."""
    note: dict[str, NoteValue] = json.loads(text)
    return note
