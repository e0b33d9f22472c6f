"""The demonstration, judged: states, numbers, evidence, ledger, and what was exchanged."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

import provenance
from gateway.demo.script import Demo, read_person, run_once
from gateway.settings import Settings
from tests.referee import judge, require_referee, save_messages

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
OPEN_QUESTIONS = {"HEAD_MISSING", "PROOF_MISSING", "REVOCATION_UNKNOWN"}
KINDS = {
    "approved",
    "pended-approved",
    "pended-information",
    "denied",
    "modified",
    "no-authorization",
    "week-three-held",
    "red-flag",
    "payer-down",
    "payer-slow",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """A demonstration that has been played."""

    report: dict[str, Any]
    wrong: list[str]
    folder: Path
    shown: dict[str, dict[str, Any]]
    """`GET /cases/{id}` by scenario, taken before the gateway ended."""
    written: dict[str, list[dict[str, Any]]]
    """What the EHR holds of each approved case, by resource type."""


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    folder = tmp_path_factory.mktemp("demo")
    kept: dict[str, Any] = {}

    def look(demo: Demo) -> None:
        kept["folder"] = demo.house.folder
        kept["shown"] = {chart.scenario: demo._show(case_id) for case_id, chart in demo.charts.items()}
        kept["written"] = _in_the_ehr(demo)

    settings = Settings.model_validate({"demo": {"directory": folder}})
    report, wrong = run_once(settings, lambda line: None, look)
    return Played(report=report, wrong=wrong, **kept)


def _in_the_ehr(demo: Demo) -> dict[str, list[dict[str, Any]]]:
    token = (demo.house.folder / "ehr-token").read_text("utf-8")
    found: dict[str, list[dict[str, Any]]] = {"ClaimResponse": [], "Task": [], "orders": []}
    with httpx.Client(headers={"Authorization": f"Bearer {token}"}, timeout=10) as ehr:
        for case_id, chart in demo.charts.items():
            found["orders"].append(ehr.get(f"{demo.house.ehr_url}/{chart.order_reference}").json())
            for kind in ("ClaimResponse", "Task"):
                query = {"identifier": f"urn:ietf:rfc:3986|urn:uuid:{case_id}"}
                entries = ehr.get(f"{demo.house.ehr_url}/{kind}", params=query).json().get("entry", [])
                found[kind] += [entry["resource"] for entry in entries]
    return found


def test_every_kind_of_scenario_rests_in_its_state(played: Played) -> None:
    states = {case["scenario"]: case["state"] for case in played.report["cases"]}
    assert set(states) == KINDS
    assert states == read_person().expected
    assert played.wrong == []


def test_evidence_has_no_failing_code_and_reads_indeterminate(played: Played) -> None:
    for case in played.report["cases"]:
        assert case["verification"]["verdict"] == "INDETERMINATE", case["scenario"]
        assert set(case["verification"]["codes"]) <= OPEN_QUESTIONS, case["scenario"]


def test_evidence_verifies_offline_from_its_file(played: Played) -> None:
    anchors = Path(played.report["anchors"]).read_bytes()
    for case in played.report["cases"]:
        report = provenance.verify_package(Path(case["evidence"]), anchors)
        assert set(map(str, report.codes)) <= OPEN_QUESTIONS
        with zipfile.ZipFile(case["evidence"]) as package:
            assert package.testzip() is None


def test_the_payers_saw_each_claim_once(played: Played) -> None:
    ledger = played.report["payer_ledger"]
    assert ledger["duplicates"] == 0
    assert ledger["submissions"] == ledger["distinct_claims"] == 8


def test_the_week_three_order_is_held_with_a_line_per_missing_element(played: Played) -> None:
    shown = played.shown["week-three-held"]
    assert shown["state"] == "held"
    assert shown["clinical"]["verdict"] == "GAP"
    assert len(shown["clinical"]["lines"]) >= 6
    assert len(set(shown["clinical"]["lines"])) == len(shown["clinical"]["lines"])
    assert shown["submissions"] == []


@pytest.mark.requirement("pas:use-4")
def test_an_approval_stands_on_the_case_and_in_the_ehr(played: Played) -> None:
    shown = played.shown["approved"]
    number = shown["authorization_number"]
    assert number.startswith("AUTH")
    assert any(number in str(response) for response in played.written["ClaimResponse"])
    assert any(number in str(task) for task in played.written["Task"])


@pytest.mark.requirement("crd:resp-48")
def test_every_order_carries_the_payers_coverage_information(played: Played) -> None:
    for order in played.written["orders"]:
        assert any("coverage-information" in item["url"] for item in order.get("extension", ()))


def test_a_denial_keeps_the_payers_reasons(played: Played) -> None:
    denied = next(case for case in played.report["cases"] if case["scenario"] == "denied")
    assert denied["denial_reasons"]


@pytest.mark.requirement("pas:spec-35")
def test_the_slow_payers_request_was_sent_again_and_counted_once(played: Played) -> None:
    (sent,) = played.shown["payer-slow"]["submissions"]
    assert sent["attempts"] >= 1
    assert sent["state"] == "answered"


@pytest.mark.requirement("pas:spec-1")
def test_what_was_exchanged_passes_the_hl7_validator(played: Played, tmp_path: Path) -> None:
    command = require_referee()
    files = save_messages(played.folder / "payer-ledger.jsonl", tmp_path)
    judged, errors = judge(command, files)
    assert judged == len(files) >= 25
    assert errors == []
