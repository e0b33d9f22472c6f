"""The rows as frozen records; a change is a new row read back from the database.

Instants are aware and in UTC. Text that may be absent is the empty string, except where absence has
a meaning of its own; those fields are `None` and say so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Literal

Move = Literal["us", "clinician", "patient", "payer", "nobody"]
"""Who has to act next; the worklist puts `us` first."""

NoteValue = str | int | bool | None
"""What a note may hold: words of our own vocabulary and numbers, never patient data."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseRow:
    """One order's authorization, as it stands now. The history is in the events."""

    tenant_id: str
    case_id: str
    """Random UUID; the same id under another tenant is simply not found."""
    order_key: str
    """What makes the order this order: digest of order identity and coverage. Unique per tenant."""
    state: str
    created_at: datetime
    updated_at: datetime
    version: int = 1
    """Goes up by one at every change; `update` compares it."""
    order_identity: str = ""
    """Identifier or `Type/id` by which the EHR knows the order, as text."""
    ehr_id: str = ""
    """Id of the registered EHR endpoint the order came from."""
    order_reference: str = ""
    patient_reference: str = ""
    coverage_reference: str = ""
    payer: str = ""
    """Slug of the payer row; empty until routed."""
    case_tag: str = ""
    """128 random bits, base64url; names the case inside signatures (spec/provenance.md §5.2)."""
    signed_at: datetime | None = None
    """When the order was seen signed; None while the case is provisional."""
    due_at: datetime | None = None
    """When the sweep must wake the case; None when nothing is owed."""
    next_action: str = ""
    """Plain sentence for staff: what has to happen now."""
    move: Move = "us"
    deadline_at: datetime | None = None
    """Nearest instant that matters to people; sorts the worklist. None sorts last."""
    deadline_rule: str = ""
    """Which rule set `deadline_at`, in words."""
    owner: str = ""
    """Staff user the case is assigned to."""
    service_code: str = ""
    service_display: str = ""
    service_line: str = ""
    """Group for filters: imaging, therapy, …"""
    service_on: date | None = None
    """Planned date of service; None when the order has none."""
    patient_label: str = ""
    patient_birth_on: date | None = None
    patient_mrn: str = ""
    clinician_label: str = ""
    decision: str = ""
    """Rolled-up decision, empty until there is one."""
    authorization_number: str = ""
    approval_ends_on: date | None = None
    is_expedited: bool = False
    is_open: bool = True
    """False once the case rests in a closing state; closed cases leave the default worklist."""
    facts: str = "{}"
    """JSON text of everything a stage must remember; kept exactly as written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRow:
    """One transition or act. Never changed, never deleted; the database refuses both."""

    tenant_id: str
    case_id: str
    seq: int
    """0 for the first, no gaps."""
    at: datetime
    actor: str
    """`gateway`, `payer:<slug>`, `ehr:<id>` or `user:<id>`."""
    verb: str
    """Activity code of spec/provenance.md §3.1."""
    from_state: str = ""
    to_state: str = ""
    object_digest: str = ""
    """SHA-256 (hex) of the stored bytes the event is about; empty where there are none."""
    provenance_digest: str = ""
    """SHA-256 (hex) of the stored Provenance body."""
    jws: str = ""
    """Detached compact JWS over the event."""
    jws_digest: str = ""
    """SHA-256 (hex) of the compact JWS; the log's leaf and the next event's `prev`."""
    note: Mapping[str, NoteValue] = field(default_factory=dict)
    """Small facts for people; keys from `notes.NOTE_KEYS`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectRow:
    """What is known of stored bytes without reading them."""

    tenant_id: str
    case_id: str
    digest: str
    """SHA-256, lower-case hex, of the exact bytes."""
    media_type: str
    size_bytes: int
    created_at: datetime


SubmissionKind = Literal["submit", "inquire", "attachment", "update", "cancel"]
SubmissionState = Literal["intent", "sending", "answered", "refused", "unknown", "failed"]
"""intent: stored, nothing sent · sending: on its way or the process died · answered: response stored ·
refused: clear refusal, final · unknown: outcome not known · failed: given up, a person must act."""

