"""The synthetic EHR over HTTP: reading, searching, paging, writing, and what it refuses."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from httpx import ASGITransport, AsyncClient, Response

from gateway.clients.ehr import EhrClient
from gateway.clients.endpoint import Endpoint
from gateway.clients.tokens import StaticToken
from gateway.demo.charts import DemoChart, all_charts, demo_charts
from gateway.demo.ehr_answers import MAX_SNAPSHOTS
from gateway.demo.ehr_match import read_span, utc_span
from gateway.demo.ehr_server import create_ehr_app
from gateway.demo.ehr_types import type_table
from gateway.demo.ehr_writes import MAX_BODY_BYTES
from gateway.errors import Conflict, InputError
from gateway.fhir.json import dump_json, parse_object

CHARTS = all_charts()
P01 = CHARTS[0]
TOKEN = "let-me-in"
BASE = "http://ehr.test/fhir/"
JSON = {"Content-Type": "application/fhir+json"}


class Caller:
    """Blocking calls of the application in this process; may be used from many threads."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app
        self.headers = {"Authorization": f"Bearer {TOKEN}"}

    def request(self, method: str, path: str, **options: Any) -> Response:
        """One request; `path` is below the FHIR base, or a whole url."""

        async def send() -> Response:
            transport = ASGITransport(self._app, raise_app_exceptions=False)
            async with AsyncClient(transport=transport, base_url=BASE, headers=self.headers) as client:
                return await client.request(method, path, **options)

        return asyncio.run(send())

    def get(self, path: str, **options: Any) -> Response:
        return self.request("GET", path, **options)

    def post(self, path: str, **options: Any) -> Response:
        return self.request("POST", path, **options)

    def put(self, path: str, **options: Any) -> Response:
        return self.request("PUT", path, **options)


@pytest.fixture(scope="module")
def app() -> FastAPI:
    """One server with all worked cases, for tests that only read."""
    return create_ehr_app([chart.bundle for chart in CHARTS], TOKEN)


@pytest.fixture
def reader(app: FastAPI) -> Caller:
    """A caller of the shared server; it bears the token."""
    return Caller(app)


@pytest.fixture
def ehr() -> Caller:
    """A caller of a fresh server with one chart, for tests that write."""
    return Caller(create_ehr_app([P01.bundle], TOKEN))


def _patient(chart: DemoChart = P01) -> str:
    return chart.patient_reference.removeprefix("Patient/")


def _body(response: Response) -> Any:
    return parse_object(response.content)


def _matches(response: Response) -> list[dict[str, Any]]:
    assert response.status_code == 200, response.text
    return [entry["resource"] for entry in _body(response).get("entry", ()) if entry["search"]["mode"] == "match"]


def _link(response: Response, relation: str) -> str | None:
    return next((link["url"] for link in _body(response)["link"] if link["relation"] == relation), None)


def _require_outcome(response: Response, status: int, code: str | None = None) -> None:
    assert response.status_code == status, response.text
    body = _body(response)
    assert body["resourceType"] == "OperationOutcome"
    assert response.headers["content-type"].startswith("application/fhir+json")
    if code:
        assert body["issue"][0]["details"]["text"] == code


# --- access ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "header",
    [None, "Bearer wrong", "Basic bGV0LW1lLWlu", "Bearer", f"bearer-{TOKEN}"],
)
@pytest.mark.parametrize("path", ["Patient", "Patient/x", "Nonsense", "../_log"])
def test_without_the_token_everything_is_closed(reader: Caller, header: str | None, path: str) -> None:
    reader.headers.clear()
    response = reader.get(path, headers={"Authorization": header} if header else {})
    _require_outcome(response, 401, "login")
    assert response.headers["www-authenticate"].startswith("Bearer")


