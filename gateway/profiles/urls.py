"""Every canonical url and code system of the guides, in one place.

`profiles` is the only room that may spell them (spec/style.md §4; a test greps for it). The payer
harness and `provenance` hold their own readings on purpose.
"""

from __future__ import annotations

_US = "http://hl7.org/fhir/us"
CRD_BASE = f"{_US}/davinci-crd"
DTR_BASE = f"{_US}/davinci-dtr"
PAS_BASE = f"{_US}/davinci-pas"
CDEX_BASE = f"{_US}/davinci-cdex"
HREX_BASE = f"{_US}/davinci-hrex"
US_CORE_BASE = f"{_US}/core"

# CRD
COVERAGE_INFORMATION = f"{CRD_BASE}/StructureDefinition/ext-coverage-information"
BILLING_OPTIONS = f"{CRD_BASE}/StructureDefinition/ext-billing-options"
CRD_TEMP_CODES = f"{CRD_BASE}/CodeSystem/temp"
CRD_COVERAGE_CODES = f"{CRD_BASE}/CodeSystem/coverage-information-codes"
CRD_DETAIL_CODES = "http://terminology.hl7.org/CodeSystem/crd-coverage-detail"
CARD_TYPES = "http://terminology.hl7.org/CodeSystem/cdshooks-card-type"

# PAS
PAS_STRUCTURE = f"{PAS_BASE}/StructureDefinition/"
PAS_TEMP_CODES = f"{PAS_BASE}/CodeSystem/PASTempCodes"
PAS_TOPIC = f"{PAS_BASE}/SubscriptionTopic/PASSubscriptionTopic"
CLAIM_ENCOUNTER = "http://hl7.org/fhir/5.0/StructureDefinition/extension-Claim.encounter"
SUBMIT_ATTACHMENT = f"{CDEX_BASE}/OperationDefinition/submit-attachment"

# R5 Subscriptions Backport
BACKPORT = "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/"

# X12
X12 = "https://codesystem.x12.org/005010/"
X12_REASONS = "https://codesystem.x12.org/external/886"
X12_REVIEW_VALUE_SET = "https://valueset.x12.org/x217/005010/response/2000F/HCR/1/01/00/306"
"""A value set's url, met on the wire in the place of its system."""

# Base and terminology
ADJUDICATION = "http://terminology.hl7.org/CodeSystem/adjudication"
CLAIM_TYPE = "http://terminology.hl7.org/CodeSystem/claim-type"
COVERAGE_CLASS = "http://terminology.hl7.org/CodeSystem/coverage-class"
DATA_ABSENT_REASON_CODES = "http://terminology.hl7.org/CodeSystem/data-absent-reason"
DATA_ABSENT_REASON = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"
IDENTIFIER_TYPE = "http://terminology.hl7.org/CodeSystem/v2-0203"
C4BB_IDENTIFIER_TYPE = f"{_US}/carin-bb/CodeSystem/C4BBIdentifierType"
PLACE_OF_SERVICE = "https://www.cms.gov/Medicare/Coding/place-of-service-codes/Place_of_Service_Code_Set"
PROCESS_PRIORITY = "http://terminology.hl7.org/CodeSystem/processpriority"
RELATED_CLAIM = "http://terminology.hl7.org/CodeSystem/ex-relatedclaimrelationship"
SUBSCRIBER_RELATIONSHIP = "http://terminology.hl7.org/CodeSystem/subscriber-relationship"
US_CORE_DOCUMENT_CATEGORY = f"{US_CORE_BASE}/CodeSystem/us-core-documentreference-category"
PROVIDER_TAXONOMY = "http://nucc.org/provider-taxonomy"


def pas(name: str) -> str:
    """Canonical of a PAS profile or extension by its id: `pas("profile-claim")`."""
    return PAS_STRUCTURE + name


def x12(list_number: str) -> str:
    """System of an X12 005010 code list by its data element number: `x12("306")`."""
    return X12 + list_number


def backport(name: str) -> str:
    """Canonical of an extension of the R5 Subscriptions Backport guide by its id."""
    return BACKPORT + name
