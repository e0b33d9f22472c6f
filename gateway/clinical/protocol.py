"""What the conservative-care protocol consists of, read from data: proposals, windows, milestones.

The module knows shapes only; every code, dose and day stands in `questionnaires/<slug>/protocol.toml`.
Source: spec/clinical.md §2.
"""

from __future__ import annotations

import tomllib
from decimal import Decimal
from functools import cache
from importlib.resources import files
from typing import Any, Literal

from pydantic import Field, ValidationError

from gateway.clinical.concept_rows import Codes, Part
from gateway.errors import SettingsError

Owner = Literal["clinician", "assistant", "coordinator", "patient"]
"""Who is asked when a milestone finds something missing."""


class Coded(Part):
    """A coding of our own choosing."""

    system: str
    """Code system."""
    code: str
    """Code."""
    text: str = ""
    """Our own label."""


class Plan(Part):
    """The care plan and its Tasks."""

    title: str
    """Title of the plan."""
    categories: tuple[Coded, ...]
    """Categories of the plan."""
    timer: str
    """Code of the timer Task (local)."""
    alert: str
    """Code of an alert Task (local)."""
    red_flag_reason: str
    """Status reason of a timer that a red flag ended (local)."""
    goal: str
    """Words of the goal."""
    goal_percentage_points: int
    """Improvement that the goal asks to exceed."""


class AdviceText(Part):
    """Advice that the plan gives."""

    code: str
    """Kind (local)."""
    text: str
    """Words for the patient."""
    regions: Codes = ()
    """Parts of the body it is for; empty: all."""
    excepted: Codes = ()
    """Parts of the body it is not for."""


class TherapyOrder(Part):
    """The therapy request that is proposed."""

    code: str
    """Service (CPT)."""
    details: Codes
    """Further services (CPT)."""
    category_snomed: str
    """Category (SNOMED CT)."""
    label: str
    """Our own label."""
    times_a_week: int
    """Visits a week."""
    weeks: int
    """For so many weeks."""


class OutcomePlan(Part):
    """When an outcome measure is taken."""

    measure: str
    """Name of the measure in the concepts."""
    task: str
    """Code of the Task that asks for it (local)."""
    windows: tuple[tuple[int, int], ...]
    """First and last day of each window: baseline, midpoint, decision."""
    baseline_grace_day: int
    """Last day on which a late baseline is taken, with a warning."""


class Choice(Part):
    """A drug that may be proposed."""

    key: str
    """Name in forms."""
    product: str
    """RxNorm product."""
    label: str
    """Our own label."""
    dose: Decimal
    """Amount of one dose."""
    unit: str
    """Its unit (UCUM)."""
    times_a_day: int
    """Doses a day."""
    text: str
    """Directions."""


class Labelled(Part):
    """Codes that mean one caution."""

    label: str
    """Our words for it."""
    codes: Codes
    """Codes or patterns."""


class Lab(Part):
    """A laboratory value that means a caution."""

    label: str
    """Our words for it."""
    loinc: Codes
    """LOINC codes."""
    below: Decimal
    """A newest value below this counts."""
    within_days: int
    """Oldest value that is looked at."""


class Pressure(Part):
    """Blood pressure that means a caution."""

    label: str
    """Our words for it."""
    panel: str
    """LOINC code of the panel."""
    systolic: str
    """LOINC code of its first component."""
    diastolic: str
    """LOINC code of its second component."""
    systolic_from: Decimal
    """High from here."""
    diastolic_from: Decimal
    """High from here."""
    within_days: int
    """Oldest value that is looked at."""


class Safety(Part):
    """Reasons to show other drugs before the first line."""

    age_from: int
    """Age in years from which caution is due."""
    problems: tuple[Labelled, ...]
    """Active problems (ICD-10-CM patterns)."""
    drugs: tuple[Labelled, ...]
    """Current drugs (RxNorm)."""
    labs: tuple[Lab, ...]
    """Laboratory values."""
    pressures: Pressure
    """Blood pressure."""


