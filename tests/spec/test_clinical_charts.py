"""The worked scenarios of spec/clinical.md §7: every chart under every seed row, read from the public corpus."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from gateway.clinical.evaluate import Evaluation, evaluate
from gateway.clinical.rules import load_concepts, load_rules
from gateway.fhir.json import parse_json
from gateway.reasoning.record import RecordSnapshot

CHARTS = [f"P{number:02d}" for number in range(1, 13)]
ROWS = ["ill-novitas", "ill-cgs", "ill-ngs", "ill-evicore", "ill-carelon"]
NOW = datetime(2026, 11, 25, tzinfo=UTC)
ZONE = "America/Los_Angeles"


@cache
def _record(folder: Path, chart: str) -> RecordSnapshot:
    return RecordSnapshot.from_bundle(parse_json((folder / f"{chart}.json").read_bytes()))


@cache
def _expected(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "expected.json").read_text("utf-8"))
    return content


def _evaluate(folder: Path, chart: str, row: str) -> Evaluation:
    record, concepts = _record(folder, chart), load_concepts()
    rule = next(rule for rule in load_rules() if rule.rule_id == row)
    overlay = _expected(folder)[chart].get("rule_overrides", {}).get(row)
    procedures = {code for region in concepts.region for code in region.procedures}
    order = next(
        request
        for request in record.of_type("ServiceRequest")
        if any(coding["code"] in procedures for coding in request["code"]["coding"])
    )
    return evaluate(record, order, rule.overlaid(overlay) if overlay else rule, concepts, ZONE, NOW)


@pytest.fixture
def folder(corpora: Path) -> Path:
    """The charts; skips where they are absent."""
    charts = corpora / "clinical"
    if not (charts / "expected.json").is_file():
        pytest.skip("the clinical charts are absent")
    return charts


@pytest.mark.parametrize("row", ROWS)
@pytest.mark.parametrize("chart", CHARTS)
def test_verdict(folder: Path, chart: str, row: str) -> None:
    found, wanted = _evaluate(folder, chart, row), _expected(folder)[chart]["rules"][row]
    assert found.verdict == wanted["verdict"]
    assert sorted(found.unmet) == sorted(wanted["unmet"])
    assert sorted(found.indeterminate) == sorted(wanted["indeterminate"])


@pytest.mark.parametrize("chart", CHARTS)
def test_order_date(folder: Path, chart: str) -> None:
    found = _evaluate(folder, chart, ROWS[0])
    assert found.order_on is not None
    assert found.order_on.isoformat() == _expected(folder)[chart]["order_date_local"]


@pytest.mark.parametrize(
    ("chart", "verdict"),
    [("P01", "PASS"), ("P02", "GAP"), ("P06", "PASS"), ("P09", "RED_FLAG_BYPASS"), ("P10", "RED_FLAG_INCOMPLETE")],
)
def test_default_row(folder: Path, chart: str, verdict: str) -> None:
    assert _evaluate(folder, chart, "default-strict").verdict == verdict


@pytest.mark.parametrize(
    ("chart", "row", "day"),
    [
        ("P03", "ill-novitas", "2026-02-16"),
        ("P07", "ill-novitas", "2026-02-17"),
        ("P02", "default-strict", "2026-03-09"),
        ("P11", "ill-evicore", "2026-02-23"),
        ("P04", "ill-cgs", None),
        ("P05", "ill-cgs", None),
        ("P09", "ill-cgs", None),
    ],
)
def test_day_on_which_time_alone_may_help(folder: Path, chart: str, row: str, day: str | None) -> None:
    resume_on = _evaluate(folder, chart, row).resume_on
    assert (resume_on.isoformat() if resume_on else None) == day


@pytest.mark.parametrize("chart", CHARTS)
def test_evidence_is_in_the_chart_and_lines_name_nobody(folder: Path, chart: str) -> None:
    record = _record(folder, chart)
    people = {name for patient in record.of_type("Patient") for name in [patient["name"][0]["family"], patient["id"]]}
    for row in [*ROWS, "default-strict"]:
        for element in _evaluate(folder, chart, row).elements:
            assert element.line
            assert not any(name in element.line for name in people)
            assert all(record.find(reference) is not None for reference in element.evidence)
