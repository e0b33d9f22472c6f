"""`POST /orders`: the door through which EHRs hand over completed orders."""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any

from fastapi import APIRouter, Header, Request
from fastapi.responses import Response

from gateway.api.bodies import read_body, read_fhir
from gateway.api.doors import CallerDep, ServicesDep, answer, in_thread
from gateway.errors import GatewayError, InputError
from gateway.flows.actors import Actor
from gateway.flows.intake import Accepted, Posted, accept_orders
from gateway.flows.services import Services
from gateway.flows.views import summary
from gateway.store.rows import IdempotencyRow

router = APIRouter(tags=["orders"])
ROUTE = "POST /orders"
MAX_KEY = 255


@router.post(
    "/orders",
    operation_id="postOrders",
    status_code=202,
    response_class=Response,
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                media: {"schema": {"type": "object", "description": "Bundle, order resource, or {fhirServer, order}"}}
                for media in ("application/fhir+json", "application/fhir+xml", "application/json")
            },
        }
    },
)
async def post_orders(
    request: Request,
    services: ServicesDep,
    caller: CallerDep,
    idempotency_key: Annotated[str | None, Header(max_length=MAX_KEY)] = None,
) -> Response:
    """Hand over one or more completed orders.

    The body is a FHIR Bundle with the order and whatever the EHR sends along, one order resource, or
    `{"fhirServer": base, "order": "Type/id"}`, as FHIR JSON or XML. Each order becomes one case; all
    are stored or none. The same order again answers with the same case.
    """
    raw = await read_body(request, services.settings.server.max_body_bytes)
    content_type = request.headers.get("content-type", "")
    result = await in_thread(_accept, services, caller, raw, content_type, idempotency_key or "")
    body: dict[str, Any] = result
    headers = {"Location": body["cases"][0]["location"]} if body["cases"] else {}
    return answer(body, 202, **headers)


def _accept(services: Services, caller: Actor, raw: bytes, content_type: str, key: str) -> dict[str, Any]:
    if not key:
        return _store(services, caller, raw, content_type)
    row = IdempotencyRow(
        tenant_id=caller.tenant,
        client_id=caller.id,
        route=ROUTE,
        key=key,
        body_sha256=hashlib.sha256(raw).hexdigest(),
        created_at=services.clock.now(),
    )
    with services.store.begin() as tx:
        first = tx.idempotency.begin(row)
    if first is not None and first.status:
        repeated: dict[str, Any] = json.loads(first.response)
        return repeated
    # A first request that died before it answered is simply done again: the same order gives the same case.
    try:
        body = _store(services, caller, raw, content_type)
    except GatewayError:
        with services.store.begin() as tx:
            tx.idempotency.release(row)  # nothing was stored, so the corrected body may come under the same key
        raise
    with services.store.begin() as tx:
        tx.idempotency.finish(row, 202, json.dumps(body))
    return body


def _store(services: Services, caller: Actor, raw: bytes, content_type: str) -> dict[str, Any]:
    try:
        read = read_fhir(raw, content_type)
    except RecursionError:
        raise InputError("The body is nested too deeply.", code="json.depth") from None
    posted = Posted(raw=read.raw, media_type=read.media_type, resource=read.resource)
    return {"cases": [_line(item) for item in accept_orders(services, caller, posted)]}


def _line(accepted: Accepted) -> dict[str, Any]:
    shown = summary(accepted.case)
    return {
        "case_id": shown["case_id"],
        "order": shown["order"],
        "payer": shown["payer"],
        "state": shown["state"],
        "is_new": accepted.is_new,
        "location": f"/cases/{shown['case_id']}",
    }
