"""Payer logic within a case: codes asked of the payer beforehand, and what an error in it costs, by the payer's row."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import EhrRejected, PayerTimedOut
from gateway.fhir.json import dump_json, parse_json
from gateway.flows import forms, ledger, next_questions
from gateway.flows.logic_codes import fetch_codes
from gateway.profiles.dtr_package import FormPackageParts
from payer_endpoints.directory import Directory
from tests.elm_samples import as_resource, library, lit, op, retrieve
from tests.form_samples import expression, form, item
from tests.integration.flows_house import PERSON, House, answered, open_house

NAMES = ("expanded", "older", "unknown", "silent", "listed", "stop", "isolate", "more", "declared", "enough", "refused")
URL = "http://example.org/vs/asked"
CQF_LIBRARY = "http://hl7.org/fhir/StructureDefinition/cqf-library"
ROUTE = {"code": "a", "system": "http://example.org/codes"}
IN_SET = {"type": "InValueSet", "code": lit("a"), "valueset": {"name": "v"}}
LOGIC = library(
    "Codes",
    valueSets=[{"name": "v", "id": URL, "version": "2"}],
    defines={
        "one": lit(1),
        "in": {"type": "If", "condition": IN_SET, "then": lit(7), "else": lit(8)},
        "bad": op("Add", lit("x"), lit(1)),
        "two": lit(2),
    },
)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One house for the module; every test has a patient of its own."""
    folder: Path = tmp_path_factory.mktemp("logic")
    members = {**dict.fromkeys(NAMES, "SYN-APPROVE-01"), "later": "SYN-ADAPT-01", "codes": "SYN-FORMS-09"}
    with open_house(folder, members) as opened:
        yield opened


def asking(*names: str) -> dict[str, Any]:
    """A package whose questions ask for these defines."""
    items = [item(name, "integer", expression("initialExpression", f'"Codes".{name}', "text/cql")) for name in names]
    entries = [{"resource": one} for one in (form(*items), as_resource(LOGIC))]
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": entries}
    return {"resourceType": "Parameters", "parameter": [{"name": "packagebundle", "resource": bundle}]}


def value_set(version: str = "2", **more: Any) -> dict[str, Any]:
    return {"resourceType": "ValueSet", "url": URL, "version": version, "expansion": {"contains": [ROUTE]}, **more}


def opened(house: House, name: str, package: Any, expansion: Any) -> tuple[str, dict[str, Any], list[Any]]:
    """The case, its questions by linkId, and what was asked of `$expand`."""
    payer, asked = house.payer(), []

    def expand(real: Any, body: bytes) -> Any:
        asked.append(parse_json(body))
        if isinstance(expansion, Exception):
            raise expansion
        return answered(*expansion)

    payer.instead = {"questionnaire_package": lambda real, body, **more: answered(200, package), "expand": expand}
    case_id = house.post(name)
    house.run()
    (found,) = forms.show_forms(house.services, PERSON, case_id)
    payer.instead = {}
    return case_id, {row["link_id"]: row for row in found["rows"]}, asked


@pytest.mark.requirement("dtr:spec-163")
@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("expanded", value_set()),
        ("listed", {"resourceType": "Parameters", "parameter": [{"name": "return", "resource": value_set()}]}),
    ],
)
def test_a_value_set_that_is_not_in_the_package_is_asked_of_the_payer(house: House, name: str, answer: Any) -> None:
    case_id, rows, asked = opened(house, name, asking("one", "in"), (200, answer))
    parameter = {"name": "url", "valueUri": f"{URL}|2"}
    assert asked == [{"resourceType": "Parameters", "parameter": [parameter]}]
    assert rows["in"]["values"] == ["7"]
    (fact,) = house.facts(case_id).forms
    (kept,) = fact.value_sets
    assert parse_json(ledger.load_object(house.services, house.case(case_id), kept)) == answer
    assert house.failing_codes(case_id) == set()


