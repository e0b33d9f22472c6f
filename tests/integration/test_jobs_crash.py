"""Killed at any moment, restarted, and every case arrives once.

A worker process opens cases and moves each through a few states, one job per state, enqueued in the
transaction that made the step. No row is ever due, so the sweep cannot help: the engine alone must lose
nothing. The test kills the worker with SIGKILL again and again; PA_GATEWAY_CRASHES sets how often.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from gateway.errors import Conflict  # noqa: E402
from gateway.jobs import QueueLimits  # noqa: E402
from gateway.jobs.dbos_adapter import DbosJobs  # noqa: E402
from gateway.store import CaseRow, EventRow, Store, Tx  # noqa: E402

STATES = ("received", "checking", "documenting", "ready", "approved")
CRASHES = int(os.environ.get("PA_GATEWAY_CRASHES", "3"))
CASES = min(20 * CRASHES, 300)
OPENING_SECONDS = 0.03
"""Pause after each new case, so that there is work at every kill."""


class Worker:
    """One process of a gateway in small: opens cases, moves them, sweeps."""

    def __init__(self, url: str) -> None:
        self.store = Store.open(url)
        self.jobs = DbosJobs(self.store.engine, poll_seconds=0.05)
        self.jobs.declare_queue("cases", QueueLimits(concurrency=4))

    def work(self) -> None:
        """Works until killed."""
        self.jobs.start({"advance": self.advance})
        print("at work", flush=True)
        for number in range(CASES):
            time.sleep(OPENING_SECONDS if self.open_case(number) else 0)
        threading.Event().wait()

    def open_case(self, number: int) -> bool:
        """Opens a case and its first job in one transaction; False where the order already has one."""
        now = datetime.now(UTC)
        name = f"case-{number:03d}"
        row = CaseRow(tenant_id="t", case_id=name, order_key=name, state=STATES[0], created_at=now, updated_at=now)
        try:
            with self.store.begin() as tx:
                tx.cases.insert(row)
                self.record(tx, row, 0)
        except Conflict:
            return False
        return True

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


def kill_often(url: str, seed: int) -> None:
    """Starts a worker and kills it within half a second, again and again, in the middle of its work."""
    chance, were_unfinished = random.Random(seed), 0
    for _ in range(CRASHES):
        with worker_process(url):
            time.sleep(chance.random() * 0.5)
        were_unfinished += not is_finished(url)
    assert were_unfinished >= CRASHES - 1


def kill_in_turns(url: str, seed: int) -> None:
    """Two workers overlap; the older one is killed while the younger lives on, again and again."""
    chance, were_unfinished = random.Random(seed), 0
    with ExitStack() as older:
        older.enter_context(worker_process(url))
        for _ in range(CRASHES):
            younger = ExitStack()
            younger.enter_context(worker_process(url))
            time.sleep(chance.random() * 0.2)
            older.close()
            older.push(younger.pop_all())
            were_unfinished += not is_finished(url)
        wait_for_the_end(url)
    assert were_unfinished >= 1


def read_states(url: str) -> dict[str, int]:
    """How many cases are in each state."""
    store = Store.open(url)
    with store.read() as tx:
        states = tx.cases.count_by_state("t")
    store.close()
    return states


def is_finished(url: str) -> bool:
    """Whether every case rests in the last state."""
    return read_states(url) == {STATES[-1]: CASES}


def wait_for_the_end(url: str) -> None:
    """Until every case rests in the last state; fails where nothing has moved for half a minute."""
    seen: dict[str, int] = {}
    until = 0.0
    while (states := read_states(url)) != {STATES[-1]: CASES}:
        if states != seen:
            seen, until = states, time.monotonic() + 30
        assert time.monotonic() < until, f"stuck at {states}"
        time.sleep(0.1)


def check_exactly_once(url: str) -> None:
    """Each case has each step once, in order, with its bytes, and no job is left."""
    store = Store.open(url)
    with store.read() as tx:
        for number in range(CASES):
            events = tx.events.list("t", f"case-{number:03d}")
            assert [event.to_state for event in events] == list(STATES)
            assert tx.cases.get("t", f"case-{number:03d}").version == len(STATES)
            for event in events:
                body = tx.objects.get("t", event.case_id, event.object_digest)
                assert body == f"{event.case_id}/{event.seq}".encode()
        assert tx.connection.execute(sa.text("SELECT count(*) FROM events")).scalar() == CASES * len(STATES)
    store.close()


@pytest.mark.slow
@pytest.mark.threat("T13")
@pytest.mark.timeout(120 + 30 * CRASHES)
def test_sqlite_survives_kills(tmp_path: Path) -> None:
    from tests.postgres import store_url

    url = store_url("sqlite", tmp_path)
    kill_often(url, seed=7)
    with worker_process(url):
        wait_for_the_end(url)
    check_exactly_once(url)


@pytest.mark.slow
@pytest.mark.threat("T13")
@pytest.mark.timeout(120 + 30 * CRASHES)
def test_peers_on_postgresql_take_over(tmp_path: Path) -> None:
    from tests.postgres import store_url

    url = store_url("postgresql", tmp_path)
    kill_in_turns(url, seed=11)
    check_exactly_once(url)


@pytest.mark.slow
@pytest.mark.threat("T13")
@pytest.mark.timeout(120 + 30 * CRASHES)
def test_postgresql_alone_survives_kills(tmp_path: Path) -> None:
    from tests.postgres import store_url

    url = store_url("postgresql", tmp_path)
    kill_often(url, seed=13)
    with worker_process(url):
        wait_for_the_end(url)
    check_exactly_once(url)


if __name__ == "__main__":
    Worker(sys.argv[1]).work()
