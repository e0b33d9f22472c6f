"""The PAS response Bundle: one ClaimResponse with a review of every item, and what it refers to.

Built from the request as it came, so that echoed resources keep their fullUrl and identifiers (spec-33). The Claim is
left out on purpose: in the answer to an update it would break the profile. Source: spec/pas.md §3.2, §5, §16.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from gateway.fhir import Json
from payer_endpoints.harness import names
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
class ItemReview:
    """The payer's decision on one item."""

    sequence: int
    code: str
    """X12 306 review action code."""
    number: str = ""
    """Authorization number, where something is granted."""
    reference: str = ""
    """Administrative reference number, where pended."""
    trace: str = ""
    """DTR context id, where the payer's own form is asked for."""
    plan: SubmitPlan = field(default_factory=SubmitPlan)


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
    is_inquiry: bool = False
    guide: Guide = Guide.STU2_2


def build_answer(parts: AnswerParts) -> dict[str, Any]:
    """The response Bundle, or the inquiry response Bundle where `is_inquiry`."""
    claim_response = _claim_response(parts)
    requests = [] if parts.is_inquiry else _communication_requests(parts)
    if requests:
        claim_response["communicationRequest"] = [{"reference": url} for url, _ in requests]
    profile = "profile-pas-inquiry-response-bundle" if parts.is_inquiry else "profile-pas-response-bundle"
    listed = [(parts.new_urls[0], claim_response), *requests, *_echoed(parts.request, claim_response)]
    return {
        "resourceType": "Bundle",
        "meta": {"profile": [names.PAS + profile]},
        "identifier": dict(as_object(parts.request.get("identifier"))),
        "type": "collection",
        "timestamp": instant(parts.now),
        "entry": [{"fullUrl": url, "resource": resource} for url, resource in listed],
    }


def _claim_response(parts: AnswerParts) -> dict[str, Any]:
    claim_url, claim = claim_of(parts.request)
    profile = "profile-claiminquiryresponse" if parts.is_inquiry else "profile-claimresponse"
    found: dict[str, Any] = {"resourceType": "ClaimResponse", "meta": {"profile": [names.PAS + profile]}}
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
        return {"error": [_error(parts.plan, parts.guide)]}
    body: dict[str, Any] = {"item": [_item(review, parts, claim) for review in parts.reviews]}
    added = [_add_item(review, claim, parts) for review in parts.reviews if _grants_other(review, parts.guide)]
    if added:
        body["addItem"] = added
    if parts.plan.note:
        body["processNote"] = [{"number": 1, "text": parts.plan.note}]
    return body


def _item(review: ItemReview, parts: AnswerParts, claim: Json) -> dict[str, Any]:
    item: dict[str, Any] = {}
    extensions = _item_extensions(review, parts, claim)
    if extensions:
        item["extension"] = extensions
    item["itemSequence"] = review.sequence
    if parts.plan.note and review.plan.note == parts.plan.note and review.code != "A1":
        item["noteNumber"] = [1]
    number = review.number if review.code in ("A1", "A6") else ""
    item["adjudication"] = [adjudication(review.code, number, review.plan.reason_codes if review.code == "A3" else ())]
    return item


def _item_extensions(review: ItemReview, parts: AnswerParts, claim: Json) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    if review.trace:
        trace = {"system": names.ANSWER_SYSTEM + "/trace", "value": review.trace}
        found.append(_extension("itemTraceNumber", valueIdentifier=trace))
    if review.code in ("A1", "A6"):
        found += _period(review.plan, parts.now)
    if review.code == "A6" and parts.guide is Guide.STU2:
        found.append(_authorized_detail(review, claim))
    if review.reference and parts.guide is Guide.STU2_2:
        found.append(_extension("administrationReferenceNumber", valueString=review.reference))
    return found


def _period(plan: SubmitPlan, now: datetime) -> list[dict[str, Any]]:
    start, end = now.date(), now.date() + timedelta(days=plan.period_days)
    period = {"start": start.isoformat(), "end": end.isoformat()}
    return [
        _extension("itemPreAuthIssueDate", valueDate=start.isoformat()),
        _extension("itemPreAuthPeriod", valuePeriod=period),
    ]


