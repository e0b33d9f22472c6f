"""`$log-questionnaire-errors`: a report about a form that could not be processed. Source: spec/dtr.md §9.

A report must hold no answers and nothing about a patient (dtr:oper-2). Only what can be told from its shape is judged:
patient resources, narrative, references and urls with queries have no place in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from gateway.fhir import Json
from payer_endpoints.harness.outcomes import Issue
from payer_endpoints.harness.reading import as_objects, as_text, references, type_of

_LEAK = re.compile(r"Patient/|Observation/|Condition/|QuestionnaireResponse/|\?[^ ]*=")


def check_error_report(body: Json) -> Iterator[Issue]:
    """Everything wrong with the Parameters."""
    if type_of(body) != "Parameters":
        yield Issue(text="The body must be Parameters.", code="structure", at="Parameters")
        return
    listed = as_objects(body.get("parameter"))
    forms = [as_text(item.get("valueCanonical")) for item in listed if item.get("name") == "questionnaire"]
    outcomes = [item.get("resource") for item in listed if item.get("name") == "operationOutcome"]
    if not forms or not all(forms):
        yield Issue(text="At least one questionnaire canonical.", at="Parameters.parameter", code="required")
    elif not all("|" in form for form in forms):
        yield Issue(text="The canonical should name its version.", at="Parameters.parameter", severity="warning")
    if not outcomes or any(type_of(outcome) != "OperationOutcome" for outcome in outcomes):
        yield Issue(text="At least one OperationOutcome.", at="Parameters.parameter", code="required")
    for outcome in outcomes:
        yield from _check_privacy(outcome if isinstance(outcome, dict) else {})


def _check_privacy(outcome: Json) -> Iterator[Issue]:
    if "text" in outcome or "contained" in outcome or any(True for _ in references(outcome)):
        yield Issue(text="No narrative, no resources, no references.", at="OperationOutcome", source="oper-2")
    for issue in as_objects(outcome.get("issue")):
        listed = issue.get("expression")
        spoken = [issue.get("diagnostics"), *(listed if isinstance(listed, list) else [])]
        if any(_LEAK.search(as_text(text)) for text in spoken):
            yield Issue(text="Names a patient's resource or a query.", at="OperationOutcome.issue", source="oper-2")
