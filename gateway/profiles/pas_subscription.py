"""Subscriptions to a payer's decisions, and the notifications they bring.

Written exactly as PAS 2.2.1 with R5 Backport for R4 wants it; read in the R4 Parameters form, in the
R4B SubscriptionStatus form (noted), bare or inside a Bundle, with or without status, counters and
nesting (spec/pas.md §10, field cases B91 and B101).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from gateway.errors import InputError
from gateway.fhir import Json
from gateway.fhir.bundle import BundleIndex, entries, resources
from gateway.fhir.extensions import build_extension
from gateway.fhir.instants import write_instant
from gateway.fhir.parameters import parameter_value, parameters
from gateway.fhir.reading import objects, one, text, whole_number
from gateway.fhir.references import reference_text
from gateway.profiles.urls import PAS_TOPIC, backport, pas

HEARTBEAT = "heartbeat"
HANDSHAKE = "handshake"
EVENT = "event-notification"
_EVENT_TYPES = frozenset({EVENT, "query-event"})
WRONG_VERSION = "a SubscriptionStatus of R4B came in an R4 exchange; read like the Parameters form"


@dataclass(frozen=True, slots=True, kw_only=True)
class NotificationEvent:
    """One event of a notification."""

    number: int | None
    """Event number of the subscription; None when the payer left it out."""
    timestamp: str = ""
    """When it happened, as it came."""
    focus: str = ""
    """Reference to what it is about: the response Bundle's fullUrl, or a ClaimResponse."""
    response_bundle: Json | None = None
    """The response Bundle; None when only an id came and the payer must be asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotificationMessage:
    """A notification, whatever form it came in."""

    type: str
    """handshake, heartbeat, event-notification, query-status or query-event."""
    subscription: str = ""
    """Reference to the Subscription."""
    topic: str = ""
    """Canonical of the topic."""
    status: str = ""
    """Status of the subscription; empty when left out."""
    events_since_start: int | None = None
    """Events since the subscription began; None when left out. A jump tells of lost events."""
    events: tuple[NotificationEvent, ...] = ()
    """Events in order; empty for handshake and heartbeat."""
    errors: tuple[str, ...] = ()
    """Error codes of the status."""
    notes: tuple[str, ...] = field(default=())
    """What was odd about its form."""


def build_subscription(
    endpoint: str,
    org_identifier: str | tuple[str, ...],
    header: tuple[str, ...] = (),
    reason: str = "Decisions on prior authorizations of this organization.",
    end: datetime | None = None,
    *,
    heartbeat_seconds: int | None = None,
    filter_name: str = "org-identifier",
    payload_content: str = "full-resource",
    plain_http: bool = False,
) -> dict[str, Any]:
    """The Subscription of one sending system at one payer.

    `org_identifier` is the sender id (or ids) of the transmissions, `header` whole lines such as
    `Authorization: Bearer …`, `end` aware. `filter_name` covers payers that follow the topic's spelling
    `orgIdentifier`; the narrative's SHALL is the default (pas:spec-58). `InputError` unless https; with
    `plain_http` a loopback http address passes too, for demonstrations on one machine.
    """
    on_loopback = plain_http and endpoint.startswith(("http://127.0.0.1:", "http://localhost:", "http://[::1]:"))
    if not endpoint.startswith("https://") and not on_loopback:
        raise InputError("The notification endpoint must be an https address.", code="pas.subscription-endpoint")
    identifiers = (org_identifier,) if isinstance(org_identifier, str) else org_identifier
    return {
        "resourceType": "Subscription",
        "meta": {"profile": [pas("profile-subscription")]},
        "status": "requested",
        **({"end": write_instant(end)} if end else {}),
        "reason": reason,
        "criteria": PAS_TOPIC,
        "_criteria": {
            "extension": [
                build_extension(
                    backport("backport-filter-criteria"), "String", f"{filter_name}={','.join(identifiers)}"
                )
            ]
        },
        "channel": _channel(endpoint, header, heartbeat_seconds, payload_content),
    }


def read_notification(body: Json) -> NotificationMessage:
    """Read a notification POST.

    `InputError` (`pas.notification`) when there is no status part in it at all; every other gap is
    tolerated, and its type is then concluded from what is there.
    """
    bundle = body if body.get("resourceType") == "Bundle" else {"resourceType": "Bundle", "entry": [{"resource": body}]}
    status = _status_of(bundle)
    if status.get("resourceType") == "SubscriptionStatus":
        return _from_r4b(bundle, status)
    return _from_parameters(bundle, status)


def _channel(endpoint: str, header: tuple[str, ...], heartbeat: int | None, content: str) -> dict[str, Any]:
    channel: dict[str, Any] = {}
    if heartbeat is not None:
        channel["extension"] = [build_extension(backport("backport-heartbeat-period"), "UnsignedInt", heartbeat)]
    channel |= {"type": "rest-hook", "endpoint": endpoint, "payload": "application/fhir+json"}
    channel["_payload"] = {"extension": [build_extension(backport("backport-payload-content"), "Code", content)]}
    return {**channel, "header": list(header)} if header else channel


def _status_of(bundle: Json) -> Json:
    for entry in entries(bundle):
        kind = entry.resource.get("resourceType")
        if kind == "SubscriptionStatus" or (kind == "Parameters" and _is_status(entry.resource)):
            return entry.resource
    raise InputError("This is no subscription notification: it has no status part.", code="pas.notification")


def _is_status(resource: Json) -> bool:
    return bool(parameters(resource, "subscription") or parameters(resource, "notification-event"))


def _from_parameters(bundle: Json, status: Json) -> NotificationMessage:
    listed = parameters(status, "notification-event")
    events = tuple(
        _event(
            bundle,
            whole_number(parameter_value(event, "event-number")),
            text(parameter_value(event, "timestamp")),
            reference_text(parameter_value(event, "focus")),
            len(listed),
        )
        for event in listed
    )
    missing = [name for name in ("status", "events-since-subscription-start") if not parameters(status, name)]
    return NotificationMessage(
        type=text(parameter_value(status, "type")) or (EVENT if events else HEARTBEAT),
        subscription=reference_text(parameter_value(status, "subscription")),
        topic=text(parameter_value(status, "topic")),
        status=text(parameter_value(status, "status")),
        events_since_start=whole_number(parameter_value(status, "events-since-subscription-start")),
        events=events,
        errors=_error_codes([parameter_value(status, "error")]),
        notes=tuple(f"{name} missing" for name in missing),
    )


def _from_r4b(bundle: Json, status: Json) -> NotificationMessage:
    listed = objects(status.get("notificationEvent"))
    events = tuple(
        _event(
            bundle,
            whole_number(event.get("eventNumber")),
            text(event.get("timestamp")),
            reference_text(event.get("focus")),
            len(listed),
        )
        for event in listed
    )
    return NotificationMessage(
        type=text(status.get("type")) or (EVENT if events else HEARTBEAT),
        subscription=reference_text(status.get("subscription")),
        topic=text(status.get("topic")),
        status=text(status.get("status")),
        events_since_start=whole_number(status.get("eventsSinceSubscriptionStart")),
        events=events,
        errors=_error_codes(status.get("error")),
        notes=(WRONG_VERSION,),
    )


def _event(bundle: Json, number: int | None, timestamp: str, focus: str, siblings: int) -> NotificationEvent:
    found = _response_bundle(bundle, focus, siblings)
    return NotificationEvent(number=number, timestamp=timestamp, focus=focus, response_bundle=found)


def _response_bundle(bundle: Json, focus: str, siblings: int) -> Json | None:
    """The response Bundle an event is about, in the four shapes seen.

    (1) focus is an entry that is the Bundle; (2) focus is a ClaimResponse inside one of the nested
    Bundles; (3) a single event and a single nested Bundle, focus wrong; (4) everything flattened into
    the notification, where the notification itself serves as the Bundle.
    """
    target = BundleIndex(bundle).resolve_loosely(focus) if focus else None
    if target is not None and target.get("resourceType") == "Bundle":  # (1)
        return target
    nested = resources(bundle, "Bundle")
    holding = [item for item in nested if focus and _holds(item, focus)]
    if len(holding) == 1:  # (2)
        return holding[0]
    if siblings == 1 and len(nested) == 1:  # (3)
        return nested[0]
    return _flattened(bundle, target, siblings)  # (4)


def _holds(bundle: Json, focus: str) -> bool:
    found = BundleIndex(bundle).resolve_loosely(focus)
    return found is not None and found.get("resourceType") == "ClaimResponse"


def _flattened(bundle: Json, target: Json | None, siblings: int) -> Json | None:
    answers = resources(bundle, "ClaimResponse")
    chosen = target if target is not None and target in answers else None
    if chosen is None and siblings == 1 and len(answers) == 1:
        chosen = answers[0]
    if chosen is None:
        return None
    listed = [entry for entry in objects(bundle.get("entry")) if one(entry.get("resource"))]
    first = [entry for entry in listed if entry["resource"] is chosen]
    others = ("ClaimResponse", "Parameters", "SubscriptionStatus")
    rest = [entry for entry in listed if entry["resource"].get("resourceType") not in others]
    return {"resourceType": "Bundle", "type": "collection", "entry": [*first, *rest]}


def _error_codes(errors: Any) -> tuple[str, ...]:
    found = (coding for error in objects(errors) for coding in objects(error.get("coding")))
    return tuple(filter(None, (text(coding.get("code")) for coding in found)))