def test_capability_statement_is_open_and_lists_the_table(reader: Caller) -> None:
    reader.headers.clear()
    body = _body(reader.get("metadata"))
    rest = body["rest"][0]["resource"]
    assert (body["fhirVersion"], [row["type"] for row in rest]) == ("4.0.1", list(type_table()))
    for row in rest:
        assert {item["name"] for item in row["searchParam"]} == set(type_table()[row["type"]])
    patient = next(row for row in rest if row["type"] == "Patient")
    assert patient["supportedProfile"]


def test_every_listed_search_parameter_is_really_understood(reader: Caller) -> None:
    values = {"date": "2026-01-01", "token": "x", "reference": "x", "string": "x", "uri": "x"}
    for kind, parameters in type_table().items():
        query = {name: values[parameter.kind] for name, parameter in parameters.items()}
        assert reader.get(kind, params=query).status_code == 200, kind


# --- reading --------------------------------------------------------------------------------------


def test_read_gives_the_chart_resource_with_its_version(reader: Caller) -> None:
    response = reader.get(P01.order_reference)
    order = next(
        entry["resource"] for entry in P01.bundle["entry"] if P01.order_reference.endswith(entry["resource"]["id"])
    )
    served = _body(response)
    assert response.headers["etag"] == 'W/"1"'
    assert response.headers["last-modified"] == "Mon, 16 Feb 2026 18:00:00 GMT"
    assert served.pop("meta")["versionId"] == "1"
    assert served == {key: value for key, value in order.items() if key != "meta"}


def test_every_entry_of_every_chart_is_served_digit_for_digit(reader: Caller) -> None:
    for chart in CHARTS:
        for entry in chart.bundle["entry"]:
            resource = entry["resource"]
            served = _body(reader.get(f"{resource['resourceType']}/{resource['id']}"))
            assert dump_json({**served, "meta": None}) == dump_json({**resource, "meta": None})


def test_unchanged_resource_is_not_sent_again(reader: Caller) -> None:
    response = reader.get(P01.order_reference, headers={"If-None-Match": 'W/"1"'})
    assert (response.status_code, response.content) == (304, b"")


@pytest.mark.parametrize(
    "path,status",
    [
        ("Patient/none", 404),
        ("Patient/none/_history/1", 404),
        (f"{P01.order_reference}/_history/2", 404),
        (f"{P01.order_reference}/_history/0", 404),
        (f"{P01.order_reference}/_history/x", 404),
        ("Spaceship", 404),
        ("Spaceship/1", 404),
        ("Patient/1/2/3", 404),
        ("", 400),
    ],
)
def test_what_is_not_there_is_an_outcome(reader: Caller, path: str, status: int) -> None:
    _require_outcome(reader.get(path), status)


@pytest.mark.parametrize("method", ["DELETE", "PATCH"])
def test_nothing_is_deleted_or_patched(reader: Caller, method: str) -> None:
    _require_outcome(reader.request(method, P01.order_reference), 405, "not-supported")
    assert reader.get(P01.order_reference).status_code == 200


def test_answers_in_another_format_are_refused(reader: Caller) -> None:
    _require_outcome(reader.get(P01.order_reference, headers={"Accept": "application/fhir+xml"}), 406)
    assert reader.get(P01.order_reference, params={"_format": "json"}).status_code == 200


