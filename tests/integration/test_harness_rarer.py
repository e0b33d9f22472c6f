"""The rarer scenarios: what their answers look like, and what is told later."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness_case import Case, code_of, part_of, review_codes, running, wait_for, write_form
from tests.harness_messages import (
    PAS,
    attachment,
    entry_of,
    hook_request,
    package_request,
    questionnaire_response,
    request_bundle,
)

LOG = "/example-medicare/fhir/Questionnaire/$log-questionnaire-errors"


@pytest.fixture
def case(tmp_path: Path) -> Iterator[Case]:
    with running(forms=write_form(tmp_path)) as found:
        yield found


def parts_of(case: Case, member: str) -> dict[str, list[Any]]:
    answer = case.post("/example-medicare/cds-services/order-sign-coverage", hook_request(member)).json()
    (extension,) = answer["systemActions"][0]["resource"]["extension"]
    found: dict[str, list[Any]] = {}
    for part in extension["extension"]:
        found.setdefault(part["url"], []).append(next((v for k, v in part.items() if k.startswith("value")), part))
    return found


@pytest.mark.parametrize(
    ("member", "expected"),
    [
        ("SYN-SATISFIED-01", {"pa-needed": ["satisfied"], "satisfied-pa-id": ["AUTH-UNASKED-1"]}),
        ("SYN-NOTCOVERED-01", {"covered": ["not-covered"]}),
        ("SYN-PERFORMER-01", {"pa-needed": ["performpa"], "doc-needed": ["clinical"]}),
        ("SYN-DOCS-01", {"pa-needed": ["no-auth"], "doc-purpose": ["withclaim", "retain-doc"]}),
        ("SYN-CONDITIONAL-01", {"covered": ["conditional"], "info-needed": ["location", "performer"]}),
        ("SYN-INDETERMINATE-01", {"covered": ["indeterminate"]}),
        ("SYN-PURPOSE-01", {"pa-needed": ["auth-needed"], "doc-purpose": ["withpa"]}),
    ],
)
def test_coverage_answers(case: Case, member: str, expected: dict[str, list[str]]) -> None:
    found = parts_of(case, member)
    assert {key: found[key] for key in expected} == expected


def test_a_need_that_is_not_said(case: Case) -> None:
    found = parts_of(case, "SYN-SILENT-01")
    assert "pa-needed" not in found
    assert found["contact"][0]["name"] == "Provider services"
    (detail,) = found["detail"]
    assert [part["url"] for part in detail["extension"]] == ["category", "code", "value"]


def test_a_member_nobody_knows(case: Case) -> None:
    found = parts_of(case, "SYN-UNKNOWN-01")
    assert found["reason"][0]["coding"][0]["code"] == "no-member-found"
    assert found["reason"][0]["text"]


def test_an_unasked_determination_is_kept_back_where_it_is_switched_off(case: Case) -> None:
    body = hook_request("SYN-SATISFIED-01")
    body["extension"]["davinci-crd.configuration"]["unsolicited-determ"] = False
    answer = case.post("/example-medicare/cds-services/order-sign-coverage", body).json()
    (extension,) = answer["systemActions"][0]["resource"]["extension"]
    codes = {part["url"]: part.get("valueCode") for part in extension["extension"]}
    assert codes["pa-needed"] == "auth-needed"
    assert "satisfied-pa-id" not in codes


def test_the_payers_own_form_is_asked_for_by_its_trace_number(case: Case) -> None:
    case.subscribe()
    answer = case.submit(request_bundle("SYN-FORM-01")).json()
    _, wanted = entry_of(answer, "CommunicationRequest")
    assert wanted["payload"] == [{"contentString": "102089-0"}]
    (item,) = entry_of(answer, "ClaimResponse")[1]["item"]
    trace = next(e["valueIdentifier"] for e in item["extension"] if e["url"] == f"{PAS}extension-itemTraceNumber")
    path = "/example-medicare/fhir/Questionnaire/$questionnaire-package"
    body = package_request("SYN-FORM-01", trace["value"])
    body["parameter"].pop(1)
    assert case.post(path, body).json()["parameter"][0]["name"] == "packagebundle"
    reply = attachment("SYN-FORM-01", wanted["identifier"][0]["value"], questionnaire_response("Patient/1"))
    assert case.post("/example-medicare/fhir/$submit-attachment", reply).status_code == 200
    (event,) = wait_for(case.mail.events)
    assert review_codes(event["entry"][1]["resource"]) == {1: "A1"}


@pytest.mark.parametrize(("member", "code"), [("SYN-PENDDENY-01", "A3"), ("SYN-PENDAGAIN-01", "A4")])
def test_what_a_pend_may_become(case: Case, member: str, code: str) -> None:
    case.subscribe()
    case.submit(request_bundle(member))
    (event,) = wait_for(case.mail.events)
    assert review_codes(event["entry"][1]["resource"]) == {1: code}


def test_one_service_approved_and_one_denied(case: Case) -> None:
    answer = case.submit(request_bundle("SYN-MIXED-01", codes=("72141", "72156"))).json()
    assert review_codes(answer) == {1: "A1", 2: "A3"}
    first, second = entry_of(answer, "ClaimResponse")[1]["item"]
    assert "noteNumber" not in first
    assert second["noteNumber"] == [1]


def test_a_part_granted_beside_a_denial(case: Case) -> None:
    found = entry_of(case.submit(request_bundle("SYN-PART-01")).json(), "ClaimResponse")[1]
    assert code_of(found["item"][0]["adjudication"][0]) == "A3"
    assert code_of(found["addItem"][0]["adjudication"][0]) == "A1"
    assert part_of(found["item"][0]["adjudication"][0], "number") is None


@pytest.mark.parametrize(
    ("member", "code"), [("SYN-CONTACT-01", "CT"), ("SYN-ODD-01", "ZZ"), ("SYN-NOREASON-01", "A3")]
)
def test_answers_that_need_a_person(case: Case, member: str, code: str) -> None:
    answer = case.submit(request_bundle(member)).json()
    assert review_codes(answer) == {1: code}
    item = entry_of(answer, "ClaimResponse")[1]["item"][0]
    assert part_of(item["adjudication"][0], "reasonCode") is None


def test_a_business_error_says_what_to_do(case: Case) -> None:
    found = entry_of(case.submit(request_bundle("SYN-ERROR-01")).json(), "ClaimResponse")[1]
    (error,) = found["error"]
    values = {e["url"].rpartition("extension-")[2]: e for e in error["extension"]}
    assert values["errorFollowupAction"]["valueCodeableConcept"]["coding"][0]["code"] == "C"
    assert values["errorPath"]["valueString"].startswith("Bundle.")


def report(**outcome: Any) -> dict[str, Any]:
    issue = [{"severity": "error", "code": "exception", "diagnostics": "Define failed."}]
    body = {"resourceType": "OperationOutcome", "issue": issue} | outcome
    return {
        "resourceType": "Parameters",
        "parameter": [
            {"name": "questionnaire", "valueCanonical": "https://payer.example.org/Questionnaire/test-form|1.0.0"},
            {"name": "operationOutcome", "resource": body},
        ],
    }


@pytest.mark.requirement("dtr:oper-1")
def test_an_error_report_is_taken(case: Case) -> None:
    assert case.post(LOG, report()).status_code == 200
    assert case.ledger()["error_reports"] == 1


@pytest.mark.requirement("dtr:oper-2")
@pytest.mark.parametrize(
    "body",
    [
        report(text={"status": "generated", "div": "x"}),
        report(contained=[{"resourceType": "Patient"}]),
        report(issue=[{"severity": "error", "code": "exception", "diagnostics": "at Patient/123"}]),
        report(issue=[{"severity": "error", "code": "exception", "expression": ["Condition?patient=1"]}]),
        {"resourceType": "Parameters", "parameter": []},
        {"resourceType": "Bundle"},
    ],
)
def test_an_error_report_with_patient_data_is_refused(case: Case, body: dict[str, Any]) -> None:
    assert case.post(LOG, body).status_code == 400
