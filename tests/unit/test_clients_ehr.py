"""The EHR client against answers that servers really give, and some that FHIR merely allows."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl

import httpx
import pytest

from gateway.clients.ehr import EhrClient
from gateway.clients.ehr_records import Extract
from gateway.clients.endpoint import Endpoint
from gateway.clients.retries import ReadRetries
from gateway.clients.tokens import StaticToken, TokenProvider
from gateway.clients.transport import Transport
from gateway.errors import (
    Conflict,
    EhrRejected,
    EhrTimedOut,
    EhrUnreachable,
    EhrUnreadable,
    InputError,
    NotFound,
)

BASE = "https://ehr.example.org/fhir"
FHIR = {"content-type": "application/fhir+json;charset=utf-8"}
Script = Callable[[httpx.Request], httpx.Response]


class Ehr:
    """A client whose server is a function, and what was asked of it."""

    def __init__(self, script: Script, token: TokenProvider | None = None, **options: Any) -> None:
        self.requests: list[httpx.Request] = []
        self.slept: list[float] = []

        def answer(request: httpx.Request) -> httpx.Response:
            self.requests.append(request)
            return script(request)

        endpoint = Endpoint(id="ehr", base_url=BASE)
        transport = Transport(endpoint, wire=httpx.MockTransport(answer))
        retries = ReadRetries(sleep=self.slept.append, **options)
        self.client = EhrClient(transport, token, retries=retries)

    @property
    def urls(self) -> list[str]:
        return [str(request.url) for request in self.requests]


def answer(value: Any, status: int = 200, **headers: str) -> httpx.Response:
    return httpx.Response(status, content=json.dumps(value).encode(), headers=FHIR | headers)


def replies(*responses: httpx.Response) -> Script:
    """The responses one after the other; the last one again and again."""
    queue: Iterator[httpx.Response] = iter(responses)
    state = {"last": responses[0]}

    def script(_: httpx.Request) -> httpx.Response:
        state["last"] = next(queue, state["last"])
        return state["last"]

    return script


def condition(resource_id: str, patient: str = "Patient/p1", **fields: Any) -> dict[str, Any]:
    subject = {"reference": patient}
    return {"resourceType": "Condition", "id": resource_id, "meta": {"versionId": "2"}, "subject": subject, **fields}


def bundle(*resources: Any, next_link: str | None = None, mode: str | None = "match", **fields: Any) -> dict[str, Any]:
    search = {"search": {"mode": mode}} if mode else {}
    links = [{"relation": "next", "url": next_link}] if next_link else []
    entries = [{"fullUrl": f"{BASE}/x", "resource": item, **search} for item in resources]
    return {"resourceType": "Bundle", "type": "searchset", "link": links, "entry": entries, **fields}


def kinds(extract: Extract) -> list[tuple[str, str]]:
    return [(finding.kind, finding.reference) for finding in extract.findings]


def references(extract: Extract) -> list[str]:
    return [item.reference for item in extract]


# --- reading one ---------------------------------------------------------------------------------------------------


def test_a_read_keeps_the_bytes_the_version_and_the_etag() -> None:
    body = b'{ "resourceType":"Condition", "id":"c1","meta":{"versionId":"7"}, "x": 87.50 }\n'
    ehr = Ehr(replies(httpx.Response(200, content=body, headers=FHIR | {"etag": 'W/"7"'})))
    fetched = ehr.client.read("Condition", "c1")
    assert (fetched.raw, fetched.version, fetched.etag) == (body, "7", 'W/"7"')
    assert fetched.resource["x"] == Decimal("87.50")
    assert str(fetched.resource["x"]) == "87.50"
    assert fetched.full_url == f"{BASE}/Condition/c1"
    assert ehr.requests[0].headers["accept"] == "application/fhir+json"


@pytest.mark.parametrize("status, reason", [(404, "ehr.not-found"), (410, "ehr.gone")])
def test_never_there_and_deleted_are_different_facts(status: int, reason: str) -> None:
    with pytest.raises(NotFound) as caught:
        Ehr(replies(httpx.Response(status, text="<html>"))).client.read("Condition", "c1")
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    "status, reason",
    [(400, "ehr.rejected"), (403, "ehr.forbidden"), (401, "ehr.login"), (302, "ehr.redirect"), (414, "ehr.rejected")],
)
def test_a_refusal_is_told_by_its_status_not_by_its_text(status: int, reason: str) -> None:
    page = httpx.Response(status, text="<html>Zzyxqa</html>", headers={"content-type": "text/html"})
    ehr = Ehr(replies(page))
    with pytest.raises(EhrRejected) as caught:
        ehr.client.read("Condition", "c1")
    assert (caught.value.reason, caught.value.http_answer) == (reason, status)
    assert caught.value.body == b"<html>Zzyxqa</html>"
    assert "Zzyxqa" not in caught.value.message
    assert len(ehr.requests) == 1


@pytest.mark.parametrize(
    "content, media_type, reason",
    [
        (b"<html>login</html>", "text/html", "ehr.media-type"),
        (b"<Patient/>", "application/fhir+xml", "ehr.media-type"),
        (b"{", "application/fhir+json", "ehr.json"),
        (b'{"resourceType":"Patient","id":"1","id":"2"}', "application/fhir+json", "ehr.json"),
        (b"[]", "application/fhir+json", "ehr.json"),
        (b"{}", "application/fhir+json", "ehr.json"),
        (b"", "application/fhir+json", "ehr.json"),
        (b'{"resourceType":"Condition","id":"c2"}', "application/fhir+json", "ehr.other-resource"),
    ],
)
def test_an_answer_that_is_not_the_resource_is_unreadable(content: bytes, media_type: str, reason: str) -> None:
    with pytest.raises(EhrUnreadable) as caught:
        Ehr(replies(httpx.Response(200, content=content, headers={"content-type": media_type}))).client.read(
            "Condition", "c1"
        )
    assert caught.value.reason == reason
    assert caught.value.body == content


@pytest.mark.parametrize("media_type", ["application/json+fhir", "application/json; charset=UTF-8", "text/json"])
def test_old_and_plain_media_types_are_read(media_type: str) -> None:
    content = json.dumps(condition("c1")).encode()
    response = httpx.Response(200, content=content, headers={"content-type": media_type})
    assert Ehr(replies(response)).client.read("Condition", "c1").version == "2"


@pytest.mark.parametrize("resource_id", ["", "..", ".", "a/b", "a?b", "a b", "ä", "x" * 200, "../Patient/2"])
def test_an_id_that_is_none_is_not_sent(resource_id: str) -> None:
    ehr = Ehr(replies(answer(condition("c1"))))
    with pytest.raises(InputError):
        ehr.client.read("Condition", resource_id)
    with pytest.raises(InputError):
        ehr.client.search("Condition", patient_id=resource_id)
    with pytest.raises(InputError):
        ehr.client.chart(resource_id)
    assert ehr.requests == []


# --- paging --------------------------------------------------------------------------------------------------------


def test_pages_are_followed_verbatim_until_there_is_no_next() -> None:
    opaque = f"{BASE}?_getpages=4f2&_getpagesoffset=2&_count=2&_bundletype=searchset"
    ehr = Ehr(
        replies(
            answer(bundle(condition("c1"), condition("c2"), next_link=opaque)),
            answer(bundle(condition("c3"), next_link="?page=3", total=4)),
            answer(bundle(condition("c4"))),
        )
    )
    found = ehr.client.search("Condition", patient_id="p1")
    assert references(found) == ["Condition/c1", "Condition/c2", "Condition/c3", "Condition/c4"]
    assert ehr.urls[1] == opaque
    assert ehr.urls[2] == f"{BASE}?page=3"
    assert [record.url_path_template for record in found.exchanges][:2] == [
        "Condition?patient&_count",
        "Condition?(next page)",
    ]


def test_a_bundle_without_entries_is_an_empty_answer() -> None:
    for empty in ({"resourceType": "Bundle"}, {"resourceType": "Bundle", "entry": [], "total": 9}):
        assert len(Ehr(replies(answer(empty))).client.search("Condition", patient_id="p1")) == 0


def test_a_repeating_next_ends_as_an_error() -> None:
    ehr = Ehr(replies(answer(bundle(condition("c1"), next_link=f"{BASE}?page=2"))))
    with pytest.raises(EhrUnreadable) as caught:
        ehr.client.search("Condition", patient_id="p1")
    assert caught.value.reason == "ehr.paging"
    assert len(ehr.requests) == 2


def test_an_expired_page_starts_the_search_again() -> None:
    first = answer(bundle(condition("c1"), next_link=f"{BASE}?page=2"))
    gone = httpx.Response(410, text="gone")
    found = Ehr(replies(first, gone, first, answer(bundle(condition("c2"))))).client.search(
        "Condition", patient_id="p1"
    )
    assert references(found) == ["Condition/c1", "Condition/c2"]
    assert ("restarted", "") in kinds(found)


def test_a_search_whose_pages_always_expire_is_an_error_and_not_a_part() -> None:
    def script(request: httpx.Request) -> httpx.Response:
        if request.url.query.startswith(b"page"):
            return httpx.Response(410)
        return answer(bundle(condition("c1"), next_link="?page=2"))

    with pytest.raises(EhrUnreadable):
        Ehr(script).client.search("Condition", patient_id="p1")


@pytest.mark.threat("T1")
def test_a_next_link_elsewhere_is_an_error_and_gets_no_token() -> None:
    ehr = Ehr(replies(answer(bundle(condition("c1"), next_link="https://evil.example.net/fhir?p=2"))), StaticToken("t"))
    with pytest.raises(EhrUnreadable) as caught:
        ehr.client.search("Condition", patient_id="p1")
    assert caught.value.reason == "ehr.foreign-link"
    assert len(ehr.requests) == 1


class RenewableToken(StaticToken):
    """A token that can be renewed a number of times."""

    def __init__(self) -> None:
        super().__init__("old")
        self.renewals = 0

    def authorization(self) -> str:
        return f"Bearer {'new' if self.renewals else 'old'}"

    def renew(self) -> bool:
        self.renewals += 1
        return True


def test_a_token_that_runs_out_while_paging_is_renewed_once_and_the_page_repeated() -> None:
    token = RenewableToken()
    page = answer(bundle(condition("c1"), next_link="?page=2"))
    ehr = Ehr(replies(page, httpx.Response(401), answer(bundle(condition("c2")))), token)
    assert len(ehr.client.search("Condition", patient_id="p1")) == 2
    assert [request.headers["authorization"] for request in ehr.requests] == ["Bearer old", "Bearer old", "Bearer new"]
    assert ehr.urls[1] == ehr.urls[2]


def test_a_second_401_is_a_refusal() -> None:
    token = RenewableToken()
    ehr = Ehr(replies(httpx.Response(401)), token)
    with pytest.raises(EhrRejected):
        ehr.client.read("Condition", "c1")
    assert (token.renewals, len(ehr.requests)) == (1, 2)


# --- retries -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_server_is_asked_again_after_the_time_it_names(status: int) -> None:
    ehr = Ehr(replies(httpx.Response(status, headers={"retry-after": "7"}), answer(condition("c1"))))
    ehr.client.read("Condition", "c1")
    assert ehr.slept[0] >= 7


def test_a_wait_over_the_budget_is_left_to_the_job() -> None:
    ehr = Ehr(replies(httpx.Response(503, headers={"retry-after": "120"})))
    with pytest.raises(EhrRejected) as caught:
        ehr.client.read("Condition", "c1")
    assert (caught.value.reason, caught.value.retry_after_seconds) == ("ehr.busy", 120)
    assert ehr.slept == []


@pytest.mark.parametrize("error, expected", [(httpx.ConnectError, EhrUnreachable), (httpx.ReadTimeout, EhrTimedOut)])
def test_a_read_is_repeated_a_few_times(error: type[httpx.TransportError], expected: type[Exception]) -> None:
    def script(request: httpx.Request) -> httpx.Response:
        raise error("x", request=request)

    ehr = Ehr(script)
    with pytest.raises(expected):
        ehr.client.read("Condition", "c1")
    assert len(ehr.requests) == 4
    assert len(ehr.slept) == 3


def test_a_write_is_never_repeated_by_itself() -> None:
    for script in (replies(httpx.Response(503)), replies(httpx.Response(500))):
        ehr = Ehr(script)
        with pytest.raises(EhrRejected):
            ehr.client.update(condition("c1"), "2")
        assert len(ehr.requests) == 1


# --- what a search gives -------------------------------------------------------------------------------------------


def test_includes_come_once_and_after_the_matches() -> None:
    patient = {"resourceType": "Patient", "id": "p1"}
    first = bundle(condition("c1"), next_link="?page=2")
    first["entry"].insert(0, {"resource": patient, "search": {"mode": "include"}})
    second = bundle(condition("c2"))
    second["entry"].insert(0, {"resource": patient, "search": {"mode": "include"}})
    found = Ehr(replies(answer(first), answer(second))).client.search("Condition", patient_id="p1")
    assert references(found) == ["Condition/c1", "Condition/c2", "Patient/p1"]
    assert [item.reference for item in found.matches] == ["Condition/c1", "Condition/c2"]


def test_etags_of_a_search_are_built_from_the_version() -> None:
    found = Ehr(replies(answer(bundle(condition("c1"))))).client.search("Condition", patient_id="p1")
    assert found.fetched[0].etag == 'W/"2"'
    assert json.loads(found.fetched[0].raw) == condition("c1")


@pytest.mark.threat("T15")
def test_records_of_another_patient_are_dropped_and_reported() -> None:
    foreign = [
        condition("c2", "Patient/p2"),
        condition("c3", "https://other.example.org/fhir/Patient/p1"),
        condition("c4", "Patient/p11"),
        {"resourceType": "Condition", "id": "c5", "subject": {"display": "p1"}},
        {"resourceType": "Condition", "id": "c6"},
        condition("c7", "Group/p1"),
    ]
    own = [condition("c1"), condition("c8", f"{BASE}/Patient/p1"), condition("c9", "Patient/p1/_history/3")]
    found = Ehr(replies(answer(bundle(*foreign, *own)))).client.search("Condition", patient_id="p1")
    assert references(found) == ["Condition/c1", "Condition/c8", "Condition/c9"]
    assert kinds(found) == [
        ("foreign-patient", "Condition/c2"),
        ("foreign-patient", "Condition/c3"),
        ("foreign-patient", "Condition/c4"),
        ("no-subject", "Condition/c5"),
        ("no-subject", "Condition/c6"),
        ("foreign-patient", "Condition/c7"),
    ]


@pytest.mark.parametrize(
    "resource, is_own",
    [
        ({"resourceType": "Coverage", "beneficiary": {"reference": "Patient/p1"}}, True),
        ({"resourceType": "Coverage", "beneficiary": {"reference": "Patient/p2"}}, False),
        ({"resourceType": "Task", "for": {"reference": "Patient/p2"}}, False),
        ({"resourceType": "AllergyIntolerance", "patient": {"reference": "Patient/p1"}}, True),
        ({"resourceType": "Appointment", "participant": [{"actor": {"reference": "Patient/p1"}}]}, True),
        ({"resourceType": "Appointment", "participant": [{"actor": {"reference": "Patient/p2"}}]}, False),
        ({"resourceType": "Appointment", "participant": [{"actor": {"reference": "Practitioner/1"}}]}, False),
    ],
)
def test_each_type_names_its_patient_in_its_own_way(resource: dict[str, Any], is_own: bool) -> None:
    script = replies(answer(bundle({"id": "1", **resource})))
    found = Ehr(script).client.search(resource["resourceType"], {"_id": "1"}, patient_id="p1")
    assert len(found) == int(is_own)


def test_parts_of_resources_are_no_evidence() -> None:
    part = condition("c1", meta={"tag": [{"code": "SUBSETTED"}]})
    found = Ehr(replies(answer(bundle(part)))).client.search("Condition", patient_id="p1")
    assert (references(found), kinds(found)) == ([], [("subsetted", "Condition/c1")])
    for name in ("_elements", "_summary"):
        with pytest.raises(InputError):
            Ehr(replies(answer(bundle()))).client.search("Condition", {name: "id"})


def test_a_resource_without_id_cannot_be_cited() -> None:
    found = Ehr(replies(answer(bundle({"resourceType": "Condition", "subject": {"reference": "Patient/p1"}})))).client
    assert kinds(found.search("Condition", patient_id="p1")) == [("unnamed", "")]


@pytest.mark.parametrize("mode", ["outcome", "match", None])
def test_an_outcome_among_the_results_is_a_warning(mode: str | None) -> None:
    outcome = {"resourceType": "OperationOutcome", "issue": [{"code": "processing", "diagnostics": "odd"}]}
    found = Ehr(replies(answer(bundle(outcome, mode=mode)))).client.search("Condition", patient_id="p1")
    assert len(found) == 0
    assert [finding.text for finding in found.findings] == ["processing: odd"]
    assert "odd" not in repr(found)


@pytest.mark.parametrize(
    "query, resource, is_kept",
    [
        ({"status": "active"}, {"status": "draft"}, False),
        ({"status": "active,completed"}, {"status": "completed"}, True),
        ({"code": "http://loinc.org|1"}, {"code": {"coding": [{"system": "urn:x", "code": "1"}]}}, False),
        ({"code": "http://loinc.org|1"}, {"code": {"coding": [{"system": "http://loinc.org", "code": "1"}]}}, True),
        ({"code": "1"}, {"code": {"coding": [{"system": "urn:x", "code": "1"}]}}, True),
        ({"code": "|1"}, {"code": {"coding": [{"system": "urn:x", "code": "1"}]}}, False),
        ({"code": "http://loinc.org|"}, {"code": {"coding": [{"system": "http://loinc.org", "code": "9"}]}}, True),
        ({"code": "1"}, {}, True),
        ({"code": "1"}, {"code": {"text": "one"}}, False),
        ({"category": "labs"}, {"category": [{"coding": [{"code": "vitals"}]}, {"coding": [{"code": "labs"}]}]}, True),
        ({"identifier": "urn:s|7"}, {"identifier": [{"system": "urn:s", "value": "7"}]}, True),
        ({"identifier": "urn:s|7"}, {"identifier": [{"system": "urn:s", "value": "8"}]}, False),
        ({"date": "ge2026-01-05"}, {"effectiveDateTime": "2026-01-04T23:30:00-08:00"}, True),
        ({"date": "ge2026-01-05"}, {"effectiveDateTime": "2026-01-03"}, False),
        ({"date": "le2026-01-05"}, {"effectiveDateTime": "2026-01-06"}, True),
        ({"date": "le2026-01-05"}, {"effectiveDateTime": "2026-01-07"}, False),
        ({"date": "2026-01-05"}, {"performedPeriod": {"start": "2026-01-01", "end": "2026-01-20"}}, True),
        ({"date": "2026-01-05"}, {"performedPeriod": {"start": "2026-01-10"}}, False),
        ({"date": "ge2026-01-05"}, {"performedPeriod": {"start": "2020-01-10"}}, True),
        ({"date": "ge2026-06-05"}, {"effectiveDateTime": "2026"}, True),
        ({"date": "ge2026-06-05"}, {"effectiveDateTime": "2026-05"}, False),
        ({"date": "ge2026-01-05"}, {}, True),
        ({"date": ["ge2026-01-05", "le2026-02-05"]}, {"effectiveDateTime": "2026-03-01"}, False),
        ({"_id": "1,2"}, {}, True),
        ({"_id": "2"}, {}, False),
        ({"questionnaire": "urn:oid:1"}, {"questionnaire": "urn:oid:1|2.0"}, True),
        ({"questionnaire": "urn:oid:1|3.0"}, {"questionnaire": "urn:oid:1|2.0"}, False),
        ({"based-on": "ServiceRequest/9"}, {"basedOn": [{"reference": "ServiceRequest/9/_history/2"}]}, True),
        ({"based-on": "ServiceRequest/9"}, {"basedOn": [{"reference": "ServiceRequest/8"}]}, False),
        ({"unknown": "x"}, {}, True),
    ],
)
def test_what_a_server_may_have_ignored_is_asked_again_here(
    query: dict[str, Any], resource: dict[str, Any], is_kept: bool
) -> None:
    item = {"resourceType": "Observation", "id": "1", "subject": {"reference": "Patient/p1"}, **resource}
    found = Ehr(replies(answer(bundle(item)))).client.search("Observation", query, patient_id="p1")
    assert len(found) == int(is_kept)
    assert [kind for kind, _ in kinds(found)] == ([] if is_kept else ["filtered"])


def test_a_self_link_that_lacks_a_parameter_is_reported_and_one_without_any_is_not() -> None:
    body = bundle()
    body["link"] = [{"relation": "self", "url": f"{BASE}/Observation?patient=p1&_count=50"}]
    found = Ehr(replies(answer(body))).client.search("Observation", {"code": "1", "foo": "2"}, patient_id="p1")
    assert [(item.kind, item.reference, item.text) for item in found.findings] == [
        ("ignored-parameter", "code", "checked here"),
        ("ignored-parameter", "foo", "not checked"),
    ]
    body["link"] = [{"relation": "self", "url": f"{BASE}/Observation/_search"}]
    assert not Ehr(replies(answer(body))).client.search("Observation", {"code": "1"}, patient_id="p1").findings


# --- how a search is sent ------------------------------------------------------------------------------------------


def test_a_search_asks_with_the_patient_the_count_and_no_cache() -> None:
    ehr = Ehr(replies(answer(bundle())))
    ehr.client.search("Observation", {"code": "http://loinc.org|1"}, patient_id="p1")
    assert ehr.urls == [f"{BASE}/Observation?patient=p1&code=http://loinc.org%7C1&_count=50"]
    assert ehr.requests[0].headers["cache-control"] == "no-cache"


@pytest.mark.threat("T17")
@pytest.mark.parametrize(
    "query",
    [
        {"identifier": "urn:mrn|999"},
        {"family": "Zzyxqa"},
        {"name:exact": "Zzyxqa"},
        {"patient.identifier": "urn:mrn|999"},
        {"payor:Organization.identifier": "urn:x|1"},
        {"_id": ",".join(f"id-{number}" for number in range(400))},
    ],
)
def test_searches_that_name_a_person_or_are_long_go_by_post(query: dict[str, str]) -> None:
    ehr = Ehr(replies(answer(bundle())))
    found = ehr.client.search("Patient", query)
    request = ehr.requests[0]
    assert (request.method, str(request.url)) == ("POST", f"{BASE}/Patient/_search")
    assert request.headers["content-type"] == "application/x-www-form-urlencoded"
    assert dict(parse_qsl(request.content.decode())) == {**query, "_count": "50"}
    assert "Zzyxqa" not in repr(found.exchanges)


@pytest.mark.parametrize(
    "query",
    [
        {"patient": ""},
        {"patient": "Patient/"},
        {"code": " "},
        {"date": "ge2026"},
        {"date": "ge2026-01"},
        {"authored": "2026-01"},
        {"code": "a\nb"},
        {"code": ","},
    ],
)
def test_parameters_that_servers_read_in_several_ways_are_refused(query: dict[str, Any]) -> None:
    ehr = Ehr(replies(answer(bundle())))
    with pytest.raises(InputError):
        ehr.client.search("Observation", query)
    assert ehr.requests == []


@pytest.mark.threat("T1")
@pytest.mark.parametrize("resource_type", ["../x", "observation", "", "Observation/1", "Observation?x", "$everything"])
def test_a_type_that_is_none_is_refused(resource_type: str) -> None:
    with pytest.raises(InputError):
        Ehr(replies(answer(bundle()))).client.search(resource_type)


# --- the chart -----------------------------------------------------------------------------------------------------


class ChartServer:
    """A server of a few resources, searched by patient or target, with refusals by type."""

    def __init__(self, *resources: dict[str, Any], refusals: dict[str, int] | None = None) -> None:
        patient = {"resourceType": "Patient", "id": "p1", "meta": {"versionId": "1"}}
        self.resources = [patient, *resources]
        self.refusals = refusals or {}

    def __call__(self, request: httpx.Request) -> httpx.Response:
        parts = request.url.path.removeprefix("/fhir/").split("/")
        if parts[0] in self.refusals:
            return httpx.Response(self.refusals[parts[0]], text="<html>")
        held = [item for item in self.resources if item["resourceType"] == parts[0]]
        if len(parts) == 2 and parts[1] != "_search":
            return next((answer(item) for item in held if item["id"] == parts[1]), httpx.Response(404))
        return answer(bundle(*held))


def reference(text: str) -> dict[str, str]:
    return {"reference": text}


def test_a_chart_holds_the_patient_the_records_and_what_they_point_to() -> None:
    server = ChartServer(
        {
            "resourceType": "ServiceRequest",
            "id": "s1",
            "subject": reference("Patient/p1"),
            "requester": reference("PractitionerRole/r1"),
            "performer": [reference("#contained"), reference("urn:uuid:1"), reference("Organization/gone")],
            "insurance": [reference("https://other.example.org/fhir/Coverage/1")],
        },
        {
            "resourceType": "PractitionerRole",
            "id": "r1",
            "practitioner": reference(f"{BASE}/Practitioner/d1"),
            "organization": reference("Organization/o1"),
        },
        {"resourceType": "Practitioner", "id": "d1"},
        {"resourceType": "Organization", "id": "o1", "partOf": reference("Organization/o2")},
        {"resourceType": "Provenance", "id": "v1", "target": [reference("ServiceRequest/s1")]},
        {"resourceType": "Provenance", "id": "v2", "target": [reference("ServiceRequest/other")]},
    )
    chart = Ehr(server).client.chart("p1")
    assert references(chart) == [
        "Patient/p1",
        "ServiceRequest/s1",
        "PractitionerRole/r1",
        "Practitioner/d1",
        "Organization/o1",
        "Provenance/v1",
    ]
    assert set(kinds(chart)) == {("not-found", "Organization/gone"), ("foreign-reference", "")}
    assert chart.unseen_types == ()
    assert chart.find("Practitioner/d1") is not None
    assert all(record.response_digest for record in chart.exchanges)


@pytest.mark.parametrize("status", [400, 403, 404, 405, 501])
def test_a_type_that_cannot_be_read_is_unseen_and_not_absent(status: int) -> None:
    server = ChartServer(condition("c1"), refusals={"MedicationDispense": status, "Provenance": status})
    chart = Ehr(server).client.chart("p1")
    assert references(chart) == ["Patient/p1", "Condition/c1"]
    assert chart.unseen_types == ("MedicationDispense", "Provenance")
    assert {finding.kind for finding in chart.findings} == {"not-readable"}


def test_a_type_that_may_be_readable_later_stops_the_chart() -> None:
    with pytest.raises(EhrRejected):
        Ehr(ChartServer(refusals={"Observation": 503})).client.chart("p1")


def test_a_chart_of_nobody_is_not_found() -> None:
    """A search with an unknown patient finds nothing, which would look like an empty chart."""
    with pytest.raises(NotFound):
        Ehr(ChartServer()).client.chart("p2")


def test_a_merged_patient_is_reported() -> None:
    server = ChartServer()
    server.resources[0]["link"] = [{"other": reference("Patient/p9"), "type": "replaced-by"}]
    assert ("merged-patient", "Patient/p1") in kinds(Ehr(server).client.chart("p1"))


class NarrowToken(StaticToken):
    """A token that does not let Observations be read."""

    def may_read(self, resource_type: str) -> bool:
        return resource_type != "Observation"


def test_a_type_outside_the_granted_scopes_is_not_asked_for() -> None:
    ehr = Ehr(ChartServer(), NarrowToken("t"))
    chart = ehr.client.chart("p1")
    assert chart.unseen_types == ("Observation",)
    assert not any("/Observation" in url for url in ehr.urls)


def test_follow_reads_what_given_resources_point_to() -> None:
    server = ChartServer({"resourceType": "Practitioner", "id": "d1"})
    found = Ehr(server).client.follow([{"requester": reference("Practitioner/d1")}])
    assert references(found) == ["Practitioner/d1"]


def test_two_extracts_together_hold_each_resource_once() -> None:
    ehr = Ehr(ChartServer(condition("c1")))
    both = ehr.client.chart("p1") + ehr.client.read_with_proof("Condition", "c1")
    assert references(both).count("Condition/c1") == 1
    assert both.exchanges[-1].url_path_template == "Condition/{id}"


# --- writing -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version, header", [("3141", 'W/"3141"'), ('W/"3141"', 'W/"3141"'), ('"3141"', '"3141"')])
def test_an_update_names_the_version_it_rests_on(version: str, header: str) -> None:
    ehr = Ehr(replies(answer(condition("c1", meta={"versionId": "3142"}), etag='W/"3142"')))
    written = ehr.client.update(condition("c1"), version)
    request = ehr.requests[0]
    assert (request.method, str(request.url)) == ("PUT", f"{BASE}/Condition/c1")
    assert request.headers["if-match"] == header
    assert request.headers["content-type"] == "application/fhir+json"
    assert (written.version, written.is_created, written.lost_elements) == ("3142", False, ())


@pytest.mark.parametrize("version", ["", "*", "a\r\nb", "ä"])
def test_an_update_without_a_version_is_refused(version: str) -> None:
    ehr = Ehr(replies(answer(condition("c1"))))
    with pytest.raises(InputError):
        ehr.client.update(condition("c1"), version)
    assert ehr.requests == []


@pytest.mark.parametrize("status", [409, 412])
def test_a_stale_version_is_a_conflict(status: int) -> None:
    with pytest.raises(Conflict) as caught:
        Ehr(replies(httpx.Response(status))).client.update(condition("c1"), "1")
    assert caught.value.reason == "ehr.changed"


def test_a_part_of_a_resource_is_not_written_back() -> None:
    with pytest.raises(InputError):
        Ehr(replies(answer({}))).client.update(condition("c1", meta={"tag": [{"code": "SUBSETTED"}]}), "1")


def test_decimals_are_written_with_their_digits_and_own_references_relative() -> None:
    ehr = Ehr(replies(answer(condition("c1"))))
    resource = condition("c1", f"{BASE}/Patient/p1", x=Decimal("87.50"))
    written = ehr.client.update(resource, "2")
    assert b'"x":87.50' in ehr.requests[0].content
    assert b'"reference":"Patient/p1"' in ehr.requests[0].content
    assert written.lost_elements == ("x",)


@pytest.mark.parametrize(
    "headers",
    [
        {"location": f"{BASE}/Condition/new/_history/1"},
        {"location": "Condition/new/_history/1"},
        {"content-location": f"{BASE}/Condition/new/_history/1"},
        {"location": f"{BASE}/Condition/new"},
    ],
)
@pytest.mark.parametrize(
    "body", [b"", b'{"resourceType":"OperationOutcome","issue":[]}', b"<html>", b'{"resourceType":"Condition"}']
)
def test_a_create_that_does_not_answer_with_the_resource_is_read_back(headers: dict[str, str], body: bytes) -> None:
    created = httpx.Response(201, content=body, headers=headers)
    ehr = Ehr(replies(created, answer(condition("new"), etag='W/"1"')))
    written = ehr.client.create({"resourceType": "Condition", "subject": {"reference": "Patient/p1"}})
    assert (written.reference, written.fetched.etag, written.is_created) == ("Condition/new", 'W/"1"', True)
    assert [request.method for request in ehr.requests] == ["POST", "GET"]
    assert ehr.requests[0].headers["prefer"] == "return=representation"


def test_a_create_is_known_by_its_body_when_no_header_says_where_it_is() -> None:
    ehr = Ehr(replies(answer(condition("new"), 201)))
    assert ehr.client.create(condition("ignored")).reference == "Condition/new"
    assert len(ehr.requests) == 1


def test_a_create_that_says_nothing_at_all_is_unreadable() -> None:
    with pytest.raises(EhrUnreadable):
        Ehr(replies(httpx.Response(201))).client.create({"resourceType": "Condition"})


def test_a_conditional_create_gives_back_the_one_that_is_there() -> None:
    ehr = Ehr(replies(answer(condition("old"), 200, location=f"{BASE}/Condition/old/_history/2")))
    written = ehr.client.create({"resourceType": "Condition"}, if_none_identifier=("urn:oid:1", "a|b&c"))
    assert (written.reference, written.is_created) == ("Condition/old", False)
    assert ehr.requests[0].headers["if-none-exist"] == "identifier=urn%3Aoid%3A1%7Ca%5C%7Cb%26c"
    with pytest.raises(Conflict):
        Ehr(replies(httpx.Response(412))).client.create({"resourceType": "Task"}, if_none_identifier=("a", "b"))
    with pytest.raises(InputError):
        ehr.client.create({"resourceType": "Condition"}, if_none_identifier=("", "b"))


def test_elements_that_the_server_dropped_are_named() -> None:
    sent = {"resourceType": "Condition", "note": [{"text": "a"}, {"text": "b"}], "code": {"text": "x", "odd": 1}}
    kept = {"resourceType": "Condition", "id": "new", "note": [{"text": "a"}], "code": {"text": "x"}}
    assert Ehr(replies(answer(kept, 201))).client.create(sent).lost_elements == ("note[1]", "code.odd")


def test_another_token_goes_to_the_same_place() -> None:
    ehr = Ehr(replies(answer(condition("c1"))))
    ehr.client.with_token(StaticToken("hook")).read("Condition", "c1")
    assert ehr.requests[0].headers["authorization"] == "Bearer hook"


def test_the_capability_statement_is_read() -> None:
    ehr = Ehr(replies(answer({"resourceType": "CapabilityStatement", "fhirVersion": "4.0.1"})))
    assert ehr.client.capability()["fhirVersion"] == "4.0.1"
    assert ehr.urls == [f"{BASE}/metadata"]
    assert ehr.client.missing_scopes() == ()
