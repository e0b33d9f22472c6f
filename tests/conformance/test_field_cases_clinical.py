"""Field cases about decisions and about reading a chart, run from the public corpus."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.cases.states import CaseState
from gateway.policy.roll_up import decide_roll_up
from gateway.profiles.pas_2_2_1 import read_pas_answer


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