# --- searching ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "query,count",
    [
        ("Patient?_id={id}", 1),
        ("Patient?identifier=https://ehr.example.org/mrn%7CSYN-MRN-P01", 1),
        ("Patient?identifier=SYN-MRN-P01,SYN-MRN-P02", 2),
        ("Patient?identifier=https://other.example.org/mrn%7CSYN-MRN-P01", 0),
        ("Patient?name=nonesuch&birthdate=1951-03-14&gender=female", 1),
        ("Patient?family=NONE", 1),
        ("Patient?family:exact=nonesuch", 0),
        ("Patient?birthdate=ge1951-01-01&birthdate=lt1951-12-01&_count=50", 1),
        ("Coverage?patient={id}", 2),
        ("Coverage?beneficiary=Patient/{id}&status=active", 1),
        ("Coverage?patient={id}&status:not=active", 1),
        ("Condition?patient={id}&clinical-status=active", 4),
        (
            "Condition?patient={id}&clinical-status=http://terminology.hl7.org/CodeSystem/condition-clinical%7Cresolved",
            1,
        ),
        ("Condition?patient={id}&category=problem-list-item&onset-date=ge2026-01-05", 1),
        ("Condition?patient={id}&onset-date=2019", 1),
        ("Condition?patient={id}&abatement-date:missing=false", 1),
        ("Procedure?subject=Patient/{id}&status=completed&_count=50", 16),
        ("Procedure?subject:Patient={id}&date=ge2026-01-12&date=le2026-02-04&_count=50", 9),
        ("Procedure?patient={id}&date=2026-01-12", 1),
        ("Procedure?patient={id}&date=2026-01-13T00:30:00Z", 0),
        ("Procedure?patient={id}&date=gt2026-01-13T00:29:00Z&date=lt2026-01-13T02:00:00Z", 1),
        ("Observation?patient={id}&category=vital-signs&date=ge2026-02-16&_count=50", 4),
        ("Observation?patient={id}&code=http://loinc.org%7C8867-4,8310-5", 4),
        ("Encounter?patient={id}&date=2026-02-16", 0),
        ("Encounter?patient={id}&date=ge2026-02-16", 1),
        ("Encounter?patient={id}&status=in-progress", 1),
        ("MedicationRequest?patient={id}&intent=order&authoredon=ge2026-01-01", 1),
        ("QuestionnaireResponse?patient={id}&questionnaire=urn:oid:{ndi}", 3),
        ("QuestionnaireResponse?patient={id}&questionnaire=urn:oid:{ndi}%7C1.0.0&authored=lt2026-02-01", 2),
        ("DocumentReference?patient={id}&type=http://loinc.org%7C11506-3", 2),
        ("ServiceRequest?patient={id}&identifier=SYN-ORD-P01", 1),
        ("ServiceRequest?_tag=HTEST&identifier=SYN-ORD-P01", 1),
        ("PractitionerRole?practitioner={doctor}", 1),
        ("PractitionerRole?practitioner=Practitioner/{doctor}&specialty=207Q00000X", 1),
        ("Organization?name=exampleton", 1),
        ("Organization?identifier=SYN-MCR-01", 1),
        ("Task?patient={id}&code=conservative-care-timer", 1),
        ("Condition?patient=not-there", 0),
        ("Condition?patient=http://ehr.test/fhir/Patient/{id}", 0),
        ("Condition?subject=Patient/{id}&encounter=x", 0),
    ],
)
def test_search_finds(reader: Caller, query: str, count: int) -> None:
    order = _body(reader.get(P01.order_reference))
    doctor = order["requester"]["reference"].removeprefix("Practitioner/")
    ndi = "2.25.94492686211768030265051248232142081200.4"
    url = query.format(id=_patient(), doctor=doctor, ndi=ndi)
    assert len(_matches(reader.get(url))) == count
    kind, _, parameters = url.partition("?")
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert len(_matches(reader.post(f"{kind}/_search", content=parameters, headers=form))) == count


@pytest.mark.parametrize(
    "query,code",
    [
        ("Patient?bogus=1", "unknown-parameter"),
        ("Patient?name:contains=x", "unknown-modifier"),
        ("Coverage?patient:Spaceship=x", "unknown-modifier"),
        ("Condition?code:in=x", "unknown-modifier"),
        ("Condition?subject.name=x", "unknown-parameter"),
        ("Procedure?date=yesterday", "bad-date"),
        ("Procedure?date=2026-02-30", "bad-date"),
        ("Procedure?date=ap2026-02-01", "invalid"),
        ("Procedure?_sort=bogus", "unknown-parameter"),
        ("Procedure?_count=many", "invalid"),
        ("Procedure?_include=Procedure:status", "unknown-include"),
        ("Procedure?_include=Spaceship:x", "unknown-include"),
        ("Procedure?_include=*", "unknown-include"),
        ("Procedure?_elements=id", "not-supported"),
        ("Procedure?_summary=true", "not-supported"),
        ("Procedure?_has:Observation:subject:code=x", "unknown-parameter"),
    ],
)
def test_search_refuses_what_it_does_not_know(reader: Caller, query: str, code: str) -> None:
    _require_outcome(reader.get(query), 400, code)


