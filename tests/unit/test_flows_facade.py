"""What a payer may read of one chart during a hook, over HTTP: its own coverage, the order, the people of both."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from gateway.demo.charts import DemoChart, demo_charts
from gateway.fhir.reading import thaw
from gateway.flows import facade
from gateway.store.rows import CaseRow
from tests.acceptance.posts import coverage, person
from tests.flows_house import EHR_URL, House, open_house

CHART: DemoChart = next(chart for chart in demo_charts() if chart.scenario == "approved")
PATIENT_ID = CHART.patient_reference.partition("/")[2]
COVERAGE_ID = CHART.coverage_reference.partition("/")[2]
ORDER_ID = CHART.order_reference.partition("/")[2]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    others = [person("somebody-else"), coverage("second", PATIENT_ID, "other-plan", order=2)]
    chart = thaw(CHART.bundle)
    chart["entry"] += [{"resource": item} for item in others]
    with open_house(tmp_path_factory.mktemp("facade"), [chart]) as opened:
        yield opened


@pytest.fixture(scope="module")
def case(house: House) -> CaseRow:
    opened = house.open_case({"fhirServer": EHR_URL, "order": CHART.order_reference})
    house.work()
    return house.case(opened.case_id)


def _get(house: House, case: CaseRow, path: str, token: str | None = None) -> Any:
    given = facade.issue_token(house.services, case, timedelta(seconds=30)) if token is None else token
    headers = {"Authorization": f"Bearer {given}"} if given else {}
    return house.call("GET", f"/payer-fhir/{path}", by="", headers=headers)


@pytest.mark.parametrize(
    "path", [CHART.order_reference, CHART.patient_reference, CHART.coverage_reference, f"Patient/{PATIENT_ID}/"]
)
def test_what_the_decision_is_about_can_be_read(house: House, case: CaseRow, path: str) -> None:
    answer = _get(house, case, path)
    assert answer.status_code == 200
    assert f"{answer.json()['resourceType']}/{answer.json()['id']}" == path.rstrip("/")
    assert answer.headers["Content-Type"].startswith("application/fhir+json")
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.threat("T14")
@pytest.mark.parametrize(
    "path", ["Patient/somebody-else", "Coverage/second", "Observation/1", "Patient/..", "", "metadata", "x/y/z"]
)
def test_everything_else_does_not_exist(house: House, case: CaseRow, path: str) -> None:
    answer = _get(house, case, path)
    if answer.status_code == 200:
        assert answer.json()["total"] == 0
    else:
        assert answer.status_code == 404
        assert answer.json()["resourceType"] == "OperationOutcome"


def test_nothing_clinical_is_found(house: House, case: CaseRow) -> None:
    for kind in ("Observation", "Condition", "Procedure", "DocumentReference", "QuestionnaireResponse", "Task"):
        assert _get(house, case, f"{kind}?patient={PATIENT_ID}").json()["total"] == 0


@pytest.mark.requirement("crd:dev-29")
@pytest.mark.parametrize(
    ("query", "ids"),
    [
        (f"Coverage?patient={PATIENT_ID}", [COVERAGE_ID]),
        (f"Coverage?patient=Patient/{PATIENT_ID}&status=active", [COVERAGE_ID]),
        (f"Coverage?beneficiary={PATIENT_ID}&_count=5", [COVERAGE_ID]),
        ("Coverage?status=cancelled", []),
        ("Coverage?patient=somebody-else", []),
        (f"Patient?_id={PATIENT_ID}", [PATIENT_ID]),
        (f"Patient?_id=x,{PATIENT_ID}", [PATIENT_ID]),
        ("Patient?_id=somebody-else", []),
        (f"ServiceRequest?subject=Patient/{PATIENT_ID}&_id={ORDER_ID}", [ORDER_ID]),
        (f"ServiceRequest?_id={ORDER_ID}&_include=ServiceRequest:performer", [ORDER_ID]),
    ],
)
def test_searches_find_this_payers_alone(house: House, case: CaseRow, query: str, ids: list[str]) -> None:
    found = _get(house, case, query).json()
    assert (found["resourceType"], found["type"], found["total"]) == ("Bundle", "searchset", len(ids))
    assert [entry["resource"]["id"] for entry in found.get("entry", [])] == ids
    assert all(entry["fullUrl"].startswith(house.services.facade_url) for entry in found.get("entry", []))


def test_a_parameter_that_is_not_known_is_told(house: House, case: CaseRow) -> None:
    answer = _get(house, case, "Coverage?payor=x")
    assert answer.status_code == 400
    assert "not supported" in answer.json()["issue"][0]["diagnostics"]


def _forged(**claims: Any) -> str:
    body = base64.urlsafe_b64encode(json.dumps({"t": "main", "p": "x", "e": 9e9, **claims}).encode()).rstrip(b"=")
    return f"{body.decode()}.{'0' * 64}"


@pytest.mark.threat("T1")
def test_a_token_that_was_not_issued_here_is_refused(house: House, case: CaseRow) -> None:
    good = facade.issue_token(house.services, case, timedelta(seconds=30))
    payload, _, mac = good.partition(".")
    made_up = ["", "x", "x.y", f"{payload}.", f".{mac}", f"{payload}x.{mac}", good[:-1], _forged(c=case.case_id), "ä.ö"]
    for token in made_up:
        headers = {"Authorization": f"Bearer {token}".strip().encode("latin-1")}
        answer = house.call("GET", f"/payer-fhir/{CHART.patient_reference}", by="", headers=headers)
        assert answer.status_code == 401, token
        assert answer.json()["issue"][0]["code"] == "login"


def test_a_token_ends_and_an_api_secret_is_none(house: House, case: CaseRow) -> None:
    ended = facade.issue_token(house.services, case, timedelta(seconds=-1))
    assert _get(house, case, CHART.patient_reference, ended).status_code == 401
    assert house.call("GET", f"/payer-fhir/{CHART.patient_reference}", by="sam").status_code == 401
    token = facade.issue_token(house.services, case, timedelta(seconds=30))
    assert house.call("GET", "/cases", by="", headers={"Authorization": f"Bearer {token}"}).status_code == 401
