"""Shape of a rule row. A row refuses keys it does not know, and reads every scalar from its text.

Numbers are written without leading zeros, truth as `true` or `false`; a code stays the text it is.
Source: spec/clinical.md §6.1, security T34.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from gateway.errors import SettingsError
from gateway.fhir.codes import normalise_icd10

NOT_A_POLICY = "illustrative, not a payer policy"
"""What is said of a row that nobody compared with the payer's own text, wherever it is shown."""

ElementName = Literal["DURATION", "PHARM", "PT_REFERRAL", "PT_SESSIONS", "OUTCOME", "ACTIVITY"]
SupportLevel = Literal["strong", "moderate", "weak"]
ObjectiveType = Literal["motor", "reflex", "sensory"]


def _whole(value: Any) -> Any:
    if isinstance(value, str) and not re.fullmatch(r"0|[1-9][0-9]{0,5}", value):
        raise ValueError("a whole number without leading zeros")
    return value


def _truth(value: Any) -> Any:
    words = {"true": True, "false": False}
    if isinstance(value, str) and value not in words:
        raise ValueError("true or false")
    return words.get(value, value) if isinstance(value, str) else value


def _optional(value: Any) -> Any:
    return None if value in ("null", "", "~") else value


def _icd(value: Any) -> Any:
    return normalise_icd10(value) if isinstance(value, str) else value


Whole = Annotated[int, BeforeValidator(_whole), Field(ge=0, le=999_999)]
Truth = Annotated[bool, BeforeValidator(_truth)]
Day = Annotated[date | None, BeforeValidator(_optional)]
Icd10 = Annotated[str, BeforeValidator(_icd), Field(pattern=r"^[A-Z][0-9][0-9A-Z](\.[0-9A-Z]{1,4})?$")]
Cpt = Annotated[str, Field(pattern=r"^[0-9A-Z]{5}$")]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Match(_Part):
    """What an order must show for the row to be chosen; every list that is not empty must match."""

    coverage_payor_identifiers: tuple[str, ...] = ()
    """Payor identifiers, `value` or `system|value`."""
    plan_ids: tuple[str, ...] = ()
    """Coverage.class values of type plan."""
    states: tuple[str, ...] = ()
    """States of the practice, two letters."""


class RulePayer(_Part):
    """Whose rule it is."""

    kind: Literal["plan", "um_vendor", "mac", "default"]
    """Kind of author; the first kind in this order wins. `default` applies to whatever nothing else matches."""
    name: str
    """Name that people see."""
    match: Match = Match()
    """Orders it applies to; a row without any (other than `default`) is never chosen by itself."""


class Effective(_Part):
    """Order dates for which the row holds, both ends in."""

    start: Annotated[date, Field(alias="from")]
    """First order date."""
    end: Annotated[Day, Field(alias="to")] = None
    """Last order date; None = open."""


class Reviewed(_Part):
    """Who looked at the row, and when it must be looked at again."""

    by: str = ""
    """Reviewer."""
    on: Day = None
    """Day of the review."""
    next_due: Day = None
    """Past this day the row says *review overdue*."""


class Source(_Part):
    """Where the row comes from and how far it can be trusted."""

    title: str
    """Name of the document."""
    url: str = ""
    """Address of the document."""
    doc_id: str = ""
    """Its identifier."""
    doc_effective: str = ""
    """When the document came into force."""
    retrieved: str = ""
    """When it was read."""
    confidence: Literal["high", "medium", "low", "none"] = "none"
    """How far it supports the row."""


class Procedure(_Part):
    """Services the row is about."""

    cpt: Annotated[tuple[Cpt, ...], Field(min_length=1)]
    """CPT codes."""


class Days(_Part):
    """Days of conservative care."""

    default: Whole = 42
    """For every indication without its own number."""
    by_indication: dict[Icd10, Whole] = {}
    """For certain indications."""


class Duration(_Part):
    """How long conservative care must have lasted, and since when it counts."""

    anchor: Literal["onset_or_treatment", "treatment_start"] = "treatment_start"
    """Day 0: the earlier of onset and treatment, or treatment only."""
    days: Days = Days()
    """Required days."""
    restart_on_symptom_change: Truth = False
    """A worse objective sign starts the count again."""


class Pharm(_Part):
    """Pharmacotherapy."""

    min_days: Whole = 28
    """Distinct covered days before the order."""
    detail: tuple[Literal["dose", "frequency", "start", "stop"], ...] = ("dose", "frequency", "start")
    """Details that an entry must carry to count."""
    evidence: Annotated[tuple[Literal["order", "eprescribe_or_dispense", "list"], ...], Field(min_length=1)] = (
        "order",
    )
    """Kinds of entry that count; the widest one includes the narrower ones."""
    min_agents: Whole = 1
    """Distinct ingredients."""
    second_agent_if: tuple[Literal["ineffective", "intolerance"], ...] = ()
    """Reasons of a stop that call for a second ingredient."""
    alternatives_ok: Truth = True
    """Accepted alternatives count like the first-line class."""


class Sessions(_Part):
    """Supervised therapy sessions."""

    default: Whole = 6
    """Distinct session dates."""
    by_plan: dict[str, Whole] = {}
    """For certain plans."""


class Therapy(_Part):
    """Physical therapy."""

    min_sessions: Sessions = Sessions()
    """Required sessions."""
    referral_required: Truth = True
    """A referral must be on file."""
    hep_substitutes: Truth = False
    """A documented home exercise program stands in for sessions."""
    counts: Annotated[tuple[Cpt, ...], Field(min_length=1)]
    """CPT codes of a session that counts."""


