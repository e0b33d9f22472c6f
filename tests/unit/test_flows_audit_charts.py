"""One chart in an audit: what is found, what is refused, and which rule is asked."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from gateway.clinical.rule_row import Rule, validate_rule
from gateway.clinical.rules import load_concepts, load_rules
from gateway.errors import NotFound, SettingsError
from gateway.flows.audit_chart import ChartContent, audit_chart, failed
from gateway.flows.audit_plan import AuditPlan, open_plan
from gateway.flows.audit_rows import ChartRow
from tests.clinical_charts import CPT, ICD, NOW, RULES, ZONE, Json, base, concept, condition, order, ref

CGS, NOVITAS = "ill-cgs", "ill-novitas"
PLAN = AuditPlan(rules=load_rules(), concepts=load_concepts(), zone=ZONE, now=NOW, rule_ids=(CGS,))
Change = Callable[[dict[str, Json]], Any]


def chart(change: Change = lambda chart: None, **more: Any) -> ChartContent:
    """The complete chart after `change` was applied to it."""
    resources = base()
    for resource in resources.values():
        if resource["resourceType"] != "Patient":
            resource.setdefault("subject", ref("Patient/p"))
    change(resources)
    return ChartContent(name="chart", path="chart.json", resources=list(resources.values()), **more)


def audit(change: Change = lambda chart: None, plan: AuditPlan = PLAN, **more: Any) -> list[ChartRow]:
    return audit_chart(chart(change, **more), plan)


def codes(row: ChartRow) -> dict[str, str]:
    """Code → severity of a row's problems."""
    return {problem.code: problem.severity for problem in row.problems}


def put(**resources: Json) -> Change:
    return lambda held: held.update(resources)


def edit(name: str, **changes: Any) -> Change:
    return lambda held: held[name].update(changes)


def drop(name: str, element: str = "") -> Change:
    return lambda held: held[name].pop(element) if element else held.pop(name)


OTHER = {"resourceType": "Patient", "id": "q", "birthDate": "1960-01-01"}
FOREIGN = condition(id="other", subject=ref("Patient/q"))
STRANGE = [{"system": "urn:example:homemade", "code": "X1"}]
SECOND = order(id="order-2", authoredOn="2026-03-02T10:00:00-08:00", subject=ref("Patient/p"))


def test_a_complete_chart_is_audited_without_a_word() -> None:
    (row,) = audit()
    assert [(rule.found.rule_id, rule.found.verdict, rule.days) for rule in row.rules] == [(CGS, "PASS", "42 of 42")]
    assert (row.order, row.order_on, row.problems) == ("ServiceRequest/order", date(2026, 2, 16), ())
    assert row.is_audited
    assert row.is_certain
    assert all(item.evidence for item in row.rules[0].found.elements)


