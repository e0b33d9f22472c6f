"""What a caller hands over to have a PAS request built: frozen records, codes from the payer's row.

X12 codes are data of the payer (`PasCodes`, field names as in a payer row's `[pas.codes]`): the guide
does not publish their lists, so no code of them is spelled in the builders.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime

from gateway.fhir import Json
from gateway.fhir.codes import ICD10_CM


@dataclass(frozen=True, slots=True, kw_only=True)
class PasCodes:
    """X12 and place-of-service codes of a request; `PasCodes(**row.pas.codes.model_dump())` fits."""

    category: str
    """Service type of an item (X12 1365)."""
    request_type: str
    """Kind of request (X12 1525)."""
    certification_type: str
    """Certification type of a first request (X12 1322)."""
    certification_type_cancel: str
    """Certification type of a cancelled item (X12 1322)."""
    organization_type_provider: str
    """Entity code of the requesting organization (X12 98)."""
    organization_type_payer: str
    """Entity code of the insurer (X12 98)."""
    care_team_role: str = ""
    """Entity code of a care-team member (X12 98); empty = no role is sent."""
    relationship_self: str
    """The patient is the subscriber (X12 1069)."""
    report_type: str
    """Report type of a supporting document (X12 755)."""
    report_types: Mapping[str, str] = field(default_factory=dict)
    """Report type by resource type, before `report_type`."""
    place_of_service: str
    """CMS place of service where the item names none."""
    level_of_service: str = ""
    """Level of service of a routine request (X12 1338); empty = not sent."""
    level_of_service_urgent: str = ""
    """Level of service of an expedited request (X12 1338); empty = not sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TransmissionIdentifiers:
    """Sender and receiver of the exchange; subscriptions filter on the interchange sender."""

    application_sender_code: str
    """GS02."""
    application_receiver_code: str
    """GS03."""
    interchange_sender_id: str = ""
    """ISA06."""
    interchange_receiver_id: str = ""
    """ISA08."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PasDiagnosis:
    """One diagnosis of the claim; the order of the list is the order of importance."""

    code: str
    """Code; ICD-10-CM is written with its dot."""
    system: str = ICD10_CM
    """Code system."""
    display: str = ""
    """For people."""
    type: str = ""
    """principal, admitting or patientreasonforvisit; empty = not said."""
    recorded_on: date | None = None
    """Day it was recorded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PasItem:
    """One requested service. Without items, one is made of the order."""

    sequence: int
    """Lifelong number (pas:spec-34)."""
    product_or_service: Json
    """CodeableConcept; codings outside the guide's systems are left out."""
    modifiers: tuple[Json, ...] = ()
    """CodeableConcepts of CPT or HCPCS modifiers."""
    quantity: Json | None = None
    """Quantity with value and unit."""
    starts_on: date | None = None
    """First day of service; None = the request's."""
    ends_on: date | None = None
    """Last day of service; None with `starts_on` = one day."""
    category: str = ""
    """Service type where it differs from the payer's usual one."""
    place_of_service: str = ""
    """Place where it differs from the payer's usual one."""
    requested_service: Json | None = None
    """Order resource behind it; None = the request's order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CareTeamMember:
    """Somebody who takes part in the care asked for (field case B95)."""

    provider: Json
    """PractitionerRole, Organization, or a Practitioner for whom a role is made."""
    practitioner: Json | None = None
    """The Practitioner a PractitionerRole points to."""
    item_sequences: tuple[int, ...] = ()
    """Items the member is for; empty = the whole claim."""
    role: str = ""
    """Entity code (X12 98); empty = the payer's usual one."""
    qualification: str = ""
    """Provider taxonomy (X12 127 list); empty = not sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedDocument:
    """A document whose exact bytes are carried, such as a sealed packet: they are never rewritten."""

    body: bytes
    """The bytes."""
    type_code: str
    """LOINC document type."""
    title: str = ""
    """For people."""
    content_type: str = "application/fhir+json"
    """Media type of the bytes."""
    created_at: datetime | None = None
    """When it was sealed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CompletedForm:
    """A QuestionnaireResponse with the resources its answers rest on."""

    response: Json
    """The QuestionnaireResponse."""
    evidence: tuple[Json, ...] = ()
    """Resources that belong to it, in order."""
    as_bundle: bool = True
    """Packed as the DTR Bundle; False sends the bare response, and the evidence beside it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Supporting:
    """One piece of additional information."""

    content: Json | SealedDocument | CompletedForm
    """A resource of an allowed type, a DTR Bundle (collection, response first), a form, or exact bytes."""
    report_type: str = ""
    """Report type (X12 755); empty = the payer's usual one for its type."""
    control_number: str = ""
    """Attachment control number, the later TrackingId; empty = none."""
    description: str = ""
    """For people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PasRequest:
    """Everything a request Bundle is made of. Resources are as the EHR gave them; none is changed."""

    bundle_identifier: tuple[str, str]
    """(system, value) of the transaction."""
    claim_identifier: tuple[str, str]
    """(system, value) of the trace number (TRN)."""
    created_at: datetime
    """Aware instant of the build."""
    patient: Json
    """The beneficiary."""
    coverage: Json
    """The coverage asked."""
    insurer: Json
    """Organization of the payer."""
    requestor: Json
    """Organization that asks."""
    order: Json
    """ServiceRequest, DeviceRequest, MedicationRequest or NutritionOrder."""
    codes: PasCodes
    """X12 codes of the payer."""
    practitioner: Json | None = None
    """Ordering Practitioner."""
    practitioner_role: Json | None = None
    """Their PractitionerRole; made where it is missing and a telecom is known."""
    items: tuple[PasItem, ...] = ()
    """Requested services; empty = one item of the order."""
    diagnoses: tuple[PasDiagnosis, ...] = ()
    """Diagnoses; empty = those of the order's reasons (Conditions among `referenced`)."""
    is_expedited: bool = False
    """Urgent: priority stat and the urgent level of service."""
    claim_type: str = "professional"
    """institutional, professional or oral."""
    service_starts_on: date | None = None
    """First day of service; None = taken from the order's occurrence."""
    service_ends_on: date | None = None
    """Last day of service."""
    supporting: tuple[Supporting, ...] = ()
    """Additional information, in order."""
    messages: tuple[str, ...] = ()
    """Free form messages."""
    care_team: tuple[CareTeamMember, ...] = ()
    """Care team besides the ordering practitioner."""
    transmission: TransmissionIdentifiers | None = None
    """Sender and receiver (2.2.1)."""
    member_id: tuple[str, str] | None = None
    """(system, value) of the member id; None = taken from the coverage."""
    subscriber: Json | None = None
    """Patient or RelatedPerson who holds the coverage, where it is not the patient."""
    referenced: tuple[Json, ...] = ()
    """Further resources of the EHR, sent where something sent refers to them."""
    binaries: Mapping[str, Json] = field(default_factory=dict)
    """Binary resources by the url or urn that a document's attachment names them with."""
    assertion_id: str = ""
    """coverage-assertion-id whose coverage-information goes along; empty = the last one in force."""
    ehr_base: str = ""
    """FHIR base of the EHR: absolute references below it, and only those, mean its resources."""
