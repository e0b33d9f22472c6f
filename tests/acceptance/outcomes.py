"""How a refusal of a FHIR-facing door has to look."""

from __future__ import annotations

from typing import Any

import httpx

from tests.acceptance.posts import CANARY

ISSUE_TYPES = frozenset(
    {
        "invalid",
        "structure",
        "required",
        "value",
        "login",
        "forbidden",
        "not-supported",
        "duplicate",
        "not-found",
        "too-long",
        "too-costly",
        "business-rule",
        "conflict",
    }
)
"""FHIR issue types that refusals may carry."""


def require_outcome(answer: httpx.Response, status: int, code: str, says: str) -> dict[str, Any]:
    """The one issue of an OperationOutcome with this status, our own code, and these words of advice."""
    assert answer.status_code == status, answer.text[:500]
    assert answer.headers["Content-Type"].startswith("application/fhir+json")
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Correlation-ID"]
    outcome = answer.json()
    assert outcome["resourceType"] == "OperationOutcome"
    (issue,) = outcome["issue"]
    assert issue["severity"] == "error"
    assert issue["code"] in ISSUE_TYPES
    assert issue["details"]["coding"][0]["code"].startswith(code)
    assert says in issue["diagnostics"]
    assert CANARY not in answer.text
    found: dict[str, Any] = issue
    return found