@pytest.mark.threat("T15")
@pytest.mark.parametrize(
    ("change", "code"),
    [
        (put(q=OTHER), "chart.two-patients"),
        (put(other=FOREIGN), "chart.other-patient"),
        (edit("order", subject=ref("Patient/q")), "chart.other-patient"),
        (edit("order", subject=ref("urn:uuid:9f0b6ef0-0000-4000-8000-000000000000")), "chart.other-patient"),
        (lambda held: (held.pop("p"), held.update(other=FOREIGN)), "chart.two-patients"),
        (drop("order"), "chart.no-order"),
        (edit("order", status="entered-in-error"), "chart.no-order"),
        (edit("order", code=concept("97110", CPT)), "chart.no-order"),
        (edit("order", code={"coding": STRANGE, "text": "MRI cervical spine"}), "order.uncoded"),
        (edit("order", code={"text": "MR of the cervical spine"}), "order.uncoded"),
        (drop("order", "authoredOn"), "order.date"),
        (edit("order", authoredOn="sixteenth of February"), "order.date"),
        (edit("order", authoredOn="2026-02-30"), "order.date"),
        (edit("order", authoredOn="2026-02"), "order.date"),
        (edit("order", authoredOn=20260216), "order.date"),
        (edit("order", authoredOn="2019-02-16"), "rule.none"),
    ],
)
def test_a_chart_without_a_verdict_says_why(change: Change, code: str) -> None:
    (row,) = audit(change)
    assert codes(row)[code] == "error"
    assert row.rules == ()
    assert not row.is_audited


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (drop("p"), "chart.no-patient"),
        (put(twice=condition(onsetDateTime="2025-01-05", subject=ref("Patient/p"))), "chart.duplicate"),
        (put(nothing={}), "chart.entry"),
        (edit("drug", authoredOn="05/01/2026"), "chart.date"),
        (edit("neck", onsetDateTime="2026-13-05"), "chart.date"),
        (edit("visit", period={"start": "yesterday"}), "chart.date"),
        (edit("neck", code={"coding": STRANGE}), "chart.code-system"),
        (edit("drug", medicationCodeableConcept={"coding": STRANGE}), "chart.code-system"),
        (edit("order", authoredOn="2031-02-16"), "chart.data-error"),
        (edit("neck", onsetDateTime="2026-02-17"), "chart.data-error"),
        (edit("neck", onsetDateTime="1949-12-31"), "chart.data-error"),
    ],
)
def test_what_was_not_read_stands_beside_the_verdict(change: Change, code: str) -> None:
    (row,) = audit(change)
    assert codes(row)[code] == "warning"
    assert row.rules
    assert not row.is_certain


def test_an_observation_in_a_code_system_nobody_knows_is_a_note() -> None:
    strange = {"resourceType": "Observation", "id": "o", "status": "final", "code": {"coding": STRANGE}}
    (row,) = audit(put(o=strange))
    assert codes(row) == {"chart.code-system": "note"}
    assert row.is_certain


def test_a_code_beside_one_that_is_known_is_nothing_to_say() -> None:
    known = {"system": ICD, "code": "M54.2"}
    (row,) = audit(edit("neck", code={"coding": [*STRANGE, known]}))
    assert row.problems == ()


def test_no_problem_repeats_what_the_chart_says() -> None:
    secret = "Zzyxqa-canary"
    strange = {"coding": [{"system": secret, "code": secret, "display": secret}]}
    rows = [
        *audit(put(other=condition(id="x", subject={"reference": "Patient/q", "display": secret}))),
        *audit(edit("neck", code=strange, onsetDateTime=secret)),
        *audit(edit("order", authoredOn=secret)),
    ]
    assert secret not in str([row.as_json() for row in rows])


@pytest.mark.parametrize("status", ["draft", "active", "on-hold", "completed", "revoked"])
def test_an_audit_looks_back_on_closed_orders(status: str) -> None:
    (row,) = audit(edit("order", status=status))
    assert [rule.found.verdict for rule in row.rules] == ["PASS"]


def test_an_order_that_asks_for_nothing_is_not_lost() -> None:
    (row,) = audit(edit("order", doNotPerform=True))
    assert [(rule.found.verdict, rule.found.reason) for rule in row.rules] == [("NOT_APPLICABLE", "order_intent")]


def test_a_draft_without_a_date_counts_as_of_today() -> None:
    (row,) = audit(lambda held: (held["order"].pop("authoredOn"), held["order"].update(status="draft")))
    assert row.order_on == date(2026, 11, 25)
    assert row.rules


def test_several_orders_of_one_chart_are_each_audited_and_said() -> None:
    rows = audit(put(second=SECOND))
    assert [(row.order, row.order_on) for row in rows] == [
        ("ServiceRequest/order", date(2026, 2, 16)),
        ("ServiceRequest/order-2", date(2026, 3, 2)),
    ]
    assert all(codes(row)["chart.several-orders"] == "warning" for row in rows)
    assert all(row.rules for row in rows)


