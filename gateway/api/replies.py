"""How an error is told: as OperationOutcome on FHIR-facing routes, as RFC 9457 problem elsewhere."""

from __future__ import annotations

import uuid
from typing import Any

from fastapi import Request
from fastapi.responses import Response

from gateway.errors import Busy, GatewayError, PartnerError
from gateway.fhir.json import dump_json
from gateway.logs import get_logger

FHIR_ROUTES = ("/orders", "/fhir", "/cds-services", "/notifications", "/payer-fhir")
"""Path prefixes whose errors are OperationOutcomes."""
DOCUMENTATION = "https://davinci-pa-gateway.example/errors#"
"""Prefix of problem types; the fragment is the error's code, explained in the README."""
ISSUE_TYPES = {
    "login": "login",
    "body.media-type": "not-supported",
    "body.encoding": "not-supported",
    "body.empty": "required",
    "body.object": "structure",
    "order.resource-type": "not-supported",
    "order.entry": "structure",
    "order.missing": "required",
    "order.id": "required",
    "order.pointer": "value",
    "order.status": "business-rule",
    "order.too-many": "too-costly",
    "order.identity": "duplicate",
    "patient.missing": "required",
    "patient.mismatch": "business-rule",
    "coverage.missing": "required",
    "coverage.id": "required",
    "reference.unresolvable": "not-found",
    "payer.unknown": "business-rule",
    "ehr.not-registered": "business-rule",
}
"""FHIR issue type of an error's own code, where it says more than the type of its class."""
_TITLES = {
    400: "The request cannot be read",
    401: "Not signed in",
    403: "Not allowed",
    404: "Not found",
    405: "Method not allowed",
    409: "Changed meanwhile, or not possible now",
    413: "Too large",
    415: "Media type not supported",
    422: "The request cannot be used",
    429: "Too many requests",
    502: "The other side failed",
    503: "Not ready",
    504: "The other side did not answer",
}


def to_operation_outcome(error: GatewayError) -> dict[str, Any]:
    """The error as a FHIR OperationOutcome; `details.coding` carries our own code."""
    issue: dict[str, Any] = {
        "severity": "error",
        "code": issue_type_of(error),
        "details": {"coding": [{"code": error.reason}], "text": error.diagnostics()},
        "diagnostics": error.diagnostics(),
    }
    if error.expression:
        issue["expression"] = [error.expression]
    return {"resourceType": "OperationOutcome", "issue": [issue]}


def issue_type_of(error: GatewayError) -> str:
    """FHIR issue type of an error: by its own code, by the family of that code, else by its class."""
    if error.reason.startswith(("json.", "xml.")):
        return "structure"
    return ISSUE_TYPES.get(error.reason, error.issue_type)


def to_problem(error: GatewayError, correlation_id: str) -> dict[str, Any]:
    """The error as an RFC 9457 problem with a correlation id for the log."""
    return {
        "type": DOCUMENTATION + error.reason,
        "title": _TITLES.get(error.http_status, "The gateway failed"),
        "status": error.http_status,
        "detail": error.diagnostics(),
        "code": error.reason,
        "correlation_id": correlation_id,
    }


def respond(request: Request, error: GatewayError) -> Response:
    """The response for `error`, in the form that the route's callers read."""
    correlation_id = str(uuid.uuid4())
    get_logger().info(
        "request-refused",
        route=_route(request),
        method=request.method,
        status=error.http_status,
        code=error.reason,
        request_id=correlation_id,
    )
    headers = _headers(error, correlation_id)
    if request.url.path.startswith(FHIR_ROUTES):
        body = dump_json(to_operation_outcome(error))
        return Response(body, error.http_status, headers, "application/fhir+json")
    return Response(
        dump_json(to_problem(error, correlation_id)), error.http_status, headers, "application/problem+json"
    )


def _headers(error: GatewayError, correlation_id: str) -> dict[str, str]:
    headers = {"X-Correlation-ID": correlation_id, "Cache-Control": "no-store"}
    if error.http_status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="pa-gateway"'
    if isinstance(error, Busy) or (isinstance(error, PartnerError) and error.retry_after_seconds):
        headers["Retry-After"] = str(getattr(error, "retry_after_seconds", None) or 1)
    return headers


def _route(request: Request) -> str:
    """The route's template, never the path itself, which may name a case or a token."""
    route = request.scope.get("route")
    return str(getattr(route, "path", "(none)"))
