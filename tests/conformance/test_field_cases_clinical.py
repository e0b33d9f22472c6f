"""Field cases about decisions and about reading a chart, run from the public corpus."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.cases.states import CaseState
from gateway.clinical.evaluate import evaluate
from gateway.clinical.rules import load_concepts
from gateway.clinical.scores import score_items
from gateway.policy.roll_up import decide_roll_up
from gateway.profiles.pas_2_2_1 import read_pas_answer
from gateway.reasoning.record import RecordSnapshot
from tests.clinical_charts import ICD, NOW, RULES, ZONE, concept, element, judge, ndi, order, put


def _case(corpora: Path, case_id: str) -> dict[str, Any]:
    for line in (corpora / "field-cases" / "cases.jsonl").read_text("utf-8").splitlines():
        case: dict[str, Any] = json.loads(line)
        if case["id"] == case_id:
            return case
    pytest.skip(f"field case {case_id} is absent")


def _decide(response: dict[str, Any]) -> Any:
    bundle = {
        "resourceType": "Bundle",
        "type": "collection",
        "entry": [{"fullUrl": "urn:uuid:0", "resource": response}],
    }
    return decide_roll_up(read_pas_answer(bundle))


@pytest.mark.parametrize(
    ("variant", "state", "number"),
    [
        ("base", CaseState.PENDED, ""),
        ("denied", CaseState.DENIED, ""),
        ("approved", CaseState.APPROVED, "AUTH0001"),
        ("misleading", CaseState.DENIED, ""),
    ],
)
def test_b85_the_review_action_decides(corpora: Path, variant: str, state: CaseState, number: str) -> None:
    given = _case(corpora, "B85")["input"]
    decision = _decide(given["claimresponse"] if variant == "base" else given["variants"][variant])
    assert (decision.state, decision.authorization_number) == (state, number)
    if variant == "misleading":
        assert any("disposition" in finding for finding in decision.findings)


@pytest.mark.parametrize(
    ("variant", "state"),
    [
        ("base", CaseState.NEEDS_ATTENTION),
        ("p1", CaseState.NEEDS_ATTENTION),
        ("no_code", CaseState.NEEDS_ATTENTION),
        ("valueset_url_as_system", CaseState.DENIED),
        ("lower", CaseState.NEEDS_ATTENTION),
    ],
)
def test_b87_unknown_codes_go_to_a_person(corpora: Path, variant: str, state: CaseState) -> None:
    given = _case(corpora, "B87")["input"]
    decision = _decide(given["claimresponse"] if variant == "base" else given["variants"][variant])
    assert decision.state is state
    if variant == "no_code":
        assert [number.number for number in decision.authorization_numbers] == ["X"]
        assert decision.authorization_number == ""


@pytest.mark.parametrize("order_of_resources", [1, -1])
def test_b109_evidence_of_one_criterion_stays_with_it(corpora: Path, order_of_resources: int) -> None:
    _case(corpora, "B109")
    found = judge(lambda chart: _reverse(chart) if order_of_resources < 0 else None)
    again = judge()
    for name, kind in (("PHARM", "MedicationRequest/"), ("PT_SESSIONS", "Procedure/"), ("OUTCOME", "Questionnaire")):
        evidence = element(found, name).evidence
        assert evidence
        assert all(reference.startswith(kind) for reference in evidence)
        assert sorted(evidence) == sorted(element(again, name).evidence)


def _reverse(chart: dict[str, Any]) -> None:
    items = list(chart.items())[::-1]
    chart.clear()
    chart.update(items)


def test_b117_a_deleted_problem_gives_no_onset(corpora: Path) -> None:
    case = _case(corpora, "B117")
    request = order(authoredOn=case["input"]["order_date"], reasonReference=[], reasonCode=[concept("M54.2", ICD)])
    record = RecordSnapshot([*case["input"]["conditions"], request])
    found = element(evaluate(record, request, RULES["ill-novitas"], load_concepts(), ZONE, NOW), "DURATION")
    assert (found.value, found.status) == (case["expected"]["days"], case["expected"]["duration_42"])
    assert found.evidence == ("Condition/b",)


def test_b119_a_code_alone_never_bypasses_and_the_conflict_is_shown(corpora: Path) -> None:
    case = _case(corpora, "B119")
    found = judge(put(*case["input"]["conditions"]))
    assert found.red_flag == "none"
    assert any(note.startswith("TEXT_CONFLICT") for note in found.advisories)
    named = judge(put(*case["input"]["conditions"], order(reasonReference=[{"reference": "Condition/x"}])))
    assert named.verdict == "RED_FLAG_INCOMPLETE"


def test_b121_a_score_of_zero_is_a_score(corpora: Path) -> None:
    case = _case(corpora, "B121")
    measure = load_concepts().measure_named("NDI")
    assert measure is not None
    series = case["input"]["responses"]
    assert [score_items(entry["items"], measure) for entry in series] == case["expected"]["percent"]
    scores = [ndi(entry["date"], sum(entry["items"])) for entry in series]
    change = put(*scores, order(authoredOn="2026-03-15"))
    found = element(
        judge(lambda chart: [chart.pop(key) for key in list(chart) if key.startswith("ndi")] and change(chart)),
        "OUTCOME",
    )
    assert found.reason == "OUTCOME_MINIMAL"
