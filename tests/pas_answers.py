"""Answers of an invented payer, for tests of the PAS readers."""

from __future__ import annotations

from typing import Any

PAS = "http://hl7.org/fhir/us/davinci-pas/StructureDefinition/"
X12 = "https://codesystem.x12.org/005010/"


def review(code: str = "", *, number: str = "", reason: str = "", system: str = f"{X12}306") -> dict[str, Any]:
    """An adjudication with a review action."""
    parts: list[dict[str, Any]] = []
    if number:
        parts.append({"url": "number", "valueString": number})
    if reason:
        concept = {"coding": [{"system": "https://codesystem.x12.org/external/886", "code": reason}]}
        parts.append({"url": "reasonCode", "valueCodeableConcept": concept})
    if code:
        concept = {"coding": [{"system": system, "code": code}]}
        parts.append({"url": f"{PAS}extension-reviewActionCode", "valueCodeableConcept": concept})
    category = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/adjudication", "code": "submitted"}]}
    return {"extension": [{"url": f"{PAS}extension-reviewAction", "extension": parts}], "category": category}


def item(sequence: int = 1, code: str = "A1", **parts: Any) -> dict[str, Any]:
    """An item with one review."""
    return {"itemSequence": sequence, "adjudication": [review(code, **parts)]}


def claim_response(*items: dict[str, Any], **elements: Any) -> dict[str, Any]:
    """A ClaimResponse around items."""
    return {
        "resourceType": "ClaimResponse",
        "identifier": [{"system": "urn:trnorg:9012345678", "value": "PA-1"}],
        "status": "active",
        "use": "preauthorization",
        "created": "2026-03-02T10:00:09Z",
        "outcome": "complete",
        **({"item": list(items)} if items else {}),
        **elements,
    }


def answer(response: dict[str, Any], *others: dict[str, Any]) -> dict[str, Any]:
    """A response Bundle."""
    listed = [("urn:uuid:00000000-0000-4000-8000-00000000f001", response)]
    listed += [(f"urn:uuid:00000000-0000-4000-8000-00000000f1{n:02d}", other) for n, other in enumerate(others)]
    entries = [{"fullUrl": url, "resource": resource} for url, resource in listed]
    return {"resourceType": "Bundle", "type": "collection", "timestamp": "2026-03-02T10:00:09Z", "entry": entries}


def communication_request(**elements: Any) -> dict[str, Any]:
    """A request for one document."""
    return {
        "resourceType": "CommunicationRequest",
        "status": "active",
        "extension": [{"url": f"{PAS}extension-serviceLineNumber", "valuePositiveInt": 1}],
        "identifier": [{"system": "urn:example:acn", "value": "ACN-77"}],
        "payload": [{"contentString": "11506-3"}],
        **elements,
    }


FIRST_OTHER = "urn:uuid:00000000-0000-4000-8000-00000000f100"
