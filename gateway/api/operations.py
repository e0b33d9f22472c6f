"""Doors for operators: liveness, readiness and the CapabilityStatement."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from gateway.api.doors import FHIR_JSON, ServicesDep, answer, in_thread
from gateway.clock import write_instant
from gateway.flows.services import Services

router = APIRouter(tags=["operations"])


@router.get("/healthz", operation_id="health", response_class=Response)
async def health() -> Response:
    """The process is alive."""
    return answer({"status": "ok"})


@router.get("/readyz", operation_id="ready", response_class=Response)
async def ready(services: ServicesDep) -> Response:
    """Database and job engine answer; 503 otherwise."""
    state = await in_thread(_readiness, services)
    return answer(state, 200 if state["status"] == "ready" else 503)


def _readiness(services: Services) -> dict[str, Any]:
    with services.store.read() as tx:
        tx.cases.next_due_at()
    jobs = services.jobs.health()
    return {
        "status": "ready" if jobs.is_running else "starting",
        "version": services.version,
        "jobs": {
            "waiting": jobs.waiting,
            "running": jobs.running,
            "delayed": jobs.delayed,
            "failed": jobs.failed,
        },
    }


@router.get("/fhir/metadata", operation_id="capabilityStatement", response_class=Response)
async def metadata(request: Request, services: ServicesDep) -> Response:
    """What this gateway offers as a FHIR server, built from the routes that are registered."""
    return answer(capability_statement(request.app, services), media_type=FHIR_JSON)


def capability_statement(app: Any, services: Services) -> dict[str, Any]:
    """The CapabilityStatement: resources whose routes exist, and nothing that does not."""
    types: dict[str, set[str]] = {}
    for route in app.routes:
        parts = str(getattr(route, "path", "")).strip("/").split("/")
        if len(parts) >= 2 and parts[0] == "fhir" and parts[1][:1].isupper():
            types.setdefault(parts[1], set()).add("read" if len(parts) > 2 else "search-type")
    rest: dict[str, Any] = {
        "mode": "server",
        "security": {"description": "Bearer token of a registered client; see the README."},
    }
    if types:
        rest["resource"] = [
            {"type": name, "interaction": [{"code": code} for code in sorted(codes)]}
            for name, codes in sorted(types.items())
        ]
    return {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": write_instant(services.clock.now()),
        "kind": "instance",
        "software": {"name": "davinci-pa-gateway", "version": services.version},
        "implementation": {"description": "Prior-authorization gateway", "url": services.settings.server.base_url},
        "fhirVersion": "4.0.1",
        "format": ["application/fhir+json"],
        "rest": [rest],
    }
