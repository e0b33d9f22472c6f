"""Rule rows as a managed thing: what production may use, and decisions that cannot be changed unseen."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from gateway.clinical.rule_row import Rule
from gateway.clinical.rules import load_rules
from gateway.clock import FixedClock
from gateway.errors import AccessError, InputError, IntegrityError, NotFound
from gateway.flows import rule_rows
from gateway.flows.actors import Actor
from gateway.flows.rule_rows import Acceptance, accepted_content, rule_digest, usable_rules
from gateway.flows.services import Services, open_services
from gateway.settings import Settings, load_settings
from gateway.store.rule_decisions import RuleDecisionRow
from tests.conftest import ROOT

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
RULES = {rule.rule_id: rule for rule in load_rules()}
STRICT = RULES["default-strict"]
CHIEF = Actor(id="operator", kind="user", tenant="main", roles=("administrator",))


def _settings(folder: Path, mode: str = "demonstration") -> Settings:
    return load_settings(
        None,
        {
            "PA_GATEWAY__STORE__URL": f"sqlite:///{folder}/house/gateway.db",
            "PA_GATEWAY__KEYS__DIRECTORY": f"{folder}/house/keys",
            "PA_GATEWAY__SERVER__MODE": mode,
        },
    )


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database and keys as the first start makes them; made once."""
    folder = tmp_path_factory.mktemp("template")
    (folder / "house").mkdir(mode=0o700)
    open_services(_settings(folder), FixedClock(NOW)).close()
    return folder


@pytest.fixture
def services(tmp_path: Path, template: Path) -> Iterator[Services]:
    """An opened house with development keys, on a clock that stands."""
    shutil.copytree(template / "house", tmp_path / "house")
    opened = open_services(_settings(tmp_path), FixedClock(NOW))
    try:
        yield opened
    finally:
        opened.close()


def _wanted(**changes: Any) -> Acceptance:
    given = {"rule_id": "default-strict", "decided_by": "Dr. Example", "reason": "compared with the plan's text"}
    return Acceptance(**{**given, **changes})


def _decide(services: Services, wanted: Acceptance) -> dict[str, Any]:
    return rule_rows.decide(services, CHIEF, wanted, stepped_up=True)


def _decision(rule: Rule, decision: str, payer: str = "*", seq: int = 0) -> RuleDecisionRow:
    return RuleDecisionRow(
        tenant_id="main", seq=seq, rule_id=rule.rule_id, version=rule.version, rule_digest=rule_digest(rule),
        payer=payer, decision=decision, decided_by="x", decided_at=NOW, reason="y", statement="", jws="",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("decisions", "expected"),
    [
        ([], False),
        ([("accepted", "*")], True),
        ([("accepted", "acme")], True),
        ([("accepted", "other")], False),
        ([("accepted", "*"), ("withdrawn", "*")], False),
        ([("accepted", "*"), ("withdrawn", "acme")], False),
        ([("withdrawn", "acme"), ("accepted", "*")], False),
        ([("accepted", "acme"), ("withdrawn", "*")], True),
        ([("withdrawn", "acme"), ("accepted", "acme")], True),
    ],
)
def test_the_latest_decision_for_the_payer_holds(decisions: list[tuple[str, str]], expected: bool) -> None:
    rows = [_decision(STRICT, word, payer, seq) for seq, (word, payer) in enumerate(decisions)]
    assert (rule_digest(STRICT) in accepted_content(rows, "acme")) is expected
    assert (STRICT in usable_rules([STRICT], rows, (), "acme")) is expected


def test_production_uses_verified_rows_and_those_the_settings_accept() -> None:
    verified = STRICT.overlaid({"status": "verified"})
    assert usable_rules([STRICT, verified], [], (), "acme") == (verified,)
    assert usable_rules([STRICT], [], ("default-strict",), "acme") == (STRICT,)
    assert usable_rules([STRICT], [], ("ill-cgs",), "acme") == ()


def test_a_row_that_was_changed_must_be_accepted_again() -> None:
    changed = STRICT.overlaid({"pharm": {"min_days": 14}})
    assert usable_rules([changed], [_decision(STRICT, "accepted")], (), "acme") == ()


