"""`$log-questionnaire-errors`: what went wrong with a payer's form, told to the payer without patient data.

Built from an allow-list of fields and fixed sentences only: no answer, no diagnostics of an engine, no id or
address of a record can get in (dtr:oper-2; spec/dtr.md §9). linkIds, library and define names came from the payer.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

_KINDS: Final[Mapping[str, tuple[str, str, str]]] = {
    "fhirpath.syntax": ("error", "invalid", "An expression of the form cannot be read."),
    "fhirpath.unsupported": ("error", "not-supported", "An expression uses a function that is not supported."),
    "fhirpath.variable": ("error", "not-found", "An expression uses a context that was not available."),
    "fhirpath.evaluation": ("error", "processing", "An expression failed while it was evaluated."),
    "fhirpath.limit": ("error", "too-costly", "An expression needs too much work."),
    "fhirpath.terminology": ("warning", "not-found", "A value set that an expression needs was not in the package."),
    "expression.circle": ("error", "business-rule", "A variable of the form depends on itself."),
    "expression.language": ("error", "not-supported", "The language of an expression is not supported."),
    "logic.unavailable": ("warning", "not-supported", "Logic of the form was not run."),
    "logic.failed": ("error", "processing", "Logic of the form failed while it was run."),
    "elm.limit": ("error", "too-costly", "Logic of the form needs more time or memory than it may use."),
    "elm.define": ("error", "not-found", "A library has no expression of the name that the form uses."),
    "elm.process": ("error", "exception", "Logic of the form could not be run for a reason on our side."),
    "form.content": ("error", "not-supported", "The form holds content that cannot be processed."),
    "form.expired": ("error", "expired", "The form is no longer in force and came without being asked for."),
    "draft.not-ours": ("error", "business-rule", "The draft response is about another patient, order or coverage."),
    "draft.elsewhere": ("warning", "business-rule", "The draft response points at records outside the EHR."),
    "form.value-set": ("warning", "not-found", "A value set of a question was not in the package."),
    "form.unsettled": ("error", "business-rule", "The calculations of the form do not settle."),
    "form.circle": ("error", "business-rule", "Questions of the form switch each other in a circle."),
    "form.rows": ("error", "multiple-matches", "Several rows were found for a group that does not repeat."),
}
_OTHER: Final = ("error", "processing", "A part of the form could not be processed.")
_LOGIC: Final = ("error", "processing", "Logic of the form failed while it was run.")
_SYNTAX: Final = {"system": "http://terminology.hl7.org/CodeSystem/operation-outcome", "code": "MSG_BAD_SYNTAX"}
_LOCATOR: Final = re.compile(r"\d{1,7}(:\d{1,7})?(-\d{1,7}(:\d{1,7})?)?")
"""Line and column of a library's text; anything else is no locator and is left out."""
MAX_ISSUES: Final = 100
"""Issues of one report."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FormIssue:
    """One thing to report."""

    code: str
    """Machine word of the problem, e.g. `fhirpath.syntax`; an unknown one is reported in general words."""
    link_id: str = ""
    library: str = ""
    """Name of the library, with its version where known."""
    define: str = ""
    locator: str = ""
    """Place in the library's text, `12:3-12:40`."""


def build_error_report(
    canonical: str, issues: Iterable[FormIssue], *, application: str, provider: str, now: datetime
) -> dict[str, Any]:
    """Input Parameters for one form. `application` is our name and version, `provider` our endpoint; `now` is aware."""
    kept = list(issues)[:MAX_ISSUES]
    about = f"{application}; {provider}; {now.isoformat(timespec='seconds')}"
    outcome = {"resourceType": "OperationOutcome", "issue": [_issue(issue, about) for issue in kept]}
    return {
        "resourceType": "Parameters",
        "parameter": [
            {"name": "questionnaire", "valueCanonical": canonical},
            {"name": "operationOutcome", "resource": outcome},
        ],
    }


def _issue(issue: FormIssue, about: str) -> dict[str, Any]:
    severity, kind, sentence = _KINDS.get(issue.code, _LOGIC if issue.code.startswith("elm.") else _OTHER)
    place = "; ".join(f"{name} {value}" for name, value in _places(issue) if value)
    built: dict[str, Any] = {
        "severity": severity,
        "code": kind,
        "details": {"coding": [_SYNTAX], "text": sentence} if issue.code == "fhirpath.syntax" else {"text": sentence},
        "diagnostics": f"{place}; {about}" if place else about,
    }
    if issue.link_id:
        plain = issue.link_id.partition("@")[0].replace("\\", "\\\\").replace("'", "\\'")
        built["expression"] = [f"Questionnaire.repeat(item).where(linkId = '{plain}')"]
    return built


def _places(issue: FormIssue) -> tuple[tuple[str, str], ...]:
    locator = issue.locator if _LOCATOR.fullmatch(issue.locator) else ""
    return (
        ("item", issue.link_id.partition("@")[0]),
        ("library", issue.library),
        ("define", issue.define),
        ("at", locator),
    )
