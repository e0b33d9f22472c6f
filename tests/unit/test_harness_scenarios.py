"""Scenario files: what is refused, and who gets which."""

from __future__ import annotations

from pathlib import Path

import pytest

from payer_endpoints.harness.config import PAYERS
from payer_endpoints.harness.faults import OPERATIONS
from payer_endpoints.harness.scenarios import ScenarioBook, ScenarioError, load_scenarios, read_scenario

HEAD = 'id = "a"\ntitle = "A"\nmember_ids = ["M"]\n'
CRD = HEAD + 'forms = ["f"]\n[crd]\n'

REFUSED = [
    ("unknown key", HEAD + "membr_ids = []"),
    ("unknown key in a table", HEAD + "[submit]\ndecison = 'approved'"),
    ("unknown decision", HEAD + "[submit]\ndecision = 'maybe'"),
    ("unknown fault kind", HEAD + "[faults.submit]\nkind = 'explode'"),
    ("pended without notify", HEAD + "[submit]\ndecision = 'pended'"),
    ("documents wanted but no forms", HEAD + "[crd]\ndoc_needed = ['clinical']"),
    ("nobody", 'id = "a"\ntitle = "A"'),
    ("id with blanks", HEAD.replace('"a"', '"a b"')),
    ("q2 not covered with pa-needed", CRD + "covered = 'not-covered'\npa_needed = 'no-auth'"),
    ("q3 conditional without info-needed", CRD + "pa_needed = 'conditional'"),
    ("q4 no-auth with a form for the authorization", CRD + "pa_needed='no-auth'\ndoc_purpose=['withpa']\nreason='r'"),
    ("q5 satisfied without number", CRD + "pa_needed = 'satisfied'"),
    ("q5 number without satisfied", CRD + "satisfied_pa_id = 'X'"),
    ("q6 other information without reason", CRD + "info_needed = ['OTH']"),
    ("q8 purpose without reason", CRD + "doc_needed = ['clinical']\ndoc_purpose = ['withpa']"),
    ("q9 indeterminate without reason", CRD + "pa_needed = 'indeterminate'"),
    ("not TOML", "id = "),
]


@pytest.mark.parametrize("text", [pytest.param(text, id=name) for name, text in REFUSED])
def test_a_bad_scenario_is_refused_and_named(text: str) -> None:
    with pytest.raises(ScenarioError, match=r"^bad\.toml: "):
        read_scenario("bad.toml", text)


def test_the_shipped_scenarios_load_and_name_known_payers_and_operations() -> None:
    book = load_scenarios()
    slugs = {payer.slug for payer in PAYERS} | {"*"}
    assert {scenario.payer for scenario in book.by_id.values()} <= slugs
    assert {name for scenario in book.by_id.values() for name in scenario.faults} <= OPERATIONS


@pytest.mark.parametrize(
    ("payer", "member", "expected"),
    [
        ("example-medicare", "SYN-APPROVE-01", "approved"),
        ("example-medicare", "SYN-PEND-06", "pended-approved"),
        ("example-medicare", "SYN-INFO-01", "pended-information"),
        ("example-medicare", "SYN-DENY-01", "denied"),
        ("example-medicare", "SYN-MODIFY-01", "modified"),
        ("example-open", "SYN-NOAUTH-01", "no-authorization"),
        ("example-medicare", "SYN-HELD-02", "week-three-held"),
        ("example-medicare", "SYN-FLAG-09", "red-flag"),
        ("example-down", "SYN-DOWN-01", "payer-down"),
        ("example-slow", "SYN-SLOW-01", "payer-slow"),
        ("example-open", "SYN-P07", "worked-charts"),
        ("example-open", "nobody", "default"),
        ("example-medicare", "", "default"),
    ],
)
def test_payer_and_member_choose_the_scenario(payer: str, member: str, expected: str) -> None:
    assert load_scenarios().choose(payer, member).id == expected


def test_two_scenarios_may_not_claim_one_member() -> None:
    rows = [read_scenario("x", HEAD), read_scenario("y", HEAD.replace('"a"', '"b"'))]
    with pytest.raises(ScenarioError, match="already has a scenario"):
        ScenarioBook(rows)


def test_a_folder_without_a_default_is_refused(tmp_path: Path) -> None:
    (tmp_path / "one.toml").write_text(HEAD)
    with pytest.raises(ScenarioError, match="default"):
        load_scenarios(tmp_path)
