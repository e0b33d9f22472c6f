"""How long a worklist page takes at a million cases.

    python -m tests.benchmarks.store_worklist [--cases 1000000] [--sqlite]

Prints one line per view: median, 95th percentile and slowest, in milliseconds. Design: a page in at most
50 ms at the 95th percentile on PostgreSQL (design.md §8).
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta

import sqlalchemy as sa

from gateway.store import CaseFilter, Store
from gateway.store.worklist import cursor_of
from tests.postgres import start_cluster

TENANT = "north"
NOW = datetime(2026, 11, 25, 9, tzinfo=UTC)
NAMES = ("Ada", "Bo", "Chi", "Dov", "Eli", "Fay", "Gus", "Hal", "Ida", "Jo")


@contextmanager
def open_store(sqlite: bool) -> Iterator[Store]:
    """An empty store that goes away afterwards."""
    if sqlite:
        with tempfile.TemporaryDirectory() as folder:
            store = Store.open(f"sqlite:///{folder}/gateway.db")
            yield store
            store.close()
        return
    with start_cluster() as cluster:
        store = Store.open(cluster.new_database())
        yield store
        store.close()


def fill(store: Store, count: int) -> None:
    """`count` cases, one in ten open, and their words."""
    from gateway.store.rows import CaseRow
    from gateway.store.tables import case_words, cases
    from gateway.store.worklist import derived, words_of

    open_states = ("documenting", "ready", "pended", "held", "needs_attention")
    moves = ("us", "us", "payer", "clinician", "us")
    for start in range(0, count, 5000):
        rows, words = [], []
        for number in range(start, min(start + 5000, count)):
            is_open = number % 10 == 0
            place = (number // 10) % 5
            label = f"{NAMES[number // 7 % 10]} Family{number % 9973}"
            row = CaseRow(
                tenant_id=TENANT,
                case_id=f"{number:08d}-case",
                order_key=f"key-{number}",
                state=open_states[place] if is_open else ("approved", "not_required", "denied")[number % 3],
                move=moves[place] if is_open else "nobody",
                created_at=NOW,
                updated_at=NOW - timedelta(minutes=number % 100_000),
                deadline_at=NOW + timedelta(minutes=number % 20_000) if number % 4 else None,
                due_at=NOW + timedelta(minutes=number % 60_000) if is_open else None,
                payer=("alder", "birch", "cedar")[number % 3],
                owner=f"user{number % 40}" if number % 2 else "",
                patient_label=label,
                patient_mrn=f"MRN{number:07d}",
                patient_reference=f"Patient/{number % 300_000}",
                order_reference=f"ServiceRequest/{number}",
                service_code="72141",
                service_display="MRI cervical spine",
                service_on=date(2026, 12, 1) + timedelta(days=number % 60),
                is_open=is_open,
            )
            rows.append({name: getattr(row, name) for name in row.__dataclass_fields__} | derived(row))
            words += [
                {"tenant_id": TENANT, "case_id": row.case_id, "word": word}
                for word in words_of((label, row.patient_mrn, row.order_reference, "72141 MRI cervical spine"))
            ]
        with store.begin() as tx:
            tx.cases.find(TENANT, "names the tenant to the database")
            tx.connection.execute(sa.insert(cases), rows)
            tx.connection.execute(sa.insert(case_words), words)
    with store.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("ANALYZE" if connection.dialect.name == "sqlite" else "VACUUM ANALYZE")


def views(store: Store) -> dict[str, Callable[[], object]]:
    """The worklist's views, each as a call."""

    def page(chosen: CaseFilter, pages: int = 1) -> Callable[[], object]:
        def call() -> object:
            after = None
            with store.read() as tx:
                for _ in range(pages):
                    rows = tx.cases.list(TENANT, chosen, after=after, limit=50)
                    after = cursor_of(rows[-1]) if rows else None
            return len(rows)

        return call

    def count(chosen: CaseFilter) -> Callable[[], object]:
        def call() -> object:
            with store.read() as tx:
                return tx.cases.count(TENANT, chosen)

        return call

    def by_state() -> object:
        with store.read() as tx:
            return tx.cases.count_by_state(TENANT)

    def due() -> object:
        with store.read() as tx:
            return len(tx.cases.due(NOW + timedelta(minutes=1)))

    return {
        "open, first page": page(CaseFilter(is_open=True)),
        "open, tenth page": page(CaseFilter(is_open=True), pages=10),
        "all, first page": page(CaseFilter()),
        "one state": page(CaseFilter(states=("needs_attention",))),
        "three states": page(CaseFilter(states=("ready", "documenting", "held"))),
        "open of one payer": page(CaseFilter(is_open=True, payer="birch")),
        "open of one owner": page(CaseFilter(is_open=True, owner="user7")),
        "open, expedited (none)": page(CaseFilter(is_open=True, is_expedited=True)),
        "open, not touched for long": page(CaseFilter(is_open=True, updated_before=NOW - timedelta(days=65))),
        "open, service passed": page(CaseFilter(is_open=True, service_before=date(2026, 12, 2))),
        "search one name": page(CaseFilter(text="Ada")),
        "search name and family": page(CaseFilter(text="ada family77")),
        "search MRN": page(CaseFilter(text="MRN0123450")),
        "search a word all have": page(CaseFilter(text="mri")),
        "search nothing matches": page(CaseFilter(text="zzz")),
        "count open": count(CaseFilter(is_open=True)),
        "count breach in a day": count(CaseFilter(is_open=True, deadline_before=NOW + timedelta(days=1))),
        "count by state": by_state,
        "due": due,
    }


def measure(call: Callable[[], object], times: int = 40) -> tuple[float, float, float, object]:
    """Median, 95th percentile and slowest in milliseconds, and what the call gave."""
    call()
    spent = []
    for _ in range(times):
        began = time.perf_counter()
        found = call()
        spent.append((time.perf_counter() - began) * 1000)
    spent.sort()
    return spent[times // 2], spent[int(times * 0.95)], spent[-1], found


def main() -> None:
    """Fills a store and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=1_000_000)
    parser.add_argument("--sqlite", action="store_true")
    chosen = parser.parse_args()
    with open_store(chosen.sqlite) as store:
        began = time.perf_counter()
        fill(store, chosen.cases)
        print(f"{chosen.cases} cases on {store.engine.dialect.name}, filled in {time.perf_counter() - began:.0f} s")
        print(f"{'view':32} {'median':>8} {'p95':>8} {'slowest':>8}  found")
        for name, call in views(store).items():
            median, p95, slowest, found = measure(call)
            print(f"{name:32} {median:8.1f} {p95:8.1f} {slowest:8.1f}  {found}", flush=True)


if __name__ == "__main__":
    main()
