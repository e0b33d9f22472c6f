"""Orders as EHRs hand them over, and who may do what with the cases they become."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from lxml import etree

from gateway.demo.charts import DemoChart
from gateway.fhir.json import dump_json
from tests.acceptance.bad_bodies import covered
from tests.acceptance.outcomes import require_outcome
from tests.acceptance.posts import bundle, coverage, order, order_of, payer, person, with_context
from tests.acceptance.server import XML, Server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]
COVERAGE_INFORMATION = "coverage-information"


def _case(answer: Any) -> str:
    assert answer.status_code == 202, answer.text
    (case,) = answer.json()["cases"]
    return str(case["case_id"])


@pytest.fixture(scope="module")
def held(server: Server) -> dict[str, Any]:
    """Worked case P02: week 3, free-text ibuprofen, no therapy, no score."""
    chart = server.charts["P02"]
    return server.play(_case(server.post(with_context(chart))), chart, "held")


@pytest.fixture(scope="module")
def approved(server: Server) -> dict[str, Any]:
    """Worked case P01: six weeks of documented care."""
    chart = server.charts["P01"]
    return server.play(_case(server.post(with_context(chart))), chart, "approved")


def test_the_seed_case_is_held_with_a_line_for_each_missing_element(held: dict[str, Any]) -> None:
    assert held["state"] == "held"
    assert held["clinical"]["verdict"] == "GAP"
    lines = held["clinical"]["lines"]
    assert len(lines) == len(set(lines)) >= 6
    for word in ("medication", "referral", "session", "NDI", "advice", "42 days"):
        assert any(word in line for line in lines), word
    assert held["submissions"] == []
    assert str(len(lines)) in held["next_action"]


def test_the_complete_case_is_approved_with_a_number_on_the_case(approved: dict[str, Any]) -> None:
    assert approved["state"] == "approved"
    assert approved["authorization_number"]
    assert approved["clinical"] == {"verdict": "PASS", "lines": [], "overridden": False}
    told = [(item["kind"], item["done"]) for item in approved["write_back"]]
    assert told == [(kind, True) for kind in ("coverage-information", "form-1", "claim-response", "task")]


def test_the_number_stands_in_the_ehr(server: Server, approved: dict[str, Any]) -> None:
    identifier = f"urn:ietf:rfc:3986|urn:uuid:{approved['case_id']}"
    for kind in ("Task", "ClaimResponse"):
        entries = server.ehr(kind, identifier=identifier)["entry"]
        assert [entry["resource"]["resourceType"] for entry in entries] == [kind]
        assert approved["authorization_number"] in dump_json(entries[0]["resource"]).decode()


def test_the_order_in_the_ehr_carries_the_coverage_information(server: Server, approved: dict[str, Any]) -> None:
    written = server.ehr(approved["order"])
    assert any(COVERAGE_INFORMATION in item["url"] for item in written["extension"])
    posted = order_of(server.charts["P01"])
    kept = {key: value for key, value in written.items() if key not in ("meta", "extension")}
    assert kept == {key: value for key, value in posted.items() if key not in ("meta", "extension")}


def test_the_same_order_again_is_the_same_case(server: Server, held: dict[str, Any]) -> None:
    chart = server.charts["P02"]
    pointer = {"fhirServer": server.house.ehr_url, "order": chart.order_reference}
    for body in (with_context(chart), order_of(chart), pointer):
        (case,) = server.post(body).json()["cases"]
        assert (case["case_id"], case["is_new"]) == (held["case_id"], False)


def test_an_order_can_be_named_instead_of_sent(server: Server) -> None:
    chart = server.charts["P03"]
    for reference in (chart.order_reference, f"{server.house.ehr_url}/{chart.order_reference}"):
        answer = server.post({"fhirServer": f"{server.house.ehr_url}/", "order": {"reference": reference}})
        assert answer.json()["cases"][0]["order"] == chart.order_reference
        assert answer.headers["Location"] == f"/cases/{_case(answer)}"


def test_an_order_may_come_as_xml(server: Server) -> None:
    chart = server.charts["P04"]
    case_id = _case(server.post(_xml(order_of(chart)), XML))
    shown = server.until_still(case_id)
    assert shown["order"] == chart.order_reference
    assert shown["patient"] == chart.patient_reference
    assert shown["coverage"] == chart.coverage_reference
    assert shown["state"] not in ("received", "checking", "needs_attention")


def test_several_orders_in_one_post_are_a_case_each(server: Server) -> None:
    before = server.case_ids()
    charts = [server.charts[name] for name in ("P05", "P06")]
    entries = [entry for chart in charts for entry in with_context(chart)["entry"]]
    answer = server.post({"resourceType": "Bundle", "type": "collection", "entry": entries})
    cases = answer.json()["cases"]
    assert [case["order"] for case in cases] == [chart.order_reference for chart in charts]
    assert server.case_ids() - before == {case["case_id"] for case in cases}


def test_an_order_that_came_twice_in_one_post_is_one_case(server: Server) -> None:
    chart = server.charts["P07"]
    body = with_context(chart)
    body["entry"] += [{"resource": order_of(chart)}]
    assert _case(server.post(body))


def test_resources_that_only_have_names_of_the_bundle_are_followed(server: Server) -> None:
    members = {
        "urn:uuid:0b0c2b5a-5c0f-4b6e-9b0d-4f3a0a2c0001": person("covered"),
        "urn:uuid:0b0c2b5a-5c0f-4b6e-9b0d-4f3a0a2c0002": coverage("of-covered", "covered", "plan"),
        "urn:uuid:0b0c2b5a-5c0f-4b6e-9b0d-4f3a0a2c0003": payer("plan", "SYN-MCR-01"),
        "urn:uuid:0b0c2b5a-5c0f-4b6e-9b0d-4f3a0a2c0004": covered("by-urn"),
    }
    urls = list(members)
    members[urls[1]] |= {"beneficiary": {"reference": urls[0]}, "payor": [{"reference": urls[2]}]}
    members[urls[3]] |= {"subject": {"reference": urls[0]}, "insurance": [{"reference": urls[1]}]}
    entries = [{"fullUrl": url, "resource": resource} for url, resource in members.items()]
    case_id = _case(server.post({"resourceType": "Bundle", "type": "collection", "entry": entries}))
    shown = server.send("GET", f"/cases/{case_id}").json()
    assert (shown["patient"], shown["coverage"]) == ("Patient/covered", "Coverage/of-covered")


def test_medicines_without_insurance_come_along_as_evidence(server: Server) -> None:
    medicine = {
        "resourceType": "MedicationRequest",
        "id": "ibuprofen",
        "status": "active",
        "intent": "order",
        "subject": {"reference": "Patient/covered"},
        "medicationCodeableConcept": {"text": "ibuprofen"},
    }
    answer = server.post(bundle(medicine, covered("with-medicine")))
    assert [case["order"] for case in answer.json()["cases"]] == ["ServiceRequest/with-medicine"]


@pytest.mark.threat("T39")
def test_an_idempotency_key_repeats_its_answer(server: Server) -> None:
    first = server.post(covered("keyed"), key="key-1")
    again = server.post(covered("keyed"), key="key-1")
    assert (again.status_code, again.json()) == (202, first.json())
    assert first.json()["cases"][0]["is_new"]
    other = server.post(covered("keyed-other"), key="key-1", by="desk")
    assert other.status_code == 202, "another client's keys are its own"


@pytest.mark.threat("T39")
def test_an_idempotency_key_for_another_body_is_a_conflict(server: Server) -> None:
    assert server.post(covered("conflict-first"), key="conflict").status_code == 202
    before = server.case_ids()
    answer = server.post(covered("conflict-second"), key="conflict")
    assert require_outcome(answer, 409, "conflict.idempotency-key", "different request")["code"] == "conflict"
    assert server.case_ids() == before


@pytest.mark.threat("T39")
def test_a_refused_body_may_be_corrected_under_its_key(server: Server) -> None:
    assert server.post({"resourceType": "Bundle", "entry": []}, key="key-2").status_code == 422
    assert server.post(covered("corrected"), key="key-2").status_code == 202


@pytest.mark.threat("T14")
def test_another_tenants_case_does_not_exist(server: Server, approved: dict[str, Any]) -> None:
    case_id = approved["case_id"]
    assert server.send("GET", "/cases", by="other-clinic").json() == {"cases": []}
    for method, path in CASE_ROUTES:
        answer = server.send(method, path.format(case=case_id), by="other-clinic", json=BODIES.get(path, {}))
        assert answer.status_code in (403, 404), f"{method} {path}"
        missing = server.send(
            method, path.format(case="00000000-0000-4000-8000-000000000000"), by="other-clinic", json=BODIES.get(path)
        )
        assert _told(answer.json()) == _told(missing.json()), f"{method} {path} tells that the case exists"


@pytest.mark.threat("T14")
def test_another_tenant_reaches_no_ehr_of_ours(server: Server) -> None:
    before = server.case_ids()
    pointer = {"fhirServer": server.house.ehr_url, "order": server.charts["P08"].order_reference}
    for body in (with_context(server.charts["P08"]), order("o", "covered"), pointer):
        answer = server.post(body, by="other-clinic")
        assert answer.status_code == 422
        assert answer.json()["issue"][0]["details"]["coding"][0]["code"] == "ehr.not-registered"
    assert server.case_ids() == before


CASE_ROUTES = [
    ("GET", "/cases/{case}"),
    ("GET", "/cases/{case}/events"),
    ("GET", "/cases/{case}/evidence"),
    ("GET", "/cases/{case}/forms"),
    ("GET", "/cases/{case}/documents"),
    ("POST", "/cases/{case}/release"),
    ("POST", "/cases/{case}/update"),
    ("POST", "/cases/{case}/override"),
    ("POST", "/cases/{case}/cancel"),
    ("POST", "/cases/{case}/inquire"),
    ("POST", "/cases/{case}/forms/1/answers"),
    ("POST", "/cases/{case}/forms/1/complete"),
    ("POST", "/cases/{case}/requests/1"),
]
BODIES: Mapping[str, Any] = {
    "/cases/{case}/override": {"reason": "not ours to override"},
    "/cases/{case}/forms/1/answers": {"answers": {}},
    "/cases/{case}/requests/1": {"documents": ["DocumentReference/1"]},
}


def _told(problem: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in problem.items() if key != "correlation_id"}


@pytest.mark.threat("T16")
@pytest.mark.parametrize(
    ("by", "method", "path"),
    [
        ("demo-ehr", "POST", "/cases/{case}/forms/1/answers"),
        ("demo-ehr", "POST", "/cases/{case}/forms/1/complete"),
        ("demo-ehr", "POST", "/cases/{case}/override"),
        ("demo-ehr", "GET", "/cases/{case}/evidence"),
        ("desk", "POST", "/cases/{case}/override"),
        ("desk", "GET", "/cases/{case}/evidence"),
        ("reader", "POST", "/cases/{case}/cancel"),
        ("reader", "POST", "/cases/{case}/forms/1/answers"),
        ("reader", "POST", "/cases/{case}/release"),
    ],
)
def test_a_role_that_does_not_include_the_action_is_refused(
    server: Server, held: dict[str, Any], by: str, method: str, path: str
) -> None:
    answer = server.send(method, path.format(case=held["case_id"]), by=by, json=BODIES.get(path, {}))
    assert answer.status_code == 403, answer.text
    assert answer.json()["code"] == "access.role"
    assert "colleague" in answer.json()["detail"]


@pytest.mark.threat("T16")
def test_an_auditor_posts_no_orders_and_reads_evidence(server: Server, approved: dict[str, Any]) -> None:
    assert server.post(covered("by-auditor"), by="reader").status_code == 403
    package = server.send("GET", f"/cases/{approved['case_id']}/evidence", by="reader")
    assert package.status_code == 200
    assert package.content.startswith(b"PK")
    assert package.headers["Cache-Control"] == "no-store"


def test_cases_are_filtered_by_order_and_state(server: Server, held: dict[str, Any]) -> None:
    listed = server.send("GET", "/cases", params={"order": held["order"], "state": "held"}).json()["cases"]
    assert [case["case_id"] for case in listed] == [held["case_id"]]
    assert server.send("GET", "/cases", params={"order": held["order"], "state": "denied"}).json() == {"cases": []}
    refused = server.send("GET", "/cases", params={"state": "helt"})
    assert (refused.status_code, refused.json()["code"]) == (422, "request.invalid")


def _xml(resource: dict[str, Any]) -> bytes:
    root = etree.Element("ServiceRequest", nsmap={None: "http://hl7.org/fhir"})
    _fill(root, {key: value for key, value in resource.items() if key != "resourceType"})
    return etree.tostring(root, xml_declaration=True, encoding="UTF-8")


def _fill(node: Any, members: dict[str, Any]) -> None:
    for name, value in members.items():
        for item in value if isinstance(value, list) else [value]:
            child = etree.SubElement(node, name)
            if isinstance(item, dict):
                url = item.get("url") if name == "extension" else None
                child.attrib.update({"url": url} if url else {})
                _fill(child, {key: inner for key, inner in item.items() if not (url and key == "url")})
            else:
                child.set("value", str(item).lower() if isinstance(item, bool) else str(item))


def test_the_worked_cases_are_all_different(server: Server) -> None:
    charts: Mapping[str, DemoChart] = server.charts
    assert len({chart.order_reference for chart in charts.values()}) == len(charts) == 12
