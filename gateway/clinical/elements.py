"""Results of a rule: one per element, each with what decided it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Literal

Status = Literal["met", "unmet", "indeterminate", "waived", "not_required"]
"""`indeterminate` = cannot be told from what is recorded; never rounded to met or unmet."""
Verdict = Literal["NOT_APPLICABLE", "RED_FLAG_BYPASS", "RED_FLAG_INCOMPLETE", "GAP", "INDETERMINATE", "PASS"]
"""Verdicts of spec/clinical.md §1.7."""
RedFlagState = Literal["none", "incomplete", "complete_attested"]
"""Whether an exception is documented: not at all, not completely, completely and attested."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ElementResult:
    """One element of a rule."""

    element: str
    """Name, e.g. `DURATION`."""
    status: Status
    """Whether it is met."""
    value: int | str | None = None
    """What was found; None when nothing was."""
    threshold: int | str | None = None
    """What is asked."""
    reason: str = ""
    """Machine word for the status: `not_documented`, `too_short`, …; the office acts differently on each."""
    line: str = ""
    """One sentence for staff, without anything that identifies a patient."""
    evidence: tuple[str, ...] = ()
    """`Type/id` of the resources that decided it, and of no others."""
    resume_on: date | None = None
    """Day on which time alone may meet it; None when time does not help."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """What a rule says about an order."""

    verdict: Verdict
    """The whole."""
    reason: str
    """Why, in a machine word: `setting`, `pediatric`, a category, an element; empty for PASS."""
    elements: tuple[ElementResult, ...]
    """Every element, in the order of the rule."""
    red_flag: RedFlagState
    """State of the red-flag exception."""
    resume_on: date | None
    """First day on which a GAP may be gone by time; None when time does not help."""
    rule_id: str
    """Rule row."""
    rule_version: str
    """Its version."""
    rule_status: str
    """illustrative or verified."""
    advisories: tuple[str, ...] = ()
    """Remarks that decide nothing: `CODE: sentence`."""
    red_flag_lines: tuple[str, ...] = ()
    """What the exception rests on or lacks, one sentence each."""
    red_flag_evidence: tuple[str, ...] = ()
    """Resources that the red-flag state rests on."""
    indication: str = ""
    """Diagnosis whose elements are listed; empty when the order has none."""
    order_on: date | None = None
    """Local day of the order."""
    required_days: int = 0
    """Days of conservative care for this indication."""
    elapsed_days: int | None = None
    """Days since the anchor; None when it is not known."""
    onset_days: int | None = None
    """Days since symptoms began, at the least; None when that is not known."""
    practice_zone: str = ""
    """Zone in which days were counted."""
    criteria: str = ""
    """Logic that decided: `name|version` and the digest of its libraries; empty where the rule does not apply."""

    @property
    def unmet(self) -> tuple[str, ...]:
        """Names of the elements that are unmet."""
        return tuple(element.element for element in self.elements if element.status == "unmet")

    @property
    def indeterminate(self) -> tuple[str, ...]:
        """Names of the elements that cannot be told."""
        return tuple(element.element for element in self.elements if element.status == "indeterminate")