def test_a_parameter_without_a_value_is_ignored_as_servers_do(reader: Caller) -> None:
    assert _body(reader.get("Coverage?patient=&_total=accurate"))["total"] == 2 * len(CHARTS)


def test_sorting_follows_the_asked_parameters(reader: Caller) -> None:
    newest_first = _matches(reader.get(f"QuestionnaireResponse?patient={_patient()}&_sort=-authored"))
    times = [item["authored"] for item in newest_first]
    assert times == sorted(times, reverse=True)
    unsorted = _matches(reader.get(f"QuestionnaireResponse?patient={_patient()}"))
    assert [item["id"] for item in unsorted] == sorted(item["id"] for item in unsorted)
    by_update = reader.get("Patient?_sort=_lastUpdated,-_id&_count=50")
    stamps = [item["meta"]["lastUpdated"] for item in _matches(by_update)]
    assert stamps == sorted(stamps)


def test_included_resources_are_marked_and_come_once(reader: Caller) -> None:
    url = f"Coverage?patient={_patient()}&status=active&_include=Coverage:payor:Organization&_include=Coverage:patient"
    entries = _body(reader.get(url))["entry"]
    assert [(entry["resource"]["resourceType"], entry["search"]["mode"]) for entry in entries] == [
        ("Coverage", "match"),
        ("Organization", "include"),
        ("Patient", "include"),
    ]


def test_inclusion_can_be_carried_on(reader: Caller) -> None:
    order_id = P01.order_reference.removeprefix("ServiceRequest/")
    more = "_include=ServiceRequest:requester&_include:iterate=PractitionerRole:practitioner"
    url = f"ServiceRequest?_id={order_id}&{more}"
    kinds = [entry["resource"]["resourceType"] for entry in _body(reader.get(url))["entry"]]
    assert kinds == ["ServiceRequest", "Practitioner"]
    role = "PractitionerRole?_include=PractitionerRole:location&_include:iterate=Location:organization"
    kinds = [entry["resource"]["resourceType"] for entry in _body(reader.get(role))["entry"]]
    assert kinds == ["PractitionerRole", "PractitionerRole", "Location", "Organization"]


def test_provenance_comes_along_when_asked(reader: Caller) -> None:
    flagged = next(chart for chart in CHARTS if chart.scenario == "P09")
    url = f"ServiceRequest?patient={_patient(flagged)}&status=active&_revinclude=Provenance:target"
    kinds = [entry["resource"]["resourceType"] for entry in _body(reader.get(url))["entry"]]
    assert kinds == ["ServiceRequest", "Provenance"]
    assert len(_matches(reader.get(f"Provenance?target={flagged.order_reference}"))) == 1


def test_count_alone_brings_the_total_and_nothing_else(reader: Caller) -> None:
    for option in ("_summary=count", "_count=0"):
        body = _body(reader.get(f"Procedure?patient={_patient()}&{option}"))
        assert body["total"] == 16
        assert "entry" not in body


@pytest.mark.parametrize(
    "text,days",
    [("2026", 365), ("2024", 366), ("2024-02", 29), ("2026-01-05", 1)],
)
def test_partial_dates_cover_their_whole_span(text: str, days: int) -> None:
    start, end = read_span(text)
    assert (end - start).days == days


@pytest.mark.parametrize(
    "text",
    [
        "9999",
        "0001-01-01T00:00:00+05:00",
        "",
        "2026-1-5",
        "2026-13",
        "0000",
        "2026-01-05T25:00",
        "2026-01-05T10:00:00+99:99",
    ],
)
def test_bad_dates_are_input_errors(text: str) -> None:
    with pytest.raises(InputError):
        utc_span(text)


