"""Bad input against the running server: each a typed OperationOutcome that says what to do, and no half-made case."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from gateway.fhir.json import dump_json
from tests.acceptance.bad_bodies import ALL, Bad, covered
from tests.acceptance.outcomes import require_outcome
from tests.acceptance.posts import CANARY, bundle, coverage, order
from tests.acceptance.server import FHIR, Server
from tests.stub_http import Answer, stub_server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


@pytest.fixture(autouse=True)
def nothing_is_stored(server: Server) -> Iterator[None]:
    """No test of this file may leave a case, a patient's name in the log, or a traceback."""
    before, said = server.case_ids(), len(server.log())
    yield
    assert server.case_ids() == before
    log = server.log()[said:]
    assert CANARY not in log
    assert "999-99-9999" not in log
    assert "Traceback" not in log
    assert '"unexpected"' not in log


@pytest.mark.threat("T4")
@pytest.mark.threat("T5")
@pytest.mark.threat("T15")
@pytest.mark.parametrize("bad", ALL, ids=lambda bad: bad.name)
def test_a_bad_body_is_refused_with_a_word_and_leaves_nothing(server: Server, bad: Bad) -> None:
    issue = require_outcome(server.post(bad.body, bad.media_type), bad.status, bad.code, bad.says)
    if bad.expression:
        assert issue["expression"] == [bad.expression]


@pytest.mark.parametrize("wrong", [0, 1, 2])
def test_of_several_orders_one_bad_means_none_is_stored(server: Server, wrong: int) -> None:
    orders = [covered(f"several-{number}") for number in range(3)]
    orders[wrong] = order("several-bad", "covered", "of-elsewhere")
    issue = require_outcome(server.post(bundle(*orders)), 422, "patient.mismatch", "check whose coverage")
    assert issue["expression"] == [f"Bundle.entry[{wrong}].resource.insurance"]


@pytest.mark.threat("T1")
def test_no_address_of_a_message_is_ever_called(server: Server) -> None:
    with stub_server(lambda seen: Answer(status=200, body=b"{}")) as canary:
        for address in _addresses(server, canary.port):
            answer = server.post({"fhirServer": address, "order": "ServiceRequest/1"})
            require_outcome(answer, 422, "ehr.not-registered", "ask the operator")
        here = canary.url("/fhir")
        for body in (
            covered("x", subject={"reference": f"{here}/Patient/covered"}),
            covered("x", insurance=[{"reference": f"{here}/Coverage/of-covered"}]),
            bundle(
                covered("x"), coverage("of-covered", "covered", "p", payor=[{"reference": f"{here}/Organization/p"}])
            ),
            {"fhirServer": server.house.ehr_url, "order": f"{here}/ServiceRequest/1"},
        ):
            assert server.post(body).status_code == 422
        assert canary.connections == 0


def _addresses(server: Server, port: int) -> list[str]:
    """Addresses that a registered one must not be mistaken for, most of them leading to the canary."""
    base = server.house.ehr_url
    host = base.removeprefix("http://").partition("/")[0]
    return [
        f"http://127.0.0.1:{port}/fhir",
        f"http://localhost:{port}/fhir",
        f"http://[::1]:{port}/fhir",
        f"http://2130706433:{port}/fhir",
        f"http://0x7f000001:{port}/fhir",
        f"http://017700000001:{port}/fhir",
        f"http://127.1:{port}/fhir",
        f"http://{host}@127.0.0.1:{port}/fhir",
        f"http://{host}#@127.0.0.1:{port}/fhir",
        f"http://{host}\\@127.0.0.1:{port}/fhir",
        f"{base}@127.0.0.1:{port}",
        f"{base}/../..//127.0.0.1:{port}",
        f"{base}/x",
        f"{base}?next=http://127.0.0.1:{port}",
        base.upper(),
        base.replace("http://", "https://"),
        base.replace("127.0.0.1", "localhost"),
        base.removesuffix("/fhir"),
        "http://169.254.169.254/latest/meta-data",
        "http://metadata.google.internal/",
        "file:///etc/passwd",
        "gopher://127.0.0.1:70/",
        "//127.0.0.1/fhir",
        "ehr",
        f"http://127.0.0.1:{port}/fhir\r\nHost: {host}",
    ]


