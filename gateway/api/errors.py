"""One way out for every error: OperationOutcome on FHIR-facing routes, RFC 9457 problem elsewhere."""

from __future__ import annotations

import uuid
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from gateway.errors import Busy, GatewayError, PartnerError
from gateway.fhir.json import dump_json
from gateway.logs import get_logger

FHIR_ROUTES = ("/orders", "/fhir", "/cds-services", "/notifications", "/payer-fhir")
"""Path prefixes whose errors are OperationOutcomes."""
DOCUMENTATION = "https://davinci-pa-gateway.example/errors#"
"""Prefix of problem types; the fragment is the error's code, explained in the README."""
_STATUS_CODES = {401: "login", 403: "forbidden", 404: "not-found", 405: "not-supported", 409: "conflict"}


def to_operation_outcome(error: GatewayError) -> dict[str, Any]:
    """The error as a FHIR OperationOutcome; `details.coding` carries our own code."""
    issue: dict[str, Any] = {
        "severity": "error",
        "code": error.issue_type,
        "details": {"coding": [{"code": error.reason}], "text": error.diagnostics()},
        "diagnostics": error.diagnostics(),
    }
    if error.expression:
        issue["expression"] = [error.expression]
    return {"resourceType": "OperationOutcome", "issue": [issue]}


def to_problem(error: GatewayError, correlation_id: str) -> dict[str, Any]:
    """The error as an RFC 9457 problem with a correlation id for the log."""
    return {
        "type": DOCUMENTATION + error.reason,
        "title": type(error).__name__,
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


def install_error_handlers(app: FastAPI) -> None:
    """Make `app` answer every failure in one of the two forms, and nothing else."""

    async def gateway_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, GatewayError)
        return respond(request, error)

    async def http_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        plain = GatewayError(_say(error.status_code), code=_STATUS_CODES.get(error.status_code, "processing"))
        plain.http_status = error.status_code
        plain.issue_type = _STATUS_CODES.get(error.status_code, "processing")  # type: ignore[misc]
        return respond(request, plain)

    async def validation_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        where = ", ".join(".".join(str(part) for part in item["loc"]) for item in error.errors())
        plain = GatewayError(f"The request cannot be used; look at: {where}.", code="request.invalid", status=422)
        plain.issue_type = "invalid"  # type: ignore[misc]
        return respond(request, plain)

    async def unexpected(request: Request, error: Exception) -> Response:
        get_logger().error("unexpected", error=type(error), route=_route(request))
        return respond(request, GatewayError("The gateway failed on this request; the log has the correlation id."))

    app.add_exception_handler(GatewayError, gateway_error)
    app.add_exception_handler(HTTPException, http_error)
    app.add_exception_handler(RequestValidationError, validation_error)
    app.add_exception_handler(Exception, unexpected)


def _say(status: int) -> str:
    return {
        404: "There is nothing at this address.",
        405: "This address does not take that method.",
    }.get(status, "The request cannot be answered.")
