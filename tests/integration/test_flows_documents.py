"""Forms, checks and rechecks: people's answers stay, every end is sealed, and the chart is read as it stands."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.fhir.json import dump_json, parse_json
from gateway.flows import actions, forms, ledger
from tests.integration.flows_house import PERSON, House, answered, open_house

MEMBERS = {
    **dict.fromkeys(
        ("recheck", "revoked", "other-patient", "changed", "after-forms", "still-asks", "person"), "SYN-APPROVE-01"
    ),
    "documents": "SYN-DOCS-01",
}


@pytest.fixture(scope="module")
def _opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder: Path = tmp_path_factory.mktemp("documents")
    with open_house(folder, MEMBERS) as opened:
        yield opened


@pytest.fixture
def house(_opened: House) -> Iterator[House]:
    """One house for the module; every test has a patient of its own."""
    yield _opened
    for between in _opened.payers.values():
        between.instead.clear()


def _change_order(house: House, name: str, **changes: Any) -> None:
    ehr = house.services.ehr("ehr")
    current = ehr.read(*house.charts[name].order_reference.split("/"))
    ehr.update({**current.resource, **changes}, current.etag or current.version)


def test_documentation_alone_is_sealed_and_handed_to_the_ehr(house: House) -> None:
    case_id = house.to_state("documents")
    assert house.case(case_id).state == "documented"
    assert house.facts(case_id).document
    assert "seal" in house.verbs(case_id)
    patient = house.charts["documents"].patient_reference.partition("/")[2]
    found = house.services.ehr("ehr").search("DocumentReference", {"patient": patient})
    described = [item.resource for item in found if "Sealed" in str(item.resource.get("description"))]
    assert len(described) == 1
    assert all(item.done for item in house.facts(case_id).write_backs)
    assert not house.failing_codes(case_id)


def test_answers_of_people_stay_when_a_case_is_checked_again(house: House) -> None:
    case_id = house.post("recheck")
    house.run()
    house.payer().instead["submit"] = lambda real, body: answered(400)
    house.answer_forms(case_id)
    assert house.case(case_id).state == "needs_attention"
    before = _answers(house, case_id)
    actions.check_again(house.services, PERSON, case_id)
    house.run()
    assert house.case(case_id).state == "documenting"
    assert _answers(house, case_id) == before
    house.payer().instead.clear()
    house.answer_forms(case_id)
    assert house.case(case_id).state == "approved"
    assert not house.failing_codes(case_id)


def _answers(house: House, case_id: str) -> dict[str, Any]:
    shown = forms.show_forms(house.services, PERSON, case_id)
    return {row["link_id"]: row["values"] for form in shown for row in form["rows"] if row["values"]}


def test_closed_order_is_not_sent(house: House) -> None:
    case_id = house.post("revoked")
    _change_order(house, "revoked", status="revoked")
    house.run()
    assert house.case(case_id).state == "needs_attention"
    assert "closed in the EHR" in house.case(case_id).next_action


def test_order_of_another_patient_is_not_sent(house: House) -> None:
    case_id = house.post("other-patient")
    _change_order(house, "other-patient", subject={"reference": house.charts["revoked"].patient_reference})
    house.run()
    assert house.case(case_id).state == "needs_attention"
    assert "another patient" in house.case(case_id).next_action


def test_case_follows_the_order_as_it_stands(house: House) -> None:
    case_id = house.post("changed")
    _change_order(house, "changed", priority="stat")
    house.run()
    assert house.case(case_id).is_expedited


def _answer_need(house: House, **changes: str) -> None:
    """The hook's coverage-information with other codes in it."""

    def call(real: Any, service: str, body: bytes, *rest: Any) -> Any:
        found = real(service, body, *rest)
        text = found.response_bytes.decode()
        for old, new in changes.items():
            text = text.replace(f'"{old.replace("_", "-")}"', f'"{new}"')
        return answered(found.status, dump_json(parse_json(text.encode())), body)

    house.payer().instead["call_hook"] = call


def test_conditional_need_is_asked_again_after_its_forms(house: House) -> None:
    _answer_need(house, auth_needed="conditional")
    case_id = house.post("after-forms")
    house.run()
    assert house.facts(case_id).need_action == "document_then_ask"
    house.payer().instead.clear()
    house.answer_forms(case_id)
    assert house.case(case_id).state == "approved"
    assert house.verbs(case_id).count("payer-need") == 2
    assert not house.failing_codes(case_id)


def test_need_that_stays_conditional_needs_a_person(house: House) -> None:
    _answer_need(house, auth_needed="conditional")
    case_id = house.to_state("still-asks")
    assert house.case(case_id).state == "needs_attention"
    assert "by phone" in house.case(case_id).next_action
    assert ledger.load(house.services, "main", case_id).state == "needs_attention"
    assert not house.failing_codes(case_id)
