"""Subscriptions of the simulated payers: handshake, events, redelivery, faults."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from payer_endpoints.harness.faults import NotificationFault
from tests.harness_case import ENDPOINT, Case, MailBox, event_of, running, value_of, wait_for
from tests.harness_messages import BACKPORT, TOPIC, Resource, request_bundle, subscription

PATH = "/example-medicare/fhir/Subscription"


@pytest.fixture
def case() -> Iterator[Case]:
    with running() as found:
        yield found


def status_of(case: Case, key: str) -> str:
    found: str = case.client.get(f"{PATH}/{key}", headers={"Authorization": "Bearer test-token"}).json()["status"]
    return found


def pend(case: Case, count: int = 1) -> None:
    for _ in range(count):
        assert case.submit(request_bundle("SYN-PEND-06")).status_code == 200


@pytest.mark.requirement("pas:spec-54")
def test_a_subscription_is_greeted_and_becomes_active(case: Case) -> None:
    created = case.subscribe()
    assert created["status"] == "requested"
    wait_for(lambda: status_of(case, created["id"]) == "active")
    (headers, body), *_ = case.mail.received
    assert headers["x-secret"] == "s3cret"
    assert headers["content-type"] == "application/fhir+json"
    assert (body["type"], value_of(body, "type"), value_of(body, "topic")) == ("history", "handshake", TOPIC)
    assert value_of(body, "events-since-subscription-start") == "0"
    assert all("request" in entry and "response" in entry for entry in body["entry"])


@pytest.mark.requirement("pas:spec-58")
@pytest.mark.parametrize("name", ["org-identifier", "orgIdentifier"])
def test_an_event_carries_the_whole_response_bundle(case: Case, name: str) -> None:
    case.subscribe(name=name)
    pend(case, 2)
    first, second = wait_for(lambda: case.mail.events() if len(case.mail.events()) == 2 else None)
    for number, message in (("1", first), ("2", second)):
        assert event_of(message)["event-number"] == number
        assert value_of(message, "events-since-subscription-start") == number
        body = message["entry"][1]
        assert event_of(message)["focus"] == {"reference": body["fullUrl"]}
        assert body["resource"]["meta"]["profile"][0].endswith("profile-pas-response-bundle")


def test_another_organization_hears_nothing(case: Case) -> None:
    body = subscription(ENDPOINT)
    body["_criteria"]["extension"][0]["valueString"] = "org-identifier=OTHER,CLINIC99"
    created = case.post(PATH, body).json()
    wait_for(lambda: status_of(case, created["id"]) == "active")
    pend(case)
    wait_for(lambda: not case.harness.book.of_member("example-medicare", "SYN-PEND-06")[0].is_pended)
    assert case.mail.events() == []


def test_the_requestors_npi_is_an_organization_id_too(case: Case) -> None:
    body = subscription(ENDPOINT)
    body["_criteria"]["extension"][0]["valueString"] = "org-identifier=OTHER,1234567893"
    case.post(PATH, body)
    pend(case)
    wait_for(case.mail.events)


def test_an_endpoint_that_is_away_for_a_while_gets_its_event() -> None:
    mail = MailBox()
    with running(mail) as case:
        created = case.subscribe()
        wait_for(lambda: status_of(case, created["id"]) == "active")
        mail.statuses = [0, 503, 500, 404]
        pend(case)
        wait_for(mail.events)
        assert status_of(case, created["id"]) == "active"
        assert len(mail.events()) == 1


def test_an_endpoint_that_stays_away_turns_the_subscription_to_error() -> None:
    mail = MailBox(statuses=[500] * 50)
    with running(mail, delivery_seconds=0.05) as case:
        created = case.subscribe()
        wait_for(lambda: status_of(case, created["id"]) == "error")
        pend(case)
        wait_for(lambda: not case.harness.book.of_member("example-medicare", "SYN-PEND-06")[0].is_pended)
        mail.statuses.clear()
        renewed = case.client.request(
            "PUT",
            f"{PATH}/{created['id']}",
            json=subscription(ENDPOINT),
            headers={"Authorization": "Bearer test-token"},
        )
        assert renewed.status_code == 200
        wait_for(lambda: status_of(case, created["id"]) == "active")
        assert mail.events() == []
        events = case.client.get(
            f"{PATH}/{created['id']}/$events?eventsSinceNumber=1", headers={"Authorization": "Bearer test-token"}
        ).json()
        assert event_of(events)["event-number"] == "1"
        assert events["entry"][1]["resource"]["resourceType"] == "Bundle"


def test_the_status_operation_tells_state_and_count(case: Case) -> None:
    created = case.subscribe()
    pend(case)
    wait_for(case.mail.events)
    found = case.client.get(f"{PATH}/{created['id']}/$status", headers={"Authorization": "Bearer test-token"}).json()
    assert found["type"] == "searchset"
    assert value_of(found, "type") == "query-status"
    assert value_of(found, "status") == "active"
    assert value_of(found, "events-since-subscription-start") == "1"


def test_deleted_is_gone(case: Case) -> None:
    created = case.subscribe()
    headers = {"Authorization": "Bearer test-token"}
    assert case.client.request("DELETE", f"{PATH}/{created['id']}", headers=headers).status_code == 204
    assert case.client.get(f"{PATH}/{created['id']}", headers=headers).status_code == 404
    assert case.client.request("DELETE", f"{PATH}/{created['id']}", headers=headers).status_code == 404


def test_a_heartbeat_comes_where_it_is_asked_for(case: Case) -> None:
    body = subscription(ENDPOINT)
    body["channel"]["extension"] = [{"url": f"{BACKPORT}backport-heartbeat-period", "valueUnsignedInt": 1}]
    case.post(PATH, body)
    (beat, *_) = wait_for(lambda: case.mail.of_type("heartbeat"))
    assert len(beat["entry"]) == 1
    assert value_of(beat, "events-since-subscription-start") == "0"


def _change_url(body: Resource, key: str, value: Any) -> None:
    body["channel"][key] = value


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("no Subscription", lambda b: b.update(resourceType="Basic")),
        ("active already", lambda b: b.update(status="active")),
        ("no reason", lambda b: b.pop("reason")),
        ("another topic", lambda b: b.update(criteria="http://example.org/topic")),
        ("no filter", lambda b: b.pop("_criteria")),
        ("filter with blanks", lambda b: b["_criteria"]["extension"][0].update(valueString="org-identifier= A, B")),
        ("websocket", lambda b: _change_url(b, "type", "websocket")),
        ("no endpoint", lambda b: b["channel"].pop("endpoint")),
        ("file endpoint", lambda b: _change_url(b, "endpoint", "file:///etc/passwd")),
        ("another payload", lambda b: _change_url(b, "payload", "text/plain")),
        ("id-only", lambda b: b["channel"]["_payload"]["extension"][0].update(valueCode="id-only")),
        ("headers no list", lambda b: _change_url(b, "header", "X: y")),
        ("no channel", lambda b: b.update(channel=5)),
    ],
)
def test_a_bad_subscription_is_refused(case: Case, name: str, change: Any) -> None:
    body = subscription(ENDPOINT)
    change(body)
    assert case.post(PATH, body).status_code == 422, name


@pytest.mark.parametrize(
    ("fault", "check"),
    [
        ({"duplicate": True}, lambda box: [event_of(m)["event-number"] for m in box] == ["1", "1", "2", "2"]),
        ({"without_status": True}, lambda box: len(box) == 2 and value_of(box[0], "status") is None),
        ({"skip_numbers": True}, lambda box: [event_of(m)["event-number"] for m in box] == ["2", "4"]),
        ({"wrong_topic": True}, lambda box: len(box) == 2 and value_of(box[0], "topic") != TOPIC),
        (
            {"flattened": True},
            lambda box: len(box) == 2 and box[0]["entry"][1]["resource"]["resourceType"] == "ClaimResponse",
        ),
    ],
)
def test_notifications_go_wrong_as_ordered(case: Case, fault: dict[str, bool], check: Any) -> None:
    case.subscribe()
    case.fault(payer="example-medicare", operation="notification", notification=fault)
    pend(case, 2)
    wait_for(lambda: check(case.mail.events()))


def test_events_that_waited_can_come_newest_first() -> None:
    mail = MailBox()
    with running(mail) as case:
        created = case.subscribe()
        wait_for(lambda: status_of(case, created["id"]) == "active")
        case.harness.faults.notification["*"] = NotificationFault(out_of_order=True)
        mail.statuses = [503] * 12
        pend(case, 3)
        wait_for(lambda: len(mail.events()) == 3)
        numbers = [event_of(message)["event-number"] for message in mail.events()]
        assert numbers != sorted(numbers)
