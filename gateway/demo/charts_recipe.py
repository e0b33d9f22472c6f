"""What a chart is made of, read from the data beside this module.

The recipes hold every clinical code and date; this module only gives them shape. `base.toml` is the
worked chart of spec/clinical.md §7, `cases.toml` what differs from it, `scenarios.toml` who appears
in the demo.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, time
from functools import cache
from importlib.resources import files
from typing import Any

from gateway.errors import SettingsError

DEFAULT_PAYER = "SYN-MCR-01"
"""Payer identifier of the worked cases."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """An invented patient; the name is meant to be seen through."""

    family: str
    given: str
    gender: str
    birth_date: str
    """Full date, YYYY-MM-DD."""
    line: str
    """First line of the address; the rest is the practice's town."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Everything that varies between charts. Concepts are names of `vocabulary.toml`; None or empty = absent."""

    chart_id: str
    """Names the chart and seeds its ids: a case id or a scenario."""
    case_id: str
    """Worked case it follows, P01 to P12."""
    title: str
    person: Person
    payer: str
    """Identifier value of the paying organization."""
    member_id: str
    indication: str
    """Concept of the neck problem."""
    onset: Mapping[str, Any]
    """The onset element of the problem, ready to be put in."""
    recorded_on: date
    first_visit_on: date | None
    order_on: date
    order_at: time
    """Local time of the order."""
    order_in_utc: bool
    """Whether the order's instant is written in UTC."""
    order_code: str
    """Concept of what is ordered."""
    order_site: str
    """Concept of the part of the body it is for."""
    order_priority: str
    order_reason: str
    """Concept coded on the order instead of a reference to the problem."""
    drugs: tuple[Mapping[str, Any], ...]
    """Prescriptions: concept, on, days, dose (mg), times_a_day."""
    statements: tuple[Mapping[str, Any], ...]
    """Drugs the patient reports taking: concept, on."""
    referral_on: date | None
    sessions_on: tuple[date, ...]
    ndi: tuple[Mapping[str, Any], ...]
    """Neck disability scores: on, total of 50."""
    pain: tuple[Mapping[str, Any], ...]
    """Pain on a visual scale: on, value of 10 as text."""
    advice: Mapping[str, Any]
    """form (care-plan, procedure, communication), concept, on, text."""
    screens: Mapping[str, bool]
    """Answer to each red-flag question."""
    myelopathy: Mapping[str, Any]
    """Examination and attestation: summary, present, absent, basis."""
    exams: tuple[Mapping[str, Any], ...]
    """Neurological examinations with one right-sided C7 pattern: on, at."""
    notes: tuple[Mapping[str, Any], ...]
    """Progress notes about the neck: on, text."""
    without: tuple[str, ...]
    """Distractor groups left out."""


@cache
def load_table(name: str) -> Mapping[str, Any]:
    """One data file of the recipes folder, without its ending. Raises SettingsError when it cannot be read."""
    try:
        text = (files("gateway.demo") / "recipes" / f"{name}.toml").read_text("utf-8")
        return tomllib.loads(text)
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"The chart recipe {name}.toml cannot be read: {type(error).__name__}.") from None


def case_recipe(chart_id: str) -> Recipe:
    """The recipe of one worked case, P01 to P12, paid by the default payer."""
    case = {**load_table("cases")[chart_id], "case_id": chart_id}
    return _recipe(chart_id, case, payer=DEFAULT_PAYER, member_id=f"SYN-{chart_id}")


def scenario_recipe(scenario: str) -> Recipe:
    """The recipe of one demo scenario: a worked case with its own patient, payer and member id."""
    row = load_table("scenarios")[scenario]
    case = {**load_table("cases")[row["base"]], "case_id": row["base"], "person": row["person"]}
    return _recipe(scenario, case, payer=row["payer"], member_id=row["member_id"])


def case_ids() -> tuple[str, ...]:
    """P01 to P12."""
    return tuple(load_table("cases"))


def scenario_names() -> tuple[str, ...]:
    """The demo's scenarios in the order of the data file."""
    return tuple(load_table("scenarios"))


def _recipe(chart_id: str, case: Mapping[str, Any], *, payer: str, member_id: str) -> Recipe:
    fields = {**load_table("base"), **case}
    person = Person(**fields.pop("person"))
    shaped = {key: _shaped(value) for key, value in fields.items()}
    try:
        return Recipe(chart_id=chart_id, person=person, payer=payer, member_id=member_id, **shaped)
    except TypeError as error:
        raise SettingsError(f"The recipe {chart_id} has a wrong set of keys: {error}.") from None


def _shaped(value: Any) -> Any:
    """Lists become tuples; an empty text in place of a date stays falsy."""
    return tuple(value) if isinstance(value, list) else value
