"""Courses of drugs in a record: what was taken, for which days, and whether it counts.

Orders, dispenses and statements become courses with a first and a last day. What is not coded, not in
an allowed state or about another region is left out. Source: spec/clinical.md §1.6, §2.3.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, Literal

from gateway.clinical.concepts import Drug, rxnorm_codes
from gateway.clinical.dates import after
from gateway.fhir import Json
from gateway.fhir.reading import objects, one, text, whole_number
from gateway.fhir.references import reference_text
from gateway.reasoning.record import reference_of
from tests.readings.clinical.chart import About, Chart, about
from tests.readings.clinical.scores import read_number

Kind = Literal["order", "dispense", "statement"]
_INTENTS = frozenset({"order", "plan", "instance-order"})
_STATUSES: dict[Kind, frozenset[str]] = {
    "order": frozenset({"active", "completed", "stopped"}),
    "dispense": frozenset({"completed"}),
    "statement": frozenset({"active", "completed"}),
}
_DAYS = {"d": 1, "day": 1, "days": 1, "wk": 7, "week": 7, "weeks": 7}


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """One entry of a drug."""

    kind: Kind
    """Where it stands."""
    reference: str
    """`Type/id` of the entry."""
    drug: Drug | None
    """Ingredient; None for a coded drug that nobody here knows."""
    start: date | None
    """First day."""
    end: date | None
    """First day without it (half-open); None when it cannot be computed."""
    subject: About
    """What it was given for."""
    details: frozenset[str]
    """Details it carries: dose, frequency, start, stop."""
    as_needed: bool
    """To be taken as needed only."""
    stop_reason: Literal["", "ineffective", "intolerance"] = ""
    """Why it was stopped; empty when it was not, or for another reason."""
    is_stopped: bool = False
    """Stopped before its end."""


def read_courses(chart: Chart) -> tuple[Course, ...]:
    """Every coded drug entry in an allowed state that is not plainly for another region."""
    return tuple(course for course in _read_all(chart) if course.subject is not About.OTHER)


def _read_all(chart: Chart) -> Iterator[Course]:
    for resource in chart.record.of_type("MedicationRequest"):
        if text(resource.get("intent")) in _INTENTS and resource.get("doNotPerform") is not True:
            yield from _course(resource, "order", chart)
    for resource in chart.record.of_type("MedicationDispense"):
        yield from _course(resource, "dispense", chart)
    for resource in chart.record.of_type("MedicationStatement"):
        yield from _course(resource, "statement", chart)


def _course(resource: Json, kind: Kind, chart: Chart) -> Iterator[Course]:
    codes = rxnorm_codes(_drug_concept(resource, chart))
    if text(resource.get("status")) not in _STATUSES[kind] or not codes:
        return
    drug = next((found for code in sorted(codes) if (found := chart.concepts.drug_of(code))), None)
    start, end = _DAYS_OF[kind](resource, chart)
    doses = objects(resource.get("dosageInstruction")) or objects(resource.get("dosage"))
    yield Course(
        kind=kind,
        reference=reference_of(resource),
        drug=drug,
        start=start,
        end=end,
        subject=_subject(resource, chart),
        details=frozenset(_details(doses, start, end)),
        as_needed=bool(doses) and all(_as_needed(dose) for dose in doses),
        stop_reason=_stop_reason(resource, chart),
        is_stopped=resource.get("status") == "stopped",
    )


def _drug_concept(resource: Json, chart: Chart) -> Any:
    """The drug's CodeableConcept, also through a Medication, contained or in the record."""
    if "medicationCodeableConcept" in resource:
        return resource.get("medicationCodeableConcept")
    reference = reference_text(resource.get("medicationReference"))
    inside = {f"#{text(item.get('id'))}": item for item in objects(resource.get("contained"))}
    target = inside.get(reference) or chart.record.find(reference)
    return target.get("code") if target else None


def _subject(resource: Json, chart: Chart) -> About:
    """What the drug is for; a dispense without a reason takes that of the order it fills."""
    own = about(resource, chart)
    if own is not About.NOTHING:
        return own
    for reference in objects(resource.get("authorizingPrescription")):
        target = chart.record.find(reference_text(reference))
        if target is not None:
            return about(target, chart)
    return own


