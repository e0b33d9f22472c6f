"""Frozen records of PAS answers, the same for every guide version."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from typing import Literal

from gateway.fhir import Json
from gateway.fhir.outcome import Issue

NumberKind = Literal["review", "authorization", "administration", "pre-auth-ref"]
"""reviewAction.number · REF-BB · REF-NT · ClaimResponse.preAuthRef."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorizationNumber:
    """A number a payer gave, with its kind: only review numbers of A1, A2 and A6 are approvals."""

    kind: NumberKind
    """Where it stood."""
    value: str
    """Digits and letters, verbatim."""
    sequence: int | None = None
    """Item it belongs to; None for the whole claim."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewReason:
    """A reason for a decision, verbatim."""

    code: str
    """X12 886 code, or whatever came."""
    system: str = ""
    """Its system as it came."""
    text: str = ""
    """Text or display; empty when the payer sent only a code."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorizationPeriod:
    """The days an authorization covers; an open end is None."""

    starts_on: date | None = None
    """First day."""
    ends_on: date | None = None
    """Last day."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AddedItem:
    """A service the payer granted instead of, or beside, what was asked."""

    item_sequences: tuple[int, ...]
    """Requested items it answers; empty = an extra."""
    action_code: str | None
    """Known review action code, else None."""
    sent_code: str
    """The code as it came."""
    number: str
    """Authorization number."""
    reasons: tuple[ReviewReason, ...]
    """Reasons given with it."""
    product_or_service: Json
    """CodeableConcept of what is granted."""
    quantity: Json
    """Quantity granted; empty when none was given."""
    period: AuthorizationPeriod | None
    """Days covered."""
    notes: tuple[str, ...]
    """Texts linked by note number."""
    raw: Json = field(default_factory=dict)
    """The addItem as it came."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemReview:
    """What the payer decided about one requested item."""

    sequence: int | None
    """Claim.item.sequence, stable for life (pas:spec-34); None when the payer left it out."""
    action_code: str | None
    """A1, A2, A3, A4, A6, C, CT or NA; None when the code or its system is unknown or missing."""
    sent_code: str = ""
    """The code exactly as it came, known or not."""
    system_known: bool = True
    """Whether the code's system was X12 306 (or, leniently, its value set's url)."""
    from_header: bool = False
    """The item had no code of its own and the header's applies."""
    number: str = ""
    """reviewAction.number: an approval number only with A1, A2 or A6."""
    reasons: tuple[ReviewReason, ...] = ()
    """Reasons, verbatim."""
    notes: tuple[str, ...] = ()
    """Texts of processNotes this item points to."""
    add_items: tuple[AddedItem, ...] = ()
    """What was granted in its place."""
    period: AuthorizationPeriod | None = None
    """Days the authorization covers."""
    issued_on: date | None = None
    """Day it was issued."""
    trace_numbers: tuple[str, ...] = ()
    """itemTraceNumber values; with a questionnaire request the DTR context id."""
    authorization_number: str = ""
    """REF-BB: number of an earlier authorization."""
    admin_reference_number: str = ""
    """REF-NT: key for inquiries, never an approval number."""
    authorized_detail: Json | None = None
    """itemAuthorizedDetail: what was authorized (2.0.1) or what was requested (2.2.1)."""
    second_opinion: bool = False
    """The payer asks for a second surgical opinion."""
    raw: Json = field(default_factory=dict)
    """The item as it came."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeaderReview:
    """A review action on the claim as a whole (2.2.1)."""

    action_code: str | None
    """Known code, else None."""
    sent_code: str = ""
    """The code as it came."""
    system_known: bool = True
    """As in ItemReview."""
    number: str = ""
    """Number given with it."""
    reasons: tuple[ReviewReason, ...] = ()
    """Reasons given with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BusinessError:
    """An X12 AAA error of an answer; comes with HTTP 2xx."""

    code: str
    """X12 901 code."""
    text: str = ""
    """Text or display."""
    followup_actions: tuple[str, ...] = ()
    """X12 889 codes: whether and how to resend."""
    path: str = ""
    """FHIRPath from the request Bundle."""
    element: str = ""
    """Name of the element at fault."""
    item_sequence: int | None = None
    """Item it concerns."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentRequest:
    """One document, or one questionnaire, that a pended answer asks for."""

    control_number: str
    """Attachment control number (TrackingId of the reply); empty when the payer gave none."""
    control_number_system: str = ""
    """Its system."""
    loinc_codes: tuple[str, ...] = ()
    """LOINC attachment codes wanted."""
    report_types: tuple[str, ...] = ()
    """PWK01 report type codes wanted (X12 755)."""
    line_numbers: tuple[int, ...] = ()
    """Items it is about; empty = the whole claim."""
    mediums: tuple[str, ...] = ()
    """How the payer wants it: X12 756 codes or CDEX."""
    is_questionnaire: bool = False
    """The payer's questionnaire is wanted, to be fetched with `context`."""
    context: str = ""
    """DTR context id for the questionnaire; empty otherwise."""
    text: str = ""
    """Free text of the request, where it is no code."""
    raw: Json = field(default_factory=dict)
    """The CommunicationRequest as it came."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PasAnswer:
    """A payer's answer to a submission, an inquiry, or a notification's Bundle."""

    items: tuple[ItemReview, ...]
    """One entry per answered item, in the answer's order."""
    errors: tuple[BusinessError, ...]
    """Business errors; may stand beside decisions."""
    document_requests: tuple[DocumentRequest, ...]
    """What a pend waits for."""
    outcome: str
    """complete, partial, error (2.0.1 also queued); never a decision."""
    disposition: str
    """Free text; never a decision."""
    notes: tuple[str, ...]
    """Texts of all processNotes."""
    missing_references: tuple[str, ...]
    """References that neither the answer nor our request resolves."""
    header_review: HeaderReview | None
    """Review action of the whole claim."""
    extra_items: tuple[AddedItem, ...] = ()
    """Granted services that answer no requested item."""
    numbers: tuple[AuthorizationNumber, ...] = ()
    """Every number found, with its kind: inquiry keys."""
    identifiers: tuple[tuple[str, str], ...] = ()
    """ClaimResponse.identifier as (system, value)."""
    request_reference: str = ""
    """ClaimResponse.request.reference."""
    request_identifier: tuple[str, str] | None = None
    """ClaimResponse.request.identifier."""
    created: str = ""
    """ClaimResponse.created, as it came."""
    period: AuthorizationPeriod | None = None
    """preAuthPeriod of the whole claim."""
    human_reviewed: bool | None = None
    """Whether a person at the payer decided (2.2.1); None = not said."""
    is_differential: bool = False
    """Marked SUBSETTED: items that are absent keep their state (2.0.1)."""
    issues: tuple[Issue, ...] = ()
    """Issues of an OperationOutcome that came along; for technical staff."""
    remarks: tuple[str, ...] = ()
    """What was odd about the answer, in our words, without patient data."""
    claim_response: Json = field(default_factory=dict)
    """The ClaimResponse as it came."""
