"""Trouble that others had with coverage discovery, carried through the whole flow: cases of area `crd`.

The readers and builders these cases hit are tried alone in test_field_cases_profiles.py (B79, B83) and
test_field_cases_clients.py (B81); here stands what becomes of an order.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.demo.charts import DemoChart, demo_charts
from gateway.fhir.json import dump_json, parse_json
from gateway.fhir.reading import thaw
from tests.acceptance.posts import order_of
from tests.flows_house import EHR_URL, House, open_house

CHART: DemoChart = next(chart for chart in demo_charts() if chart.scenario == "approved")
HOOK = "/cds-services/order-sign"


@pytest.fixture(scope="module")
def cases(corpora: Path) -> dict[str, Any]:
    lines = (corpora / "field-cases" / "cases.jsonl").read_text(encoding="utf-8").splitlines()
    return {case["id"]: case for case in map(json.loads, lines)}


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with open_house(tmp_path, [CHART.bundle]) as opened:
        yield opened


def _uninsured(house: House) -> dict[str, str]:
    """The order of the chart as one that names no coverage, as B77 has it; gives its pointer."""
    order = {key: value for key, value in order_of(CHART).items() if key not in ("insurance", "identifier")}
    house.ehr_store.update("ServiceRequest", "uninsured", {**order, "id": "uninsured"}, None)
    return {"fhirServer": EHR_URL, "order": "ServiceRequest/uninsured"}


def _hooks(house: House) -> list[Any]:
    return [parse_json(body) for method, url, body in house.payers.seen if method == "POST" and "/cds-services/" in url]


def _answer_hooks(house: House, status: int, body: bytes, media_type: str = "application/json") -> None:
    def rule(request: httpx.Request) -> httpx.Response | None:
        if request.method != "POST" or "/cds-services/" not in request.url.path:
            return None
        return httpx.Response(status, content=body, headers={"content-type": media_type})

    house.payers.rules.append(rule)


def test_b77_the_coverage_is_searched_and_one_is_sent(house: House, cases: dict[str, Any]) -> None:
    assert "insurance" not in dump_json(cases["B77"]["input"]["context"]).decode()
    case = house.open_case(_uninsured(house))
    assert case.coverage_reference == CHART.coverage_reference
    house.work()
    (request,) = _hooks(house)
    sent = [value for key, value in request["prefetch"].items() if key == "coverage"]
    coverages = [entry["resource"]["id"] for bundle in sent for entry in bundle["entry"]]
    assert coverages == [CHART.coverage_reference.partition("/")[2]]
    assert house.case(case.case_id).state == "documenting"


def test_b77_a_bare_500_is_repeated_with_pauses_and_ends_with_a_person(house: House, cases: dict[str, Any]) -> None:
    answer = cases["B77"]["input"]["payer_answers"]
    _answer_hooks(house, answer["status"], answer["body"].encode(), "text/plain")
    case = house.open_case(_uninsured(house))
    house.work()
    waiting = house.case(case.case_id)
    assert waiting.state == "checking"
    assert waiting.due_at is not None
    assert waiting.due_at - house.clock.now() >= timedelta(seconds=1)
    rested = house.work_on(case.case_id, lambda row: row.state == "needs_attention", tries=400)
    assert len(_hooks(house)) > 1
    assert "payer" in rested.next_action
    assert rested.decision == ""
    house.payers.rules.clear()
    assert house.call("POST", f"/cases/{case.case_id}/update").status_code == 200
    house.clock.instant += timedelta(minutes=10)
    assert house.work_on(case.case_id, lambda row: row.state == "documenting")


def test_b77_without_any_coverage_the_payer_is_not_called(house: House, cases: dict[str, Any]) -> None:
    assert "coverage missing" in cases["B77"]["expected"]["no_coverage_at_all"]
    pointer = _uninsured(house)
    stored = house.ehr_store.read(*CHART.coverage_reference.split("/")).resource
    house.ehr_store.update("Coverage", stored["id"], {**thaw(stored), "status": "cancelled"}, None)
    answer = house.post(pointer)
    assert answer.status_code == 422
    assert answer.json()["issue"][0]["details"]["coding"][0]["code"] == "coverage.missing"
    assert house.payers.seen == []
    assert house.count() == 0


@pytest.mark.parametrize("position", [0, 1, 2])
def test_b83_an_answer_without_cards_is_taken_and_says_nothing_about_authorization(
    house: House, cases: dict[str, Any], position: int
) -> None:
    assert cases["B83"]["expected"]["accepted"][position]
    _answer_hooks(house, 200, dump_json(cases["B83"]["input"]["bodies"][position]))
    case = house.open_case({"fhirServer": EHR_URL, "order": CHART.order_reference})
    house.work()
    rested = house.case(case.case_id)
    assert rested.state == "needs_attention", "no statement is never read as no authorization needed"
    assert house.facts(case.case_id).need_action
    assert len(_hooks(house)) == 1, "an answer is an answer; it is not asked for again"


def test_b79_no_prefetch_query_holds_a_template(house: House) -> None:
    case = house.open_case({"fhirServer": EHR_URL, "order": CHART.order_reference})
    house.work()
    (request,) = _hooks(house)
    text = dump_json(request).decode()
    assert "{{" not in text
    assert request["context"]["patientId"] == case.patient_reference.partition("/")[2]
    assert all("{{" not in url and "%7B%7B" not in url for _, url, _ in house.ehr.seen)
