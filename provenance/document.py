"""The sealed document: a document Bundle put together from slices and signed as CDex asks.

The signature covers the RFC 8785 form of the Bundle without its own `id`, `meta` and `signature`;
everything inside the entries stays as it is, ids and meta too. Source: spec/provenance.md §6.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from provenance.activities import VERIFICATION
from provenance.canonical import dump_plain, jcs, parse_strict
from provenance.codes import Code
from provenance.errors import JwsError, StatementError, StrictJsonError
from provenance.fhir_signature import commitments, instant, require_valid, signature_element
from provenance.identifiers import Identifier
from provenance.jws import Signer, sign_detached
from provenance.parties import organization
from provenance.slices import add_member
from provenance.urls import DOCUMENT_TARGET_FORMAT

UNSIGNED_MEMBERS: Final = ("id", "meta", "signature")
"""Root members of a Bundle that its signature leaves out."""
SIGNATURE_MEMBERS: Final = frozenset({"id", "type", "when", "who", "targetFormat", "sigFormat", "data"})


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentEntry:
    """One entry of a document to be assembled."""

    full_url: str
    """The EHR's absolute URL, or `urn:uuid:…` for what the gateway made."""
    raw: bytes
    """The resource's exact bytes; spliced in as they are."""


def assemble_document(*, identifier: Identifier, timestamp: datetime, entries: Sequence[DocumentEntry]) -> bytes:
    """An unsigned document Bundle; the Composition comes first.

    Resources are spliced in as text, so the digest of each entry is the digest of what was received.
    Errors: StrictJsonError for an entry that is not strict JSON, StatementError for a document without one.
    """
    if not entries or parse_strict(entries[0].raw).get("resourceType") != "Composition":
        raise StatementError("a document begins with its Composition")
    for entry in entries:
        parse_strict(entry.raw)
    head = {"resourceType": "Bundle", "identifier": identifier.as_fhir(), "type": "document"}
    start = dump_plain({**head, "timestamp": instant(timestamp)})[:-1]
    parts = [b'{"fullUrl":' + dump_plain(entry.full_url) + b',"resource":' + entry.raw + b"}" for entry in entries]
    return start + b',"entry":[' + b",".join(parts) + b"]}"


def seal_document(bundle_text: bytes, signer: Signer, when: datetime, who_identifier: Identifier) -> bytes:
    """The document with `Bundle.signature`; every byte that was there stays.

    `who_identifier` is the organization's, carried by the signer's certificate. The chain of the signer
    travels in `x5c`. Errors: StrictJsonError (not strict JSON, or signed already), StatementError (a
    certificate that is not valid at that time).
    """
    require_valid(signer, when)
    kinds = (VERIFICATION,)
    sig_t = instant(when)
    header = {
        "sigT": sig_t,
        "srCms": commitments(kinds),
        "x5c": [base64.b64encode(der).decode("ascii") for der in signer.chain],
    }
    jws = sign_detached(header, document_payload(parse_strict(bundle_text)), signer)
    who = organization(who_identifier, "")
    signature = signature_element(kinds, sig_t, who, DOCUMENT_TARGET_FORMAT, jws)
    return add_member(bundle_text, "signature", dump_plain(signature))


def document_payload(bundle: Any) -> bytes:
    """The bytes that a Bundle's signature covers. Errors: StrictJsonError for what is no JSON object."""
    if not isinstance(bundle, dict):
        raise StrictJsonError("not a JSON object")
    signed = {name: value for name, value in bundle.items() if name not in UNSIGNED_MEMBERS}
    return jcs(dump_plain(signed))


def signature_jws(signature: Any) -> str:
    """The compact JWS inside a FHIR Signature. Errors: JwsError HEADER_POLICY."""
    try:
        data = signature["data"].encode("ascii")
        decoded = base64.b64decode(data, validate=True)
        if base64.b64encode(decoded) != data:
            raise JwsError(Code.HEADER_POLICY, "Signature.data is not canonical base64")
        return decoded.decode("ascii")
    except (KeyError, TypeError, AttributeError, UnicodeError, binascii.Error) as error:
        raise JwsError(Code.HEADER_POLICY, "Signature.data is not base64 of a JWS") from error
