"""Which drugs are offered for conservative care, and in which order. Nobody but a clinician picks one.

A reason against the first line moves it behind the alternatives; it is never taken away, and nothing is ever
converted into something else. Source: spec/clinical.md §2.3.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from gateway.clinical.chart import Chart
from gateway.clinical.concepts import codes_in, diagnoses, loinc_codes, matches, rxnorm_codes
from gateway.clinical.conditions import codes_of, is_active
from gateway.clinical.dates import add_units
from gateway.clinical.protocol import Choice, Lab, Protocol
from gateway.clinical.scores import read_number
from gateway.fhir import Json
from gateway.fhir.codes import RXNORM
from gateway.fhir.reading import objects, one, text
from gateway.reasoning.record import reference_of

_FINAL = frozenset({"final", "amended", "corrected"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Caution:
    """One reason to think of another drug first."""

    label: str
    """Our words for it."""
    evidence: str
    """`Type/id` it rests on; empty for the age."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """Drugs to choose from."""

    choices: tuple[Choice, ...]
    """In the order in which they are shown; none is preselected."""
    cautions: tuple[Caution, ...]
    """Why alternatives stand first; empty where the first line does."""


def offer_drugs(chart: Chart, protocol: Protocol) -> Offer:
    """The choice list for a chart, alternatives first where there is a caution."""
    cautions = tuple(dict.fromkeys(_cautions(chart, protocol)))
    first_line = [choice for choice in protocol.choice if _is_first_line(choice, chart)]
    others = [choice for choice in protocol.choice if choice not in first_line]
    ordered = [*others, *first_line] if cautions else [*first_line, *others]
    return Offer(choices=tuple(ordered), cautions=cautions)


def _is_first_line(choice: Choice, chart: Chart) -> bool:
    drug = chart.concepts.drug_of(choice.product)
    return drug is not None and drug.kind == chart.concepts.drug_rules.first_line


def _cautions(chart: Chart, protocol: Protocol) -> Iterator[Caution]:
    """Steps: (1) age; (2) allergy; (3) problems; (4) drugs; (5) laboratory; (6) blood pressure."""
    safety = protocol.safety
    birth = chart.birth()
    if birth is not None and add_units(birth.earliest, safety.age_from, "a") <= chart.order_on:  # (1)
        yield Caution(label=f"age {safety.age_from} or older", evidence="")
    yield from _allergies(chart)  # (2)
    for condition in chart.record.of_type("Condition"):  # (3)
        for row in safety.problems:
            if any(matches(code, row.codes) for code in diagnoses(condition.get("code"))) and is_active(
                condition, chart
            ):
                yield Caution(label=row.label, evidence=reference_of(condition))
    yield from _drugs(chart, protocol)  # (4)
    for lab in safety.labs:  # (5)
        yield from _low(chart, lab)
    yield from _pressure(chart, protocol)  # (6)


def _allergies(chart: Chart) -> Iterator[Caution]:
    first_line = chart.concepts.drug_rules.first_line
    for allergy in chart.record.of_type("AllergyIntolerance"):
        drugs = [chart.concepts.drug_of(code) for code in sorted(codes_in(allergy.get("code"), RXNORM))]
        void = codes_of(allergy, "verificationStatus") & {"entered-in-error", "refuted"}
        ended = codes_of(allergy, "clinicalStatus") & {"inactive", "resolved"}
        if not void and not ended and any(drug and drug.kind == first_line for drug in drugs):
            yield Caution(label=f"{first_line.upper()} allergy or intolerance", evidence=reference_of(allergy))


def _drugs(chart: Chart, protocol: Protocol) -> Iterator[Caution]:
    wanted = {code: row.label for row in protocol.safety.drugs for code in row.codes}
    for kind in ("MedicationRequest", "MedicationStatement"):
        for entry in chart.record.of_type(kind):
            if entry.get("status") == "active":
                found = rxnorm_codes(entry.get("medicationCodeableConcept")) & wanted.keys()
                yield from (Caution(label=wanted[code], evidence=reference_of(entry)) for code in sorted(found))


def _low(chart: Chart, lab: Lab) -> Iterator[Caution]:
    """The newest value of the laboratory, where it is too low."""
    newest = _newest(chart, lab.within_days, frozenset(lab.loinc))
    number = read_number(one(newest.get("valueQuantity")).get("value")) if newest else None
    if newest is not None and number is not None and number < lab.below:
        yield Caution(label=lab.label, evidence=reference_of(newest))


def _pressure(chart: Chart, protocol: Protocol) -> Iterator[Caution]:
    row = protocol.safety.pressures
    newest = _newest(chart, row.within_days, frozenset({row.panel}))
    limits = {row.systolic: row.systolic_from, row.diastolic: row.diastolic_from}
    for component in objects((newest or {}).get("component")):
        number = read_number(one(component.get("valueQuantity")).get("value"))
        for code in loinc_codes(component.get("code")) & limits.keys():
            if newest is not None and number is not None and number >= limits[code]:
                yield Caution(label=row.label, evidence=reference_of(newest))


def _newest(chart: Chart, within_days: int, loinc: frozenset[str]) -> Json | None:
    """The newest final observation with one of the codes, no older than asked."""
    oldest = chart.order_on - timedelta(days=within_days)
    dated: list[tuple[date, Any]] = []
    for observation in chart.record.of_type("Observation"):
        day = chart.day(observation.get("effectiveDateTime"))
        final = text(observation.get("status")) in _FINAL
        if final and day and oldest <= day <= chart.order_on and loinc_codes(observation.get("code")) & loinc:
            dated.append((day, observation))
    return max(dated, key=lambda pair: pair[0])[1] if dated else None
