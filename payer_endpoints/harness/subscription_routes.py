"""Routes of subscriptions. Source: spec/pas.md §10."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Response

from payer_endpoints.harness.calls import Call, payer_route
from payer_endpoints.harness.outcomes import Issue, errors_of, fhir_response, refusal
from payer_endpoints.harness.reading import parse_body
from payer_endpoints.harness.subscription_bundles import (
    check_subscription,
    notification,
    status_bundle,
    status_parameters,
)
from payer_endpoints.harness.subscriptions import Follower

if TYPE_CHECKING:
    from payer_endpoints.harness.app import Harness


def add_subscription_routes(router: APIRouter, harness: Harness) -> None:
    """create, read, update, delete, $status, $events."""
    _add_writing(router, harness)
    _add_reading(router, harness)


def _unknown() -> Response:
    return refusal(404, Issue(text="No such subscription.", code="not-found"))


def _find(harness: Harness, call: Call) -> Follower | None:
    return harness.subscriptions.get(call.payer.slug, call.parameter("key"))


def _read_subscription(harness: Harness, call: Call) -> tuple[dict[str, Any], Response | None]:
    body, reason = parse_body(call.body)
    issues = [Issue(text=reason, code="structure")] if body is None else list(check_subscription(body, call.guide))
    harness.ledger.find(call.payer.slug, "subscription", call.message, *issues)
    errors = errors_of(issues)
    return body or {}, refusal(400 if body is None else 422, *errors) if errors else None


def _add_writing(router: APIRouter, harness: Harness) -> None:
    @payer_route(router, harness, "POST", "/fhir/Subscription")
    def create_subscription(call: Call) -> Response:
        """Store it, answer 201, greet the endpoint meanwhile."""
        body, refused = _read_subscription(harness, call)
        if refused:
            return refused
        follower = harness.subscriptions.create(call.payer.slug, call.guide, call.base, body)
        return fhir_response(follower.body(), 201, {"Location": follower.url})

    @payer_route(router, harness, "PUT", "/fhir/Subscription/{key}")
    def update_subscription(call: Call) -> Response:
        """Put again: greet again."""
        follower = _find(harness, call)
        if follower is None:
            return _unknown()
        body, refused = _read_subscription(harness, call)
        return refused or fhir_response(harness.subscriptions.renew(follower, body).body())

    @payer_route(router, harness, "DELETE", "/fhir/Subscription/{key}")
    def delete_subscription(call: Call) -> Response:
        """Forget it."""
        follower = _find(harness, call)
        if follower is None:
            return _unknown()
        harness.subscriptions.delete(follower)
        return Response(status_code=204)


def _add_reading(router: APIRouter, harness: Harness) -> None:
    @payer_route(router, harness, "GET", "/fhir/Subscription/{key}")
    def read_subscription(call: Call) -> Response:
        """The Subscription with its status."""
        follower = _find(harness, call)
        return fhir_response(follower.body()) if follower else _unknown()

    @payer_route(router, harness, "GET", "/fhir/Subscription/{key}/$status")
    def subscription_status(call: Call) -> Response:
        """Status and count."""
        follower = _find(harness, call)
        if follower is None:
            return _unknown()
        parameters = status_parameters(follower.url, "query-status", follower.status, follower.count)
        return fhir_response(status_bundle(parameters))

    @payer_route(router, harness, "GET", "/fhir/Subscription/{key}/$events")
    def subscription_events(call: Call) -> Response:
        """Events again, `eventsSinceNumber` to `eventsUntilNumber`, both included."""
        follower = _find(harness, call)
        return _events(harness, call, follower) if follower else _unknown()


def _events(harness: Harness, call: Call, follower: Follower) -> Response:
    query = call.request.query_params
    since, until = (query.get(name, "") for name in ("eventsSinceNumber", "eventsUntilNumber"))
    if not all(text == "" or (text.isascii() and text.isdigit() and len(text) < 10) for text in (since, until)):
        return refusal(400, Issue(text="Event numbers are whole numbers."))
    first, last = int(since or 0), int(until or follower.count)
    wanted = [event for event in follower.events if first <= event.number <= last]
    parameters = status_parameters(follower.url, "query-event", follower.status, follower.count, wanted)
    bodies = [(event.url, parse_body(event.answer)[0] or {}) for event in wanted]
    return fhir_response(notification(parameters, follower.url, harness.config.now(), bodies))