@pytest.mark.parametrize(
    "pointer",
    [
        {"fhirServer": "{ehr}"},
        {"order": "ServiceRequest/1"},
        {"fhirServer": "", "order": "ServiceRequest/1"},
        {"fhirServer": 5, "order": "ServiceRequest/1"},
        {"fhirServer": "{ehr}", "order": []},
        {"fhirServer": "{ehr}", "order": {"reference": 7}},
        {"fhirServer": "{ehr}", "order": "Patient/covered"},
        {"fhirServer": "{ehr}", "order": "ServiceRequest/../Patient/covered"},
        {"fhirServer": "{ehr}", "order": "ServiceRequest?patient=covered"},
        {"fhirServer": "{ehr}", "order": "ServiceRequest/"},
    ],
)
def test_a_pointer_that_points_at_no_order_is_refused(server: Server, pointer: dict[str, Any]) -> None:
    body = json.loads(json.dumps(pointer).replace("{ehr}", server.house.ehr_url))
    assert require_outcome(server.post(body), 422, "order.pointer", "Type/id" if "order" not in body else "")


def test_a_pointer_to_an_order_that_is_not_there_is_refused(server: Server) -> None:
    body = {"fhirServer": server.house.ehr_url, "order": "ServiceRequest/no-such-order"}
    require_outcome(server.post(body), 422, "reference.unresolvable", "check the id")


@pytest.mark.parametrize(
    "authorization",
    ["", "Bearer", "Bearer wrong", "Bearer wröng", "Basic ???", "Basic ZGVtbzp4", "Digest a", "{upper}"],
)
def test_without_the_right_secret_nothing_is_read(server: Server, authorization: str) -> None:
    given = authorization.replace("{upper}", f"Bearer {server.secrets['demo-ehr'].swapcase()}")
    headers = {"Authorization": given.encode("latin-1"), "Content-Type": FHIR} if given else {"Content-Type": FHIR}
    answer = server.client.post("/orders", content=dump_json(covered("x")), headers=headers)
    issue = require_outcome(answer, 401, "login", "client secret")
    assert issue["code"] == "login"
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_a_basic_secret_needs_its_own_client(server: Server) -> None:
    right = httpx.BasicAuth("demo-ehr", server.secrets["demo-ehr"])
    wrong = httpx.BasicAuth("demo", server.secrets["demo-ehr"])
    bad = {"content": b"{}", "headers": {"Content-Type": FHIR}}
    assert server.client.post("/orders", auth=right, **bad).status_code == 400  # type: ignore[arg-type]
    assert server.client.post("/orders", auth=wrong, **bad).status_code == 401  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("body", "encoding", "status"),
    [
        (b"not gzip", "gzip", 400),
        (gzip.compress(b"{}", mtime=0)[:-6], "gzip", 400),
        (gzip.compress(b"{}", mtime=0) + b"more", "gzip", 400),
        (gzip.compress(b"{}", mtime=0) + gzip.compress(b"{}", mtime=0), "gzip", 400),
        (b"{}", "br", 415),
        (b"{}", "gzip, gzip", 415),
        (gzip.compress(gzip.compress(b"{}", mtime=0), mtime=0), "gzip", 400),
    ],
)
def test_a_broken_or_unknown_encoding_is_refused(server: Server, body: bytes, encoding: str, status: int) -> None:
    answer = server.post(body, **{"Content-Encoding": encoding})
    assert answer.status_code == status, answer.text
    assert answer.json()["resourceType"] == "OperationOutcome"


@pytest.mark.parametrize("key", ["k" * 256, "k" * 5000])
def test_an_idempotency_key_has_a_length(server: Server, key: str) -> None:
    answer = server.post(covered("long-key"), key=key)
    assert answer.status_code == 422
    assert "idempotency-key" in answer.json()["issue"][0]["diagnostics"].lower()


@pytest.mark.threat("T38")
@pytest.mark.parametrize(
    "path", ["/orders/", "/cases/", "/cases/no-such-case", "/healthz", "/readyz/", "/fhir/metadata"]
)
def test_a_forged_host_leads_nowhere(server: Server, path: str) -> None:
    named = {"Host": "evil.example.org", "X-Forwarded-Host": "evil.example.org", "Forwarded": "host=evil.example.org"}
    answer = server.send("GET", path, headers=named)
    assert answer.status_code in (200, 404, 405)
    assert "evil" not in answer.text + str(answer.headers)


def test_addresses_and_methods_that_do_not_exist_are_told(server: Server) -> None:
    for method, path, status in (
        ("PUT", "/orders", 405),
        ("GET", "/orders", 405),
        ("GET", "/fhir/Nothing", 404),
        ("GET", "/cases/no-such-case", 404),
        ("GET", "/cases/%00", 400),
        ("GET", "/cases?order=%00", 400),
        ("DELETE", "/cases", 405),
        ("GET", f"/cases/{'x' * 3000}", 404),
        ("GET", "/payer-fhir/Patient/1", 401),
        ("POST", "/notifications/wrong", 404),
    ):
        answer = server.send(method, path, headers={"Content-Type": FHIR})
        assert answer.status_code == status, f"{method} {path[:40]}: {answer.text[:200]}"
        told = answer.json()
        assert told.get("resourceType") == "OperationOutcome" or told["type"].startswith("https://"), path[:40]
