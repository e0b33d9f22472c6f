"""Routes of subscriptions. Source: spec/pas.md §10."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter, Request, Response

from payer_endpoints.harness.admission import admit
from payer_endpoints.harness.gate import MESSAGE
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

_UNKNOWN = Issue(text="No such subscription.", code="not-found")


def add_subscription_routes(router: APIRouter, harness: Harness) -> None:
    """create, read, update, delete, $status, $events."""
    _add_writing(router, harness)
    _add_reading(router, harness)


def _admit(harness: Harness, request: Request) -> tuple[str, Response | None]:
    payer, refused = admit(harness, request)
    return (payer.slug if payer else ""), refused


def _find(harness: Harness, request: Request) -> tuple[Follower | None, Response | None]:
    slug, refused = _admit(harness, request)
    if refused:
        return None, refused
    found = harness.subscriptions.get(slug, request.path_params["key"])
    return found, None if found else refusal(404, _UNKNOWN)


async def _read_subscription(
    harness: Harness, slug: str, request: Request
) -> tuple[dict[str, object], Response | None]:
    body, reason = parse_body(await request.body())
    issues = [Issue(text=reason, code="structure")] if body is None else list(check_subscription(body))
    harness.ledger.find(slug, "subscription", request.scope[MESSAGE], *issues)
    refused = refusal(422 if body else 400, *errors_of(issues)) if errors_of(issues) else None
    return body or {}, refused


def _add_writing(router: APIRouter, harness: Harness) -> None:
    @router.post("/{payer}/fhir/Subscription")
    async def create(request: Request) -> Response:
        """Store it, answer 201, greet the endpoint meanwhile."""
        slug, refused = _admit(harness, request)
        if refused:
            return refused
        body, refused = await _read_subscription(harness, slug, request)
        if refused:
            return refused
        base = str(request.url).partition("?")[0].removesuffix("/Subscription")
        follower = harness.subscriptions.create(slug, base, body)
        return fhir_response(follower.body(), 201, {"Location": follower.url})

    @router.put("/{payer}/fhir/Subscription/{key}")
    async def update(request: Request) -> Response:
        """Put again: greet again."""
        follower, refused = _find(harness, request)
        if follower is None or refused:
            return refused or refusal(404, _UNKNOWN)
        body, refused = await _read_subscription(harness, follower.payer, request)
        return refused or fhir_response(harness.subscriptions.renew(follower, body).body())

    @router.delete("/{payer}/fhir/Subscription/{key}")
    async def delete(request: Request) -> Response:
        """Forget it."""
        follower, refused = _find(harness, request)
        if follower is None or refused:
            return refused or refusal(404, _UNKNOWN)
        harness.subscriptions.delete(follower)
        return Response(status_code=204)


def _add_reading(router: APIRouter, harness: Harness) -> None:
    @router.get("/{payer}/fhir/Subscription/{key}")
    async def read(request: Request) -> Response:
        """The Subscription with its status."""
        follower, refused = _find(harness, request)
        return refused or fhir_response(follower.body() if follower else {})

    @router.get("/{payer}/fhir/Subscription/{key}/$status")
    async def status(request: Request) -> Response:
        """Status and count."""
        follower, refused = _find(harness, request)
        if follower is None or refused:
            return refused or refusal(404, _UNKNOWN)
        parameters = status_parameters(follower.url, "query-status", follower.status, follower.count)
        return fhir_response(status_bundle(parameters))

    @router.get("/{payer}/fhir/Subscription/{key}/$events")
    async def events(request: Request) -> Response:
        """Events again, `eventsSinceNumber` to `eventsUntilNumber`, both included."""
        follower, refused = _find(harness, request)
        if follower is None or refused:
            return refused or refusal(404, _UNKNOWN)
        since, until = (request.query_params.get(name, "") for name in ("eventsSinceNumber", "eventsUntilNumber"))
        if not all(text == "" or (text.isascii() and text.isdigit() and len(text) < 10) for text in (since, until)):
            return refusal(400, Issue(text="Event numbers are whole numbers."))
        first, last = int(since or 0), int(until or follower.count)
        wanted = [event for event in follower.events if first <= event.number <= last]
        parameters = status_parameters(follower.url, "query-event", follower.status, follower.count, wanted)
        bodies = [(event.url, parse_body(event.answer)[0] or {}) for event in wanted]
        return fhir_response(notification(parameters, follower.url, harness.config.now(), bodies))
