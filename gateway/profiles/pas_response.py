"""PAS responses: what a payer decided, per item, in every version and shape met so far.

The decision is the review action code of each item; `outcome` and `disposition` are only reported
(spec/pas.md §5). Reading never fails on a missing part: unresolved references are listed, unknown
codes are marked, numbers are kept with their kind. What the case becomes is decided in
`gateway.policy.roll_up`.
"""

from __future__ import annotations

from gateway.errors import PayerUnreadable
from gateway.fhir import Json
from gateway.fhir.bundle import BundleIndex, entries, resources
from gateway.fhir.extensions import extension_value, extensions
from gateway.fhir.outcome import Issue, read_issues
from gateway.fhir.parameters import parameter_resources
from gateway.fhir.reading import objects, one, text, walk
from gateway.fhir.references import reference_text
from gateway.profiles.pas_documents import read_document_requests
from gateway.profiles.pas_records import AuthorizationNumber, ItemReview, PasAnswer
from gateway.profiles.pas_review import (
    added_items,
    header_review,
    item_reviews,
    note_texts,
    read_errors,
    read_identifier,
    read_period,
)
from gateway.profiles.urls import pas


def read_pas_answer(body: Json, request_bundle: Json | None = None) -> PasAnswer:
    """Read a response Bundle (or a bare ClaimResponse) of any supported version.

    `request_bundle` is what we sent on this connection: echoed references resolve against it too.
    `PayerUnreadable` (`pas.no-answer`) when there is no ClaimResponse in it; the bytes are then kept
    for a person. Everything else is a value.
    """
    bundle, claim_response = _find_claim_response(body)
    reviews = item_reviews(claim_response)
    header = header_review(claim_response)
    taken = {sequence for review in reviews for sequence in (review.sequence,) if sequence is not None}
    return PasAnswer(
        items=reviews,
        errors=read_errors(claim_response),
        document_requests=read_document_requests(bundle, claim_response, reviews),
        outcome=text(claim_response.get("outcome")),
        disposition=text(claim_response.get("disposition")),
        notes=tuple(note_texts(claim_response).values()),
        missing_references=_missing(bundle, claim_response, request_bundle),
        header_review=header,
        extra_items=tuple(item for item in added_items(claim_response) if not taken.intersection(item.item_sequences)),
        numbers=_numbers(claim_response, reviews),
        identifiers=tuple(filter(None, map(read_identifier, objects(claim_response.get("identifier"))))),
        request_reference=reference_text(claim_response.get("request")),
        request_identifier=read_identifier(one(one(claim_response.get("request")).get("identifier"))),
        created=text(claim_response.get("created")),
        period=read_period(claim_response.get("preAuthPeriod")),
        human_reviewed=_human_reviewed(claim_response),
        is_differential=_is_differential(bundle, claim_response),
        issues=_issues(bundle),
        remarks=_remarks(bundle, claim_response, reviews),
        claim_response=claim_response,
    )


def read_inquiry_answer(body: Json) -> tuple[Json, ...]:
    """The response Bundles of an `$inquire` answer; empty when nothing was found, which proves nothing.

    Accepts Parameters with any parameter that carries a Bundle (the guide's own example misnames it),
    and the bare Bundle of 2.0.1, whose "nothing found" is an OperationOutcome entry.
    """
    if body.get("resourceType") == "Parameters":
        found = parameter_resources(body)
        return tuple(
            item for item in found if item.get("resourceType") == "Bundle" and resources(item, "ClaimResponse")
        )
    if body.get("resourceType") == "Bundle":
        return _split_bare(body)
    if body.get("resourceType") == "OperationOutcome":
        return ()
    raise PayerUnreadable("The payer's answer to the inquiry is neither Parameters nor a Bundle.", code="pas.inquiry")


def read_inquiry_issues(body: Json) -> tuple[Issue, ...]:
    """Issues that came with an inquiry answer, such as that some authorizations are withheld (pas:spec-50)."""
    held = parameter_resources(body) if body.get("resourceType") == "Parameters" else (body,)
    return tuple(issue for item in held for issue in (*read_issues(item), *_issues(item)))


def echoes_request(answer: PasAnswer, claim_identifier: tuple[str, str], trace_numbers: tuple[str, ...] = ()) -> bool:
    """Whether an answer names our request: by its identifier, its request, or an item's trace number.

    Needed for inquiry hits, since our own numbers are no search keys (spec/pas.md §9).
    """
    named = (*answer.identifiers, *([answer.request_identifier] if answer.request_identifier else ()))
    traced = {number for item in answer.items for number in item.trace_numbers}
    return claim_identifier in named or bool(traced.intersection(trace_numbers))


def _find_claim_response(body: Json) -> tuple[Json, Json]:
    """The Bundle and its ClaimResponse: first entry by rule, else the first found; a bare one is its own Bundle."""
    if body.get("resourceType") == "ClaimResponse":
        return {"resourceType": "Bundle", "entry": [{"resource": body}]}, body
    if body.get("resourceType") == "Parameters":
        inner = [item for item in parameter_resources(body) if resources(item, "ClaimResponse")]
        body = inner[0] if len(inner) == 1 else body
    found = resources(body, "ClaimResponse") if body.get("resourceType") == "Bundle" else ()
    if not found:
        raise PayerUnreadable("The payer's answer holds no ClaimResponse.", code="pas.no-answer")
    return body, found[0]