@pytest.mark.parametrize(
    ("name", "expansion"),
    [
        ("older", (200, value_set("1"))),
        ("unknown", (404, {"resourceType": "OperationOutcome", "issue": []})),
        ("silent", PayerTimedOut("The payer did not answer in time.")),
    ],
)
def test_logic_without_its_codes_fails_closed_with_a_reason(house: House, name: str, expansion: Any) -> None:
    case_id, rows, asked = opened(house, name, asking("one", "in"), expansion)
    assert len(asked) == 1
    assert house.case(case_id).state == "documenting"
    assert rows["one"]["values"] == ["1"]
    assert (rows["in"]["values"], rows["in"]["reason_if_empty"]) == (
        [],
        "A value set that the logic needs is not in the package.",
    )


def test_a_payer_that_answers_slowly_or_at_length_is_not_asked_for_everything(house: House) -> None:
    """Forty value sets, each answered after a while, and one with more than a form may need."""
    declared = [{"name": f"v{number}", "id": f"{URL}/{number}"} for number in range(40)]
    parts = FormPackageParts(
        questionnaire=form(), libraries=(as_resource(library("Many", valueSets=declared, defines={"t": lit(1)})),)
    )
    payer, asked = house.payer(), []

    def expand(real: Any, body: bytes) -> Any:
        asked.append(parse_json(body)["parameter"][0]["valueUri"])
        house.clock.instant += timedelta(seconds=7)
        long = {"description": "x" * (8 * 1024 * 1024)} if len(asked) == 1 else {}
        return answered(200, {"resourceType": "ValueSet", "url": asked[-1], "expansion": {"contains": []}, **long})

    payer.instead = {"expand": expand}
    found = fetch_codes(house.services, "example-medicare", parts)
    payer.instead = {}
    assert asked == [f"{URL}/{number}" for number in range(5)]
    assert [parse_json(one.raw)["url"] for one in found] == asked[1:]


@pytest.mark.requirement("dtr:spec-76")
@pytest.mark.parametrize(("name", "two"), [("stop", []), ("isolate", ["2"])])
def test_after_an_error_the_row_of_the_payer_decides(house: House, name: str, two: list[str]) -> None:
    services, directory = house.services, house.services.directory
    rows = [row.model_copy(update={"dtr": row.dtr.model_copy(update={"on_engine_error": name})}) for row in directory]
    services.directory = Directory(rows)
    try:
        _, found, _ = opened(house, name, asking("one", "bad", "two"), (404, None))
    finally:
        services.directory = directory
    assert [found[one]["values"] for one in ("one", "bad", "two")] == [["1"], [], two]
    assert ("stopped" in found["two"]["reason_if_empty"]) is (name == "stop")
    assert "an operation" in found["bad"]["reason_if_empty"].lower()


SHOTS = library(
    "Codes",
    defines={"shots": op("Count", retrieve("Immunization")), "unasked": op("Count", retrieve("Appointment"))},
)


def vaccinated(house: House, name: str) -> None:
    """An immunization of the chart's patient, in the EHR."""
    shot = {
        "resourceType": "Immunization",
        "status": "completed",
        "patient": {"reference": house.charts[name].patient_reference},
        "vaccineCode": {"text": "synthetic"},
        "occurrenceDateTime": "2026-01-05",
    }
    house.services.ehr("ehr").create(shot)


def _patient(house: House, name: str) -> str:
    return house.charts[name].patient_reference.partition("/")[2]


def shots(*questions: str, **more: Any) -> dict[str, Any]:
    items = [
        item(name, "integer", expression("initialExpression", f'"Codes".{name}', "text/cql")) for name in questions
    ]
    entries = [{"resource": one} for one in (form(*items), {**as_resource(SHOTS), **more})]
    return {"resourceType": "Bundle", "type": "collection", "entry": entries}


@pytest.mark.requirement("dtr:spec-68")
@pytest.mark.requirement("dtr:spec-69")
def test_what_a_form_asks_for_is_read_and_nothing_else(house: House) -> None:
    vaccinated(house, "more")
    case_id, rows, _ = opened(house, "more", shots("shots"), (404, None))
    theirs = house.services.ehr("ehr").search("Immunization", patient_id=_patient(house, "more"))
    wanted = {f"Immunization/{one['id']}" for one in theirs.resources}
    assert rows["shots"]["values"] == [str(len(wanted))] != ["0"]
    assert {one["reference"] for one in rows["shots"]["trace"]["sources"]} == wanted
    assert house.facts(case_id).further_types == ("Immunization",)
    assert house.verbs(case_id).count("ehr-extract") == 2
    assert house.failing_codes(case_id) == set()


