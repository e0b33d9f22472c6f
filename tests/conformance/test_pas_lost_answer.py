"""The payer's answer is lost and the process dies: the request counts once all the same (field case B93)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.demo.charts import DemoChart, demo_charts
from gateway.fhir.json import parse_json
from tests.flows_house import EHR_URL, House, Killed, open_house

CHARTS: dict[str, DemoChart] = {chart.scenario: chart for chart in demo_charts()}
SUBMIT, INQUIRE = "Claim/$submit", "Claim/$inquire"


@pytest.fixture(scope="module")
def field_case(corpora: Path) -> dict[str, Any]:
    """B93: answer lost, request sent again."""
    lines = (corpora / "field-cases" / "cases.jsonl").read_text("utf-8").splitlines()
    found: dict[str, Any] = next(item for item in map(json.loads, lines) if item["id"] == "B93")
    return found


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with open_house(tmp_path, [CHARTS["approved"].bundle]) as opened:
        yield opened


class Lost:
    """Breaks what the payer answered to a submission, a number of times; the payer has stored it by then."""

    def __init__(self, error: type[BaseException], times: int = 1) -> None:
        self._error, self.times = error, times

    def __call__(self, request: httpx.Request, response: httpx.Response) -> None:
        if request.url.path.endswith(SUBMIT) and self.times:
            self.times -= 1
            assert response.status_code == 200, "the payer has taken it"
            raise self._error("the connection is gone")


def _ready(house: House) -> str:
    """A case whose form is answered, so that its request leaves with the next job."""
    case = house.open_case({"fhirServer": EHR_URL, "order": CHARTS["approved"].order_reference})
    house.work()
    house.complete_forms(case.case_id)
    return case.case_id


def _no_inquiry(request: httpx.Request) -> httpx.Response | None:
    """The payer knows nothing of inquiries today, so that only sending again is left."""
    return httpx.Response(503) if request.url.path.endswith(INQUIRE) else None


def _require_one_request(house: House, case_id: str, sent_times: int) -> None:
    bodies = house.payers.sent(SUBMIT)
    assert len(bodies) == sent_times
    assert set(bodies) == {bodies[0]}, "byte for byte the same"
    summary = house.harness.ledger.summary(tuple(house.harness.payers))
    assert (summary["distinct_claims"], summary["duplicates"]) == (1, 0)
    with house.services.store.read() as tx:
        (row,) = tx.submissions.for_case("main", case_id)
    assert row.state == "answered"
    assert house.count() == 1
    assert [event.verb for event in house.events(case_id)].count("submit") == 1


@pytest.mark.requirement("field-case:B93")
@pytest.mark.requirement("pas:spec-35")
def test_b93_a_request_whose_answer_was_lost_in_a_crash_is_repeated_as_it_was(
    house: House, field_case: dict[str, Any]
) -> None:
    assert field_case["expected"]["second_request"].startswith("byte-identical")
    case_id = _ready(house)
    house.payers.after.append(Lost(Killed))
    house.payers.rules.append(_no_inquiry)
    with pytest.raises(Killed):
        house.work()
    house.restart()
    assert house.case(case_id).state == "submitting"
    done = house.work_on(case_id, lambda row: row.state == "approved")
    assert done.authorization_number
    _require_one_request(house, case_id, sent_times=2)
    first, second = (_identifiers(body) for body in house.payers.sent(SUBMIT))
    assert first == second
    assert len(first["full_urls"]) > 5


def _identifiers(body: bytes) -> dict[str, Any]:
    """What must stay the same on a repeat: Bundle and Claim identifier, and every fullUrl."""
    bundle = parse_json(body)
    claims = [entry["resource"] for entry in bundle["entry"] if entry["resource"]["resourceType"] == "Claim"]
    return {
        "bundle": bundle["identifier"],
        "claim": claims[0]["identifier"],
        "full_urls": [entry["fullUrl"] for entry in bundle["entry"]],
    }


@pytest.mark.requirement("pas:spec-35")
@pytest.mark.parametrize("error", [httpx.ReadError, httpx.ReadTimeout, httpx.RemoteProtocolError])
def test_a_lost_answer_without_a_crash_is_repeated_as_it_was(house: House, error: type[httpx.TransportError]) -> None:
    case_id = _ready(house)
    house.payers.after.append(Lost(error))
    house.payers.rules.append(_no_inquiry)
    house.work_on(case_id, lambda row: row.state == "approved")
    _require_one_request(house, case_id, sent_times=2)


def test_an_inquiry_that_finds_the_request_saves_sending_it_again(house: House) -> None:
    """One question after an unknown outcome; a hit that echoes our identifier is the answer (design.md §4)."""
    case_id = _ready(house)
    house.payers.after.append(Lost(httpx.ReadTimeout))
    house.work_on(case_id, lambda row: row.state == "approved")
    assert len(house.payers.sent(INQUIRE)) == 1
    _require_one_request(house, case_id, sent_times=len(house.payers.sent(SUBMIT)))


@pytest.mark.requirement("pas:spec-39")
def test_an_answer_that_never_comes_ends_with_a_person(house: House) -> None:
    case_id = _ready(house)
    house.payers.after.append(Lost(httpx.ReadTimeout, times=1000))
    house.payers.rules.append(_no_inquiry)
    rested = house.work_on(case_id, lambda row: row.state == "needs_attention", tries=400)
    assert "payer" in rested.next_action
    bodies = house.payers.sent(SUBMIT)
    assert len(bodies) > 1
    assert set(bodies) == {bodies[0]}
