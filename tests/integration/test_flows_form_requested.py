"""A payer that pends a request and asks for its own form: fetched under its trace number, filled, answered by CDex."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from time import sleep
from typing import Any

import pytest

from gateway.errors import PayerUnreachable
from gateway.fhir.json import parse_json
from gateway.flows import actions, forms, ledger, next_questions
from tests.integration.flows_house import PERSON, House, answered, open_house


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One house for the module; every test has a patient of its own."""
    folder: Path = tmp_path_factory.mktemp("requested")
    members = dict.fromkeys(("asked", "away", "nothing"), "SYN-FORM-01")
    with open_house(folder, members | {"stepwise": "SYN-FORM-02"}) as opened:
        yield opened


@pytest.fixture(autouse=True)
def _as_it_was(house: House) -> Iterator[None]:
    yield
    for between in house.payers.values():
        between.instead.clear()
        between.calls.clear()


@pytest.mark.requirement("dtr:spec-107")
def test_the_form_that_a_pend_asks_for_is_filled_and_sent(house: House) -> None:
    case_id = house.to_state("asked")
    house.run()
    assert house.case(case_id).state == "pended"
    first, second = house.facts(case_id).forms
    (request,) = house.facts(case_id).requests
    assert (second.asked_by, second.status) == (request.control_number, "in-progress")
    assert second.response != first.response
    assert house.case(case_id).move == "us"
    typed = [answer for answer in _origins(house, case_id, second.response) if answer in ("manual", "override")]
    assert typed == []  # what people answered before is not taken over (dtr:spec-125)
    house.answer_forms(case_id)
    assert all(one.sent for one in house.facts(case_id).requests)
    _require_approval(house, case_id)
    assert house.verbs(case_id).count("submit") == 2  # the request and the form
    assert not house.failing_codes(case_id)


def _origins(house: House, case_id: str, digest: str) -> list[str]:
    response = parse_json(ledger.load_object(house.services, house.case(case_id), digest))
    found, stack = [], list(response.get("item", ()))
    while stack:
        item = stack.pop()
        stack += item.get("item", ())
        for answer in item.get("answer", ()):
            found.append(answer["extension"][0]["extension"][0]["valueCode"])
            stack += answer.get("item", ())
    return found


def test_a_payer_that_hands_out_nothing_is_answered_by_a_person(house: House) -> None:
    case_id = house.post("nothing")
    house.run()
    house.payer()
    real = house.payer()._client.questionnaire_package
    house.payer().instead["questionnaire_package"] = lambda was, body, *rest: (
        answered(200, {"resourceType": "Parameters"}, body) if b"TRN" in body else real(body, *rest)
    )
    house.answer_forms(case_id)
    house.run()
    case = house.case(case_id)
    assert case.state == "pended"
    assert len(house.facts(case_id).forms) == 1
    assert house.facts(case_id).requests[0].context == ""
    assert "sent no form" in case.next_action


def test_a_payer_that_is_away_does_not_keep_its_decision_from_the_case(house: House) -> None:
    def away(was: Any, body: bytes, *rest: Any) -> Any:
        if b"TRN" in body:
            raise PayerUnreachable("The payer cannot be reached.")
        return house.payer()._client.questionnaire_package(body)

    house.payer().instead["questionnaire_package"] = away
    case_id = house.to_state("away")
    house.run()
    assert house.case(case_id).state == "pended"
    for _ in range(8):
        house.wait(120)
    assert house.facts(case_id).requests[0].context == ""  # given up: a person answers
    assert forms.show_forms(house.services, PERSON, case_id)[0]["status"] == "completed"


def _require_approval(house: House, case_id: str) -> None:
    """The payer decides in its own time; nobody notifies in this house, so a person asks."""
    for _ in range(20):
        if house.case(case_id).state == "approved":
            break
        sleep(0.1)
        actions.inquire(house.services, PERSON, case_id)
        house.wait(60)
    assert house.case(case_id).state == "approved"


@pytest.mark.requirement("dtr:spec-42")
def test_a_form_that_is_asked_step_by_step_answers_a_pend_too(house: House) -> None:
    case_id = house.post("stepwise")
    house.run()
    _step_through(house, case_id, "1")
    assert house.case(case_id).state == "pended"
    need = house.facts(case_id).need
    _step_through(house, case_id, "2")
    assert house.facts(case_id).need == need
    assert all(one.sent for one in house.facts(case_id).requests)
    _require_approval(house, case_id)
    assert not house.failing_codes(case_id)


def _step_through(house: House, case_id: str, form_id: str) -> None:
    """Answer an adaptive form set by set until its service completes it."""
    answers = {"weeks": "7", "treatment": "exercise", "change": "Surgery is planned."}
    next_questions.ask_next(house.services, PERSON, case_id, form_id)
    for link_id, value in answers.items():
        forms.fill(house.services, PERSON, case_id, form_id, {link_id: [value]})
        next_questions.ask_next(house.services, PERSON, case_id, form_id)
    house.run()
