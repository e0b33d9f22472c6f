"""FHIRPath expressions over a resource in a file."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from gateway.errors import ReasoningError
from gateway.fhir import Json
from gateway.flows.form_files import read_resource
from gateway.reasoning.fhirpath import FhirPath, Item, json_value
from gateway.reasoning.fhirpath_values import Amount
from gateway.reasoning.record import RecordSnapshot


def evaluate_paths(expressions: Sequence[str], resource: Path, *, now: datetime) -> dict[str, Any]:
    """`{"results": {expression: [value, ...]}, "errors": {expression: {"code", "message"}}}`.

    Numbers keep their digits, a quantity of the expression is `{"value", "unit"}`, dates are ISO text at their
    precision. An expression that fails is data; InputError is raised for a file that cannot be used.
    """
    focus = read_resource(resource)
    engine = FhirPath(now=now, resolve=_record(focus).find)
    results: dict[str, Any] = {}
    errors: dict[str, Any] = {}
    for expression in expressions:
        try:
            results[expression] = [_shown(item) for item in engine.trace(expression, focus)]
        except ReasoningError as error:
            errors[expression] = {"code": error.reason, "message": error.message}
    return {"results": results, "errors": errors}


def _record(focus: Json) -> RecordSnapshot:
    """What references of the resource can find: entries of a Bundle, the resource itself."""
    return RecordSnapshot.from_bundle(focus) if focus.get("resourceType") == "Bundle" else RecordSnapshot([focus])


def _shown(item: Item) -> Any:
    value = item.value
    return {"value": value.value, "unit": value.unit} if isinstance(value, Amount) else json_value(item)
