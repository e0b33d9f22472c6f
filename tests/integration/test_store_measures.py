"""What the measures read, and decisions on rule rows, on SQLite and on PostgreSQL alike."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from gateway.clock import FixedClock
from gateway.errors import Conflict
from gateway.store import CaseRow, EventRow, Store, SubmissionRow
from gateway.store.care_rows import TimerRow
from gateway.store.measures import CHUNK
from gateway.store.rows import HookCardRow
from gateway.store.rule_decisions import RuleDecisionRow
from tests.postgres import store_url

NOW = datetime(2026, 11, 25, 9, tzinfo=UTC)
T, OTHER = "north", "south"


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(store_url(request.param, tmp_path), clock=FixedClock(NOW))
    yield opened
    opened.close()


def _case(number: int, at: datetime = NOW, tenant: str = T, **fields: Any) -> CaseRow:
    name = f"case-{number:04d}"
    return CaseRow(
        tenant_id=tenant, case_id=name, order_key=name, state="received", created_at=at, updated_at=at, **fields
    )


def _event(number: int, seq: int, verb: str, **fields: Any) -> EventRow:
    given = {"from_state": "received", "to_state": "received", **fields}
    return EventRow(tenant_id=T, case_id=f"case-{number:04d}", seq=seq, at=NOW, actor="gateway", verb=verb, **given)


def _decision(seq: int, **fields: Any) -> RuleDecisionRow:
    given: dict[str, Any] = {
        "tenant_id": T, "seq": seq, "rule_id": "r", "version": "1.0.0", "rule_digest": "ab", "payer": "*",
        "decision": "accepted", "decided_by": "x", "decided_at": NOW, "reason": "y", "statement": "{}", "jws": "a..b",
    }  # fmt: skip
    return RuleDecisionRow(**{**given, **fields})


def test_cases_of_a_period_are_those_that_were_touched_in_it(store: Store) -> None:
    day = timedelta(days=1)
    with store.begin() as tx:
        for number, at in enumerate((NOW - 9 * day, NOW, NOW + 9 * day)):
            tx.cases.insert(_case(number, at, clinician_label="Dr. A", patient_label="Zzyxqa"))
        tx.cases.insert(_case(9, NOW, OTHER))
    with store.read() as tx:
        found = tx.measures.cases(T, NOW - day, NOW + day, 10)
        everything = tx.measures.cases(T, NOW - 10 * day, NOW + 10 * day, 2)
    assert [row.case_id for row in found] == ["case-0001"]
    assert [row.case_id for row in everything] == ["case-0000", "case-0001"]
    assert "Zzyxqa" not in repr(found)


def test_history_sendings_and_bodies_come_in_parts(store: Store) -> None:
    numbers = range(CHUNK + 5)
    body = b'{"rule":"r"}'
    with store.begin() as tx:
        for number in numbers:
            tx.cases.insert(_case(number))
            tx.events.append(_event(number, 0, "case-open"))
            tx.events.append(_event(number, 1, "evaluate", note={"verdict": "PASS"}))
            tx.events.append(_event(number, 2, "write-back", to_state="checking"))
        tx.objects.put(T, "case-0003", body, "application/json")
        tx.submissions.insert(
            SubmissionRow(
                tenant_id=T, submission_id="s", case_id="case-0003", kind="submit", endpoint="p", request_digest="ab",
                created_at=NOW, first_sent_at=NOW,
            )
        )  # fmt: skip
    names = [f"case-{number:04d}" for number in numbers]
    digest = hashlib.sha256(body).hexdigest()
    with store.read() as tx:
        events = list(tx.measures.events(T, names))
        sent = list(tx.measures.sendings(T, names))
        bodies = dict(tx.measures.bodies(T, [(name, digest) for name in names]))
        foreign = list(tx.measures.events(OTHER, names))
    assert [event.verb for event in events] == ["evaluate", "write-back"] * len(names)
    assert events[0].note == {"verdict": "PASS"}
    assert [(item.case_id, item.first_sent_at) for item in sent] == [("case-0003", NOW)]
    assert bodies == {("case-0003", digest): body}
    assert foreign == []


def test_timers_and_panels_by_their_days(store: Store) -> None:
    with store.begin() as tx:
        tx.cases.insert(_case(1))
        for number, day in enumerate((date(2026, 1, 1), date(2026, 2, 1))):
            tx.timers.insert(
                TimerRow(
                    tenant_id=T, timer_id=f"t{number}", case_id="case-0001", ehr_id="e", patient_reference="Patient/1",
                    episode_key=f"k{number}", practitioner="", started_on=day, days=42, zone="UTC", created_at=NOW,
                )
            )  # fmt: skip
        tx.hooks.keep_card(HookCardRow(tenant_id=T, card_id="c", case_id="", service="s", shown_at=NOW))
    with store.read() as tx:
        timers = tx.measures.timers(T, date(2026, 1, 15), date(2026, 2, 1))
        panels = tx.measures.panels(T, NOW, NOW + timedelta(seconds=1))
        before = tx.measures.panels(T, NOW - timedelta(days=1), NOW)
    assert [(timer.started_on, timer.days) for timer in timers] == [(date(2026, 2, 1), 42)]
    assert [panel.outcome for panel in panels] == [""]
    assert before == ()


def test_decisions_on_rule_rows_are_kept_in_order_and_never_changed(store: Store) -> None:
    with store.begin() as tx:
        tx.rule_decisions.append(_decision(0))
        tx.rule_decisions.append(_decision(1, decision="withdrawn"))
        tx.rule_decisions.append(_decision(0, tenant_id=OTHER))
    with store.read() as tx:
        assert [row.decision for row in tx.rule_decisions.list(T)] == ["accepted", "withdrawn"]
        assert len(tx.rule_decisions.list(OTHER)) == 1
    with pytest.raises(Conflict), store.begin() as tx:
        tx.rule_decisions.append(_decision(1))
    for statement in ("UPDATE rule_decisions SET payer = 'x'", "DELETE FROM rule_decisions"):
        with pytest.raises(sa.exc.DBAPIError, match="refuses"), store.engine.begin() as connection:
            connection.execute(sa.text(statement))
