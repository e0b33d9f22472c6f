"""The API's description: what FastAPI reads off the routes, and what it cannot know.

Added are who may call (a Bearer or Basic secret, or a route's own proof) and the one shape of errors of each kind
of route. The description is the same for every installation: addresses, tenants and payers are not in it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import yaml
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from gateway.api.replies import FHIR_ROUTES

OPEN = frozenset({"health", "ready", "capabilityStatement", "discoverCdsServices"})
"""Operations that ask for no credentials."""
OWN_PROOF = {
    "receiveNotification": "subscription",
    "readAsPayer": "hookToken",
    "callCdsService": "cdsClient",
    "sendCdsFeedback": "cdsClient",
}
"""Operations that payers and EHRs call with a proof of their own."""
CLIENT: list[dict[str, list[str]]] = [{"clientSecret": []}, {"clientBasic": []}]
SCHEMES: dict[str, Any] = {
    "clientSecret": {
        "type": "http",
        "scheme": "bearer",
        "description": "Secret of a client in the settings; tenant and roles come from it and from nothing else.",
    },
    "clientBasic": {"type": "http", "scheme": "basic", "description": "Client id and secret."},
    "subscription": {
        "type": "apiKey",
        "in": "header",
        "name": "Authorization",
        "description": "The header that our Subscription told the payer to send; the path carries its token.",
    },
    "cdsClient": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "Token that a registered CDS client signed for this one call of this service.",
    },
    "hookToken": {
        "type": "http",
        "scheme": "bearer",
        "description": "Token of one CDS Hooks call: one case, one payer, half a minute.",
    },
}
PROBLEM: dict[str, Any] = {
    "type": "object",
    "description": "RFC 9457 problem: what happened and what to do next, without patient data.",
    "required": ["type", "title", "status", "detail", "code", "correlation_id"],
    "properties": {
        "type": {"type": "string", "format": "uri"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What to do next."},
        "code": {"type": "string", "description": "Stable word for this error."},
        "correlation_id": {"type": "string", "format": "uuid", "description": "Names the request in the log."},
    },
}
OUTCOME: dict[str, Any] = {
    "type": "object",
    "description": "FHIR OperationOutcome: what happened and what to do next, without patient data.",
    "required": ["resourceType", "issue"],
    "properties": {
        "resourceType": {"const": "OperationOutcome"},
        "issue": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["severity", "code", "diagnostics"],
                "properties": {
                    "severity": {"enum": ["fatal", "error", "warning", "information"]},
                    "code": {"type": "string", "description": "FHIR issue type."},
                    "details": {"type": "object", "description": "Our own stable code in `coding`."},
                    "diagnostics": {"type": "string", "description": "What to do next."},
                    "expression": {"type": "array", "items": {"type": "string"}},
                },
            },
        },
    },
}


def describe(app: FastAPI) -> dict[str, Any]:
    """OpenAPI 3.1 of the application's machine routes."""
    if app.openapi_schema is None:
        built = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes, tags=app.openapi_tags
        )
        _complete(built)
        app.openapi_schema = built
    return app.openapi_schema


def to_yaml(description: Mapping[str, Any]) -> str:
    """A description as YAML text that is the same each time."""
    return yaml.dump(dict(description), Dumper=_Plain, sort_keys=False, allow_unicode=True, width=110)


class _Plain(yaml.SafeDumper):
    """Without anchors, and with lines as lines, so that people can review a change."""

    def ignore_aliases(self, data: Any) -> bool:
        """Write a thing out wherever it stands."""
        return True

    def text(self, value: str) -> yaml.ScalarNode:
        """Text of several lines as a block."""
        style = "|" if "\n" in value else None
        return self.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Plain.add_representer(str, _Plain.text)


def _complete(built: dict[str, Any]) -> None:
    components = built.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    schemas |= {"OperationOutcome": OUTCOME, "Problem": PROBLEM}
    components["securitySchemes"] = SCHEMES
    for path, operation in _operations(built):
        operation["responses"].pop("422", None)
        operation["responses"]["default"] = _error(path)
        operation["security"] = _security(operation["operationId"])


def _operations(built: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, item in built["paths"].items():
        for operation in item.values():
            yield path, operation


def _security(operation_id: str) -> list[dict[str, list[str]]]:
    if operation_id in OPEN:
        return []
    return [{OWN_PROOF[operation_id]: []}] if operation_id in OWN_PROOF else CLIENT


def _error(path: str) -> dict[str, Any]:
    is_fhir = path.startswith(FHIR_ROUTES)
    media, name = ("application/fhir+json", "OperationOutcome") if is_fhir else ("application/problem+json", "Problem")
    schema = {"$ref": f"#/components/schemas/{name}"}
    return {"description": "Refused or failed; see the README for the codes.", "content": {media: {"schema": schema}}}
