"""What was sent to payers, and how often. A row exists before its bytes leave (design.md §4)."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from gateway.errors import Conflict, NotFound
from gateway.store.base import Repository, of, record_of, values_of
from gateway.store.rows import OPEN_SUBMISSION_STATES, SubmissionRow
from gateway.store.tables import submissions

_OF_TENANT = submissions.c.tenant_id == of("tenant")
_BY_ID = sa.select(submissions).where(_OF_TENANT, submissions.c.submission_id == of("submission"))
_ORDERED = sa.select(submissions).where(_OF_TENANT).order_by(submissions.c.created_at, submissions.c.submission_id)
_OF_CASE = _ORDERED.where(submissions.c.case_id == of("case"))
_OPEN = _OF_CASE.where(submissions.c.state.in_(OPEN_SUBMISSION_STATES))
_BY_CLAIM = _ORDERED.where(submissions.c.claim_identifier == of("claim"))


class Submissions(Repository):
    """Named queries over submission rows."""

    def insert(self, row: SubmissionRow) -> SubmissionRow:
        """Stores an intent; raises Conflict where the id is taken."""
        if not self._insert_new(submissions, values_of(row)):
            raise Conflict("This submission is already stored.", code="conflict.submission")
        return row

    def get(self, tenant_id: str, submission_id: str) -> SubmissionRow:
        """The submission; raises NotFound."""
        row = self._one(tenant_id, _BY_ID, of_submission=submission_id)
        if row is None:
            raise NotFound("There is no such submission.")
        return record_of(SubmissionRow, row)

    def for_case(self, tenant_id: str, case_id: str) -> tuple[SubmissionRow, ...]:
        """Everything the case sent, oldest first."""
        return self._records(tenant_id, _OF_CASE, of_case=case_id)

    def open_for_case(self, tenant_id: str, case_id: str) -> tuple[SubmissionRow, ...]:
        """What was begun and has neither answer nor end, oldest first."""
        return self._records(tenant_id, _OPEN, of_case=case_id)

    def by_claim_identifier(self, tenant_id: str, claim_identifier: str) -> tuple[SubmissionRow, ...]:
        """Submissions that carried this Claim identifier (`system|value`), oldest first."""
        return self._records(tenant_id, _BY_CLAIM, of_claim=claim_identifier)

    def update(self, tenant_id: str, submission_id: str, expected_version: int, **changes: Any) -> SubmissionRow:
        """Changes the fields named; raises Conflict where the row no longer has `expected_version`."""
        row = self._compare_and_set(submissions, tenant_id, submission_id, expected_version, changes)
        return record_of(SubmissionRow, row)

    def _records(self, tenant_id: str, statement: sa.Select[Any], **values: Any) -> tuple[SubmissionRow, ...]:
        return tuple(record_of(SubmissionRow, row) for row in self._all(tenant_id, statement, **values))
