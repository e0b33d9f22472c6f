"""What a payer says about coverage together with an adaptive form: merged by its version's key, and acted on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.fhir.json import dump_json, parse_json
from gateway.flows import forms, ledger, next_questions
from gateway.profiles.crd_coverage_information import read_coverage_informations
from gateway.profiles.dtr_coverage import merge_response_information
from gateway.profiles.dtr_next_question import read_next_question
from tests.integration.flows_house import PERSON, House, answered, open_house
from tests.integration.test_flows_form_packages import speaking

URL = "http://hl7.org/fhir/us/davinci-crd/StructureDefinition/ext-coverage-information"
NAMES = ("satisfied", "plain", "foreign", "more", "none")


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One house for the module; every test has a patient of its own."""
    folder: Path = tmp_path_factory.mktemp("coverage")
    settled = dict.fromkeys(("settled-2.2.0", "settled-2.0.1"), "SYN-ADAPT-02")
    with open_house(folder, dict.fromkeys(NAMES, "SYN-ADAPT-01") | settled) as opened:
        yield opened


@pytest.fixture(autouse=True)
def _as_it_was(house: House) -> Iterator[None]:
    yield
    for between in house.payers.values():
        between.instead.clear()
        between.calls.clear()


def said(coverage: str, assertion: str, **parts: Any) -> dict[str, Any]:
    """One coverage-information; `parts` are its codes by name."""
    listed: list[dict[str, Any]] = [{"url": "coverage", "valueReference": {"reference": coverage}}]
    for name, value in parts.items():
        key = {"questionnaire": "valueCanonical", "satisfied_pa_id": "valueString"}.get(name, "valueCode")
        listed.append({"url": name.replace("_", "-"), key: value})
    listed.append({"url": "date", "valueDate": "2026-03-01"})
    listed.append({"url": "coverage-assertion-id", "valueString": assertion})
    return {"url": URL, "extension": listed}


def order(*extensions: Any) -> dict[str, Any]:
    return {"resourceType": "ServiceRequest", "id": "o", "extension": list(extensions)}


def keys(resource: Any) -> list[tuple[str, str]]:
    return [(one.assertion_id, one.pa_needed) for one in read_coverage_informations(resource)]


FIRST = said("Coverage/c", "a1", covered="covered", pa_needed="auth-needed")
SECOND = said("Coverage/c", "a2", covered="covered", pa_needed="no-auth")
OTHER = said("Coverage/d", "a9", covered="covered", pa_needed="auth-needed")


@pytest.mark.requirement("dtr:spec-47")
@pytest.mark.parametrize(
    ("arriving", "alone", "expected"),
    [
        ([said("Coverage/c", "a1", covered="covered", pa_needed="satisfied")], False, ["a9", "a2", "a1 satisfied"]),
        ([said("Coverage/c", "a1", covered="covered", pa_needed="satisfied")], True, ["a9", "a1 satisfied"]),
        (
            [said("Coverage/c", "a3", covered="covered", pa_needed="satisfied")],
            False,
            ["a1", "a9", "a2", "a3 satisfied"],
        ),
        ([said("http://ehr/Coverage/c", "a1", covered="covered", pa_needed="satisfied")], True, ["a9", "a1 satisfied"]),
        ([said("Coverage/d", "a9", covered="covered", pa_needed="no-auth")], False, None),
        ([], False, None),
    ],
)
def test_the_key_of_the_merge_is_that_of_the_guide(arriving: Any, alone: bool, expected: list[str] | None) -> None:
    merged = merge_response_information(
        order(FIRST, OTHER, SECOND), order(*arriving), "Coverage/c", by_coverage_alone=alone
    )
    if expected is None:
        assert merged is None
    else:
        assert merged is not None
        assert [f"{one} {need}" if need == "satisfied" else one for one, need in keys(merged)] == expected


def to_last_question(house: House, name: str) -> str:
    case_id = house.post(name)
    house.run()
    for link_id, value in (("", ""), ("weeks", "7"), ("treatment", "exercise"), ("change", "Surgery is planned.")):
        if link_id:
            forms.fill(house.services, PERSON, case_id, "1", {link_id: [value]})
        if link_id != "change":
            next_questions.ask_next(house.services, PERSON, case_id, "1")
            house.run()
    return case_id


def answer_with(house: House, *extensions: Any) -> None:
    """Let the payer's service put these beside its answers."""

    def answer(real: Any, body: bytes, *rest: Any, **more: Any) -> Any:
        exchange = real(body, *rest, **more)
        response = dict(read_next_question(parse_json(exchange.response_bytes)))
        response["extension"] = [*response.get("extension", ()), *extensions]
        return replace(exchange, response_bytes=dump_json(response))

    house.payer().instead["next_question"] = answer