def test_a_patient_may_have_several_orders() -> None:
    assert [row.problems for row in audit(put(second=SECOND), unit="patient")] == [(), ()]


def test_only_the_orders_that_are_meant_are_audited() -> None:
    rows = audit(put(second=SECOND), orders=frozenset({"ServiceRequest/order-2"}))
    assert [row.order for row in rows] == ["ServiceRequest/order-2"]
    assert rows[0].is_certain


def test_history_before_any_rule_is_a_note_beside_the_order_of_today() -> None:
    old = order(id="old", status="completed", authoredOn="2023-05-01", subject=ref("Patient/p"))
    (row,) = audit(put(old=old), unit="patient")
    assert row.order == "ServiceRequest/order"
    assert codes(row) == {"order.history": "note"}


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"class": [{"type": {"coding": [{"code": "plan"}]}, "value": "GOLD"}]}, "of-plan"),
        ({"payor": [{"identifier": {"system": "urn:payer", "value": "77"}}]}, "of-vendor"),
        ({"payor": [ref("Organization/payer")]}, "of-vendor"),
        ({}, "of-default"),
        ({"status": "cancelled", "class": [{"type": {"coding": [{"code": "plan"}]}, "value": "GOLD"}]}, "of-default"),
    ],
)
def test_the_rule_is_chosen_from_the_coverage(changes: Json, rule: str) -> None:
    rows = [
        _row("of-plan", kind="plan", match={"plan_ids": ["GOLD"]}),
        _row("of-vendor", kind="um_vendor", match={"coverage_payor_identifiers": ["urn:payer|77"]}),
        _row("of-default", kind="default"),
    ]
    plan = replace(PLAN, rules=tuple(rows), rule_ids=())
    payer = {
        "resourceType": "Organization",
        "id": "payer",
        "identifier": [{"system": "urn:payer", "value": "77"}],
    }
    coverage = {"resourceType": "Coverage", "id": "c", "status": "active", "beneficiary": ref("Patient/p"), **changes}
    (row,) = audit(put(c=coverage, payer=payer), plan)
    assert [item.found.rule_id for item in row.rules] == [rule]


def test_production_chooses_only_rows_that_somebody_answers_for() -> None:
    made = {name: open_plan([], zone=ZONE, now=NOW, accepted=name) for name in ((), ("default-strict",))}
    (none,), (one,) = (audit(plan=plan) for plan in made.values())
    assert codes(none) == {"rule.none": "error"}
    assert [item.found.rule_id for item in one.rules] == ["default-strict"]
    named = replace(made[()], rule_ids=(CGS,))
    assert [item.found.rule_status for item in audit(plan=named)[0].rules] == ["illustrative"]


def test_two_rules_that_apply_equally_are_said_and_the_chart_is_kept() -> None:
    rows = (_row("one", kind="default"), _row("two", kind="default"))
    (row,) = audit(plan=replace(PLAN, rules=rows, rule_ids=()))
    assert codes(row) == {"rule.tie": "error"}


def _row(rule_id: str, kind: str, match: Json | None = None, **changes: Any) -> Rule:
    content = RULES[CGS].model_dump(mode="json", by_alias=True)
    content |= {"rule_id": rule_id, "payer": {"kind": kind, "name": rule_id, "match": match or {}}, **changes}
    return validate_rule(content, rule_id)


def _versions() -> tuple[Rule, ...]:
    """Two versions of one rule: 8 sessions until the end of February, 6 from March on."""
    content = RULES[CGS].model_dump(mode="json", by_alias=True)
    old, new = copy.deepcopy(content), copy.deepcopy(content)
    old["effective"] = {"from": "2026-01-01", "to": "2026-02-28"}
    new |= {"version": "0.2.0", "effective": {"from": "2026-03-01", "to": None}}
    new["pt"]["min_sessions"] = {"default": 6, "by_plan": {}}
    return validate_rule(old, CGS), validate_rule(new, CGS)


