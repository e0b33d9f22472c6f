"""What the doors read: a worklist page, its counters, and one case with its history. Nothing here writes."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from gateway.errors import InputError
from gateway.store.rows import CaseFilter, CaseRow, Cursor, EventRow, NotificationRow, ObjectRow, SubmissionRow
from gateway.store.store import Store
from gateway.store.worklist import cursor_of

COUNTED_UP_TO = 10_000
"""A count of so many means "so many or more"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorklistPage:
    """One page of the worklist."""

    rows: tuple[CaseRow, ...]
    count: int
    """How many cases the filter shows, counted up to `COUNTED_UP_TO`."""
    after: str
    """Hand it over to get the next page; empty on the last one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseView:
    """One case with everything kept about it, bodies left out."""

    case: CaseRow
    events: tuple[EventRow, ...]
    """Oldest first."""
    submissions: tuple[SubmissionRow, ...]
    """Oldest first."""
    notifications: tuple[NotificationRow, ...]
    """Oldest first."""
    objects: tuple[ObjectRow, ...]
    """Oldest first."""


def read_worklist(
    store: Store, tenant_id: str, chosen: CaseFilter, *, after: str = "", limit: int = 50
) -> WorklistPage:
    """One page, our own moves first, then the nearest deadline. Raises InputError for a made-up `after`."""
    place = read_cursor(after) if after else None
    with store.read() as tx:
        rows = tx.cases.list(tenant_id, chosen, after=place, limit=limit + 1)
        count = tx.cases.count(tenant_id, chosen, at_most=COUNTED_UP_TO)
    shown = rows[:limit]
    return WorklistPage(rows=shown, count=count, after=write_cursor(cursor_of(shown[-1])) if len(rows) > limit else "")


def read_counters(store: Store, tenant_id: str, filters: Mapping[str, CaseFilter]) -> dict[str, int]:
    """The number of cases of each named filter, counted up to `COUNTED_UP_TO`."""
    with store.read() as tx:
        return {name: tx.cases.count(tenant_id, chosen, at_most=COUNTED_UP_TO) for name, chosen in filters.items()}


def read_case(store: Store, tenant_id: str, case_id: str) -> CaseView:
    """One case, read in one moment. Raises NotFound, also for another tenant's."""
    with store.read() as tx:
        return CaseView(
            case=tx.cases.get(tenant_id, case_id),
            events=tx.events.list(tenant_id, case_id),
            submissions=tx.submissions.for_case(tenant_id, case_id),
            notifications=tx.notifications.for_case(tenant_id, case_id),
            objects=tx.objects.list(tenant_id, case_id),
        )


def write_cursor(place: Cursor) -> str:
    """The place as short text for a URL; it holds no patient data."""
    values = [place.move_rank, place.sort_at.isoformat(), place.case_id]
    return base64.urlsafe_b64encode(json.dumps(values).encode()).decode().rstrip("=")


def read_cursor(text: str) -> Cursor:
    """The place of a text that `write_cursor` made; raises InputError for any other."""
    try:
        padded = text + "=" * (-len(text) % 4)
        move_rank, sort_at, case_id = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        instant = datetime.fromisoformat(sort_at)
        if not isinstance(move_rank, int) or not isinstance(case_id, str) or instant.tzinfo is None:
            raise ValueError
    except (ValueError, TypeError, binascii.Error):
        raise InputError("This page mark is not one of ours. Start from the first page.", code="page.mark") from None
    return Cursor(move_rank=move_rank, sort_at=instant, case_id=case_id)