def finish(house: House, case_id: str) -> None:
    next_questions.ask_next(house.services, PERSON, case_id, "1")
    house.run()


def on_order(house: House, case_id: str) -> list[tuple[str, str]]:
    """(assertion id, authorization) on the order in the EHR."""
    case = house.case(case_id)
    return keys(house.services.ehr("ehr").read(*case.order_reference.split("/", 1)).resource)


@pytest.mark.requirement("dtr:spec-33")
def test_a_form_that_settles_the_authorization_closes_the_case_with_its_number(house: House) -> None:
    case_id = to_last_question(house, "satisfied")
    case, facts = house.case(case_id), house.facts(case_id)
    now = said(
        case.coverage_reference, facts.assertion_id, covered="covered", pa_needed="satisfied", satisfied_pa_id="PA-77"
    )
    answer_with(house, now)
    finish(house, case_id)
    assert house.case(case_id).state == "not_required"
    assert house.case(case_id).authorization_number == "PA-77"
    assert on_order(house, case_id) == [(facts.assertion_id, "satisfied")]
    assert "submit" not in house.verbs(case_id)
    (form,) = forms.show_forms(house.services, PERSON, case_id)
    assert form["payer_says"] == ["The payer says: covered: covered; authorization: satisfied; number PA-77."]
    assert not house.failing_codes(case_id)


@pytest.mark.requirement("dtr:spec-48")
def test_a_form_that_says_nothing_leaves_the_need_as_it_was(house: House) -> None:
    case_id = to_last_question(house, "plain")
    need = house.facts(case_id).need
    finish(house, case_id)
    assert house.facts(case_id).need == need
    house.wait(5)
    assert house.case(case_id).state == "approved"


def test_what_is_said_about_another_coverage_is_not_taken_over(house: House) -> None:
    case_id = to_last_question(house, "foreign")
    answer_with(house, said("Coverage/of-somebody", "x", covered="covered", pa_needed="no-auth"))
    before = on_order(house, case_id)
    finish(house, case_id)
    assert on_order(house, case_id) == before
    house.wait(5)
    assert house.case(case_id).state == "approved"


@pytest.mark.requirement("dtr:spec-49")
def test_forms_that_are_named_then_are_fetched_and_asked(house: House) -> None:
    case_id = to_last_question(house, "more")
    case, facts = house.case(case_id), house.facts(case_id)
    further = {
        "resourceType": "Questionnaire",
        "url": "http://example.org/further",
        "version": "1",
        "title": "A further form",
        "item": [{"linkId": "x", "text": "x", "type": "string"}],
    }
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": further}]}
    asked: list[Any] = []

    def package(real: Any, body: bytes, *rest: Any) -> Any:
        asked.append(parse_json(body))
        return answered(200, bundle, body)

    house.payer().instead["questionnaire_package"] = package
    now = said(
        case.coverage_reference,
        facts.assertion_id,
        covered="covered",
        pa_needed="auth-needed",
        doc_needed="clinical",
        questionnaire="http://example.org/further|1",
    )
    answer_with(house, now)
    finish(house, case_id)
    assert house.case(case_id).state == "documenting"
    assert [one["valueCanonical"] for one in asked[0]["parameter"] if one["name"] == "questionnaire"] == [
        "http://example.org/further|1"
    ]
    first, second = house.facts(case_id).forms
    assert (first.status, second.status, second.title) == ("completed", "in-progress", "A further form")
    forms.complete(house.services, PERSON, case_id, second.form_id)
    house.run()
    house.wait(5)
    assert house.case(case_id).state == "approved"


@pytest.mark.requirement("dtr:spec-43")
def test_an_order_that_the_payer_said_nothing_about_takes_nothing_over(house: House) -> None:
    case_id = to_last_question(house, "none")
    case, facts = house.case(case_id), house.facts(case_id)
    silent = replace(facts, coverage_information="")
    with house.services.store.begin() as tx:
        tx.cases.update(case.tenant_id, case.case_id, case.version, facts=silent.to_text())
    answer_with(house, said(case.coverage_reference, "new", covered="covered", pa_needed="no-auth"))
    finish(house, case_id)
    assert house.facts(case_id).coverage_information == ""
    assert ledger.load(house.services, "main", case_id).state != "not_required"


@pytest.mark.parametrize("version", ["2.2.0", "2.0.1"])
def test_a_simulated_payer_settles_the_authorization_with_its_form(house: House, version: str) -> None:
    with speaking(house, version):
        case_id = to_last_question(house, f"settled-{version}")
        finish(house, case_id)
    assert house.case(case_id).state == "not_required"
    assert house.case(case_id).authorization_number == "PA-STEP-1"
    ((_, need),) = on_order(house, case_id)
    assert need == "satisfied"
