"""Trouble that other clients had in the field, and does not trouble this one: cases of area `clients`."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey

from gateway.clients.ehr import EhrClient
from gateway.clients.endpoint import Endpoint
from gateway.clients.hook_trust import TrustedCaller, verify_hook_token
from gateway.clients.key_sets import FixedKeys
from gateway.clients.limits import Limits
from gateway.clients.scopes import read_scopes
from gateway.clients.tokens import ClientCredentials, StaticToken
from gateway.clients.transport import Transport
from gateway.errors import AccessError, EhrUnreadable, SettingsError


@pytest.fixture(scope="module")
def cases(corpora: Path) -> dict[str, Any]:
    lines = (corpora / "field-cases" / "cases.jsonl").read_text(encoding="utf-8").splitlines()
    return {case["id"]: case for case in map(json.loads, lines)}


class Replay:
    """A server that gives the recorded answers in turn, then empty ones, and an EHR client for it."""

    def __init__(self, base: str, *recorded: dict[str, Any], limits: Limits | None = None) -> None:
        self.requests: list[httpx.Request] = []
        self._recorded = list(recorded)
        wire = httpx.MockTransport(self._answer)
        transport = Transport(Endpoint(id="ehr", base_url=base), limits=limits, wire=wire)
        self.transport = transport
        self.client = EhrClient(transport, StaticToken("t"))

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self._recorded.pop(0) if self._recorded else {"status": 200, "body": {"resourceType": "Bundle"}}
        body = answer["body"] if isinstance(answer["body"], bytes) else json.dumps(answer["body"]).encode()
        headers = {"content-type": "application/fhir+json"} | answer.get("headers", {})
        return httpx.Response(answer["status"], content=body, headers=headers)


def _response(case: dict[str, Any]) -> dict[str, Any]:
    response: dict[str, Any] = case["input"]["exchange"][0]["response"]
    return response


def test_b63_a_relative_next_link_is_resolved_against_the_request(cases: dict[str, Any]) -> None:
    case = cases["B63"]
    replay = Replay("https://h.example.org/app/fhir/r4", _response(case))
    found = replay.client.search("Encounter", {"type": "http://x.example.org/cs|a"})
    second = replay.requests[1]
    assert f"{second.method} {second.url}" == case["expected"]["second_request"]
    assert second.headers["authorization"] == replay.requests[0].headers["authorization"] == "Bearer t"
    assert [item.reference for item in found] == ["Encounter/1"]


def test_b65_an_update_sends_back_the_weak_etag_that_came(cases: dict[str, Any]) -> None:
    case = cases["B65"]
    replay = Replay("https://ehr.example.org/fhir", _response(case), _response(case))
    fetched = replay.client.read("ServiceRequest", "1")
    replay.client.update({**fetched.resource, "extension": [{"url": "urn:x"}]}, fetched.etag)
    put = replay.requests[1]
    assert f"{put.method} {put.url}" == case["expected"]["request"]
    assert f"If-Match: {put.headers['if-match']}" == case["expected"]["header"]


@pytest.mark.parametrize("has_mode", [True, False])
def test_b67_an_outcome_is_a_warning_and_no_record(cases: dict[str, Any], has_mode: bool) -> None:
    case = cases["B67"]
    answer = json.loads(json.dumps(_response(case)))
    if not has_mode:
        del answer["body"]["entry"][0]["search"]
    found = Replay("https://ehr.example.org/fhir", answer).client.search("Observation", {"patient": "1", "code": "x"})
    assert len(found) == case["expected"]["records"]
    assert [finding.text for finding in found.findings] == case["expected"]["warnings"]


def test_b69_a_token_without_the_data_scopes_is_noticed_before_the_first_read(cases: dict[str, Any]) -> None:
    case = cases["B69"]
    token_server = Replay("https://auth.example.org/token", _response(case))
    tokens = ClientCredentials(token_server.transport, "c", secret="s", scopes=case["input"]["requested"])
    patient = {"status": 200, "body": {"resourceType": "Patient", "id": "1"}}
    ehr = Replay("https://ehr.example.org/fhir", patient)
    client = ehr.client.with_token(tokens)
    assert client.missing_scopes() == tuple(case["expected"]["missing"])
    assert ehr.requests == []
    chart = client.chart("1", ("Condition",))
    assert "Condition" in chart.unseen_types
    assert not any("Condition" in str(request.url) for request in ehr.requests)


def test_b71_scopes_are_sent_with_spaces_and_commas_are_refused(cases: dict[str, Any]) -> None:
    case = cases["B71"]
    granted = {"status": 200, "body": {"access_token": "x", "token_type": "Bearer"}}
    server = Replay("https://auth.example.org/token", granted)
    ClientCredentials(server.transport, "c", secret="s", scopes=tuple(case["input"]["scopes"])).authorization()
    assert case["expected"]["sent"].split(" (")[0] in server.requests[0].content.decode()
    with pytest.raises(SettingsError, match="comma"):
        read_scopes(case["input"]["operator_typed"])


def test_b73_a_parameter_that_the_server_ignored_is_applied_here(cases: dict[str, Any]) -> None:
    case = cases["B73"]
    replay = Replay("https://ehr.example.org/fhir", _response(case))
    found = replay.client.search("Observation", {"patient": "1", "code": "82237-9", "date": "ge2026-01-01"})
    assert [item.reference for item in found] == case["expected"]["used"]
    dropped = [f"{item.reference.split('/')[1]} ({item.text})" for item in found.findings if item.kind == "filtered"]
    assert dropped == case["expected"]["dropped"]
    ignored = {item.reference for item in found.findings if item.kind == "ignored-parameter"}
    assert ignored == {"code", "date"}


def test_b75_gzip_without_its_header_is_unpacked_within_the_limit(cases: dict[str, Any]) -> None:
    case = cases["B75"]
    headers = case["input"]["response"]["headers"]
    packed = gzip.compress(b'{"resourceType":"Patient","id":"1"}')
    replay = Replay("https://ehr.example.org/fhir", {"status": 200, "body": packed, "headers": headers})
    assert replay.client.read("Patient", "1").resource["id"] == "1"
    bomb = {"status": 200, "body": gzip.compress(bytes(3_000_000)), "headers": headers}
    limited = Replay("https://ehr.example.org/fhir", bomb, limits=Limits(body_bytes=1_000_000))
    with pytest.raises(EhrUnreadable) as caught:
        limited.client.read("Patient", "1")
    assert caught.value.reason == "ehr.too-large"


def test_b81_a_hook_token_names_the_service_that_is_called(cases: dict[str, Any]) -> None:
    case = cases["B81"]
    key = ECKey.generate_key("P-384", {"kid": "k1"}, auto_kid=False)
    keys = FixedKeys(json.dumps({"keys": [key.as_dict(private=False)]}).encode())
    caller = TrustedCaller(issuer="https://ehr.example.org", tenant="main", ehr_id="ehr", keys=keys)
    now = datetime(2026, 11, 25, 10, 0, tzinfo=UTC)

    def is_accepted(audience: Any, endpoint: str) -> bool:
        times = {"iat": int(now.timestamp()), "exp": int(now.timestamp()) + 60}
        claims = {"iss": caller.issuer, "aud": audience, "jti": "j", **times}
        token = jwt.encode({"alg": "ES384", "kid": "k1", "typ": "JWT"}, claims, key, algorithms=["ES384"])
        try:
            verify_hook_token(f"Bearer {token}", endpoint, [caller], now, lambda *_: True)
        except AccessError as error:
            return error.http_status != case["expected"]["rejected_with"]
        return True

    endpoint = case["input"]["endpoint"]
    assert [is_accepted(audience, endpoint) for audience in case["input"]["auds"]] == case["expected"]["accept"]
    for audience in case["expected"]["discovery_endpoint_accepts"]:
        assert is_accepted(audience, endpoint.rpartition("/")[0])
