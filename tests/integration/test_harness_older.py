"""The 2.0.1 addresses of the simulated payers: as strict and as plain as that generation."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness_case import ENDPOINT, Case, event_of, review_codes, running, wait_for, write_form
from tests.harness_messages import (
    PAS,
    Resource,
    as_old,
    entry_of,
    inquiry_bundle,
    old_hook_request,
    old_update,
    package_request,
    request_bundle,
    subscription,
)

BASE = "/example-medicare/2.0.1"
HOOK = f"{BASE}/cds-services/order-sign-coverage"
PACKAGE = f"{BASE}/fhir/Questionnaire/$questionnaire-package"
SUBMIT = f"{BASE}/fhir/Claim/$submit"


@pytest.fixture
def case(tmp_path: Path) -> Iterator[Case]:
    with running(forms=write_form(tmp_path)) as found:
        yield found


def response(bundle: Resource) -> Resource:
    return entry_of(bundle, "ClaimResponse")[1]


def order_of(body: Resource) -> Resource:
    found: Resource = body["context"]["draftOrders"]["entry"][0]["resource"]
    return found


@pytest.mark.parametrize(
    ("status", "change"),
    [
        (200, lambda b: None),
        (200, lambda b: (b.pop("fhirServer"), b.pop("fhirAuthorization"))),
        (400, lambda b: b.pop("fhirServer")),
        (422, lambda b: order_of(b).update(status="active")),
        (422, lambda b: b["prefetch"]["patient"].pop("identifier")),
        (422, lambda b: b["prefetch"].update(user={"resourceType": "Practitioner", "id": "doc-1"})),
        (400, lambda b: b["prefetch"].update(organizations={"resourceType": "Bundle"})),
    ],
)
def test_an_order_is_draft_and_people_are_identified(case: Case, status: int, change: Any) -> None:
    body = old_hook_request()
    change(body)
    assert case.post(HOOK, body).status_code == status


def test_discovery_is_in_the_older_grammar(case: Case) -> None:
    (service,) = case.client.get(f"{BASE}/cds-services").json()["services"]
    assert "davinci-crd.version" not in service["extension"]
    codes = [option["code"] for option in service["extension"]["davinci-crd.configuration-options"]]
    assert "coverage-info" in codes
    assert "unsolicited-determ" not in codes
    assert "{{context.draftOrders.ServiceRequest.id}}" in service["prefetch"]["services"]


@pytest.mark.parametrize(
    ("member", "absent", "present"),
    [
        ("SYN-APPROVE-01", ["expiry-date"], ["questionnaire"]),
        ("SYN-INDETERMINATE-01", [], ["info-needed"]),
        ("SYN-SILENT-01", [], ["pa-needed", "contact"]),
    ],
)
def test_coverage_information_uses_the_older_words(
    case: Case, member: str, absent: list[str], present: list[str]
) -> None:
    answer = case.post(HOOK, old_hook_request(member)).json()
    (extension,) = answer["systemActions"][0]["resource"]["extension"]
    urls = [part["url"] for part in extension["extension"]]
    assert not set(absent) & set(urls)
    assert set(present) <= set(urls)
    codes = [part.get("valueCode") for part in extension["extension"]]
    assert "indeterminate" not in codes


def test_a_lone_package_is_a_bare_bundle(case: Case) -> None:
    found = case.post(PACKAGE, package_request()).json()
    assert found["resourceType"] == "Bundle"
    draft = found["entry"][1]["resource"]
    contexts = [e["valueReference"]["reference"] for e in draft["extension"] if e["url"].endswith("qr-context")]
    assert contexts == ["ServiceRequest/order-1", "Coverage/cov-1"]
    assert draft["item"] == [{"linkId": "1", "text": "Weeks of treatment"}]


def test_a_package_with_a_warning_comes_in_parameters(case: Case) -> None:
    body = package_request()
    form = "https://payer.example.org/Questionnaire/test-form"
    body["parameter"] += [
        {"name": "questionnaire", "valueCanonical": form},
        {"name": "questionnaire", "valueCanonical": "https://x.example/none"},
        body["parameter"][0],
    ]
    names = [parameter["name"] for parameter in case.post(PACKAGE, body).json()["parameter"]]
    assert names == ["PackageBundle", "operationOutcome"]


def test_a_pend_is_queued_and_told_by_id_then_asked_for(case: Case) -> None:
    body = subscription(ENDPOINT, name="orgIdentifier")
    body["_criteria"]["extension"][0]["valueString"] = "orgIdentifier=1234567893"
    body["channel"]["_payload"]["extension"][0]["valueCode"] = "id-only"
    assert case.post(f"{BASE}/fhir/Subscription", body).status_code == 201
    answer = case.post(SUBMIT, as_old(request_bundle("SYN-PEND-06"))).json()
    assert response(answer)["outcome"] == "queued"
    assert "extension" not in response(answer)["item"][0]
    (event,) = wait_for(case.mail.events)
    focus = event_of(event)["focus"]["reference"]
    assert focus.startswith(f"http://harness.example.org{BASE}/fhir/ClaimResponse/")
    assert event["entry"][1]["fullUrl"] == focus
    assert "resource" not in event["entry"][1]
    found = case.post(f"{BASE}/fhir/Claim/$inquire", as_old(inquiry_bundle("SYN-PEND-06"))).json()
    assert found["resourceType"] == "Bundle"
    assert review_codes(found) == {1: "A1"}


def test_a_document_request_names_its_line_in_the_payload(case: Case) -> None:
    answer = case.post(SUBMIT, as_old(request_bundle("SYN-INFO-01"))).json()
    _, wanted = entry_of(answer, "CommunicationRequest")
    assert "extension" not in wanted
    assert wanted["payload"][0]["extension"][0]["valuePositiveInt"] == 1


def test_a_modification_stands_on_the_item(case: Case) -> None:
    found = response(case.post(SUBMIT, as_old(request_bundle("SYN-MODIFY-01"))).json())
    assert "addItem" not in found
    urls = [extension["url"] for extension in found["item"][0]["extension"]]
    assert f"{PAS}extension-itemAuthorizedDetail" in urls


def test_an_error_element_is_a_string(case: Case) -> None:
    found = response(case.post(SUBMIT, as_old(request_bundle("SYN-ERROR-01"))).json())
    assert any("valueString" in e for e in found["error"][0]["extension"] if e["url"].endswith("errorElement"))


def test_a_prior_is_named_not_brought_along(case: Case) -> None:
    sent = as_old(request_bundle(codes=("72141", "72156")))
    case.post(SUBMIT, sent)
    assert review_codes(case.post(SUBMIT, old_update(sent, (1,))).json()) == {1: "C", 2: "A1"}
    missing = old_update(sent, (1,))
    missing["entry"][0]["resource"]["related"][0].pop("claim")
    assert case.post(SUBMIT, missing).status_code == 400


def test_nothing_found_is_a_bundle_with_an_outcome(case: Case) -> None:
    found = case.post(f"{BASE}/fhir/Claim/$inquire", as_old(inquiry_bundle("SYN-P01"))).json()
    assert [entry["resource"]["resourceType"] for entry in found["entry"]] == ["OperationOutcome"]


def test_the_generations_do_not_hear_of_each_other(case: Case) -> None:
    case.subscribe()
    case.post(SUBMIT, as_old(request_bundle("SYN-PEND-06")))
    wait_for(lambda: not case.harness.book.of_member("example-medicare", "SYN-PEND-06")[0].is_pended)
    assert case.mail.events() == []
