"""One way out for every error: what was raised on purpose, what the framework refused, and what nobody expected."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from gateway.api.edge import Edge
from gateway.api.replies import FHIR_ROUTES, respond, to_operation_outcome, to_problem
from gateway.errors import GatewayError

__all__ = ["FHIR_ROUTES", "install_error_handlers", "respond", "to_operation_outcome", "to_problem"]
_STATUS_CODES = {401: "login", 403: "forbidden", 404: "not-found", 405: "not-supported", 409: "conflict"}


def install_error_handlers(app: FastAPI) -> None:
    """Make `app` answer every failure in one of the two forms; what nobody expected is answered at its edge."""

    async def gateway_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, GatewayError)
        return respond(request, error)

    async def http_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        if isinstance(error.__cause__, GatewayError):  # what our own body reader said, wrapped by the framework
            return respond(request, error.__cause__)
        plain = GatewayError(_say(error.status_code), code=_STATUS_CODES.get(error.status_code, "processing"))
        plain.http_status = error.status_code
        plain.issue_type = _STATUS_CODES.get(error.status_code, "processing")  # type: ignore[misc]
        response = respond(request, plain)
        response.headers.update({name: text for name, text in (error.headers or {}).items() if name == "Allow"})
        return response

    async def validation_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        where = ", ".join(dict.fromkeys(map(_place, error.errors())))
        plain = GatewayError(f"The request cannot be used; look at: {where}.", code="request.invalid", status=422)
        plain.issue_type = "invalid"  # type: ignore[misc]
        return respond(request, plain)

    app.add_middleware(Edge)
    app.add_exception_handler(GatewayError, gateway_error)
    app.add_exception_handler(HTTPException, http_error)
    app.add_exception_handler(RequestValidationError, validation_error)


def _place(found: Mapping[str, Any]) -> str:
    """Where a finding of the model is: our own field names only, never a key or a value of the caller's."""
    place = found["loc"]
    if found["type"] == "extra_forbidden":
        return f"{place[0]} (a field that is not known)"
    return ".".join(str(part) for part in place[:2])


def _say(status: int) -> str:
    return {
        404: "There is nothing at this address.",
        405: "This address does not take that method.",
    }.get(status, "The request cannot be answered.")
