"""Timers, milestones and uploads: one timer for each episode, a milestone fires once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.clock import FixedClock
from gateway.errors import Conflict, NotFound
from gateway.store import CaseRow, Store
from gateway.store.care import _DUE_CASES
from gateway.store.care_rows import DueRow, TimerRow, UploadRow
from tests.postgres import store_url

NOW = datetime(2026, 1, 5, 18, 0, tzinfo=UTC)
T, OTHER = "north", "south"


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(store_url(request.param, tmp_path), clock=FixedClock(NOW))
    with opened.begin() as tx:
        for number in (1, 2):
            tx.cases.insert(_case(number))
        tx.cases.insert(replace(_case(1), tenant_id=OTHER))
    yield opened
    opened.close()


def _case(number: int) -> CaseRow:
    return CaseRow(
        tenant_id=T, case_id=f"c{number}", order_key=f"k{number}", state="held", created_at=NOW, updated_at=NOW
    )


def _timer(timer_id: str = "t1", **fields: Any) -> TimerRow:
    given: dict[str, Any] = {
        "tenant_id": T,
        "timer_id": timer_id,
        "case_id": "c1",
        "ehr_id": "ehr",
        "patient_reference": "Patient/p",
        "episode_key": "e",
        "practitioner": "Practitioner/d",
        "started_on": date(2026, 1, 5),
        "days": 42,
        "zone": "America/Los_Angeles",
        "created_at": NOW,
    }
    return TimerRow(**given | fields)


def _due(name: str, days: int, timer_id: str = "t1", **fields: Any) -> DueRow:
    given: dict[str, Any] = {"tenant_id": T, "timer_id": timer_id, "name": name, "case_id": "c1", "day": days}
    return DueRow(**given | {"due_at": NOW + timedelta(days=days)} | fields)


def test_one_timer_runs_for_an_episode(store: Store) -> None:
    with store.begin() as tx:
        first = tx.timers.insert(_timer())
    with store.begin() as tx, pytest.raises(Conflict) as caught:
        tx.timers.insert(_timer("t2", case_id="c2"))
    assert caught.value.reason == "care.running"
    with store.begin() as tx:
        tx.timers.insert(_timer("t3", episode_key="another"))
        tx.timers.insert(_timer("t4", tenant_id=OTHER))
        tx.timers.update(T, "t1", first.version, state="cancelled", reason="red-flag", ended_at=NOW)
    with store.begin() as tx:
        tx.timers.insert(_timer("t5", created_at=NOW + timedelta(days=1)))
        assert [row.timer_id for row in tx.timers.of_episode(T, "e")] == ["t5", "t1"]
        assert [row.timer_id for row in tx.timers.in_state(T, "running")] == ["t3", "t5"]
        assert tx.timers.of_case(T, "c2") == ()
        with pytest.raises(NotFound):
            tx.timers.get(OTHER, "t5")


def test_a_milestone_fires_once(store: Store) -> None:
    with store.begin() as tx:
        tx.timers.insert(_timer())
        tx.care_due.insert([_due("day-8", 8), _due("day-0", 0), _due("watch", 0)])
    with store.begin() as tx:
        tx.care_due.fire(T, "t1", "day-8", NOW, "missing")
    with store.begin() as tx, pytest.raises(Conflict):
        tx.care_due.fire(T, "t1", "day-8", NOW, "met")
    with store.begin() as tx:
        tx.care_due.move(T, "t1", "watch", NOW + timedelta(days=1), 2)
        tx.care_due.move(T, "t1", "day-8", NOW + timedelta(days=1), 2)
    with store.read() as tx:
        found = {row.name: row for row in tx.care_due.of_timer(T, "t1")}
    assert (found["day-8"].outcome, found["day-8"].tries) == ("missing", 0)
    assert (found["watch"].tries, found["watch"].fired_at) == (2, None)


def test_the_sweep_finds_cases_with_a_milestone_that_is_due(store: Store) -> None:
    with store.begin() as tx:
        tx.timers.insert(_timer())
        tx.care_due.insert([_due("day-0", 0), _due("day-8", 8)])
    with store.begin() as tx:
        assert tx.care_due.due_cases(NOW - timedelta(seconds=1)) == ()
        assert [case.case_id for case in tx.care_due.due_cases(NOW)] == ["c1"]
        tx.care_due.fire(T, "t1", "day-0", NOW, "met")
        assert tx.care_due.due_cases(NOW + timedelta(days=7)) == ()
        assert len(tx.care_due.due_cases(NOW + timedelta(days=9))) == 1
        assert tx.care_due.void(T, "t1", NOW) == 1
        assert tx.care_due.due_cases(NOW + timedelta(days=99)) == ()


def test_due_cases_come_in_pages_and_by_their_index(store: Store) -> None:
    with store.begin() as tx:
        tx.timers.insert(_timer())
        tx.timers.insert(_timer("t2", case_id="c2", episode_key="another"))
        tx.timers.insert(_timer("t1", tenant_id=OTHER))
        tx.care_due.insert([_due("day-0", 0), _due("watch", 0)])
        tx.care_due.insert([_due("watch", 0, "t2", case_id="c2")])
        tx.care_due.insert([_due("watch", 0, tenant_id=OTHER)])
    with store.read() as tx:
        names, after = [], None
        while page := tx.care_due.due_cases(NOW, 1, after=after):
            after = page[-1]
            names.append((after.tenant_id, after.case_id))
        assert names == [(T, "c1"), (T, "c2"), (OTHER, "c1")]
    if store.engine.dialect.name == "sqlite":
        text = str(_DUE_CASES.compile(store.engine))
        with store.engine.connect() as connection:
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", ("2026-01-05T18:00:00", 9, 0)).all()
        assert any("care_due_open" in str(line) for line in plan), plan
        assert not any("SCAN cases" in str(line) for line in plan), plan


def test_an_upload_is_changed_by_compare_and_set(store: Store) -> None:
    upload = UploadRow(
        tenant_id=T,
        upload_id="u",
        timer_id="t1",
        case_id="c1",
        digest="aa" * 32,
        media_type="text/csv",
        created_by="sam",
        created_at=NOW,
    )
    with store.begin() as tx:
        tx.timers.insert(_timer())
        tx.care_uploads.insert(upload)
        changed = tx.care_uploads.update(T, "u", 1, state="counted")
    assert (changed.state, changed.version) == ("counted", 2)
    with store.begin() as tx, pytest.raises(Conflict):
        tx.care_uploads.update(T, "u", 1, state="discarded")
    with store.read() as tx:
        assert tx.care_uploads.of_timer(T, "t1") == (changed,)
        with pytest.raises(NotFound):
            tx.care_uploads.get(OTHER, "u")
