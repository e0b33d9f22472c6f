"""Faults of a payer's form reach the payer, once, without patient data, and hold nobody up."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from gateway.errors import PayerUnreachable
from gateway.fhir.json import dump_json, parse_json
from gateway.flows import forms, ledger
from gateway.flows.form_reports import issues_of
from gateway.forms.populate import Draft, Problem
from gateway.profiles.dtr_errors import build_error_report
from tests.form_samples import NOW, expression, form, item
from tests.integration.flows_house import PERSON, House, answered, open_house

NAMES = ("faulty", "down", "refused", "sound", "foreign", "expired")
PAYER = "example-medicare"
FAULTY = (
    item("bad", "string", expression("initialExpression", "%patient.name.first(.family")),
    item("logic", "string", expression("initialExpression", '"Lib"."Define"', "text/cql")),
    item("fails", "string", expression("initialExpression", "%patient.name.family + 1")),
    item("free", "string"),
)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One house for the module; every test has a patient of its own."""
    folder: Path = tmp_path_factory.mktemp("reports")
    with open_house(folder, dict.fromkeys(NAMES, "SYN-DOCS-01")) as opened:
        yield opened


@pytest.fixture(autouse=True)
def _as_it_was(house: House) -> Iterator[None]:
    yield
    for between in house.payers.values():
        between.instead.clear()
        between.calls.clear()


def serve(house: House, *items: Any, draft: Any = None, **more: Any) -> None:
    """Let the payer answer with this form."""
    listed = [form(*items, **more), *([draft] if draft else [])]
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": one} for one in listed]}
    body = {"resourceType": "Parameters", "parameter": [{"name": "packagebundle", "resource": bundle}]}
    house.payer().instead["questionnaire_package"] = lambda real, sent, *rest: answered(200, body, sent)


def opened(house: House, name: str) -> str:
    case_id = house.post(name)
    house.run()
    assert house.case(case_id).state == "documenting"
    return case_id


def reports(house: House) -> list[dict[str, Any]]:
    """Error reports that this payer took in, oldest first."""
    listed = httpx.get(_origin(house) + "/_ledger/messages").json()["messages"]
    return [
        json.loads(base64.b64decode(one["request"])) for one in listed if one["operation"] == "log-questionnaire-errors"
    ]


def _origin(house: House) -> str:
    row = house.services.payer_row(PAYER)
    assert row.dtr is not None
    return str(row.dtr.base_url).split(f"/{PAYER}")[0]


@pytest.mark.requirement("dtr:spec-78")
@pytest.mark.threat("T17")
def test_faults_are_reported_once_and_without_the_patient(house: House) -> None:
    serve(house, *FAULTY)
    before = len(reports(house))
    case_id = opened(house, "faulty")
    (report,) = reports(house)[before:]
    named, outcome = report["parameter"]
    assert named == {"name": "questionnaire", "valueCanonical": "http://example.org/q|1.0.0"}
    places = [one.get("expression", [""])[0] for one in outcome["resource"]["issue"]]
    assert [next((name for name in ("bad", "fails", "logic") if name in place), "") for place in places] == [
        "bad",
        "fails",
        "logic",
    ]
    _require_no_patient(house, "faulty", dump_json(report).decode())
    forms.fill(house.services, PERSON, case_id, "1", {"free": ["words of a person"]})
    house.run()
    assert len(reports(house)) == before + 1  # the same faults are known
    notes = [dict(event.note) for event in _events(house, case_id)]
    assert [note["http_status"] for note in notes if note.get("kind") == "error-report"] == [200]
    assert not house.failing_codes(case_id)


def _require_no_patient(house: House, name: str, text: str) -> None:
    """No word of the chart's patient, and no id of any record, stands in the text."""
    for entry in house.charts[name].bundle["entry"]:
        resource = entry["resource"]
        words = [str(resource["id"])]
        if resource["resourceType"] == "Patient":
            words += [resource["birthDate"], resource["name"][0]["family"], *resource["name"][0]["given"]]
            words += [str(one["value"]) for one in resource["identifier"]]
        for word in words:
            assert word not in text, word


