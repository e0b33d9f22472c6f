"""What was sent to payers, and how often. A row exists before its bytes leave (design.md §4)."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from gateway.errors import Conflict, NotFound
from gateway.store.base import Repository, record_of, values_of
from gateway.store.rows import OPEN_SUBMISSION_STATES, SubmissionRow
from gateway.store.tables import submissions


class Submissions(Repository):
    """Named queries over submission rows."""

    def insert(self, row: SubmissionRow) -> SubmissionRow:
        """Stores an intent; raises Conflict where the id is taken."""
        if not self._insert_new(submissions, values_of(row)):
            raise Conflict("This submission is already stored.", code="conflict.submission")
        return row

    def get(self, tenant_id: str, submission_id: str) -> SubmissionRow:
        """The submission; raises NotFound."""
        row = self._one(tenant_id, sa.select(submissions).where(_is(tenant_id, submission_id)))
        if row is None:
            raise NotFound("There is no such submission.")
        return record_of(SubmissionRow, row)

    def for_case(self, tenant_id: str, case_id: str) -> tuple[SubmissionRow, ...]:
        """Everything the case sent, oldest first."""
        return self._ordered(tenant_id, submissions.c.case_id == case_id)

    def open_for_case(self, tenant_id: str, case_id: str) -> tuple[SubmissionRow, ...]:
        """What was begun and has neither answer nor end, oldest first."""
        is_open = submissions.c.state.in_(OPEN_SUBMISSION_STATES)
        return self._ordered(tenant_id, submissions.c.case_id == case_id, is_open)

    def by_claim_identifier(self, tenant_id: str, claim_identifier: str) -> tuple[SubmissionRow, ...]:
        """Submissions that carried this Claim identifier (`system|value`), oldest first."""
        return self._ordered(tenant_id, submissions.c.claim_identifier == claim_identifier)

    def update(self, tenant_id: str, submission_id: str, expected_version: int, **changes: Any) -> SubmissionRow:
        """Changes the fields named; raises Conflict where the row no longer has `expected_version`."""
        where = sa.and_(_is(tenant_id, submission_id), submissions.c.version == expected_version)
        row = self._compare_and_set(tenant_id, submissions, where, changes | {"version": expected_version + 1})
        return record_of(SubmissionRow, row)

    def _ordered(self, tenant_id: str, *where: sa.ColumnElement[bool]) -> tuple[SubmissionRow, ...]:
        statement = sa.select(submissions).where(submissions.c.tenant_id == tenant_id, *where)
        ordered = statement.order_by(submissions.c.created_at, submissions.c.submission_id)
        return tuple(record_of(SubmissionRow, row) for row in self._all(tenant_id, ordered))


def _is(tenant_id: str, submission_id: str) -> sa.ColumnElement[bool]:
    return sa.and_(submissions.c.tenant_id == tenant_id, submissions.c.submission_id == submission_id)
