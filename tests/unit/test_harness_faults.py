"""Faults on demand, the limits at the door, and the ledger's copy of both."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from payer_endpoints.harness.faults import Fault, FaultBoard
from payer_endpoints.harness.gate import ConnectionDropped, operation_of
from tests.harness_case import Case, bodies, running
from tests.harness_messages import hook_request, request_bundle

SUBMIT = "/example-medicare/fhir/Claim/$submit"


@pytest.fixture
def case() -> Iterator[Case]:
    with running(max_body_bytes=200_000) as found:
        yield found


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/p/cds-services", ("p", "discovery")),
        ("/p/cds-services/order-sign-coverage", ("p", "hook")),
        ("/p/fhir/Questionnaire/$questionnaire-package", ("p", "questionnaire-package")),
        ("/p/fhir/Claim/$submit", ("p", "submit")),
        ("/p/fhir/Claim/$inquire", ("p", "inquire")),
        ("/p/fhir/$submit-attachment", ("p", "submit-attachment")),
        ("/p/fhir/Subscription", ("p", "subscription")),
        ("/p/fhir/Subscription/1/$status", ("p", "subscription")),
        ("/p/fhir/metadata", ("p", "metadata")),
        ("/p/token", ("p", "token")),
        ("/p/2.0.1/fhir/Claim/$submit", ("p", "submit")),
        ("/_ledger", ("", "")),
        ("/_ledger/messages", ("", "")),
        ("/", ("", "")),
    ],
)
def test_operation_of_a_path(path: str, expected: tuple[str, str]) -> None:
    assert operation_of(path) == expected


def test_a_fault_meets_as_many_calls_as_it_says() -> None:
    board = FaultBoard()
    board.put("*", "submit", Fault(kind="down", first=2))
    assert [board.take("p", "submit") is not None for _ in range(3)] == [True, True, False]
    assert board.take("q", "submit") is not None, "each payer is counted apart"
    board.put("*", "submit", None)
    assert board.take("q", "submit") is None


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_status_instead_of_the_answer_of_a_stored_request(case: Case, status: int) -> None:
    case.fault(fault={"kind": "status", "status": status, "retry_after": 7, "first": 1})
    request = request_bundle()
    answer = case.submit(request)
    assert (answer.status_code, answer.headers["retry-after"]) == (status, "7")
    assert case.submit(request).status_code == 200
    counts = case.ledger()
    assert (counts["submissions"], counts["resends"], counts["duplicates"]) == (2, 1, 0)


def test_a_status_for_a_request_that_was_not_stored(case: Case) -> None:
    case.fault(fault={"kind": "status", "first": 1, "stored": False})
    request = request_bundle()
    assert case.submit(request).status_code == 503
    assert case.submit(request).status_code == 200
    assert (case.ledger()["submissions"], case.ledger()["resends"]) == (1, 0)


@pytest.mark.parametrize(("kind", "stored"), [("down", 0), ("reset", 1)])
def test_the_connection_is_dropped_before_or_after_storing(case: Case, kind: str, stored: int) -> None:
    case.fault(fault={"kind": kind, "first": 1})
    with pytest.raises(ConnectionDropped):
        case.submit(request_bundle())
    counts = case.ledger()
    assert counts["submissions"] == stored
    assert counts["messages"][-1]["note"] == kind
    assert counts["messages"][-1]["status"] == 0


def test_an_answer_cut_in_half(case: Case) -> None:
    case.fault(fault={"kind": "truncated", "first": 1})
    request = request_bundle()
    cut, whole = case.submit(request).content, case.submit(request).content
    assert whole.startswith(cut)
    assert len(cut) == len(whole) // 2


def test_a_web_page_and_a_wrong_media_type(case: Case) -> None:
    case.fault(fault={"kind": "html", "first": 1})
    page = case.submit(request_bundle())
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    case.fault(fault={"kind": "wrong-type", "first": 1})
    assert case.submit(request_bundle()).headers["content-type"] == "text/plain"


def test_slow_answers_late_but_stores_at_once(case: Case) -> None:
    case.fault(fault={"kind": "slow", "seconds": 0.05, "first": 1})
    assert case.submit(request_bundle()).status_code == 200


def test_the_slow_payer_is_slow_once_for_each_request() -> None:
    with running(slow_seconds=0.05) as case:
        request = request_bundle("SYN-SLOW-01", "example-slow")
        for _ in range(2):
            assert case.submit(request, "example-slow").status_code == 200
        assert [line["note"] for line in case.ledger()["messages"]] == ["slow", ""]


@pytest.mark.parametrize(
    "order",
    [
        {"operation": "submit", "fault": {"kind": "explode"}},
        {"operation": "nothing", "fault": {"kind": "down"}},
        {"payer": "nobody", "operation": "submit"},
        {"operation": "submit", "falt": None},
        {"operation": "submit", "fault": {"kind": "slow", "seconds": 100000}},
    ],
)
def test_a_wrong_fault_order_is_refused(case: Case, order: dict[str, object]) -> None:
    assert case.client.post("/_faults", json=order).status_code == 400


def test_a_body_over_the_limit_is_a_413(case: Case) -> None:
    answer = case.post(SUBMIT, b" " * 300_000)
    assert answer.status_code == 413
    assert case.ledger()["messages"][-1]["status"] == 413


def test_the_ledger_keeps_the_exact_bytes(case: Case) -> None:
    request = b'{ "resourceType" : "Bundle" }'
    answer = case.post(SUBMIT, request)
    (line, sent, received) = bodies(case)[-1]
    assert (sent, received) == (request, answer.content)
    assert line["request_digest"].startswith("sha256:")


@pytest.mark.parametrize("kind", ["text/plain", "application/xml", "application/x-www-form-urlencoded", ""])
def test_another_media_type_is_a_415(case: Case, kind: str) -> None:
    assert case.post(SUBMIT, request_bundle(), **{"Content-Type": kind}).status_code == 415


def test_reset_makes_it_new(case: Case) -> None:
    case.submit(request_bundle())
    case.fault(fault={"kind": "down"})
    assert case.client.post("/_reset").status_code == 200
    assert case.ledger()["submissions"] == 0
    assert case.submit(request_bundle()).status_code == 200


def test_counts_are_kept_by_payer(case: Case) -> None:
    case.submit(request_bundle())
    case.submit(request_bundle("SYN-NOAUTH-01", "example-open"), "example-open")
    case.post("/example-medicare/cds-services/order-sign-coverage", hook_request())
    found = case.ledger()["by_payer"]
    assert (found["example-medicare"]["submissions"], found["example-open"]["submissions"]) == (1, 1)
    assert (found["example-medicare"]["hooks"], found["example-open"]["hooks"]) == (1, 0)


def test_what_is_kept_in_memory_is_bounded() -> None:
    with running(max_messages=3) as case:
        for _ in range(5):
            case.client.get("/example-open/cds-services")
        assert [line["number"] for line in case.ledger()["messages"]] == [3, 4, 5]
