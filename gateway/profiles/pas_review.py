"""The parts of a ClaimResponse: review actions, added items, errors, notes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from gateway.fhir import Json
from gateway.fhir.extensions import extension_value, extension_values, extensions
from gateway.fhir.reading import calendar_day, codings, objects, one, text, whole_number
from gateway.profiles.pas_records import (
    AddedItem,
    AuthorizationPeriod,
    BusinessError,
    HeaderReview,
    ItemReview,
    ReviewReason,
)
from gateway.profiles.urls import X12_REVIEW_VALUE_SET, pas, x12

REVIEW_ACTION_CODES = frozenset({"A1", "A2", "A3", "A4", "A6", "C", "CT", "NA"})
"""Codes of X12 306 that have a meaning for us; anything else is for a person."""
_REVIEW_SYSTEMS = frozenset({x12("306"), X12_REVIEW_VALUE_SET})
_NOTHING = HeaderReview(action_code=None, system_known=False)


def item_reviews(claim_response: Json) -> tuple[ItemReview, ...]:
    """One review per `item`, with the added items that answer it and the header's code as last resort."""
    notes = note_texts(claim_response)
    added = added_items(claim_response)
    header = header_review(claim_response)
    reviews = (_item_review(item, notes, header) for item in objects(claim_response.get("item")))
    return tuple(replace(review, add_items=_answering(added, review.sequence)) for review in reviews)


def added_items(claim_response: Json) -> tuple[AddedItem, ...]:
    """The `addItem` entries, in order."""
    notes = note_texts(claim_response)
    return tuple(_added_item(item, notes) for item in objects(claim_response.get("addItem")))


def header_review(claim_response: Json) -> HeaderReview | None:
    """The review action on the claim as a whole; None when there is none."""
    found = _review_of(claim_response.get("adjudication"))
    return None if found is _NOTHING else found


def read_errors(claim_response: Json) -> tuple[BusinessError, ...]:
    """The business errors (X12 AAA), whichever version wrote them."""
    return tuple(_error(error) for error in objects(claim_response.get("error")))


def note_texts(claim_response: Json) -> dict[int, str]:
    """Texts of the processNotes by their number; notes without number get negative ones, so none is lost."""
    found: dict[int, str] = {}
    for position, note in enumerate(objects(claim_response.get("processNote")), start=1):
        number = whole_number(note.get("number"))
        found[-position if number is None or number in found else number] = text(note.get("text"))
    return {number: words for number, words in found.items() if words}


def read_identifier(identifier: Json) -> tuple[str, str] | None:
    """An Identifier as (system, value); None without a value."""
    value = text(identifier.get("value"))
    return (text(identifier.get("system")), value) if value else None


def read_period(value: Any) -> AuthorizationPeriod | None:
    """A Period in days; a lone date is a period of one day; None when nothing readable is there."""
    if isinstance(value, str):
        day = calendar_day(value)
        return AuthorizationPeriod(starts_on=day, ends_on=day) if day else None
    period = one(value)
    start, end = calendar_day(period.get("start")), calendar_day(period.get("end"))
    return AuthorizationPeriod(starts_on=start, ends_on=end) if start or end else None


def _item_review(item: Json, notes: dict[int, str], header: HeaderReview | None) -> ItemReview:
    own = _review_of(item.get("adjudication"))
    from_header = header is not None and not own.sent_code
    used = header if header is not None and from_header else own
    traces = extension_values(item, pas("extension-itemTraceNumber"))
    return ItemReview(
        sequence=whole_number(item.get("itemSequence")),
        action_code=used.action_code,
        sent_code=used.sent_code,
        system_known=used.system_known,
        from_header=from_header,
        number=own.number or used.number,
        reasons=own.reasons or used.reasons,
        notes=_linked_notes(item, notes),
        period=read_period(extension_value(item, pas("extension-itemPreAuthPeriod"))),
        issued_on=calendar_day(extension_value(item, pas("extension-itemPreAuthIssueDate"))),
        trace_numbers=tuple(filter(None, (text(one(trace).get("value")) for trace in traces))),
        authorization_number=text(extension_value(item, pas("extension-authorizationNumber"))),
        admin_reference_number=text(extension_value(item, pas("extension-administrationReferenceNumber"))),
        authorized_detail=next(iter(extensions(item, pas("extension-itemAuthorizedDetail"))), None),
        second_opinion=_asks_second_opinion(item),
        raw=item,
    )