class Milestone(Part):
    """One line of the plan's calendar."""

    name: str
    """Name of the due row."""
    day: int | None = None
    """Day of the protocol."""
    after_end: int | None = None
    """Days after the decision day; negative before."""
    owner: Owner
    """Who is asked when something is missing."""
    title: str
    """What it is about."""
    needs: tuple[str, ...]
    """Questions answered from the chart."""

    def falls_on(self, days: int) -> int:
        """Day of the protocol on which it is due, for a timer of `days` days."""
        return self.day if self.day is not None else days + (self.after_end or 0)


class Protocol(Part):
    """The whole protocol."""

    expires_after_days: int
    """Days after the decision day at which a timer without a decision fails."""
    watch_hours: int = Field(ge=1)
    """Hours between two looks at the chart."""
    fires_at_hour: int = Field(ge=0, le=23)
    """Local hour at which milestones are due."""
    decides_at_hour: int = Field(ge=0, le=23)
    """Local hour of the decision."""
    adherence_prompt_percent: int
    """Share of covered days below which a prompt is shown."""
    plan: Plan
    """Plan and Tasks."""
    advice: tuple[AdviceText, ...]
    """Advice."""
    therapy: TherapyOrder
    """Therapy."""
    outcome: tuple[OutcomePlan, ...]
    """Outcome measures."""
    choice: tuple[Choice, ...]
    """Drugs to choose from."""
    route: Coded
    """Route of administration."""
    safety: Safety
    """Cautions."""
    milestone: tuple[Milestone, ...]
    """Calendar."""

    def outcome_of(self, measures: Codes) -> OutcomePlan | None:
        """When the first measure that a rule row names is taken; None where the protocol has no plan for any."""
        known = {plan.measure: plan for plan in self.outcome}
        return next((known[name] for name in measures if name in known), None)

    def advice_for(self, region: str) -> tuple[AdviceText, ...]:
        """Advice for a part of the body."""
        return tuple(
            item for item in self.advice if region not in item.excepted and (not item.regions or region in item.regions)
        )

    def choice_named(self, key: str) -> Choice | None:
        """The proposal of that name, or None."""
        return next((choice for choice in self.choice if choice.key == key), None)

    def calendar(self, days: int) -> tuple[tuple[Milestone, int], ...]:
        """Milestones of a timer of `days` days with their days, in order.

        Lines of a longer protocol that would fall on or behind the last look before the decision are left out.
        """
        last = min((item.falls_on(days) for item in self.milestone if item.after_end is not None), default=days)
        kept = [item for item in self.milestone if item.after_end is not None or (item.day or 0) < last]
        return tuple(sorted(((item, item.falls_on(days)) for item in kept), key=lambda pair: pair[1]))

    def milestone_named(self, name: str) -> Milestone | None:
        """The milestone of that name, or None."""
        return next((item for item in self.milestone if item.name == name), None)


def parse_protocol(content: str, name: str = "protocol.toml") -> Protocol:
    """A protocol from TOML text; raises `SettingsError` with the path of the first key at fault."""
    try:
        return Protocol.model_validate(tomllib.loads(content))
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{name}: not TOML: {error}", code="protocol") from None
    except ValidationError as error:
        problem: Any = error.errors(include_url=False, include_input=False)[0]
        path = ".".join(str(part) for part in problem["loc"])
        raise SettingsError(f"{name}: {path}: {problem['msg']}.", code="protocol") from None


@cache
def packaged_protocol(slug: str = "conservative-care") -> Protocol:
    """The packaged protocol; `SettingsError` when there is none."""
    try:
        content = (files("questionnaires") / slug / "protocol.toml").read_text("utf-8")
    except (OSError, ModuleNotFoundError):
        raise SettingsError(f"The package holds no protocol for {slug}.", code="protocol") from None
    return parse_protocol(content, f"{slug}/protocol.toml")
