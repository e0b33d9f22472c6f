"""Our CDS services over real clients: the panel, the payer's word, dedup, feedback, and nothing that breaks an EHR."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from threading import Event
from time import monotonic, sleep
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
import structlog

from gateway.cases.facts import read_facts
from gateway.demo.charts import DemoChart, all_charts
from gateway.fhir.json import dump_json, parse_json
from gateway.flows.intercept import answer_hook
from gateway.flows.intercept_budget import Budget
from gateway.flows.intercept_house import house_of
from gateway.profiles.urls import COVERAGE_INFORMATION
from tests import cds_caller
from tests.flows_house import BASE, EHR_URL, NOW, House, open_house

pytestmark = pytest.mark.timeout(120)
CHARTS: dict[str, DemoChart] = {chart.chart_id: chart for chart in all_charts()}
GAP = "Prior authorization risk: conservative-care gap"
PANEL = (
    "M54.2 primary | day 21 of 42 (week 3 of 6) since symptom onset, no treatment start documented | "
    "no PT CPT codes on file | no structured NSAID order found | no NDI score documented | "
    "activity advice not documented"
    "\n\nRule: Unknown payer default-strict v0.1.0 (illustrative, not a payer policy), effective 2026-01-01"
)


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder: Path = tmp_path_factory.mktemp("cds")
    with open_house(folder, [chart.bundle for chart in CHARTS.values()]) as found:
        yield found


@pytest.fixture
def house(opened: House) -> House:
    """The house as on its first day: no case, no panel shown."""
    opened.clock.instant = NOW
    for wire in (opened.ehr, opened.payers):
        wire.seen.clear()
        wire.rules.clear()
    with opened.services.store.begin() as tx:
        for table in ("hook_tokens", "hook_panels", "hook_cards"):
            tx.connection.execute(sa.text(f"DELETE FROM {table}"))
        tx.connection.execute(sa.text("UPDATE cases SET order_key = case_id, is_open = 0, patient_reference = ''"))
    return opened


def call(house: House, body: Any, service: str = "order-sign", **more: Any) -> httpx.Response:
    """One call of a service by the registered EHR."""
    address = f"{BASE}/cds-services/{service}"
    headers = {
        "Authorization": f"Bearer {cds_caller.token(address, house.clock.now())}",
        "Content-Type": "application/json",
    }
    content = body if isinstance(body, bytes) else dump_json(body)
    return house.call("POST", f"/cds-services/{service}", by="", content=content, headers=headers | more)


def answered(house: House, body: Any, service: str = "order-sign") -> dict[str, Any]:
    """The answer to a call that has to be taken."""
    found = call(house, body, service)
    assert found.status_code == 200, found.text
    answer: dict[str, Any] = found.json()
    return answer


def feedback(house: House, *entries: Any, service: str = "order-sign") -> httpx.Response:
    address = f"{BASE}/cds-services/{service}/feedback"
    headers = {
        "Authorization": f"Bearer {cds_caller.token(address, house.clock.now())}",
        "Content-Type": "application/json",
    }
    return house.call(
        "POST", f"/cds-services/{service}/feedback", by="", json={"feedback": list(entries)}, headers=headers
    )


def hooked(name: str, service: str = "order-sign", *orders: Any, **changes: Any) -> dict[str, Any]:
    return cds_caller.hook(CHARTS[name], service, *orders, server=EHR_URL, **changes)


def open_ids(house: House) -> list[str]:
    with house.services.store.read() as tx:
        rows = tx.connection.execute(sa.text("SELECT case_id FROM cases WHERE patient_reference <> ''")).scalars()
        return list(rows)


def infos(action: dict[str, Any]) -> list[dict[str, Any]]:
    """coverage-information of an action, part by part."""
    found = [item for item in action["resource"]["extension"] if item["url"].endswith("ext-coverage-information")]
    return [
        {part["url"]: next(v for k, v in part.items() if k != "url") for part in item["extension"]} for item in found
    ]


def test_discovery_is_open_and_names_both_services(house: House) -> None:
    found = house.call("GET", "/cds-services", by="").json()["services"]
    assert [(item["hook"], item["id"]) for item in found] == [
        ("order-select", "order-select"),
        ("order-sign", "order-sign"),
    ]
    assert all(item["prefetch"]["coverage"] == "Coverage?patient={{context.patientId}}&status=active" for item in found)


def test_the_panel_is_shown_though_the_payers_word_cannot_be_read(house: House) -> None:
    """It counts as shown for a day, so it has to be shown."""
    answered(house, hooked("P02"))
    (case_id,) = open_ids(house)
    digest = house.facts(case_id).coverage_information
    with house.services.store.begin() as tx:
        tx.connection.execute(sa.text("DELETE FROM objects WHERE digest = :digest"), {"digest": digest})
    house.clock.instant += timedelta(hours=25)
    answer = answered(house, hooked("P02"))
    assert [card["summary"] for card in answer["cards"]] == [GAP]
    assert "systemActions" not in answer


def test_the_week_three_order_gets_the_panel_at_selection_and_nothing_is_written(house: House) -> None:
    answer = answered(house, hooked("P02", "order-select"), "order-select")
    (card,) = answer["cards"]
    assert (card["summary"], card["indicator"]) == (GAP, "warning")
    assert card["detail"].startswith(PANEL)
    assert card["detail"].count("\n- ") == 7
    assert [item["label"] for item in card["suggestions"]] == [
        "Document Red-Flag Exception",
        "Start Conservative-Care Timer",
        "Upgrade to M54.12 with Neuro Exam Template",
    ]
    assert "links" not in card
    assert "systemActions" not in answer
    assert open_ids(house) == []
    assert house.payers.seen == []


def test_at_signing_the_panel_leads_to_the_pages_and_the_payers_word_is_merged(house: House) -> None:
    order = cds_caller.order_of(CHARTS["P02"])
    answer = answered(house, hooked("P02", "order-sign", order))
    (card,), (action,) = answer["cards"], answer["systemActions"]
    (case_id,) = open_ids(house)
    assert card["detail"].startswith(PANEL)
    assert [link["url"] for link in card["links"]] == [
        f"{BASE}/cases/{case_id}/{page}" for page in ("red-flag", "timer", "neuro-exam")
    ]
    assert {link["type"] for link in card["links"]} == {"absolute"}
    assert [item["code"] for item in card["overrideReasons"]] == [
        "override-specialist-request",
        "override-patient-specific",
        "override-no-authorization",
        "override-outside-data",
        "override-other",
    ]
    for item in card["suggestions"]:
        (create,) = item["actions"]
        assert (create["type"], create["resource"]["status"]) == ("create", "draft")
    assert card["extension"]["davinci-crd.associated-resource"] == [CHARTS["P02"].order_reference]
    without = {name: value for name, value in action["resource"].items() if name != "extension"}
    assert (action["type"], without) == ("update", json.loads(dump_json(order)))
    (info,) = infos(action)
    assert (info["covered"], info["pa-needed"]) == ("covered", "auth-needed")
    case = house.case(case_id)
    assert (case.signed_at, case.state) == (None, "received")
    events = house.events(case_id)
    assert sorted(event.verb for event in events) == ["advice", "case-open", "order-entry", "payer-need"]
    assert {event.actor for event in events[:2]} == {"ehr:ehr"}
    shown = next(event for event in events if event.verb == "advice")
    assert parse_json(_object(house, case_id, shown.object_digest)) == card
    assert len(house.payers.sent("order-sign-coverage")) == 1


def test_the_cases_job_takes_over_what_the_hook_learned(house: House) -> None:
    answered(house, hooked("P02", "order-sign", cds_caller.unsaved(CHARTS["P02"])))
    (case_id,) = open_ids(house)
    house.work()
    assert house.case(case_id).state == "held"
    assert len(house.payers.sent("order-sign-coverage")) == 1, "the payer was asked a second time"
    assert house.case(case_id).signed_at is None


def test_the_same_panel_is_shown_once_a_day_and_once_with_links(house: House) -> None:
    def shown(service: str, name: str = "P02") -> int:
        return len(answered(house, hooked(name, service), service)["cards"])

    steps = [shown(service) for service in ("order-select", "order-select", "order-sign", "order-sign", "order-select")]
    assert steps == [1, 0, 1, 0, 0]
    assert shown("order-sign", "P03") == 1, "another patient's panel is another"
    assert shown("order-select", "P03") == 0
    house.clock.instant += timedelta(hours=24)
    assert shown("order-sign") == 1


@pytest.mark.threat("T17")
def test_nothing_that_is_remembered_of_a_panel_names_a_patient(house: House) -> None:
    answered(house, hooked("P02"))
    patient = CHARTS["P02"].patient_reference.partition("/")[2]
    with house.services.store.read() as tx:
        rows = [
            str(dict(row))
            for table in ("hook_tokens", "hook_panels", "hook_cards")
            for row in tx.connection.execute(sa.text(f"SELECT * FROM {table}")).mappings()
        ]
    assert len(rows) == 4
    assert not any(patient in row or CHARTS["P02"].order_reference in row for row in rows)


def test_a_full_prefetch_asks_the_ehr_for_nothing_and_says_the_same(house: House) -> None:
    body = hooked("P02")
    body["prefetch"] = cds_caller.prefetch(CHARTS["P02"], body)
    answer = answered(house, body)
    assert answer["cards"][0]["detail"].startswith(PANEL)
    assert len(answer["systemActions"]) == 1
    assert house.ehr.seen == []


@pytest.mark.parametrize(
    ("key", "value", "kind"),
    [
        ("observations", ..., "Observation"),
        ("procedures", {"resourceType": "OperationOutcome", "issue": []}, "Procedure"),
        (
            "conditions",
            {"resourceType": "Bundle", "link": [{"relation": "next", "url": "https://evil.example/x"}]},
            "Condition",
        ),
        ("coverage", "nonsense", "Coverage"),
        ("patient", None, "Patient"),
    ],
)
def test_only_what_did_not_come_whole_is_read(house: House, key: str, value: Any, kind: str) -> None:
    body = hooked("P02", "order-select")
    body["prefetch"] = cds_caller.prefetch(CHARTS["P02"], body) | {key: value}
    body["prefetch"] = {name: item for name, item in body["prefetch"].items() if item is not ...}
    assert answered(house, body, "order-select")["cards"][0]["detail"].startswith(PANEL)
    read = {httpx.URL(url).path.split("/fhir/")[1].split("/")[0] for _, url, _ in house.ehr.seen}
    assert kind in read
    assert read <= {kind, "PractitionerRole", "Practitioner", "Organization", "Location"}
    assert all(url.startswith(EHR_URL) for _, url, _ in house.ehr.seen)


@pytest.mark.threat("T1")
def test_the_token_of_the_call_goes_to_the_registered_ehr_alone_and_is_not_kept(house: House) -> None:
    seen: list[tuple[str, str]] = []

    def watch(request: httpx.Request) -> None:
        seen.append((str(request.url.host), request.headers.get("authorization", "")))

    house.ehr.rules.append(watch)
    house.payers.rules.append(watch)
    access = {
        "access_token": "canary-hook-token",
        "token_type": "Bearer",
        "expires_in": 30,
        "scope": "x",
        "subject": "y",
    }
    body = hooked("P02", fhirAuthorization=access)
    answered(house, body)
    with_token = {host for host, value in seen if "canary-hook-token" in value}
    assert with_token == {"127.0.0.1"}
    assert not any("canary-hook-token" in body.decode() for _, _, body in house.payers.seen)
    (case_id,) = open_ids(house)
    with house.services.store.read() as tx:
        bodies = [tx.objects.get("main", case_id, item.digest) for item in tx.objects.list("main", case_id)]
    kept = next(found for found in bodies if b'"fhirAuthorization":null' in found)
    assert kept == dump_json(body).replace(dump_json(access), b"null"), "all but the token is kept as it came"
    assert not any(b"canary-hook-token" in item for item in bodies)


@pytest.mark.threat("T1")
@pytest.mark.parametrize(
    "server",
    [
        "https://evil.example.org/fhir",
        EHR_URL.replace("127.0.0.1", "127.0.0.1.evil.example"),
        f"{EHR_URL}/../admin",
        f"{EHR_URL}x",
        "http://169.254.169.254/latest/meta-data",
        "file:///etc/passwd",
    ],
)
def test_another_fhir_server_is_refused_and_never_called(house: House, server: str) -> None:
    answer = call(house, hooked("P02") | {"fhirServer": server})
    assert answer.status_code == 422
    assert answer.json()["issue"][0]["details"]["coding"][0]["code"] == "hook.fhir-server"
    assert house.ehr.seen == house.payers.seen == []
    assert open_ids(house) == []


@pytest.mark.threat("T15")
def test_orders_and_records_of_another_patient_count_for_nothing(house: House) -> None:
    foreign = cds_caller.order_of(CHARTS["P01"])
    answer = call(house, hooked("P02", "order-sign", cds_caller.order_of(CHARTS["P02"]), foreign))
    assert (answer.status_code, answer.json()["issue"][0]["details"]["coding"][0]["code"]) == (
        422,
        "hook.patient-mismatch",
    )
    assert open_ids(house) == []
    body = hooked("P02", "order-select")
    own, other = (cds_caller.prefetch(CHARTS[name], hooked(name)) for name in ("P02", "P01"))
    body["prefetch"] = own | {key: other[key] for key in ("procedures", "medicationRequests", "questionnaireResponses")}
    assert answered(house, body, "order-select")["cards"][0]["detail"].startswith(PANEL)


@pytest.mark.threat("T9")
@pytest.mark.parametrize(
    "bad",
    [
        {"aud": f"{BASE}/cds-services/order-select"},
        {"aud": f"{BASE}/cds-services"},
        {"iss": "https://stranger.example.org"},
        {"exp": int(NOW.timestamp()) - 61, "iat": int(NOW.timestamp()) - 120},
        {"exp": int(NOW.timestamp()) + 3600},
        {"iat": None},
        {"jti": None},
        {"by": "foreign"},
        {"header": {"kid": "another"}},
        {"header": {"jku": "https://evil.example.org/jwks.json"}},
        {"header": {"typ": "at+jwt"}},
        {"header": {"alg": "none"}},
    ],
)
def test_a_token_that_does_not_prove_the_caller_is_refused(house: House, bad: dict[str, Any]) -> None:
    address = f"{BASE}/cds-services/order-sign"
    if bad.get("header", {}).get("alg") == "none":
        made = cds_caller.token(address, house.clock.now()).split(".")
        text = f"eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{made[1]}."
    else:
        text = cds_caller.token(address, house.clock.now(), **bad)
    answer = call(house, hooked("P02"), Authorization=f"Bearer {text}")
    assert answer.status_code == 401, answer.text
    assert "www-authenticate" in answer.headers
    assert open_ids(house) == []
    assert house.ehr.seen == []


@pytest.mark.threat("T9")
def test_a_token_is_good_for_one_call_whatever_the_body(house: House) -> None:
    address = f"{BASE}/cds-services/order-select"
    header = f"Bearer {cds_caller.token(address, house.clock.now())}"
    first = call(house, hooked("P02", "order-select"), "order-select", Authorization=header)
    again = call(house, hooked("P03", "order-select"), "order-select", Authorization=header)
    assert (first.status_code, again.status_code) == (200, 401)
    for value in ("", "Basic abc", f"Bearer {'x' * 9000}", "Bearer a.b.c", "Bearer"):
        assert call(house, hooked("P02"), Authorization=value).status_code == 401


def test_a_token_for_the_feedback_address_or_its_service_is_good_for_feedback(house: House) -> None:
    for audience in (f"{BASE}/cds-services/order-sign/feedback", f"{BASE}/cds-services/order-sign"):
        headers = {"Authorization": f"Bearer {cds_caller.token(audience, house.clock.now())}"}
        answer = house.call("POST", "/cds-services/order-sign/feedback", by="", json={"feedback": []}, headers=headers)
        assert (answer.status_code, answer.json()) == (200, {})
    headers = {"Authorization": f"Bearer {cds_caller.token(f'{BASE}/cds-services/order-select', house.clock.now())}"}
    answer = house.call("POST", "/cds-services/order-sign/feedback", by="", json={"feedback": []}, headers=headers)
    assert answer.status_code == 401


_DEEP = b'{"hook":' + b"[" * 5000 + b"]" * 5000 + b"}"


@pytest.mark.threat("T4")
@pytest.mark.parametrize(
    ("body", "statuses"),
    [
        (b"", {400}),
        (b"null", {400}),
        (b"[]", {400}),
        (b"{", {400}),
        (b"\xff\xfe", {400}),
        (b'"text"', {400}),
        (_DEEP, {400}),
        (b'{"hook":"order-sign","hook":"order-sign"}', {400}),
        (b'{"hook":"order-sign\\u0000"}', {400}),
        (b'{"hook":1e999999}', {400}),
        (dump_json(hooked("P02") | {"context": None}), {400}),
        (dump_json(hooked("P02") | {"hook": "patient-view"}), {400}),
        (dump_json(hooked("P02") | {"prefetch": []}), {200}),
        (
            dump_json(hooked("P02") | {"prefetch": {"patient": [1, {"a": None}], "observations": {"resourceType": 7}}}),
            {200},
        ),
        (dump_json(hooked("P02") | {"extension": {"davinci-crd.configuration": [1]}}), {200}),
        (
            dump_json(hooked("P02", "order-sign", {**cds_caller.order_of(CHARTS["P02"]), "code": 7, "insurance": "x"})),
            {200},
        ),
        (
            dump_json(
                hooked(
                    "P02",
                    "order-sign",
                    {**cds_caller.order_of(CHARTS["P02"]), "authoredOn": ["x"], "reasonReference": 1},
                )
            ),
            {200},
        ),
        (
            dump_json(hooked("P02", "order-sign", {**cds_caller.order_of(CHARTS["P02"]), "authoredOn": "9999-99-99"})),
            {200},
        ),
        (
            dump_json(
                hooked(
                    "P02", "order-sign", {**cds_caller.order_of(CHARTS["P02"]), "requester": {"reference": "Patient/x"}}
                )
            ),
            {200},
        ),
        (
            dump_json(
                hooked("P02", "order-sign", {**cds_caller.order_of(CHARTS["P02"]), "subject": {"reference": "#p"}})
            ),
            {422},
        ),
        (dump_json(hooked("P02", "order-sign", {**cds_caller.order_of(CHARTS["P02"]), "id": "../../x"})), {200}),
    ],
)
def test_no_body_brings_the_service_down(house: House, body: bytes, statuses: set[int]) -> None:
    answer = call(house, body)
    assert answer.status_code in statuses, answer.text
    if answer.status_code == 200:
        assert isinstance(answer.json()["cards"], list)
    else:
        assert answer.json()["resourceType"] == "OperationOutcome"


def test_other_addresses_and_media_types_are_told_so(house: House) -> None:
    assert call(house, hooked("P02"), "order-dispatch").status_code == 404
    assert call(house, hooked("P02"), **{"Content-Type": "text/plain"}).status_code == 415
    assert call(house, b" " * (9 * 1024 * 1024)).status_code == 413
    assert house.call("GET", "/cds-services/order-sign", by="").status_code == 405


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"[]", 400),
        (b"{}", 400),
        (b'{"feedback":7}', 400),
        (b'{"feedback":[7,{"card":{}},{"card":"x","outcome":[]}]}', 200),
    ],
)
def test_no_feedback_brings_the_service_down(house: House, body: bytes, status: int) -> None:
    address = f"{BASE}/cds-services/order-sign/feedback"
    headers = {
        "Authorization": f"Bearer {cds_caller.token(address, house.clock.now())}",
        "Content-Type": "application/json",
    }
    assert (
        house.call("POST", "/cds-services/order-sign/feedback", by="", content=body, headers=headers).status_code
        == status
    )


def test_what_a_clinician_does_with_a_card_is_an_event_of_the_case_once(house: House) -> None:
    (card,) = answered(house, hooked("P02"))["cards"]
    (case_id,) = open_ids(house)
    timer = next(item for item in card["suggestions"] if item["label"].startswith("Start"))
    entry = {
        "card": card["uuid"],
        "outcome": "accepted",
        "acceptedSuggestions": [{"id": timer["uuid"]}, {"id": "other"}],
    }
    assert feedback(house, entry, entry).status_code == 200
    assert feedback(house, entry).status_code == 200
    (event,) = [item for item in house.events(case_id) if item.verb == "advice-answer"]
    assert event.note == {"kind": "card", "action": "accepted", "reason": "timer", "stage": "order-sign"}
    assert event.actor == "ehr:ehr"


@pytest.mark.threat("T17")
def test_going_on_anyway_keeps_reason_and_words_and_holds_nothing_up(house: House) -> None:
    (card,) = answered(house, hooked("P02"))["cards"]
    (case_id,) = open_ids(house)
    words = "Canary Zzyxqa, seen by neurology"
    override = {"reason": {"code": "override-specialist-request", "system": "x"}, "userComment": words}
    with structlog.testing.capture_logs() as logs:
        feedback(house, {"card": card["uuid"], "outcome": "overridden", "overrideReason": override})
    (event,) = [item for item in house.events(case_id) if item.verb == "advice-answer"]
    assert (event.note["action"], event.note["reason"]) == ("overridden", "specialist-request")
    assert "Zzyxqa" not in str(event.note) + str(logs)
    kept = json.loads(_object(house, case_id, event.object_digest))
    assert kept["comment"] == words
    assert len(answered(house, hooked("P02"))["systemActions"]) == 1


def test_feedback_that_could_not_be_kept_is_taken_when_it_comes_again(house: House) -> None:
    (card,) = answered(house, hooked("P02"))["cards"]
    (case_id,) = open_ids(house)
    broken = "BEFORE INSERT ON events WHEN NEW.verb = 'advice-answer' BEGIN SELECT RAISE(ABORT, 'full'); END"
    with house.services.store.begin() as tx:
        tx.connection.execute(sa.text(f"CREATE TRIGGER no_answers {broken}"))
    entry = {"card": card["uuid"], "outcome": "overridden"}
    feedback(house, entry)
    with house.services.store.begin() as tx:
        tx.connection.execute(sa.text("DROP TRIGGER no_answers"))
    for _ in range(2):
        assert feedback(house, entry).status_code == 200
    assert [event.verb for event in house.events(case_id)].count("advice-answer") == 1


def test_feedback_on_cards_that_are_not_known_or_of_another_service_changes_nothing(house: House) -> None:
    (card,) = answered(house, hooked("P02"))["cards"]
    (case_id,) = open_ids(house)
    entry = {"card": card["uuid"], "outcome": "overridden"}
    stranger = {"card": "00000000-0000-4000-8000-000000000000", "outcome": "accepted"}
    assert feedback(house, entry, service="order-select").status_code == 200
    assert feedback(house, stranger).status_code == 200
    assert "advice-answer" not in [event.verb for event in house.events(case_id)]


def _object(house: House, case_id: str, digest: str) -> bytes:
    with house.services.store.read() as tx:
        return tx.objects.get("main", case_id, digest)


def test_feedback_on_a_card_of_no_case_is_kept_with_the_card(house: House) -> None:
    (card,) = answered(house, hooked("P02", "order-select"), "order-select")["cards"]
    feedback(house, {"card": card["uuid"], "outcome": "overridden"}, service="order-select")
    with house.services.store.read() as tx:
        found = tx.hooks.find_card("main", card["uuid"])
    assert found is not None
    assert (found.outcome, found.case_id) == ("overridden", "")


@pytest.mark.parametrize(
    ("name", "links"),
    [("P10", ["red-flag?category=RF4"]), ("P09", None), ("P01", None), ("P03", ["red-flag", "timer", "neuro-exam"])],
)
def test_a_red_flag_opens_its_template_and_a_pass_says_nothing(
    house: House, name: str, links: list[str] | None
) -> None:
    cards = answered(house, hooked(name))["cards"]
    assert [[link["url"].rpartition("/")[2] for link in card["links"]] for card in cards] == ([links] if links else [])
    if name == "P10":
        assert cards[0]["summary"] == "Red-flag exception: fields are missing"
        assert cards[0]["detail"].startswith("- A reason of the order raises a red-flag question.")


def test_an_order_out_of_scope_gets_no_card_and_one_without_code_is_told_to_get_one(house: House) -> None:
    drug = {
        "resourceType": "MedicationRequest",
        "id": "m1",
        "status": "draft",
        "intent": "order",
        "medicationCodeableConcept": {
            "coding": [{"system": "http://www.nlm.nih.gov/research/umls/rxnorm", "code": "198014"}]
        },
        "subject": {"reference": CHARTS["P02"].patient_reference},
        "requester": cds_caller.order_of(CHARTS["P02"])["requester"],
        "authoredOn": "2026-01-26",
    }
    answer = answered(house, hooked("P02", "order-sign", drug))
    assert answer["cards"] == []
    assert [action["resource"]["id"] for action in answer["systemActions"]] == ["m1"]
    uncoded = cds_caller.order_of(CHARTS["P02"], code={"text": "MR cervical spine please"})
    (card,) = answered(house, hooked("P02", "order-select", uncoded), "order-select")["cards"]
    assert card["indicator"] == "info"
    assert "CPT" in card["detail"]
    assert "suggestions" not in card


def test_a_complete_order_with_a_redundant_diagnosis_gets_that_remark_alone(house: House) -> None:
    rules = house.services.rules
    row = next(rule for rule in rules if rule.rule_id == "ill-ngs")
    payer = row.payer.model_copy(update={"kind": "default", "match": row.payer.match.model_copy(update={"states": ()})})
    house.services.rules = (row.model_copy(update={"payer": payer}),)
    own = cds_caller.order_of(CHARTS["P08"])
    icd = {"system": "http://hl7.org/fhir/sid/icd-10-cm"}
    both = [{"coding": [{**icd, "code": code}]} for code in ("M54.12", "M54.2")]
    try:
        assert answered(house, hooked("P08", "order-select"), "order-select")["cards"] == []
        body = hooked("P08", "order-select", {**own, "reasonCode": both})
        (card,) = answered(house, body, "order-select")["cards"]
        assert answered(house, body, "order-select")["cards"] == []
    finally:
        house.services.rules = rules
    assert (card["indicator"], card["summary"]) == ("info", "Two diagnoses of the order say the same")
    assert card["detail"] == "The symptom is part of the diagnosis that is listed beside it."
    assert not {"suggestions", "links", "overrideReasons"} & set(card)


def test_every_order_of_a_call_is_answered_and_a_selection_only_for_what_was_selected(house: House) -> None:
    first = cds_caller.order_of(CHARTS["P02"])
    second = cds_caller.order_of(
        CHARTS["P02"],
        id="second",
        identifier=...,
        code={"coding": [{"system": "http://www.ama-assn.org/go/cpt", "code": "72156"}]},
    )
    answer = answered(house, hooked("P02", "order-sign", first, second))
    assert len(answer["cards"]) == len(answer["systemActions"]) == len(open_ids(house)) == 2
    third = {
        **second,
        "id": "third",
        "code": {"coding": [{"system": "http://www.ama-assn.org/go/cpt", "code": "72142"}]},
    }
    body = hooked("P02", "order-select", first, third)
    body["context"]["selections"] = ["ServiceRequest/third"]
    (card,) = answered(house, body, "order-select")["cards"]
    assert card["extension"]["davinci-crd.associated-resource"] == ["ServiceRequest/third"]


@pytest.mark.parametrize(
    ("switches", "cards", "actions", "cases"),
    [
        ({"guideline": False}, 0, 1, 1),
        ({"coverage-info": False}, 1, 0, 1),
        ({"unsolicited-determ": False}, 1, 0, 0),
        ({"guideline": False, "unsolicited-determ": False}, 0, 0, 0),
        ({"whatever": False}, 1, 1, 1),
    ],
)
@pytest.mark.requirement("crd:found-35")
def test_what_the_ehr_switched_off_is_not_done(
    house: House, switches: Any, cards: int, actions: int, cases: int
) -> None:
    answer = answered(house, hooked("P02", extension={"davinci-crd.configuration": switches}))
    found = (len(answer["cards"]), len(answer.get("systemActions", ())), len(open_ids(house)))
    assert found == (cards, actions, cases)


def _direct(house: House, body: Any, budget: Budget) -> dict[str, Any]:
    caller = house_of(house.services).callers[0]
    return answer_hook(house.services, caller, body["hook"], body, dump_json(body), budget)


def test_an_ehr_that_is_too_slow_costs_what_it_holds_and_is_named(house: House) -> None:
    gate = Event()

    def slow(request: httpx.Request) -> None:
        if request.url.path.endswith(("/Observation", "/Procedure")):
            gate.wait(30)

    body = hooked("P02", "order-select")
    body["prefetch"] = cds_caller.prefetch(CHARTS["P02"], body)
    for key in ("observations", "procedures"):
        del body["prefetch"][key]
    house.ehr.rules.append(slow)
    (card,) = _direct(house, body, Budget(ehr_seconds=0.2))["cards"]
    gate.set()
    assert card["detail"].startswith(PANEL)
    assert card["detail"].endswith("Not read in time, so what they hold is not counted: Observation, Procedure.")


def test_an_ehr_that_fails_leaves_the_advice_that_prefetch_allows(house: House) -> None:
    house.ehr.rules.append(lambda request: httpx.Response(500, json={}))
    body = hooked("P02", "order-select")
    body["prefetch"] = cds_caller.prefetch(CHARTS["P02"], body)
    del body["prefetch"]["allergies"]
    (card,) = answered(house, body, "order-select")["cards"]
    assert "AllergyIntolerance" in card["detail"].rpartition("\n")[2]


def test_a_payer_that_is_too_slow_costs_its_word_only_and_is_heard_later(house: House) -> None:
    gate = Event()

    def slow(request: httpx.Request) -> None:
        if request.url.path.endswith("order-sign-coverage"):
            gate.wait(30)

    house.payers.rules.append(slow)
    answer = _direct(house, hooked("P02"), Budget(total_seconds=4.0))
    assert (len(answer["cards"]), "systemActions" in answer) == (1, False)
    (case_id,) = open_ids(house)
    assert not house.facts(case_id).need
    gate.set()
    until = monotonic() + 10
    while not house.facts(case_id).need and monotonic() < until:
        sleep(0.02)
    assert house.facts(case_id).coverage_information
    assert len(answered(house, hooked("P02"))["systemActions"]) == 1, "the next hook has it at once"


@pytest.mark.parametrize(
    "reply",
    [
        httpx.Response(500, json={}),
        httpx.Response(200, content=b"<html>", headers={"content-type": "text/html"}),
        httpx.Response(200, json={"cards": []}),
        httpx.Response(200, json=[]),
    ],
)
def test_a_payer_that_fails_costs_its_word_only(house: House, reply: httpx.Response) -> None:
    house.payers.rules.append(lambda request: reply if request.method == "POST" else None)
    answer = answered(house, hooked("P02"))
    assert (len(answer["cards"]), "systemActions" in answer) == (1, False)


@pytest.mark.requirement("crd:resp-37")
def test_a_payer_that_changes_the_order_is_not_passed_on(house: House) -> None:
    def alter(request: httpx.Request) -> httpx.Response | None:
        if not request.url.path.endswith("order-sign-coverage"):
            return None
        order = parse_json(request.content)["context"]["draftOrders"]["entry"][0]["resource"]
        action = {"type": "update", "resource": {**order, "priority": "stat", "extension": [_ASSERTED]}}
        return httpx.Response(200, content=dump_json({"cards": [], "systemActions": [action]}), headers=_IS_JSON)

    house.payers.rules.append(alter)
    answer = answered(house, hooked("P02"))
    assert (len(answer["cards"]), "systemActions" in answer) == (1, False)


_IS_JSON = {"content-type": "application/json"}
_ASSERTED = {
    "url": COVERAGE_INFORMATION,
    "extension": [
        {"url": "coverage", "valueReference": {"reference": CHARTS["P02"].coverage_reference}},
        {"url": "covered", "valueCode": "covered"},
        {"url": "pa-needed", "valueCode": "no-auth"},
        {"url": "date", "valueDate": "2026-03-02"},
        {"url": "coverage-assertion-id", "valueString": "a1"},
    ],
}


def test_the_payer_reads_what_the_hook_brought_and_nothing_clinical(house: House) -> None:
    found: list[int] = []

    def ask_back(request: httpx.Request) -> None:
        if not request.url.path.endswith("order-sign-coverage"):
            return
        body = parse_json(request.content)
        headers = {"Authorization": f"Bearer {body['fhirAuthorization']['access_token']}"}
        for path in (CHARTS["P02"].patient_reference, CHARTS["P02"].order_reference, "Observation?patient=x"):
            found.append(house.call("GET", f"/payer-fhir/{path}", by="", headers=headers).status_code)

    house.payers.rules.append(ask_back)
    answered(house, hooked("P02"))
    assert found[:2] == [200, 200]
    assert found[2] == 200


def test_the_hooks_encounter_decides_the_setting_of_a_draft_that_names_none(house: House) -> None:
    encounter = next(item for item in cds_caller.resources(CHARTS["P02"]) if item["resourceType"] == "Encounter")
    for code, cards in (("EMER", 0), ("AMB", 1)):
        body = hooked("P02", "order-select", cds_caller.order_of(CHARTS["P02"], encounter=...))
        body["context"]["encounterId"] = encounter["id"]
        body["prefetch"] = cds_caller.prefetch(CHARTS["P02"], body)
        visit = {**encounter, "class": {"code": code}}
        body["prefetch"]["encounters"] = {"resourceType": "Bundle", "entry": [{"resource": visit}]}
        assert len(answered(house, body, "order-select")["cards"]) == cards


def test_who_signs_stands_in_for_a_requester_that_a_draft_lacks(house: House) -> None:
    body = hooked("P02", "order-sign", cds_caller.unsaved(CHARTS["P02"], requester=...))
    person = cds_caller.order_of(CHARTS["P02"])["requester"]["reference"]
    body["context"]["userId"] = person
    answered(house, body)
    (sent,) = house.payers.sent("order-sign-coverage")
    assert parse_json(sent)["context"]["userId"] == person


def test_an_unknown_payer_leaves_the_advice_by_the_strict_rule_and_opens_no_case(house: House) -> None:
    body = hooked("P02")
    body["prefetch"] = cds_caller.prefetch(CHARTS["P02"], body)
    for entry in body["prefetch"]["organizations"]["entry"]:
        entry["resource"] = {**entry["resource"], "identifier": [{"system": "urn:x", "value": "nobody"}]}
    answer = answered(house, body)
    (card,) = answer["cards"]
    assert card["detail"].startswith(PANEL)
    assert "links" not in card
    assert open_ids(house) == []


def test_a_fault_of_ours_is_an_answer_without_cards(house: House) -> None:
    """Two rows that apply equally: nobody can say which, and the clinician signs all the same."""
    rules = house.services.rules
    twin = next(rule for rule in rules if rule.rule_id == "default-strict").model_copy(update={"rule_id": "twin"})
    house.services.rules = (*rules, twin)
    try:
        with structlog.testing.capture_logs() as logs:
            answer = answered(house, hooked("P02"))
    finally:
        house.services.rules = rules
    assert answer["cards"] == []
    assert len(answer["systemActions"]) == 1
    assert any(entry["event"] == "hook-order-not-judged" and entry["code"] == "rule.tie" for entry in logs)


def test_the_answer_to_a_repeated_hook_needs_no_second_question_to_the_payer(house: House) -> None:
    answered(house, hooked("P02"))
    answered(house, hooked("P02"))
    assert len(open_ids(house)) == 1
    assert len(house.payers.sent("order-sign-coverage")) == 1
    (case_id,) = open_ids(house)
    assert read_facts(house.case(case_id).facts).is_unsaved
