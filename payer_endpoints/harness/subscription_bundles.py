"""Subscriptions on the wire, backport 1.1.0 on R4: checks of what is sent, status and notification Bundles. Pure.

In R4 the status is a Parameters resource, event numbers and counts are strings, and every entry of a history Bundle has
`request` and `response` (bdl-3). Source: spec/pas.md §10.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

from gateway.fhir import Json
from payer_endpoints.harness import names
from payer_endpoints.harness.answers import instant
from payer_endpoints.harness.guides import Guide
from payer_endpoints.harness.outcomes import Issue
from payer_endpoints.harness.reading import as_object, as_objects, as_text, at, entries, extension, extensions, type_of

LOOPBACK = ("127.0.0.1", "localhost", "::1")
FILTERS = ("org-identifier", "orgIdentifier")
"""The guide's text says the first, its topic definition the second (and 2.0.1 has only that)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One thing that happened for a subscription."""

    number: int
    at: str
    """Instant."""
    answer: bytes
    """The response Bundle."""
    url: str
    """fullUrl of the response Bundle in every notification of this event."""


def check_subscription(resource: Json, guide: Guide) -> Iterator[Issue]:
    """Everything wrong with a Subscription sent to us."""
    if type_of(resource) != "Subscription":
        yield Issue(text="The body must be a Subscription.", code="structure", at="Subscription")
        return
    if resource.get("status") != "requested":
        yield Issue(text="A subscription is sent with status `requested`.", at="Subscription.status")
    if not as_text(resource.get("reason")):
        yield Issue(text="Subscription.reason is required.", at="Subscription.reason", code="required")
    if resource.get("criteria") != names.PAS_TOPIC:
        yield Issue(text="criteria must be the PAS topic.", at="Subscription.criteria", code="not-supported")
    if not org_identifiers(resource):
        text = "A filter org-identifier=<id>[,<id>] without blanks is required."
        yield Issue(text=text, at="Subscription.criteria.extension", source="spec-58")
    yield from _check_channel(as_object(resource.get("channel")), guide)


def _check_channel(channel: Json, guide: Guide) -> Iterator[Issue]:
    if channel.get("type") != "rest-hook":
        yield Issue(text="channel.type must be rest-hook.", at="Subscription.channel.type", source="spec-56")
    endpoint = urlsplit(as_text(channel.get("endpoint")))
    if endpoint.scheme not in ("https", "http") or not endpoint.hostname:
        yield Issue(text="channel.endpoint must be an https url.", at="Subscription.channel.endpoint")
    elif endpoint.scheme == "http" and endpoint.hostname not in LOOPBACK:
        text = "channel.endpoint is plain http; a real payer refuses it."
        yield Issue(text=text, at="Subscription.channel.endpoint", severity="warning")
    if as_text(channel.get("payload")).split(";")[0] != names.FHIR_JSON:
        yield Issue(text="channel.payload must be application/fhir+json.", at="Subscription.channel.payload")
    content = extension(channel.get("_payload"), names.BACKPORT + "backport-payload-content")
    allowed = ("full-resource",) if guide is Guide.STU2_2 else ("full-resource", "id-only")
    if as_text(at(content, "valueCode")) not in allowed:
        text = f"The payload content must be {' or '.join(allowed)}."
        yield Issue(text=text, at="Subscription.channel.payload", source="spec-62")
    headers = channel.get("header", [])
    if not isinstance(headers, list) or any(":" not in as_text(header) for header in headers):
        yield Issue(text="channel.header is a list of `Name: value`.", at="Subscription.channel.header")


def org_identifiers(resource: Json) -> list[str]:
    """The organization ids a subscription filters on."""
    found = []
    for filtered in extensions(resource.get("_criteria"), names.BACKPORT + "backport-filter-criteria"):
        name, _, values = as_text(filtered.get("valueString")).partition("=")
        if name.rpartition("?")[2] in FILTERS:
            found += [value for value in values.split(",") if value and value == value.strip()]
    return found


def is_id_only(resource: Json) -> bool:
    """Whether notifications carry no resources."""
    content = extension(at(resource, "channel", "_payload"), names.BACKPORT + "backport-payload-content")
    return as_text(at(content, "valueCode")) == "id-only"