def _authorized_detail(review: ItemReview, claim: Json) -> dict[str, Any]:
    """What is authorized instead, as 2.0.1 says it: on the item itself."""
    asked = _asked_item(claim, review.sequence)
    parts = [
        {"url": "productOrServiceCode", "valueCodeableConcept": asked.get("productOrService")},
        {"url": "quantity", "valueQuantity": {"value": review.plan.quantity}},
    ]
    return {"url": names.PAS + "extension-itemAuthorizedDetail", "extension": parts}


def _asked_item(claim: Json, sequence: int) -> Json:
    return next((item for item in as_objects(claim.get("item")) if item.get("sequence") == sequence), {})


def _grants_other(review: ItemReview, guide: Guide) -> bool:
    """Whether an addItem says what is granted: a part beside a denial, and in 2.2 every modification."""
    kinds = ("modified", "denied-with-part") if guide is Guide.STU2_2 else ("denied-with-part",)
    return bool(review.number) and review.plan.decision in kinds


def _add_item(review: ItemReview, claim: Json, parts: AnswerParts) -> dict[str, Any]:
    """What is authorized instead of the item (spec-36, spec-37)."""
    asked = _asked_item(claim, review.sequence)
    added: dict[str, Any] = {}
    if parts.guide is Guide.STU2_2:
        added["extension"] = _period(review.plan, parts.now)
        if asked.get("category"):
            added["extension"].append(_extension("itemCategory", valueCodeableConcept=asked["category"]))
    added |= {"itemSequence": [review.sequence], "productOrService": asked.get("productOrService")}
    for key in ("modifier", "servicedDate", "servicedPeriod", "locationCodeableConcept"):
        if key in asked:
            added[key] = asked[key]
    quantity = {
        key: value for key, value in as_object(asked.get("quantity")).items() if key in ("unit", "system", "code")
    }
    added["quantity"] = {"value": review.plan.quantity, **(quantity or {"unit": "units"})}
    added["adjudication"] = [adjudication("A1", review.number)]
    return added


def adjudication(code: str, number: str = "", reasons: Sequence[str] = ()) -> dict[str, Any]:
    """The one adjudication shape: category `submitted`, the decision in the reviewAction extension."""
    parts: list[dict[str, Any]] = [{"url": "number", "valueString": number}] if number else []
    parts += [
        {"url": "reasonCode", "valueCodeableConcept": _concept(names.X12_DECISION_REASON, reason)} for reason in reasons
    ]
    parts.append(_extension("reviewActionCode", valueCodeableConcept=_concept(names.X12_REVIEW_ACTION, code)))
    return {
        "extension": [{"url": names.PAS + "extension-reviewAction", "extension": parts}],
        "category": _concept(names.ADJUDICATION, "submitted"),
    }


def _error(plan: SubmitPlan, guide: Guide) -> dict[str, Any]:
    """A business rejection (X12 AAA)."""
    element: dict[str, Any] = {"url": names.PAS + "extension-errorElement"}
    if guide is Guide.STU2_2:
        element["extension"] = [{"url": "error", "valueString": "2000E"}]
    else:
        element["valueString"] = "2000E"
    return {
        "extension": [
            _extension("errorFollowupAction", valueCodeableConcept=_concept(names.X12_FOLLOW_UP, plan.follow_up)),
            element,
            _extension("errorPath", valueString="Bundle.entry[0].resource.item[0]"),
        ],
        "code": _concept(names.X12_REJECT_REASON, plan.error_code),
    }


def _communication_requests(parts: AnswerParts) -> list[tuple[str, dict[str, Any]]]:
    """One CommunicationRequest for each document (2.2.1: identifier and payload are single)."""
    medium = _concept(names.PAS_CODES, "CDEX")
    found = []
    for url, asked in zip(parts.new_urls[1:], parts.asked, strict=False):
        line = {"extension": [_extension("serviceLineNumber", valuePositiveInt=asked.line)]}
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


def _extension(name: str, **value: Any) -> dict[str, Any]:
    return {"url": f"{names.PAS}extension-{name}", **value}


def _concept(system: str, code: str) -> dict[str, Any]:
    return {"coding": [{"system": system, "code": code}]}


def _only_reference(value: Any) -> dict[str, Any]:
    return {"reference": as_text(at(value, "reference"))}


def _plain_identifier(identifier: Mapping[str, Any]) -> dict[str, Any]:
    return {"system": identifier.get("system"), "value": identifier.get("value")}
