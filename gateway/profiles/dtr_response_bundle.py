"""`DTR-QRBundle`: a completed response with what its answers point to, as it is handed to a payer or performer.

The response comes first and is the only one; then every resource that an answer refers to and the response does not
contain; one hop, no further (spec/dtr.md §12; dtr:spec-156..158, spec-159; dtrb-2).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any, Final

from gateway.errors import InputError
from gateway.fhir import Json
from gateway.fhir.references import read_reference

PROFILE: Final = "http://hl7.org/fhir/us/davinci-dtr/StructureDefinition/DTR-QRBundle"


def build_response_bundle(
    response: Json, find: Callable[[str], Json | None], base: str, made_at: datetime
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """(the Bundle, references of answers that nothing was found for).

    `find` gives a resource of the EHR by `Type/id`, `base` is the EHR's address: entries carry their address there.
    Raises InputError `dtr.response` for a response that is not completed: a draft is nobody else's business.
    """
    if response.get("status") not in ("completed", "amended"):
        raise InputError("Only a completed form is handed on; complete it first.", code="dtr.response", status=409)
    entries = [_entry(response, base)]
    missing = []
    for reference in dict.fromkeys(_references(response.get("item"))):
        found = find(reference)
        if found is None or found.get("resourceType") == "QuestionnaireResponse":
            missing.append(reference)
        else:
            entries.append(_entry(found, base))
    bundle = {
        "resourceType": "Bundle",
        "meta": {"profile": [PROFILE]},
        "type": "collection",
        "timestamp": made_at.isoformat(timespec="seconds"),
        "entry": entries,
    }
    return bundle, tuple(missing)


def _entry(resource: Json, base: str) -> dict[str, Any]:
    return {"fullUrl": f"{base.rstrip('/')}/{resource['resourceType']}/{resource['id']}", "resource": resource}


def _references(items: Any) -> Iterator[str]:
    """`Type/id` that answers point to; contained resources travel inside the response."""
    for item in items or ():
        for answer in item.get("answer") or ():
            value = answer.get("valueReference")
            named = str(value.get("reference", "")) if isinstance(value, Mapping) else ""
            if named and not named.startswith("#"):
                yield read_reference(named).relative or named
            yield from _references(answer.get("item"))
        yield from _references(item.get("item"))
