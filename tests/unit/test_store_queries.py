"""What the doors read."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import InputError, NotFound
from gateway.store import CaseFilter, CaseRow, Cursor, EventRow, Store
from gateway.store.queries import read_case, read_counters, read_cursor, read_worklist, write_cursor
from tests.postgres import store_url

NOW = datetime(2026, 11, 25, 9, tzinfo=UTC)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(store_url("sqlite", tmp_path))
    with opened.begin() as tx:
        for number in range(25):
            tx.cases.insert(
                CaseRow(
                    tenant_id="north",
                    case_id=f"c{number:02d}",
                    order_key=f"k{number}",
                    state="pended" if number % 2 else "ready",
                    move="payer" if number % 2 else "us",
                    created_at=NOW,
                    updated_at=NOW,
                    deadline_at=None if number % 5 == 0 else NOW + timedelta(hours=number % 3),
                    is_open=number < 20,
                )
            )
    yield opened
    opened.close()


@pytest.mark.parametrize(
    "chosen", [CaseFilter(), CaseFilter(is_open=True), CaseFilter(states=("ready", "pended")), CaseFilter(move="us")]
)
@pytest.mark.parametrize("limit", [1, 4, 7, 25, 50])
def test_pages_together_are_the_list(store: Store, chosen: CaseFilter, limit: int) -> None:
    whole = read_worklist(store, "north", chosen, limit=100)
    assert whole.after == ""
    assert whole.count == len(whole.rows)
    rows: list[CaseRow] = []
    after = ""
    while True:
        page = read_worklist(store, "north", chosen, after=after, limit=limit)
        assert page.count == whole.count
        rows += page.rows
        after = page.after
        if not after:
            break
    assert tuple(rows) == whole.rows


def test_counters(store: Store) -> None:
    filters = {"open": CaseFilter(is_open=True), "none": CaseFilter(owner="x"), "all": CaseFilter()}
    assert read_counters(store, "north", filters) == {"open": 20, "none": 0, "all": 25}


def test_one_case(store: Store) -> None:
    with store.begin() as tx:
        digest = tx.objects.put("north", "c01", b"body", "text/plain")
        row = EventRow(tenant_id="north", case_id="c01", seq=0, at=NOW, actor="gateway", verb="case-open")
        tx.events.append(row)
    view = read_case(store, "north", "c01")
    assert (view.case.case_id, view.events, view.submissions, view.notifications) == ("c01", (row,), (), ())
    assert [known.digest for known in view.objects] == [digest]
    with pytest.raises(NotFound):
        read_case(store, "south", "c01")


def test_page_mark_survives() -> None:
    place = Cursor(move_rank=3, sort_at=NOW, case_id="c-1")
    assert read_cursor(write_cursor(place)) == place


@pytest.mark.parametrize(
    "mark", ["x", "é", "AAAA", "W10", "WzEsMiwzXQ", "bnVsbA", "a" * 5000, "=", "../..", "eyJhIjoxfQ"]
)
def test_made_up_page_marks_are_refused(mark: Any) -> None:
    with pytest.raises(InputError):
        read_cursor(mark)