# --- paging ---------------------------------------------------------------------------------------


def test_pages_are_opaque_links_at_the_base_and_cover_everything(reader: Caller) -> None:
    response = reader.get(f"Procedure?patient={_patient()}&_count=5")
    assert "total" not in _body(response)
    seen = [item["id"] for item in _matches(response)]
    while url := _link(response, "next"):
        assert re.fullmatch(r"http://ehr\.test/fhir\?_page=[\w-]{20,}", url)
        response = reader.get(url)
        assert _body(response)["total"] == 16
        seen += [item["id"] for item in _matches(response)]
    assert len(seen) == len(set(seen)) == 16


def test_a_page_without_a_next_one_says_its_total(reader: Caller) -> None:
    response = reader.get(f"Coverage?patient={_patient()}")
    assert (_body(response)["total"], _link(response, "next")) == (2, None)


def test_page_size_is_ten_unless_asked_and_never_over_fifty(reader: Caller) -> None:
    assert len(_matches(reader.get("Observation"))) == 10
    assert len(_matches(reader.get("Observation?_count=1000"))) == 50


def test_pages_are_a_snapshot(ehr: Caller) -> None:
    first = ehr.get("Procedure?_count=6")
    ehr.post("Procedure", content=dump_json(_matches(first)[0]), headers=JSON)
    assert _body(ehr.get(_link(first, "next") or ""))["total"] == 16
    assert _body(ehr.get("Procedure?_summary=count"))["total"] == 17


def test_included_resources_come_again_on_each_page(reader: Caller) -> None:
    response = reader.get(f"Procedure?patient={_patient()}&_count=8&_include=Procedure:patient")
    for page in (response, reader.get(_link(response, "next") or "")):
        modes = [entry["search"]["mode"] for entry in _body(page)["entry"]]
        assert modes == ["match"] * 8 + ["include"]


def test_a_page_can_be_asked_for_twice_but_not_for_ever(reader: Caller) -> None:
    url = _link(reader.get("Patient?_count=2"), "next") or ""
    assert _matches(reader.get(url)) == _matches(reader.get(url))
    for _ in range(MAX_SNAPSHOTS):
        reader.get("Patient?_count=2")
    _require_outcome(reader.get(url), 410, "page-expired")
    _require_outcome(reader.get("http://ehr.test/fhir?_page=made-up"), 410, "page-expired")


def test_links_carry_the_host_of_the_request(reader: Caller) -> None:
    response = reader.get("Patient?_count=2", headers={"Host": "other.test:81"})
    assert (_link(response, "next") or "").startswith("http://other.test:81/fhir?")


# --- writing --------------------------------------------------------------------------------------


def _note(**more: Any) -> dict[str, Any]:
    subject = {"reference": P01.patient_reference}
    content = [{"attachment": {"contentType": "text/plain", "data": "aGVsbG8="}}]
    return {"resourceType": "DocumentReference", "status": "current", "subject": subject, "content": content, **more}


def test_create_answers_with_place_version_and_body(ehr: Caller) -> None:
    response = ehr.post("DocumentReference", json=_note(id="mine"), headers=JSON)
    body = _body(response)
    assert response.status_code == 201
    assert body["id"] != "mine"
    assert response.headers["location"] == f"http://ehr.test/fhir/DocumentReference/{body['id']}/_history/1"
    assert response.headers["etag"] == 'W/"1"'
    assert ehr.get(f"DocumentReference/{body['id']}").content == response.content


def test_decimals_survive_a_write_digit_for_digit(ehr: Caller) -> None:
    text = b'{"resourceType":"Observation","status":"final","code":{"text":"x"},"valueQuantity":{"value":87.50}}'
    body = ehr.post("Observation", content=text, headers=JSON)
    assert b'"value":87.50}' in body.content
    assert _body(body)["valueQuantity"]["value"].as_tuple() == Decimal("87.50").as_tuple()
    assert b'"value":87.50}' in ehr.get(f"Observation?_id={_body(body)['id']}").content