def _events(house: House, case_id: str) -> list[Any]:
    with house.services.store.read() as tx:
        return list(tx.events.list("main", case_id))


def test_a_form_without_faults_makes_no_report(house: House) -> None:
    serve(house, item("free", "string"))
    before = len(reports(house))
    case_id = opened(house, "sound")
    assert len(reports(house)) == before
    assert house.facts(case_id).forms[0].faults == ""


def test_a_report_that_cannot_be_delivered_waits_is_tried_again_and_given_up(house: House) -> None:
    serve(house, *FAULTY)

    def down(real: Any, body: bytes) -> Any:
        raise PayerUnreachable("The payer cannot be reached.")

    house.payer().instead["log_errors"] = down
    case_id = opened(house, "down")
    assert house.facts(case_id).forms[0].report
    forms.fill(house.services, PERSON, case_id, "1", {"free": ["meanwhile"]})  # nobody waits for it
    assert house.case(case_id).next_action == "Review the payer's form and complete it."
    for _ in range(12):
        house.wait(120)
    tries = house.payer().calls.count("log_errors")
    assert 2 <= tries <= 12
    assert house.facts(case_id).forms[0].report == ""
    assert house.case(case_id).state == "documenting"
    house.wait(600)
    assert house.payer().calls.count("log_errors") == tries


def test_a_payer_that_refuses_reports_is_not_asked_again(house: House) -> None:
    serve(house, *FAULTY)
    house.payer().instead["log_errors"] = lambda real, body: answered(404, None, body)
    case_id = opened(house, "refused")
    assert house.payer().calls.count("log_errors") == 1
    assert house.facts(case_id).forms[0].report == ""
    assert house.case(case_id).state == "documenting"


def test_a_draft_of_another_patient_is_told_without_its_content(house: House) -> None:
    draft = {
        "resourceType": "QuestionnaireResponse",
        "questionnaire": "http://example.org/q|1.0.0",
        "status": "in-progress",
        "subject": {"reference": "Patient/somebody-else"},
        "item": [{"linkId": "free", "answer": [{"valueString": "HIV positive"}]}],
    }
    serve(house, item("free", "string"), draft=draft)
    before = len(reports(house))
    case_id = opened(house, "foreign")
    (report,) = reports(house)[before:]
    text = dump_json(report).decode()
    assert "another patient" in text
    assert "HIV" not in text
    assert "somebody-else" not in text
    response = parse_json(
        ledger.load_object(house.services, house.case(case_id), house.facts(case_id).forms[0].response)
    )
    assert "item" not in response


def test_an_error_of_logic_names_its_place_and_not_its_words() -> None:
    failures = {
        ("Define", "Lib"): {"code": "elm.limit", "frame": {"locator": "12:3-12:40", "message": "Smith"}},
        ("Other", None): {"code": "elm.null", "frame": {"locator": "the patient Smith"}},
    }
    problems = (
        Problem(code="logic.failed", sentence="Smith", link_id="a@1", library="Lib|1", define="Define"),
        Problem(code="logic.failed", sentence="Smith", link_id="b", library="Lib|1", define="Other"),
    )
    draft = Draft(response={}, answers=(), open_required=(), problems=problems, blockers=("A blocker.",))
    found = list(issues_of(draft, SimpleNamespace(failures=failures)))
    assert [(one.code, one.link_id, one.locator) for one in found] == [
        ("form.content", "", ""),
        ("elm.limit", "a", "12:3-12:40"),
        ("elm.null", "b", "the patient Smith"),
    ]
    text = dump_json(build_error_report("q|1", found, application="a", provider="p", now=NOW)).decode()
    assert "Smith" not in text
    assert "at 12:3-12:40" in text
