"""Nothing that comes in a message leads to a connection, and nothing of a patient leads to an error text.

A listener stands where the messages point; it must see no connection at all (security T1). A made-up
patient stands in every answer; no message, log or repr may hold her name (security T17).
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from gateway.clients.ehr import EhrClient
from gateway.clients.endpoint import Endpoint
from gateway.clients.payer import PayerClient, PayerEndpoints
from gateway.clients.retries import ReadRetries
from gateway.clients.tokens import StaticToken
from gateway.clients.transport import Transport
from gateway.errors import GatewayError
from tests.stub_http import Answer, Seen, StubServer, fhir, stub_server

CANARY_NAME = "Zzyxqa Canary 999-99-9999"
HOSTS = [
    "127.0.0.1",
    "localhost",
    "LOCALHOST",
    "localhost.",
    "127.1",
    "127.0.1",
    "127.0.0.2",
    "127.0.0.1.nip.io",
    "0",
    "0.0.0.0",
    "0x7f000001",
    "0x7f.0.0.1",
    "0x7F.1",
    "0177.0.0.1",
    "017700000001",
    "2130706433",
    "[::1]",
    "[::]",
    "[0:0:0:0:0:0:0:1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::127.0.0.1]",
    "[64:ff9b::127.0.0.1]",
    "[2002:7f00:1::]",
    "[fe80::1%25lo]",
    "127.0.0.1%00.example.org",
    "127%2e0%2e0%2e1",
    "①②⑦.0.0.1",
    "ehr.example.org@127.0.0.1",
    "127.0.0.1#@ehr.example.org",
]
"""Ways to write this machine; every one of them with the port of the canary."""
FORMS = [
    "http://{host}:{port}{path}",
    "https://{host}:{port}{path}",
    "//{host}:{port}{path}",
    "\\\\{host}:{port}{path}",
]


def _urls(port: int, path: str) -> Iterator[str]:
    for host in HOSTS:
        for form in FORMS:
            yield form.format(host=host, port=port, path=path)


@pytest.fixture
def canary() -> Iterator[StubServer]:
    with stub_server(lambda _: fhir({"resourceType": "Bundle"})) as server:
        yield server


def _client(server: StubServer) -> EhrClient:
    endpoint = Endpoint(id="ehr", base_url=server.url(), networks=("127.0.0.0/8",), plain_http=True)
    return EhrClient(Transport(endpoint), StaticToken("secret"), retries=ReadRetries(attempts=1))


def _ignore_refusals(call: Callable[[], Any]) -> None:
    try:
        call()
    except GatewayError:
        pass


def _condition(**fields: Any) -> dict[str, Any]:
    return {"resourceType": "Condition", "id": "c1", "subject": {"reference": "Patient/p1"}, **fields}


@pytest.mark.threat("T1")
def test_a_paging_link_to_the_canary_is_not_followed(canary: StubServer) -> None:
    links = iter(list(_urls(canary.port, "/fhir?page=2")))

    def script(_: Seen) -> Answer:
        entry = [{"resource": _condition()}]
        return fhir({"resourceType": "Bundle", "link": [{"relation": "next", "url": next(links)}], "entry": entry})

    with stub_server(script) as server:
        client = _client(server)
        for _ in range(len(HOSTS) * len(FORMS)):
            with pytest.raises(GatewayError):
                client.search("Condition", patient_id="p1")
        client.close()
    assert canary.connections == 0


@pytest.mark.threat("T1")
def test_references_attachments_and_locations_to_the_canary_are_not_followed(canary: StubServer) -> None:
    references = [{"reference": url} for url in _urls(canary.port, "/fhir/Practitioner/1")]
    attachments = [{"attachment": {"url": url}} for url in _urls(canary.port, "/fhir/Binary/1")]
    document = {
        "resourceType": "DocumentReference",
        "id": "d1",
        "subject": {"reference": "Patient/p1"},
        "author": references,
        "content": attachments,
        "meta": {"profile": [f"http://127.0.0.1:{canary.port}/StructureDefinition/x"]},
        "implicitRules": f"http://127.0.0.1:{canary.port}/rules",
    }

    def script(seen: Seen) -> Answer:
        if seen.method == "POST":
            place = {"location": f"http://127.0.0.1:{canary.port}/fhir/DocumentReference/d1/_history/1"}
            return Answer(status=201, headers=place)
        if seen.target == "/fhir/Patient/p1":
            return fhir({"resourceType": "Patient", "id": "p1"})
        if seen.target.startswith("/fhir/DocumentReference/"):
            return fhir(document)
        held = [{"resource": document}] if "DocumentReference" in seen.target else []
        return fhir({"resourceType": "Bundle", "entry": held})

    with stub_server(script) as server:
        client = _client(server)
        chart = client.chart("p1")
        assert {finding.kind for finding in chart.findings} == {"foreign-reference"}
        assert client.create({"resourceType": "DocumentReference"}).reference == "DocumentReference/d1"
        client.close()
    assert canary.connections == 0


@pytest.mark.threat("T1")
def test_links_in_a_payers_answers_are_not_followed(canary: StubServer) -> None:
    url = f"http://127.0.0.1:{canary.port}/fhir/x"
    body = {
        "resourceType": "Bundle",
        "link": [{"relation": "next", "url": url}],
        "services": [{"id": url, "hook": "order-sign"}],
        "cards": [{"source": {"url": url}, "links": [{"url": url}]}],
    }
    headers = {"location": url, "link": f"<{url}>; rel=next", "refresh": f"0; url={url}", "content_location": url}
    for status in (200, 201, 301, 302, 303, 307, 308, 401, 503):
        with stub_server(lambda _, status=status: fhir(body, status, **headers)) as server:  # type: ignore[misc]
            endpoint = Endpoint(id="p/pas", base_url=server.url(), networks=("127.0.0.0/8",), plain_http=True)
            client = PayerClient(PayerEndpoints(slug="p", crd=endpoint, dtr=endpoint, pas=endpoint), StaticToken("t"))
            client.discover()
            client.call_hook("order-sign", b"{}")
            client.questionnaire_package(b"{}")
            client.submit(b"{}")
            client.create_subscription(b"{}")
            client.close()
    assert canary.connections == 0


ANSWERS: list[Answer] = [
    fhir({"resourceType": "OperationOutcome", "issue": [{"code": "x", "diagnostics": CANARY_NAME}]}, status)
    for status in (200, 302, 400, 401, 403, 404, 409, 410, 412, 422, 429, 500, 503)
] + [
    fhir({"resourceType": "Patient", "id": CANARY_NAME}),
    fhir({"resourceType": CANARY_NAME}),
    fhir({"resourceType": "Bundle", "entry": CANARY_NAME}),
    fhir({"resourceType": "Bundle", "link": [{"relation": "next", "url": f"http://x/{CANARY_NAME}"}]}),
    fhir([CANARY_NAME]),
    Answer(body=CANARY_NAME.encode(), headers={"content-type": "text/html"}),
    Answer(body=b'{"' + CANARY_NAME.encode(), headers={"content-type": "application/fhir+json"}),
    Answer(raw=CANARY_NAME.encode() + b"\r\n\r\n"),
    Answer(raw=b"HTTP/1.1 200 " + CANARY_NAME.encode() + b"\r\nx y: " + CANARY_NAME.encode() + b"\r\n\r\n"),
    Answer(body=CANARY_NAME.encode(), headers={"content-encoding": "gzip"}),
]


@pytest.mark.threat("T17")
@pytest.mark.parametrize("answer", ANSWERS, ids=range(len(ANSWERS)))
def test_no_error_log_or_repr_holds_what_an_answer_held(answer: Answer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    shown: list[str] = []

    def attempt(call: Callable[[], Any]) -> None:
        try:
            shown.append(repr(call()))
        except GatewayError as error:
            shown.extend([repr(error), error.diagnostics(), error.reason, *traceback.format_exception(error)])

    patient = {"resourceType": "Patient", "id": "p1", "name": [{"text": CANARY_NAME}]}
    with stub_server(lambda _: answer) as server:
        client = _client(server)
        attempt(lambda: client.read("Patient", "p1"))
        attempt(lambda: client.search("Patient", {"family": CANARY_NAME}))
        attempt(lambda: client.search("Condition", {"code": CANARY_NAME}))
        attempt(lambda: client.update(patient, "1"))
        attempt(lambda: client.create(patient))
        attempt(lambda: client.chart("p1"))
        client.close()
    assert len(shown) >= 6
    assert "Zzyxqa" not in "".join(shown) + caplog.text
