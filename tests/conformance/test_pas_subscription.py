"""Subscriptions and their notifications."""

from __future__ import annotations

import copy
import json
import tarfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import InputError
from gateway.profiles import pas_2_0_1
from gateway.profiles.pas_2_2_1 import build_subscription, read_notification, read_pas_answer
from tests import pas_answers as payer

BACKPORT = "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/"
FOCUS = "https://payer.example.org/Bundle/r1"


def status(*events: dict[str, Any], **values: Any) -> dict[str, Any]:
    listed = [{"name": "subscription", "valueReference": {"reference": "Subscription/s1"}}]
    listed += [{"name": name.replace("_", "-"), "valueCode": value} for name, value in values.items()]
    listed += [{"name": "notification-event", "part": part} for part in events]
    return {"resourceType": "Parameters", "parameter": listed}


def event(number: str, focus: str = FOCUS) -> list[dict[str, Any]]:
    return [
        {"name": "event-number", "valueString": number},
        {"name": "timestamp", "valueInstant": "2026-03-02T10:00:09Z"},
        {"name": "focus", "valueReference": {"reference": focus}},
    ]


def notification(head: dict[str, Any], *members: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    listed = [{"fullUrl": "urn:uuid:00000000-0000-4000-8000-000000000001", "resource": head}]
    listed += [{"fullUrl": url, "resource": resource} for url, resource in members]
    return {"resourceType": "Bundle", "type": "history", "entry": listed}


ANSWER = payer.answer({**payer.claim_response(payer.item(number="N1")), "id": "cr1"})


@pytest.mark.requirement("pas:spec-57")
@pytest.mark.requirement("pas:spec-58")
@pytest.mark.requirement("pas:spec-62")
def test_subscription_is_written_as_the_guide_says() -> None:
    built = build_subscription(
        "https://gw.example.org/notifications/t",
        ("CLINIC01", "CLINIC02"),
        ("Authorization: Bearer x",),
        end=datetime(2027, 1, 1, tzinfo=UTC),
        heartbeat_seconds=3600,
    )
    assert built["criteria"] == "http://hl7.org/fhir/us/davinci-pas/SubscriptionTopic/PASSubscriptionTopic"
    (criteria,) = built["_criteria"]["extension"]
    assert criteria == {"url": f"{BACKPORT}backport-filter-criteria", "valueString": "org-identifier=CLINIC01,CLINIC02"}
    channel = built["channel"]
    assert (channel["type"], channel["payload"]) == ("rest-hook", "application/fhir+json")
    (content,) = channel["_payload"]["extension"]
    assert content == {"url": f"{BACKPORT}backport-payload-content", "valueCode": "full-resource"}
    assert channel["header"] == ["Authorization: Bearer x"]
    assert built["end"] == "2027-01-01T00:00:00Z"


def test_endpoint_must_be_https() -> None:
    for plain in (False, True):
        with pytest.raises(InputError):
            build_subscription("http://gw.example.org/n", "X", plain_http=plain)
    loopback = build_subscription("http://127.0.0.1:8080/n", "X", plain_http=True)
    assert loopback["channel"]["endpoint"] == "http://127.0.0.1:8080/n"


def test_subscription_of_2_0_1_has_no_profile_and_the_topics_spelling() -> None:
    built = pas_2_0_1.build_subscription("https://gw.example.org/n", "CLINIC01")
    assert "meta" not in built
    assert built["_criteria"]["extension"][0]["valueString"] == "orgIdentifier=CLINIC01"


@pytest.mark.parametrize("kind", ["handshake", "heartbeat"])
@pytest.mark.parametrize("wrapped", [True, False])
def test_handshake_and_heartbeat_bring_no_event(kind: str, wrapped: bool) -> None:
    head = status(type=kind)
    message = read_notification(notification(head) if wrapped else head)
    assert (message.type, message.events, message.subscription) == (kind, (), "Subscription/s1")


SHAPES = [
    ("focus is the Bundle", FOCUS, ((FOCUS, ANSWER),)),
    ("focus is the ClaimResponse", payer.answer({})["entry"][0]["fullUrl"], ((FOCUS, ANSWER),)),
    ("focus leads nowhere", "Bundle/other", ((FOCUS, ANSWER),)),
    ("flattened", "ClaimResponse/cr1", (("https://p.example.org/ClaimResponse/cr1", ANSWER["entry"][0]["resource"]),)),
]


@pytest.mark.requirement("pas:spec-60")
@pytest.mark.requirement("pas:spec-61")
@pytest.mark.parametrize(("what", "focus", "members"), SHAPES, ids=[case[0] for case in SHAPES])
def test_response_bundle_is_found_in_every_shape(what: str, focus: str, members: Any) -> None:
    message = read_notification(notification(status(event("2", focus), type="event-notification"), *members))
    (found,) = message.events
    assert found.number == 2
    assert found.response_bundle is not None
    assert read_pas_answer(found.response_bundle).items[0].number == "N1"


def test_several_events_keep_their_own_bundles() -> None:
    second = copy.deepcopy(ANSWER)
    second["entry"][0]["resource"] = payer.claim_response(payer.item(number="N2"))
    other = "https://payer.example.org/Bundle/r2"
    head = status(event("2"), event("3", other), type="event-notification")
    message = read_notification(notification(head, (FOCUS, ANSWER), (other, second)))
    numbers = [read_pas_answer(e.response_bundle or {}).items[0].number for e in message.events]
    assert numbers == ["N1", "N2"]


def test_id_only_event_has_no_bundle() -> None:
    message = read_notification(notification(status(event("1", "ClaimResponse/9"), type="event-notification")))
    assert message.events[0].response_bundle is None
    assert message.events[0].focus == "ClaimResponse/9"


def test_missing_counters_are_noted_and_missing_type_is_concluded() -> None:
    message = read_notification(notification(status(event("1"))))
    assert message.type == "event-notification"
    assert message.events_since_start is None
    assert set(message.notes) == {"status missing", "events-since-subscription-start missing"}


def test_what_is_no_notification_is_refused() -> None:
    for body in ({}, {"resourceType": "Bundle"}, {"resourceType": "Parameters"}, {"resourceType": "Patient"}):
        with pytest.raises(InputError) as caught:
            read_notification(body)
        assert caught.value.reason == "pas.notification"


def test_published_notification_is_read(shared: Path) -> None:
    with tarfile.open(shared / "packages" / "hl7.fhir.us.davinci-pas-2.2.1.tgz") as package:
        body = package.extractfile("package/example/Bundle-PASSubscriptionNotification.json")
        assert body is not None
        message = read_notification(json.load(body))
    assert [event.number for event in message.events] == [2]
    assert read_pas_answer(message.events[0].response_bundle or {}).items[0].number == "AUTH0001"