def test_what_libraries_declare_is_read_too(house: House) -> None:
    vaccinated(house, "declared")
    declared = [{"type": "Immunization"}, {"type": "DeviceRequestValueSet"}, {"type": "Condition"}]
    case_id, _, _ = opened(house, "declared", shots(dataRequirement=declared), (404, None))
    assert house.facts(case_id).further_types == ("Appointment", "Immunization")


def test_a_chart_is_read_once_where_that_is_enough(house: House) -> None:
    case_id, _, _ = opened(house, "enough", asking("one"), (404, None))
    assert house.facts(case_id).further_types == ()
    assert house.verbs(case_id).count("ehr-extract") == 1


def test_what_the_ehr_does_not_give_leaves_the_form_to_people(house: House) -> None:
    ehr = house.services.ehr("ehr")
    real = ehr.chart

    def chart(patient_id: str, types: Any = None, **more: Any) -> Any:
        if tuple(types or ()) == ("Immunization",):
            raise EhrRejected("The EHR refused.", http_answer=403)
        return real(patient_id, types) if types else real(patient_id)

    ehr.chart = chart  # type: ignore[method-assign]
    try:
        case_id, rows, _ = opened(house, "refused", shots("shots"), (404, None))
    finally:
        ehr.chart = real  # type: ignore[method-assign]
    assert house.case(case_id).state == "documenting"
    assert rows["shots"]["values"] == ["0"]


@pytest.mark.requirement("dtr:spec-35")
def test_codes_of_questions_that_come_later_are_asked_for_when_they_come(house: House) -> None:
    """An adaptive form whose second set brings a library of its own, and a value set that is nowhere."""
    payer, asked = house.payer(), []

    def later(real: Any, *arguments: Any, **more: Any) -> Any:
        exchange = real(*arguments, **more)
        body = parse_json(exchange.response_bytes)
        response = body["parameter"][0]["resource"]
        (questionnaire,) = (one for one in response["contained"] if one["resourceType"] == "Questionnaire")
        questionnaire["item"].append(
            item("coded", "integer", expression("initialExpression", '"Codes".in', "text/cql"), text="Coded")
        )
        questionnaire["extension"].append({"url": CQF_LIBRARY, "valueCanonical": "http://example.org/Library/Codes"})
        response["contained"].append({**as_resource(LOGIC), "id": "codes", "url": "http://example.org/Library/Codes"})
        return replace(exchange, response_bytes=dump_json(body))

    def expand(real: Any, body: bytes) -> Any:
        asked.append(parse_json(body)["parameter"][0]["valueUri"])
        return answered(200, value_set())

    payer.instead = {"next_question": later, "expand": expand}
    case_id = house.post("later")
    house.run()
    next_questions.ask_next(house.services, PERSON, case_id, "1")
    (found,) = forms.show_forms(house.services, PERSON, case_id)
    payer.instead = {}
    rows = {row["link_id"]: row for row in found["rows"]}
    assert asked == [f"{URL}|2"]
    assert rows["coded"]["values"] == ["7"]
    assert len(house.facts(case_id).forms[0].value_sets) == 1
    assert house.failing_codes(case_id) == set()


@pytest.mark.requirement("dtr:spec-83")
def test_a_list_too_long_for_the_package_comes_from_the_payers_service(house: House) -> None:
    """The simulated payer over HTTP: its package leaves the codes out, its `$expand` has them."""
    case_id = house.post("codes")
    house.run()
    (shown,) = forms.show_forms(house.services, PERSON, case_id)
    (row,) = shown["rows"]
    assert len(row["options"]) == 60
    assert row["options_missing"] == ""
    forms.fill(house.services, PERSON, case_id, "1", {"room": ["room-42"]})
    forms.complete(house.services, PERSON, case_id, "1")
    house.run()
    house.wait(5)
    assert house.case(case_id).state == "approved"
    assert house.failing_codes(case_id) == set()
