"""What the durable jobs cost: restart with many waiting cases, idle, and under load.

    python -m tests.benchmarks.jobs_engine [--cases 100000] [--postgresql] [--jobs 1000] [--threads 4]

Design: 100,000 open cases restart within 1 s and idle at no more than 5 % of a core (design.md §8).
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import sqlalchemy as sa

from gateway.jobs import QueueLimits, Sweep
from gateway.jobs.dbos_adapter import DbosJobs
from gateway.store import CaseRow, EventRow, Store
from gateway.store.tables import cases
from gateway.store.worklist import derived
from tests.postgres import store_url

TENANT = "north"


def fill(store: Store, count: int) -> None:
    """`count` held cases that are due in weeks."""
    now = datetime.now(UTC)
    for start in range(0, count, 10_000):
        rows = []
        for number in range(start, min(start + 10_000, count)):
            row = CaseRow(
                tenant_id=TENANT,
                case_id=f"held-{number}",
                order_key=f"held-{number}",
                state="held",
                created_at=now,
                updated_at=now,
                due_at=now + timedelta(days=1 + number % 30),
            )
            rows.append({name: getattr(row, name) for name in row.__dataclass_fields__} | derived(row))
        with store.begin() as tx:
            tx.cases.due(now, 1)
            tx.connection.execute(sa.insert(cases), rows)


class Load:
    """Jobs that each write what a step of a case writes."""

    def __init__(self, store: Store, total: int) -> None:
        self._store = store
        self._left = total
        self._lock = threading.Lock()
        self.done = threading.Event()

    def handle(self, ids: tuple[str, ...]) -> None:
        """One step: read the case, then change it with an event and five objects."""
        with self._store.read() as tx:
            case = tx.cases.get(*ids)
        with self._store.begin() as tx:
            tx.cases.update(case.tenant_id, case.case_id, case.version, state="checking", due_at=None)
            for number in range(5):
                body = f"{case.case_id}/{number}".encode() * 200
                digest = tx.objects.put(case.tenant_id, case.case_id, body, "text/plain")
            tx.events.append(
                EventRow(
                    tenant_id=case.tenant_id,
                    case_id=case.case_id,
                    seq=0,
                    at=datetime.now(UTC),
                    actor="gateway",
                    verb="step",
                    object_digest=digest,
                )
            )
        with self._lock:
            self._left -= 1
            if self._left == 0:
                self.done.set()


def add(store: Store, jobs: DbosJobs, number: int) -> None:
    """One case and its job."""
    now = datetime.now(UTC)
    name = f"new-{number}"
    row = CaseRow(tenant_id=TENANT, case_id=name, order_key=name, state="received", created_at=now, updated_at=now)
    with store.begin() as tx:
        tx.cases.insert(row)
        jobs.enqueue(tx.connection, "cases", "step", (TENANT, name), name)


def main() -> None:
    """Fills a store, starts, idles, works; prints what each took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=4)
    parser.add_argument("--postgresql", action="store_true")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        url = store_url("postgresql" if chosen.postgresql else "sqlite", Path(folder))
        store = Store.open(url)
        fill(store, chosen.cases)
        store.close()

        began = time.perf_counter()
        store = Store.open(url)
        jobs = DbosJobs(store.engine)
        jobs.declare_queue("cases", QueueLimits(concurrency=chosen.threads))
        load = Load(store, chosen.jobs)
        jobs.start({"step": load.handle})
        sweep = Sweep(store, jobs)
        sweep.run(datetime.now(UTC))
        print(f"restart with {chosen.cases} waiting cases: {time.perf_counter() - began:.2f} s")

        time.sleep(2)
        cpu, began = time.process_time(), time.perf_counter()
        for _ in range(4):
            time.sleep(5)
            sweep.run(datetime.now(UTC))
        spent = time.perf_counter() - began
        print(f"idle: {100 * (time.process_time() - cpu) / spent:.1f} % of a core")

        cpu, began = time.process_time(), time.perf_counter()
        for number in range(chosen.jobs):
            add(store, jobs, number)
        load.done.wait(600)
        spent, used = time.perf_counter() - began, time.process_time() - cpu
        print(f"load: {chosen.jobs / spent:.0f} cases a second, {1000 * used / chosen.jobs:.1f} ms of a core each")
        jobs.close()
        store.close()


if __name__ == "__main__":
    main()
