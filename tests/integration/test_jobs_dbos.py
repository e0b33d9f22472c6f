"""The durable engine on SQLite and on PostgreSQL: one transaction, one job per key, nothing leaks."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import structlog

from gateway.errors import InputError, SettingsError
from gateway.jobs.dbos_adapter import DbosJobs
from gateway.jobs.liveness import lock_number
from gateway.jobs.port import QueueLimits
from gateway.store import Store
from tests.postgres import store_url

CANARY = "Ada Lovelace 1815-12-10"


def eventually(holds: Callable[[], bool], seconds: float = 20.0) -> None:
    """Waits until `holds`; fails the test where it never does."""
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until, "it never came true"
        time.sleep(0.01)


class Site:
    """A store with its durable jobs and a handler that counts."""

    def __init__(self, url: str) -> None:
        self.store = Store.open(url)
        self.jobs = DbosJobs(self.store.engine, poll_seconds=0.05)
        self.jobs.declare_queue("q", QueueLimits(concurrency=4))
        self.ran: list[tuple[str, ...]] = []
        self.go_on = threading.Event()
        self.go_on.set()

    def handlers(self) -> dict[str, Callable[[tuple[str, ...]], None]]:
        return {"go": self.ran.append, "fail": self._fail, "wait": self._wait}

    def start(self) -> None:
        self.jobs.start(self.handlers())

    def enqueue(self, *ids: str, name: str = "go", key: str = "", queue: str = "q", partition: str = "") -> bool:
        with self.store.begin() as tx:
            return self.jobs.enqueue(tx.connection, queue, name, ids, key or ids[0], partition=partition)

    def rows(self) -> list[dict[str, Any]]:
        """The engine's status rows with their inputs."""
        schema = "" if self.store.engine.dialect.name == "sqlite" else "dbos."
        with self.store.read() as tx:
            found = tx.connection.execute(sa.text(f"SELECT * FROM {schema}workflow_status ORDER BY created_at"))
            return [dict(row) for row in found.mappings()]

    def table_text(self, *tables: str) -> str:
        """Everything in the engine's tables, as one text."""
        schema = "" if self.store.engine.dialect.name == "sqlite" else "dbos."
        with self.store.read() as tx:
            return repr([tx.connection.execute(sa.text(f"SELECT * FROM {schema}{name}")).all() for name in tables])

    def close(self) -> None:
        self.go_on.set()
        self.jobs.close()
        self.store.close()

    def _fail(self, ids: tuple[str, ...]) -> None:
        self.ran.append(ids)
        raise ValueError(CANARY)

    def _wait(self, ids: tuple[str, ...]) -> None:
        self.ran.append(ids)
        self.go_on.wait(20)


ENGINE_TABLES = ("workflow_status", "workflow_input", "workflow_output", "operation_outputs")


