"""How many charts an audit reads and judges in a second, and whether its verdicts are those of one-by-one evaluation.

    python -m tests.benchmarks.chart_audit [--charts 1000] [--all] [--workers 2]

Charts are generated. Prints, for Bundles and for a bulk export of the same charts: seconds, charts a second, CPU
time of each chart and rule, the report's size, and how many verdicts differ from a plain loop over the evaluator.
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from gateway.clinical.evaluate import evaluate
from gateway.clinical.practice import practice_zone
from gateway.demo.many_charts import save_bundles, save_export
from gateway.fhir.json import parse_json
from gateway.flows.audit_html import HtmlSink
from gateway.flows.audit_output import write_audit
from gateway.flows.audit_plan import AuditPlan, open_plan
from gateway.flows.audit_rows import ChartRow
from gateway.flows.audit_run import open_audit
from gateway.flows.audit_summary import Summary
from gateway.reasoning.record import RecordSnapshot

ZONE = "America/Los_Angeles"
Verdicts = dict[tuple[str, str], tuple[str, tuple[str, ...], tuple[str, ...]]]
"""(order, rule) → verdict, unmet, undecided."""


class Kept:
    """A sink that keeps the verdicts."""

    def __init__(self) -> None:
        self.verdicts: Verdicts = {}

    def add(self, row: ChartRow) -> None:
        """Keep the verdicts of one row."""
        for rule in row.rules:
            found = rule.found
            self.verdicts[(row.order, found.rule_id)] = (found.verdict, found.unmet, found.indeterminate)

    def close(self, summary: Summary) -> None:
        """Nothing comes after the rows."""


@contextmanager
def measured(name: str, charts: int, rules: int) -> Iterator[None]:
    """Print what the block took, children included."""
    before, began = _cpu(), time.perf_counter()
    yield
    seconds, cpu = time.perf_counter() - began, _cpu() - before
    pace, each = charts / seconds, cpu / charts / rules * 1000
    print(f"{name:<22} {seconds:7.1f} s  {pace:7.0f} charts/s  {each:6.2f} ms CPU per chart and rule", flush=True)


def _cpu() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(item.ru_utime + item.ru_stime for item in used)


def one_by_one(folder: Path, plan: AuditPlan) -> Verdicts:
    """The evaluator over each file and rule, in a plain loop."""
    found: Verdicts = {}
    services = {code for rule in plan.rules for code in rule.procedure.cpt}
    for path in sorted(folder.iterdir()):
        record = RecordSnapshot.from_bundle(parse_json(path.read_bytes()))
        zone = practice_zone(record, ZONE)
        orders = [item for item in record.of_type("ServiceRequest") if _code(item) in services]
        for order in orders:
            for rule in plan.rules:
                wanted = rule.rule_id in plan.rule_ids if plan.rule_ids else _code(order) in rule.procedure.cpt
                result = evaluate(record, order, rule, plan.concepts, zone, plan.now, audit=True) if wanted else None
                if result and result.order_on and rule.holds_on(result.order_on):
                    key = (f"ServiceRequest/{order['id']}", rule.rule_id)
                    found[key] = (result.verdict, result.unmet, result.indeterminate)
    return found


def _code(order: dict[str, object]) -> str:
    coded: list[dict[str, str]] = order["code"]["coding"]  # type: ignore[index]
    return coded[0]["code"]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--charts", type=int, default=1000)
    parser.add_argument("--all", action="store_true", help="every rule instead of one")
    parser.add_argument("--workers", type=int, default=0)
    chosen = parser.parse_args()
    plan = open_plan([], zone=ZONE, now=datetime(2026, 11, 25, tzinfo=UTC), rule_ids=["ill-cgs"])
    rules = 1
    if chosen.all:
        plan = replace(plan, rule_ids=(), is_all=True)
    print(f"{chosen.charts} charts, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory() as place:
        bundles, export, report = Path(place, "bundles"), Path(place, "export"), Path(place, "report.html")
        save_bundles(bundles, chosen.charts)
        save_export(export, chosen.charts)
        rules = len({rule for _, rule in one_by_one(bundles, plan)}) if chosen.all else 1
        with measured("one by one", chosen.charts, rules):
            wanted = one_by_one(bundles, plan)
        for name, folder in (("audit of Bundles", bundles), ("audit of an export", export)):
            kept = Kept()
            with report.open("wb") as out, measured(name, chosen.charts, rules):
                write_audit(open_audit([folder], plan, workers=chosen.workers), [kept, HtmlSink(out, plan)])
            differing = {key for key in {*wanted, *kept.verdicts} if wanted.get(key) != kept.verdicts.get(key)}
            print(
                f"{'':<22} {len(kept.verdicts)} verdicts, {len(differing)} differ; report {report.stat().st_size} bytes"
            )


if __name__ == "__main__":
    main()
