"""How long a hook takes on our own account, and how that compares with judging the rule alone.

    python -m tests.benchmarks.cds_services [HOOKS]

The week-three chart comes fully prefetched, over SQLite, with a payer that answers at once in the same process.
*Own* is from the request to the answer without the time spent waiting for EHR and payer; *whole* includes the payer,
its simulation and the recording of its answer, all on this machine; *processor* is the time that all of these
together used, which a busy machine does not change. Nothing asserts a time.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa
import structlog

from gateway.clinical.evaluate import evaluate
from gateway.demo.charts import all_charts
from gateway.fhir.json import dump_json
from gateway.flows.intercept_chart import HookChart
from gateway.reasoning.record import RecordSnapshot
from tests import cds_caller
from tests.flows_house import BASE, EHR_URL, House, open_house

CHART = next(chart for chart in all_charts() if chart.chart_id == "P02")
GOAL = 0.5
"""Seconds of own time that 95 of 100 hooks should stay below (design.md §8)."""


def main(hooks: int) -> None:
    """Print the table."""
    structlog.configure(processors=[lambda *_: (_ for _ in ()).throw(structlog.DropEvent())])
    folder = Path(tempfile.mkdtemp(prefix="pa-bench-cds-"))
    with open_house(folder, [CHART.bundle]) as house:
        rule = _judge(house, hooks)
        print(f"{'':28} {'p50 ms':>8} {'p95 ms':>8} {'x rule':>7}")
        print(f"{'rule alone':28} {_at(rule, 50):8.1f} {_at(rule, 95):8.1f} {1:7.1f}")
        for service in ("order-select", "order-sign"):
            own, whole, used = _run(house, service, hooks)
            rows = ((f"{service}, own", own), (f"{service}, whole", whole), (f"{service}, processor", used))
            for words, times in rows:
                print(f"{words:28} {_at(times, 50):8.1f} {_at(times, 95):8.1f} {_at(times, 50) / _at(rule, 50):7.1f}")
        print(f"{hooks} hooks each; goal: own p95 below {GOAL * 1000:.0f} ms")


def _judge(house: House, count: int) -> list[float]:
    """Processor seconds of each evaluation of the rule over a fresh record."""
    row = next(rule for rule in house.services.rules if rule.rule_id == "default-strict")
    order, resources, times = cds_caller.order_of(CHART), tuple(cds_caller.resources(CHART)), []
    for _ in range(count):
        record: RecordSnapshot = HookChart(resources=resources, unseen=(), base=EHR_URL).record
        begun = time.process_time()
        evaluate(record, order, row, house.services.concepts, "America/Los_Angeles", house.clock.now())
        times.append(time.process_time() - begun)
    return times[1:]


def _run(house: House, service: str, count: int) -> tuple[list[float], list[float], list[float]]:
    """Own, whole and processor seconds of each hook; every one is about another draft."""
    own, whole, used = [], [], []
    for number in range(count + 1):
        body = _body(service, number)
        with house.services.store.begin() as tx:
            tx.connection.execute(sa.text("DELETE FROM hook_panels"))
        address = f"{BASE}/cds-services/{service}"
        headers = {"Authorization": f"Bearer {cds_caller.token(address, house.clock.now())}"}
        headers["Content-Type"] = "application/json"
        with structlog.testing.capture_logs() as logs:
            begun, used_before = time.perf_counter(), time.process_time()
            answer = house.call("POST", f"/cds-services/{service}", by="", content=body, headers=headers)
            whole.append(time.perf_counter() - begun)
            used.append(time.process_time() - used_before)
        assert len(answer.json()["cards"]) == 1, answer.text
        own.append(next(entry["seconds"] for entry in logs if entry["event"] == "hook-answered"))
    return own[1:], whole[1:], used[1:]


def _body(service: str, number: int) -> bytes:
    draft: Any = cds_caller.unsaved(CHART, f"draft-{service}-{number}", encounter={"reference": f"Encounter/e{number}"})
    body = cds_caller.hook(CHART, service, draft, server=EHR_URL)
    return dump_json({**body, "prefetch": cds_caller.prefetch(CHART, body)})


def _at(times: Sequence[float], percent: int) -> float:
    """The percentile in milliseconds."""
    ordered = sorted(times)
    return ordered[min(len(ordered) - 1, len(ordered) * percent // 100)] * 1000


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 60)