@pytest.mark.parametrize("preference,size", [("return=minimal", 0), ("return=OperationOutcome", 1)])
def test_preferred_answers(ehr: Caller, preference: str, size: int) -> None:
    response = ehr.post("DocumentReference", json=_note(), headers={**JSON, "Prefer": preference})
    assert response.status_code == 201
    assert "location" in response.headers
    assert bool(response.content) == bool(size)
    if size:
        assert _body(response)["resourceType"] == "OperationOutcome"


def test_update_makes_a_version_and_keeps_the_old_one(ehr: Caller) -> None:
    before = ehr.get(P01.order_reference)
    changed = {**_body(before), "priority": "urgent"}
    response = ehr.put(P01.order_reference, content=dump_json(changed), headers={**JSON, "If-Match": 'W/"1"'})
    assert (response.status_code, response.headers["etag"]) == (200, 'W/"2"')
    assert response.headers["content-location"].endswith("/_history/2")
    assert _body(response)["meta"]["tag"] == changed["meta"]["tag"]
    assert ehr.get(f"{P01.order_reference}/_history/1").content == before.content
    assert ehr.get(f"{P01.order_reference}/_history/2").content == response.content
    history = _body(ehr.get(f"{P01.order_reference}/_history"))
    assert [entry["resource"]["meta"]["versionId"] for entry in history["entry"]] == ["2", "1"]
    assert len(_matches(ehr.get(f"ServiceRequest?patient={_patient()}&priority=urgent"))) == 1


def test_stale_update_is_refused_and_changes_nothing(ehr: Caller) -> None:
    body = _body(ehr.get(P01.order_reference))
    ehr.put(P01.order_reference, content=dump_json({**body, "priority": "urgent"}), headers=JSON)
    stale = dump_json({**body, "priority": "stat"})
    _require_outcome(ehr.put(P01.order_reference, content=stale, headers={**JSON, "If-Match": 'W/"1"'}), 412)
    assert _body(ehr.get(P01.order_reference))["priority"] == "urgent"


def test_update_without_change_keeps_the_version(ehr: Caller) -> None:
    body = ehr.get(P01.order_reference).content
    response = ehr.put(P01.order_reference, content=body, headers=JSON)
    assert (response.status_code, response.headers["etag"]) == (200, 'W/"1"')


def test_put_to_a_free_id_creates(ehr: Caller) -> None:
    response = ehr.put("DocumentReference/chosen", json=_note(id="chosen"), headers=JSON)
    assert (response.status_code, "location" in response.headers) == (201, False)
    guarded = ehr.put("DocumentReference/other", json=_note(id="other"), headers={**JSON, "If-Match": 'W/"1"'})
    _require_outcome(guarded, 412)


def test_conditional_create_finds_what_is_there(ehr: Caller) -> None:
    number = {"system": "urn:example:notes", "value": "n-1"}
    headers = {**JSON, "If-None-Exist": "identifier=urn:example:notes%7Cn-1"}
    first = ehr.post("DocumentReference", json=_note(identifier=[number]), headers=headers)
    second = ehr.post("DocumentReference", json=_note(identifier=[number], description="again"), headers=headers)
    assert (first.status_code, second.status_code) == (201, 200)
    assert second.content == first.content
    ehr.post("DocumentReference", json=_note(identifier=[number]), headers=JSON)
    _require_outcome(ehr.post("DocumentReference", json=_note(identifier=[number]), headers=headers), 412)


