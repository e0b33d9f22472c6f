"""The payer client: each call to its address, every status an exchange, only silence an error."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from joserfc import jwt
from joserfc.jwk import ECKey

from gateway.clients.assertions import AssertionKey, HookIdentity
from gateway.clients.endpoint import Endpoint
from gateway.clients.payer import Exchange, PayerClient, PayerEndpoints, PayerTimeouts, endpoints_of, open_payer
from gateway.clients.tokens import StaticToken
from gateway.clients.transport import PAYER, Transport
from gateway.clock import FixedClock
from gateway.errors import (
    InputError,
    PayerTimedOut,
    PayerUnreachable,
    PayerUnreadable,
    SettingsError,
)
from payer_endpoints.directory import PayerRow, load_directory
from tests.stub_http import Answer, Seen, fhir, stub_server

NOW = dt.datetime(2026, 11, 25, 10, 0, tzinfo=dt.UTC)
CRD = Endpoint(id="acme/crd", base_url="https://crd.example.org/cds-services")
DTR = Endpoint(id="acme/dtr", base_url="https://dtr.example.org/fhir")
PAS = Endpoint(id="acme/pas", base_url="https://pas.example.org/fhir")
CDEX = Endpoint(id="acme/cdex", base_url="https://cdex.example.org/x/$submit-attachment")
ALL = PayerEndpoints(slug="acme", crd=CRD, dtr=DTR, pas=PAS, attachment=CDEX)
PEM = ec.generate_private_key(ec.SECP384R1()).private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
)


class Payer:
    """A client whose payer is a function, and what was asked of it."""

    def __init__(self, *responses: httpx.Response, endpoints: PayerEndpoints = ALL, **options: Any) -> None:
        self.requests: list[httpx.Request] = []
        self.clock = FixedClock(NOW)
        self._responses = list(responses) or [httpx.Response(200, content=b"{}")]
        wire = httpx.MockTransport(self._answer)
        offered = {"crd": endpoints.crd, "dtr": endpoints.dtr, "pas": endpoints.pas, "attachment": endpoints.attachment}
        transports = {
            guide: Transport(endpoint, failures=PAYER, clock=self.clock, wire=wire)
            for guide, endpoint in offered.items()
            if endpoint
        }
        self.client = PayerClient(endpoints, clock=self.clock, transports=transports, **options)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return self._responses.pop(0) if len(self._responses) > 1 else self._responses[0]


CALLS: list[tuple[Callable[[PayerClient], Exchange], str, str, bytes, str]] = [
    (lambda c: c.discover(), "GET", "https://crd.example.org/cds-services", b"", "application/json"),
    (
        lambda c: c.call_hook("order sign", b"{}"),
        "POST",
        "https://crd.example.org/cds-services/order%20sign",
        b"{}",
        "application/json",
    ),
    (
        lambda c: c.questionnaire_package(b"{1}"),
        "POST",
        "https://dtr.example.org/fhir/Questionnaire/$questionnaire-package",
        b"{1}",
        "application/fhir+json",
    ),
    (
        lambda c: c.next_question(b"{2}"),
        "POST",
        "https://dtr.example.org/fhir/Questionnaire/$next-question",
        b"{2}",
        "application/fhir+json",
    ),
    (
        lambda c: c.log_errors(b"{3}"),
        "POST",
        "https://dtr.example.org/fhir/Questionnaire/$log-questionnaire-errors",
        b"{3}",
        "application/fhir+json",
    ),
    (
        lambda c: c.expand(b"{4}"),
        "POST",
        "https://dtr.example.org/fhir/ValueSet/$expand",
        b"{4}",
        "application/fhir+json",
    ),
    (
        lambda c: c.submit(b"{5}"),
        "POST",
        "https://pas.example.org/fhir/Claim/$submit",
        b"{5}",
        "application/fhir+json",
    ),
    (
        lambda c: c.inquire(b"{6}"),
        "POST",
        "https://pas.example.org/fhir/Claim/$inquire",
        b"{6}",
        "application/fhir+json",
    ),
    (
        lambda c: c.create_subscription(b"{7}"),
        "POST",
        "https://pas.example.org/fhir/Subscription",
        b"{7}",
        "application/fhir+json",
    ),
    (
        lambda c: c.update_subscription("s1", b"{8}"),
        "PUT",
        "https://pas.example.org/fhir/Subscription/s1",
        b"{8}",
        "application/fhir+json",
    ),
    (
        lambda c: c.delete_subscription("s1"),
        "DELETE",
        "https://pas.example.org/fhir/Subscription/s1",
        b"",
        "application/fhir+json",
    ),
    (
        lambda c: c.subscription_status("s1"),
        "GET",
        "https://pas.example.org/fhir/Subscription/s1/$status",
        b"",
        "application/fhir+json",
    ),
    (
        lambda c: c.submit_attachment(b"{9}"),
        "POST",
        "https://cdex.example.org/x/$submit-attachment",
        b"{9}",
        "application/fhir+json",
    ),
    (lambda c: c.capability(), "GET", "https://pas.example.org/fhir/metadata", b"", "application/fhir+json"),
]


@pytest.mark.requirement("pas:spec-11")
@pytest.mark.parametrize("call, method, url, body, media_type", CALLS)
def test_each_call_goes_to_its_address_with_exactly_its_bytes(
    call: Callable[[PayerClient], Exchange], method: str, url: str, body: bytes, media_type: str
) -> None:
    payer = Payer(httpx.Response(200, content=b'{"x": 1.50}', headers={"content-type": media_type}))
    exchange = call(payer.client)
    request = payer.requests[0]
    assert (request.method, str(request.url), request.content) == (method, url, body)
    assert request.headers["accept"] == media_type
    assert request.headers.get("content-type") == (media_type if body else None)
    assert (exchange.request_bytes, exchange.response_bytes) == (body, b'{"x": 1.50}')
    assert (exchange.status, exchange.media_type, exchange.is_success) == (200, media_type, True)
    assert exchange.endpoint_id.startswith("acme/")
    assert exchange.sent_at == exchange.answered_at == NOW


@pytest.mark.requirement("pas:spec-39")
@pytest.mark.parametrize("status", [201, 202, 302, 400, 403, 404, 409, 422, 429, 500, 502, 503, 504])
def test_a_status_is_data_and_the_body_is_kept(status: int) -> None:
    headers = {"content-type": "text/html; x=y", "retry-after": "9", "set-cookie": "a=b", "date": "x", "etag": 'W/"1"'}
    exchange = Payer(httpx.Response(status, content=b"<html>", headers=headers)).client.submit(b"{}")
    assert (exchange.status, exchange.response_bytes, exchange.media_type) == (status, b"<html>", "text/html")
    assert exchange.headers == {"retry-after": "9", "date": "x", "etag": 'W/"1"'}
    assert exchange.retry_after_seconds == 9
    assert exchange.is_success is (status < 300)


@pytest.mark.threat("T13")
@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_submission_is_sent_once_whatever_comes_back(status: int) -> None:
    payer = Payer(httpx.Response(status))
    payer.client.submit(b"{}")
    assert len(payer.requests) == 1


class Renewable(StaticToken):
    """A token with another one behind it."""

    def __init__(self) -> None:
        super().__init__("old")

    def renew(self) -> bool:
        self._token = "new"
        return True


def test_a_401_renews_the_token_once_and_sends_the_same_bytes() -> None:
    payer = Payer(httpx.Response(401), httpx.Response(200), tokens=Renewable())
    assert payer.client.submit(b'{"a":1}').status == 200
    assert [request.headers["authorization"] for request in payer.requests] == ["Bearer old", "Bearer new"]
    assert [request.content for request in payer.requests] == [b'{"a":1}'] * 2
    refused = Payer(httpx.Response(401), tokens=Renewable())
    assert refused.client.submit(b"{}").status == 401
    assert len(refused.requests) == 2


def test_each_guide_has_its_own_token() -> None:
    payer = Payer(tokens={"pas": StaticToken("p"), "dtr": StaticToken("d")})
    payer.client.submit(b"{}")
    payer.client.questionnaire_package(b"{}")
    payer.client.discover()
    assert [request.headers.get("authorization") for request in payer.requests] == ["Bearer p", "Bearer d", None]


@pytest.mark.requirement("cdsh:180")
@pytest.mark.threat("T9")
def test_a_hook_call_carries_a_token_of_its_own_for_exactly_its_url() -> None:
    identity = HookIdentity(issuer="https://gw.example.org", key=AssertionKey.from_pem(PEM, "k1"))
    payer = Payer(httpx.Response(401), tokens=Renewable(), hook_identity=identity)
    payer.client.call_hook("order-sign", b"{}")
    payer.client.call_hook("order-sign", b"{}")
    payer.client.discover()
    assert len(payer.requests) == 3
    tokens = [
        jwt.decode(
            request.headers["authorization"].removeprefix("Bearer "), ECKey.import_key(PEM), algorithms=["ES384"]
        )
        for request in payer.requests
    ]
    assert [token.claims["aud"] for token in tokens] == [
        "https://crd.example.org/cds-services/order-sign",
        "https://crd.example.org/cds-services/order-sign",
        "https://crd.example.org/cds-services",
    ]
    assert len({token.claims["jti"] for token in tokens}) == 3


@pytest.mark.requirement("crd:found-16")
@pytest.mark.requirement("crd:found-17")
def test_discovery_is_kept_for_a_day_and_repeated_on_request() -> None:
    payer = Payer(httpx.Response(200, content=b'{"services":[]}'))
    payer.client.discover()
    payer.clock.instant = NOW + dt.timedelta(hours=23)
    payer.client.discover()
    assert len(payer.requests) == 1
    payer.client.discover(again=True)
    assert len(payer.requests) == 2
    payer.clock.instant = NOW + dt.timedelta(hours=23 + 25)
    payer.client.discover()
    assert len(payer.requests) == 3


def test_a_failed_discovery_is_not_kept() -> None:
    payer = Payer(httpx.Response(503), httpx.Response(200))
    assert payer.client.discover().status == 503
    assert payer.client.discover().status == 200


@pytest.mark.parametrize("service_id", ["", "a/b", "..", "."])
def test_a_service_id_that_leads_elsewhere_is_refused(service_id: str) -> None:
    payer = Payer()
    with pytest.raises(InputError):
        payer.client.call_hook(service_id, b"{}")
    assert payer.requests == []


@pytest.mark.parametrize("subscription_id", ["", "..", "a/b", "a?b"])
def test_a_subscription_id_that_leads_elsewhere_is_refused(subscription_id: str) -> None:
    payer = Payer()
    for call in (payer.client.subscription_status, payer.client.delete_subscription):
        with pytest.raises(InputError):
            call(subscription_id)
    assert payer.requests == []


def test_a_guide_that_the_row_does_not_offer_is_a_matter_of_settings() -> None:
    payer = Payer(endpoints=PayerEndpoints(slug="acme", pas=PAS))
    with pytest.raises(SettingsError, match="crd"):
        payer.client.discover()
    payer.client.submit_attachment(b"{}")
    assert str(payer.requests[0].url) == "https://pas.example.org/fhir/$submit-attachment"


# --- over the wire -------------------------------------------------------------------------------------------------


def _client(port: int, **seconds: float) -> PayerClient:
    endpoint = Endpoint(
        id="acme/pas", base_url=f"http://127.0.0.1:{port}/fhir", networks=("127.0.0.0/8",), plain_http=True
    )
    timeouts = replace(PayerTimeouts(), **seconds)
    return PayerClient(PayerEndpoints(slug="acme", crd=endpoint, pas=endpoint, timeouts=timeouts))


@pytest.mark.threat("T13")
def test_silence_is_told_apart_from_an_answer() -> None:
    def script(seen: Seen) -> Answer:
        return Answer(wait_seconds=0.8) if seen.body == b"slow" else Answer(raw=b"")

    with stub_server(script) as server:
        client = _client(server.port, submit=0.3)
        with pytest.raises(PayerTimedOut):
            client.submit(b"slow")
        with pytest.raises(PayerTimedOut):
            client.submit(b"dropped")
        assert client.submit(b"slow", 5).status == 200
    with pytest.raises(PayerUnreachable):
        client.submit(b"{}")
    with stub_server(lambda _: Answer(raw=b"nonsense\r\n\r\n")) as server, pytest.raises(PayerUnreadable):
        _client(server.port).submit(b"{}")


def test_a_hook_answer_within_its_budget_is_taken() -> None:
    with stub_server(lambda _: fhir({"cards": []})) as server:
        exchange = _client(server.port).call_hook("order-sign", b"{}")
    assert json.loads(exchange.response_bytes) == {"cards": []}
    assert exchange.elapsed < dt.timedelta(seconds=2)


# --- from rows -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def row() -> PayerRow:
    found = load_directory(allow_loopback=True).get("example-open")
    assert found is not None
    return found


def test_a_row_gives_its_endpoints_and_limits(row: PayerRow) -> None:
    endpoints = endpoints_of(row)
    assert endpoints.crd is not None
    assert endpoints.crd.id == "example-open/crd"
    assert endpoints.attachment is not None
    assert endpoints.attachment.base_url.endswith("/fhir/$submit-attachment")
    assert (endpoints.timeouts.submit, endpoints.timeouts.hook) == (20.0, 4.5)


def test_every_packaged_row_can_be_opened() -> None:
    for found in load_directory(allow_loopback=True):
        open_payer(found).close()


def test_a_loopback_row_is_refused_where_loopback_is_not_allowed() -> None:
    found = load_directory().get("example-open")
    assert found is not None
    with pytest.raises(SettingsError):
        open_payer(found)


def test_the_token_of_a_row_is_made_from_its_files(row: PayerRow, tmp_path: Path) -> None:
    key_file, token_file = tmp_path / "key.pem", tmp_path / "token"
    key_file.write_bytes(PEM)
    token_file.write_text("static-token")
    granted = json.dumps({"access_token": "granted", "token_type": "bearer", "expires_in": 60}).encode()

    def script(seen: Seen) -> Answer:
        return Answer(body=granted) if seen.target == "/token" else Answer(body=b"{}")

    with stub_server(script) as server:
        asked = {
            "kind": "client_credentials",
            "token_url": server.url("/token"),
            "client_id": "c1",
            "key_file": key_file,
            "key_id": "k1",
            "scopes": ["system/Claim.cru"],
        }
        static = {"kind": "static", "file": token_file}
        for token, header in ((asked, "Bearer granted"), (static, "Bearer static-token")):
            changed = row.model_dump(exclude_none=True) | {"token": token}
            changed["pas"] |= {"base_url": server.url("/fhir")}
            client = open_payer(PayerRow.model_validate(changed))
            assert client.submit(b"{}").status == 200
            assert server.seen[-1].headers["authorization"] == header
            client.close()


@pytest.mark.parametrize(
    "token",
    [
        {"kind": "static", "file": "/nowhere/token"},
        {
            "kind": "client_credentials",
            "token_url": "https://a.example.org/t",
            "client_id": "c",
            "key_file": "/nowhere",
        },
    ],
)
def test_a_row_with_a_missing_file_is_refused_at_start(row: PayerRow, token: dict[str, Any]) -> None:
    changed = PayerRow.model_validate(row.model_dump(exclude_none=True) | {"token": token})
    with pytest.raises(SettingsError):
        open_payer(changed)
