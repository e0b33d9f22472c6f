"""What the measures read: cases of a period with their history, sendings and evaluations, in few queries.

Nothing here names a patient: no label, number or birth date is selected.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from datetime import date, datetime
from itertools import islice
from typing import Any, TypeVar

import sqlalchemy as sa

from gateway.store.base import Repository, of, record_of
from gateway.store.care_tables import care_timers
from gateway.store.notes import read_note
from gateway.store.rows import NoteValue
from gateway.store.tables import cases, events, hook_cards, objects, submissions

CHUNK = 400
"""Cases that one query is about."""
VERBS = ("evaluate", "payer-response", "manual-answer", "red-flag-attest")
"""Acts that measures look at, besides those that move a case."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseFact:
    """What measures need of a case row."""

    case_id: str
    payer: str
    clinician_label: str
    is_expedited: bool
    state: str
    created_at: datetime
    signed_at: datetime | None
    """When the order was seen signed; None for a draft."""
    facts: str
    """JSON text of gateway/cases/facts.py."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFact:
    """What measures need of an event."""

    case_id: str
    at: datetime
    verb: str
    from_state: str
    to_state: str
    object_digest: str
    note: dict[str, NoteValue]


@dataclass(frozen=True, slots=True, kw_only=True)
class SendingFact:
    """What measures need of a submission."""

    case_id: str
    kind: str
    state: str
    first_sent_at: datetime | None
    answered_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TimerFact:
    """What measures need of a timer."""

    case_id: str
    started_on: date
    days: int
    state: str
    ended_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PanelFact:
    """A card shown at order time."""

    shown_at: datetime
    outcome: str


def _select(kind: Any, table: sa.Table) -> sa.Select[Any]:
    """SELECT of the columns that a record has."""
    return sa.select(*(table.c[field.name] for field in fields(kind)))


_CASES = (
    _select(CaseFact, cases)
    .where(cases.c.tenant_id == of("tenant"), cases.c.created_at < of("end"), cases.c.updated_at >= of("start"))
    .order_by(cases.c.created_at, cases.c.case_id)
    .limit(of("limit"))
)
_IN_CASES: sa.BindParameter[Any] = sa.bindparam("of_cases", expanding=True)
_EVENTS = (
    _select(EventFact, events)
    .where(
        events.c.tenant_id == of("tenant"),
        events.c.case_id.in_(_IN_CASES),
        sa.or_(events.c.verb.in_(VERBS), events.c.to_state != events.c.from_state),
    )
    .order_by(events.c.case_id, events.c.seq)
)
_SENT = (
    _select(SendingFact, submissions)
    .where(submissions.c.tenant_id == of("tenant"), submissions.c.case_id.in_(_IN_CASES))
    .order_by(submissions.c.case_id, submissions.c.created_at)
)
_BODIES = sa.select(objects.c.case_id, objects.c.digest, objects.c.body).where(
    objects.c.tenant_id == of("tenant"),
    objects.c.case_id.in_(_IN_CASES),
    objects.c.digest.in_(sa.bindparam("of_digests", expanding=True)),
)
_TIMERS = _select(TimerFact, care_timers).where(
    care_timers.c.tenant_id == of("tenant"),
    care_timers.c.started_on >= of("first"),
    care_timers.c.started_on <= of("last"),
)
_PANELS = _select(PanelFact, hook_cards).where(
    hook_cards.c.tenant_id == of("tenant"), hook_cards.c.shown_at >= of("start"), hook_cards.c.shown_at < of("end")
)


class Measures(Repository):
    """Named queries for measures; nothing is written."""

    def cases(self, tenant_id: str, start: datetime, end: datetime, limit: int) -> tuple[CaseFact, ...]:
        """Cases that began before `end` and were touched from `start` on, oldest first, at most `limit`."""
        found = self._all(tenant_id, _CASES, of_start=start, of_end=end, of_limit=limit)
        return tuple(record_of(CaseFact, row) for row in found)

    def events(self, tenant_id: str, case_ids: Iterable[str]) -> Iterator[EventFact]:
        """Acts of these cases that measures look at, oldest first within each case."""
        for part in _chunks(case_ids):
            for row in self._all(tenant_id, _EVENTS, of_cases=part):
                yield EventFact(**(dict(row) | {"note": read_note(row["note"])}))

    def sendings(self, tenant_id: str, case_ids: Iterable[str]) -> Iterator[SendingFact]:
        """What these cases sent, oldest first within each case."""
        for part in _chunks(case_ids):
            yield from (record_of(SendingFact, row) for row in self._all(tenant_id, _SENT, of_cases=part))

    def bodies(self, tenant_id: str, wanted: Sequence[tuple[str, str]]) -> Iterator[tuple[tuple[str, str], bytes]]:
        """Kept bytes by (case, digest); those that are gone are left out."""
        for part in _chunks(wanted):
            names = {"of_cases": sorted({case for case, _ in part}), "of_digests": sorted({name for _, name in part})}
            for row in self._all(tenant_id, _BODIES, **names):
                yield (row["case_id"], row["digest"]), bytes(row["body"])

    def timers(self, tenant_id: str, first: date, last: date) -> tuple[TimerFact, ...]:
        """Timers whose day 0 lies between two days, both in."""
        found = self._all(tenant_id, _TIMERS, of_first=first, of_last=last)
        return tuple(record_of(TimerFact, row) for row in found)

    def panels(self, tenant_id: str, start: datetime, end: datetime) -> tuple[PanelFact, ...]:
        """Cards shown between two instants."""
        return tuple(record_of(PanelFact, row) for row in self._all(tenant_id, _PANELS, of_start=start, of_end=end))


Item = TypeVar("Item")


def _chunks(items: Iterable[Item]) -> Iterator[list[Item]]:
    given = iter(items)
    while part := list(islice(given, CHUNK)):
        yield part
