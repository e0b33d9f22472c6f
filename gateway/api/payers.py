"""Doors for payers: notifications of our subscriptions, and the read-only façade during a hook."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import Response

from gateway.api.bodies import read_body
from gateway.api.doors import FHIR_JSON, ServicesDep, answer, in_thread
from gateway.errors import AccessError
from gateway.flows.facade import read_as_payer
from gateway.flows.notices import receive

router = APIRouter(tags=["payers"])


@router.post("/notifications/{token}", operation_id="receiveNotification", response_class=Response)
async def receive_notification(token: str, request: Request, services: ServicesDep) -> Response:
    """A payer's subscription notification (PAS rest-hook, full resource). Kept at once, processed later."""
    body = await read_body(request, services.settings.server.max_body_bytes)
    await in_thread(receive, services, token, request.headers.get("authorization", ""), body)
    return answer({"resourceType": "OperationOutcome", "issue": [_TAKEN]}, media_type=FHIR_JSON)


_TAKEN = {"severity": "information", "code": "informational", "diagnostics": "Taken."}


@router.get("/payer-fhir/{path:path}", operation_id="readAsPayer", response_class=Response)
async def read_facade(path: str, request: Request, services: ServicesDep) -> Response:
    """What a payer may read of one case's chart with the token of a hook call."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise AccessError("Send the token of the hook call as Bearer token.", code="login", status=401)
    found = await in_thread(read_as_payer, services, token.strip(), path, list(request.query_params.multi_items()))
    return answer(found, media_type=FHIR_JSON)
