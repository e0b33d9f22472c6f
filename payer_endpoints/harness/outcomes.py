"""What the simulated payers find wrong, and how they say so: issues and OperationOutcome."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from fastapi import Response

from gateway.fhir.json import dump_json
from payer_endpoints.harness.names import FHIR_JSON


@dataclass(frozen=True, slots=True, kw_only=True)
class Issue:
    """One thing wrong with a message. Holds no value taken from the message."""

    text: str
    """What is expected, in plain words."""
    at: str = ""
    """FHIRPath-like place, e.g. `Bundle.entry[0].resource.item[0]`."""
    code: str = "invalid"
    """FHIR issue type."""
    severity: str = "error"
    """error refuses the message; warning is kept in the ledger only."""
    source: str = ""
    """Requirement or section it rests on."""


def operation_outcome(issues: Iterable[Issue]) -> dict[str, Any]:
    """An OperationOutcome with one issue for each; never empty."""
    listed = [_issue(issue) for issue in issues]
    return {
        "resourceType": "OperationOutcome",
        "issue": listed or [{"severity": "information", "code": "informational", "diagnostics": "Accepted."}],
    }


def _issue(issue: Issue) -> dict[str, Any]:
    found: dict[str, Any] = {"severity": issue.severity, "code": issue.code, "diagnostics": issue.text}
    if issue.source:
        found["diagnostics"] = f"{issue.text} ({issue.source})"
    if issue.at:
        found["expression"] = [issue.at]
    return found


def fhir_response(resource: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A FHIR JSON response."""
    return Response(dump_json(resource), status_code=status, media_type=FHIR_JSON, headers=headers)


def json_response(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A plain JSON response."""
    return Response(dump_json(value), status_code=status, media_type="application/json", headers=headers)


def refusal(status: int, *issues: Issue) -> Response:
    """A 4xx or 5xx with an OperationOutcome."""
    return fhir_response(operation_outcome(issues), status)


def errors_of(issues: Iterable[Issue]) -> list[Issue]:
    """The issues that refuse the message."""
    return [issue for issue in issues if issue.severity in ("error", "fatal")]
