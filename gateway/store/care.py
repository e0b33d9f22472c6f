"""Timers of conservative care, what is due when, and uploaded visits.

A milestone is a row: nothing waits in memory. It fires by compare-and-set inside the transaction of its event,
so that it fires once however often it is looked at. Source: design.md §4, spec/clinical.md §2.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from gateway.errors import Conflict, NotFound
from gateway.store.base import ALL_TENANTS, Repository, of, record_of, values_of
from gateway.store.care_rows import DueRow, TimerRow, UploadRow
from gateway.store.care_tables import care_due, care_timers, care_uploads
from gateway.store.rows import CaseRow
from gateway.store.tables import cases

_TIMERS = sa.select(care_timers).where(care_timers.c.tenant_id == of("tenant"))
_TIMER = _TIMERS.where(care_timers.c.timer_id == of("timer"))
_OF_CASE = _TIMERS.where(care_timers.c.case_id == of("case")).order_by(care_timers.c.created_at.desc())
_OF_EPISODE = _TIMERS.where(care_timers.c.episode_key == of("episode")).order_by(care_timers.c.created_at.desc())
_OF_STATE = (
    _TIMERS.where(care_timers.c.state == of("state"))
    .order_by(care_timers.c.started_on, care_timers.c.timer_id)
    .limit(of("limit"))
)
_OWN_DUE = sa.and_(care_due.c.tenant_id == of("tenant"), care_due.c.timer_id == of("timer"))
_DUE_ROWS = sa.select(care_due).where(_OWN_DUE).order_by(care_due.c.due_at, care_due.c.day, care_due.c.name)
_OPEN = sa.and_(_OWN_DUE, care_due.c.fired_at.is_(None))
_OPEN_NAMED = sa.and_(_OPEN, care_due.c.name == of("name"))
_DUE_NAMES = (
    sa.select(care_due.c.tenant_id, care_due.c.case_id)
    .where(care_due.c.fired_at.is_(None), care_due.c.due_at <= of("now"))
    .distinct()
    .subquery()
)
_DUE_CASES = (
    sa.select(cases)
    .join(_DUE_NAMES, sa.and_(cases.c.tenant_id == _DUE_NAMES.c.tenant_id, cases.c.case_id == _DUE_NAMES.c.case_id))
    .order_by(cases.c.tenant_id, cases.c.case_id)
    .limit(of("limit"))
)
_DUE_CASES_BEHIND = _DUE_CASES.where(
    sa.tuple_(cases.c.tenant_id, cases.c.case_id)
    > sa.tuple_(
        sa.bindparam("of_owner", type_=cases.c.tenant_id.type), sa.bindparam("of_case", type_=cases.c.case_id.type)
    )
)
_OPEN_ROWS = (
    sa.select(care_due)
    .where(care_due.c.tenant_id == of("tenant"), care_due.c.fired_at.is_(None))
    .order_by(care_due.c.due_at, care_due.c.timer_id, care_due.c.name)
    .limit(of("limit"))
)
_AT = care_due.c.due_at.type
_FIRE = (
    sa.update(care_due)
    .where(_OPEN_NAMED)
    .values(fired_at=sa.bindparam("new_at", type_=_AT), outcome=sa.bindparam("new_outcome"))
)
_VOID = sa.update(care_due).where(_OPEN).values(fired_at=sa.bindparam("new_at", type_=_AT), outcome=sa.literal("void"))
_MOVE = (
    sa.update(care_due)
    .where(_OPEN_NAMED)
    .values(due_at=sa.bindparam("new_at", type_=_AT), tries=sa.bindparam("new_tries", type_=sa.Integer))
)
_UPLOADS = sa.select(care_uploads).where(care_uploads.c.tenant_id == of("tenant"))
_UPLOAD = _UPLOADS.where(care_uploads.c.upload_id == of("upload"))
_OF_TIMER = _UPLOADS.where(care_uploads.c.timer_id == of("timer")).order_by(care_uploads.c.created_at)


class Timers(Repository):
    """Named queries over timers."""

    def insert(self, row: TimerRow) -> TimerRow:
        """Stores a timer; raises Conflict where one runs for the patient and episode."""
        if not self._insert_new(care_timers, values_of(row)):
            raise Conflict(
                "Conservative care already runs for this patient and problem; open that timer.", code="care.running"
            )
        return row

    def get(self, tenant_id: str, timer_id: str) -> TimerRow:
        """The timer; raises NotFound, also for another tenant's."""
        row = self._one(tenant_id, _TIMER, of_timer=timer_id)
        if row is None:
            raise NotFound("There is no such timer.")
        return record_of(TimerRow, row)

    def of_case(self, tenant_id: str, case_id: str) -> tuple[TimerRow, ...]:
        """Timers of a case, newest first."""
        return tuple(record_of(TimerRow, row) for row in self._all(tenant_id, _OF_CASE, of_case=case_id))

    def of_episode(self, tenant_id: str, episode_key: str) -> tuple[TimerRow, ...]:
        """Timers of a patient's problem, newest first."""
        return tuple(record_of(TimerRow, row) for row in self._all(tenant_id, _OF_EPISODE, of_episode=episode_key))

    def in_state(self, tenant_id: str, state: str, limit: int = 500) -> tuple[TimerRow, ...]:
        """Timers in a state, longest running first."""
        found = self._all(tenant_id, _OF_STATE, of_state=state, of_limit=limit)
        return tuple(record_of(TimerRow, row) for row in found)

    def update(self, tenant_id: str, timer_id: str, expected_version: int, **changes: Any) -> TimerRow:
        """Changes the fields named; raises Conflict where the row no longer has `expected_version`."""
        return record_of(TimerRow, self._compare_and_set(care_timers, tenant_id, timer_id, expected_version, changes))