def heartbeat_seconds(resource: Json) -> int:
    """The heartbeat period asked for, 0 where none is."""
    found = extension(resource.get("channel"), names.BACKPORT + "backport-heartbeat-period")
    value = at(found, "valueUnsignedInt")
    return value if isinstance(value, int) else 0


def status_parameters(
    url: str, kind: str, status: str, count: int, events: Sequence[Event] = (), topic: str = names.PAS_TOPIC
) -> dict[str, Any]:
    """The status Parameters; `url` is the Subscription's."""
    parameters: list[dict[str, Any]] = [
        {"name": "subscription", "valueReference": {"reference": url}},
        {"name": "topic", "valueCanonical": topic},
        {"name": "status", "valueCode": status},
        {"name": "type", "valueCode": kind},
        {"name": "events-since-subscription-start", "valueString": str(count)},
    ]
    parameters += [{"name": "notification-event", "part": _event_parts(event)} for event in events]
    return {
        "resourceType": "Parameters",
        "meta": {"profile": [names.BACKPORT + "backport-subscription-status-r4"]},
        "parameter": parameters,
    }


def _event_parts(event: Event) -> list[dict[str, Any]]:
    return [
        {"name": "event-number", "valueString": str(event.number)},
        {"name": "timestamp", "valueInstant": event.at},
        {"name": "focus", "valueReference": {"reference": event.url}},
    ]


def notification(status: Json, url: str, now: datetime, bodies: Sequence[tuple[str, Json]] = ()) -> dict[str, Any]:
    """A notification: status first, then the full resource of each event."""
    listed = [_entry(f"urn:uuid:{uuid4()}", status, f"{url}/$status")]
    listed += [_entry(full_url, body, f"Bundle/{full_url.rpartition(':')[2]}") for full_url, body in bodies]
    return {
        "resourceType": "Bundle",
        "meta": {"profile": [names.BACKPORT + "backport-subscription-notification-r4"]},
        "type": "history",
        "timestamp": instant(now),
        "entry": listed,
    }


def only_ids(message: dict[str, Any], base: str) -> dict[str, Any]:
    """The same notification without resources: focus is a ClaimResponse, to be asked for by inquiry (2.0.1)."""
    status, *bodies = message["entry"]
    urls = [f"{base}/ClaimResponse/{entry['fullUrl'].rpartition(':')[2]}" for entry in bodies]
    parts = [parameter["part"] for parameter in status["resource"]["parameter"] if "part" in parameter]
    for part, url in zip((part for listed in parts for part in listed if part["name"] == "focus"), urls, strict=False):
        as_focus(part, url)
    without = [{**entry, "fullUrl": url} for entry, url in zip(bodies, urls, strict=True)]
    return {**message, "entry": [status, *({k: v for k, v in e.items() if k != "resource"} for e in without)]}


def flattened(message: dict[str, Any]) -> dict[str, Any]:
    """The same notification as some payers send it: the response's resources stand beside the status."""
    status, *bodies = message["entry"]
    inner = [pair for entry in bodies for pair in entries(entry["resource"])]
    focus = next((url for url, resource in inner if type_of(resource) == "ClaimResponse"), "")
    for parameter in as_objects(status["resource"]["parameter"]):
        for part in as_objects(parameter.get("part")):
            if part.get("name") == "focus":
                as_focus(part, focus)
    return {**message, "entry": [status, *(_entry(url, resource, url) for url, resource in inner)]}


def as_focus(part: Any, url: str) -> None:
    """Point a focus part elsewhere."""
    part["valueReference"] = {"reference": url}


def status_bundle(status: Json) -> dict[str, Any]:
    """Answer of `$status`: a searchset of status Parameters."""
    entry = {"fullUrl": f"urn:uuid:{uuid4()}", "resource": status, "search": {"mode": "match"}}
    return {"resourceType": "Bundle", "type": "searchset", "total": 1, "entry": [entry]}


def _entry(full_url: str, resource: Json, request_url: str) -> dict[str, Any]:
    return {
        "fullUrl": full_url,
        "resource": resource,
        "request": {"method": "GET", "url": request_url},
        "response": {"status": "200"},
    }