@pytest.mark.parametrize("rule_ids", [(CGS,), ()])
def test_the_version_in_force_on_the_day_of_the_order_is_asked(rule_ids: tuple[str, ...]) -> None:
    plan = replace(PLAN, rules=_versions(), rule_ids=rule_ids, is_all=not rule_ids)

    def six_visits(held: dict[str, Json]) -> None:
        for name in [name for name in held if name.startswith("s2026-02")]:
            del held[name]

    def later(held: dict[str, Json]) -> None:
        six_visits(held)
        held["order"]["authoredOn"] = "2026-03-02T10:00:00-08:00"
        held["ndi-2026-02-16"]["authored"] = "2026-02-20T09:00:00-08:00"

    (before,), (after,) = audit(six_visits, plan), audit(later, plan)
    assert [(item.found.rule_version, item.found.unmet) for item in before.rules] == [("0.1.0", ("PT_SESSIONS",))]
    assert [(item.found.rule_version, item.found.unmet) for item in after.rules] == [("0.2.0", ())]
    (alone,) = audit(six_visits, replace(plan, rules=plan.rules[:1]))
    assert before.rules == alone.rules, "a later version does not change the verdict of an earlier order"


def test_every_rule_about_the_service_and_no_other_is_asked() -> None:
    (row,) = audit(plan=replace(PLAN, rule_ids=(), is_all=True))
    asked = [item.found.rule_id for item in row.rules]
    about = [rule.rule_id for rule in load_rules() if "72141" in rule.procedure.cpt]
    assert asked == sorted(about)
    assert not any(item.found.verdict == "NOT_APPLICABLE" for item in row.rules)


def test_a_failure_of_the_audit_itself_is_a_row() -> None:
    problem = failed(KeyError("Zzyxqa"))
    assert (problem.code, problem.severity) == ("chart.failed", "error")
    assert "Zzyxqa" not in problem.message


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"ill-cgs": {"pt": {"min_sessions": {"default": 6}}}}', ""),
        ("ill-cgs:\n  pt: {min_sessions: {default: 6}}\n", ""),
        ('{"ill-nobody": {}}', "there is no rule"),
        ('{"ill-cgs": {"sessions": 6}}', "sessions: unknown key"),
        ('{"ill-cgs": {"pt": {"minimum": 6}}}', "pt.minimum: unknown key"),
        ('{"ill-cgs": {"pt": {"min_sessions": {"default": "six"}}}}', "pt.min_sessions.default"),
        ('{"ill-cgs": {"version": "9.0.0"}}', "may not change"),
        ('{"ill-cgs": 6}', "maps rule ids to fields"),
        ("[]", "maps rule ids to fields"),
        ('{"ill-cgs": {"a": 1, "a": 2}}', "same key twice"),
        ("{", "overlay.yaml"),
        ("a: *b", "overlay.yaml"),
    ],
)
def test_an_overlay_is_a_what_if_and_refuses_what_it_does_not_know(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "overlay.yaml"
    path.write_text(text)
    if said:
        with pytest.raises(SettingsError) as raised:
            open_plan([], zone=ZONE, now=NOW, overlay=path)
        assert said in raised.value.message
        return
    plan = open_plan([], zone=ZONE, now=NOW, rule_ids=[CGS, NOVITAS], overlay=path)
    (row,) = audit(lambda held: [held.pop(name) for name in ("s2026-02-02-0", "s2026-02-04-0")], plan)
    assert [(item.found.verdict, item.is_overlaid) for item in row.rules] == [("PASS", True), ("PASS", False)]


def test_a_missing_overlay_and_an_unknown_rule_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError):
        open_plan([], zone=ZONE, now=NOW, overlay=tmp_path / "none.json")
    with pytest.raises(NotFound):
        open_plan([], zone=ZONE, now=NOW, rule_ids=["ill-nobody"])
