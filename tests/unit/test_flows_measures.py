"""The measures read from the store: events, sendings, evaluations, timers and panels joined into rows."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from gateway.cases.states import CaseState
from gateway.errors import AccessError, InputError, SettingsError
from gateway.fhir.json import dump_json
from gateway.flows import forms, measures
from gateway.flows.actors import Actor
from gateway.flows.ledger import Act, Item, append
from gateway.flows.measures import MeasureSheet, read_measures
from gateway.flows.measures_output import CSV_COLUMNS, as_csv, as_json
from gateway.flows.services import Services
from gateway.policy.metrics_measure import Measure
from tests.measures_house import decided, furnish, held, judge, move, overridden, send, with_panel, with_timer
from tests.web_house import add_case, documenting, open_house

STAFF = Actor(id="sam", kind="user", tenant="main", roles=("staff",))
SUPPORTED = {"CODE_SUPPORT": "met"}


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Services:
    """Sixty orders of one day and what became of them."""
    services = open_house(tmp_path_factory.mktemp("measures") / "house")
    furnish(services)
    diagnosis = services.concepts.region[0].diagnosis_code
    for _ in range(12):
        decided(services, "A1")
    for _ in range(11):
        decided(services, "A3,A1", "44: conservative treatment failure not documented")
    for number in range(12):
        case = held(services)
        with_timer(services, case, date(2026, 2, 2), ended_at=None)
        overridden(services, move(services, case, CaseState.READY) if number else case)
        with_panel(services, "overridden")
    for _ in range(13):
        case = judge(services, held(services), "PASS", indication=diagnosis, **SUPPORTED)
        note = {"kind": "template-draft", "form": _exam_form()}
        append(services, case, Act(verb="manual-answer", about=(Item.body(dump_json({"a": 1})),), note=note))
    judge(services, held(services), "GAP", indication=diagnosis, CODE_SUPPORT="unmet")
    for _ in range(11):
        send(services, send(services, judge(services, add_case(services, "pended"), "RED_FLAG_BYPASS")), "update")
    add_case(services, "received")
    for _ in range(11):  # drafts that were given up before anybody signed them: no orders
        move(services, held(services), CaseState.CANCELLED)
    return services


def _exam_form() -> str:
    return min(measures._exam_forms())


@pytest.fixture(scope="module")
def sheet(full: Services) -> MeasureSheet:
    return read_measures(full, STAFF)


@pytest.fixture(scope="module")
def find(sheet: MeasureSheet) -> Callable[[str], Measure]:
    return lambda name: next(measure for measure in sheet.measures if measure.id == name)


def _whole(measure: Measure) -> tuple[int | None, int | None]:
    return measure.cells[0].numerator, measure.cells[0].denominator


def test_orders_in_scope_and_others_are_told_apart(sheet: MeasureSheet) -> None:
    assert (sheet.orders, sheet.others) == (60, 1)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("initial_denial_rate", (11, 23)),
        ("first_pass_approval", (12, 23)),
        ("payer_timeliness", (23, 23)),
        ("early_orders", (26, 49)),
        ("documentation_completeness", (23, 49)),
        ("decided_on_protocol_day", (None, 12)),  # one case still waits: 11 of 12 would give it away
        ("supported_upgrade_rate", (13, 13)),
        ("unsupported_upgrades", (None, None)),
        ("overrides", (12, 26)),
        ("red_flag_bypasses", (11, 60)),
        ("red_flags_after_timer", (0, 12)),
        ("rule_rows_overdue", (0, 8)),
        ("orders_by_clinician", (60, None)),
        ("decided_at_first_answer", (23, 23)),
        ("answers_from_chart", (0, 0)),
        ("outbox", (45, None)),
    ],
)
def test_measures_of_the_house(find: Callable[[str], Measure], name: str, expected: tuple[Any, Any]) -> None:
    assert _whole(find(name)) == expected


def test_time_runs_from_sending_to_the_answer(find: Callable[[str], Measure]) -> None:
    found = find("time_to_authorization").cells[0]
    assert (found.denominator, found.median, found.p90) == (12, Decimal("2.0"), Decimal("2.0"))
    assert find("days_from_order").cells[0].median == Decimal("2.0")


def test_a_reason_is_its_code_without_its_words(find: Callable[[str], Measure]) -> None:
    groups = [cell.group for cell in find("initial_denial_rate").cells if cell.by == "reason"]
    assert groups == ["44"]


def test_an_unsupported_upgrade_raises_the_alarm(find: Callable[[str], Measure]) -> None:
    assert find("unsupported_upgrades").is_alarm
    assert find("unsupported_upgrades").cells[0].is_hidden


def test_answers_are_counted_by_where_they_are_from(tmp_path: Path) -> None:
    services = open_house(tmp_path / "house")
    furnish(services)
    for _ in range(11):
        case = documenting(services)
        given = {"born": ["2012-02-20"], "weeks": ["7"], "hurts": [True]}
        forms.fill(services, STAFF, case.case_id, "1", given)
        forms.complete(services, STAFF, case.case_id, "1")
    found = {measure.id: measure for measure in read_measures(services, STAFF).measures}
    assert _whole(found["answers_from_chart"]) == (0, 33)
    assert _whole(found["answers_overridden"]) == (11, 11)
    question = next(cell for cell in found["answers_overridden"].cells if cell.by == "question")
    assert (question.group.endswith(": born"), question.numerator) == (True, 11)


def test_panels_are_counted(find: Callable[[str], Measure]) -> None:
    panel = next(cell for cell in find("overrides").cells if cell.by == "panel")
    assert (panel.numerator, panel.denominator) == (12, 12)


def test_json_and_csv_say_the_same_and_name_nobody(sheet: MeasureSheet) -> None:
    value = json.loads(dump_json(as_json(sheet)))
    assert value["period"] == {"from": "2025-12-17", "to": "2026-03-16", "zone": "America/Los_Angeles"}
    rows = list(csv.DictReader(io.StringIO(as_csv(sheet))))
    assert tuple(rows[0]) == CSV_COLUMNS
    denial = next(row for row in rows if row["measure"] == "initial_denial_rate")
    cell = next(item for item in value["measures"] if item["id"] == "initial_denial_rate")["cells"][0]
    assert (denial["numerator"], denial["denominator"], denial["percent"]) == ("11", "23", "47.8")
    assert (cell["numerator"], cell["denominator"], cell["percent"], cell["hidden"]) == (11, 23, 47.8, False)
    assert [row["measure"] for row in rows if row["measure"] == "staff_time"] == ["staff_time"]
    for text in (as_csv(sheet), json.dumps(value)):
        assert "Zzyxqa" not in text
        assert "MRN-4711" not in text


@pytest.mark.parametrize(("start", "end"), [(date(2026, 3, 16), date(2026, 3, 16)), (date(2026, 3, 1), None)])
def test_a_period_is_its_local_days(full: Services, start: date, end: date | None) -> None:
    found = read_measures(full, STAFF, start, end)
    assert found.orders == 60
    earlier = read_measures(full, STAFF, date(2026, 1, 1), date(2026, 3, 15))
    assert earlier.orders == 0


@pytest.mark.parametrize(("start", "end"), [(date(2026, 3, 2), date(2026, 3, 1)), (date(2020, 1, 1), date(2026, 3, 1))])
def test_a_period_that_makes_no_sense_is_refused(full: Services, start: date, end: date) -> None:
    with pytest.raises(InputError):
        read_measures(full, STAFF, start, end)


def test_more_orders_than_one_report_covers_are_refused(full: Services) -> None:
    assert read_measures(full, STAFF, most=72).orders == 60
    with pytest.raises(InputError, match="shorter"):
        read_measures(full, STAFF, most=71)


def test_another_tenant_sees_nothing_of_it(full: Services) -> None:
    assert read_measures(full, replace(STAFF, tenant="other")).orders == 0


def test_a_system_may_not_read_measures(full: Services) -> None:
    with pytest.raises(AccessError):
        read_measures(full, replace(STAFF, roles=("system",)))


CLAIMS = "claim_id,on,expected,paid,denied,overturned,recouped,recouped_on,audit_on,audit_verdict,appeals\n"


def _with_files(services: Services, tmp_path: Path, claims: str = "", minutes: str = "") -> MeasureSheet:
    given: dict[str, Any] = {"appeal_cost": Decimal("118")}
    for name, text in (("claims", claims), ("staff_minutes", minutes)):
        if text:
            given[name] = tmp_path / f"{name}.csv"
            given[name].write_text(text)
    chosen = services.settings.measures.model_copy(update=given)
    changed = replace(services)
    changed.settings = services.settings.model_copy(update={"measures": chosen})
    return read_measures(changed, STAFF)


def test_an_operator_adds_claims_and_minutes(full: Services, tmp_path: Path) -> None:
    claims = CLAIMS + "".join(f"C{n},2026-03-05,400,0,yes,no,,,,,{int(n == 0)}\n" for n in range(11))
    minutes = "on,minutes\n" + "2026-03-05,12.5\n" * 11
    found = {measure.id: measure for measure in _with_files(full, tmp_path, claims, minutes).measures}
    assert found["revenue_at_risk"].cells[0].amount_low == Decimal("4518")
    assert found["staff_time"].cells[0].median == Decimal("12.5")


@pytest.mark.parametrize(
    ("claims", "where"),
    [
        ("claim_id,on\n", "claims.csv: line 1: these columns"),
        (CLAIMS + "C1,5 March,1,1,no,no,,,,,0\n", "claims.csv: line 2: on: a day"),
        (CLAIMS + ",2026-03-05,1,1,no,no,,,,,0\n", "claims.csv: line 2: claim_id: a value"),
        (CLAIMS + "C1,2026-03-05,NaN,1,no,no,,,,,0\n", "claims.csv: line 2: expected: a plain number"),
        (CLAIMS + "C1,2026-03-05,-5,1,no,no,,,,,0\n", "claims.csv: line 2: expected: a plain number"),
        (CLAIMS + "C1,2026-03-05,1,1,maybe,no,,,,,0\n", "claims.csv: line 2: denied: yes or no"),
        (CLAIMS + "C1,2026-03-05,1\n", "claims.csv: line 2: 11 cells"),
        (CLAIMS + 'C1,"2026-03-05,1,1,no,no,,,,,0\n', "claims.csv: line 2: this is not CSV"),
        ("\x00\xff", "claims.csv: "),
    ],
)
def test_a_faulty_file_is_named_with_line_and_column_and_without_its_value(
    full: Services, tmp_path: Path, claims: str, where: str
) -> None:
    with pytest.raises(SettingsError) as refusal:
        _with_files(full, tmp_path, claims)
    assert refusal.value.message.startswith(where)
    assert "March" not in refusal.value.message.replace("these", "")


def test_a_file_that_is_not_there_is_named(full: Services) -> None:
    changed = replace(full)
    chosen = full.settings.measures.model_copy(update={"claims": Path("nowhere.csv")})
    changed.settings = full.settings.model_copy(update={"measures": chosen})
    with pytest.raises(SettingsError, match=r"nowhere\.csv: a readable"):
        read_measures(changed, STAFF)
