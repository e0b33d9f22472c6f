"""Every field case of the listed areas is tested where the list says so, or says why it is not."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.conformance.field_cases import AREAS, LATER, TESTED

ROOT = Path(__file__).resolve().parents[2]


def _cases(corpora: Path) -> set[str]:
    lines = (corpora / "field-cases" / "cases.jsonl").read_text("utf-8").splitlines()
    return {case["id"] for case in map(json.loads, lines) if case["area"] in AREAS}


def test_no_case_is_forgotten(corpora: Path) -> None:
    tested = {case for cases in TESTED.values() for case in cases}
    assert _cases(corpora) - tested - LATER.keys() == set(), "add a test, or say in field_cases.py why there is none"
    assert tested & LATER.keys() == set(), "a tested case is not left for later"
    assert (tested | LATER.keys()) - _cases(corpora) == set(), "the corpus has no such case"


@pytest.mark.parametrize(("path", "cases"), TESTED.items())
def test_the_listed_test_exists(path: str, cases: tuple[str, ...]) -> None:
    found = set(re.findall(r"def test_(b\d+)_", (ROOT / path).read_text("utf-8")))
    assert {case.lower() for case in cases} <= found
