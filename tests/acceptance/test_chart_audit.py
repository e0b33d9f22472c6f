"""The worked scenarios of spec/clinical.md §7 through the command line: twelve charts under five rules."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from gateway.demo.charts import all_charts
from gateway.fhir.json import dump_json, parse_json

CASES = tuple(f"P{number:02d}" for number in range(1, 13))
ROWS = ("ill-novitas", "ill-cgs", "ill-ngs", "ill-evicore", "ill-carelon")
COMMAND = "import sys; from gateway.cli import main; sys.exit(main())"
NOTHING_THERE = {"not_documented", "onset_missing"}
"""Reasons that name no resource because there is none."""


@pytest.fixture(scope="module")
def expected(corpora: Path) -> Mapping[str, Any]:
    """What each chart must give under each rule; skips where the public charts are absent."""
    path = corpora / "clinical" / "expected.json"
    if not path.is_file():
        pytest.skip("the clinical charts are absent")
    content: Mapping[str, Any] = json.loads(path.read_text("utf-8"))
    return content


def _audit(folder: Path) -> dict[str, Any]:
    """`chart audit … --all --json` as a process; charts by name."""
    command = [sys.executable, "-c", COMMAND, "chart", "audit", str(folder), "--all", "--json"]
    done = subprocess.run(command, capture_output=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr.decode()
    return {chart["chart"]: chart for chart in json.loads(done.stdout)["charts"]}


@pytest.fixture(scope="module", params=["public", "own"])
def found(request: pytest.FixtureRequest, corpora: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The folder and the audit of it: the public charts, and those the project makes itself."""
    folder = corpora / "clinical"
    if request.param == "own":
        folder = tmp_path_factory.mktemp("own")
        for chart in all_charts():
            (folder / f"{chart.chart_id}.json").write_bytes(dump_json(chart.bundle))
    return folder, _audit(folder)


@pytest.mark.parametrize("row", ROWS)
@pytest.mark.parametrize("case", CASES)
def test_sixty_verdicts(found: Any, expected: Mapping[str, Any], case: str, row: str) -> None:
    _, charts = found
    wanted = expected[case]["rules"][row]
    (rule,) = (item for item in charts[case]["rules"] if item["rule"] == row)
    assert rule["verdict"] == wanted["verdict"]
    assert sorted(rule["unmet"]) == sorted(wanted["unmet"])
    assert sorted(rule["indeterminate"]) == sorted(wanted["indeterminate"])
    assert charts[case]["order_date"] == expected[case]["order_date_local"]


@pytest.mark.parametrize("case", CASES)
def test_each_element_names_its_evidence(found: Any, case: str) -> None:
    folder, charts = found
    entries = parse_json((folder / f"{case}.json").read_bytes())["entry"]
    known = {f"{entry['resource']['resourceType']}/{entry['resource']['id']}" for entry in entries}
    elements = [element for rule in charts[case]["rules"] for element in rule["elements"]]
    assert elements
    for element in elements:
        assert set(element["evidence"]) <= known
        if element["status"] in ("met", "unmet", "indeterminate") and element["reason"] not in NOTHING_THERE:
            assert element["evidence"], (case, element)


def test_a_chart_of_before_the_rule_says_so(found: Any) -> None:
    _, charts = found
    assert {finding["code"] for chart in charts.values() for finding in chart["findings"]} <= {"order.history"}
