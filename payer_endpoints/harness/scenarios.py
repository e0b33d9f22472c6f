"""What each simulated payer answers, as data: one TOML file a scenario, chosen by payer and member number.

A file says what is answered at order time (`[crd]`), which forms are wanted (`forms`), what `$submit` decides
(`[submit]`), what is decided later (`[notify]`) and which faults the first calls meet (`[faults.<operation>]`).
Unknown keys are refused, so that a misspelt word cannot pass as a default.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from payer_endpoints.harness.faults import Fault
from payer_endpoints.harness.package_damage import DAMAGES

Decision = Literal[
    "approved", "pended", "denied", "modified", "denied-with-part", "contact", "no-action", "unknown-code", "error"
]
AUTHORIZED = frozenset({"approved", "modified", "denied-with-part"})
"""Decisions that grant something and so carry a number."""


class ScenarioError(ValueError):
    """A scenario file cannot be used; the message names file, key and what was expected."""


class _Row(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CoveragePlan(_Row):
    """One coverage-information answer; the words are the guide's codes."""

    covered: Literal["covered", "not-covered", "conditional", "indeterminate"] = "covered"
    pa_needed: Literal["no-auth", "auth-needed", "satisfied", "performpa", "conditional", "indeterminate", ""] = (
        "auth-needed"
    )
    doc_needed: tuple[Literal["clinical", "admin", "patient", "conditional", "indeterminate"], ...] = ()
    doc_purpose: tuple[Literal["withpa", "withclaim", "withorder", "retain-doc", "OTH"], ...] = ()
    info_needed: tuple[Literal["performer", "location", "timeframe", "contract-window", "detail-code", "OTH"], ...] = ()
    reason: str = ""
    """Plain text of the reason; the guide wants one with doc-purpose and with indeterminate."""
    reason_codes: tuple[str, ...] = ()
    satisfied_pa_id: str = ""
    expiry_days: int | None = Field(default=180, ge=0)
    quantity: int | None = Field(default=None, ge=1)
    """An allowed-quantity limitation, where given."""
    contact: str = ""
    name_questionnaires: bool = True
    """False leaves the canonicals out; DTR then decides which forms there are."""

    @model_validator(mode="after")
    def _keep_invariants(self) -> CoveragePlan:
        broken = [name for name, holds in self._invariants() if not holds]
        if broken:
            raise ValueError(f"coverage-information invariants broken: {', '.join(broken)}")
        return self

    def _invariants(self) -> list[tuple[str, bool]]:
        """crd.md §8, q1–q9; q4 as its text means it, for `no-auth` too."""
        reasoned = bool(self.reason or self.reason_codes)
        words = {self.covered, self.pa_needed, *self.doc_needed}
        settled = self.covered == "not-covered" or self.pa_needed in ("satisfied", "no-auth")
        return [
            ("q2", self.covered != "not-covered" or not self.pa_needed),
            ("q3", "conditional" not in words or bool(self.info_needed)),
            ("q4", not settled or "withpa" not in self.doc_purpose),
            ("q5", (self.pa_needed == "satisfied") == bool(self.satisfied_pa_id)),
            ("q6", "OTH" not in self.info_needed or reasoned),
            ("q8", not self.doc_purpose or reasoned),
            ("q9", "indeterminate" not in words or reasoned),
        ]


class SubmitPlan(_Row):
    """One decision on every item of a request."""

    decision: Decision = "approved"
    by_code: dict[str, Decision] = Field(default_factory=dict)
    """Other decisions for some services, by code."""
    reason_codes: tuple[str, ...] = ()
    """X12 external code list 886, for denials."""
    note: str = ""
    human_reviewed: bool = False
    period_days: int = Field(default=90, ge=0)
    quantity: int = Field(default=1, ge=1)
    """What a modified answer authorizes."""
    request_documents: tuple[str, ...] = ()
    """LOINC codes asked for with a pend; 102089-0 asks for the payer's own form."""
    error_code: str = "15"
    """X12 901 reject reason of an `error`."""
    follow_up: str = "C"
    """X12 889 follow-up action of an `error`."""

    def for_service(self, codes: Iterable[str]) -> SubmitPlan:
        """The plan for one item, by the codes of its service."""
        decision = next((self.by_code[code] for code in codes if code in self.by_code), self.decision)
        return self if decision == self.decision else self.model_copy(update={"decision": decision})


