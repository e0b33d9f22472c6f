"""The second net: cases whose time has come get a job, whatever became of the one they had.

The first net is the job enqueued with the transition. This one reads due rows, so that a lost, failed or
never-made job costs a delay and no case. A case that keeps failing waits longer each time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from gateway.jobs.port import Jobs
from gateway.logs import get_logger
from gateway.store import CaseRow, Store

FIRST_PAUSE = timedelta(seconds=15)
LONGEST_PAUSE = timedelta(minutes=10)
PAGE = 200

_log = get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Wake:
    """The job that wakes a case."""

    queue: str
    name: str
    ids: tuple[str, ...]
    key: str
    partition: str = ""


def wake_case(case: CaseRow) -> Wake:
    """The usual one: job `advance` of queue `cases`, once per version of the case."""
    return Wake(
        queue="cases",
        name="advance",
        ids=(case.tenant_id, case.case_id),
        key=f"case:{case.case_id}:{case.version}",
    )


@dataclass(slots=True)
class _Seen:
    version: int
    pause: timedelta
    until: datetime


class Sweep:
    """Enqueues due cases. Keeps in memory which it enqueued, so that a case that fails at once is not hammered."""

    def __init__(self, store: Store, jobs: Jobs, wake: Callable[[CaseRow], Wake | None] = wake_case) -> None:
        self._store = store
        self._jobs = jobs
        self._wake = wake
        self._seen: dict[tuple[str, str], _Seen] = {}

    def run(self, now: datetime) -> int:
        """Enqueues every due case without a live job; returns how many jobs were added."""
        added, after, due = 0, None, set()
        while True:
            with self._store.read() as tx:
                page = tx.cases.due(now, PAGE, after=after)
            added += self._enqueue([case for case in page if self._may(case, now)])
            due |= {(case.tenant_id, case.case_id) for case in page}
            if len(page) < PAGE:
                break
            after = page[-1]
        added += self._run_timed(now, due)
        self._seen = {case: seen for case, seen in self._seen.items() if case in due}
        if added:
            _log.info("sweep.enqueued", count=added)
        return added

    def _run_timed(self, now: datetime, due: set[tuple[str, str]]) -> int:
        """The same for cases whose timer has something due; adds their names to `due`."""
        added, after = 0, None
        while True:
            with self._store.read() as tx:
                page = tx.care_due.due_cases(now, PAGE, after=after)
            fresh = [case for case in page if (case.tenant_id, case.case_id) not in due]
            added += self._enqueue([case for case in fresh if self._may(case, now)])
            due |= {(case.tenant_id, case.case_id) for case in fresh}
            if len(page) < PAGE:
                return added
            after = page[-1]

    def _enqueue(self, cases: list[CaseRow]) -> int:
        if not cases:
            return 0
        with self._store.begin() as tx:
            wakes = [wake for wake in map(self._wake, cases) if wake is not None]
            return sum(
                self._jobs.enqueue(tx.connection, wake.queue, wake.name, wake.ids, wake.key, partition=wake.partition)
                for wake in wakes
            )

    def _may(self, case: CaseRow, now: datetime) -> bool:
        """Whether the case's pause is over; begins or doubles it."""
        name = (case.tenant_id, case.case_id)
        seen = self._seen.get(name)
        if seen is None or seen.version != case.version:
            self._seen[name] = _Seen(case.version, FIRST_PAUSE, now + FIRST_PAUSE)
            return True
        if now < seen.until:
            return False
        seen.pause = min(seen.pause * 2, LONGEST_PAUSE)
        seen.until = now + seen.pause
        return True
