"""Every repository on SQLite and on PostgreSQL: the same calls, the same answers."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy.exc import DBAPIError

from gateway.clock import FixedClock
from gateway.errors import Busy, Conflict, InputError, IntegrityError, NotFound
from gateway.store import (
    BreakerRow,
    CaseFilter,
    CaseRow,
    EventRow,
    IdempotencyRow,
    NotificationRow,
    SessionRow,
    Store,
    SubmissionRow,
    SubscriptionRow,
    Tx,
)
from gateway.store.cases import cursor_of
from gateway.store.migrate import VERSION_TABLE
from gateway.store.tables import metadata
from tests.postgres import shared_cluster, store_url

ROOT = Path(__file__).resolve().parents[2]
NOW = datetime(2026, 11, 25, 9, 0, 0, 123456, tzinfo=UTC)
T = "north"
OTHER = "south"


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(store_url(request.param, tmp_path), clock=FixedClock(NOW))
    yield opened
    opened.close()


def case(number: int = 1, tenant: str = T, **fields: Any) -> CaseRow:
    given: dict[str, Any] = {
        "tenant_id": tenant,
        "case_id": f"case-{number:04d}",
        "order_key": f"key-{number}",
        "state": "received",
        "created_at": NOW,
        "updated_at": NOW,
    }
    return CaseRow(**(given | fields))


def event(seq: int, number: int = 1, **fields: Any) -> EventRow:
    given: dict[str, Any] = {
        "tenant_id": T,
        "case_id": f"case-{number:04d}",
        "seq": seq,
        "at": NOW,
        "actor": "gateway",
        "verb": "order-received",
    }
    return EventRow(**(given | fields))


def submission(number: int = 1, **fields: Any) -> SubmissionRow:
    given: dict[str, Any] = {
        "tenant_id": T,
        "submission_id": f"sub-{number}",
        "case_id": "case-0001",
        "kind": "submit",
        "endpoint": "alder",
        "request_digest": "ab" * 32,
        "claim_identifier": "urn:x|claim-1",
        "created_at": NOW + timedelta(seconds=number),
    }
    return SubmissionRow(**(given | fields))


def test_migrated_tables_equal_the_metadata(store: Store) -> None:
    with store.engine.connect() as connection:
        options = {
            "version_table": VERSION_TABLE,
            "compare_type": True,
            "include_name": lambda name, kind, _: kind != "table" or name in metadata.tables,
        }
        found = compare_metadata(MigrationContext.configure(connection, opts=options), metadata)
    assert found == []


def test_opening_again_changes_nothing(store: Store) -> None:
    url = store.engine.url.render_as_string(hide_password=False)
    Store.open(url).close()
    Store.open(url, create=False).close()


def test_case_reads_back_as_it_was_written(store: Store) -> None:
    row = case(
        signed_at=NOW,
        due_at=NOW + timedelta(microseconds=1),
        deadline_at=NOW + timedelta(days=3),
        service_on=date(2026, 12, 1),
        patient_label="Ægir Ó'Neil-Łuk",
        is_expedited=True,
        facts='{"a":87.50,"b":"ü"}',
        move="clinician",
    )
    with store.begin() as tx:
        assert tx.cases.insert(row) == row
    with store.read() as tx:
        assert tx.cases.get(T, row.case_id) == row
        assert tx.cases.by_order_key(T, "key-1") == row


@pytest.mark.threat("T14")
def test_another_tenant_finds_nothing(store: Store) -> None:
    with store.begin() as tx:
        tx.cases.insert(case(order_reference="ServiceRequest/1", patient_label="Ada"))
        tx.submissions.insert(submission())
        digest = tx.objects.put(T, "case-0001", b"x", "text/plain")
        tx.events.append(event(0))
    with store.read() as tx:
        for call in (
            lambda: tx.cases.get(OTHER, "case-0001"),
            lambda: tx.objects.get(OTHER, "case-0001", digest),
            lambda: tx.submissions.get(OTHER, "sub-1"),
        ):
            with pytest.raises(NotFound):
                call()
        assert tx.cases.by_order_key(OTHER, "key-1") is None
        assert tx.cases.by_order_reference(OTHER, "ServiceRequest/1") == ()
        assert tx.cases.list(OTHER, CaseFilter(text="ada")) == ()
        assert tx.cases.count_by_state(OTHER) == {}
        assert tx.events.list(OTHER, "case-0001") == ()
        assert tx.events.last(OTHER, "case-0001") is None
        assert tx.objects.list(OTHER, "case-0001") == ()
        assert tx.submissions.by_claim_identifier(OTHER, "urn:x|claim-1") == ()


def test_same_order_key_conflicts_within_a_tenant_only(store: Store) -> None:
    with store.begin() as tx:
        tx.cases.insert(case())
        tx.cases.insert(case(1, OTHER))
        with pytest.raises(Conflict):
            tx.cases.insert(case(2, order_key="key-1"))
        assert tx.cases.count_by_state(T) == {"received": 1}


def test_update_compares_the_version(store: Store) -> None:
    with store.begin() as tx:
        first = tx.cases.insert(case())
        second = tx.cases.update(T, first.case_id, first.version, state="checking", next_action="Wait.")
        assert second == replace(first, version=2, state="checking", next_action="Wait.", updated_at=NOW)
        with pytest.raises(Conflict):
            tx.cases.update(T, first.case_id, first.version, state="held")
        with pytest.raises(Conflict):
            tx.cases.update(OTHER, first.case_id, 2, state="held")
        assert tx.cases.get(T, first.case_id) == second


def test_one_of_two_writers_wins(store: Store) -> None:
    with store.begin() as tx:
        tx.cases.insert(case())
    outcomes: list[str] = []

    def change() -> None:
        try:
            with store.begin() as tx:
                tx.cases.update(T, "case-0001", 1, state="checking")
            outcomes.append("won")
        except Conflict:
            outcomes.append("lost")

    threads = [threading.Thread(target=change) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["lost"] * 5 + ["won"]


def test_rollback_leaves_nothing(store: Store) -> None:
    def insert_twice() -> None:
        with store.begin() as tx:
            tx.cases.insert(case())
            tx.cases.insert(case())

    with pytest.raises(Conflict):
        insert_twice()
    with store.read() as tx:
        assert tx.cases.find(T, "case-0001") is None


@pytest.mark.parametrize("store", ["postgresql"], indirect=True)
def test_writing_in_a_reading_transaction_fails_on_postgresql(store: Store) -> None:
    with pytest.raises(IntegrityError), store.read() as tx:
        tx.cases.insert(case())


@pytest.mark.threat("T17")
def test_what_the_database_says_goes_nowhere(store: Store, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(IntegrityError) as caught, store.begin() as tx:
        tx.objects.put(T, "Ada Lovelace", b"x", "text/plain")
    written = "".join(capfd.readouterr())
    assert "Lovelace" not in repr(caught.value) + caught.value.diagnostics() + written
    assert caught.value.__suppress_context__
    assert "store.refused" in written


@pytest.mark.parametrize("store", ["postgresql"], indirect=True)
def test_a_lost_connection_is_busy(store: Store) -> None:
    with pytest.raises(Busy), store.begin() as tx:
        tx.connection.execute(sa.text("SELECT pg_terminate_backend(pg_backend_pid())"))
    with store.begin() as tx:
        tx.cases.insert(case())


def test_pages_follow_move_then_deadline(store: Store) -> None:
    moves = ("payer", "us", "us", "clinician", "us", "nobody")
    deadlines = (1, 5, None, 2, 3, 1)
    rows = [
        case(n, move=move, deadline_at=None if days is None else NOW + timedelta(days=days))
        for n, (move, days) in enumerate(zip(moves, deadlines, strict=True))
    ]
    with store.begin() as tx:
        for row in rows:
            tx.cases.insert(row)
        whole = tx.cases.list(T)
        assert [row.case_id[-1] for row in whole] == ["4", "1", "2", "3", "0", "5"]
        paged, after = [], None
        while page := tx.cases.list(T, after=after, limit=2):
            paged += page
            after = cursor_of(page[-1])
        assert tuple(paged) == whole


@pytest.mark.parametrize(
    "chosen, expected",
    [
        (CaseFilter(), {1, 2, 3}),
        (CaseFilter(states=("pended", "denied")), {2, 3}),
        (CaseFilter(payer="alder"), {1}),
        (CaseFilter(owner=""), {2, 3}),
        (CaseFilter(owner="kim"), {1}),
        (CaseFilter(is_expedited=True), {2}),
        (CaseFilter(is_open=False), {3}),
        (CaseFilter(move="payer"), {2}),
        (CaseFilter(text="ada"), {1, 2}),
        (CaseFilter(text="ADA lov"), {1}),
        (CaseFilter(text="auth-77"), {3}),
        (CaseFilter(text="%"), {1, 2, 3}),
        (CaseFilter(text="o'neil"), {3}),
        (CaseFilter(text="zzz"), set()),
        (CaseFilter(deadline_before=NOW + timedelta(days=1)), {2}),
        (CaseFilter(service_before=date(2026, 12, 1)), {3}),
        (CaseFilter(updated_before=NOW), set()),
        (CaseFilter(order_reference="ServiceRequest/9"), {2}),
    ],
)
def test_filters(store: Store, chosen: CaseFilter, expected: set[int]) -> None:
    rows = (
        case(1, payer="alder", owner="kim", patient_label="Ada Lovelace"),
        case(
            2,
            state="pended",
            patient_label="Adam Smith",
            is_expedited=True,
            move="payer",
            deadline_at=NOW,
            order_reference="ServiceRequest/9",
        ),
        case(
            3,
            state="denied",
            patient_label="Bo O'Neil",
            authorization_number="AUTH-77",
            is_open=False,
            service_on=date(2026, 11, 30),
        ),
    )
    with store.begin() as tx:
        for row in rows:
            tx.cases.insert(row)
        assert {int(row.case_id[-4:]) for row in tx.cases.list(T, chosen)} == expected
        assert tx.cases.count(T, chosen) == len(expected)


def test_words_follow_the_row(store: Store) -> None:
    with store.begin() as tx:
        tx.cases.insert(case(patient_label="Ada"))
        tx.cases.update(T, "case-0001", 1, authorization_number="ZX9")
        tx.cases.update(T, "case-0001", 2, patient_label="Bea")
        assert tx.cases.list(T, CaseFilter(text="ada")) == ()
        assert len(tx.cases.list(T, CaseFilter(text="bea zx"))) == 1


def test_due_cases_of_all_tenants_longest_waiting_first(store: Store) -> None:
    with store.begin() as tx:
        assert tx.cases.next_due_at() is None
        tx.cases.insert(case(1, due_at=NOW))
        tx.cases.insert(case(2, OTHER, due_at=NOW - timedelta(hours=1)))
        tx.cases.insert(case(3, due_at=NOW + timedelta(microseconds=1)))
        tx.cases.insert(case(4))
        assert [row.case_id[-1] for row in tx.cases.due(NOW)] == ["2", "1"]
        assert tx.cases.next_due_at() == NOW - timedelta(hours=1)


def test_events_have_no_gap_and_no_double(store: Store) -> None:
    with store.begin() as tx:
        tx.cases.insert(case())
        first = tx.events.append(event(0, note={"payer": "alder", "attempt": 2}))
        for wrong in (0, 2, -1):
            with pytest.raises(Conflict):
                tx.events.append(event(wrong))
        second = tx.events.append(event(1, from_state="received", to_state="checking", jws="a..b"))
        assert tx.events.list(T, "case-0001") == (first, second)
        assert tx.events.list(T, "case-0001", 0) == (second,)
        assert tx.events.last(T, "case-0001") == second


@pytest.mark.threat("T17")
@pytest.mark.parametrize("note", [{"patient": "x"}, {"reason": "x" * 401}, {"reason": 1.5}, {"reason": ["x"]}])
def test_notes_hold_only_what_is_allowed(store: Store, note: dict[str, Any]) -> None:
    with store.begin() as tx:
        tx.cases.insert(case())
        with pytest.raises(InputError):
            tx.events.append(event(0, note=note))


@pytest.mark.threat("T18")
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE events SET actor = 'x'",
        "DELETE FROM events",
        "UPDATE objects SET body = body",
        "DELETE FROM cases",
    ],
)
def test_history_refuses_to_be_changed(store: Store, statement: str) -> None:
    with store.begin() as tx:
        tx.cases.insert(case())
        tx.events.append(event(0))
        tx.objects.put(T, "case-0001", b"x", "text/plain")
    with store.engine.connect() as connection:
        Tx(connection, FixedClock(NOW)).cases.get(T, "case-0001")
        with pytest.raises(DBAPIError):
            connection.execute(sa.text(statement))
    with store.read() as tx:
        assert tx.events.last(T, "case-0001") == event(0)


def test_objects_keep_exact_bytes(store: Store) -> None:
    body = bytes(range(256)) + b'{"a": 87.50}\r\n'
    with store.begin() as tx:
        tx.cases.insert(case())
        tx.cases.insert(case(2))
        digest = tx.objects.put(T, "case-0001", body, "application/fhir+json")
        assert digest == hashlib.sha256(body).hexdigest()
        assert tx.objects.put(T, "case-0001", body, "text/plain") == digest
        assert tx.objects.get(T, "case-0001", digest) == body
        (known,) = tx.objects.list(T, "case-0001")
        assert (known.size_bytes, known.media_type) == (len(body), "application/fhir+json")
        assert tx.objects.describe(T, "case-0001", digest) == known
        with pytest.raises(NotFound):
            tx.objects.get(T, "case-0002", digest)


def test_changed_bytes_are_noticed(store: Store) -> None:
    with store.begin() as tx:
        tx.cases.insert(case())
        digest = tx.objects.put(T, "case-0001", b"x", "text/plain")
        trigger = "DROP TRIGGER objects_no_update"
        tx.connection.execute(sa.text(trigger + (" ON objects" if tx.connection.dialect.name != "sqlite" else "")))
        tx.connection.execute(sa.text("UPDATE objects SET body = :body"), {"body": b"y"})
        with pytest.raises(IntegrityError):
            tx.objects.get(T, "case-0001", digest)


def test_submissions(store: Store) -> None:
    with store.begin() as tx:
        tx.cases.insert(case())
        first = tx.submissions.insert(submission(1))
        second = tx.submissions.insert(submission(2, kind="inquire"))
        with pytest.raises(Conflict):
            tx.submissions.insert(submission(1))
        sent = tx.submissions.update(T, "sub-1", 1, state="sending", attempts=1, first_sent_at=NOW)
        assert sent == replace(first, version=2, state="sending", attempts=1, first_sent_at=NOW)
        with pytest.raises(Conflict):
            tx.submissions.update(T, "sub-1", 1, state="answered")
        assert tx.submissions.open_for_case(T, "case-0001") == (sent, second)
        done = tx.submissions.update(T, "sub-1", 2, state="answered", http_status=200, answered_at=NOW)
        assert tx.submissions.open_for_case(T, "case-0001") == (second,)
        assert tx.submissions.for_case(T, "case-0001") == (done, second)
        assert tx.submissions.by_claim_identifier(T, "urn:x|claim-1") == (done, second)


def notification(number: int, event_number: int = 1, **fields: Any) -> NotificationRow:
    given: dict[str, Any] = {
        "tenant_id": T,
        "notification_id": f"n-{number}",
        "token_sha256": "cd" * 32,
        "event_number": event_number,
        "digest": "ef" * 32,
        "body": b"{}",
        "received_at": NOW + timedelta(seconds=number),
    }
    return NotificationRow(**(given | fields))


def test_notifications_count_once(store: Store) -> None:
    with store.begin() as tx:
        assert tx.notifications.insert(notification(1))
        assert not tx.notifications.insert(notification(2))
        assert tx.notifications.insert(notification(3, 2))
        assert tx.notifications.unprocessed() == (notification(1), notification(3, 2))
        assert tx.notifications.finish(T, "n-1", NOW, case_id="case-0001")
        assert not tx.notifications.finish(T, "n-1", NOW, quarantined="late")
        assert not tx.notifications.finish(OTHER, "n-3", NOW)
        assert tx.notifications.finish(T, "n-3", NOW, quarantined="no open submission")
        assert tx.notifications.unprocessed() == ()
        assert [row.notification_id for row in tx.notifications.quarantined(T)] == ["n-3"]
        assert tx.notifications.for_case(T, "case-0001") == (tx.notifications.get(T, "n-1"),)


def test_subscriptions(store: Store) -> None:
    row = SubscriptionRow(tenant_id=T, subscription_id="s", payer="alder", token_sha256="aa" * 32, created_at=NOW)
    with store.begin() as tx:
        tx.subscriptions.insert(row)
        with pytest.raises(Conflict):
            tx.subscriptions.insert(replace(row, tenant_id=OTHER, subscription_id="other"))
        assert tx.subscriptions.by_token("aa" * 32) == row
        assert tx.subscriptions.by_token("bb" * 32) is None
        changed = tx.subscriptions.update(T, "s", 1, status="active", remote_id="r", last_event_number=2**40)
        assert tx.subscriptions.for_payer(T, "alder") == (changed,)
        assert tx.subscriptions.get(T, "s") == changed
        with pytest.raises(Conflict):
            tx.subscriptions.update(T, "s", 1, status="off")


def test_breakers(store: Store) -> None:
    with store.begin() as tx:
        assert tx.breakers.get(T, "alder") == BreakerRow(tenant_id=T, payer="alder")
        opened = BreakerRow(tenant_id=T, payer="alder", state="open", failures=5, opened_until=NOW)
        tx.breakers.save(opened)
        assert tx.breakers.get(T, "alder", lock=True) == opened
        assert tx.breakers.get(T, "birch", lock=True).state == "closed"
        assert [row.payer for row in tx.breakers.list(T)] == ["alder", "birch"]


@pytest.mark.threat("T39")
def test_idempotency_keys_are_scoped(store: Store) -> None:
    row = IdempotencyRow(
        tenant_id=T, client_id="ehr", route="POST /orders", key="k", body_sha256="aa" * 32, created_at=NOW
    )
    with store.begin() as tx:
        assert tx.idempotency.begin(row) is None
        assert tx.idempotency.begin(row) == row
        tx.idempotency.finish(row, 202, '{"case":"x"}')
        assert tx.idempotency.begin(row) == replace(row, status=202, response='{"case":"x"}')
        with pytest.raises(Conflict):
            tx.idempotency.begin(replace(row, body_sha256="bb" * 32))
        for other in ({"tenant_id": OTHER}, {"client_id": "x"}, {"route": "y"}):
            assert tx.idempotency.begin(replace(row, body_sha256="bb" * 32, **other)) is None
        assert tx.idempotency.purge(NOW) == 0
        assert tx.idempotency.purge(NOW + timedelta(seconds=1)) == 4


def test_sessions_end(store: Store) -> None:
    row = SessionRow(
        session_sha256="aa" * 32,
        tenant_id=T,
        user="kim",
        role="staff",
        created_at=NOW,
        expires_at=NOW + timedelta(hours=1),
    )
    with store.begin() as tx:
        tx.sessions.insert(row)
        assert tx.sessions.find("aa" * 32, NOW) == row
        assert tx.sessions.find("aa" * 32, NOW + timedelta(hours=1)) is None
        tx.sessions.save("aa" * 32, data='{"a":1}', expires_at=NOW + timedelta(hours=2))
        assert tx.sessions.find("aa" * 32, NOW + timedelta(hours=1)) is not None
        assert tx.sessions.purge(NOW + timedelta(hours=2)) == 1
        tx.sessions.delete("aa" * 32)


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_processes_that_start_together_make_the_tables_once(kind: str, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/kept/new.db" if kind == "sqlite" else shared_cluster().new_database()
    program = "import sys; from gateway.store import Store; Store.open(sys.argv[1]).close()"
    started = [subprocess.Popen([sys.executable, "-c", program, url], cwd=ROOT) for _ in range(3)]
    assert [process.wait(60) for process in started] == [0, 0, 0]
    Store.open(url, create=False).close()


def test_many_objects_are_kept_and_found_at_once(store: Store) -> None:
    bodies = [(f"body {number}".encode(), "text/plain") for number in range(1200)]
    with store.begin() as tx:
        tx.cases.insert(case(1))
        tx.cases.insert(case(2))
        tx.objects.put(T, "case-0001", *bodies[0])
        tx.objects.put_all(T, "case-0001", [*bodies, *bodies[:3]])
        tx.objects.put_all(T, "case-0001", [])
        tx.objects.put_all(T, "case-0002", bodies[:1])
    digests = [hashlib.sha256(body).hexdigest() for body, _ in bodies]
    with store.read() as tx:
        assert dict(tx.objects.get_all(T, "case-0001", [*digests, digests[0]])) == dict(
            zip(digests, (body for body, _ in bodies), strict=True)
        )
        assert tx.objects.get_all(T, "case-0001", []) == {}
        for tenant, case_id, wanted in ((T, "case-0002", digests[:2]), (OTHER, "case-0001", digests[:1])):
            with pytest.raises(NotFound):
                tx.objects.get_all(tenant, case_id, wanted)
