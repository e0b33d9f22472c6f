"""Sentences of the criteria say one thing in the singular and several in the plural."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.clinical.criteria_lines import line_of
from gateway.clinical.rules import load_concepts, load_rules
from gateway.flows.decided import _words

RULE = next(rule for rule in load_rules() if rule.rule_id == "ill-cgs")


@pytest.mark.parametrize(
    ("element", "reason", "value", "threshold", "line"),
    [
        ("DURATION", "too_short", 41, 42, "Day 41 of 42; 1 more is asked."),
        ("DURATION", "too_short", 40, 42, "Day 40 of 42; 2 more are asked."),
        ("PHARM", "too_short", 1, 14, "Medication covers 1 day before the order; 14 are asked."),
        ("PHARM", "too_short", 2, 14, "Medication covers 2 days before the order; 14 are asked."),
        ("PHARM", "not_documented", 0, 1, "No structured medication order counts; 1 covered day is asked."),
        ("PHARM", "second_agent", 1, 2, "1 agent was tried; 2 are asked, because the first one was stopped."),
        ("PT_SESSIONS", "documented", 1, 1, "1 therapy session was attended; 1 is asked."),
        ("PT_SESSIONS", "documented", 6, 6, "6 therapy sessions were attended; 6 are asked."),
        ("PT_SESSIONS", "not_documented", 0, 1, "No therapy session is on file; 1 is asked."),
    ],
)
def test_a_sentence_agrees_with_its_number(element: str, reason: str, value: int, threshold: int, line: str) -> None:
    found: dict[str, Any] = {"reason": reason, "value": value, "threshold": threshold}
    assert line_of(element, found, RULE, load_concepts()) == line


@pytest.mark.parametrize(
    ("value", "unit", "said"), [(1, "units", "1 unit"), (2, "units", "2 units"), (1, "mL", "1 mL")]
)
def test_what_is_granted_is_counted_in_words(value: int, unit: str, said: str) -> None:
    assert _words({"text": "MRI"}, {"value": value, "unit": unit}) == f"MRI, {said}"