class DueRows(Repository):
    """Named queries over milestones."""

    def insert(self, rows: Sequence[DueRow]) -> None:
        """Stores the milestones of a new timer."""
        if rows:
            self._insert_all(rows[0].tenant_id, care_due, [values_of(row) for row in rows])

    def of_timer(self, tenant_id: str, timer_id: str) -> tuple[DueRow, ...]:
        """Milestones of a timer, fired ones included, earliest first."""
        return tuple(record_of(DueRow, row) for row in self._all(tenant_id, _DUE_ROWS, of_timer=timer_id))

    def open_rows(self, tenant_id: str, limit: int = 10_000) -> tuple[DueRow, ...]:
        """Open milestones of all timers, earliest first."""
        return tuple(record_of(DueRow, row) for row in self._all(tenant_id, _OPEN_ROWS, of_limit=limit))

    def fire(self, tenant_id: str, timer_id: str, name: str, at: datetime, outcome: str) -> None:
        """Marks a milestone as fired; raises Conflict where it fired before, so that it fires once."""
        if not self._change(tenant_id, _FIRE, of_timer=timer_id, of_name=name, new_at=at, new_outcome=outcome):
            raise Conflict("This milestone was taken care of meanwhile.", code="conflict.milestone")

    def void(self, tenant_id: str, timer_id: str, at: datetime) -> int:
        """Ends every open milestone of a timer; returns how many."""
        return self._change(tenant_id, _VOID, of_timer=timer_id, new_at=at)

    def move(self, tenant_id: str, timer_id: str, name: str, due_at: datetime, tries: int) -> None:
        """Sets when an open milestone is due; nothing happens where it fired."""
        self._change(tenant_id, _MOVE, of_timer=timer_id, of_name=name, new_at=due_at, new_tries=tries)

    def due_cases(self, now: datetime, limit: int = 200, *, after: CaseRow | None = None) -> tuple[CaseRow, ...]:
        """Cases of all tenants with a milestone whose time has come. For the sweep alone.

        `after` is the last row of the page before.
        """
        if after is None:
            found = self._all(ALL_TENANTS, _DUE_CASES, of_now=now, of_limit=limit)
        else:
            place = {"of_owner": after.tenant_id, "of_case": after.case_id}
            found = self._all(ALL_TENANTS, _DUE_CASES_BEHIND, of_now=now, of_limit=limit, **place)
        return tuple(record_of(CaseRow, row) for row in found)


class Uploads(Repository):
    """Named queries over uploaded files of visits."""

    def insert(self, row: UploadRow) -> UploadRow:
        """Stores an upload; raises Conflict where its id is taken."""
        if not self._insert_new(care_uploads, values_of(row)):
            raise Conflict("This upload is already stored.", code="conflict.upload")
        return row

    def get(self, tenant_id: str, upload_id: str) -> UploadRow:
        """The upload; raises NotFound."""
        row = self._one(tenant_id, _UPLOAD, of_upload=upload_id)
        if row is None:
            raise NotFound("There is no such upload.")
        return record_of(UploadRow, row)

    def of_timer(self, tenant_id: str, timer_id: str) -> tuple[UploadRow, ...]:
        """Uploads of a timer, oldest first."""
        return tuple(record_of(UploadRow, row) for row in self._all(tenant_id, _OF_TIMER, of_timer=timer_id))

    def update(self, tenant_id: str, upload_id: str, expected_version: int, **changes: Any) -> UploadRow:
        """Changes the fields named; raises Conflict where the row no longer has `expected_version`."""
        found = self._compare_and_set(care_uploads, tenant_id, upload_id, expected_version, changes)
        return record_of(UploadRow, found)
