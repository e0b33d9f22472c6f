"""Documents attached to a request: inline, readable, and sealed where they are FHIR documents.

Structure only. Whether a signature is true is for the receiver's own software; here it must be there, name what it is
and hold readable base64. Source: spec/pas.md §4 (DocumentReference), §6.4 (CONF-025).
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from typing import Any

from gateway.fhir import Json
from payer_endpoints.harness import names
from payer_endpoints.harness.guides import Guide
from payer_endpoints.harness.outcomes import Issue
from payer_endpoints.harness.reading import as_object, as_objects, as_text, at, entries, parse_body, type_of


def check_documents(bundle: Json, guide: Guide) -> Iterator[Issue]:
    """Everything wrong with the DocumentReferences of a Bundle; 2.0.1 lets a document be named by url instead."""
    for position, (_, resource) in enumerate(entries(bundle)):
        if type_of(resource) == "DocumentReference" and (guide is Guide.STU2_2 or not _is_by_url(resource)):
            yield from check_document_reference(resource, f"Bundle.entry[{position}].resource")


def check_document_reference(resource: Json, place: str) -> Iterator[Issue]:
    """A PAS DocumentReference: inline data, no url, and its sealed Bundle where it says it is one."""
    contents = as_objects(resource.get("content"))
    if not contents:
        yield Issue(text="A DocumentReference has content.", at=f"{place}.content", code="required")
    for key in ("type", "category", "subject", "status"):
        if not resource.get(key):
            yield Issue(text=f"DocumentReference.{key} is required.", at=f"{place}.{key}", code="required")
    for content in contents:
        attachment = as_object(content.get("attachment"))
        spot = f"{place}.content.attachment"
        if "url" in attachment:
            yield Issue(text="Documents travel inline, not by url.", at=f"{spot}.url", source="spec-21")
        data = decode(attachment.get("data"))
        if not data:
            yield Issue(text="attachment.data must be base64 of something.", at=f"{spot}.data", code="required")
        elif as_text(attachment.get("contentType")).split(";")[0] == names.FHIR_JSON:
            yield from check_sealed(data, f"{spot}.data")


def _is_by_url(resource: Json) -> bool:
    attachments = [as_object(content.get("attachment")) for content in as_objects(resource.get("content"))]
    return bool(attachments) and all("url" in item and "data" not in item for item in attachments)


def check_sealed(data: bytes, place: str) -> Iterator[Issue]:
    """A FHIR document: Bundle of type document, Composition first, identifier, timestamp, signature."""
    document, reason = parse_body(data)
    if document is None:
        yield Issue(text=f"The attached document cannot be read: {reason}", at=place, code="structure")
        return
    if type_of(document) != "Bundle" or document.get("type") != "document":
        yield Issue(text="The attached resource is not a document Bundle.", at=place, severity="warning")
        return
    listed = entries(document)
    if not listed or type_of(listed[0][1]) != "Composition":
        yield Issue(text="A document begins with its Composition.", at=place, source="bdl-11")
    if not at(document, "identifier", "system") or not at(document, "identifier", "value"):
        yield Issue(text="A document has an identifier with system and value.", at=place, source="bdl-9")
    if not document.get("timestamp"):
        yield Issue(text="A document has a timestamp.", at=place, source="bdl-10")
    yield from _check_signature(as_object(document.get("signature")), place)


def _check_signature(signature: Json, place: str) -> Iterator[Issue]:
    if not signature:
        yield Issue(text="The attached document is not signed.", at=f"{place}.signature", source="CONF-025")
        return
    for key in ("type", "when", "who"):
        if not signature.get(key):
            yield Issue(text=f"The signature lacks {key}.", at=f"{place}.signature.{key}", source="CONF-025")
    if not decode(signature.get("data")):
        yield Issue(text="The signature holds no data.", at=f"{place}.signature.data", source="CONF-025")


def decode(value: Any) -> bytes:
    """The bytes of strict base64 (white space between lines is allowed); b"" for anything else."""
    try:
        return base64.b64decode("".join(as_text(value).split()), validate=True)
    except (ValueError, binascii.Error):
        return b""
