"""An answer that says *duplicate* and nothing else is no denial."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.policy.duplicate import says_duplicate
from gateway.profiles.pas_2_2_1 import read_pas_answer

WORDS = {"code": {"coding": [{"code": "33"}], "text": "Possible Duplicate request"}}
CODE = {"code": {"coding": [{"code": "D9", "display": "Already on file"}]}}
OTHER = {"code": {"coding": [{"code": "15"}], "text": "Required application data missing"}}
ACTIONS = "https://codesystem.x12.org/005010/306"
REVIEW = "http://hl7.org/fhir/us/davinci-pas/StructureDefinition/extension-reviewAction"


def _bundle(errors: list[dict[str, Any]], action: str = "") -> dict[str, Any]:
    claim: dict[str, Any] = {"resourceType": "ClaimResponse", "outcome": "error" if errors else "complete"}
    if errors:
        claim["error"] = errors
    if action:
        code = {
            "url": f"{REVIEW}Code",
            "valueCodeableConcept": {"coding": [{"system": "https://codesystem.x12.org/005010/306", "code": action}]},
        }
        review = {"extension": [{"url": REVIEW, "extension": [code]}], "category": {"text": "submitted"}}
        claim["item"] = [{"itemSequence": 1, "adjudication": [review]}]
    return {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": claim}]}


@pytest.mark.parametrize(
    "errors, action, codes, expected",
    [
        ([WORDS], "", (), True),
        ([CODE], "", ("D9",), True),
        ([CODE], "", (), False),
        ([WORDS, CODE], "", ("D9",), True),
        ([WORDS, OTHER], "", (), False),
        ([OTHER], "", (), False),
        ([WORDS], "A3", (), False),
        ([], "", ("D9",), False),
    ],
)
def test_says_duplicate(errors: list[dict[str, Any]], action: str, codes: tuple[str, ...], expected: bool) -> None:
    assert says_duplicate(read_pas_answer(_bundle(errors, action)), codes) is expected
