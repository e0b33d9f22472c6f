"""What was decided about a case, as frozen values.

Words of the payer are kept verbatim beside our reading of them. Nothing here decides; that is
`gateway.policy`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from gateway.cases.states import CaseState


class NeedAction(StrEnum):
    """What a payer's coverage-information asks of us. Source: spec/crd.md §8.1."""

    CHECK_ELIGIBILITY = "check_eligibility"
    """The payer cannot identify member or coverage; repair it, then ask again."""
    CLOSE_NOT_COVERED = "close_not_covered"
    """Not covered: close, with reason and details shown."""
    CLOSE_SATISFIED = "close_satisfied"
    """An authorization exists already: keep its number, send nothing."""
    CLOSE_NOT_REQUIRED = "close_not_required"
    """Covered without authorization and without documentation."""
    DOCUMENT_ONLY = "document_only"
    """No request for authorization, but forms are wanted."""
    DOCUMENT_THEN_SUBMIT = "document_then_submit"
    """Forms first, then the request."""
    SUBMIT = "submit"
    """The request, without forms."""
    DOCUMENT_THEN_ASK = "document_then_ask"
    """Conditional: fill the forms; their coverage-information, or asking again, decides."""
    SUPPLY_FACTS = "supply_facts"
    """Conditional on facts of the workflow: supply them, then ask again."""
    WAIT_FOR_CONTRACT = "wait_for_contract"
    """Conditional on a contract that is not in force yet; ask again then."""
    ROUTE_TO_PERFORMER = "route_to_performer"
    """The performer must ask, not the orderer."""
    RETRY_LATER = "retry_later"
    """The payer could not tell for a technical reason; ask again with backoff."""
    ASK_AGAIN = "ask_again"
    """What the payer said has expired; ask again."""
    ASK_PERSON = "ask_person"
    """Cannot be told; a person decides."""


NEEDS_FORMS = frozenset({NeedAction.DOCUMENT_ONLY, NeedAction.DOCUMENT_THEN_SUBMIT, NeedAction.DOCUMENT_THEN_ASK})
"""Actions that fetch forms."""
NEEDS_AUTHORIZATION = frozenset({NeedAction.DOCUMENT_THEN_SUBMIT, NeedAction.SUBMIT})
"""Actions that end in a request for authorization."""


class Decision(StrEnum):
    """The payer's answer to a whole case or to one item, in our word."""

    APPROVED = "approved"
    """Certified in total (A1)."""
    APPROVED_MODIFIED = "approved_modified"
    """Certified with a change (A6)."""
    PARTIALLY_APPROVED = "partially_approved"
    """Certified in part (A2), or some items granted and others not."""
    DENIED = "denied"
    """Not certified (A3)."""
    PENDED = "pended"
    """Held by the payer (A4)."""
    CANCELLED = "cancelled"
    """Cancelled (C)."""
    NOT_REQUIRED = "not_required"
    """No action required (NA)."""
    CONTACT_PAYER = "contact_payer"
    """The payer wants to be called (CT); not final."""
    ERRORED = "errored"
    """The payer reports errors instead of a decision."""
    UNKNOWN = "unknown"
    """A code nobody here knows, or none at all; a person decides, the case stays open."""


class NumberKind(StrEnum):
    """What kind of number a payer gave."""

    AUTHORIZATION = "authorization"
    """Certification number of an item that is granted."""
    REVIEW = "review"
    """Review number of an item that is not granted (pended, denied, unknown)."""
    PREVIOUS_AUTHORIZATION = "previous_authorization"
    """Number of an authorization given before (REF-BB)."""
    ADMINISTRATION_REFERENCE = "administration_reference"
    """Administration reference (REF-NT)."""
    PRE_AUTH_REFERENCE = "pre_auth_reference"
    """ClaimResponse.preAuthRef."""
    SATISFIED = "satisfied"
    """Number of an authorization on file, from coverage-information."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorizationNumber:
    """One number of the payer, kept with its kind; all of them are inquiry keys."""

    number: str
    """As the payer wrote it."""
    kind: NumberKind
    """What it is. Only `authorization` and `satisfied` may be shown as an approval."""
    item_sequence: int | None = None
    """Item it belongs to; None for the whole answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DenialReason:
    """Why an item was not granted, verbatim."""

    code: str = ""
    """Reason code (X12 886); empty when only text was given."""
    text: str = ""
    """The payer's text: display, reason text or process note."""
    item_sequence: int | None = None
    """Item it is about; None for the whole answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemDecision:
    """The payer's answer to one submitted item."""

    sequence: int
    """Claim.item.sequence, the same for the life of the authorization."""
    decision: Decision
    """Our word for it."""
    action_code: str | None = None
    """Review action code as it came; None when there was none."""
    number: str = ""
    """Review or certification number; empty when none came."""
    reasons: tuple[DenialReason, ...] = ()
    """Reasons, verbatim."""
    notes: tuple[str, ...] = ()
    """Process notes linked to the item."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseDecision:
    """One decision for a case, rolled up from its items."""

    state: CaseState
    """State the case moves to."""
    decision: Decision
    """The answer in one word."""
    items: tuple[ItemDecision, ...] = ()
    """Answers per item, in the order of their sequence."""
    authorization_numbers: tuple[AuthorizationNumber, ...] = ()
    """Every number the payer gave."""
    denial_reasons: tuple[DenialReason, ...] = ()
    """Every reason for not granting."""
    next_action: str = ""
    """What a person should do; empty when nothing is left."""
    findings: tuple[str, ...] = ()
    """What is odd about the answer, for staff; no patient data."""

    @property
    def authorization_number(self) -> str:
        """The first number that may be shown as an approval; empty when there is none."""
        shown = (NumberKind.AUTHORIZATION, NumberKind.SATISFIED)
        return next((number.number for number in self.authorization_numbers if number.kind in shown), "")
