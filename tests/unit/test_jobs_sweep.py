"""The second net: due cases get a job, failing ones less and less often, nobody starves."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gateway.clock import FixedClock
from gateway.jobs import MemoryJobs, Sweep, Wake
from gateway.store import CaseRow, Store
from tests.postgres import store_url

NOW = datetime(2026, 11, 25, 9, tzinfo=UTC)


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(NOW)


@pytest.fixture
def store(tmp_path: Path, clock: FixedClock) -> Iterator[Store]:
    opened = Store.open(store_url("sqlite", tmp_path), clock=clock)
    yield opened
    opened.close()


def add(store: Store, name: str, due_at: datetime | None) -> None:
    with store.begin() as tx:
        row = CaseRow(
            tenant_id="north",
            case_id=name,
            order_key=name,
            state="held",
            created_at=NOW,
            updated_at=NOW,
            due_at=due_at,
        )
        tx.cases.insert(row)


def test_due_cases_get_one_job_each(store: Store, clock: FixedClock) -> None:
    jobs = MemoryJobs(clock)
    add(store, "now", NOW)
    add(store, "later", NOW + timedelta(seconds=1))
    add(store, "never", None)
    sweep = Sweep(store, jobs)
    assert sweep.run(NOW) == 1
    assert sweep.run(NOW) == 0
    assert jobs.waiting() == (("advance", ("north", "now")),)


def test_a_live_job_is_not_doubled(store: Store, clock: FixedClock) -> None:
    jobs = MemoryJobs(clock)
    add(store, "now", NOW)
    with store.begin() as tx:
        jobs.enqueue(tx.connection, "cases", "advance", ("north", "now"), "case:now:1")
    assert Sweep(store, jobs).run(NOW) == 0


def test_a_failing_case_waits_longer_each_time(store: Store, clock: FixedClock) -> None:
    def fails(_: tuple[str, ...]) -> None:
        raise ValueError

    jobs = MemoryJobs(clock)
    jobs.start({"advance": fails}, threads=0)
    add(store, "bad", NOW)
    sweep, tries = Sweep(store, jobs), []
    for second in range(0, 3600, 5):
        clock.instant = NOW + timedelta(seconds=second)
        if sweep.run(clock.now()):
            tries.append(second)
        jobs.run_until_idle()
    assert tries == [0, 15, 45, 105, 225, 465, 945, 1545, 2145, 2745, 3345]


def test_progress_ends_the_pause(store: Store, clock: FixedClock) -> None:
    jobs = MemoryJobs(clock)
    jobs.start({"advance": lambda ids: None}, threads=0)
    add(store, "case", NOW)
    sweep = Sweep(store, jobs)
    assert sweep.run(NOW) == 1
    jobs.run_until_idle()
    with store.begin() as tx:
        tx.cases.update("north", "case", 1, state="checking")
    assert sweep.run(NOW) == 1


def test_many_due_cases_all_get_their_turn(store: Store, clock: FixedClock) -> None:
    jobs = MemoryJobs(clock)
    for number in range(450):
        add(store, f"c{number}", NOW - timedelta(seconds=number % 7))
    assert Sweep(store, jobs).run(NOW) == 450
    assert len(set(jobs.waiting())) == 450


def test_the_caller_chooses_job_and_queue(store: Store, clock: FixedClock) -> None:
    def wake(case: CaseRow) -> Wake | None:
        if case.case_id == "skip":
            return None
        return Wake(queue="held", name="look", ids=(case.case_id,), key=case.case_id, partition="alder")

    jobs = MemoryJobs(clock)
    add(store, "skip", NOW)
    add(store, "take", NOW)
    assert Sweep(store, jobs, wake).run(NOW) == 1
    assert jobs.waiting() == (("look", ("take",)),)
