"""What a job may hold, how one fails, and the port in memory."""

from __future__ import annotations

import json
import pickle
import threading
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog

from gateway.clock import FixedClock
from gateway.errors import Conflict, InputError, IntegrityError
from gateway.jobs import MemoryJobs
from gateway.jobs.pace import Pace
from gateway.jobs.port import require_job
from gateway.jobs.run import JobFailed, run_handler
from gateway.jobs.serializer import IdsOnly
from gateway.store import Store
from tests.postgres import store_url

NOW = datetime(2026, 11, 25, 9, tzinfo=UTC)
CANARY = "Ada Lovelace 1815-12-10"


@pytest.mark.threat("T36")
@pytest.mark.parametrize(
    "ids",
    [
        ("",),
        ("a b",),
        ("x" * 129,),
        ("ü",),
        ('{"a":1}',),
        ("-x",),
        ("a\n",),
        tuple("abcdefghi"),
        (1,),
        (None,),
        (b"x",),
    ],
)
def test_only_short_ids_become_a_job(ids: Any) -> None:
    with pytest.raises(InputError):
        require_job("advance", ids, "key", "")
    with pytest.raises(InputError):
        IdsOnly().serialize({"args": ids, "kwargs": {}})


@pytest.mark.parametrize("ids", [(), ("a",), ("north", "7f1c-0a", "urn:x|1".replace("|", ":")), tuple("abcdefgh")])
def test_ids_survive_the_serializer(ids: tuple[str, ...]) -> None:
    written = IdsOnly().serialize({"args": ids, "kwargs": {}})
    assert json.loads(written) == {"ids": list(ids)}
    assert IdsOnly().deserialize(written) == {"args": ids, "kwargs": {}}


@pytest.mark.threat("T36")
@pytest.mark.parametrize("value", ["text", 1, {"args": ("a",), "kwargs": {"b": 1}}, {"a": 1}, ["a"], object()])
def test_serializer_refuses_everything_else(value: Any) -> None:
    with pytest.raises(InputError):
        IdsOnly().serialize(value)


@pytest.mark.parametrize(
    "stored", [b64encode(pickle.dumps({"args": ("a",), "kwargs": {}})).decode(), '"a"', "[]", '{"args":["a"]}', "", "{"]
)
def test_serializer_reads_nothing_else(stored: str) -> None:
    with pytest.raises(IntegrityError):
        IdsOnly().deserialize(stored)


@pytest.mark.parametrize("ids", [["a b"], [1], [["a"]], ["x" * 200]])
def test_planted_ids_are_refused(ids: list[Any]) -> None:
    with pytest.raises(InputError):
        IdsOnly().deserialize(json.dumps({"ids": ids}))


@pytest.mark.threat("T17")
def test_a_failure_keeps_its_class_alone() -> None:
    def fails(_: tuple[str, ...]) -> None:
        raise ValueError(CANARY)

    with structlog.testing.capture_logs() as logs, pytest.raises(JobFailed) as caught:
        run_handler("advance", fails, ("a",))
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    assert IdsOnly().serialize(caught.value) == '{"failed": "ValueError"}'
    assert IdsOnly().serialize(ValueError(CANARY)) == '{"failed": "ValueError"}'
    assert CANARY not in repr(logs)
    assert logs[0]["error"] == "ValueError"


def test_our_own_errors_fail_with_their_word() -> None:
    def fails(_: tuple[str, ...]) -> None:
        raise Conflict(CANARY, code="conflict.version")

    with pytest.raises(JobFailed, match=r"^Conflict:conflict\.version$"):
        run_handler("advance", fails, ("a",))


def test_pace_is_short_after_work() -> None:
    pace = Pace(0.2)
    assert pace.seconds() == 0.2
    pace.touch()
    assert pace.seconds() == 0.02
    assert Pace(0.01).seconds() == 0.01


class Worker:
    """Collects what ran."""

    def __init__(self, clock: FixedClock) -> None:
        self.ran: list[tuple[str, ...]] = []
        self.jobs = MemoryJobs(clock)
        self.jobs.start({"go": self.ran.append, "fail": self._fail}, threads=0)

    def _fail(self, ids: tuple[str, ...]) -> None:
        raise KeyError(ids)


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(NOW)


@pytest.fixture
def worker(clock: FixedClock) -> Worker:
    return Worker(clock)


def test_memory_runs_in_order_and_once_per_key(worker: Worker) -> None:
    assert worker.jobs.enqueue(None, "q", "go", ("1",), "a")
    assert not worker.jobs.enqueue(None, "q", "go", ("2",), "a")
    assert worker.jobs.enqueue(None, "q", "go", ("3",), "b")
    assert worker.jobs.enqueue(None, "other", "go", ("4",), "a")
    assert worker.jobs.run_until_idle() == 3
    assert worker.ran == [("1",), ("3",), ("4",)]
    assert worker.jobs.enqueue(None, "q", "go", ("5",), "a")


def test_memory_waits_for_the_time(worker: Worker, clock: FixedClock) -> None:
    worker.jobs.enqueue_at(None, "q", "go", ("1",), "a", NOW + timedelta(seconds=5))
    assert worker.jobs.run_until_idle() == 0
    assert worker.jobs.health().delayed == 1
    clock.instant += timedelta(seconds=5)
    assert worker.jobs.health().waiting == 1
    assert worker.jobs.run_until_idle() == 1


def test_memory_cancels(worker: Worker) -> None:
    worker.jobs.enqueue(None, "q", "go", ("1",), "a")
    assert worker.jobs.cancel("a")
    assert not worker.jobs.cancel("a")
    assert worker.jobs.run_until_idle() == 0


def test_memory_keeps_failures(worker: Worker) -> None:
    worker.jobs.enqueue(None, "q", "fail", ("1",), "a")
    assert worker.jobs.run_until_idle() == 1
    assert worker.jobs.failed == [("fail", ("1",), "KeyError")]


def test_memory_follows_the_transaction(worker: Worker, tmp_path: Path) -> None:
    store = Store.open(store_url("sqlite", tmp_path))
    with store.begin() as tx:
        worker.jobs.enqueue(tx.connection, "q", "go", ("kept",), "a")
        assert worker.jobs.run_until_idle() == 0
    with pytest.raises(ZeroDivisionError), store.begin() as tx:
        raise ZeroDivisionError(worker.jobs.enqueue(tx.connection, "q", "go", ("lost",), "b"))
    assert worker.jobs.run_until_idle() == 1
    assert worker.ran == [("kept",)]
    store.close()


def test_memory_thread_runs_jobs() -> None:
    done = threading.Event()
    jobs = MemoryJobs()
    jobs.start({"go": lambda ids: done.set()})
    jobs.enqueue(None, "q", "go", ("1",), "a")
    assert done.wait(5)
    jobs.stop()
    assert jobs.waiting() == ()


def test_endless_jobs_are_noticed(clock: FixedClock) -> None:
    jobs = MemoryJobs(clock)
    count = iter(range(1000))
    jobs.start({"again": lambda ids: again()}, threads=0)

    def again() -> None:
        jobs.enqueue(None, "q", "again", ("1",), f"k{next(count)}")

    again()
    with pytest.raises(RuntimeError, match="keep adding"):
        jobs.run_until_idle(limit=20)
