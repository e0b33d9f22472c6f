"""Additional information of a request: documents, forms and chart resources (spec/pas.md §3.1, §4).

Sealed bytes travel as base64 in a DocumentReference and are never rewritten; beside them goes the
readable copy of a completed form, whose references are rewritten like those of any entry.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

from gateway.errors import InputError
from gateway.fhir import Json
from gateway.fhir.codes import LOINC
from gateway.fhir.instants import write_instant
from gateway.fhir.reading import codings, objects, one, text, thaw
from gateway.fhir.references import read_reference
from gateway.profiles.pas_graph import EntryPool, identity, require
from gateway.profiles.pas_input import CompletedForm, PasCodes, SealedDocument, Supporting
from gateway.profiles.urls import PAS_TEMP_CODES, US_CORE_DOCUMENT_CATEGORY, pas, x12

ALLOWED = frozenset(
    {
        *("DocumentReference", "QuestionnaireResponse", "AllergyIntolerance", "Condition", "DiagnosticReport"),
        *("Immunization", "MedicationRequest", "Procedure", "ServiceRequest", "Observation", "NutritionOrder"),
        *("DeviceRequest", "Bundle"),
    }
)
"""Types that additionalInformation may point to in 2.2.1."""
NO_BINARIES: Mapping[str, Json] = {}
_DROPPED = frozenset({"meta", "text", "implicitRules", "language"})


def supporting_info(sequence: int, category: str, **value: Any) -> dict[str, Any]:
    """One supportingInfo entry of a category of the guide."""
    coding = {"system": PAS_TEMP_CODES, "code": category}
    return {"sequence": sequence, "category": {"coding": [coding]}, **value}


def add_supporting(
    pool: EntryPool, item: Supporting, sequence: int, codes: PasCodes, patient_url: str, binaries: Mapping[str, Json]
) -> dict[str, Any]:
    """Put the content into the pool and return its supportingInfo entry (2.2.1, with documentInformation)."""
    url, kind = add_content(pool, item, patient_url, binaries)
    report_type = item.report_type or codes.report_types.get(kind, codes.report_type)
    information = supporting_info(sequence, "additionalInformation", valueReference={"reference": url})
    extension = document_information(report_type, item.control_number, item.description)
    return {"sequence": sequence, "extension": [extension], **information}


def document_information(report_type: str, control_number: str = "", description: str = "") -> dict[str, Any]:
    """extension-documentInformation: report type, and the control number an attachment will refer to."""
    coding = {"system": x12("755"), "code": report_type}
    parts: list[dict[str, Any]] = [{"url": "reportTypeCode", "valueCodeableConcept": {"coding": [coding]}}]
    parts += [{"url": "controlNumber", "valueString": control_number}] if control_number else []
    parts += [{"url": "description", "valueString": description}] if description else []
    return {"url": pas("extension-documentInformation"), "extension": parts}


def add_content(pool: EntryPool, item: Supporting, patient_url: str, binaries: Mapping[str, Json]) -> tuple[str, str]:
    """The address of the content and the resource type it counts as."""
    content = item.content
    if isinstance(content, SealedDocument):
        return pool.add(document_reference(content, patient_url, item.control_number)), "DocumentReference"
    if isinstance(content, CompletedForm):
        return _add_form(pool, content, binaries), "QuestionnaireResponse"
    if content.get("resourceType") == "Bundle":
        return _add_form(pool, form_of_bundle(content), binaries), "QuestionnaireResponse"
    return _add_resource(pool, content, binaries), text(content.get("resourceType"))


def document_reference(document: SealedDocument, patient_url: str, control_number: str = "") -> dict[str, Any]:
    """PAS DocumentReference with the exact bytes inline and their SHA-1 as FHIR wants it; never a url."""
    attachment: dict[str, Any] = {
        "contentType": document.content_type,
        "data": base64.b64encode(document.body).decode("ascii"),
        "size": len(document.body),
        "hash": attachment_hash(document.body),
    }
    built: dict[str, Any] = {
        "resourceType": "DocumentReference",
        "meta": {"profile": [pas("profile-documentreference")]},
    }
    if control_number:
        built["identifier"] = [{"value": control_number}]
    built |= {
        "status": "current",
        "type": {"coding": [{"system": LOINC, "code": document.type_code}]},
        "category": [{"coding": [{"system": US_CORE_DOCUMENT_CATEGORY, "code": "clinical-note"}]}],
        "subject": {"reference": patient_url},
    }
    if document.created_at is not None:
        built["date"] = write_instant(document.created_at)
        attachment["creation"] = write_instant(document.created_at)
    titled = {**attachment, "title": document.title} if document.title else attachment
    return {**built, "content": [{"attachment": titled}]}


def form_of_bundle(bundle: Json) -> CompletedForm:
    """A DTR Bundle (collection, QuestionnaireResponse first) as a form; `InputError` for any other Bundle."""
    held = [one(entry.get("resource")) for entry in objects(bundle.get("entry"))]
    is_form = bool(held) and held[0].get("resourceType") == "QuestionnaireResponse"
    require(
        is_form, "A Bundle of additional information starts with a QuestionnaireResponse.", "pas.form", "Bundle.entry"
    )
    return CompletedForm(response=held[0], evidence=tuple(item for item in held[1:] if item))


def inline_attachments(resource: Json, binaries: Mapping[str, Json]) -> dict[str, Any]:
    """A copy whose attachments carry their data inline: `url` is replaced by the Binary it names (B105).

    `InputError` (`pas.attachment`) when the Binary is not at hand or its hash does not match.
    """
    copied: dict[str, Any] = thaw(resource)
    for content in copied.get("content") or ():
        attachment = content.get("attachment") or {}
        if "data" not in attachment and attachment.get("url"):
            attachment["data"] = _data_of(text(attachment["url"]), binaries)
        if attachment.get("hash"):
            require(
                _hash_fits(attachment), "A document's hash does not fit its bytes.", "pas.attachment", "Attachment.hash"
            )
        attachment.pop("url", None)
    return copied


def binaries_by_name(referenced: Iterable[Json], named: Mapping[str, Json] = NO_BINARIES) -> dict[str, Json]:
    """Binaries under every name an attachment's url may have: `Binary/id`, and whole urls or urns as given."""
    own = {identity(item): item for item in referenced if item.get("resourceType") == "Binary"}
    return {**own, **named}


