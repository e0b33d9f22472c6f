"""The activities of a case as data: how each is coded, who acts by default, and what its signature says.

A row is all that distinguishes one activity from another when a statement is built.
Source: spec/provenance.md §3.1; signature purposes of ASTM E1762.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from provenance.urls import ACTIVITY, PARTICIPANT, US_CORE_PARTICIPANT, V3_DATA_OPERATION, V3_DOCUMENT_COMPLETION

VERIFICATION: Final = "1.2.840.10065.1.12.1.5"
AUTHOR: Final = "1.2.840.10065.1.12.1.1"
REVIEW: Final = "1.2.840.10065.1.12.1.13"
SOURCE: Final = "1.2.840.10065.1.12.1.14"
MODIFICATION: Final = "1.2.840.10065.1.12.1.16"
SIGNATURE_TYPES: Final = {
    AUTHOR: "Author's Signature",
    VERIFICATION: "Verification Signature",
    REVIEW: "Review Signature",
    SOURCE: "Source Signature",
    MODIFICATION: "Modification Signature",
}
ROLES: Final = frozenset(
    {
        *("author", "enterer", "performer", "verifier", "legal", "attester"),
        *("informant", "custodian", "assembler", "composer", "transmitter"),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity:
    """One row of the table."""

    code: str
    """Code in our own system."""
    display: str
    """What happened, for people: completes 'The gateway recorded: …'."""
    v3_system: str = V3_DATA_OPERATION
    """System of the standard coding beside ours."""
    v3_code: str = ""
    """Standard coding; empty where none fits."""
    signature_types: tuple[str, ...] = (VERIFICATION,)
    """What the signature of such an event says; verification always comes first."""
    is_human_act: bool = False
    """A person decided: the statement names who."""

    def codings(self, data_operation: str | None = None) -> list[dict[str, str]]:
        """FHIR codings of the activity; `data_operation` replaces the row's v3-DataOperation code."""
        ours = {"system": ACTIVITY, "code": self.code, "display": self.display}
        if data_operation is not None:
            return [ours, {"system": V3_DATA_OPERATION, "code": data_operation}]
        return [ours, {"system": self.v3_system, "code": self.v3_code}] if self.v3_code else [ours]


_ROWS: Final = (
    Activity(code="case-open", display="case opened", v3_code="CREATE"),
    Activity(
        code="payer-need", display="payer's need received", v3_code="CREATE", signature_types=(VERIFICATION, SOURCE)
    ),
    Activity(code="form-receive", display="form received", v3_code="CREATE", signature_types=(VERIFICATION, SOURCE)),
    Activity(code="order-entry", display="order received", v3_code="CREATE", signature_types=(VERIFICATION, SOURCE)),
    Activity(code="ehr-extract", display="chart read", v3_code="CREATE", signature_types=(VERIFICATION, SOURCE)),
    Activity(code="populate-auto-server", display="answers prefilled by the payer", v3_code="CREATE"),
    Activity(
        code="populate-auto-client",
        display="answers prefilled from the chart",
        v3_code="CREATE",
        signature_types=(VERIFICATION, AUTHOR),
    ),
    Activity(
        code="override",
        display="prefilled answer changed",
        v3_code="UPDATE",
        signature_types=(VERIFICATION, MODIFICATION),
        is_human_act=True,
    ),
    Activity(code="manual-answer", display="answer typed", v3_code="APPEND", is_human_act=True),
    Activity(code="evaluate", display="criteria evaluated", v3_code="CREATE", signature_types=(VERIFICATION, AUTHOR)),
    Activity(
        code="red-flag-attest",
        display="red flag attested",
        v3_system=V3_DOCUMENT_COMPLETION,
        v3_code="LA",
        signature_types=(VERIFICATION, REVIEW),
        is_human_act=True,
    ),
    Activity(
        code="assemble",
        display="packet assembled",
        v3_system=V3_DOCUMENT_COMPLETION,
        v3_code="AU",
        signature_types=(VERIFICATION, AUTHOR),
    ),
    Activity(code="seal", display="packet sealed", v3_system=V3_DOCUMENT_COMPLETION, v3_code="DO"),
    Activity(code="release", display="packet released", v3_code="UPDATE"),
    Activity(code="hold", display="case held", v3_code="UPDATE"),
    Activity(code="advice", display="advice shown", v3_code="CREATE", signature_types=(VERIFICATION, AUTHOR)),
    Activity(code="advice-answer", display="clinician answered advice", v3_code="UPDATE"),
    Activity(code="cancel", display="case cancelled", v3_code="UPDATE"),
    Activity(code="submit", display="request sent to the payer"),
    Activity(
        code="payer-response",
        display="payer's answer received",
        v3_code="CREATE",
        signature_types=(VERIFICATION, SOURCE),
    ),
    Activity(code="write-back", display="result written to the EHR", v3_code="UPDATE"),
    Activity(code="correct", display="entry corrected", v3_code="UPDATE", signature_types=(VERIFICATION, MODIFICATION)),
    Activity(code="void", display="entry voided", v3_code="NULLIFY", signature_types=(VERIFICATION, MODIFICATION)),
    Activity(code="care-start", display="conservative care started", v3_code="CREATE", is_human_act=True),
    Activity(
        code="care-sign",
        display="conservative care signed",
        v3_code="UPDATE",
        signature_types=(VERIFICATION, REVIEW),
        is_human_act=True,
    ),
    Activity(
        code="care-milestone",
        display="milestone of conservative care",
        v3_code="CREATE",
        signature_types=(VERIFICATION, AUTHOR),
    ),
    Activity(code="care-end", display="conservative care ended", v3_code="UPDATE"),
    Activity(
        code="care-upload",
        display="visits of another clinic handed in",
        v3_code="CREATE",
        signature_types=(VERIFICATION, SOURCE),
        is_human_act=True,
    ),
    Activity(code="case-close", display="case closed"),
)

ACTIVITIES: Final[dict[str, Activity]] = {row.code: row for row in _ROWS}
"""Every activity by its code."""


def role_system(role: str) -> str:
    """Code system of an agent role: US Core's own for `transmitter`, else the HL7 participant types."""
    return US_CORE_PARTICIPANT if role == "transmitter" else PARTICIPANT
