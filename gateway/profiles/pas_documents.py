"""What a pended answer asks for: documents by code, or the payer's questionnaire (spec/pas.md §6)."""

from __future__ import annotations

from collections.abc import Iterable

from gateway.fhir import Json
from gateway.fhir.bundle import BundleIndex, resources
from gateway.fhir.codes import LOINC
from gateway.fhir.extensions import extension_values
from gateway.fhir.reading import codings, objects, one, text, whole_number
from gateway.fhir.references import reference_text
from gateway.profiles.pas_records import DocumentRequest, ItemReview
from gateway.profiles.urls import pas, x12

QUESTIONNAIRE_REQUEST = "102089-0"
"""LOINC code that asks for the payer's questionnaire instead of a document (pas:ainfo-2)."""
_LINE = (pas("extension-serviceLineNumber"), pas("extension-paLineNumber"))


def read_document_requests(
    bundle: Json, claim_response: Json, reviews: Iterable[ItemReview]
) -> tuple[DocumentRequest, ...]:
    """One entry per document wanted.

    2.2.1 sends a CommunicationRequest per document; 2.0.1 may put several payloads into one. A category
    without payload is a complete request. CommunicationRequests nobody points to are read as well, since
    real answers forget the pointer.
    """
    listed = tuple(reviews)
    requests = _pointed_to(bundle, claim_response)
    return tuple(found for request in requests for found in _of_one(request, claim_response, listed))


def _pointed_to(bundle: Json, claim_response: Json) -> tuple[Json, ...]:
    index = BundleIndex(bundle)
    named = [reference_text(item) for item in objects(claim_response.get("communicationRequest"))]
    found = [index.resolve_loosely(reference, holder=claim_response) for reference in named]
    known = [item for item in found if item is not None]
    return (*known, *(item for item in resources(bundle, "CommunicationRequest") if item not in known))


def _of_one(request: Json, claim_response: Json, reviews: tuple[ItemReview, ...]) -> tuple[DocumentRequest, ...]:
    payloads = objects(request.get("payload")) or ({},)
    return tuple(_request(request, payload, claim_response, reviews) for payload in payloads)


def _request(request: Json, payload: Json, claim_response: Json, reviews: tuple[ItemReview, ...]) -> DocumentRequest:
    wanted = text(payload.get("contentString")).strip()
    codes = _loinc_codes(payload, wanted)
    identifier = next(iter(objects(request.get("identifier"))), {})
    lines = _lines(payload) or _lines(request)
    asks_form = QUESTIONNAIRE_REQUEST in codes
    return DocumentRequest(
        control_number=text(identifier.get("value")),
        control_number_system=text(identifier.get("system")),
        loinc_codes=codes,
        report_types=_codes_of(request.get("category"), x12("755")),
        line_numbers=lines,
        mediums=tuple(text(c.get("code")) for m in objects(request.get("medium")) for c in codings(m)),
        is_questionnaire=asks_form,
        context=_context(claim_response, reviews, lines) if asks_form else "",
        text="" if wanted in codes else wanted,
        raw=request,
    )


def _loinc_codes(payload: Json, wanted: str) -> tuple[str, ...]:
    """LOINC codes of a payload: the plain string of R4, or the coded content some servers already send."""
    number, dash, check = wanted.partition("-")
    plain = (wanted,) if dash and number.isdigit() and check.isdigit() else ()
    coded = (
        text(coding.get("code"))
        for key, value in payload.items()
        if key.startswith("content") and key != "contentString"
        for coding in codings(value)
        if coding.get("system") == LOINC
    )
    extended = (
        text(coding.get("code"))
        for extension in objects(payload.get("extension"))
        for coding in codings(extension.get("valueCodeableConcept"))
        if coding.get("system") == LOINC and "payload.content" in text(extension.get("url"))
    )
    return tuple(dict.fromkeys((*plain, *coded, *extended)))


def _codes_of(concepts: object, system: str) -> tuple[str, ...]:
    found = (coding for concept in objects(concepts) for coding in codings(concept))
    return tuple(dict.fromkeys(text(coding.get("code")) for coding in found if coding.get("system") in (system, None)))


def _lines(element: Json) -> tuple[int, ...]:
    found = (whole_number(value) for value in extension_values(element, *_LINE))
    return tuple(number for number in found if number is not None)


def _context(claim_response: Json, reviews: tuple[ItemReview, ...], lines: tuple[int, ...]) -> str:
    """DTR context id: the item's trace number, else the identifier of the ClaimResponse [derived]."""
    concerned = [review for review in reviews if not lines or review.sequence in lines]
    traced = [number for review in concerned for number in review.trace_numbers]
    if traced:
        return traced[0]
    return text(one(claim_response.get("identifier")).get("value"))