def _added_item(item: Json, notes: dict[int, str]) -> AddedItem:
    review = _review_of(item.get("adjudication"))
    sequences = item.get("itemSequence")
    listed = sequences if isinstance(sequences, list | tuple) else [sequences]
    period = extension_value(item, pas("extension-itemPreAuthPeriod"))
    return AddedItem(
        item_sequences=tuple(number for number in map(whole_number, listed) if number is not None),
        action_code=review.action_code,
        sent_code=review.sent_code,
        number=review.number,
        reasons=review.reasons,
        product_or_service=one(item.get("productOrService")),
        quantity=one(item.get("quantity")),
        period=read_period(period) or read_period(item.get("servicedPeriod") or item.get("servicedDate")),
        notes=_linked_notes(item, notes),
        raw=item,
    )


def _answering(added: Iterable[AddedItem], sequence: int | None) -> tuple[AddedItem, ...]:
    return tuple(item for item in added if sequence is not None and sequence in item.item_sequences)


def _review_of(adjudications: Any) -> HeaderReview:
    """The first review action with a known code; else the first at all; `_NOTHING` when there is none."""
    actions = [
        _read_action(action)
        for adjudication in objects(adjudications)
        for action in extensions(adjudication, pas("extension-reviewAction"))
    ]
    known = next((action for action in actions if action.action_code), None)
    return known or (actions[0] if actions else _NOTHING)


def _read_action(action: Json) -> HeaderReview:
    """One reviewAction: of several codings the first known one counts; a coding of another system never does."""
    concepts = extension_values(action, pas("extension-reviewActionCode"), "reviewActionCode")
    listed = [coding for concept in concepts for coding in codings(concept)]
    in_system = [coding for coding in listed if text(coding.get("system")).rstrip("/") in _REVIEW_SYSTEMS]
    known = next((item for item in in_system if text(item.get("code")) in REVIEW_ACTION_CODES), None)
    shown = known or next(iter(in_system or listed), {})
    return HeaderReview(
        action_code=text(known.get("code")) if known else None,
        sent_code=text(shown.get("code")),
        system_known=bool(in_system),
        number=text(extension_value(action, "number")),
        reasons=tuple(_reason(value) for value in extension_values(action, "reasonCode")),
    )


def _reason(value: Any) -> ReviewReason:
    concept = one(value)
    coding = next(iter(codings(concept)), {})
    return ReviewReason(
        code=text(coding.get("code")),
        system=text(coding.get("system")),
        text=text(concept.get("text")) or text(coding.get("display")),
    )


def _linked_notes(item: Json, notes: dict[int, str]) -> tuple[str, ...]:
    numbers = item.get("noteNumber")
    listed = numbers if isinstance(numbers, list | tuple) else [numbers]
    found = (notes.get(number) for number in map(whole_number, listed) if number is not None)
    return tuple(words for words in found if words)


def _asks_second_opinion(item: Json) -> bool:
    actions = (
        action
        for adjudication in objects(item.get("adjudication"))
        for action in extensions(adjudication, pas("extension-reviewAction"))
    )
    return any(extension_value(action, "secondSurgicalOpinionFlag") is True for action in actions)


def _error(error: Json) -> BusinessError:
    concept = one(error.get("code"))
    coding = next(iter(codings(concept)), {})
    followups = extension_values(error, pas("extension-errorFollowupAction"))
    element = next(iter(extensions(error, pas("extension-errorElement"))), {})
    named = text(extension_value(element, "error")) or text(element.get("valueString"))
    return BusinessError(
        code=text(coding.get("code")),
        text=text(concept.get("text")) or text(coding.get("display")),
        followup_actions=tuple(text(item.get("code")) for value in followups for item in codings(value)),
        path=text(extension_value(error, pas("extension-errorPath"))),
        element=named,
        item_sequence=whole_number(error.get("itemSequence")),
    )
