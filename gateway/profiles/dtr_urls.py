"""Addresses of DTR, SDC and the FHIR core extensions that forms use."""

from typing import Final

DTR: Final = "http://hl7.org/fhir/us/davinci-dtr/StructureDefinition/"
SDC: Final = "http://hl7.org/fhir/uv/sdc/StructureDefinition/sdc-questionnaire-"
CORE: Final = "http://hl7.org/fhir/StructureDefinition/"

INFORMATION_ORIGIN: Final = f"{DTR}information-origin"
QR_CONTEXT: Final = f"{DTR}qr-context"
QR_COVERAGE: Final = f"{DTR}qr-coverage"
INTENDED_USE: Final = f"{DTR}intendedUse"
ALTERNATIVE_EXPRESSION: Final = f"{DTR}alternativeExpression"
ECR_ALTERNATIVE_EXPRESSION: Final = (
    "http://hl7.org/fhir/us/ecr/StructureDefinition/us-ph-alternative-expression-extension"
)
REQUEST_SPECIFIC: Final = f"{DTR}request-specific"
CONTAINED_REFERENCE: Final = f"{DTR}containedReference"
QUESTIONNAIRE_RESPONSE_PROFILE: Final = f"{DTR}dtr-questionnaireresponse"
ADAPTIVE_RESPONSE_PROFILE: Final = f"{DTR}dtr-questionnaireresponse-adapt"
ADAPTIVE_FORM_PROFILE: Final = f"{DTR}dtr-questionnaire-adapt"

CRD_CODES: Final = "http://hl7.org/fhir/us/davinci-crd/CodeSystem/coverage-information-codes"
CRD_CODES_BEFORE_2_2: Final = "http://hl7.org/fhir/us/davinci-crd/CodeSystem/temp"

VARIABLE: Final = f"{CORE}variable"
CQF_LIBRARY: Final = f"{CORE}cqf-library"
CQF_EXPRESSION: Final = f"{CORE}cqf-expression"
LAUNCH_CONTEXT: Final = f"{SDC}launchContext"
ADAPTIVE: Final = f"{SDC}questionnaireAdaptive"
ITEM_CONTROL: Final = f"{CORE}questionnaire-itemControl"
HIDDEN: Final = f"{CORE}questionnaire-hidden"
UNIT: Final = f"{CORE}questionnaire-unit"
UNIT_OPTION: Final = f"{CORE}questionnaire-unitOption"
OPTION_EXCLUSIVE: Final = f"{CORE}questionnaire-optionExclusive"
SIGNATURE_REQUIRED: Final = f"{CORE}questionnaire-signatureRequired"
SUPPORT_LINKS: Final = (f"{CORE}questionnaire-supportHyperlink", f"{CORE}questionnaire-supportLink")
REFERENCE_RESOURCE: Final = f"{CORE}questionnaire-referenceResource"
MIN_OCCURS: Final = f"{CORE}questionnaire-minOccurs"
MAX_OCCURS: Final = f"{CORE}questionnaire-maxOccurs"
MIN_VALUE: Final = f"{CORE}minValue"
MAX_VALUE: Final = f"{CORE}maxValue"
MIN_LENGTH: Final = f"{CORE}minLength"
MAX_DECIMAL_PLACES: Final = f"{CORE}maxDecimalPlaces"
REGEX: Final = f"{CORE}regex"
ORDINAL_VALUE: Final = f"{CORE}ordinalValue"
RESPONSE_SIGNATURE: Final = f"{CORE}questionnaireresponse-signature"
