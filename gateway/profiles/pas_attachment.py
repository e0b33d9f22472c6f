"""Documents sent after a pend: CDex `$submit-attachment` (spec/pas.md §6.4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from gateway.errors import InputError
from gateway.fhir import Json
from gateway.fhir.codes import LOINC
from gateway.fhir.parameters import build_parameter, build_parameters
from gateway.fhir.reading import thaw
from gateway.profiles.pas_graph import require
from gateway.profiles.pas_records import DocumentRequest
from gateway.profiles.urls import x12

OPERATION = "$submit-attachment"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """One document of a reply."""

    content: Json
    """Any resource; a DocumentReference with inline data, or the QuestionnaireResponse asked for."""
    code: tuple[str, str] | None = None
    """(system, code) as it was asked for; None for questionnaires."""
    line_items: tuple[int, ...] = ()
    """Item sequences it is about; empty = the whole claim."""


def build_attachment_parameters(
    *,
    tracking_id: tuple[str, str],
    member_id: tuple[str, str],
    attachments: Sequence[Attachment],
    organization_id: tuple[str, str] | None = None,
    provider_id: tuple[str, str] | None = None,
    payer_id: tuple[str, str] | None = None,
    administration_number: str = "",
    service_on: date | None = None,
    is_final: bool = True,
) -> dict[str, Any]:
    """The Parameters of `$submit-attachment` for a prior authorization.

    Identifiers are (system, value), the system may be empty. `tracking_id` is the control number of the
    request for documents, or our own for what we send unasked. `is_final` is False on all but the last
    call. `InputError` when nothing is attached, or neither organization nor provider is named.
    """
    require(attachments, "At least one document is needed.", "cdex.attachment", "Parameters.parameter")
    named = organization_id or provider_id
    require(named, "Organization or provider must be named.", "cdex.sender", "Parameters.parameter")
    listed = [_identifier("TrackingId", tracking_id)]
    if administration_number:
        listed.append(_identifier("AdminRefNumber", ("", administration_number)))
    listed.append(build_parameter("AttachTo", "Code", "preauthorization"))
    optional = (("PayerId", payer_id), ("OrganizationId", organization_id), ("ProviderId", provider_id))
    listed += [_identifier(name, value) for name, value in optional if value]
    listed.append(_identifier("MemberId", member_id))
    if service_on:
        listed.append(build_parameter("ServiceDate", "DateTime", service_on.isoformat()))
    listed += [_attachment(item) for item in attachments]
    return build_parameters([*listed, build_parameter("Final", "Boolean", is_final)])


def requested_code(request: DocumentRequest) -> tuple[str, str] | None:
    """The code to repeat in the reply: LOINC where one was asked, else the report type; None for questionnaires."""
    if request.is_questionnaire:
        return None
    if request.loinc_codes:
        return LOINC, request.loinc_codes[0]
    return (x12("755"), request.report_types[0]) if request.report_types else None


def attachment_url(payer_url: str) -> str:
    """The address to post to: the operation is appended unless the payer's url ends in it [derived]."""
    bare = payer_url.rstrip("/")
    if not bare:
        raise InputError("The payer names no address for attachments.", code="cdex.address")
    return bare if bare.endswith(OPERATION) else f"{bare}/{OPERATION}"


def _attachment(item: Attachment) -> dict[str, Any]:
    parts: list[dict[str, Any]] = [build_parameter("LineItem", "String", str(line)) for line in item.line_items]
    if item.code:
        system, code = item.code
        parts.append(build_parameter("Code", "CodeableConcept", {"coding": [{"system": system, "code": code}]}))
    parts.append({"name": "Content", "resource": thaw(item.content)})
    return {"name": "Attachment", "part": parts}


def _identifier(name: str, value: tuple[str, str]) -> dict[str, Any]:
    system, number = value
    require(number, f"{name} is needed.", "cdex.identifier", "Parameters.parameter")
    return build_parameter(name, "Identifier", {"system": system, "value": number} if system else {"value": number})
