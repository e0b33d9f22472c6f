"""Which review each item gets: a scenario's plan, or what the item already had. Pure.

Source: spec/pas.md §5 (codes), §8 (update and cancel: unmarked items keep their answer, cancelled ones get `C`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace

from gateway.fhir import Json
from payer_endpoints.harness import names
from payer_endpoints.harness.answer_items import ItemReview
from payer_endpoints.harness.answers import Asked
from payer_endpoints.harness.claim_checks import is_cancelled
from payer_endpoints.harness.reading import as_objects, at, codings, extension, has_code
from payer_endpoints.harness.scenarios import AUTHORIZED, SubmitPlan

REVIEW_CODES = {
    "approved": "A1",
    "pended": "A4",
    "denied": "A3",
    "modified": "A6",
    "denied-with-part": "A3",
    "contact": "CT",
    "no-action": "NA",
    "unknown-code": "ZZ",
    "error": "",
}
"""X12 306 code of each decision."""


def decide_items(claim: Json, plans: Sequence[SubmitPlan], number: str, earlier: Mapping[int, str]) -> list[ItemReview]:
    """A review for every item, by the first plan.

    `earlier` holds the codes of the answer before, by sequence, for an update; an item that keeps its answer takes the
    details from whichever plan had led to it.
    """
    return [_decide(item, plans, number, earlier) for item in as_objects(claim.get("item"))]


def _decide(item: Json, plans: Sequence[SubmitPlan], number: str, earlier: Mapping[int, str]) -> ItemReview:
    sequence = item.get("sequence")
    place = sequence if isinstance(sequence, int) else 0
    if is_cancelled(item) or _is_cancel_code(item):
        return ItemReview(sequence=place, code="C")
    before = earlier.get(place, "")
    if before and before != "A4" and extension(item, names.PAS + "extension-infoChanged") is None:
        return kept_review(place, before, number, plans)
    services = [code for _, code in codings(item.get("productOrService"))]
    return review_of(place, plans[0].for_service(services), number)


def decide_pended(claim: Json, plan: SubmitPlan, number: str, earlier: Mapping[int, str]) -> list[ItemReview]:
    """The plan's decision on every item that is still pended; the others keep theirs."""
    services = {
        item.get("sequence"): [code for _, code in codings(item.get("productOrService"))]
        for item in as_objects(claim.get("item"))
    }
    return [
        review_of(sequence, plan.for_service(services.get(sequence, [])), number)
        if code == "A4"
        else kept_review(sequence, code, number, [plan])
        for sequence, code in earlier.items()
    ]


def kept_review(sequence: int, code: str, number: str, plans: Sequence[SubmitPlan]) -> ItemReview:
    """The answer an item already had."""
    plan = next((plan for plan in plans if REVIEW_CODES[plan.decision] == code), None)
    if plan is not None:
        return review_of(sequence, plan, number)
    return ItemReview(sequence=sequence, code=code, number=number if code in ("A1", "A6") else "")


def review_of(sequence: int, plan: SubmitPlan, number: str) -> ItemReview:
    """The plan's decision on one item."""
    return ItemReview(
        sequence=sequence,
        code=REVIEW_CODES[plan.decision],
        number=number if plan.decision in AUTHORIZED else "",
        reference=f"PEND{number[4:]}" if plan.decision == "pended" else "",
        plan=plan,
    )


def _is_cancel_code(item: Json) -> bool:
    code = extension(item, names.PAS + "extension-certificationType")
    return has_code(at(code, "valueCodeableConcept"), "3", names.X12_CERTIFICATION)


def asked_documents(plan: SubmitPlan, reviews: Sequence[ItemReview], number: str) -> list[Asked]:
    """One request for each document of the plan, about the first pended item."""
    pended = [review.sequence for review in reviews if review.code == "A4"]
    if not pended:
        return []
    return [
        Asked(control_number=f"ACN{number[4:]}-{place}", code=code, line=pended[0])
        for place, code in enumerate(plan.request_documents, start=1)
    ]


def with_traces(reviews: Sequence[ItemReview], asked: Sequence[Asked], number: str) -> list[ItemReview]:
    """Where the payer's own form is asked for, the item carries the trace number that is the form's context."""
    lines = {one.line for one in asked if one.code == names.LOINC_QUESTIONNAIRE_REQUEST}
    trace = f"TRN{number[4:]}"
    return [replace(review, trace=trace) if review.sequence in lines else review for review in reviews]


def authorization_number(*parts: str) -> str:
    """`AUTH` and ten digits, the same for the same request at the same payer, also after a restart."""
    found = hashlib.sha256("\n".join(parts).encode()).digest()
    return f"AUTH{int.from_bytes(found[:6], 'big') % 10**10:010d}"
