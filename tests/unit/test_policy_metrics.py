"""The measures, with numbers worked out by hand."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from gateway.policy.metrics import compute
from gateway.policy.metrics_math import Cell, count, median, nearest_rank, rate, spread, wilson
from gateway.policy.metrics_measure import NOT_RECORDED, Measure
from gateway.policy.metrics_rows import (
    Advice,
    Answer,
    ClaimFact,
    Judgement,
    MeasuredCase,
    MeasuredForm,
    MeasuredTimer,
    MeasureInput,
    OperatorFacts,
    Period,
    RuleRowFact,
)

ZONE = "America/Los_Angeles"
MARCH = Period(start=date(2026, 3, 1), end=date(2026, 3, 31), zone=ZONE)
AS_OF = datetime(2026, 4, 20, 12, tzinfo=UTC)
SENT = datetime(2026, 3, 2, 18, tzinfo=UTC)
MET = dict.fromkeys(("DURATION", "PHARM", "PT_REFERRAL", "PT_SESSIONS", "OUTCOME", "ACTIVITY"), "met")


def judged(verdict: str = "PASS", **changes: Any) -> Judgement:
    given: dict[str, Any] = {
        "at": SENT - timedelta(hours=1), "verdict": verdict, "indication": "S1", "is_symptom": True,
        "needs_support": False, "elements": MET, "order_on": date(2026, 3, 2),
    }  # fmt: skip
    return Judgement(**{**given, **changes})


def case(number: int = 0, action: str = "A1", hours: float = 1, **changes: Any) -> MeasuredCase:
    """A request sent on 2 March and decided so many hours later."""
    given: dict[str, Any] = {
        "case_id": f"c{number}", "payer": "acme", "line_of_business": "medicare_advantage", "clinician": "Dr. A",
        "state": "approved", "opened_at": SENT - timedelta(hours=2), "judgements": (judged(),), "sent_at": SENT,
        "received_at": SENT, "requests_sent": 1,
        "answers": (Answer(at=SENT + timedelta(hours=hours), action=action),) if action else (),
    }  # fmt: skip
    return MeasuredCase(**{**given, **changes})


def several(number: int, start: int = 0, **changes: Any) -> list[MeasuredCase]:
    return [case(start + place, **changes) for place in range(number)]


def measure(name: str, cases: Iterable[MeasuredCase] = (), **changes: Any) -> Measure:
    given = MeasureInput(period=MARCH, as_of=AS_OF, cases=tuple(cases), **changes)
    return next(found for found in compute(given) if found.id == name)


def whole(name: str, cases: Iterable[MeasuredCase] = (), **changes: Any) -> tuple[int | None, int | None]:
    cell = measure(name, cases, **changes).cells[0]
    return cell.numerator, cell.denominator


def groups(found: Measure, by: str) -> dict[str, tuple[int | None, int | None]]:
    return {cell.group: (cell.numerator, cell.denominator) for cell in found.cells if cell.by == by}


# ------------------------------------------------------------------------------------------------ arithmetic
@pytest.mark.parametrize(
    ("numerator", "denominator", "expected"),
    [
        (20, 100, ("13.3", "28.9")),
        (0, 20, ("0.0", "16.1")),
        (20, 20, ("83.9", "100.0")),
        (50, 100, ("40.4", "59.6")),
        (11, 1000, ("0.6", "2.0")),
    ],
)
def test_wilson_interval(numerator: int, denominator: int, expected: tuple[str, str]) -> None:
    assert wilson(numerator, denominator) == (Decimal(expected[0]), Decimal(expected[1]))


@pytest.mark.parametrize(
    ("numerator", "denominator", "shown", "hidden"),
    [
        (0, 0, (0, 0, None), False),
        (0, 11, (0, 11, Decimal("0.0")), False),
        (11, 11, (11, 11, Decimal("100.0")), False),
        (11, 22, (11, 22, Decimal("50.0")), False),
        (11, 34, (11, 34, Decimal("32.4")), False),
        (0, 10, (None, None, None), True),
        (10, 10, (None, None, None), True),
        (1, 100, (None, 100, None), True),
        (10, 100, (None, 100, None), True),
        (90, 100, (None, 100, None), True),
        (99, 100, (None, 100, None), True),
        (89, 100, (89, 100, Decimal("89.0")), False),
    ],
)
def test_small_cells_and_what_would_give_them_away_are_hidden(
    numerator: int, denominator: int, shown: tuple[Any, ...], hidden: bool
) -> None:
    found = rate(numerator, denominator)
    assert (found.numerator, found.denominator, found.percent) == shown
    assert found.is_hidden is hidden
    assert (found.low is None) is (hidden or denominator == 0)


@pytest.mark.parametrize(("number", "shown"), [(0, 0), (1, None), (10, None), (11, 11)])
def test_counts_of_people_from_1_to_10_are_hidden(number: int, shown: int | None) -> None:
    assert count(number).numerator == shown
    assert count(number).is_hidden is (shown is None)


def test_median_and_nearest_rank() -> None:
    values = [Fraction(n) for n in (1, 2, 3, 4, 5, 6, 7, 8, 9, 100)]
    assert median(values) == Fraction(11, 2)
    assert median(values[:3]) == 2
    assert nearest_rank(values, 90) == 9
    assert nearest_rank(values[:1], 90) == 1
    assert spread(values).is_hidden
    found = spread([*values, Fraction(200)])
    assert (found.denominator, found.median, found.p90) == (11, Decimal("6.0"), Decimal("100.0"))
    assert spread([]) == Cell(denominator=0)


# ------------------------------------------------------------------------------------------------ payers
def test_initial_denials_are_those_of_the_first_final_determination() -> None:
    pended = (Answer(at=SENT, action="A4"), Answer(at=SENT + timedelta(days=2), action="A3"))
    turned = (Answer(at=SENT, action="A3"), Answer(at=SENT + timedelta(days=2), action="A1"))
    cases = [
        *several(12, action="A1"),
        *several(11, 100, action="A3", denial_codes=("44",)),
        *several(6, 200, answers=pended, denial_codes=("44", "0U")),
        *several(5, 300, answers=turned),
        *several(4, 400, action="A6"),
        *several(3, 500, action="A2"),
        *several(9, 600, action="A4"),
        *several(9, 700, action=""),
        *several(9, 800, action="A3", state="cancelled"),
        *several(9, 900, action="A3", judgements=()),
    ]
    found = measure("initial_denial_rate", cases)
    assert (found.cells[0].numerator, found.cells[0].denominator) == (22, 41)
    assert found.cells[0].percent == Decimal("53.7")
    assert groups(found, "reason") == {"0U": (None, 41), "44": (17, 41)}
    assert groups(found, "payer") == {"acme": (22, 41)}
    assert groups(found, "diagnosis") == {"S1": (22, 41)}


def test_a_determination_counts_on_the_local_day_it_was_made() -> None:
    late = datetime(2026, 4, 1, 6, 30, tzinfo=UTC)  # 31 March, 23:30 in Los Angeles
    next_day = datetime(2026, 4, 1, 7, 30, tzinfo=UTC)
    assert whole("initial_denial_rate", several(11, answers=(Answer(at=late, action="A1"),))) == (0, 11)
    assert whole("initial_denial_rate", several(11, answers=(Answer(at=next_day, action="A1"),))) == (0, 0)


@pytest.mark.parametrize(
    ("changes", "counts"),
    [
        ({}, True),
        ({"was_asked": True}, False),
        ({"requests_sent": 2}, False),
        ({"action": "A6"}, False),
        ({"action": "A3"}, False),
        ({"answers": (Answer(at=SENT, action="A4"), Answer(at=SENT, action="A1"))}, True),
        ({"answers": (Answer(at=SENT, action="A3"), Answer(at=SENT, action="A1"))}, False),
    ],
)
def test_first_pass(changes: dict[str, Any], counts: bool) -> None:
    assert whole("first_pass_approval", several(20, **changes)) == (20 if counts else 0, 20)


@pytest.mark.parametrize(
    "changes",
    [
        {"action": ""},
        {"action": "A4"},
        {"state": "cancelled"},
        {"sent_at": SENT - timedelta(days=5)},
        {"sent_at": None},
    ],
)
def test_requests_that_are_not_in_the_first_pass_denominator(changes: dict[str, Any]) -> None:
    assert whole("first_pass_approval", several(20, **changes)) == (0, 0)


def test_time_to_authorization_has_median_p90_and_the_open_ones() -> None:
    hours = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 50]
    cases = [case(n, hours=value) for n, value in enumerate(hours)] + several(11, 100, action="A4")
    found = measure("time_to_authorization", cases)
    assert (found.cells[0].denominator, found.cells[0].median, found.cells[0].p90) == (
        11,
        Decimal("6.0"),
        Decimal("10.0"),
    )
    assert groups(found, "still undecided") == {"sent in the period": (11, None)}
    assert [cell.group for cell in found.cells if cell.by == "payer"] == ["acme"]


def test_time_is_counted_by_approval_date_and_days_from_the_orders_date() -> None:
    cases = several(11, hours=48, judgements=(judged(order_on=date(2026, 1, 5)),))
    found = measure("days_from_order", cases)
    assert (found.cells[0].denominator, found.cells[0].median) == (11, Decimal("58.0"))  # 5 January → 4 March
    moved = several(11, hours=24 * 40)
    assert measure("time_to_authorization", moved).cells[0].denominator == 0


def test_a_group_hidden_alone_cannot_be_had_from_the_whole() -> None:
    payers = several(25, payer="a") + several(15, 100, payer="b") + several(5, 200, payer="c")
    assert groups(measure("payer_mix", payers), "payer") == {"a": (25, 45), "b": (None, None), "c": (None, 45)}
    assert groups(measure("payer_mix", payers[:40]), "payer") == {"a": (25, 40), "b": (15, 40)}


@pytest.mark.parametrize(("actions", "counted"), [(("A4", "A1"), 11), (("A6", "A1"), 11), (("A3", "A1"), 0)])
def test_a_denial_undone_by_an_appeal_is_no_time_to_authorization(actions: tuple[str, ...], counted: int) -> None:
    answers = tuple(Answer(at=SENT + timedelta(hours=place + 1), action=name) for place, name in enumerate(actions))
    cases = several(11, answers=answers)
    assert measure("time_to_authorization", cases).cells[0].denominator == counted
    assert measure("days_from_order", cases).cells[0].denominator == counted


@pytest.mark.parametrize(
    ("changes", "within"),
    [
        ({"hours": 168}, True),
        ({"hours": 168.01}, False),
        ({"hours": 72, "is_expedited": True}, True),
        ({"hours": 73, "is_expedited": True}, False),
        ({"hours": 200, "received_at": SENT + timedelta(hours=40)}, True),
    ],
)
def test_payer_timeliness_counts_from_receipt(changes: dict[str, Any], within: bool) -> None:
    assert whole("payer_timeliness", several(12, **changes)) == (12 if within else 0, 12)


@pytest.mark.parametrize("changes", [{"line_of_business": "qhp"}, {"received_at": None}, {"action": "A4"}])
def test_requests_without_a_limit_are_not_in_it(changes: dict[str, Any]) -> None:
    assert whole("payer_timeliness", several(12, **changes)) == (0, 0)


def test_open_requests_past_the_limit_are_counted_beside_it() -> None:
    found = measure("payer_timeliness", several(12, action="A4"))
    assert groups(found, "undecided past the limit") == {"now": (12, None)}


def test_payer_mix() -> None:
    found = measure("payer_mix", [*several(30), *several(20, 100, payer="bolt")])
    assert groups(found, "payer") == {"acme": (30, 50), "bolt": (20, 50)}


# ------------------------------------------------------------------------------------------------ care
def _elements(**changes: str) -> dict[str, str]:
    return {**MET, **changes}


def test_early_orders_are_those_for_the_symptom_without_a_red_flag() -> None:
    early = judged("GAP", elements=_elements(DURATION="unmet"))
    cases = [
        *several(20, judgements=(early,)),
        *several(15, 100),
        *several(11, 200, judgements=(judged("INDETERMINATE", elements=_elements(DURATION="indeterminate")),)),
        *several(9, 300, judgements=(judged("RED_FLAG_BYPASS", elements=_elements(DURATION="waived")),)),
        *several(9, 400, judgements=(replace(early, is_symptom=False),)),
        *several(9, 500, judgements=(replace(early, order_on=date(2026, 2, 28)),)),
        *several(9, 600, judgements=()),
    ]
    found = measure("early_orders", cases)
    assert (found.cells[0].numerator, found.cells[0].denominator) == (20, 46)
    assert groups(found, "cannot tell") == {"duration not known": (11, 46)}
    assert groups(found, "payer") == {"acme": (20, 46)}


def test_an_order_is_early_as_it_was_judged_first() -> None:
    early = judged("GAP", elements=_elements(DURATION="unmet"))
    assert whole("early_orders", several(12, judgements=(early, judged()))) == (12, 12)


def test_completeness_as_a_whole_and_per_element() -> None:
    gap = judged("GAP", elements=_elements(PHARM="unmet", ACTIVITY="not_required"))
    waived = judged("PASS", elements=_elements(OUTCOME="waived"))
    bypass = judged("RED_FLAG_BYPASS", elements=dict.fromkeys(MET, "waived"))
    cases = [
        *several(12, judgements=(gap,)),
        *several(13, 100, judgements=(waived,)),
        *several(11, 200, judgements=(bypass,)),
    ]
    found = measure("documentation_completeness", cases)
    assert (found.cells[0].numerator, found.cells[0].denominator) == (13, 25)
    elements = groups(found, "element")
    assert elements["PHARM"] == (13, 25)
    assert elements["OUTCOME"] == (25, 25)
    assert elements["ACTIVITY"] == (13, 13)


def _timer(number: int = 0, **changes: Any) -> MeasuredTimer:
    given: dict[str, Any] = {
        "case_id": f"c{number}", "started_on": date(2026, 2, 2), "ends_on": date(2026, 3, 16), "state": "completed",
        "ended_on": date(2026, 3, 16), "left_on": date(2026, 3, 16),
    }  # fmt: skip
    return MeasuredTimer(**{**given, **changes})


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, (12, 12)),
        ({"ended_on": None}, (12, 12)),
        ({"left_on": None}, (12, 12)),
        ({"ended_on": None, "left_on": None}, (0, 12)),
        ({"ended_on": date(2026, 3, 17), "left_on": date(2026, 3, 17)}, (0, 12)),
        ({"ended_on": date(2026, 3, 1), "left_on": None, "state": "cancelled"}, (0, 0)),
        ({"ends_on": date(2026, 4, 1)}, (0, 0)),
    ],
)
def test_decided_on_the_day_the_protocol_ended(changes: dict[str, Any], expected: tuple[int, int]) -> None:
    timers = tuple(_timer(number, **changes) for number in range(12))
    assert whole("decided_on_protocol_day", timers=timers) == expected


def test_a_protocol_whose_last_day_has_not_come_is_not_counted() -> None:
    timers = tuple(_timer(number, ended_on=None, left_on=None) for number in range(12))
    given = MeasureInput(period=MARCH, as_of=datetime(2026, 3, 15, 12, tzinfo=UTC), timers=timers)
    found = next(item for item in compute(given) if item.id == "decided_on_protocol_day")
    assert found.cells[0].denominator == 0


SUPPORTED = judged(indication="D1", is_symptom=False, needs_support=True, elements=_elements(CODE_SUPPORT="met"))
UNSUPPORTED = replace(SUPPORTED, verdict="GAP", elements=_elements(CODE_SUPPORT="unmet"))


def test_supported_upgrades_over_cases_with_the_examination() -> None:
    cases = [
        *several(14, judgements=(judged(), SUPPORTED), opened_exam=True),
        *several(13, 100, judgements=(judged(), judged()), opened_exam=True),
        *several(9, 200, judgements=(judged(), SUPPORTED)),
    ]
    assert whole("supported_upgrade_rate", cases) == (14, 27)


@pytest.mark.parametrize(
    ("judgements", "number"),
    [
        ((judged(), SUPPORTED), 0),
        ((judged(), UNSUPPORTED), 11),
        ((UNSUPPORTED,), 0),
        ((UNSUPPORTED, UNSUPPORTED), 0),
        ((judged(), UNSUPPORTED, SUPPORTED), 11),
        ((judged(), replace(UNSUPPORTED, verdict="RED_FLAG_BYPASS")), 0),
        ((judged(), replace(UNSUPPORTED, at=SENT - timedelta(days=40))), 0),
    ],
)
def test_unsupported_upgrades_must_be_none(judgements: tuple[Judgement, ...], number: int) -> None:
    found = measure("unsupported_upgrades", several(11, judgements=judgements))
    assert found.cells[0].numerator == number
    assert found.is_alarm is bool(number)


def test_even_one_unsupported_upgrade_is_an_alarm_although_its_number_is_hidden() -> None:
    found = measure("unsupported_upgrades", [case(judgements=(judged(), UNSUPPORTED))])
    assert (found.is_alarm, found.cells[0].numerator, found.cells[0].is_hidden) == (True, None, True)


def test_overrides_over_orders_with_a_gap() -> None:
    gap = (judged("GAP"),)
    cases = [*several(12, judgements=gap, is_overridden=True), *several(12, 100, judgements=gap), *several(12, 200)]
    panels = tuple(
        Advice(on=date(2026, 3, 5), outcome=word) for word in ["overridden"] * 11 + ["accepted"] * 11 + [""] * 11
    )
    found = measure("overrides", cases, panels=panels)
    assert (found.cells[0].numerator, found.cells[0].denominator) == (12, 24)
    assert groups(found, "panel") == {"at order entry": (11, 33)}


def test_bypasses_by_clinician_and_who_stands_out() -> None:
    bypass = (judged("RED_FLAG_BYPASS"),)
    cases = [
        *several(13, judgements=bypass, clinician="Dr. High"),
        *several(20, 100, clinician="Dr. High"),
        *several(40, 200, clinician="Dr. Low"),
        *several(5, 300, judgements=bypass, clinician="Dr. Few"),
    ]
    found = measure("red_flag_bypasses", cases)
    assert (found.cells[0].numerator, found.cells[0].denominator) == (18, 78)
    assert groups(found, "clinician") == {"Dr. Few": (None, None), "Dr. High": (13, 33), "Dr. Low": (0, 40)}
    assert found.is_alarm
    assert [note.split(":")[0] for note in found.notes] == ["Dr. High"]


def test_nobody_stands_out_with_the_usual_share() -> None:
    bypass = (judged("RED_FLAG_BYPASS"),)
    cases = [
        *(item for name in ("A", "B", "C") for item in several(3, judgements=bypass, clinician=name)),
        *(item for name in ("A", "B", "C") for item in several(20, clinician=name)),
    ]
    assert not measure("red_flag_bypasses", cases).is_alarm


@pytest.mark.parametrize(("days", "counts"), [(0, True), (90, True), (91, False), (-1, False)])
def test_red_flags_after_a_timer(days: int, counts: bool) -> None:
    day = datetime(2026, 3, 10, 12, tzinfo=UTC) + timedelta(days=days)
    found = (judged(), judged("RED_FLAG_BYPASS", at=day))
    timers = tuple(_timer(number, started_on=date(2026, 3, 10)) for number in range(12))
    cases = several(12, judgements=found)
    assert whole("red_flags_after_timer", cases, timers=timers) == (12 if counts else 0, 12)


def test_rule_rows_past_their_review() -> None:
    rules = (
        RuleRowFact(name="a 1.0.0", is_overdue=True, is_illustrative=False),
        RuleRowFact(name="b 1.0.0", is_overdue=False, is_illustrative=True),
    )
    found = measure("rule_rows_overdue", rules=rules)
    assert (found.cells[0].numerator, found.cells[0].denominator, found.cells[1].numerator) == (1, 2, 1)
    assert (found.is_alarm, found.notes) == (True, ("a 1.0.0: review overdue.",))


def test_orders_by_clinician_show_where_a_pilot_begins() -> None:
    found = measure("orders_by_clinician", [*several(12), *several(3, 100, clinician="Dr. B")])
    assert groups(found, "clinician") == {"Dr. A": (12, None), "Dr. B": (None, None)}


# ------------------------------------------------------------------------------------------------ operator
def test_what_nobody_supplies_is_not_recorded() -> None:
    for name in ("revenue_at_risk", "post_pay_audit_frequency", "post_pay_recovery_rate", "staff_time"):
        found = measure(name)
        assert (found.is_recorded, found.notes) == (False, (NOT_RECORDED,))


def _claim(number: int, **changes: Any) -> ClaimFact:
    return ClaimFact(**{"claim_id": f"k{number}", "on": date(2026, 3, 5), "expected": Decimal(400), **changes})


def _with_claims(*claims: ClaimFact, cost: str | None = "50") -> OperatorFacts:
    return OperatorFacts(claims=claims, appeal_cost=Decimal(cost) if cost else None)


def test_a_claim_is_in_one_bucket() -> None:
    claims = [
        _claim(1, is_denied=True),
        _claim(2, is_denied=True, is_overturned=True, appeals=2),
        _claim(3, is_denied=True, recouped=Decimal("120.50")),
        _claim(4, paid=Decimal(390), audit_verdict="GAP"),
        _claim(5, paid=Decimal(390), audit_verdict="GAP", recouped=Decimal(390)),
        _claim(6, paid=Decimal(390), audit_verdict="PASS"),
        _claim(7, is_denied=True, on=date(2026, 2, 1)),
        *(_claim(number, paid=Decimal(390)) for number in range(20, 30)),
    ]
    found = measure("revenue_at_risk", several(20), operator=_with_claims(*claims, _claim(1, is_denied=True)))
    low = Decimal(400) + 100 + Decimal("120.50") + 390
    assert (found.cells[0].amount_low, found.cells[0].amount_high) == (low, low + 390)
    assert found.cells[0].denominator == 16
    assert found.cells[1].amount_low == Decimal("5052.50")  # per 100 orders, 20 orders


def test_few_claims_are_hidden_and_a_missing_cost_is_said() -> None:
    few = measure("revenue_at_risk", operator=_with_claims(_claim(1, is_denied=True)))
    assert few.cells == (Cell(is_hidden=True),)
    claims = [_claim(number, is_denied=True, appeals=1) for number in range(11)]
    found = measure("revenue_at_risk", operator=_with_claims(*claims, cost=None))
    assert found.cells[0].amount_low == 4400
    assert "not set" in found.notes[0]


def test_audits_and_recoveries_of_paid_claims() -> None:
    paid = [_claim(number, paid=Decimal(1), on=date(2025, 3, 1)) for number in range(30)]
    asked = [replace(item, audit_on=date(2026, 3, 9)) for item in paid[:12]]
    taken = [replace(item, recouped=Decimal(1)) for item in paid[12:25]]
    young = [_claim(number, paid=Decimal(1), recouped=Decimal(1)) for number in range(50, 55)]
    operator = _with_claims(*paid, *asked, *taken, *young)
    assert whole("post_pay_audit_frequency", operator=operator) == (12, 35)
    assert whole("post_pay_recovery_rate", operator=operator) == (13, 30)


def test_staff_minutes() -> None:
    minutes = (*((date(2026, 3, day), Decimal(day)) for day in range(1, 12)), (date(2026, 4, 1), Decimal(900)))
    found = measure("staff_time", operator=OperatorFacts(staff_minutes=minutes))
    assert (found.cells[0].denominator, found.cells[0].median, found.cells[0].p90) == (
        11,
        Decimal("6.0"),
        Decimal("10.0"),
    )


# ------------------------------------------------------------------------------------------------ forms
def _form(title: str = "Spine", day: int = 5, **changes: Any) -> MeasuredForm:
    at = datetime(2026, 3, day, 12, tzinfo=UTC)
    given: dict[str, Any] = {
        "title": title,
        "completed_at": at,
        "kept": 20,
        "overridden": ("onset", "drug"),
        "manual": 3,
    }
    return MeasuredForm(**{**given, **changes})


def test_answers_from_the_chart_and_those_that_people_changed() -> None:
    cases = [
        *several(6, forms=(_form(),)),
        *several(4, 100, forms=(_form("Joint", kept=10, overridden=(), manual=10),)),
        *several(9, 200, forms=(_form(completed_at=datetime(2026, 2, 5, tzinfo=UTC)),)),
        *several(9, 300, forms=(_form(completed_at=None),)),
    ]
    found = measure("answers_from_chart", cases)
    assert (found.cells[0].numerator, found.cells[0].denominator) == (160, 230)
    assert groups(found, "form") == {"Joint": (40, 80), "Spine": (120, 150)}
    changed = measure("answers_overridden", cases)
    assert (changed.cells[0].numerator, changed.cells[0].denominator) == (12, 172)
    assert groups(changed, "form") == {"Joint": (0, 40), "Spine": (12, 132)}
    assert groups(changed, "question") == {"Spine: drug": (6, None), "Spine: onset": (6, None)}


def test_decided_at_the_first_answer() -> None:
    pended = (Answer(at=SENT, action="A4"), Answer(at=SENT, action="A1"))
    found = measure(
        "decided_at_first_answer", [*several(13), *several(12, 100, answers=pended), *several(9, 200, action="")]
    )
    assert (found.cells[0].numerator, found.cells[0].denominator) == (13, 25)
    assert groups(found, "payer") == {"acme": (13, 25)}


def test_the_outbox_counts_what_waits_and_what_was_given_up() -> None:
    cases = [*several(2, sendings=("answered", "unknown")), *several(1, 9, sendings=("failed", "refused", "intent"))]
    found = measure("outbox", cases)
    assert groups(found, "state") == {
        "on the way": (3, None), "given up": (1, None), "refused": (1, None), "answered": (2, None),
    }  # fmt: skip
    assert found.is_alarm
    assert not measure("outbox", several(3, sendings=("answered",))).is_alarm


def test_every_measure_has_a_definition_and_an_own_name() -> None:
    found = compute(MeasureInput(period=MARCH, as_of=AS_OF))
    assert len({item.id for item in found}) == len(found)
    assert all(
        "/" in item.definition or ";" in item.definition or item.unit in ("count", "amount", "hours", "days", "minutes")
        for item in found
    )
