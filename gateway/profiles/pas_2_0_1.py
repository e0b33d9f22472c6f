"""PAS 2.0.1: the names of 2.2.1, with the few things that version writes differently.

Payers on 2.1 are served as 2.0.1 until shown otherwise (spec/design.md §7). Readers know every version
and are shared. Differences: spec/pas.md §13.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date, datetime
from typing import Any

from gateway.fhir import Json
from gateway.fhir.extensions import build_extension, without_extensions
from gateway.fhir.reading import objects, one, thaw
from gateway.profiles import pas_inquiry, pas_request, pas_subscription, pas_task, pas_update
from gateway.profiles.pas_2_2_1 import (
    REPORT_TYPE_SYSTEM,
    REVIEW_ACTION_CODES,
    AddedItem,
    Attachment,
    AuthorizationNumber,
    AuthorizationPeriod,
    BusinessError,
    CareTeamMember,
    ClaimUpdate,
    CompletedForm,
    DocumentRequest,
    HeaderReview,
    InquiryKeys,
    ItemChange,
    ItemReview,
    NotificationEvent,
    NotificationMessage,
    PasAnswer,
    PasCodes,
    PasDiagnosis,
    PasItem,
    PasRequest,
    ReviewReason,
    SealedDocument,
    Supporting,
    TransmissionIdentifiers,
    attachment_url,
    build_attachment_parameters,
    build_insurer,
    diagnoses_of,
    echoes_request,
    information_in_force,
    read_inquiry_answer,
    read_inquiry_issues,
    read_notification,
    read_pas_answer,
    requested_code,
    service_days,
    service_of,
    split_kinds,
)
from gateway.profiles.urls import PAS_TEMP_CODES, RELATED_CLAIM, pas

VERSION = "2.0.1"
_ONLY_LATER = (pas("extension-documentInformation"), pas("extension-TransmissionIdentifiers"))


def build_request_bundle(request: PasRequest, new_uuid: Callable[[], str]) -> dict[str, Any]:
    """The Bundle of a first submission, without what 2.0.1 does not know."""
    return _older(pas_request.build_request_bundle(replace(request, transmission=None), new_uuid))


def build_inquiry_bundle(
    request: PasRequest, new_uuid: Callable[[], str], keys: InquiryKeys | None = None
) -> dict[str, Any]:
    """The Bundle of an `$inquire`; numbers stand on an item, never on the Claim."""
    return _older(pas_inquiry.build_inquiry_bundle(replace(request, transmission=None), new_uuid, keys))


def build_update_bundle(prior: Json, update: ClaimUpdate, new_uuid: Callable[[], str]) -> dict[str, Any]:
    """The Bundle of an update: one Claim only, the prior one named by its identifier.

    The narrative's relation `replaces` is no code of its list, so it goes as text beside `prior`.
    """
    _, prior_claim = pas_update.require_claim(prior)
    pool = pas_update.pool_of(prior, update, new_uuid)
    claim = pas_update.restate(prior_claim, update, pool)
    relationship = {"coding": [{"system": RELATED_CLAIM, "code": "prior"}], "text": "replaces"}
    identifier = thaw(one(prior_claim.get("identifier")))
    claim["related"] = [{"claim": {"identifier": identifier}, "relationship": relationship}]
    url = pool.put(pool.new_url(), claim)
    return _older(pas_update.wrap_update(update, pool.close(url)))


def build_subscription(
    endpoint: str,
    org_identifier: str | tuple[str, ...],
    header: tuple[str, ...] = (),
    reason: str = "Decisions on prior authorizations of this organization.",
    end: datetime | None = None,
    *,
    heartbeat_seconds: int | None = None,
    filter_name: str = "orgIdentifier",
    payload_content: str = "id-only",
    plain_http: bool = False,
) -> dict[str, Any]:
    """The Subscription of one sending system: id-only by default, each event followed by one inquiry."""
    built = pas_subscription.build_subscription(
        endpoint,
        org_identifier,
        header,
        reason,
        end,
        heartbeat_seconds=heartbeat_seconds,
        filter_name=filter_name,
        payload_content=payload_content,
        plain_http=plain_http,
    )
    return {key: value for key, value in built.items() if key != "meta"}


def build_task(
    *,
    identifier: tuple[str, str],
    requests: Sequence[DocumentRequest],
    patient: str,
    claim: Json,
    payer: tuple[str, str],
    organization: tuple[str, str],
    payer_url: str,
    due_on: date | None = None,
    status: str = "requested",
    status_reason: str = "",
) -> dict[str, Any]:
    """As in 2.2.1, with that version's line numbers and the questionnaire named by an Identifier."""
    built = pas_task.build_task(
        identifier=identifier,
        requests=requests,
        patient=patient,
        claim=claim,
        payer=payer,
        organization=organization,
        payer_url=payer_url,
        due_on=due_on,
        status=status,
        status_reason=status_reason,
    )
    return {**built, "input": [_older_input(entry, payer[0]) for entry in built["input"]]}


def _older_input(entry: Json, system: str) -> dict[str, Any]:
    lines = [item.get("valuePositiveInt") for item in objects(entry.get("extension"))]
    older = {key: value for key, value in entry.items() if key not in ("extension", "valueString")}
    if lines:
        older = {"extension": [build_extension(pas("extension-paLineNumber"), "Integer", n) for n in lines], **older}
    if "valueString" in entry:
        older["type"] = {"coding": [{"system": PAS_TEMP_CODES, "code": "questionnaires-needed"}]}
        older["valueIdentifier"] = {"system": system, "value": entry["valueString"]}
    return older


def _older(bundle: Json) -> dict[str, Any]:
    """A Bundle of the 2.2.1 builders as 2.0.1 knows it."""
    built: dict[str, Any] = thaw(bundle)
    for entry in built["entry"]:
        resource = entry["resource"]
        if resource["resourceType"] == "Claim":
            entry["resource"] = _older_claim(resource)
        elif resource["resourceType"] == "DocumentReference":
            entry["resource"] = {key: value for key, value in resource.items() if key != "meta"}
    return built


def _older_claim(claim: Json) -> dict[str, Any]:
    older = without_extensions(claim, *_ONLY_LATER)
    listed = [without_extensions(info, *_ONLY_LATER) for info in objects(claim.get("supportingInfo"))]
    return {**older, "supportingInfo": listed} if listed else older


__all__ = [
    "AddedItem",
    "Attachment",
    "AuthorizationNumber",
    "AuthorizationPeriod",
    "BusinessError",
    "CareTeamMember",
    "ClaimUpdate",
    "CompletedForm",
    "DocumentRequest",
    "HeaderReview",
    "InquiryKeys",
    "ItemChange",
    "ItemReview",
    "NotificationEvent",
    "NotificationMessage",
    "PasAnswer",
    "PasCodes",
    "PasDiagnosis",
    "PasItem",
    "PasRequest",
    "REPORT_TYPE_SYSTEM",
    "REVIEW_ACTION_CODES",
    "ReviewReason",
    "SealedDocument",
    "Supporting",
    "TransmissionIdentifiers",
    "VERSION",
    "attachment_url",
    "build_attachment_parameters",
    "build_inquiry_bundle",
    "build_insurer",
    "build_request_bundle",
    "build_subscription",
    "build_task",
    "build_update_bundle",
    "diagnoses_of",
    "echoes_request",
    "information_in_force",
    "read_inquiry_answer",
    "read_inquiry_issues",
    "read_notification",
    "read_pas_answer",
    "requested_code",
    "service_days",
    "service_of",
    "split_kinds",
]
