"""CRD of the simulated payers: discovery, the checks of a request, the answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness_case import Case, running, write_form
from tests.harness_messages import Resource, ehr_coverage, ehr_order, hook_request

PATH = "/example-medicare/cds-services/order-sign-coverage"
URL = "http://hl7.org/fhir/us/davinci-crd/StructureDefinition/ext-coverage-information"
Change = Callable[[Resource], Any]


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Case]:
    with running(forms=write_form(tmp_path_factory.mktemp("forms"))) as found:
        yield found


def order(body: Resource) -> Resource:
    found: Resource = body["context"]["draftOrders"]["entry"][0]["resource"]
    return found


def parts(resource: Resource) -> dict[str, list[Any]]:
    """Values of the coverage-information parts, by name."""
    found: dict[str, list[Any]] = {}
    for extension in resource["extension"]:
        if extension["url"] == URL:
            for part in extension["extension"]:
                found.setdefault(part["url"], []).append(next(v for k, v in part.items() if k.startswith("value")))
    return found


BREACHES: list[tuple[str, int, Change]] = [
    ("another hook", 400, lambda b: b.update(hook="order-select")),
    ("hookInstance no UUID", 400, lambda b: b.update(hookInstance="42")),
    ("null member", 400, lambda b: b["context"].update(encounterId=None)),
    ("empty object", 400, lambda b: b["extension"].update(x={})),
    ("empty list", 400, lambda b: order(b).update(note=[])),
    ("no fhirServer", 400, lambda b: b.pop("fhirServer")),
    ("fhirServer relative", 400, lambda b: b.update(fhirServer="fhir")),
    ("no fhirAuthorization", 400, lambda b: b.pop("fhirAuthorization")),
    ("expires_in as text", 400, lambda b: b["fhirAuthorization"].update(expires_in="30")),
    ("token type", 400, lambda b: b["fhirAuthorization"].update(token_type="bearer token")),
    ("no subject", 400, lambda b: b["fhirAuthorization"].pop("subject")),
    ("patient scope without patient", 400, lambda b: b["fhirAuthorization"].pop("patient")),
    ("userId of a patient", 400, lambda b: b["context"].update(userId="Patient/1")),
    ("patientId with a type", 400, lambda b: b["context"].update(patientId="Patient/pat-1")),
    ("draftOrders no collection", 400, lambda b: b["context"]["draftOrders"].update(type="batch")),
    ("order without id", 400, lambda b: order(b).pop("id")),
    ("no order at all", 400, lambda b: order(b).update(resourceType="Observation")),
    ("no version", 200, lambda b: b["extension"].pop("davinci-crd.requestedVersion")),
    ("unknown version", 400, lambda b: b["extension"].update({"davinci-crd.requestedVersion": "1.0"})),
    ("option no boolean", 400, lambda b: b["extension"]["davinci-crd.configuration"].update(cost=1)),
    ("unknown option", 200, lambda b: b["extension"]["davinci-crd.configuration"].update(xyz=1)),
    ("no prefetch", 412, lambda b: b.pop("prefetch")),
    ("no coverage", 400, lambda b: b["prefetch"].pop("coverage")),
    ("coverage null", 400, lambda b: b["prefetch"].update(coverage=None)),
    ("two coverages", 400, lambda b: b["prefetch"]["coverage"]["entry"].append({"resource": ehr_coverage("X")})),
    ("another payer's coverage", 400, lambda b: payor(b)["identifier"].update(value="SYN-OPEN-02")),
    ("payor not told", 200, lambda b: payor(b).pop("identifier")),
    ("another patient's coverage", 400, lambda b: coverage(b)["beneficiary"].update(reference="Patient/x")),
    ("a key nobody asked for", 400, lambda b: b["prefetch"].update(user={"resourceType": "Practitioner"})),
    ("a null for a read that found nothing", 200, lambda b: b["prefetch"].update(encounter=None)),
    ("order without requester", 422, lambda b: order(b).pop("requester")),
    ("order without code", 422, lambda b: order(b).pop("code")),
    ("unknown member of the body", 200, lambda b: b.update(somethingElse=True)),
]


def coverage(body: Resource) -> Resource:
    found: Resource = body["prefetch"]["coverage"]["entry"][0]["resource"]
    return found


def payor(body: Resource) -> Resource:
    found: Resource = coverage(body)["payor"][0]
    return found


@pytest.mark.parametrize(("status", "change"), [pytest.param(s, c, id=name) for name, s, c in BREACHES])
def test_status_of_each_breach(case: Case, status: int, change: Change) -> None:
    body = hook_request()
    change(body)
    answer = case.post(PATH, body)
    assert answer.status_code == status, answer.text
    if status != 200:
        assert answer.json()["resourceType"] == "OperationOutcome"


@pytest.mark.requirement("crd:resp-25")
def test_coverage_information_comes_as_a_system_action_and_cards_are_empty(case: Case) -> None:
    body = hook_request()
    answer = case.post(PATH, body).json()
    assert answer["cards"] == []
    (action,) = answer["systemActions"]
    assert action["type"] == "update"
    assert action["description"]
    assert {k: v for k, v in action["resource"].items() if k != "extension"} == order(body)
    found = parts(action["resource"])
    assert found["coverage"] == [{"reference": "Coverage/cov-1"}]
    assert (found["covered"], found["pa-needed"], found["doc-needed"]) == (["covered"], ["auth-needed"], ["clinical"])
    assert found["questionnaire"] == ["https://payer.example.org/Questionnaire/test-form|1.0.0"]
    assert found["reason"]
    assert found["coverage-assertion-id"]
    assert found["expiry-date"] > found["date"]


def test_asking_again_gives_the_same_assertion_and_no_second_repetition(case: Case) -> None:
    first = case.post(PATH, hook_request()).json()["systemActions"][0]["resource"]
    body = hook_request()
    body["context"]["draftOrders"]["entry"][0]["resource"] = first
    second = case.post(PATH, body).json()["systemActions"][0]["resource"]
    assert parts(second) == parts(first)


def test_an_extension_of_another_payer_stays(case: Case) -> None:
    other = {"url": URL, "extension": [{"url": "coverage-assertion-id", "valueString": "other"}]}
    body = hook_request()
    order(body)["extension"] = [other]
    assert case.post(PATH, body).json()["systemActions"][0]["resource"]["extension"][0] == other


@pytest.mark.requirement("crd:dev-4")
def test_the_configuration_is_honoured(case: Case) -> None:
    body = hook_request()
    body["extension"]["davinci-crd.configuration"] = {"coverage-info": False}
    assert case.post(PATH, body).json() == {"cards": []}


def test_every_order_of_the_bundle_is_answered(case: Case) -> None:
    body = hook_request()
    other = {**ehr_order(), "id": "order-2"}
    body["context"]["draftOrders"]["entry"].append({"fullUrl": "https://ehr.example.org/x", "resource": other})
    actions = case.post(PATH, body).json()["systemActions"]
    assert [action["resource"]["id"] for action in actions] == ["order-1", "order-2"]


def test_no_authorization_needed(case: Case) -> None:
    path = PATH.replace("medicare", "open")
    answer = case.post(path, hook_request("SYN-NOAUTH-01", "example-open")).json()
    found = parts(answer["systemActions"][0]["resource"])
    assert found["pa-needed"] == ["no-auth"]
    assert "doc-needed" not in found
    assert "questionnaire" not in found


@pytest.mark.requirement("crd:dev-1")
def test_discovery_tells_versions_options_and_templates(case: Case) -> None:
    (service,) = case.client.get("/example-medicare/cds-services").json()["services"]
    assert service["hook"] == "order-sign"
    assert service["extension"]["davinci-crd.version"] == ["2.2"]
    options = service["extension"]["davinci-crd.configuration-options"]
    assert {"coverage-info", "unsolicited-determ"} <= {option["code"] for option in options}
    assert all({"code", "type", "name", "description", "default"} <= set(option) for option in options)
    assert "{{%practitionerRoles." in service["prefetch"]["practitioners"]


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff", b'{"a":1,"a":2}', b"[" * 5000])
def test_a_body_that_is_no_json_object_is_a_400(case: Case, body: bytes) -> None:
    assert case.post(PATH, body).status_code == 400


@pytest.mark.parametrize("value", [None, 5, "x", [], [1], {}, {"a": {"b": [1, None]}}])
@pytest.mark.parametrize("key", ["context", "prefetch", "extension", "fhirAuthorization", "hook"])
def test_any_kind_of_member_is_survived(case: Case, key: str, value: Any) -> None:
    assert case.post(PATH, {**hook_request(), key: value}).status_code in (200, 400, 412, 422)


def test_an_unknown_service_or_payer_is_a_404(case: Case) -> None:
    assert case.post("/example-medicare/cds-services/other", hook_request()).status_code == 404
    assert case.post("/nobody/cds-services/order-sign-coverage", hook_request()).status_code == 404


def test_a_form_that_is_not_there_leaves_the_canonical_out(tmp_path: Path) -> None:
    with running(forms=tmp_path) as empty:
        found = parts(empty.post(PATH, hook_request()).json()["systemActions"][0]["resource"])
    assert "questionnaire" not in found
