"""What the simulated payers find in the forms that come with a request; findings, never refusals."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from payer_endpoints.harness.form_checks import check_forms, completed_forms
from payer_endpoints.harness.guides import Guide
from tests.harness_case import Case, running, write_form
from tests.harness_messages import (
    Resource,
    concept,
    entry_of,
    hook_request,
    request_bundle,
)

CANONICAL = "https://payer.example.org/Questionnaire/test-form|1.0.0"
Change = Callable[[Resource], Any]


def form_of(bundle: Resource) -> Resource:
    return entry_of(bundle, "QuestionnaireResponse")[1]


def answer_of(bundle: Resource) -> Resource:
    found: Resource = form_of(bundle)["item"][0]["answer"][0]
    return found


def origin_of(bundle: Resource) -> Resource:
    found: Resource = answer_of(bundle)["extension"][0]
    return found


def author() -> Resource:
    role = {"url": "role", "valueCodeableConcept": concept("urn:x", "y")}
    return {"url": "author", "extension": [role]}


def by_person(bundle: Resource) -> None:
    origin_of(bundle)["extension"] = [{"url": "source", "valueCode": "manual"}, author()]


FINDINGS: list[tuple[str, Change, int]] = [
    ("nothing", lambda b: None, 0),
    ("typed by a person", by_person, 0),
    ("in progress", lambda b: form_of(b).update(status="in-progress"), 1),
    ("no version", lambda b: form_of(b).update(questionnaire="https://payer.example.org/Questionnaire/test-form"), 1),
    ("another form", lambda b: form_of(b).update(questionnaire="https://payer.example.org/Questionnaire/other|1"), 1),
    ("not authored", lambda b: form_of(b).pop("authored"), 1),
    ("no links", lambda b: form_of(b).pop("extension"), 3),
    ("no origin", lambda b: answer_of(b).pop("extension"), 1),
    ("code of 2.0.1", lambda b: origin_of(b)["extension"][0].update(valueCode="auto"), 1),
    ("machine with an author", lambda b: origin_of(b)["extension"].append(author()), 1),
    ("person without an author", lambda b: origin_of(b)["extension"][0].update(valueCode="override"), 1),
    ("an empty author", lambda b: (by_person(b), origin_of(b)["extension"][1].pop("extension")), 1),
    ("nested answer", lambda b: answer_of(b).update(item=[{"linkId": "2", "answer": [{"valueString": "x"}]}]), 1),
]


@pytest.mark.requirement("dtr:spec-137")
@pytest.mark.parametrize(("change", "count"), [pytest.param(c, n, id=name) for name, c, n in FINDINGS])
def test_findings_about_a_form(change: Change, count: int) -> None:
    bundle = request_bundle()
    change(bundle)
    found = list(check_forms(bundle, Guide.STU2_2, [CANONICAL]))
    assert len(found) == count, [issue.text for issue in found]
    assert {issue.severity for issue in found} <= {"warning"}


def test_the_older_generation_has_its_own_codes() -> None:
    bundle = request_bundle()
    origin_of(bundle)["extension"][0]["valueCode"] = "auto"
    assert list(check_forms(bundle, Guide.STU2, [CANONICAL])) == []


def test_a_form_in_a_bundle_of_its_own_is_found() -> None:
    bundle = request_bundle()
    url, form = entry_of(bundle, "QuestionnaireResponse")
    inner = {"resourceType": "Bundle", "type": "collection", "entry": [{"fullUrl": url, "resource": form}]}
    next(entry for entry in bundle["entry"] if entry["fullUrl"] == url)["resource"] = inner
    assert completed_forms(bundle) == [form]


def test_a_score_of_the_chart_is_no_form_of_the_payer() -> None:
    bundle = request_bundle()
    score = {"resourceType": "QuestionnaireResponse", "questionnaire": "urn:oid:1.2|1.0.0", "status": "in-progress"}
    bundle["entry"].append({"fullUrl": "urn:uuid:x", "resource": score})
    assert list(check_forms(bundle, Guide.STU2_2, [CANONICAL])) == []


@pytest.fixture
def case(tmp_path: Path) -> Any:
    with running(forms=write_form(tmp_path)) as found:
        yield found


def texts(case: Case) -> list[str]:
    return [finding["text"] for finding in case.ledger()["findings"] if finding["operation"] == "submit"]


def test_a_request_without_the_wanted_form_is_taken_in_with_a_finding(case: Case) -> None:
    bundle = request_bundle()
    url, _ = entry_of(bundle, "QuestionnaireResponse")
    bundle["entry"] = [entry for entry in bundle["entry"] if entry["fullUrl"] != url]
    claim = entry_of(bundle, "Claim")[1]
    claim["supportingInfo"].pop()
    assert case.submit(bundle).status_code == 200
    assert texts(case) == ["A form that was asked for did not come."]


@pytest.mark.requirement("crd:resp-46")
def test_an_order_brings_its_coverage_information_along(case: Case) -> None:
    hook = case.post("/example-medicare/cds-services/order-sign-coverage", hook_request()).json()
    (information,) = hook["systemActions"][0]["resource"]["extension"]
    case.submit(request_bundle())
    assert texts(case) == ["The order came without the coverage information it was given."]
    bundle = request_bundle()
    information["extension"][0]["valueReference"]["reference"] = entry_of(bundle, "Coverage")[0]
    entry_of(bundle, "ServiceRequest")[1]["extension"] = [information]
    case.submit(bundle)
    assert len(texts(case)) == 1