OPEN_SUBMISSION_STATES: tuple[SubmissionState, ...] = ("intent", "sending", "unknown")


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmissionRow:
    """One thing sent to a payer, with the bytes' digest and how often it was tried."""

    tenant_id: str
    submission_id: str
    case_id: str
    kind: SubmissionKind
    endpoint: str
    """Endpoint id of the payer row, not a URL."""
    request_digest: str
    created_at: datetime
    version: int = 1
    bundle_identifier: str = ""
    """`system|value` of Bundle.identifier."""
    claim_identifier: str = ""
    """`system|value` of Claim.identifier."""
    state: SubmissionState = "intent"
    attempts: int = 0
    first_sent_at: datetime | None = None
    last_sent_at: datetime | None = None
    answered_at: datetime | None = None
    response_digest: str = ""
    http_status: int = 0
    """Status of the last answer, 0 when none came."""
    next_attempt_at: datetime | None = None
    inquired: bool = False
    """Whether the one automated inquiry after an unknown outcome was made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotificationRow:
    """One event of a payer's notification, kept whole before anybody reads it."""

    tenant_id: str
    notification_id: str
    token_sha256: str
    """Digest of the subscription token it came in by."""
    event_number: int
    digest: str
    """SHA-256 (hex) of `body`."""
    body: bytes
    received_at: datetime
    case_id: str | None = None
    """None until matched to an open submission."""
    processed_at: datetime | None = None
    quarantined: str = ""
    """Why it changes nothing; empty when it was or may be taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SubscriptionRow:
    """Our subscription at a payer, found again by its path token's digest."""

    tenant_id: str
    subscription_id: str
    payer: str
    token_sha256: str
    """SHA-256 (hex) of the random path token. The token itself is never stored."""
    header_sha256: str = ""
    """SHA-256 (hex) of the secret header value that notifications must carry."""
    remote_id: str = ""
    """Id the payer gave the Subscription; empty until created there."""
    status: str = "requested"
    last_event_number: int = 0
    expires_at: datetime | None = None
    created_at: datetime
    version: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerRow:
    """Circuit breaker of one payer."""

    tenant_id: str
    payer: str
    state: Literal["closed", "open", "half_open"] = "closed"
    failures: int = 0
    """Failures in a row."""
    opened_until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class IdempotencyRow:
    """The first answer to a request that carried an Idempotency-Key."""

    tenant_id: str
    client_id: str
    route: str
    key: str
    body_sha256: str
    status: int = 0
    """HTTP status answered; 0 while the first request is still at work."""
    response: str = ""
    """JSON text answered."""
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRow:
    """A signed-in person. The cookie's value is not stored, only its digest."""

    session_sha256: str
    tenant_id: str
    user: str
    role: str
    created_at: datetime
    expires_at: datetime
    data: str = "{}"
    """JSON text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HookCardRow:
    """A card that an EHR was given, so that feedback on it finds its case."""

    tenant_id: str
    card_id: str
    """Random UUID, the card's `uuid`."""
    case_id: str = ""
    """Empty where no case was open."""
    service: str
    """Id of the CDS service."""
    choices: str = "{}"
    """JSON text: suggestion uuid → word of the choice."""
    shown_at: datetime
    outcome: str = ""
    """accepted or overridden; empty while nothing was heard."""
    answered_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cursor:
    """Where a worklist page ended; the next page starts behind it."""

    move_rank: int
    sort_at: datetime
    case_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseFilter:
    """What the worklist shows; an empty field does not filter."""

    states: tuple[str, ...] = ()
    payer: str = ""
    owner: str | None = None
    """None: anybody's; empty text: nobody's."""
    move: Move | None = None
    service_line: str = ""
    is_expedited: bool | None = None
    is_open: bool | None = None
    text: str = ""
    """Words; each must begin a word of patient, MRN, order, service, authorization number or case id."""
    patient_reference: str = ""
    order_reference: str = ""
    deadline_before: datetime | None = None
    updated_before: datetime | None = None
    service_before: date | None = None
    approval_ends_before: date | None = None
