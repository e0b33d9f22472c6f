"""A patient's name, birth date and number go where they must, and into no log, error, note, argument or address."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog

from gateway.demo.charts import build_chart
from gateway.demo.charts_recipe import Person, scenario_recipe
from gateway.fhir.json import dump_json, parse_json
from gateway.fhir.reading import thaw
from gateway.logs import configure_logs
from tests import cds_caller
from tests.acceptance.posts import bundle, name_of
from tests.flows_house import BASE, House, open_house

pytestmark = pytest.mark.threat("T17")
FAMILY, GIVEN, NUMBER, BIRTH, STREET = "Zzyxqa", "Canary", "999-99-9999", "1949-12-01", "77 Canary Cage"
CANARIES = (FAMILY, GIVEN, NUMBER, NUMBER.replace("-", ""), BIRTH, STREET, "SYN-INFO-01")
"""What must not be found; the last is the member id."""


def _chart(scenario: str) -> list[Any]:
    """The resources of a demo scenario with the canary as patient, its number among the identifiers and in the text."""
    person = Person(family=FAMILY, given=GIVEN, gender="female", birth_date=BIRTH, line=STREET)
    chart = thaw(build_chart(replace(scenario_recipe(scenario), person=person)))
    for entry in chart["entry"]:
        resource = entry["resource"]
        if resource["resourceType"] == "Patient":
            resource["identifier"].append({"system": "http://hl7.org/fhir/sid/us-ssn", "value": NUMBER})
        if resource["resourceType"] in ("ServiceRequest", "Condition", "Observation"):
            resource["note"] = [{"text": f"{GIVEN} {FAMILY}, {NUMBER}, {BIRTH}, {STREET}"}]
    return [entry["resource"] for entry in chart["entry"]]


@dataclass
class Watched:
    """A house with everything that leaves it by other ways than messages and the database."""

    house: House
    resources: list[Any]
    printed: io.StringIO
    """Standard error: our own log."""
    logged: io.StringIO
    """What libraries logged, with arguments and tracebacks."""
    errors: list[httpx.Response]
    """Every answer of 400 and above."""

    def call(self, method: str, path: str, **more: Any) -> httpx.Response:
        answer = self.house.call(method, path, **more)
        if answer.status_code >= 400:
            self.errors.append(answer)
        return answer

    def post(self, body: Any, **headers: str) -> httpx.Response:
        answer = self.house.post(body, **headers)
        if answer.status_code >= 400:
            self.errors.append(answer)
        return answer

    def one(self, kind: str, **has: Any) -> Any:
        """The resource of a type with these elements."""
        fits = (r for r in self.resources if r["resourceType"] == kind and all(r.get(k) == v for k, v in has.items()))
        return thaw(next(fits))

    def order(self) -> Any:
        """The imaging order."""
        return next(r for r in map(thaw, self.resources) if r["resourceType"] == "ServiceRequest" and "insurance" in r)

    def require_silence(self) -> None:
        """No sink holds a canary."""
        self.house.work()
        sinks = {
            "log": self.printed.getvalue(),
            "library log": self.logged.getvalue(),
            "error bodies": "\n".join(f"{dict(answer.headers)} {answer.text}" for answer in self.errors),
            "job arguments": repr(self.house.jobs.arguments) + repr(self.house.jobs.failed),
            "addresses": "\n".join(url for wire in (self.house.ehr, self.house.payers) for _, url, _ in wire.seen),
            "notes": self._notes(),
        }
        for name, text in sinks.items():
            for canary in CANARIES:
                assert canary not in text, f"{canary} in {name}: …{text[max(text.find(canary) - 200, 0) :][:300]}…"

    def _notes(self) -> str:
        with self.house.services.store.read() as tx:
            from gateway.store import CaseFilter

            cases = tx.cases.list("main", CaseFilter(), limit=100)
            events = [event for case in cases for event in tx.events.list("main", case.case_id)]
        told = [f"{case.next_action} {case.facts}" for case in cases]
        return json.dumps([dict(event.note) for event in events]) + "\n".join(told)


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    printed, logged = io.StringIO(), io.StringIO()
    handler = logging.StreamHandler(logged)
    root, before = logging.getLogger(), structlog.get_config()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    configure_logs("debug")
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(file=printed))
    resources = _chart("pended-information")
    with open_house(tmp_path, [{"timestamp": "2026-02-20T10:00:00Z", **bundle(*resources)}]) as house:
        try:
            yield Watched(house=house, resources=resources, printed=printed, logged=logged, errors=[])
        finally:
            root.removeHandler(handler)
            root.setLevel(level)
            structlog.configure(**before)


def test_a_whole_order_with_everything_that_people_and_payers_do(watched: Watched) -> None:
    """Posted, asked about, prefilled, answered, sealed, sent, pended, asked for more, sent, decided, written back."""
    house = watched.house
    coverage = watched.one("Coverage", status="active")
    patient, order = watched.one("Patient"), watched.order()
    along = [r for r in watched.resources if r["resourceType"] == "Organization"]
    case = house.open_case(bundle(order, patient, coverage, *along))
    house.work()
    path = f"/cases/{case.case_id}"
    _fill_in_wrongly(watched, path)
    house.complete_forms(case.case_id, f"{GIVEN} {FAMILY}, {NUMBER}")
    house.work_on(case.case_id, lambda row: bool(house.facts(case.case_id).requests))
    (request,) = house.facts(case.case_id).requests
    documents = watched.call("GET", f"{path}/documents").json()["documents"]
    chosen = {"documents": [documents[-1]["reference"]]}
    watched.call("POST", f"{path}/requests/{request.control_number}", json=chosen)
    done = house.work_on(case.case_id, lambda row: row.state == "approved" and not _busy(house, case.case_id))
    assert done.authorization_number
    assert FAMILY in done.patient_label, "the canary did come along"
    assert any(FAMILY.encode() in body for body in house.payers.sent("Claim/$submit"))
    for refused in ("release", "inquire", "override", "cancel"):
        watched.call("POST", f"{path}/{refused}", json={"reason": "as agreed with the payer"})
        watched.call("POST", f"{path}/{refused}", json={"reason": FAMILY * 100})
        watched.call("POST", f"{path}/{refused}", json={FAMILY: NUMBER})
    watched.require_silence()


def _fill_in_wrongly(watched: Watched, path: str) -> None:
    """The canary in answers and questions that do not exist or do not fit."""
    for form in watched.call("GET", f"{path}/forms").json()["forms"]:
        address = f"{path}/forms/{form['form_id']}"
        for wrong in ({"answers": {FAMILY: [NUMBER]}}, {FAMILY: NUMBER}, {"answers": {NUMBER: FAMILY}}):
            assert watched.call("POST", f"{address}/answers", json=wrong).status_code in (400, 404, 422)
        for row in form["rows"]:
            watched.call("POST", f"{address}/answers", json={"answers": {row["link_id"]: [{"code": FAMILY}]}})


def _busy(house: House, case_id: str) -> bool:
    return bool(house.call("GET", f"/cases/{case_id}").json()["busy"])


def test_refused_bodies(watched: Watched) -> None:
    """Every text of an order replaced by the canary, in bodies that are refused for all kinds of reasons."""
    text = f"{GIVEN} {FAMILY} {NUMBER}"
    order, patient = watched.order(), watched.one("Patient")
    bodies: list[Any] = [
        text.encode(),
        f'{{"resourceType": "{text}"'.encode(),
        {"resourceType": text},
        {text: text},
        {"fhirServer": f"http://{FAMILY}/fhir", "order": f"ServiceRequest/{NUMBER}"},
        bundle(patient),
        {**order, "subject": {"reference": "Patient/nobody", "display": text}},
        {**order, "subject": {"reference": text}},
        {**order, "insurance": [{"reference": "Coverage/nothing", "display": text}]},
        {**order, "id": text},
        {**order, "status": "revoked", "note": [{"text": text}]},
    ]
    for element in order:
        bodies.append({**order, element: text})
        bodies.append({**order, element: {text: [text]}})
    bodies += [raw.replace(b'"ServiceRequest"', f'"{FAMILY}"'.encode()) for raw in map(dump_json, [order])]
    for body in bodies:
        answer = watched.post(body)
        assert answer.status_code in (202, 400, 422)
    for element in range(4):
        watched.post(order, **{"Idempotency-Key": f"key-{element % 2}", "X-Name": text})
    watched.post(f"<Patient><name value='{text}'/></Patient>".encode(), **{"Content-Type": "application/fhir+xml"})
    watched.post(f"<!DOCTYPE {FAMILY}><a/>".encode(), **{"Content-Type": "application/fhir+xml"})
    assert len(watched.errors) > 15
    watched.require_silence()


def test_addresses_and_secrets_with_a_name_in_them(watched: Watched) -> None:
    for method, path in (
        ("GET", f"/cases/{FAMILY}"),
        ("GET", f"/cases?state={FAMILY}&payer={FAMILY}&order={NUMBER}"),
        ("GET", f"/cases?limit={NUMBER}"),
        ("GET", f"/fhir/Patient?name={FAMILY}"),
        ("GET", f"/payer-fhir/Patient?name={FAMILY}"),
        ("POST", f"/notifications/{FAMILY}"),
        ("POST", f"/cases/{FAMILY}/forms/{NUMBER}/answers"),
        ("PATCH", f"/{FAMILY}"),
    ):
        watched.call(method, path, headers={"Authorization": f"Bearer {FAMILY}"})
        watched.call(method, path, json={"answers": {}})
    assert len(watched.errors) >= 12
    watched.require_silence()


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422, 429, 500, 503])
def test_partners_that_put_a_name_into_their_errors(watched: Watched, status: int) -> None:
    """The EHR's and the payer's OperationOutcomes repeat the patient; ours never do."""
    text = f"Patient {GIVEN} {FAMILY} {NUMBER} is not as it should be"
    issue = {"severity": "error", "code": "processing", "diagnostics": text, "details": {"text": text}}
    body = dump_json({"resourceType": "OperationOutcome", "issue": [issue]})
    headers = {"content-type": "application/fhir+json", "x-patient": text, "location": f"/Patient/{FAMILY}"}

    def fail(request: httpx.Request) -> httpx.Response | None:
        return httpx.Response(status, content=body, headers=headers)

    house, order = watched.house, watched.order()
    house.ehr.rules.append(fail)
    watched.post({"fhirServer": "http://127.0.0.1:9/fhir", "order": f"ServiceRequest/{order['id']}"})
    house.ehr.rules.clear()
    case = house.open_case({"fhirServer": "http://127.0.0.1:9/fhir", "order": f"ServiceRequest/{order['id']}"})
    house.payers.rules.append(fail)
    for _ in range(3):
        house.work()
        row = house.case(case.case_id)
        house.clock.instant = max(row.due_at or house.clock.now(), house.clock.now())
    assert house.case(case.case_id).state in ("checking", "needs_attention")
    house.payers.rules.clear()
    watched.require_silence()


def test_a_failure_that_nobody_expected(watched: Watched) -> None:
    """An error of a library with the name in its message becomes a number to look up, in the answer and in the log."""
    order = watched.order()

    def explode(request: httpx.Request) -> httpx.Response | None:
        raise KeyError(f"{GIVEN} {FAMILY} {NUMBER}")

    watched.house.ehr.rules.append(explode)
    answer = watched.post({"fhirServer": "http://127.0.0.1:9/fhir", "order": f"ServiceRequest/{order['id']}"})
    assert answer.status_code == 500
    told = parse_json(answer.content)["issue"][0]["diagnostics"]
    assert "correlation id" in told
    assert answer.headers["X-Correlation-ID"] in watched.printed.getvalue()
    assert "KeyError" in watched.printed.getvalue()
    watched.require_silence()


def test_the_canary_would_be_found(watched: Watched) -> None:
    """The watch itself works: a name that is logged fails the test."""
    logging.getLogger("some.library").error("read %s", FAMILY)
    with pytest.raises(AssertionError, match="library log"):
        watched.require_silence()
    assert name_of(watched.order()).startswith("ServiceRequest/")


def test_a_hook_answered_refused_and_fed_back(watched: Watched) -> None:
    """At selection and at signing, with what the EHR prefetched, and with everything that can be wrong in a call."""
    order = {**watched.order(), "status": "draft"}
    patient = watched.one("Patient")
    orders = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": order}]}
    context = {"userId": "Practitioner/x", "patientId": patient["id"], "draftOrders": orders}
    prefetch = {
        "patient": patient,
        "procedures": None,
        "observations": bundle(*[r for r in watched.resources if "note" in r]),
    }
    body = {"hook": "order-sign", "hookInstance": cds_caller.ISSUER, "context": context, "prefetch": prefetch}
    whole = body | {"hookInstance": "0b8e2d5e-6f0c-4f8e-9a55-3b1d6f1f2c11"}
    wrong = [body, whole | {"fhirServer": f"https://{FAMILY}.example.org"}, whole | {"hook": GIVEN}, [FAMILY]]
    wrong += [
        whole | {"context": context | {"patientId": FAMILY}},
        whole | {"context": context | {"patientId": f"{BIRTH}/"}},
    ]
    shown: list[int | str] = []
    for sent in (whole | {"hook": "order-select"}, whole, *wrong):
        service = "order-select" if isinstance(sent, dict) and sent["hook"] == "order-select" else "order-sign"
        answer = _hook(watched, service, sent)
        assert answer.status_code in (200, 400, 422)
        shown.append(answer.status_code)
        for card in answer.json().get("cards", ()) if answer.status_code == 200 else ():
            shown.append(card["summary"])
            assert not [canary for canary in CANARIES if canary in json.dumps(card)], "a card names the patient"
            comment = {"reason": {"code": "override-other"}, "userComment": f"{GIVEN} {FAMILY} {NUMBER}"}
            entry = {"card": card["uuid"], "outcome": "overridden", "overrideReason": comment}
            assert _hook(watched, f"{service}/feedback", {"feedback": [entry]}).status_code == 200
    assert sum(isinstance(item, str) for item in shown) == 2
    watched.require_silence()


def _hook(watched: Watched, path: str, body: Any) -> httpx.Response:
    address = f"{BASE}/cds-services/{path}"
    headers = {"Authorization": f"Bearer {cds_caller.token(address, watched.house.clock.now())}"}
    headers["Content-Type"] = "application/json"
    return watched.call("POST", f"/cds-services/{path}", by="", content=dump_json(body), headers=headers)
