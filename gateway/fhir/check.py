"""A structural check of what we are about to send, on a copy.

`fhir.resources` knows types, cardinalities and required elements of the base specification. It is used
once on outgoing resources and off the event loop; its own output is never sent, since it rewrites
decimals and instants. Profiles are judged by the HL7 validator in tests, not here.
"""

from __future__ import annotations

from typing import Any

from fhir.resources.R4B import get_fhir_model_class
from pydantic import ValidationError

from gateway.errors import InputError
from gateway.fhir.elements import is_resource_type
from gateway.fhir.json import parse_object
from gateway.fhir.reading import objects, one, text

MAX_FINDINGS = 50
"""Findings reported for one resource."""


def check_structure(body: bytes) -> list[str]:
    """Findings on a resource in JSON: `path: what is wrong`, without any value; empty = sound.

    Bundles are checked entry by entry, each path beginning with its entry. Bytes that are no JSON
    object give one finding.
    """
    try:
        resource = parse_object(body)
    except InputError as error:
        return [error.message]
    return _check(resource, "")[:MAX_FINDINGS]


def _check(resource: dict[str, Any], prefix: str) -> list[str]:
    kind = text(resource.get("resourceType"))
    if not is_resource_type(kind):
        return [f"{prefix}resourceType: not a resource type of FHIR R4"]
    if kind != "Bundle":
        return _validate(resource, kind, prefix)
    held = [one(entry.get("resource")) for entry in objects(resource.get("entry"))]
    outer = {**resource, "entry": [_shell(entry) for entry in objects(resource.get("entry"))]}
    found = _validate(outer, "Bundle", prefix)
    for position, inner in enumerate(held):
        if inner:
            found += _check(dict(inner), f"{prefix}entry[{position}].")
    return found


def _shell(entry: Any) -> dict[str, Any]:
    """An entry with a stand-in for its resource, which is checked on its own."""
    shell = {key: value for key, value in entry.items() if key != "resource"}
    return {**shell, "resource": {"resourceType": "Basic", "code": {"text": "-"}}} if "resource" in entry else shell


def _validate(resource: dict[str, Any], kind: str, prefix: str) -> list[str]:
    try:
        get_fhir_model_class(kind).model_validate(resource)
    except ValidationError as error:
        listed = error.errors(include_url=False, include_input=False, include_context=False)
        return [_finding(dict(problem), prefix) for problem in listed]
    except (TypeError, ValueError, AssertionError):
        return [f"{prefix}{kind}: cannot be read as this resource"]
    return []


def _finding(problem: dict[str, Any], prefix: str) -> str:
    """Place and kind of a problem. Messages of the library may quote values, so only its type is told."""
    place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in problem.get("loc", ()))
    return f"{prefix}{place.lstrip('.') or 'resource'}: {problem.get('type', 'invalid')}"
