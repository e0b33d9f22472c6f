"""Rule rows: read from text without surprises, chosen by the most specific match."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from gateway.clinical.rules import Rule, choose_rule, load_rules, parse_rule, parse_rules
from gateway.clinical.scalars import parse_scalars
from gateway.errors import SettingsError

ON = date(2026, 2, 16)
ROW = """
rule_id: acme
version: 1.0.0
status: verified
payer: {kind: plan, name: Acme, match: {coverage_payor_identifiers: [A1]}}
effective: {from: 2026-01-01, to: null}
procedure: {cpt: [72141, 00630]}
indications: [m542, M54.12]
pt: {counts: [97110]}
"""
PAYOR = [("urn:example:payer", "A1")]


def _choose(rules: list[Rule], **changes: Any) -> str | None:
    asked: dict[str, Any] = {"payor_identifiers": PAYOR, "plan_ids": [], "state": None, "code": "72141", "on": ON}
    chosen = choose_rule(rules, **{**asked, **changes})
    return f"{chosen.rule_id}@{chosen.version}" if chosen else None


@pytest.mark.threat("T34")
def test_scalars_stay_text() -> None:
    text = "states: [NO, ON, OFF, YES]\ncpt: [00630, 012, 1_000]\nday: 2026-01-01\nnothing: ~\nfloat: 1e3\n"
    assert parse_scalars(text) == {
        "states": ["NO", "ON", "OFF", "YES"],
        "cpt": ["00630", "012", "1_000"],
        "day": "2026-01-01",
        "nothing": "~",
        "float": "1e3",
    }


@pytest.mark.threat("T34")
@pytest.mark.parametrize(
    "text",
    [
        "a: &x [1]\nb: *x\n",
        "a: &x [1]\n",
        "a: !!python/object/apply:os.system [ls]\n",
        "a: !!str 1\n",
        "a: !custom 1\n",
        "%YAML 1.1\n---\na: 1\n",
        "a: 1\na: 2\n",
        "a: {b: 1, b: 2}\n",
        "a: 1\n---\nb: 2\n",
        "? [a]\n: 1\n",
        "a: [1\n",
        "",
        "a: " + "[" * 20 + "1" + "]" * 20,
        "a: " + "[" * 5000,
        "# " + "x" * 70_000 + "\na: 1\n",
        "a: \x00\n",
    ],
)
def test_anything_but_plain_yaml_is_refused(text: str) -> None:
    with pytest.raises(SettingsError):
        parse_scalars(text)


def test_an_alias_bomb_is_refused_before_it_grows() -> None:
    levels = "\n".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, 9))
    with pytest.raises(SettingsError, match="anchors"):
        parse_scalars("l0: &l0 [lol]\n" + levels)


def test_a_row_reads_its_values_and_the_schemas_defaults() -> None:
    rule = parse_rule(ROW)
    assert rule.procedure.cpt == ("72141", "00630")
    assert rule.indications == ("M54.2", "M54.12")
    assert rule.effective.end is None
    assert (rule.pharm.min_days, rule.pharm.min_agents, rule.pharm.alternatives_ok) == (28, 1, True)
    assert rule.activity.required
    assert not rule.reevaluation.required


@pytest.mark.parametrize(
    ("change", "path"),
    [
        (("version: 1.0.0", "version: one"), "version"),
        (("status: verified", "status: maybe"), "status"),
        (("pt: {counts: [97110]}", "pt: {counts: [97110], minimum: 6}"), "pt.minimum"),
        (("pt: {counts: [97110]}", "pt: {counts: []}"), "pt.counts"),
        (("pt: {counts: [97110]}", "pt: {counts: [97110], referral_required: yes}"), "pt.referral_required"),
        (("pt: {counts: [97110]}", "pt: {counts: [97110], min_sessions: {default: 012}}"), "pt.min_sessions.default"),
        (("72141, 00630", "7214"), "procedure.cpt.0"),
        (("m542", "neck"), "indications.0"),
        (("from: 2026-01-01", "from: soon"), "effective.from"),
        (("kind: plan", "kind: neighbour"), "payer.kind"),
        (("rule_id: acme", "rule_id: ../acme"), "rule_id"),
    ],
)
def test_a_faulty_row_is_refused_with_the_path_of_the_key(change: tuple[str, str], path: str) -> None:
    with pytest.raises(SettingsError) as refusal:
        parse_rule(ROW.replace(*change), "acme.yaml")
    assert f"acme.yaml: {path}:" in refusal.value.message


def test_packaged_rows_are_the_seed_rows_and_all_illustrative() -> None:
    rules = load_rules()
    assert {rule.rule_id for rule in rules} == {
        "ill-novitas",
        "ill-cgs",
        "ill-ngs",
        "ill-evicore",
        "ill-carelon",
        "default-strict",
        "default-lumbar",
        "default-shoulder",
    }
    assert {rule.status for rule in rules} == {"illustrative"}


def test_an_operators_folder_adds_and_replaces(tmp_path: Path) -> None:
    (tmp_path / "acme.yaml").write_text(ROW)
    text = ROW.replace("rule_id: acme", "rule_id: ill-cgs")
    (tmp_path / "ill-cgs.yaml").write_text(text)
    rules = {rule.rule_id: rule for rule in load_rules([tmp_path])}
    assert rules["acme"].status == "verified"
    assert rules["ill-cgs"].payer.name == "Acme"


def test_a_file_is_named_after_its_rule_and_a_version_stands_once() -> None:
    with pytest.raises(SettingsError, match="named after"):
        parse_rules([("other.yaml", ROW)])
    with pytest.raises(SettingsError, match="exists already"):
        parse_rules([("acme.yaml", ROW), ("acme@1.yaml", ROW)])


@pytest.mark.parametrize(
    ("changes", "chosen"),
    [
        ({}, "acme@1.0.0"),
        ({"payor_identifiers": [("urn:other", "A2")]}, None),
        ({"code": "72148"}, None),
        ({"on": date(2025, 12, 31)}, None),
        ({"on": date(2026, 1, 1)}, "acme@1.0.0"),
    ],
)
def test_a_row_applies_to_its_payer_service_and_dates(changes: dict[str, Any], chosen: str | None) -> None:
    assert _choose([parse_rule(ROW)], **changes) == chosen


def _rule(kind: str, match: str, version: str = "1.0.0", start: str = "2026-01-01", rule_id: str = "") -> Rule:
    text = ROW.replace("kind: plan", f"kind: {kind}").replace("{coverage_payor_identifiers: [A1]}", match)
    text = text.replace("1.0.0", version).replace("2026-01-01", start)
    return parse_rule(text.replace("rule_id: acme", f"rule_id: {rule_id or kind.replace('_', '-')}"))


def test_plan_before_vendor_before_mac_before_default() -> None:
    rules = [
        _rule("default", "{}"),
        _rule("mac", "{states: [NO]}"),
        _rule("um_vendor", "{coverage_payor_identifiers: ['urn:example:payer|A1']}"),
        _rule("plan", "{plan_ids: [P1]}"),
    ]
    everything = {"plan_ids": ["P1"], "state": "NO"}
    assert _choose(rules, **everything) == "plan@1.0.0"
    assert _choose(rules[:3], **everything) == "um-vendor@1.0.0"
    assert _choose(rules[:2], **everything) == "mac@1.0.0"
    assert _choose(rules[:1], **everything) == "default@1.0.0"
    assert _choose(rules[:2], state="TX") == "default@1.0.0"


def test_a_row_without_any_match_is_never_chosen_by_itself() -> None:
    assert _choose([_rule("um_vendor", "{}")]) is None


def test_every_criterion_of_a_row_must_match_and_more_of_them_win() -> None:
    narrow = _rule("plan", "{coverage_payor_identifiers: [A1], plan_ids: [P1]}", rule_id="narrow")
    wide = _rule("plan", "{coverage_payor_identifiers: [A1]}", rule_id="wide")
    assert _choose([narrow, wide]) == "wide@1.0.0"
    assert _choose([narrow, wide], plan_ids=["P1"]) == "narrow@1.0.0"


def test_the_version_in_force_on_the_order_date_counts() -> None:
    rules = [
        _rule("plan", "{coverage_payor_identifiers: [A1]}", "1.0.0", "2026-01-01", "acme"),
        _rule("plan", "{coverage_payor_identifiers: [A1]}", "2.0.0", "2026-02-01", "acme"),
    ]
    assert _choose(rules) == "acme@2.0.0"
    assert _choose(rules, on=date(2026, 1, 31)) == "acme@1.0.0"


def test_a_tie_is_a_configuration_error() -> None:
    rules = [_rule("plan", "{coverage_payor_identifiers: [A1]}", rule_id=name) for name in ("one", "two")]
    with pytest.raises(SettingsError, match="apply equally"):
        _choose(rules)


@pytest.mark.parametrize("value", ["SYN-MCR-01", "SYN-OPEN-02", "SYN-DOWN-03", "SYN-SLOW-04"])
def test_the_demo_payers_get_the_strict_default(value: str) -> None:
    payor = [("https://payer.example.org/payer-id", value)]
    assert _choose(list(load_rules()), payor_identifiers=payor, state="CA") == "default-strict@0.1.0"


def test_an_overlay_is_a_what_if() -> None:
    rule = parse_rule(ROW)
    changed = rule.overlaid({"pt": {"min_sessions": {"by_plan": {"P1": 8}}}})
    assert changed.required_sessions(["P1"]) == 8
    assert changed.required_sessions([]) == 6
    assert rule.required_sessions(["P1"]) == 6
    with pytest.raises(SettingsError):
        rule.overlaid({"pt": {"sessions": 8}})


def test_days_may_differ_by_indication() -> None:
    rule = parse_rule(ROW).overlaid({"duration": {"days": {"by_indication": {"M5412": 28}}}})
    assert (rule.required_days("M54.2"), rule.required_days("m5412")) == (42, 28)


def test_an_overdue_review_is_told() -> None:
    rule = parse_rule(ROW).overlaid({"reviewed": {"by": "x", "on": "2026-01-01", "next_due": "2026-02-01"}})
    assert rule.review_is_overdue(date(2026, 2, 2))
    assert not rule.review_is_overdue(date(2026, 2, 1))