@pytest.fixture(params=["sqlite", "postgresql"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    opened = Site(store_url(request.param, tmp_path))
    yield opened
    opened.close()


def test_a_job_commits_or_vanishes_with_the_rows(site: Site) -> None:
    site.enqueue("kept")
    with pytest.raises(ZeroDivisionError), site.store.begin() as tx:
        raise ZeroDivisionError(site.jobs.enqueue(tx.connection, "q", "go", ("lost",), "lost"))
    assert [row["deduplication_id"] for row in site.rows()] == ["kept"]
    assert "lost" not in site.table_text(*ENGINE_TABLES)
    site.start()
    eventually(lambda: site.ran == [("kept",)])
    time.sleep(0.2)
    assert site.ran == [("kept",)]


def test_nothing_is_seen_before_the_commit(site: Site) -> None:
    site.start()
    with site.store.begin() as tx:
        site.jobs.enqueue(tx.connection, "q", "go", ("1",), "a")
        time.sleep(0.4)
        assert site.ran == []
    eventually(lambda: site.ran == [("1",)])


def test_one_job_per_key_while_it_lives(site: Site) -> None:
    assert site.enqueue("1", key="a")
    assert not site.enqueue("2", key="a")
    with site.store.begin() as tx:
        assert site.jobs.enqueue(tx.connection, "q", "go", ("3",), "b")
        assert not site.jobs.enqueue(tx.connection, "q", "go", ("4",), "a")
        assert site.jobs.enqueue(tx.connection, "q", "go", ("5",), "c")
    site.start()
    eventually(lambda: sorted(site.ran) == [("1",), ("3",), ("5",)])
    eventually(lambda: site.jobs.health().running == 0)
    assert site.enqueue("6", key="a")
    eventually(lambda: ("6",) in site.ran)


def test_a_key_is_taken_while_its_job_runs(site: Site) -> None:
    site.go_on.clear()
    site.enqueue("1", name="wait", key="a")
    site.start()
    eventually(lambda: site.ran == [("1",)])
    assert not site.enqueue("2", key="a")
    site.go_on.set()
    eventually(lambda: site.jobs.health().running == 0)
    assert site.enqueue("2", key="a")


def test_many_threads_one_key(site: Site) -> None:
    added: list[bool] = []
    threads = [threading.Thread(target=lambda: added.append(site.enqueue("1", key="same"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(added) == [False] * 7 + [True]


def test_later_means_later(site: Site) -> None:
    at = datetime.now(UTC) + timedelta(seconds=1)
    with site.store.begin() as tx:
        assert site.jobs.enqueue_at(tx.connection, "q", "go", ("1",), "a", at)
        assert not site.jobs.enqueue_at(tx.connection, "q", "go", ("2",), "a", at)
        assert site.jobs.enqueue_at(tx.connection, "q", "go", ("past",), "b", at - timedelta(days=1))
        assert site.jobs.enqueue_at(tx.connection, "q", "go", ("hour",), "c", at + timedelta(hours=1))
    site.start()
    eventually(lambda: ("1",) in site.ran)
    assert datetime.now(UTC) >= at
    eventually(lambda: ("past",) in site.ran)
    assert sorted(site.ran) == [("1",), ("past",)]
    assert site.jobs.health().delayed == 1


def test_cancel_takes_waiting_jobs_only(site: Site) -> None:
    site.go_on.clear()
    site.enqueue("1", name="wait", key="running")
    site.start()
    eventually(lambda: site.ran == [("1",)])
    with site.store.begin() as tx:
        site.jobs.enqueue_at(tx.connection, "q", "go", ("2",), "later", datetime.now(UTC) + timedelta(hours=1))
    assert not site.jobs.cancel("running")
    assert site.jobs.cancel("later")
    assert not site.jobs.cancel("later")
    site.go_on.set()
    eventually(lambda: site.jobs.health().running == 0)
    assert [row["status"] for row in site.rows()] == ["SUCCESS", "CANCELLED"]


def test_cancel_inside_a_transaction_goes_with_it(site: Site) -> None:
    site.enqueue("1")
    with pytest.raises(ZeroDivisionError), site.store.begin() as tx:
        raise ZeroDivisionError(site.jobs.cancel("1", tx.connection))
    assert site.jobs.health().waiting == 1
    with site.store.begin() as tx:
        assert site.jobs.cancel("1", tx.connection)
    assert site.jobs.health().waiting == 0


@pytest.mark.threat("T17")
@pytest.mark.threat("T36")
def test_a_failure_leaves_its_class_and_nothing_else(site: Site, capfd: pytest.CaptureFixture[str]) -> None:
    with structlog.testing.capture_logs() as logs:
        site.enqueue("1", name="fail")
        site.start()
        eventually(lambda: site.jobs.health().failed == 1)
        time.sleep(0.1)
    written = site.table_text(*ENGINE_TABLES) + repr(logs) + "".join(capfd.readouterr())
    assert "ValueError" in written
    assert CANARY not in written
    assert {entry["event"] for entry in logs} <= {"job.failed", "jobs.engine"}
    assert site.enqueue("1", name="go"), "the key of a failed job is free again"


@pytest.mark.threat("T36")
def test_rows_hold_ids_and_no_pickle(site: Site) -> None:
    site.enqueue("north", "case-1", key="k")
    assert '{"ids":["north","case-1"]}' in site.table_text("workflow_input")
    (row,) = site.rows()
    assert row["serialization"] == "gateway_ids"
    with pytest.raises(InputError), site.store.begin() as tx:
        site.jobs.enqueue(tx.connection, "q", "go", (CANARY,), "k2")


def test_version_of_the_code_strands_nothing(site: Site) -> None:
    site.enqueue("1")
    assert site.rows()[0]["application_version"] == "1"


def test_engine_prints_nothing_to_the_console(site: Site, capfd: pytest.CaptureFixture[str]) -> None:
    site.start()
    site.enqueue("1")
    eventually(lambda: site.ran == [("1",)])
    site.jobs.stop()
    logging.getLogger("dbos").error("%s", CANARY)
    out, err = capfd.readouterr()
    assert CANARY not in out + err
    assert "DBOS" not in out + err


def test_finished_jobs_go_away(site: Site) -> None:
    site.start()
    site.enqueue("1")
    site.enqueue("2", name="fail")
    eventually(lambda: len(site.ran) == 2 and site.jobs.health().running == 0)
    with site.store.begin() as tx:
        site.jobs.enqueue_at(tx.connection, "q", "go", ("3",), "c", datetime.now(UTC) + timedelta(hours=1))
    assert site.jobs.clean() == 0
    assert site.jobs.clean(timedelta(seconds=-1)) == 2
    assert [row["deduplication_id"] for row in site.rows()] == ["c"]
    assert site.table_text("workflow_output", "operation_outputs") == "[[], []]"


def test_no_more_at_once_than_declared(site: Site) -> None:
    site.go_on.clear()
    for number in range(12):
        site.enqueue(str(number), name="wait")
    site.start()
    eventually(lambda: len(site.ran) == 4)
    time.sleep(0.3)
    assert len(site.ran) == 4
    assert site.jobs.health().waiting == 8
    threads = [thread for thread in threading.enumerate() if thread.name.startswith("dbos-executor")]
    assert len(threads) <= 6
    site.go_on.set()
    eventually(lambda: len(site.ran) == 12)


def test_partitions_have_limits_of_their_own_and_keys_still_count(site: Site) -> None:
    site.jobs.declare_queue("payers", QueueLimits(concurrency=4, partition_concurrency=1))
    site.go_on.clear()
    for payer in ("alder", "birch"):
        for number in range(3):
            assert site.enqueue(f"{payer}-{number}", name="wait", queue="payers", partition=payer)
    assert not site.enqueue("alder-0", name="wait", queue="payers", partition="alder")
    site.start()
    eventually(lambda: len(site.ran) == 2)
    time.sleep(0.3)
    assert {ids[0].split("-")[0] for ids in site.ran} == {"alder", "birch"}
    assert len(site.ran) == 2
    site.go_on.set()
    eventually(lambda: len(site.ran) == 6)


def test_a_rate_is_kept(site: Site) -> None:
    site.jobs.declare_queue("slow", QueueLimits(concurrency=4, per_second=2))
    for number in range(7):
        site.enqueue(str(number), queue="slow")
    began = time.monotonic()
    site.start()
    eventually(lambda: len(site.ran) == 7)
    assert time.monotonic() - began >= 1.5, "three seconds; the engine counts by the instant it looked, so some less"


def test_a_lost_job_of_our_own_comes_back(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.jobs.takeover.ORPHANED_AFTER", timedelta(0))
    with site.store.begin() as tx:
        site.jobs.enqueue(tx.connection, "q", "unknown", ("1",), "a")
    site.start()
    eventually(lambda: site.rows()[0]["recovery_attempts"] >= 2)
    with site.store.read():
        assert site.rows()[0]["status"] in ("ENQUEUED", "PENDING", "MAX_RECOVERY_ATTEMPTS_EXCEEDED")


def test_stop_waits_for_running_jobs(site: Site) -> None:
    site.go_on.clear()
    site.enqueue("1", name="wait")
    site.start()
    eventually(lambda: site.ran == [("1",)])
    threading.Timer(0.3, site.go_on.set).start()
    site.jobs.stop()
    assert site.rows()[0]["status"] == "SUCCESS"
    assert not site.jobs.health().is_running


def test_what_stop_leaves_runs_after_the_next_start(site: Site) -> None:
    site.go_on.clear()
    site.enqueue("1", name="wait")
    site.start()
    eventually(lambda: site.ran == [("1",)])
    site.jobs.stop(timeout_seconds=0.1)
    site.go_on.set()
    site.start()
    eventually(lambda: site.ran == [("1",), ("1",)])
    eventually(lambda: site.rows()[0]["status"] == "SUCCESS")


def test_starting_twice_is_refused(site: Site) -> None:
    site.start()
    with pytest.raises(SettingsError):
        site.start()


def test_one_process_per_sqlite_file(tmp_path: Path) -> None:
    site = Site(store_url("sqlite", tmp_path))
    site.start()
    other = DbosJobs(site.store.engine)
    with pytest.raises(SettingsError, match="Another process"):
        other.start({})
    other.close()
    lock = next((tmp_path / "kept").glob("*.lock"))
    assert lock.stat().st_mode & 0o777 == 0o600
    site.close()


@pytest.fixture
def peer(tmp_path: Path) -> Iterator[Site]:
    opened = Site(store_url("postgresql", tmp_path))
    yield opened
    opened.close()


def plant_running_job(site: Site, executor: str) -> None:
    """A job that looks as if `executor` had taken it."""
    site.enqueue(f"of-{executor}")
    with site.store.begin() as tx:
        taken = sa.text(
            "UPDATE dbos.workflow_status SET status = 'PENDING', executor_id = :name WHERE status = 'ENQUEUED'"
        )
        tx.connection.execute(taken, {"name": executor})


def test_jobs_of_the_dead_are_taken_over_and_those_of_the_living_are_not(peer: Site) -> None:
    with peer.store.engine.connect() as living:
        living.execute(sa.text("SELECT pg_advisory_lock(:number)"), {"number": lock_number("living")})
        plant_running_job(peer, "living")
        plant_running_job(peer, "dead")
        peer.start()
        eventually(lambda: peer.ran == [("of-dead",)])
        time.sleep(1.2)
        assert peer.ran == [("of-dead",)]
        living.invalidate()
    eventually(lambda: sorted(peer.ran) == [("of-dead",), ("of-living",)])


def test_a_lost_session_is_taken_again(peer: Site) -> None:
    peer.start()
    held = sa.text("SELECT pid FROM pg_stat_activity WHERE application_name = 'pa-gateway-liveness'")
    with peer.store.engine.connect() as connection:
        (before,) = connection.execute(held).scalars().all()
        connection.execute(sa.text("SELECT pg_terminate_backend(:pid)"), {"pid": before})
        connection.commit()

        def is_back() -> bool:
            found = connection.execute(held).scalars().all()
            connection.commit()
            return len(found) == 1 and found[0] != before

        eventually(is_back)
    peer.enqueue("1")
    eventually(lambda: peer.ran == [("1",)])


def test_two_processes_have_two_names(peer: Site) -> None:
    other = DbosJobs(peer.store.engine)
    assert other._liveness.executor != peer.jobs._liveness.executor
    other.close()