@pytest.mark.parametrize(
    "path,content,headers,status,code",
    [
        ("DocumentReference", b"{", JSON, 400, "json.syntax"),
        ("DocumentReference", b"[]", JSON, 400, "json.object"),
        ("DocumentReference", b'{"resourceType":"Patient"}', JSON, 400, "type-mismatch"),
        ("DocumentReference", b'{"resourceType":"DocumentReference","meta":1}', JSON, 400, None),
        ("Spaceship", b'{"resourceType":"Spaceship"}', JSON, 404, "not-supported"),
        ("DocumentReference", b"{}", {"Content-Type": "text/plain"}, 415, "media-type"),
        ("DocumentReference", b"<x/>", {"Content-Type": "application/fhir+xml"}, 415, "media-type"),
        (
            "DocumentReference",
            b'{"resourceType":"DocumentReference","subject":{"reference":"Patient/none"}}',
            JSON,
            400,
            "dangling-reference",
        ),
        (
            "DocumentReference",
            b'{"resourceType":"DocumentReference"}',
            {**JSON, "If-None-Exist": ""},
            400,
            None,
        ),
        (
            "DocumentReference",
            b'{"resourceType":"DocumentReference"}',
            {**JSON, "If-None-Exist": "bogus=1"},
            400,
            "unknown-parameter",
        ),
    ],
)
def test_writes_that_are_refused(
    ehr: Caller, path: str, content: bytes, headers: dict[str, str], status: int, code: str | None
) -> None:
    _require_outcome(ehr.post(path, content=content, headers=headers), status, code)
    assert _log(ehr) == []


def test_a_body_over_the_limit_is_refused(ehr: Caller) -> None:
    large = b"x" * (MAX_BODY_BYTES + 1)
    _require_outcome(ehr.post("DocumentReference", content=large, headers=JSON), 413)
    _require_outcome(ehr.post("Patient/_search", content=large), 413)


@pytest.mark.parametrize("etag,status", [("1", 400), ('"1"', 200), ('W/"2"', 412), ('W/"x"', 412), ("*", 400)])
def test_if_match_must_be_the_current_version(ehr: Caller, etag: str, status: int) -> None:
    body = ehr.get(P01.order_reference).content
    assert ehr.put(P01.order_reference, content=body, headers={**JSON, "If-Match": etag}).status_code == status


def test_put_needs_the_same_id_in_body_and_address(ehr: Caller) -> None:
    _require_outcome(ehr.put("DocumentReference/a", json=_note(id="b"), headers=JSON), 400, "id-mismatch")
    _require_outcome(ehr.put("DocumentReference/a", json=_note(), headers=JSON), 400, "id-mismatch")


def test_versioned_and_contained_references_are_fine(ehr: Caller) -> None:
    related = [{"reference": f"{P01.order_reference}/_history/1"}, {"reference": "#x"}]
    response = ehr.post("DocumentReference", json=_note(context={"related": related}), headers=JSON)
    assert response.status_code == 201
    assert len(_matches(ehr.get(f"DocumentReference?related={P01.order_reference}"))) == 1


@pytest.mark.parametrize("value", ["yesterday", 5, True, None, [], {}, [[]], {"coding": 1}, {"reference": 1}, ["x"]])
def test_odd_content_is_stored_and_never_breaks_a_search(ehr: Caller, value: Any) -> None:
    odd = {"resourceType": "Encounter", "status": value, "class": value, "period": value, "subject": value}
    assert ehr.post("Encounter", content=dump_json(odd), headers=JSON).status_code == 201
    for query in (
        "status=x",
        "class=a%7Cb",
        "date=2026",
        "patient=x",
        "_sort=date,class",
        "_include=Encounter:subject",
    ):
        assert ehr.get(f"Encounter?{query}&_count=50").status_code == 200, query


def _log(ehr: Caller) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = ehr.get("http://ehr.test/_log").json()
    return found


def test_log_tells_what_was_written_and_whether_it_was_guarded(ehr: Caller) -> None:
    created = _body(ehr.post("DocumentReference", json=_note(), headers=JSON))
    changed = {**_note(id=created["id"]), "description": "more"}
    place = f"DocumentReference/{created['id']}"
    ehr.put(place, json=changed, headers={**JSON, "If-Match": 'W/"1"'})
    ehr.put(place, json=changed, headers={**JSON, "If-Match": 'W/"1"'})
    rows = [(row["method"], row["id"], row["version"], row["status"], row["guarded"]) for row in _log(ehr)]
    assert rows == [("POST", created["id"], 1, 201, False), ("PUT", created["id"], 2, 200, True)]


