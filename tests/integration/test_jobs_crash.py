"""Killed at any moment, restarted, and every case arrives once.

The test opens cases; worker processes move each through a few states, one job per state, enqueued in the
transaction that made the step. No row is ever due, so the sweep cannot help: the engine alone must lose
nothing. Workers are killed with SIGKILL right after a batch of cases; PA_GATEWAY_CRASHES sets how often.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from gateway.jobs import QueueLimits  # noqa: E402
from gateway.jobs.dbos_adapter import DbosJobs  # noqa: E402
from gateway.store import CaseRow, EventRow, Store, Tx  # noqa: E402

STATES = ("received", "checking", "documenting", "ready", "approved")
CRASHES = int(os.environ.get("PA_GATEWAY_CRASHES", "3"))
BATCH = 20
"""Cases opened before each kill: more work than the time until it allows."""


class Worker:
    """A gateway in small: opens cases, moves them."""

    def __init__(self, url: str) -> None:
        self.store = Store.open(url)
        self.jobs = DbosJobs(self.store.engine, poll_seconds=0.05)
        self.jobs.declare_queue("cases", QueueLimits(concurrency=4))

    def work(self) -> None:
        """Works until killed."""
        self.jobs.start({"advance": self.advance})
        print("at work", flush=True)
        threading.Event().wait()

    def open_cases(self, first: int) -> None:
        """Opens a batch of cases, each with its first job in one transaction."""
        for number in range(first, first + BATCH):
            now = datetime.now(UTC)
            name = f"case-{number:04d}"
            row = CaseRow(tenant_id="t", case_id=name, order_key=name, state=STATES[0], created_at=now, updated_at=now)
            with self.store.begin() as tx:
                tx.cases.insert(row)
                self.record(tx, row, 0)

    def is_finished(self) -> bool:
        """Whether every case rests in the last state."""
        return self.states().keys() <= {STATES[-1]}

    def states(self) -> dict[str, int]:
        """How many cases are in each state."""
        with self.store.read() as tx:
            return tx.cases.count_by_state("t")

    def close(self) -> None:
        """Closes every connection."""
        self.jobs.close()
        self.store.close()

    def advance(self, ids: tuple[str, ...]) -> None:
        """One step of one case; the next step's job commits with it."""
        with self.store.read() as tx:
            case = tx.cases.get(*ids)
        place = STATES.index(case.state) + 1
        if place == len(STATES):
            return
        time.sleep(random.random() * 0.01)
        with self.store.begin() as tx:
            moved = tx.cases.update(case.tenant_id, case.case_id, case.version, state=STATES[place])
            self.record(tx, moved, place, wake=place < len(STATES) - 1)

    def record(self, tx: Tx, case: CaseRow, seq: int, *, wake: bool = True) -> None:
        """The event of the step, its bytes, and the job of the next one."""
        digest = tx.objects.put(case.tenant_id, case.case_id, f"{case.case_id}/{seq}".encode(), "text/plain")
        event = EventRow(
            tenant_id=case.tenant_id,
            case_id=case.case_id,
            seq=seq,
            at=datetime.now(UTC),
            actor="gateway",
            verb="step",
            to_state=case.state,
            object_digest=digest,
        )
        tx.events.append(event)
        if wake:
            key = f"case:{case.case_id}:{case.version}"
            self.jobs.enqueue(tx.connection, "cases", "advance", (case.tenant_id, case.case_id), key)


@contextmanager
def worker_process(url: str) -> Iterator[None]:
    """A worker at work; killed at the end, whatever it does."""
    process = subprocess.Popen([sys.executable, __file__, url], stdout=subprocess.PIPE, cwd=ROOT)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"at work\n"
        yield
        assert process.poll() is None
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=10)


def kill_often(url: str, opener: Worker) -> None:
    """Starts a worker, gives it work and kills it, again and again; then lets one finish."""
    were_unfinished = 0
    for crash in range(CRASHES):
        with worker_process(url):
            opener.open_cases(crash * BATCH)
            time.sleep(random.random() * 0.15)
        were_unfinished += not opener.is_finished()
    with worker_process(url):
        wait_for_the_end(opener)
    assert were_unfinished >= 1


def kill_in_turns(url: str, opener: Worker) -> None:
    """Two workers overlap; the older one is killed at work while the younger lives on, again and again."""
    were_unfinished = 0
    with ExitStack() as older:
        older.enter_context(worker_process(url))
        for crash in range(CRASHES):
            younger = ExitStack()
            younger.enter_context(worker_process(url))
            opener.open_cases(crash * BATCH)
            time.sleep(random.random() * 0.15)
            older.close()
            older.push(younger.pop_all())
            were_unfinished += not opener.is_finished()
        wait_for_the_end(opener)
    assert were_unfinished >= 1


def wait_for_the_end(opener: Worker) -> None:
    """Until every case rests in the last state; fails where nothing has moved for half a minute."""
    seen: dict[str, int] = {}
    until = 0.0
    while not opener.is_finished():
        if (states := opener.states()) != seen:
            seen, until = states, time.monotonic() + 30
        assert time.monotonic() < until, f"stuck at {seen}"
        time.sleep(0.1)


def check_exactly_once(store: Store) -> None:
    """Each case has each step once, in order, with its bytes."""
    names = [f"case-{number:04d}" for number in range(CRASHES * BATCH)]
    with store.read() as tx:
        for name in names:
            events = tx.events.list("t", name)
            assert [event.to_state for event in events] == list(STATES)
            assert tx.cases.get("t", name).version == len(STATES)
            for event in events:
                assert tx.objects.get("t", name, event.object_digest) == f"{name}/{event.seq}".encode()
        counted = tx.connection.execute(sa.text("SELECT count(*) FROM events")).scalar()
    assert counted == len(names) * len(STATES)


@pytest.mark.slow
@pytest.mark.threat("T13")
@pytest.mark.timeout(120 + 30 * CRASHES)
@pytest.mark.parametrize(
    "kind, kill",
    [("sqlite", kill_often), ("postgresql", kill_often), ("postgresql", kill_in_turns)],
    ids=["sqlite", "postgresql-alone", "postgresql-peers"],
)
def test_kills_lose_nothing_and_double_nothing(kind: str, kill: Callable[[str, Worker], None], tmp_path: Path) -> None:
    from tests.postgres import store_url

    url = store_url(kind, tmp_path)
    opener = Worker(url)
    kill(url, opener)
    check_exactly_once(opener.store)
    opener.close()


if __name__ == "__main__":
    Worker(sys.argv[1]).work()
