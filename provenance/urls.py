"""Every URL and identifier system of this package, spelled once.

This package works alone, so it cannot ask the gateway's own tables.
"""

from __future__ import annotations

from typing import Final

ACTIVITY: Final = "urn:oid:2.25.94492686211768030265051248232142081200.1"
"""Code system of case activities. Inside signatures: never changes."""
BINDING: Final = "urn:oid:2.25.94492686211768030265051248232142081200.3"
"""JOSE header name that binds a signature to its Provenance. Inside signatures: never changes."""

V3_DATA_OPERATION: Final = "http://terminology.hl7.org/CodeSystem/v3-DataOperation"
V3_DOCUMENT_COMPLETION: Final = "http://terminology.hl7.org/CodeSystem/v3-DocumentCompletion"
V3_ACT_REASON: Final = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
PARTICIPANT: Final = "http://terminology.hl7.org/CodeSystem/provenance-participant-type"
US_CORE_PARTICIPANT: Final = "http://hl7.org/fhir/us/core/CodeSystem/us-core-provenance-participant-type"
SIGNATURE_TYPE: Final = "urn:iso-astm:E1762-95:2013"
TARGET_ELEMENT: Final = "http://hl7.org/fhir/StructureDefinition/targetElement"
DATA_ABSENT_REASON: Final = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"
QUESTIONNAIRE_RESPONSE_SIGNATURE: Final = "http://hl7.org/fhir/StructureDefinition/questionnaireresponse-signature"

URI: Final = "urn:ietf:rfc:3986"
NPI: Final = "http://hl7.org/fhir/sid/us-npi"
EIN: Final = "urn:oid:2.16.840.1.113883.4.4"

CANONICAL_JSON: Final = "http://hl7.org/fhir/canonicalization/json"
CANONICAL_DOCUMENT: Final = "http://hl7.org/fhir/canonicalization/json#document"
JOSE_FORMAT: Final = "application/jose"
EVENT_TARGET_FORMAT: Final = f"application/fhir+json;canonicalization={CANONICAL_JSON}"
DOCUMENT_TARGET_FORMAT: Final = f"application/fhir+json;canonicalization={CANONICAL_DOCUMENT}"
XHTML: Final = "http://www.w3.org/1999/xhtml"
