"""Rule rows beside each other: dates that overlap, rows that tie, names that the concepts lack."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from gateway.clinical.rule_checks import check_rules, require_sound
from gateway.clinical.rule_row import Rule
from gateway.clinical.rules import choose_rule, load_concepts, load_rules
from gateway.errors import SettingsError
from gateway.flows.services import open_services
from gateway.settings import load_settings
from tests.clinical_charts import RULES

TODAY = date(2026, 11, 25)
END, START = "default-strict 0.1.0: effective.to", "default-strict 0.2.0: effective.from"
STRICT = RULES["default-strict"]
SHOULDER = RULES["default-shoulder"]


def _row(**fields: Any) -> Rule:
    return STRICT.overlaid(fields)


def _plan(name: str, **fields: Any) -> Rule:
    match = fields.pop("match", {"plan_ids": ["A"]})
    return _row(rule_id=name, payer={"kind": "plan", "name": name, "match": match}, **fields)


def _errors(*rules: Rule) -> list[str]:
    found = check_rules(rules, load_concepts(), TODAY)
    return [f"{item.rule}: {item.key}" for item in found if item.severity == "error"]


def test_packaged_rows_are_sound() -> None:
    assert [item for item in check_rules(load_rules(), load_concepts(), TODAY) if item.severity == "error"] == []


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [  # an open end is closed by the next version; a written one must not reach it
        ({"from": "2026-01-01", "to": "2026-05-31"}, {"from": "2026-06-01"}, []),
        ({"from": "2026-01-01", "to": "2026-06-01"}, {"from": "2026-06-01"}, [END]),
        ({"from": "2026-01-01", "to": "2027-01-01"}, {"from": "2026-06-01", "to": "2026-06-30"}, [END]),
        ({"from": "2026-01-01"}, {"from": "2026-06-01"}, []),
        ({"from": "2026-01-01"}, {"from": "2026-01-01"}, [START]),
        ({"from": "2026-01-01", "to": "2026-02-01"}, {"from": "2026-01-01"}, [START]),
    ],
)  # fmt: skip
def test_versions_of_one_row_do_not_overlap(first: dict[str, str], second: dict[str, str], expected: list[str]) -> None:
    assert _errors(_row(effective=first), _row(version="0.2.0", effective=second)) == expected


def test_a_retired_version_is_out_of_the_way() -> None:
    assert _errors(_row(status="retired"), _row(version="0.2.0")) == []


def test_a_retired_version_with_a_last_day_still_counts_for_its_time() -> None:
    ended = _row(status="retired", effective={"from": "2026-01-01", "to": "2026-05-31"})
    assert ended.holds_on(date(2026, 5, 31))
    assert not ended.holds_on(date(2026, 6, 1))
    assert not _row(status="retired").holds_on(date(2026, 5, 31))
    assert _errors(ended, _row(version="0.2.0", effective={"from": "2026-06-01"})) == []
    assert _errors(ended, _row(version="0.2.0", effective={"from": "2026-05-31"})) == [END]


@pytest.mark.parametrize(
    ("other", "is_tie"),
    [
        ({}, True),
        ({"match": {"plan_ids": ["A", "B"]}}, True),
        ({"match": {"plan_ids": ["B"]}}, False),
        ({"match": {"states": ["CA"]}}, True),
        ({"match": {"plan_ids": ["A"], "states": ["CA"]}}, False),
        ({"effective": {"from": "2026-02-01"}}, False),
        ({"procedure": {"cpt": ["72156"]}}, True),
        ({"status": "retired"}, False),
    ],
)
def test_two_rows_that_no_order_could_tell_apart_are_refused(other: dict[str, Any], is_tie: bool) -> None:
    assert bool(_errors(_plan("acme"), _plan("bolt", **other))) is is_tie


def test_a_tie_is_the_one_that_choosing_would_meet() -> None:
    rows = [_plan("acme"), _plan("bolt", match={"states": ["CA"]})]
    with pytest.raises(SettingsError, match="apply equally"):
        choose_rule(rows, [], ["A"], "CA", STRICT.procedure.cpt[0], TODAY)
    assert _errors(*rows)


def test_rows_of_other_services_and_ranks_do_not_tie() -> None:
    vendor = _row(rule_id="vendor", payer={"kind": "um_vendor", "name": "v", "match": {"plan_ids": ["A"]}})
    other = SHOULDER.overlaid({"rule_id": "own", "payer": {"kind": "plan", "name": "o", "match": {"plan_ids": ["A"]}}})
    assert _errors(_plan("acme"), vendor, other) == []
    assert _errors(_plan("acme", match={}), _plan("bolt", match={})) == []


@pytest.mark.parametrize(
    ("row", "key"),
    [
        (STRICT.overlaid({"outcome": {"measures": ["NDI", "SF-36"]}}), "outcome.measures"),
        (STRICT.overlaid({"procedure": {"cpt": ["70551"]}}), "procedure.cpt"),
        (STRICT.overlaid({"procedure": {"cpt": ["72141", "72148"]}}), "procedure.cpt"),
        (STRICT.overlaid({"exam_template": "elbow"}), "exam_template"),
        (STRICT.overlaid({"red_flags": {"catalog": "elbow"}}), "red_flags.catalog"),
        (STRICT.overlaid({"red_flags": {"extra": ["RF9"]}}), "red_flags"),
        (SHOULDER.overlaid({"red_flags": {"accept": ["RF2"]}}), "red_flags"),
        (STRICT.overlaid({"laterality_required": True}), "laterality_required"),
        (STRICT.overlaid({"prior_imaging_required": True}), "prior_imaging_required"),
    ],
)
def test_names_that_the_concepts_lack_are_refused(row: Rule, key: str) -> None:
    assert _errors(row) == [f"{row.rule_id} 0.1.0: {key}"]


@pytest.mark.parametrize(
    ("row", "key"),
    [
        (STRICT.overlaid({"reviewed": {"next_due": "2026-11-24"}}), "reviewed.next_due"),
        (STRICT.overlaid({"status": "verified", "sources": []}), "sources"),
        (RULES["ill-carelon"], "payer.match"),
    ],
)
def test_what_a_person_should_see_is_remarked(row: Rule, key: str) -> None:
    found = check_rules([row], load_concepts(), TODAY)
    assert [(item.severity, item.key) for item in found] == [("warning", key)]
    require_sound([row], load_concepts(), TODAY)


def test_a_review_that_is_due_today_is_not_overdue() -> None:
    assert check_rules([_row(reviewed={"next_due": "2026-11-25"})], load_concepts(), TODAY) == ()


def test_a_set_that_cannot_be_used_keeps_the_gateway_from_starting(tmp_path: Path) -> None:
    (tmp_path / "copy.yaml").write_text(
        "rule_id: copy\nversion: 1.0.0\nstatus: illustrative\npayer: {kind: default, name: Copy}\n"
        "effective: {from: 2026-01-01}\nprocedure: {cpt: [72141]}\nindications: [M54.2]\npt: {counts: [97110]}\n"
    )
    settings = load_settings(None, {"PA_GATEWAY__RULES__DIRECTORIES": f'["{tmp_path}"]'})
    with pytest.raises(SettingsError) as refusal:
        open_services(settings)
    assert "default-strict 0.1.0: payer.match: copy 1.0.0 applies to the same orders equally" in refusal.value.message


@pytest.mark.parametrize(("on", "version"), [("2026-05-31", "0.1.0"), ("2026-06-01", "0.2.0"), ("2025-12-31", None)])
def test_an_order_is_judged_by_the_version_of_its_date(on: str, version: str | None) -> None:
    rows = [_row(), _row(version="0.2.0", effective={"from": "2026-06-01"}, pharm={"min_days": 14})]
    assert _errors(*rows) == []
    chosen = choose_rule(rows, [], [], None, STRICT.procedure.cpt[0], date.fromisoformat(on))
    assert (chosen.version if chosen else None) == version
