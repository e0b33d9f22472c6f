"""DTR of the simulated payers: `$questionnaire-package`."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.harness_case import ELM, FORM, Case, running, write_form
from tests.harness_messages import Resource, ehr_coverage, hook_request, package_request

PATH = "/example-medicare/fhir/Questionnaire/$questionnaire-package"
DTR = "http://hl7.org/fhir/us/davinci-dtr/StructureDefinition/"
Change = Callable[[Resource], Any]


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Case]:
    with running(forms=write_form(tmp_path_factory.mktemp("forms"))) as found:
        yield found


def package(answer: Resource) -> list[Resource]:
    (parameter,) = [p for p in answer["parameter"] if p["name"] == "packagebundle"]
    return [entry["resource"] for entry in parameter["resource"]["entry"]]


@pytest.mark.requirement("dtr:oper-10")
def test_a_package_is_a_form_a_draft_its_logic_and_its_value_sets(case: Case) -> None:
    found = package(case.post(PATH, package_request()).json())
    assert [r["resourceType"] for r in found] == ["Questionnaire", "QuestionnaireResponse", "Library", "ValueSet"]
    assert found[0] == FORM


@pytest.mark.requirement("dtr:spec-122")
def test_the_draft_says_whose_it_is_and_what_for(case: Case) -> None:
    draft = package(case.post(PATH, package_request()).json())[1]
    assert draft["questionnaire"] == "https://payer.example.org/Questionnaire/test-form|1.0.0"
    assert draft["status"] == "in-progress"
    assert draft["subject"] == {"reference": "Patient/pat-1"}
    linked = {e["url"].removeprefix(DTR): e for e in draft["extension"]}
    assert linked["qr-context"]["valueReference"] == {"reference": "ServiceRequest/order-1"}
    assert linked["qr-coverage"]["valueReference"] == {"reference": "Coverage/cov-1"}
    assert linked["intendedUse"]["valueCodeableConcept"]["coding"][0]["code"] == "withpa"


@pytest.mark.requirement("dtr:oper-13")
def test_a_library_carries_cql_and_elm_and_names_what_it_needs(case: Case) -> None:
    library = package(case.post(PATH, package_request()).json())[2]
    contents = {c["contentType"]: base64.b64decode(c["data"]) for c in library["content"]}
    assert set(contents) == {"text/cql", "application/elm+json"}
    assert json.loads(contents["application/elm+json"]) == ELM
    assert (library["url"], library["version"]) == ("https://payer.example.org/Library/TestLogic", "1.0.0")
    assert library["relatedArtifact"] == [
        {"type": "depends-on", "resource": "https://payer.example.org/Library/FHIRHelpers|4.0.1"}
    ]


def test_the_context_of_a_hook_answer_is_known_afterwards(case: Case) -> None:
    hook = case.post("/example-medicare/cds-services/order-sign-coverage", hook_request()).json()
    parts = hook["systemActions"][0]["resource"]["extension"][0]["extension"]
    context = next(p["valueString"] for p in parts if p["url"] == "coverage-assertion-id")
    assert case.post(PATH, package_request(context=context)).status_code == 200
    other = package_request("SYN-PEND-06", context)
    assert case.post(PATH, other).status_code == 422


@pytest.mark.requirement("dtr:spec-130")
def test_an_unknown_context_is_an_error_with_an_outcome(case: Case) -> None:
    answer = case.post(PATH, package_request(context="nonsense"))
    assert answer.status_code == 422
    assert answer.json()["resourceType"] == "OperationOutcome"


@pytest.mark.requirement("dtr:oper-9")
def test_an_unknown_canonical_is_success_with_a_warning(case: Case) -> None:
    body = package_request()
    body["parameter"].append({"name": "questionnaire", "valueCanonical": "https://x.example/Questionnaire/none"})
    answer = case.post(PATH, body)
    assert answer.status_code == 200
    (outcome,) = [p["resource"] for p in answer.json()["parameter"] if p["name"] == "outcome"]
    assert outcome["issue"][0]["severity"] == "warning"


@pytest.mark.parametrize(
    ("canonical", "count"),
    [("|1.0.0", 1), ("", 1), ("|2.0.0", 0)],
)
def test_a_named_form_is_found_by_url_and_version(case: Case, canonical: str, count: int) -> None:
    body = package_request()
    body["parameter"][1] = {"name": "questionnaire", "valueCanonical": FORM["url"] + canonical}
    parameters = case.post(PATH, body).json()["parameter"]
    assert len([p for p in parameters if p["name"] == "packagebundle"]) == count


@pytest.mark.parametrize(("since", "count"), [("2026-02-01T00:00:00Z", 0), ("2026-01-01T00:00:00Z", 1)])
def test_only_what_changed_since_is_sent(case: Case, since: str, count: int) -> None:
    body = package_request()
    body["parameter"].append({"name": "changedsince", "valueInstant": since})
    answer = case.post(PATH, body)
    assert answer.status_code == 200
    assert len([p for p in answer.json().get("parameter", []) if p["name"] == "packagebundle"]) == count


BREACHES: list[tuple[str, Change]] = [
    ("no Parameters", lambda b: b.update(resourceType="Bundle")),
    ("no coverage", lambda b: b["parameter"].pop(0)),
    ("two coverages", lambda b: b["parameter"].append({"name": "coverage", "resource": ehr_coverage("X")})),
    ("coverage is no Coverage", lambda b: b["parameter"][0].update(resource={"resourceType": "Patient"})),
    ("neither order nor form nor context", lambda b: b["parameter"].pop(1)),
    ("two contexts", lambda b: b["parameter"].extend([{"name": "context", "valueString": "a"}] * 2)),
    ("order of a wrong type", lambda b: b["parameter"][1].update(resource={"resourceType": "Patient"})),
    ("changedsince as dateTime", lambda b: b["parameter"].append({"name": "changedsince", "valueDateTime": "2026"})),
    ("parameters no list", lambda b: b.update(parameter={"a": 1})),
]


@pytest.mark.parametrize("change", [pytest.param(c, id=name) for name, c in BREACHES])
@pytest.mark.requirement("dtr:oper-11")
def test_a_breach_is_refused_with_an_outcome(case: Case, change: Change) -> None:
    body = package_request()
    change(body)
    answer = case.post(PATH, body)
    assert answer.status_code == 422, answer.text
    assert answer.json()["resourceType"] == "OperationOutcome"


def test_referenced_resources_are_passed_over(case: Case) -> None:
    body = package_request()
    body["parameter"].append({"name": "referenced", "resource": {"resourceType": "Patient"}})
    assert case.post(PATH, body).status_code == 200


def test_no_form_for_an_order_that_needs_none(case: Case) -> None:
    body = package_request("SYN-NOAUTH-01")
    answer = case.post(PATH.replace("medicare", "open"), body).json()
    (outcome,) = answer["parameter"]
    assert outcome["resource"]["issue"][0]["severity"] == "information"
