"""Each form scenario of the simulated payers through the real flows, in both versions of the guide."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.errors import InputError
from gateway.fhir.json import parse_json
from gateway.flows import forms, ledger
from tests.integration.flows_house import PERSON, House, open_house

MEMBERS = {
    "several": "SYN-FORMS-01",
    "kinds": "SYN-FORMS-02",
    "signed": "SYN-FORMS-03",
    "in-parts": "SYN-FORMS-04",
    "broken": "SYN-FORMS-05",
    "hostile": "SYN-FORMS-06",
    "expired": "SYN-FORMS-07",
    "none": "SYN-FORMS-08",
}
VERSIONS = ("2.2.0", "2.0.1")
PAYER = "example-medicare"


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One house for the module; a patient for each scenario and version."""
    folder: Path = tmp_path_factory.mktemp("packages")
    names = {f"{name}-{version}": member for name, member in MEMBERS.items() for version in VERSIONS}
    with open_house(folder, names) as opened:
        yield opened


@contextmanager
def speaking(house: House, version: str) -> Iterator[None]:
    """The payer's forms as this version of the guide has them."""
    directory, clients = house.services.directory, dict(house.services._payers)
    if version != "2.2.0":
        row = house.services.payer_row(PAYER)
        assert row.dtr is not None
        url = str(row.dtr.base_url).replace("/fhir", f"/{version}/fhir")
        older = row.model_copy(update={"dtr": row.dtr.model_copy(update={"version": version, "base_url": url})})
        house.services.directory = type(directory)([*(one for one in directory if one.slug != PAYER), older])
        house.services._payers.clear()
    try:
        yield
    finally:
        house.services.directory = directory
        house.services._payers.clear()
        house.services._payers.update(clients)


def opened(house: House, name: str) -> str:
    case_id = house.post(name)
    house.run()
    return case_id


def shown(house: House, case_id: str) -> list[dict[str, Any]]:
    return forms.show_forms(house.services, PERSON, case_id)


def values(form: dict[str, Any]) -> dict[str, list[str]]:
    return {row["link_id"]: row["values"] for row in form["rows"] if row["values"]}


def fill(house: House, case_id: str, form_id: str, **answers: Any) -> None:
    named = {key.replace("_", "-"): value if isinstance(value, list) else [value] for key, value in answers.items()}
    forms.fill(house.services, PERSON, case_id, form_id, named)


def sent(house: House, case_id: str) -> list[Any]:
    case = house.case(case_id)
    return [parse_json(ledger.load_object(house.services, case, one.response)) for one in house.facts(case_id).forms]


def approved(house: House, case_id: str) -> None:
    house.run()
    house.wait(5)
    assert house.case(case_id).state == "approved", house.case(case_id).next_action
    assert not house.failing_codes(case_id)


def several(house: House, case_id: str) -> None:
    first, second = shown(house, case_id)
    assert (len(values(first)["born"]), "age" in values(first), "count" in values(first)) == (1, True, True)
    assert second["title"] == "Where and when"
    fill(house, case_id, "1", words="Nothing more.")
    forms.complete(house.services, PERSON, case_id, "1")
    with pytest.raises(InputError, match="still open"):
        forms.complete(house.services, PERSON, case_id, "2")
    fill(house, case_id, "2", site="North imaging")
    forms.complete(house.services, PERSON, case_id, "2")
    approved(house, case_id)


