"""Every url, code system and fixed code the simulated payers read or write.

Written from the guides' packages (PAS 2.2.1, CRD 2.0.1 and its 2.2 text, DTR 2.0.1 and its 2.2 text, subscriptions
backport 1.1.0), not from the gateway's own tables: a url misread by one side must not pass because the other side
shares the mistake.
"""

from typing import Final

PAS: Final = "http://hl7.org/fhir/us/davinci-pas/StructureDefinition/"
CRD: Final = "http://hl7.org/fhir/us/davinci-crd/StructureDefinition/"
DTR: Final = "http://hl7.org/fhir/us/davinci-dtr/StructureDefinition/"
BACKPORT: Final = "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/"

PAS_TOPIC: Final = "http://hl7.org/fhir/us/davinci-pas/SubscriptionTopic/PASSubscriptionTopic"
PAS_CODES: Final = "http://hl7.org/fhir/us/davinci-pas/CodeSystem/PASTempCodes"
PAS_SUBMIT: Final = "http://hl7.org/fhir/us/davinci-pas/OperationDefinition/Claim-submit"
PAS_INQUIRE: Final = "http://hl7.org/fhir/us/davinci-pas/OperationDefinition/Claim-inquiry"
CRD_COVERAGE_INFORMATION: Final = CRD + "ext-coverage-information"
CRD_REASONS: Final = "http://hl7.org/fhir/us/davinci-crd/CodeSystem/temp"
CRD_CODES: Final = "http://hl7.org/fhir/us/davinci-crd/CodeSystem/coverage-information-codes"

X12: Final = "https://codesystem.x12.org/005010/"
X12_REVIEW_ACTION: Final = X12 + "306"
X12_REQUEST_TYPE: Final = X12 + "1525"
X12_CERTIFICATION: Final = X12 + "1322"
X12_CATEGORY: Final = X12 + "1365"
X12_REPORT_TYPE: Final = X12 + "755"
X12_REJECT_REASON: Final = X12 + "901"
X12_FOLLOW_UP: Final = X12 + "889"
X12_DECISION_REASON: Final = "https://codesystem.x12.org/external/886"

CPT: Final = "http://www.ama-assn.org/go/cpt"
HCPCS: Final = "http://www.cms.gov/Medicare/Coding/HCPCSReleaseCodeSets"
ICD10_PROCEDURE: Final = "http://www.cms.gov/Medicare/Coding/ICD10"
ICD9_PROCEDURE: Final = "http://hl7.org/fhir/sid/icd-9-cm"
NDC: Final = "http://hl7.org/fhir/sid/ndc"
DATA_ABSENT: Final = "http://terminology.hl7.org/CodeSystem/data-absent-reason"
NOT_APPLICABLE: Final = "not-applicable"
PRODUCT_SYSTEMS: Final = frozenset(
    {CPT, HCPCS, X12_CATEGORY, ICD10_PROCEDURE, ICD9_PROCEDURE, NDC, "http://hl7.org/fhir/sid/icd-9-cm-procedure"}
)
"""Systems of Claim.item.productOrService (value set X12278RequestedServiceType)."""

CLAIM_TYPE: Final = "http://terminology.hl7.org/CodeSystem/claim-type"
CLAIM_TYPES: Final = frozenset({"institutional", "professional", "oral"})
PLACE_OF_SERVICE: Final = "https://www.cms.gov/Medicare/Coding/place-of-service-codes/Place_of_Service_Code_Set"
ADJUDICATION: Final = "http://terminology.hl7.org/CodeSystem/adjudication"
IDENTIFIER_TYPE: Final = "http://terminology.hl7.org/CodeSystem/v2-0203"
RELATED_CLAIM: Final = "http://terminology.hl7.org/CodeSystem/ex-relatedclaimrelationship"
NPI: Final = "http://hl7.org/fhir/sid/us-npi"
LOINC: Final = "http://loinc.org"
LOINC_QUESTIONNAIRE_REQUEST: Final = "102089-0"

PAYER_IDENTIFIER: Final = "https://payer.example.org/payer-id"
ACN_SYSTEM: Final = "https://payer.example.org/attachment-control-number"
ANSWER_SYSTEM: Final = "https://payer.example.org/answer"

FHIR_JSON: Final = "application/fhir+json"
ORDER_TYPES: Final = frozenset(
    {
        "CommunicationRequest",
        "DeviceRequest",
        "MedicationRequest",
        "NutritionOrder",
        "ServiceRequest",
        "VisionPrescription",
    }
)
