"""OperationOutcome: what partners tell us went wrong, and what we tell them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from gateway.errors import GatewayError
from gateway.fhir import Json
from gateway.fhir.reading import codings, objects, one, text, texts


@dataclass(frozen=True, slots=True, kw_only=True)
class Issue:
    """One issue of an OperationOutcome."""

    severity: str = "error"
    """fatal, error, warning or information."""
    code: str = "processing"
    """FHIR issue type."""
    diagnostics: str = ""
    """Plain words. Text of a partner is for technical staff only (pas:spec-41)."""
    expression: tuple[str, ...] = ()
    """FHIRPath of the elements at fault."""
    details_code: str = ""
    """First code of `details`."""
    details_text: str = ""
    """Text of `details`, or the display of its first coding."""


def build_operation_outcome(issues: Iterable[Issue]) -> dict[str, Any]:
    """An OperationOutcome of these issues; without any, one informational issue says all is well."""
    listed = [_build_issue(issue) for issue in issues]
    nothing = {"severity": "information", "code": "informational", "diagnostics": "Nothing to report."}
    return {"resourceType": "OperationOutcome", "issue": listed or [nothing]}


def read_issues(resource: Json) -> tuple[Issue, ...]:
    """The issues of an OperationOutcome, liberal about missing parts; empty for any other resource."""
    if resource.get("resourceType") != "OperationOutcome":
        return ()
    return tuple(_read_issue(issue) for issue in objects(resource.get("issue")))


def issue_of(error: GatewayError) -> Issue:
    """The issue that tells an error of ours: its words carry no patient data by construction."""
    expression = (error.expression,) if error.expression else ()
    return Issue(
        code=error.issue_type, diagnostics=error.diagnostics(), expression=expression, details_code=error.reason
    )


def _build_issue(issue: Issue) -> dict[str, Any]:
    built: dict[str, Any] = {"severity": issue.severity, "code": issue.code}
    if issue.details_code or issue.details_text:
        built["details"] = {"text": issue.details_text or issue.details_code}
    if issue.diagnostics:
        built["diagnostics"] = issue.diagnostics
    if issue.expression:
        built["expression"] = list(issue.expression)
    return built


def _read_issue(issue: Json) -> Issue:
    details = one(issue.get("details"))
    first = next(iter(codings(details)), {})
    return Issue(
        severity=text(issue.get("severity")) or "error",
        code=text(issue.get("code")) or "processing",
        diagnostics=text(issue.get("diagnostics")),
        expression=texts(issue.get("expression")) or texts(issue.get("location")),
        details_code=text(first.get("code")),
        details_text=text(details.get("text")) or text(first.get("display")),
    )