def _order_days(resource: Json, chart: Chart) -> tuple[date | None, date | None]:
    """An order from authoredOn to the end of its bounds, else by duration; a stopped one ends at its bounds only."""
    start = chart.day(resource.get("authoredOn"))
    bounds = [one(one(dose.get("timing")).get("repeat")) for dose in objects(resource.get("dosageInstruction"))]
    ends = [chart.day(one(repeat.get("boundsPeriod")).get("end")) for repeat in bounds]
    known = [end for end in ends if end is not None]
    if known or start is None or resource.get("status") == "stopped":
        return start, max(known, default=None)
    supply = one(resource.get("dispenseRequest")).get("expectedSupplyDuration")
    lengths = [_length(repeat.get("boundsDuration")) for repeat in bounds]
    days = max((length for length in lengths if length is not None), default=None) or _length(supply)
    return start, after(start, days) if days else None


def _dispense_days(resource: Json, chart: Chart) -> tuple[date | None, date | None]:
    start = chart.day(resource.get("whenHandedOver"))
    days = _days(one(resource.get("daysSupply")).get("value"))
    return start, after(start, days) if start and days else None


def _statement_days(resource: Json, chart: Chart) -> tuple[date | None, date | None]:
    """A statement's period with its last day; open until the order while active."""
    single = chart.day(resource.get("effectiveDateTime"))
    if single is not None:
        return single, after(single, 1)
    period = one(resource.get("effectivePeriod"))
    start, last = chart.day(period.get("start")), chart.day(period.get("end"))
    if last is not None:
        return start, after(last, 1)
    is_open = resource.get("status") == "active" and "end" not in period
    return start, chart.order_on if is_open else None


_DAYS_OF = {"order": _order_days, "dispense": _dispense_days, "statement": _statement_days}


def _length(duration: Any) -> int | None:
    """Days of a Duration in days or weeks; None otherwise."""
    quantity = one(duration)
    factor = _DAYS.get(text(quantity.get("code")) or text(quantity.get("unit")))
    number = _days(quantity.get("value"))
    return number * factor if factor and number is not None else None


def _details(doses: tuple[Json, ...], start: date | None, end: date | None) -> Iterator[str]:
    repeats = [one(one(dose.get("timing")).get("repeat")) for dose in doses]
    if any(_has_dose(dose) for dose in doses):
        yield "dose"
    if any(_is_number(repeat.get("frequency")) and _is_number(repeat.get("period")) for repeat in repeats):
        yield "frequency"
    if start is not None:
        yield "start"
    if end is not None:
        yield "stop"


def _has_dose(dose: Json) -> bool:
    rates = objects(dose.get("doseAndRate"))
    ranges = [one(rate.get("doseRange")) for rate in rates]
    amounts = [one(rate.get("doseQuantity")) for rate in rates]
    amounts += [one(ends.get(name)) for ends in ranges for name in ("low", "high")]
    return any(_is_number(amount.get("value")) for amount in amounts)


def _is_number(value: Any) -> bool:
    number = read_number(value)
    return number is not None and 0 < number <= 10**9


def _days(value: Any) -> int | None:
    """A whole number of days, also with zeros behind the point."""
    if not isinstance(value, Decimal):
        return whole_number(value)
    number = read_number(value)
    return int(number) if number is not None and number.denominator == 1 and abs(number) <= 10**15 else None


def _as_needed(dose: Json) -> bool:
    return dose.get("asNeededBoolean") is True or "asNeededCodeableConcept" in dose


def _stop_reason(resource: Json, chart: Chart) -> Literal["", "ineffective", "intolerance"]:
    if resource.get("status") != "stopped":
        return ""
    codes = chart.concepts.local(resource.get("statusReason"))
    if codes & set(chart.concepts.drug_rules.stopped_ineffective):
        return "ineffective"
    return "intolerance" if codes & set(chart.concepts.drug_rules.stopped_intolerance) else ""