def kinds(house: House, case_id: str) -> None:
    (form,) = shown(house, case_id)
    rows = {row["link_id"]: row for row in form["rows"]}
    assert rows["problem"]["candidates"]
    assert rows["shown"]["read_only"]
    answers: dict[str, Any] = {
        "yes-no": [True],
        "count": ["3"],
        "ratio": ["4.50"],
        "day": ["2026-02-03"],
        "last-day": ["2026-02-01"],
        "moment": ["2026-02-01T10:00"],
        "clock": ["08:30"],
        "line": ["words"],
        "words": ["More words"],
        "link": ["https://example.org/report"],
        "one": ["left"],
        "several": ["none", "exercise"],
        "open": ["Something else"],
        "weight": ["70.5 kg"],
        "letter": [{"valueAttachment": {"contentType": "application/pdf", "data": "JVBERi0="}}],
        "problem": [rows["problem"]["candidates"][0]["answer"]],
        "record": [rows["record"]["candidates"][0]["answer"]],
    }
    forms.fill(house.services, PERSON, case_id, "1", answers)
    wrong = {row["link_id"]: row["error"] for row in shown(house, case_id)[0]["rows"] if row["error"]}
    assert wrong == {
        "last-day": "The last day is before the first one.",
        "several": "One of the answers excludes the others.",
    }
    fill(house, case_id, "1", last_day="2026-02-28", several="none", why="The patient refused.")
    forms.complete(house.services, PERSON, case_id, "1")
    (response,) = sent(house, case_id)
    assert (
        "4.50"
        in ledger.load_object(house.services, house.case(case_id), house.facts(case_id).forms[0].response).decode()
    )
    assert "unseen" in json.dumps(response, default=str)
    approved(house, case_id)


def signed(house: House, case_id: str) -> None:
    fill(house, case_id, "1", site="North imaging")
    with pytest.raises(InputError, match="demands a signature"):
        forms.complete(house.services, PERSON, case_id, "1")
    forms.complete(house.services, PERSON, case_id, "1", signed=True)
    (response,) = sent(house, case_id)
    assert any(one["url"].endswith("questionnaireresponse-signature") for one in response["extension"])
    approved(house, case_id)


def in_parts(house: House, case_id: str) -> None:
    (form,) = shown(house, case_id)
    assert {"born", "age", "list"} <= set(values(form))
    fill(house, case_id, "1", words="Nothing more.")
    forms.complete(house.services, PERSON, case_id, "1")
    approved(house, case_id)


def broken(house: House, case_id: str) -> None:
    (form,) = shown(house, case_id)
    rows = {row["link_id"]: row for row in form["rows"]}
    assert rows["born"]["values"] == []
    assert rows["born"]["reason_if_empty"]
    assert _ledger(house)["error_reports"] > 0
    fill(house, case_id, "1", born="1950-01-02", words="Filled by hand.")  # people go on (dtr:spec-79)
    forms.complete(house.services, PERSON, case_id, "1")
    approved(house, case_id)


def hostile(house: House, case_id: str) -> None:
    (form,) = shown(house, case_id)
    assert "somebody-else" not in json.dumps(form, default=str)
    assert "About somebody else" not in json.dumps(form, default=str)
    fill(house, case_id, "1", born="1950-01-02", words="Filled by hand.")
    forms.complete(house.services, PERSON, case_id, "1")
    approved(house, case_id)


def expired(house: House, case_id: str) -> None:
    (form,) = shown(house, case_id)
    assert form["can_be_completed"] is False
    assert "no longer in force" in house.case(case_id).next_action
    fill(house, case_id, "1", site="North imaging")
    with pytest.raises(InputError, match="cannot be completed"):
        forms.complete(house.services, PERSON, case_id, "1")


def none(house: House, case_id: str) -> None:
    assert house.case(case_id).state == "needs_attention"
    assert "sent no form" in house.case(case_id).next_action


STORIES: dict[str, Callable[[House, str], None]] = {
    "several": several,
    "kinds": kinds,
    "signed": signed,
    "in-parts": in_parts,
    "broken": broken,
    "hostile": hostile,
    "expired": expired,
    "none": none,
}


def _ledger(house: House) -> Any:
    row = house.services.payer_row(PAYER)
    assert row.dtr is not None
    return httpx.get(str(row.dtr.base_url).split(f"/{PAYER}")[0] + "/_ledger").json()


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", sorted(STORIES))
@pytest.mark.requirement("dtr:spec-14")
def test_a_form_scenario_ends_as_it_should(house: House, name: str, version: str) -> None:
    with speaking(house, version):
        case_id = opened(house, f"{name}-{version}")
        STORIES[name](house, case_id)
    found = _ledger(house)["findings"]
    assert [one for one in found if "questionnaire" in one["operation"] or one["severity"] == "error"] == []