class Plateau(_Part):
    """When a score counts as not improved."""

    mode: Literal["absolute_pp", "relative_pct"] = "absolute_pp"
    """Percentage points, or per cent of the baseline."""
    threshold: Whole = 10
    """Largest improvement that still counts as none, inclusive."""


class Outcome(_Part):
    """Functional outcome."""

    measures: Annotated[tuple[str, ...], Field(min_length=1)] = ("NDI",)
    """Measures by their names in the concepts, first one first."""
    min_interval_days: Whole = 28
    """From baseline to decision score."""
    max_age_days: Whole = 30
    """From decision score to order."""
    plateau: Plateau = Plateau()
    """Rule for *not improved*, for percentage measures."""
    residual_min_pct: Whole = 10
    """Disability that must remain, per cent."""


class Activity(_Part):
    """Activity advice."""

    required: Truth = True
    """Must be documented."""


class Reevaluation(_Part):
    """Contact after the treatment."""

    required: Truth = False
    """Must be documented."""


class RedFlags(_Part):
    """Red-flag exceptions."""

    catalog: str = ""
    """Catalogue of categories by its id in the concepts; empty: the first one."""
    accept: tuple[str, ...] = ("RF1", "RF2", "RF3", "RF4", "RF5", "RF6")
    """Categories that waive conservative care."""
    extra: tuple[str, ...] = ()
    """Further categories of this payer."""


class Rule(_Part):
    """One rule row."""

    rule_id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
    """Name of the row and of its file."""
    version: Annotated[str, Field(pattern=r"^\d{1,4}\.\d{1,4}\.\d{1,4}$")]
    """Semantic version."""
    status: Literal["illustrative", "verified", "retired"]
    """Whether somebody checked it against the payer's own text."""
    payer: RulePayer
    """Whose rule, and for which orders."""
    effective: Effective
    """Order dates for which it holds."""
    reviewed: Reviewed = Reviewed()
    """Review of the row."""
    sources: tuple[Source, ...] = ()
    """Where it comes from."""
    procedure: Procedure
    """Services it is about."""
    indications: Annotated[tuple[Icd10, ...], Field(min_length=1)]
    """Diagnoses it is about."""
    duration: Duration = Duration()
    """Length of conservative care."""
    lookback_days: Whole = 183
    """How far back evidence counts."""
    episode_gap_days: Whole = 90
    """A longer pause ends the episode."""
    packet_valid_days: Whole = 30
    """How long a computed PASS stays usable."""
    pharm: Pharm = Pharm()
    """Pharmacotherapy."""
    pt: Therapy
    """Physical therapy."""
    outcome: Outcome = Outcome()
    """Functional outcome."""
    activity: Activity = Activity()
    """Activity advice."""
    reevaluation: Reevaluation = Reevaluation()
    """Contact after the treatment."""
    code_support: dict[Icd10, SupportLevel] = {}
    """Findings needed for a diagnosis, by code."""
    objective_types: tuple[ObjectiveType, ...] = ("motor", "reflex", "sensory")
    """Objective signs that count for `code_support`."""
    exam_template: str = ""
    """Examination template by its id in the concepts; empty: the first one."""
    red_flags: RedFlags = RedFlags()
    """Red-flag exceptions."""
    laterality_required: Truth = False
    """The order must say which side, and its diagnosis must agree."""
    prior_imaging_required: Truth = False
    """Plain imaging of the region must have been done before."""
    required_elements: tuple[ElementName, ...] = (
        "DURATION",
        "PHARM",
        "PT_REFERRAL",
        "PT_SESSIONS",
        "OUTCOME",
        "ACTIVITY",
    )
    """Elements asked for; the rest are *not required*."""

    def required_days(self, indication: str) -> int:
        """Days of conservative care for an indication."""
        return self.duration.days.by_indication.get(normalise_icd10(indication), self.duration.days.default)

    def required_sessions(self, plan_ids: Collection[str]) -> int:
        """Therapy sessions for the plans of a coverage; the strictest of several plan rows."""
        own = [number for plan, number in self.pt.min_sessions.by_plan.items() if plan in plan_ids]
        return max(own, default=self.pt.min_sessions.default)

    def holds_on(self, day: date) -> bool:
        """Whether the row is in force for an order of that day; orders of its time keep one that ended and retired."""
        end = self.effective.end
        return not self.is_withdrawn and self.effective.start <= day and (end is None or day <= end)

    @property
    def is_withdrawn(self) -> bool:
        """Whether the row holds for no order at all: retired without a last day."""
        return self.status == "retired" and self.effective.end is None

    def review_is_overdue(self, today: date) -> bool:
        """Whether the row should have been reviewed again before `today`."""
        return self.reviewed.next_due is not None and self.reviewed.next_due < today

    def overlaid(self, fields: Mapping[str, Any]) -> Rule:
        """The row with `fields` laid over it, nested mappings merged: a what-if. Raises `SettingsError`."""
        return validate_rule(_merge(self.model_dump(by_alias=True, mode="json"), fields), self.rule_id)


def status_words(status: str) -> str:
    """How the status of a row is shown to people and payers."""
    return NOT_A_POLICY if status == "illustrative" else status


def validate_rule(content: Any, name: str) -> Rule:
    """A rule from nested dicts and lists; raises `SettingsError` with the path of the first key at fault."""
    try:
        return Rule.model_validate(content)
    except ValidationError as error:
        problem: Any = error.errors(include_url=False, include_input=False)[0]
        path = ".".join(str(part) for part in problem["loc"]) or "rule"
        expected = "unknown key" if problem["type"] == "extra_forbidden" else str(problem["msg"])
        raise SettingsError(f"{name}: {path}: {expected}.", code="rule.value") from None


def _merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        merged[key] = _merge(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return merged