def test_a_decision_is_kept_with_who_when_and_why(services: Services) -> None:
    found = _decide(services, _wanted())
    assert found["decided_by"] == "Dr. Example"
    assert found["decided_at"] == NOW.isoformat()
    assert found["reason"] == "compared with the plan's text"
    assert (found["payer"], found["decision"], found["is_current_content"]) == ("*", "accepted", True)
    _decide(services, _wanted(withdraw=True, reason="the plan changed"))
    assert [item["decision"] for item in rule_rows.list_decisions(services)] == ["accepted", "withdrawn"]
    assert rule_rows.list_decisions(services, "ill-cgs") == []


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"rule_id": "nothing"}, NotFound),
        ({"version": "9.9.9"}, NotFound),
        ({"payer": "nobody"}, NotFound),
        ({"decided_by": "  "}, InputError),
        ({"reason": ""}, InputError),
        ({"reason": "x" * 401}, InputError),
    ],
)
def test_a_decision_that_makes_no_sense_is_refused(
    services: Services, changes: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        _decide(services, _wanted(**changes))
    assert rule_rows.list_decisions(services) == []


def test_a_verified_row_needs_no_acceptance(services: Services) -> None:
    services.rules = (STRICT.overlaid({"status": "verified"}),)
    with pytest.raises(InputError, match="needs no acceptance"):
        _decide(services, _wanted())


def test_of_several_versions_one_must_be_named(services: Services) -> None:
    services.rules = (STRICT, STRICT.overlaid({"version": "0.2.0", "effective": {"from": "2026-06-01"}}))
    with pytest.raises(InputError, match="--version"):
        _decide(services, _wanted())
    assert _decide(services, _wanted(version="0.2.0"))["version"] == "0.2.0"


def test_an_administrator_proves_who_they_are_first(services: Services) -> None:
    with pytest.raises(AccessError, match="Sign in again"):
        rule_rows.decide(services, CHIEF, _wanted())


@pytest.mark.parametrize("role", ["staff", "clinician", "auditor", "system"])
def test_only_an_administrator_decides(services: Services, role: str) -> None:
    with pytest.raises(AccessError):
        rule_rows.decide(services, replace(CHIEF, roles=(role,)), _wanted(), stepped_up=True)


def test_the_database_refuses_to_change_a_decision(services: Services) -> None:
    _decide(services, _wanted())
    for statement in ("UPDATE rule_decisions SET payer = 'x'", "DELETE FROM rule_decisions"):
        with pytest.raises(sa.exc.IntegrityError, match="refuses"), services.store.engine.begin() as connection:
            connection.execute(sa.text(statement))


@pytest.mark.parametrize(
    "change",
    ["payer = 'acme'", "decision = 'withdrawn'", "reason = 'other'", "rule_digest = 'ab'", "jws = 'a..b'", "seq = 5"],
)
def test_a_changed_decision_is_noticed(services: Services, change: str) -> None:
    _decide(services, _wanted())
    with services.store.engine.begin() as connection:
        connection.execute(sa.text("DROP TRIGGER rule_decisions_no_update"))
        connection.execute(sa.text(f"UPDATE rule_decisions SET {change}"))
    with pytest.raises(IntegrityError, match="changed after it was signed"):
        rule_rows.list_decisions(services)


def test_a_decision_that_was_left_out_is_noticed(services: Services) -> None:
    _decide(services, _wanted())
    _decide(services, _wanted(withdraw=True))
    with services.store.engine.begin() as connection:
        connection.execute(sa.text("DROP TRIGGER rule_decisions_no_delete"))
        connection.execute(sa.text("DELETE FROM rule_decisions WHERE seq = 0"))
    with pytest.raises(IntegrityError):
        rule_rows.list_decisions(services)


def test_illustrative_rows_are_off_in_production_until_accepted(services: Services, tmp_path: Path) -> None:
    assert rule_rows.rules_for(services, "example-medicare") == services.rules
    services.settings = _settings(tmp_path, "production")
    assert rule_rows.rules_for(services, "example-medicare") == ()
    _decide(services, _wanted(payer="example-medicare"))
    assert rule_rows.rules_for(services, "example-medicare") == (STRICT,)
    assert rule_rows.rules_for(services, "example-open") == ()


def test_rows_in_short_say_whether_they_hold_and_whether_a_review_is_due(tmp_path: Path) -> None:
    rows = {row["rule_id"]: row for row in rule_rows.list_rules(_settings(tmp_path), date(2027, 1, 2))}
    assert rows["default-lumbar"]["review_overdue"]
    assert not rows["ill-cgs"]["review_overdue"]
    assert rows["ill-cgs"]["in_force"]
    before = rule_rows.list_rules(_settings(tmp_path), date(2025, 12, 31))
    assert not any(row["in_force"] for row in before)


def test_a_version_is_in_force_until_the_next_one_begins(tmp_path: Path) -> None:
    text = (ROOT / "payer_endpoints" / "rules" / "ill-cgs.yaml").read_text("utf-8")
    (tmp_path / "ill-cgs@0.2.0.yaml").write_text(
        text.replace("version: 0.1.0", "version: 0.2.0").replace("from: 2026-01-01", "from: 2026-06-01")
    )
    base = _settings(tmp_path)
    settings = base.model_copy(update={"rules": base.rules.model_copy(update={"directories": (tmp_path,)})})
    found = {
        on: {
            row["version"]: row["in_force"] for row in rule_rows.list_rules(settings, on) if row["rule_id"] == "ill-cgs"
        }
        for on in (date(2026, 5, 31), date(2026, 6, 1))
    }
    assert found[date(2026, 5, 31)] == {"0.1.0": True, "0.2.0": False}
    assert found[date(2026, 6, 1)] == {"0.1.0": False, "0.2.0": True}


def test_production_is_told_which_rows_are_off(tmp_path: Path) -> None:
    on = date(2026, 11, 25)
    off = [item.rule for item in rule_rows.check(_settings(tmp_path, "production"), on) if item.key == "status"]
    assert "default-strict 0.1.0" in off
    assert [item for item in rule_rows.check(_settings(tmp_path), on) if item.key == "status"] == []
