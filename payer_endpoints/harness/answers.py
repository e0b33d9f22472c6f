"""The PAS response Bundle: one ClaimResponse with a review of every item, and what it refers to.

Built from the request as it came, so that echoed resources keep their fullUrl and identifiers (spec-33). The Claim is
left out on purpose: in the answer to an update it would break the profile. Source: spec/pas.md §3.2, §5, §16.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from gateway.fhir import Json
from payer_endpoints.harness import names
from payer_endpoints.harness.answer_items import (
    ItemReview,
    build_add_item,
    build_error,
    build_item,
    concept,
    extension_of,
    grants_other,
)
from payer_endpoints.harness.guides import Guide
from payer_endpoints.harness.reading import (
    as_object,
    as_objects,
    as_text,
    at,
    entries,
    identifier_key,
    references,
    type_of,
)
from payer_endpoints.harness.request_checks import resolve
from payer_endpoints.harness.scenarios import SubmitPlan


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A document the payer asks for with a pend."""

    control_number: str
    code: str
    """LOINC."""
    line: int
    """Item sequence it is about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerParts:
    """Everything that goes into a response Bundle."""

    request: Json
    """The request Bundle."""
    reviews: Sequence[ItemReview]
    asked: Sequence[Asked] = ()
    plan: SubmitPlan = field(default_factory=SubmitPlan)
    """Header matters: note, reviewer, error."""
    now: datetime
    new_urls: Sequence[str]
    """Fresh urn:uuid fullUrls: the ClaimResponse's and one for each document asked for."""
    guide: Guide = Guide.STU2_2


def build_answer(parts: AnswerParts) -> dict[str, Any]:
    """The response Bundle."""
    claim_response = _claim_response(parts)
    requests = _communication_requests(parts)
    if requests:
        claim_response["communicationRequest"] = [{"reference": url} for url, _ in requests]
    listed = [(parts.new_urls[0], claim_response), *requests, *_echoed(parts.request, claim_response)]
    return {
        "resourceType": "Bundle",
        "meta": {"profile": [names.PAS + "profile-pas-response-bundle"]},
        "identifier": dict(as_object(parts.request.get("identifier"))),
        "type": "collection",
        "timestamp": instant(parts.now),
        "entry": [{"fullUrl": url, "resource": resource} for url, resource in listed],
    }


def _claim_response(parts: AnswerParts) -> dict[str, Any]:
    claim_url, claim = claim_of(parts.request)
    found: dict[str, Any] = {
        "resourceType": "ClaimResponse",
        "meta": {"profile": [names.PAS + "profile-claimresponse"]},
    }
    if _tells_reviewer(parts):
        found["extension"] = [_reviewer(parts.plan)]
    found |= {
        "identifier": [_plain_identifier(item) for item in as_objects(claim.get("identifier"))[:1]],
        "status": "active",
        "type": claim.get("type"),
        "use": "preauthorization",
        "patient": _only_reference(claim.get("patient")),
        "created": instant(parts.now),
        "insurer": _only_reference(claim.get("insurer")),
        "requestor": _only_reference(claim.get("provider")),
        "request": {
            "reference": claim_url,
            "type": "Claim",
            "identifier": _plain_identifier(as_objects(claim.get("identifier"))[0]),
        },
        "outcome": _outcome(parts),
    }
    return found | _body(parts, claim)


def _outcome(parts: AnswerParts) -> str:
    """`queued` for a pend is 2.0.1 only (pas.md §13)."""
    if parts.plan.decision == "error":
        return "error"
    is_pended = any(review.code == "A4" for review in parts.reviews)
    return "queued" if is_pended and parts.guide is Guide.STU2 else "complete"


def _body(parts: AnswerParts, claim: Json) -> dict[str, Any]:
    if parts.plan.decision == "error":
        return {"error": [build_error(parts.plan, parts.guide)]}
    body: dict[str, Any] = {
        "item": [
            build_item(review, claim, note=parts.plan.note, guide=parts.guide, on=parts.now.date())
            for review in parts.reviews
        ]
    }
    added = [
        build_add_item(review, claim, guide=parts.guide, on=parts.now.date())
        for review in parts.reviews
        if grants_other(review, parts.guide)
    ]
    if added:
        body["addItem"] = added
    if parts.plan.note:
        body["processNote"] = [{"number": 1, "text": parts.plan.note}]
    return body


def _communication_requests(parts: AnswerParts) -> list[tuple[str, dict[str, Any]]]:
    """One CommunicationRequest for each document (2.2.1: identifier and payload are single)."""
    medium = concept(names.PAS_CODES, "CDEX")
    found = []
    for url, asked in zip(parts.new_urls[1:], parts.asked, strict=False):
        line = {"extension": [extension_of("serviceLineNumber", valuePositiveInt=asked.line)]}
        is_old = parts.guide is Guide.STU2
        resource = {
            "resourceType": "CommunicationRequest",
            "meta": {"profile": [names.PAS + "profile-communicationrequest"]},
            **({} if is_old else line),
            "identifier": [{"system": names.ACN_SYSTEM, "value": asked.control_number}],
            "status": "active",
            "medium": [medium],
            "payload": [{**(line if is_old else {}), "contentString": asked.code}],
        }
        found.append((url, resource))
    return found


def _tells_reviewer(parts: AnswerParts) -> bool:
    if parts.guide is Guide.STU2:
        return False
    return parts.plan.human_reviewed or any(review.code == "A3" for review in parts.reviews)


def _reviewer(plan: SubmitPlan) -> dict[str, Any]:
    flag = {"url": "wasHumanReviewedFlag", "valueBoolean": plan.human_reviewed}
    return {"url": names.PAS + "extension-claimResponseReviewer", "extension": [flag]}


def _echoed(request: Json, claim_response: Json) -> list[tuple[str, Json]]:
    """Every resource of the request that the answer refers to, directly or through another, once."""
    listed = dict(entries(request))
    claims = {url for url, resource in listed.items() if type_of(resource) == "Claim"}
    found: dict[str, Json] = {}
    waiting: list[tuple[str, Json]] = [("", claim_response)]
    while waiting:
        base, resource = waiting.pop(0)
        for _, text in references(resource):
            url = resolve(text, base, set(listed), resource)
            if url and url not in found and url not in claims:
                found[url] = listed[url]
                waiting.append((url, listed[url]))
    return list(found.items())


def claim_of(bundle: Json) -> tuple[str, Json]:
    """(fullUrl, Claim) being submitted: the first entry."""
    listed = entries(bundle)
    return listed[0] if listed else ("", {})


def claim_key(claim: Json) -> str:
    """`system|value` of the Claim's first identifier."""
    return next((identifier_key(item) for item in as_objects(claim.get("identifier"))), "")


def instant(moment: datetime) -> str:
    """ISO 8601 with milliseconds and zone."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _only_reference(value: Any) -> dict[str, Any]:
    return {"reference": as_text(at(value, "reference"))}


def _plain_identifier(identifier: Mapping[str, Any]) -> dict[str, Any]:
    return {"system": identifier.get("system"), "value": identifier.get("value")}