def test_of_many_writers_with_one_version_exactly_one_wins(ehr: Caller) -> None:
    body = _body(ehr.get(P01.order_reference))
    barrier = threading.Barrier(8)

    def write(number: int) -> int:
        barrier.wait()
        changed = dump_json({**body, "patientInstruction": f"writer {number}"})
        return ehr.put(P01.order_reference, content=changed, headers={**JSON, "If-Match": 'W/"1"'}).status_code

    with ThreadPoolExecutor(8) as pool:
        statuses = sorted(pool.map(write, range(8)))
    assert statuses == [200] + [412] * 7


# --- as a program ---------------------------------------------------------------------------------


@pytest.fixture
def program(tmp_path: Path) -> Iterator[str]:
    """The server as a process of its own; gives its base address."""
    token_file = tmp_path / "token"
    token_file.write_text(f"{TOKEN}\n")
    command = [
        sys.executable,
        "-m",
        "gateway.demo.ehr_server",
        "--port",
        "0",
        "--token-file",
        str(token_file),
        "--demo",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            found = re.fullmatch(r"ready (http://127\.0\.0\.1:\d+/fhir) pid=(\d+)\n", line)
            assert found, line
            assert int(found[2]) == process.pid
            yield found[1]
        finally:
            process.terminate()
            process.wait(10)


def test_program_says_when_it_is_ready_and_serves(program: str) -> None:
    request = urllib.request.Request(
        f"{program}/Coverage?status=active&_count=50", headers={"Authorization": f"Bearer {TOKEN}"}
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        body = parse_object(answer.read())
    assert body["total"] == 10
    assert body["entry"][0]["fullUrl"].startswith(program)


@pytest.mark.parametrize("page_size", [1, 7, 50])
def test_the_gateways_own_client_reads_every_demo_chart_whole(program: str, page_size: int) -> None:
    endpoint = Endpoint(id="demo", base_url=program, networks=("127.0.0.0/8",), plain_http=True)
    client = EhrClient(endpoint, StaticToken(TOKEN), page_size=page_size)
    for chart in demo_charts()[:: 4 if page_size == 1 else 1]:
        extract = client.chart(chart.patient_reference.removeprefix("Patient/"))
        read = {f"{item.resource['resourceType']}/{item.resource['id']}" for item in extract.fetched}
        held = {f"{entry['resource']['resourceType']}/{entry['resource']['id']}" for entry in chart.bundle["entry"]}
        left = {key.split("/")[0] for key in held - read}
        assert left <= {"Immunization", "Provenance", "PractitionerRole"}
        assert not extract.findings
    client.close()


def test_the_gateways_own_client_writes_and_is_told_of_changes(program: str) -> None:
    endpoint = Endpoint(id="demo", base_url=program, networks=("127.0.0.0/8",), plain_http=True)
    client = EhrClient(endpoint, StaticToken(TOKEN))
    order = client.read("ServiceRequest", demo_charts()[0].order_reference.removeprefix("ServiceRequest/"))
    number = ("urn:example:cases", "case-1")
    note = {**_note(), "subject": order.resource["subject"], "identifier": [{"system": number[0], "value": number[1]}]}
    first = client.create(note, if_none_identifier=number)
    assert client.create(note, if_none_identifier=number).reference == first.reference
    client.update({**order.resource, "priority": "urgent"}, "1")
    with pytest.raises(Conflict):
        client.update({**order.resource, "priority": "stat"}, "1")
    client.close()


def test_program_serves_a_folder_of_charts(tmp_path: Path) -> None:
    from gateway.demo.ehr_run import _bundles, _options

    (tmp_path / "one.json").write_bytes(dump_json(P01.bundle))
    assert _bundles(_options(["--charts", str(tmp_path)])) == [P01.bundle]
