"""A harness in process: the simulated payers, a client for them, and the mail box their notifications land in."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import httpx
from anyio.from_thread import BlockingPortal, start_blocking_portal

from payer_endpoints.harness import Harness, HarnessConfig, create_harness_app
from tests.harness_messages import TOKEN, Resource, entry_of, request_bundle, subscription

ENDPOINT = "https://gateway.example.org/notifications/secret-token"
FORM: Resource = {
    "resourceType": "Questionnaire",
    "url": "https://payer.example.org/Questionnaire/test-form",
    "version": "1.0.0",
    "title": "Test form",
    "status": "active",
    "date": "2026-01-15",
    "subjectType": ["Patient"],
    "extension": [
        {
            "url": "http://hl7.org/fhir/StructureDefinition/cqf-library",
            "valueCanonical": "https://payer.example.org/Library/TestLogic|1.0.0",
        }
    ],
    "item": [{"linkId": "1", "text": "Weeks of treatment", "type": "integer", "required": True}],
}
ELM: Resource = {
    "library": {
        "identifier": {"id": "TestLogic", "version": "1.0.0"},
        "includes": {"def": [{"localIdentifier": "FHIRHelpers", "path": "FHIRHelpers", "version": "4.0.1"}]},
    }
}
VALUE_SET: Resource = {
    "resourceType": "ValueSet",
    "url": "https://payer.example.org/ValueSet/test",
    "status": "active",
    "expansion": {"timestamp": "2026-01-15", "contains": [{"system": "urn:x", "code": "a", "display": "A"}]},
}


def write_form(folder: Path, slug: str = "cervical-mri") -> Path:
    """A questionnaires folder with one small form, its library as CQL beside ELM, and a value set."""
    for name in ("library", "valuesets"):
        (folder / slug / name).mkdir(parents=True, exist_ok=True)
    (folder / slug / "questionnaire.json").write_text(json.dumps(FORM))
    (folder / slug / "library" / "TestLogic.json").write_text(json.dumps(ELM))
    (folder / slug / "library" / "TestLogic.cql").write_text("library TestLogic version '1.0.0'\n")
    (folder / slug / "valuesets" / "test.json").write_text(json.dumps(VALUE_SET))
    return folder


@dataclass
class MailBox:
    """Takes notifications in; `statuses` are answered first, one after the other, then 200."""

    statuses: list[int] = field(default_factory=list)
    received: list[tuple[dict[str, str], Resource]] = field(default_factory=list)

    def handle(self, request: httpx.Request) -> httpx.Response:
        status = self.statuses.pop(0) if self.statuses else 200
        if status == 0:
            raise httpx.ConnectError("refused")
        if status < 300:
            self.received.append((dict(request.headers), json.loads(request.content)))
        return httpx.Response(status)

    def of_type(self, kind: str) -> list[Resource]:
        """Messages accepted, of one notification type."""
        return [body for _, body in self.received if value_of(body, "type") == kind]

    def events(self) -> list[Resource]:
        return self.of_type("event-notification")


@dataclass
class Client:
    """Calls an application in process from a test that is not asynchronous."""

    portal: BlockingPortal
    inner: httpx.AsyncClient

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        found: httpx.Response = self.portal.call(partial(self.inner.request, method, path, **options))
        return found

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.request("GET", path, **options)

    def post(self, path: str, **options: Any) -> httpx.Response:
        return self.request("POST", path, **options)


@dataclass
class Case:
    """One running harness."""

    client: Client
    harness: Harness
    mail: MailBox
    token: str = "test-token"

    def post(self, path: str, body: Any, **headers: str) -> httpx.Response:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.client.post(path, content=content, headers={**TOKEN, **headers})

    def submit(self, bundle: Any, payer: str = "example-medicare") -> httpx.Response:
        return self.post(f"/{payer}/fhir/Claim/$submit", bundle)

    def ledger(self) -> Resource:
        found: Resource = self.client.get("/_ledger").json()
        return found

    def fault(self, **order: Any) -> None:
        assert self.client.post("/_faults", json=order).status_code == 200

    def subscribe(self, payer: str = "example-medicare", **changes: Any) -> Resource:
        answer = self.post(f"/{payer}/fhir/Subscription", subscription(ENDPOINT, **changes))
        assert answer.status_code == 201, answer.text
        found: Resource = answer.json()
        return found


@contextmanager
def running(mail: MailBox | None = None, **settings: Any) -> Iterator[Case]:
    """A harness whose waiting times are a hundredth of the scenarios'."""
    box = mail or MailBox()
    defaults: dict[str, Any] = {"token": "test-token", "pace": 0.01, "transport": httpx.MockTransport(box.handle)}
    app = create_harness_app(HarnessConfig(**{**defaults, **settings}))
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(app.router.lifespan_context(app)):
        inner = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://harness.example.org")
        yield Case(client=Client(portal, inner), harness=app.state.harness, mail=box)
        portal.call(inner.aclose)


def wait_for(found: Callable[[], Any], seconds: float = 5) -> Any:
    """Poll until `found` gives something true."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        value = found()
        if value:
            return value
        time.sleep(0.01)
    raise AssertionError("what was waited for did not come")


def review_codes(bundle: Resource) -> dict[int, str]:
    """X12 review action code of each item of a response Bundle."""
    _, response = entry_of(bundle, "ClaimResponse")
    return {item["itemSequence"]: code_of(item["adjudication"][0]) for item in response.get("item", [])}


def code_of(adjudication: Resource) -> str:
    parts = adjudication["extension"][0]["extension"]
    found: str = next(
        part["valueCodeableConcept"]["coding"][0]["code"] for part in parts if part["url"].endswith("reviewActionCode")
    )
    return found


def part_of(adjudication: Resource, url: str) -> Any:
    """Value of a part of the review action: number or reasonCode."""
    for part in adjudication["extension"][0]["extension"]:
        if part["url"] == url:
            return next(value for key, value in part.items() if key.startswith("value"))
    return None


def value_of(notification: Resource, name: str) -> Any:
    """Value of a parameter of a notification's status."""
    for parameter in notification["entry"][0]["resource"]["parameter"]:
        if parameter["name"] == name:
            return next(value for key, value in parameter.items() if key.startswith("value"))
    return None


def event_of(notification: Resource) -> dict[str, Any]:
    """Parts of the first event, by name."""
    for parameter in notification["entry"][0]["resource"]["parameter"]:
        if parameter["name"] == "notification-event":
            return {p["name"]: next(v for k, v in p.items() if k.startswith("value")) for p in parameter["part"]}
    return {}


def bodies(case: Case) -> list[tuple[Resource, bytes, bytes]]:
    """(line, request, response) of every message in the ledger."""
    listed = case.client.get("/_ledger/messages").json()["messages"]
    return [(line, base64.b64decode(line["request"]), base64.b64decode(line["response"])) for line in listed]


def approved(**settings: Any) -> Resource:
    """A request Bundle that is approved at once."""
    return request_bundle("SYN-APPROVE-01", **settings)
