"""The page that audits the last charts: who may, what it shows, what it hands out."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import structlog

from gateway.cases.facts import read_facts
from gateway.clinical.rules import load_rules
from gateway.demo.charts import all_charts
from gateway.fhir.json import dump_json, parse_json
from gateway.flows import ledger
from gateway.flows.ledger import Act, Item
from gateway.flows.services import Services
from gateway.logs import configure_logs
from tests.web_house import Browser, add_case, application, open_house, with_chart

CHARTS = {chart.chart_id: chart for chart in all_charts()}


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Services]:
    services = replace(open_house(tmp_path / "house"), rules=load_rules())
    yield services
    services.store.close()


def add_chart(services: Services, name: str, **fields: Any) -> str:
    """A case whose chart was read; its id."""
    chart = CHARTS[name]
    resources = [entry["resource"] for entry in chart.bundle["entry"]]
    case = add_case(services, "held", order_reference=chart.order_reference, **fields)
    return _with_only(services, with_chart(services, case, *resources), len(resources))


def _with_only(services: Services, case: Any, count: int) -> str:
    """The case with the last `count` resources of its chart only: `with_chart` adds another patient's of its own."""
    facts = read_facts(case.facts)
    with services.store.read() as tx:
        manifest = parse_json(tx.objects.get(case.tenant_id, case.case_id, facts.snapshot))
    manifest["resources"] = manifest["resources"][-count:]
    item = Item.body(dump_json(manifest), "application/json")
    act = Act(verb="ehr-extract", about=(item,))
    ledger.append(services, case, act, facts=replace(facts, snapshot=item.digest))
    return str(case.case_id)


def signed_in(services: Services, user: str = "ada") -> Browser:
    browser = Browser(application(services))
    browser.sign_in(user)
    return browser


@pytest.mark.threat("T16")
@pytest.mark.parametrize(("user", "status"), [("ada", 200), ("sam", 403), ("cleo", 403), ("otto", 403)])
def test_only_auditors_audit(house: Services, user: str, status: int) -> None:
    browser = signed_in(house, user)
    assert browser.get("/audit").status_code == status
    token = signed_in(house).get("/audit").text
    assert "Audit the last 25 charts" in token
    links = browser.get("/").text if user != "otto" else ""
    assert ('href="/audit"' in links) == (status == 200)


def test_a_request_that_was_made_up_is_refused(house: Services) -> None:
    browser = signed_in(house, "sam")
    assert browser.post("/audit", {"source": "cases", "rule": "", "as": "csv"}).status_code == 403
    auditor = signed_in(house)
    assert auditor.post("/audit", {"source": "cases"}).status_code == 403
    assert auditor.submit("/audit", "/audit", {"source": "elsewhere", "rule": ""}).status_code == 400
    assert auditor.submit("/audit", "/audit", {"source": "cases", "rule": "no-such"}).status_code == 404


def test_the_page_says_what_fails_and_names_nobody(house: Services) -> None:
    met, gap = add_chart(house, "P01"), add_chart(house, "P02")
    unread = add_case(house)
    page = signed_in(house).submit("/audit", "/audit", {"source": "cases", "rule": "ill-cgs"})
    assert page.status_code == 200
    for case_id in (met, gap, unread.case_id):
        assert f'href="/cases/{case_id}"' in page.text
    assert "<strong>2</strong> audited, <strong>1</strong> not audited" in page.text
    assert "No therapy referral is on file." in page.text
    assert "not a payer’s policy" in page.text
    assert "The chart was not read yet" in page.text
    names = {text for name in ("P01", "P02") for text in _names(name)}
    assert not [name for name in names if name in page.text]


def _names(chart: str) -> Iterator[str]:
    for entry in CHARTS[chart].bundle["entry"]:
        if entry["resource"]["resourceType"] == "Patient":
            yield from (entry["resource"]["name"][0]["family"], entry["resource"]["birthDate"])


def test_the_result_is_handed_out_as_files_and_that_is_logged(house: Services) -> None:
    case = add_chart(house, "P02")
    browser = signed_in(house)
    configure_logs("info")
    with structlog.testing.capture_logs() as logged:
        got = {
            form: browser.submit("/audit", "/audit", {"source": "cases", "rule": "*", "as": form})
            for form in ("csv", "json", "html")
        }
    assert {form: answer.status_code for form, answer in got.items()} == {"csv": 200, "json": 200, "html": 200}
    assert all("attachment" in answer.headers["content-disposition"] for answer in got.values())
    lines = list(csv.DictReader(io.StringIO(got["csv"].text)))
    found = json.loads(got["json"].text)
    assert [line["rule"] for line in lines] == [rule["rule"] for rule in found["charts"][0]["rules"]]
    assert {line["verdict"] for line in lines} == {"GAP"}
    assert "<script" not in got["html"].text
    exported = [(entry["verb"], entry["actor"]) for entry in logged if entry["event"] == "chart-audit-exported"]
    assert exported == [("csv", "user:ada"), ("json", "user:ada"), ("html", "user:ada")]
    assert [entry["case_id"] for entry in logged if entry["event"] == "chart-audited"] == [case] * 3
    assert [entry["count"] for entry in logged if entry["event"] == "charts-audited"] == [1, 1, 1]


def test_another_tenants_cases_are_not_audited(house: Services) -> None:
    add_case(house, tenant_id="other")
    page = signed_in(house).submit("/audit", "/audit", {"source": "cases", "rule": ""})
    assert "There is no order of a service that a rule is about." in page.text


def test_no_more_than_the_last_charts_are_audited(house: Services) -> None:
    cases = [add_case(house).case_id for _ in range(27)]
    page = signed_in(house).submit("/audit", "/audit", {"source": "cases", "rule": ""})
    assert sum(f'href="/cases/{case}"' in page.text for case in cases) == 25


def test_an_ehr_that_is_away_is_a_page_that_says_so(house: Services) -> None:
    page = signed_in(house).submit("/audit", "/audit", {"source": "ehr", "rule": ""})
    assert page.status_code == 504
    assert "<h1>" in page.text
    assert "audited" not in page.text
