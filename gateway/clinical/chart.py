"""One order in front of one record, for pages and timers: what the rule itself reads, and nothing read twice.

The verdict is `evaluate`'s. What else a page shows of the same chart (scores, courses, sessions) is asked of the
same criteria, so that a page never says something else than the verdict.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from gateway.clinical.concepts import Concepts, Region
from gateway.clinical.criteria import Criteria, open_criteria
from gateway.clinical.dates import Span, local_day, read_day
from gateway.clinical.focus import focus
from gateway.clinical.rule_row import Rule
from gateway.fhir import Json
from gateway.reasoning.record import RecordSnapshot

OLDEST_YEAR = 1900
"""An order dated earlier is a mistake of data."""


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
    """First day of the rule's window."""
    opened: dict[tuple[str, ...], Criteria] = field(default_factory=dict, compare=False, repr=False)
    """Criteria that were opened over this chart, by the measures they judge."""

    def day(self, value: Any) -> date | None:
        """Local day of a FHIR date or dateTime that names one."""
        return read_day(value, self.zone)

    def birth(self) -> Span | None:
        """Day of birth, perhaps partial."""
        found = self.criteria().value("Birth", "CareRecord")
        if found is None:
            return None
        return Span(earliest=date.fromisoformat(found["low"]), latest=date.fromisoformat(found["high"]))

    def criteria(self, *measures: str, any_interval: bool = False) -> Criteria:
        """The criteria over this chart; with `measures` these are judged instead of the row's.

        `any_interval` takes the first and the last score for a pair, however far apart and however old.
        """
        key = (*measures, str(any_interval))
        if key not in self.opened:
            rule = self.rule
            fields: dict[str, Any] = {"measures": measures} if measures else {}
            fields |= {"min_interval_days": 0, "max_age_days": rule.lookback_days} if any_interval else {}
            if fields:
                rule = rule.model_copy(update={"outcome": rule.outcome.model_copy(update=fields)})
            now = datetime.combine(self.order_on, time(), UTC)
            self.opened[key] = open_criteria(
                self.record, self.order, rule, self.concepts, self.region, self.zone, self.order_on, now
            )
        return self.opened[key]


def order_day(order: Json, zone: str, now: datetime) -> tuple[date, tuple[str, ...]]:
    """Local day of an order and what was odd: its authoredOn, today for a draft without, today for a future one."""
    today = local_day(now, zone)
    day = read_day(order.get("authoredOn"), zone)
    if day is None:
        odd = "authoredOn" in order
        return today, ("DATA_ERROR: the order's date does not name a day; today is used",) if odd else ()
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
