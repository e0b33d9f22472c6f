"""What every route shares: the opened services, the caller, and answers in exact JSON."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response

from gateway.api.callers import Principal, authenticate
from gateway.fhir.json import dump_json
from gateway.flows.actors import Actor
from gateway.flows.services import Services

FHIR_JSON = "application/fhir+json"
NO_STORE = {"Cache-Control": "no-store"}


def services_of(request: Request) -> Services:
    """The services of the running application."""
    found: Services = request.app.state.services
    return found


def caller_of(request: Request) -> Actor:
    """The authenticated system or person; AccessError (401) otherwise."""
    principal: Principal = authenticate(request, services_of(request).settings.clients)
    return actor_of(principal)


def actor_of(principal: Principal) -> Actor:
    """The principal as an actor of the flows."""
    is_person = bool(set(principal.roles) & {"staff", "clinician"})
    return Actor(
        id=principal.client_id,
        kind="user" if is_person else "client",
        tenant=principal.tenant,
        roles=principal.roles,
        name=principal.name,
        practitioner=principal.practitioner,
    )


ServicesDep = Annotated[Services, Depends(services_of)]
CallerDep = Annotated[Actor, Depends(caller_of)]


async def in_thread(work: Callable[..., Any], *arguments: Any) -> Any:
    """Run a flow off the event loop."""
    return await run_in_threadpool(work, *arguments)


def answer(value: Any, status: int = 200, media_type: str = "application/json", **headers: str) -> Response:
    """A JSON response with exact decimals that nobody may cache."""
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return Response(dump_json(value), status, NO_STORE | named, media_type)