def _split_bare(bundle: Json) -> tuple[Json, ...]:
    """One Bundle per ClaimResponse: 2.0.1 answers may list several in one."""
    found = resources(bundle, "ClaimResponse")
    if len(found) <= 1:
        return (bundle,) if found else ()
    listed = objects(bundle.get("entry"))
    rest = [entry for entry in listed if one(entry.get("resource")).get("resourceType") != "ClaimResponse"]
    own = (entry for entry in listed if one(entry.get("resource")).get("resourceType") == "ClaimResponse")
    return tuple({**bundle, "entry": [entry, *rest]} for entry in own)


def _missing(bundle: Json, claim_response: Json, request_bundle: Json | None) -> tuple[str, ...]:
    """References of the ClaimResponse that neither Bundle resolves, each once, in order of appearance."""
    answer = BundleIndex(bundle)
    sent = BundleIndex(request_bundle) if request_bundle is not None else None
    named = dict.fromkeys(text(element.get("reference")) for _, element in walk(claim_response))

    def found(reference: str) -> bool:
        if answer.resolve_loosely(reference, holder=claim_response) is not None:
            return True
        return sent is not None and sent.resolve_loosely(reference) is not None

    return tuple(reference for reference in named if reference and not found(reference))


def _numbers(claim_response: Json, reviews: tuple[ItemReview, ...]) -> tuple[AuthorizationNumber, ...]:
    """Every number with its kind; whether one is an approval depends on the item's code."""
    found: list[AuthorizationNumber] = []
    for review in reviews:
        found += [
            AuthorizationNumber(kind="review", value=review.number, sequence=review.sequence),
            AuthorizationNumber(kind="authorization", value=review.authorization_number, sequence=review.sequence),
            AuthorizationNumber(kind="administration", value=review.admin_reference_number, sequence=review.sequence),
        ]
        found += [
            AuthorizationNumber(kind="review", value=added.number, sequence=review.sequence)
            for added in review.add_items
        ]
    header = header_review(claim_response)
    authorization = text(extension_value(claim_response, pas("extension-authorizationNumber")))
    administration = text(extension_value(claim_response, pas("extension-administrationReferenceNumber")))
    found += [
        AuthorizationNumber(kind="review", value=header.number if header else ""),
        AuthorizationNumber(kind="authorization", value=authorization),
        AuthorizationNumber(kind="administration", value=administration),
        AuthorizationNumber(kind="pre-auth-ref", value=text(claim_response.get("preAuthRef"))),
    ]
    return tuple(dict.fromkeys(number for number in found if number.value))


def _human_reviewed(claim_response: Json) -> bool | None:
    reviewer = extensions(claim_response, pas("extension-claimResponseReviewer"))
    flag = extension_value(reviewer[0], "wasHumanReviewedFlag") if reviewer else None
    return flag if isinstance(flag, bool) else None


def _is_differential(bundle: Json, claim_response: Json) -> bool:
    labels = [
        *objects(one(bundle.get("meta")).get("security")),
        *objects(one(claim_response.get("meta")).get("security")),
    ]
    return any(label.get("code") == "SUBSETTED" for label in labels)


def _issues(bundle: Json) -> tuple[Issue, ...]:
    return tuple(issue for entry in entries(bundle) for issue in read_issues(entry.resource))


def _remarks(bundle: Json, claim_response: Json, reviews: tuple[ItemReview, ...]) -> tuple[str, ...]:
    """Oddities worth a line: they inform people and never change a decision."""
    first = next(iter(entries(bundle)), None)
    said = text(claim_response.get("disposition")).lower()
    codes = {review.action_code for review in reviews}
    unexplained = [item for item in reviews if item.action_code == "A3" and not item.reasons and not item.notes]
    checks = (
        ("the ClaimResponse is not the first entry", first is not None and first.resource is not claim_response),
        ("more than one ClaimResponse came; the first was read", len(resources(bundle, "ClaimResponse")) > 1),
        ("disposition disagrees with the review action", _disagrees(said, codes)),
        ("a denial came without reason and without note; ask the payer", bool(unexplained)),
        ("an item carries a review code that is not known here", any(_is_foreign(item) for item in reviews)),
        ("an item has no sequence", any(item.sequence is None for item in reviews)),
    )
    return tuple(message for message, holds in checks if holds)


def _disagrees(disposition: str, codes: set[str | None]) -> bool:
    says_no = any(word in disposition for word in ("denied", "not certified", "not approved", "rejected"))
    says_yes = not says_no and any(word in disposition for word in ("approved", "certified", "authorized"))
    says_pend = any(word in disposition for word in ("pend", "in review"))
    return (
        (says_yes and bool(codes & {"A3", "A4"}))
        or (says_no and bool(codes & {"A1", "A2", "A6", "A4"}))
        or (says_pend and bool(codes) and "A4" not in codes)
    )


def _is_foreign(review: ItemReview) -> bool:
    return bool(review.sent_code) and review.action_code is None