class NotifyPlan(SubmitPlan):
    """The decision that follows a pend, told by notification."""

    after_seconds: float = Field(default=2, ge=0)
    """After the pend, or after the documents came where some were asked for."""


class PackagePlan(_Row):
    """How the forms are handed out; without it as the guide says."""

    damage: tuple[str, ...] = ()
    """Switches of `package_damage.py`, applied to every package in order."""
    shape: Literal["guide", "bare", "return", "outcome-only", "empty", "nothing"] = "guide"
    """`bare`: the first package as a bare Bundle; `return`: Parameters with the names of reference implementations;
    `outcome-only`: no package and a sentence why; `empty`: Parameters without any; `nothing`: no body."""

    @model_validator(mode="after")
    def _is_known(self) -> PackagePlan:
        unknown = sorted(set(self.damage) - set(DAMAGES))
        if unknown:
            raise ValueError(f"no such damage: {', '.join(unknown)}")
        return self


class Scenario(_Row):
    """One row of behaviour."""

    id: str = Field(pattern=r"^[a-z0-9-]+$")
    title: str
    payer: str = "*"
    """Slug of the payer, or `*` for any."""
    member_ids: tuple[str, ...] = ()
    default: bool = False
    """Answers every member that no other scenario names."""
    forms: tuple[str, ...] = ()
    """Folders below `questionnaires/` or `harness/forms/`."""
    package: PackagePlan = PackagePlan()
    crd: CoveragePlan = CoveragePlan()
    form_answer: CoveragePlan | None = None
    """What an adaptive form's service says about coverage when the form is complete; absent: nothing."""
    submit: SubmitPlan = SubmitPlan()
    notify: NotifyPlan | None = None
    faults: dict[str, Fault] = Field(default_factory=dict)
    """By operation; counted for each transaction, so `first = 1` means the first try of each request."""

    @property
    def plans(self) -> tuple[SubmitPlan, ...]:
        """What is decided at first and, where it was pended, later."""
        return (self.submit,) if self.notify is None else (self.submit, self.notify)

    @model_validator(mode="after")
    def _fits_together(self) -> Scenario:
        if self.submit.decision == "pended" and self.notify is None:
            raise ValueError("a pended submit needs a [notify]")
        if self.crd.doc_needed and not self.forms:
            raise ValueError("doc_needed without forms")
        if not self.member_ids and not self.default:
            raise ValueError("member_ids is empty and default is false")
        return self


class ScenarioBook:
    """All scenarios, by payer and member."""

    def __init__(self, scenarios: Iterable[Scenario]) -> None:
        self._named: dict[tuple[str, str], Scenario] = {}
        self._default: dict[str, Scenario] = {}
        self.by_id: dict[str, Scenario] = {}
        for scenario in scenarios:
            self._add(scenario)
        if "*" not in self._default:
            raise ScenarioError("one scenario for any payer must have default = true")

    def choose(self, payer: str, member: str) -> Scenario:
        """The payer's own row for the member, else any payer's row for the member, else the default."""
        for key in ((payer, member), ("*", member)):
            if key in self._named:
                return self._named[key]
        return self._default.get(payer, self._default["*"])

    def _add(self, scenario: Scenario) -> None:
        if scenario.id in self.by_id:
            raise ScenarioError(f"scenario id {scenario.id} is used twice")
        self.by_id[scenario.id] = scenario
        for member in scenario.member_ids:
            if (scenario.payer, member) in self._named:
                raise ScenarioError(f"{scenario.id}: member {member} already has a scenario at {scenario.payer}")
            self._named[scenario.payer, member] = scenario
        if scenario.default:
            self._default[scenario.payer] = scenario


def load_scenarios(folder: Path | None = None) -> ScenarioBook:
    """Every `*.toml` of `folder`, or of the scenarios that come with the harness. Raises `ScenarioError`."""
    root: Traversable = folder if folder is not None else files("payer_endpoints.harness") / "scenarios"
    found = sorted((entry for entry in root.iterdir() if entry.name.endswith(".toml")), key=lambda entry: entry.name)
    return ScenarioBook(read_scenario(entry.name, entry.read_text("utf-8")) for entry in found)


def read_scenario(name: str, text: str) -> Scenario:
    """One scenario from TOML text. Raises `ScenarioError` naming the file and the key."""
    try:
        return Scenario.model_validate(tomllib.loads(text))
    except (tomllib.TOMLDecodeError, ValidationError) as error:
        raise ScenarioError(f"{name}: {error}") from error
