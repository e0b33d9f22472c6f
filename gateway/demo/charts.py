"""Synthetic charts: the worked cases of spec/clinical.md §7 and the demo's scenarios.

Every chart is a FHIR R4 `collection` Bundle of one invented patient, closed in itself and tagged as
test data. The same recipe gives the same bytes each time.

    python -m gateway.demo.charts OUT_DIR      writes P01.json … P12.json, approved.json …
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from gateway.demo.charts_care import add_notes, add_order, add_problem, add_visits
from gateway.demo.charts_distractors import add_distractors
from gateway.demo.charts_findings import add_attestation_record, add_findings
from gateway.demo.charts_people import add_people
from gateway.demo.charts_recipe import Recipe, case_ids, case_recipe, scenario_names, scenario_recipe
from gateway.demo.charts_sheet import Sheet
from gateway.demo.charts_treatment import add_treatment
from gateway.fhir import Json
from gateway.fhir.json import dump_json


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoChart:
    """A chart and the references a caller needs to start from it."""

    scenario: str
    """Name of the demo scenario, or the case id for a worked case."""
    chart_id: str
    """Worked case it is made from, P01 to P12."""
    bundle: Json
    order_reference: str
    """`ServiceRequest/id` of the imaging order."""
    patient_reference: str
    coverage_reference: str
    """The active coverage, not the former one."""


def all_charts() -> tuple[DemoChart, ...]:
    """The worked cases P01 to P12, all with the default payer."""
    return tuple(_demo_chart(case_id, case_id, case_recipe(case_id)) for case_id in case_ids())


def demo_charts() -> tuple[DemoChart, ...]:
    """One chart for each demo scenario, in the order the demo tells them."""
    return tuple(_demo_chart(name, scenario_recipe(name).case_id, scenario_recipe(name)) for name in scenario_names())


def build_chart(recipe: Recipe) -> Json:
    """The Bundle of one recipe. Decimals are exact; ids depend on the recipe alone."""
    return _written(recipe).bundle()


def _demo_chart(scenario: str, case_id: str, recipe: Recipe) -> DemoChart:
    sheet = _written(recipe)
    return DemoChart(
        scenario=scenario,
        chart_id=case_id,
        bundle=sheet.bundle(),
        order_reference=sheet.ref("order")["reference"],
        patient_reference=sheet.ref("patient")["reference"],
        coverage_reference=sheet.ref("coverage")["reference"],
    )


def _written(recipe: Recipe) -> Sheet:
    sheet = Sheet(recipe)
    add_people(sheet)
    add_problem(sheet)
    add_visits(sheet)
    add_treatment(sheet)
    add_findings(sheet)
    add_notes(sheet)
    add_order(sheet)
    add_attestation_record(sheet)
    add_distractors(sheet)
    return sheet


def save_charts(folder: Path) -> list[Path]:
    """Write every chart as `<name>.json` into `folder`, which is made when absent; returns the files."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for chart in (*all_charts(), *demo_charts()):
        path = folder / f"{chart.scenario}.json"
        path.write_bytes(dump_json(chart.bundle) + b"\n")
        written.append(path)
    return written


def main(arguments: list[str]) -> int:
    """Command line: one folder. Exit 0 done, 2 usage."""
    if len(arguments) != 1 or arguments[0].startswith("-"):
        sys.stderr.write("usage: python -m gateway.demo.charts OUT_DIR\n")
        return 2
    for path in save_charts(Path(arguments[0])):
        sys.stdout.write(f"{path}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
