"""The CDS Hooks door: which services there are, the services, and feedback on their cards.

Callers prove themselves by a signed token for the very service (security §3); discovery is open. An EHR never gets
a 5xx from here: what fails on our side is an answer without cards.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from gateway.api.bodies import JSON_TYPES, media_type_of, read_body, read_json
from gateway.api.doors import ServicesDep, answer, in_thread
from gateway.errors import Busy, GatewayError, InputError, NotFound
from gateway.flows.intercept import answer_hook
from gateway.flows.intercept_budget import Budget
from gateway.flows.intercept_clients import require_caller
from gateway.flows.intercept_discovery import SERVICES, build_discovery
from gateway.flows.intercept_feedback import take_feedback
from gateway.flows.intercept_house import house_of
from gateway.flows.services import Services
from gateway.logs import get_logger

router = APIRouter(tags=["cds-hooks"])
MAX_BYTES = 8 * 1024 * 1024
"""Largest hook request: a chart of thousands of resources."""
MAX_FEEDBACK_BYTES = 256 * 1024
"""Largest feedback."""
_BODY = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"type": "object", "description": "As CDS Hooks 2.0 defines it"}}},
    }
}


@router.get("/cds-services", operation_id="discoverCdsServices", response_class=Response)
async def discover() -> Response:
    """The services, their prefetch templates, and the CRD versions and options they know."""
    return answer(build_discovery())


@router.post("/cds-services/{service_id}", operation_id="callCdsService", response_class=Response, openapi_extra=_BODY)
async def call_service(service_id: str, request: Request, services: ServicesDep) -> Response:
    """A hook of an EHR (`order-select` or `order-sign`), answered with cards and system actions.

    400 for a request that cannot be understood, 401 without a good token, 422 for a FHIR server that is not the
    caller's or for orders of another patient; whatever else fails is answered without cards.
    """
    budget = Budget.of(services.settings.server.hook_seconds)
    _require_service(service_id)
    raw = await _read(request, min(MAX_BYTES, services.settings.server.max_body_bytes))
    authorization = request.headers.get("authorization")
    return await _answered(lambda: _call(services, service_id, authorization, raw, budget), {"cards": []})


@router.post(
    "/cds-services/{service_id}/feedback",
    operation_id="sendCdsFeedback",
    response_class=Response,
    openapi_extra=_BODY,
)
async def send_feedback(service_id: str, request: Request, services: ServicesDep) -> Response:
    """What clinicians did with the cards of a service; each card counts once."""
    _require_service(service_id)
    raw = await _read(request, MAX_FEEDBACK_BYTES)
    authorization = request.headers.get("authorization")
    return await _answered(lambda: _feedback(services, service_id, authorization, raw), {})


def _require_service(service_id: str) -> None:
    if service_id not in SERVICES:
        raise NotFound("There is no such CDS service; see /cds-services.")


async def _read(request: Request, limit: int) -> bytes:
    if media_type_of(request.headers.get("content-type", "")) not in JSON_TYPES:
        raise InputError("Send application/json and say so in Content-Type.", code="body.media-type", status=415)
    return await read_body(request, limit)


async def _answered(work: Callable[[], dict[str, Any]], otherwise: dict[str, Any]) -> Response:
    """The answer of `work`; `otherwise` where our side fails. What the caller did wrong is told to it."""
    try:
        return answer(await in_thread(work))
    except Busy:
        get_logger().warning("hook-while-busy")
    except GatewayError as error:
        if error.http_status < 500:
            raise
        get_logger().error("hook-failed", code=error.reason)
    except RecursionError:
        raise InputError("The body is nested too deeply.", code="json.depth") from None
    except Exception as error:
        get_logger().error("hook-failed", error=type(error))
    return answer(otherwise)


def _call(services: Services, service_id: str, authorization: str | None, raw: bytes, budget: Budget) -> dict[str, Any]:
    caller = require_caller(services, house_of(services).callers, authorization, _address(services, service_id))
    return answer_hook(services, caller, service_id, read_json(raw), raw, budget)


def _feedback(services: Services, service_id: str, authorization: str | None, raw: bytes) -> dict[str, Any]:
    address = _address(services, service_id)
    caller = require_caller(services, house_of(services).callers, authorization, f"{address}/feedback", address)
    take_feedback(services, caller, service_id, read_json(raw))
    return {}


def _address(services: Services, service_id: str) -> str:
    """Address of a service as its callers know it: from the settings, never from the request (security T38)."""
    return f"{services.settings.server.base_url.rstrip('/')}/cds-services/{service_id}"
