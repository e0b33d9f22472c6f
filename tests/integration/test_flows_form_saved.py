"""A completed form is saved in the EHR, once, under an identifier of its own; where the EHR keeps none, it is not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.fhir.json import parse_json
from gateway.flows import ledger
from gateway.flows.packet import own_key
from tests.integration.flows_house import House, open_house

NAMES = ("saved", "unsaved")


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One house for the module; every test has a patient of its own."""
    folder: Path = tmp_path_factory.mktemp("saved")
    with open_house(folder, dict.fromkeys(NAMES, "SYN-FORMS-01")) as opened:
        yield opened


def in_ehr(house: House, case_id: str, form_id: str) -> list[Any]:
    identifier = f"urn:ietf:rfc:3986|urn:uuid:{own_key(case_id, f'form-{form_id}')}"
    found = house.services.ehr("ehr").search("QuestionnaireResponse", {"identifier": identifier})
    return list(found.resources)


@pytest.mark.requirement("dtr:spec-152")
def test_every_completed_form_is_in_the_ehr_once(house: House) -> None:
    case_id = house.to_state("saved")
    house.wait(5)
    case = house.case(case_id)
    assert case.state == "approved"
    for form in house.facts(case_id).forms:
        (kept,) = in_ehr(house, case_id, form.form_id)
        sent = parse_json(ledger.load_object(house.services, case, form.response))
        ours = {key: value for key, value in sent.items() if key not in ("id", "meta")}
        theirs = {key: value for key, value in kept.items() if key not in ("id", "meta", "identifier")}
        assert theirs == ours
    assert all(one.done for one in house.facts(case_id).write_backs)
    assert not house.failing_codes(case_id)


def test_an_ehr_that_keeps_no_forms_is_sent_none(house: House) -> None:
    settings = house.services.settings
    row = settings.ehr["ehr"].model_copy(update={"keeps_forms": False})
    house.services.settings = settings.model_copy(update={"ehr": {"ehr": row}})
    try:
        case_id = house.to_state("unsaved")
        house.wait(5)
    finally:
        house.services.settings = settings
    assert house.case(case_id).state == "approved"
    assert in_ehr(house, case_id, "1") == []
