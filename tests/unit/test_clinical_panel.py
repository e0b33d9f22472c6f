"""The panel at order time."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from gateway.clinical.panel import build_panel, panel_key
from gateway.clinical.rules import load_concepts
from tests.clinical_charts import RULES, both, condition, drop, judge, put, session

TODAY = date(2026, 2, 16)
CONCEPTS = load_concepts()


def test_a_gap_is_told_with_numbers_and_its_rule() -> None:
    found = judge(drop("drug", "plan", "ndi", "s2026-02", "s2026-01-28"))
    panel = build_panel(found, RULES["ill-novitas"], TODAY, CONCEPTS.drug_rules.first_line)
    assert panel is not None
    assert panel.title == "Prior authorization risk: conservative-care gap"
    assert panel.summary == (
        "M54.2 primary | day 42 of 42 (week 6 of 6) | PT 5 of 6 sessions | no structured NSAID order found"
        " | no NDI score documented | activity advice not documented"
    )
    assert panel.rule == (
        "Rule: Novitas JH, JL ill-novitas v0.1.0 (illustrative, not a payer policy), effective 2026-01-01"
    )
    assert [choice.code for choice in panel.choices] == ["red-flag", "timer", "upgrade"]
    assert "other" in {choice.code for choice in panel.overrides}


def test_going_on_is_always_possible_and_a_pass_shows_nothing() -> None:
    assert build_panel(judge(), RULES["ill-novitas"], TODAY) is None
    panel = build_panel(judge(drop("drug"), "default-strict"), RULES["default-strict"], TODAY)
    assert panel is not None
    assert panel.overrides


@pytest.mark.parametrize(
    ("change", "rule", "words"),
    [
        (drop("drug", "s2026", "plan", "ndi", "referral"), "ill-novitas", "day 42 of 42 (week 6 of 6)"),
        (
            drop("drug", "s2026", "plan", "ndi", "referral"),
            "default-strict",
            "day 42 of 42 (week 6 of 6) since symptom onset, no treatment start documented",
        ),
        (
            both(drop("drug", "s2026", "plan", "ndi", "referral"), put(condition(onsetDateTime=None))),
            "default-strict",
            "start of care unknown, 42 days asked",
        ),
        (drop("drug"), "default-strict", "day 42 of 42 (week 6 of 6)"),
    ],
)
def test_days_are_those_of_the_rules_anchor_and_symptoms_never_pass_for_treatment(
    change: Any, rule: str, words: str
) -> None:
    panel = build_panel(judge(change, rule), RULES[rule], TODAY)
    assert panel is not None
    assert panel.facts[1] == words


def test_a_panel_names_the_measure_and_the_drugs_of_its_rule() -> None:
    rule = RULES["ill-novitas"].overlaid({"outcome": {"measures": ["PSFS"]}})
    panel = build_panel(judge(drop("drug", "ndi"), rule), rule, TODAY, "corticosteroid")
    assert panel is not None
    assert panel.facts[-2:] == ("no structured corticosteroid order found", "no PSFS score documented")


def test_an_overdue_review_is_shown() -> None:
    rule = RULES["ill-novitas"].overlaid({"reviewed": {"next_due": "2026-01-31"}, "status": "verified"})
    panel = build_panel(judge(drop("drug"), rule), rule, TODAY)
    assert panel is not None
    assert panel.rule.endswith("(verified), effective 2026-01-01; review overdue")


def test_the_key_changes_with_an_elements_status_only() -> None:
    gap, same = judge(drop("drug")), judge(drop("drug", "s2026-02-04"))
    other = judge(drop("drug", "s2026"))
    keys = [panel_key("Patient/p", "72141", found) for found in (gap, same, other)]
    assert keys[0] == keys[1] != keys[2]
    assert panel_key("Patient/q", "72141", gap) != keys[0]
    assert judge(put(session("2026-02-10"))).verdict == "PASS"
