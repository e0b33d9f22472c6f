"""DTR of the simulated payers: `$next-question`, strict in each version."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.harness_case import Case, running
from tests.harness_messages import DTR, Resource, package_request

NEW = "/example-medicare/fhir/Questionnaire/"
OLD = "/example-medicare/2.0.1/fhir/Questionnaire/"
ADAPTIVE = "http://hl7.org/fhir/uv/sdc/StructureDefinition/sdc-questionnaire-questionnaireAdaptive"
ORIGIN = {
    "url": f"{DTR}information-origin",
    "extension": [
        {"url": "source", "valueCode": "manual"},
        {"url": "author", "extension": [{"url": "role", "valueCodeableConcept": {"text": "nurse"}}]},
    ],
}


@pytest.fixture(scope="module")
def case() -> Iterator[Case]:
    with running() as found:
        yield found


def package(case: Case, where: str = NEW) -> tuple[Resource, Resource]:
    """(Questionnaire, draft)."""
    body = case.post(where + "$questionnaire-package", package_request("SYN-ADAPT-01")).json()
    bundle = body if where == OLD else body["parameter"][0]["resource"]
    form, draft = [entry["resource"] for entry in bundle["entry"]][:2]
    return form, draft


def wrapped(response: Resource) -> Resource:
    return {"resourceType": "Parameters", "parameter": [{"name": "questionnaire-response", "resource": response}]}


def ask(case: Case, response: Resource) -> Resource:
    answer = case.post(NEW + "$next-question", wrapped(response))
    assert answer.status_code == 200, answer.text
    (parameter,) = answer.json()["parameter"]
    assert parameter["name"] == "return"
    found: Resource = parameter["resource"]
    return found


def answer(value: Any, kind: str) -> list[Resource]:
    return [{"extension": [ORIGIN], f"value{kind}": value}]


def first_set(case: Case, weeks: int = 7) -> Resource:
    """The first set, answered."""
    response = ask(case, package(case)[1])
    items = [
        {"linkId": "birth-date", "answer": answer("1980-04-02", "Date")},
        {"linkId": "weeks", "answer": answer(weeks, "Integer")},
    ]
    return {**response, "item": [{"linkId": "start", "item": items}]}


def links(response: Resource) -> list[str]:
    return [one["linkId"] for one in response["contained"][0].get("item", [])]


def test_the_package_holds_no_question_and_says_where_to_ask(case: Case) -> None:
    form, draft = package(case)
    assert "item" not in form
    url = next(one["valueUrl"] for one in form["extension"] if one["url"] == ADAPTIVE)
    assert url == "http://harness.example.org/example-medicare/fhir"
    assert draft["questionnaire"] == f"#{draft['contained'][0]['id']}"
    old_form, old_draft = package(case, OLD)
    assert {"url": ADAPTIVE, "valueBoolean": True} in old_form["extension"]
    assert "contained" not in old_draft
    assert "item" not in old_draft


@pytest.mark.parametrize(("weeks", "then"), [(7, "course"), (2, "early")])
def test_the_answers_decide_what_is_asked_next(case: Case, weeks: int, then: str) -> None:
    response = ask(case, first_set(case, weeks))
    assert links(response) == ["start", then]
    assert response["status"] == "in-progress"


def test_after_the_last_set_the_response_is_completed(case: Case) -> None:
    response = ask(case, first_set(case, 2))
    response["item"].append({"linkId": "early", "item": [{"linkId": "red-flag", "answer": answer(True, "Boolean")}]})
    response = ask(case, response)
    assert links(response) == ["start", "early", "plan"]
    response["item"].append({"linkId": "plan", "item": [{"linkId": "change", "answer": answer("text", "String")}]})
    done = ask(case, response)
    assert done["status"] == "completed"
    assert done["item"] == response["item"]


def test_a_set_that_no_longer_applies_is_dropped_with_its_answers(case: Case) -> None:
    response = ask(case, first_set(case, 2))
    response["item"].append({"linkId": "early", "item": [{"linkId": "red-flag", "answer": answer(True, "Boolean")}]})
    response["item"][0]["item"][1]["answer"] = answer(8, "Integer")
    found = ask(case, response)
    assert links(found) == ["start", "course"]
    assert [one["linkId"] for one in found["item"]] == ["start"]


@pytest.mark.requirement("dtr:spec-147")
@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda r: r.update(status="completed"), "in progress"),
        (lambda r: r["item"][0]["item"].pop(), "not answered"),
        (lambda r: r["item"][0]["item"][1]["answer"][0].pop("extension"), "where it came from"),
        (lambda r: r["contained"][0].update(title="mine"), "exactly"),
        (lambda r: r["contained"][0]["item"][0].update(text="mine"), "exactly"),
        (lambda r: r["contained"].append(r["contained"][0]), "one contained"),
        (lambda r: r.pop("contained"), "no adaptive form"),
        (lambda r: r["contained"][0].update(derivedFrom=["https://other.example.org"]), "no adaptive form"),
        (lambda r: r.pop("authored"), "authored"),
        (lambda r: r.pop("extension"), "qr-context"),
        (lambda r: r["item"].append({"linkId": "x", "answer": answer("y", "String")}), "was asked"),
    ],
)
def test_a_response_that_breaks_the_guide_is_refused(case: Case, change: Callable[[Resource], Any], word: str) -> None:
    response = copy.deepcopy(first_set(case))
    change(response)
    refused = case.post(NEW + "$next-question", wrapped(response))
    assert refused.status_code == 400
    assert refused.json()["resourceType"] == "OperationOutcome"
    assert word in refused.text


def test_each_version_has_its_shape(case: Case) -> None:
    response = package(case)[1]
    assert case.post(NEW + "$next-question", response).status_code == 400
    named = {"resourceType": "Parameters", "parameter": [{"name": "in", "resource": response}]}
    assert case.post(NEW + "$next-question", named).status_code == 400
    form, draft = package(case, OLD)
    shell = {key: value for key, value in form.items() if key not in ("url", "version")}
    shell["derivedFrom"] = [f"{form['url']}|{form['version']}"]
    old = {**draft, "contained": [shell], "questionnaire": f"#{shell['id']}"}
    found = case.post(OLD + "$next-question", old).json()
    assert found["resourceType"] == "QuestionnaireResponse"
    assert links(found) == ["start"]