def attachment_hash(body: bytes) -> str:
    """Attachment.hash of R4: SHA-1 of the bytes in base64. It guards against mix-ups, not against attackers."""
    return base64.b64encode(hashlib.sha1(body, usedforsecurity=False).digest()).decode("ascii")


def _add_form(pool: EntryPool, form: CompletedForm, binaries: Mapping[str, Json]) -> str:
    if not form.as_bundle:
        for item in form.evidence:
            _add_resource(pool, item, binaries)
        return _add_resource(pool, form.response, binaries)
    members = [form.response, *(item for item in form.evidence if not pool.holds(item))]
    entries = [{"fullUrl": pool.add_inner(item), "resource": clean(item, binaries)} for item in members]
    return pool.put(pool.new_url(), {"resourceType": "Bundle", "type": "collection", "entry": entries})


def _add_resource(pool: EntryPool, resource: Json, binaries: Mapping[str, Json]) -> str:
    kind = text(resource.get("resourceType"))
    require(kind in ALLOWED, "PAS takes no such resource as additional information.", "pas.supporting-type", kind)
    is_fit = kind != "DiagnosticReport" or _is_laboratory(resource)
    require(is_fit, "Only laboratory reports go as such; send others as a document.", "pas.supporting-type", kind)
    return pool.put(pool.reserve(resource), clean(resource, binaries))


_PEOPLE_AND_PLACES = frozenset({"Device", "Encounter", "Location", "Organization", "Practitioner", "PractitionerRole"})
"""Types whose extensions are the EHR's own business and stay at home (pas:conf-9)."""


def _is_laboratory(report: Json) -> bool:
    """Whether a report is one of US Core's laboratory reports, the only kind the guide takes."""
    listed = (coding for category in objects(report.get("category")) for coding in codings(category))
    return any(coding.get("code") == "LAB" for coding in listed)


def clean(resource: Json, binaries: Mapping[str, Json] = NO_BINARIES) -> dict[str, Any]:
    """A resource as it travels: no metadata, no narrative, no language, attachments inline."""
    kept = {key: thaw(value) for key, value in resource.items() if key not in _DROPPED}
    if kept.get("resourceType") in _PEOPLE_AND_PLACES:
        return {key: value for key, value in kept.items() if key not in ("extension", "modifierExtension")}
    if kept.get("resourceType") != "DocumentReference":
        return kept
    profile = {"profile": [pas("profile-documentreference")]}
    return _with_meta(inline_attachments(kept, binaries), profile)


def _with_meta(resource: dict[str, Any], meta: dict[str, Any]) -> dict[str, Any]:
    head: dict[str, Any] = {key: resource[key] for key in ("resourceType", "id") if key in resource}
    return {**head, "meta": meta, **{key: value for key, value in resource.items() if key not in head}}


def _data_of(url: str, binaries: Mapping[str, Json]) -> str:
    names = (url, read_reference(url).url, read_reference(url).relative)
    found = next((binaries[name] for name in names if name in binaries), {})
    if found.get("resourceType") != "Binary" or not found.get("data"):
        raise InputError("A document points to bytes that are not at hand.", code="pas.attachment", status=422)
    return text(found["data"])


def _hash_fits(attachment: Json) -> bool:
    try:
        body = base64.b64decode(text(attachment.get("data")), validate=True)
    except (binascii.Error, ValueError):
        return False
    return attachment_hash(body) == attachment.get("hash")
