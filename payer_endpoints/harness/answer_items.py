"""The reviewed items of a ClaimResponse: decision, what is granted instead, business errors. Source: spec/pas.md §5."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

from gateway.fhir import Json
from payer_endpoints.harness import names
from payer_endpoints.harness.guides import Guide
from payer_endpoints.harness.reading import as_object, as_objects
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


def build_item(review: ItemReview, claim: Json, *, note: str, guide: Guide, on: date) -> dict[str, Any]:
    """One answered item; `note` is the header's note, linked where it is about this item."""
    item: dict[str, Any] = {}
    extensions = _item_extensions(review, claim, guide, on)
    if extensions:
        item["extension"] = extensions
    item["itemSequence"] = review.sequence
    if note and review.plan.note == note and review.code != "A1":
        item["noteNumber"] = [1]
    number = review.number if review.code in ("A1", "A6") else ""
    item["adjudication"] = [adjudication(review.code, number, review.plan.reason_codes if review.code == "A3" else ())]
    return item


def _item_extensions(review: ItemReview, claim: Json, guide: Guide, on: date) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    if review.trace:
        trace = {"system": names.ANSWER_SYSTEM + "/trace", "value": review.trace}
        found.append(extension_of("itemTraceNumber", valueIdentifier=trace))
    if review.code in ("A1", "A6"):
        found += _period(review.plan, on)
    if review.code == "A6" and guide is Guide.STU2:
        found.append(_authorized_detail(review, claim))
    if review.reference and guide is Guide.STU2_2:
        found.append(extension_of("administrationReferenceNumber", valueString=review.reference))
    return found


def _period(plan: SubmitPlan, on: date) -> list[dict[str, Any]]:
    start, end = on, on + timedelta(days=plan.period_days)
    period = {"start": start.isoformat(), "end": end.isoformat()}
    return [
        extension_of("itemPreAuthIssueDate", valueDate=start.isoformat()),
        extension_of("itemPreAuthPeriod", valuePeriod=period),
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


def grants_other(review: ItemReview, guide: Guide) -> bool:
    """Whether an addItem says what is granted: a part beside a denial, and in 2.2 every modification."""
    kinds = ("modified", "denied-with-part") if guide is Guide.STU2_2 else ("denied-with-part",)
    return bool(review.number) and review.plan.decision in kinds


def build_add_item(review: ItemReview, claim: Json, *, guide: Guide, on: date) -> dict[str, Any]:
    """What is authorized instead of the item (spec-36, spec-37)."""
    asked = _asked_item(claim, review.sequence)
    added: dict[str, Any] = {}
    if guide is Guide.STU2_2:
        added["extension"] = _period(review.plan, on)
        if asked.get("category"):
            added["extension"].append(extension_of("itemCategory", valueCodeableConcept=asked["category"]))
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
        {"url": "reasonCode", "valueCodeableConcept": concept(names.X12_DECISION_REASON, reason)} for reason in reasons
    ]
    parts.append(extension_of("reviewActionCode", valueCodeableConcept=concept(names.X12_REVIEW_ACTION, code)))
    return {
        "extension": [{"url": names.PAS + "extension-reviewAction", "extension": parts}],
        "category": concept(names.ADJUDICATION, "submitted"),
    }


def build_error(plan: SubmitPlan, guide: Guide) -> dict[str, Any]:
    """A business rejection (X12 AAA)."""
    element: dict[str, Any] = {"url": names.PAS + "extension-errorElement"}
    if guide is Guide.STU2_2:
        element["extension"] = [{"url": "error", "valueString": "2000E"}]
    else:
        element["valueString"] = "2000E"
    return {
        "extension": [
            extension_of("errorFollowupAction", valueCodeableConcept=concept(names.X12_FOLLOW_UP, plan.follow_up)),
            element,
            extension_of("errorPath", valueString="Bundle.entry[0].resource.item[0]"),
        ],
        "code": concept(names.X12_REJECT_REASON, plan.error_code),
    }


def extension_of(name: str, **value: Any) -> dict[str, Any]:
    """A PAS extension by the end of its url."""
    return {"url": f"{names.PAS}extension-{name}", **value}


def concept(system: str, code: str) -> dict[str, Any]:
    """A CodeableConcept of one coding."""
    return {"coding": [{"system": system, "code": code}]}
