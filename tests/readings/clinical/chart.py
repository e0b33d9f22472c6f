"""One order in front of one record: what every element of a rule looks at.

The chart knows the order date, the evidence window and how to tell what a resource is about. It reads
a frozen snapshot and fetches nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Any

from gateway.clinical.concepts import Concepts, Region, diagnoses, matches, snomed_codes
from gateway.clinical.dates import Span, local_day, read_day, read_span
from gateway.clinical.focus import focus
from gateway.clinical.rule_row import Rule
from gateway.fhir import Json
from gateway.fhir.reading import objects, one, text
from gateway.fhir.references import reference_text, same_target
from gateway.reasoning.record import RecordSnapshot, reference_of

OLDEST_YEAR = 1900
"""An order dated earlier is a mistake of data."""


class About(StrEnum):
    """What a piece of evidence is about."""

    REGION = "region"
    """The region of the order."""
    OTHER = "other"
    """Another region only."""
    NOTHING = "nothing"
    """It gives no reason at all."""
    UNCLEAR = "unclear"
    """It gives a reason that cannot be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """An order, the record around it, the rule in question and the days that count."""

    record: RecordSnapshot
    """Resources of the patient."""
    order: Json
    """The imaging order."""
    rule: Rule
    """Rule row."""
    concepts: Concepts
    """Codes."""
    region: Region
    """Region of the ordered service."""
    zone: str
    """IANA zone of the practice."""
    order_on: date
    """Local day of the order."""
    from_on: date
    """First day on which treatment evidence counts."""
    onset_from: date | None = None
    """First day of the episode; evidence dated before it is not about this episode. None = unknown."""

    def day(self, value: Any) -> date | None:
        """Local day of a FHIR date or dateTime that names one."""
        return read_day(value, self.zone)

    def span(self, value: Any) -> Span | None:
        """Local day or days of a FHIR date or dateTime."""
        return read_span(value, self.zone)

    def counts(self, day: date | None) -> bool:
        """Whether evidence of that day lies in the window and in the episode."""
        if day is None or not self.from_on <= day <= self.order_on:
            return False
        return self.onset_from is None or self.onset_from <= day

    def since(self, first: date) -> Chart:
        """The same chart with a window that begins no earlier than `first`."""
        return replace(self, from_on=max(self.from_on, first))

    def about_episode(self, onset_from: date | None) -> Chart:
        """The same chart for an episode that began no earlier than `onset_from` (None = unknown)."""
        return replace(self, onset_from=onset_from)

    @property
    def encounter(self) -> Json | None:
        """The encounter of the order, when it is in the record."""
        return self.record.find(reference_text(self.order.get("encounter")))

    def birth(self) -> Span | None:
        """Day of birth, perhaps partial."""
        found = self.record.find(reference_text(self.order.get("subject")))
        patients = self.record.of_type("Patient")
        patient = found or (patients[0] if len(patients) == 1 else None)
        return self.span(patient.get("birthDate")) if patient else None


def order_day(order: Json, zone: str, now: datetime) -> tuple[date, tuple[str, ...]]:
    """Local day of an order and what was odd: its authoredOn, today for a draft without, today for a future one."""
    today = local_day(now, zone)
    day = read_day(order.get("authoredOn"), zone)
    if day is None and "authoredOn" in order:
        return today, ("DATA_ERROR: the order's date does not name a day; today is used",)
    if day is None:
        return today, ()
    if day.year < OLDEST_YEAR:
        return today, ("DATA_ERROR: the order is dated before any record; today is used",)
    if day > today + timedelta(days=1):
        return today, ("DATA_ERROR: the order is dated in the future; today is used",)
    return day, ()


def open_chart(
    record: RecordSnapshot, order: Json, rule: Rule, concepts: Concepts, region: Region, zone: str, order_on: date
) -> Chart:
    """A chart whose window is the rule's lookback, both ends in (day 183 in, day 184 out).

    Row, concepts and region are seen as this order sees them (`focus`).
    """
    own_rule, own_concepts, own_region = focus(rule, concepts, region, order, record)
    return Chart(
        record=record,
        order=order,
        rule=own_rule,
        concepts=own_concepts,
        region=own_region,
        zone=zone,
        order_on=order_on,
        from_on=order_on - timedelta(days=rule.lookback_days),
    )


def is_ignored(condition: Json) -> bool:
    """Whether a Condition counts for nothing: entered in error or refuted (spec/clinical.md §1.3)."""
    return bool(_status(condition, "verificationStatus") & {"entered-in-error", "refuted"})


def _status(resource: Json, element: str) -> frozenset[str]:
    codes = {text(coding.get("code")) for coding in objects(one(resource.get(element)).get("coding"))}
    return frozenset(codes - {""})


def is_of_region(concept: Any, chart: Chart) -> bool:
    """Whether a CodeableConcept names a diagnosis of the region."""
    patterns = (*chart.rule.indications, *chart.region.conditions)
    if any(matches(code, patterns) for code in diagnoses(concept)):
        return True
    return bool(snomed_codes(concept) & set(chart.region.snomed_conditions))


def about(resource: Json, chart: Chart, *, follow: bool = True, conditions: Iterable[Any] = ()) -> About:
    """What a treatment resource is about: its reasons, its body site, then what it is based on, one level deep.

    `conditions` adds References to Conditions from other elements (`addresses`, `diagnosis`). One reason of
    the region is enough.
    """
    votes = [*_reasons(resource, chart, conditions), *_sites(resource, chart)]
    based = list(_based_on(resource, chart)) if follow else []
    if About.REGION in votes or About.REGION in based:
        return About.REGION
    decisive = votes or based
    if About.OTHER in decisive:
        return About.OTHER
    return About.UNCLEAR if votes else About.NOTHING


def _reasons(resource: Json, chart: Chart, conditions: Iterable[Any]) -> Iterator[About]:
    for reference in [*objects(resource.get("reasonReference")), *map(one, conditions)]:
        target = chart.record.find(reference_text(reference))
        if target is None:
            yield About.UNCLEAR
        elif target.get("resourceType") == "Condition" and not is_ignored(target):
            yield _concept(target.get("code"), chart)
    for concept in objects(resource.get("reasonCode")):
        yield _concept(concept, chart)


def _concept(concept: Any, chart: Chart) -> About:
    if is_of_region(concept, chart):
        return About.REGION
    return About.OTHER if diagnoses(concept) or snomed_codes(concept) else About.UNCLEAR


def _sites(resource: Json, chart: Chart) -> Iterator[About]:
    for site in objects(resource.get("bodySite")):
        codes = snomed_codes(site)
        if codes:
            yield About.REGION if codes & set(chart.region.body_sites) else About.OTHER


def _based_on(resource: Json, chart: Chart) -> Iterator[About]:
    for reference in objects(resource.get("basedOn")):
        target = chart.record.find(reference_text(reference))
        if target is not None:
            yield about(target, chart, follow=False)


def refers_to(element: Any, target: Json | None) -> bool:
    """Whether a Reference element names that resource."""
    return target is not None and same_target(reference_text(element), reference_of(target))
