"""Reading elements of a chart for the criteria: what cannot be read is left out, never guessed.

Nobody has promised the shape of a chart. The criteria see typed elements only: dates as the practice sees
them, codes under their canonical systems, references as `Type/id`. Source: spec/clinical.md §1.5, §12.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date
from decimal import Decimal
from typing import Any

from gateway.clinical.concept_rows import Answers
from gateway.clinical.dates import read_age, read_span
from gateway.errors import InputError
from gateway.fhir import Json
from gateway.fhir.codes import normalise_coding
from gateway.fhir.instants import read_moment
from gateway.fhir.reading import codings, objects, one, text, whole_number
from gateway.fhir.references import reference_text, same_target
from gateway.reasoning.record import RecordSnapshot, reference_of

FIRST, LAST = date(1000, 1, 1), date(8899, 12, 31)
"""Days that are calculated with; adding a course or an age to them stays within the calendar."""
MAX_DAYS = 100_000
"""Longest course."""
MAX_NUMBER = 10**9
"""Largest amount."""
UNREADABLE: Mapping[str, Any] = {
    "extension": [{"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "unknown"}]
}
"""Beside an element that is there and cannot be read."""
_AGE_UNITS = {"a": "years", "m": "months", "w": "weeks", "d": "days"}
_MAX_AGE = {"a": 500, "m": 6_000, "w": 25_000, "d": MAX_DAYS}
_DAYS = {"d": 1, "day": 1, "days": 1, "wk": 7, "week": 7, "weeks": 7}


@dataclass(slots=True, kw_only=True)
class Reader:
    """Reads elements of one record. Fills in the names of people as it meets them."""

    record: RecordSnapshot
    """The chart."""
    zone: str
    """IANA zone of the practice."""
    names: Mapping[int, str] = field(default_factory=dict)
    """Name given to each resource, by its identity."""
    answers: Answers = field(default_factory=Answers)
    """Yes and no as other systems code them."""
    people: list[str] = field(default_factory=list)
    """References to people met so far, one for each person."""

    def day(self, value: Any) -> str | None:
        """Local day of a date or dateTime that names one."""
        found = read_span(value, self.zone)
        return _bounded(found.earliest) if found and found.is_exact else None

    def partial(self, value: Any) -> str | None:
        """Local day of a date or dateTime, or its month or year where it says no more."""
        found = read_span(value, self.zone)
        if found is None or found.is_exact or not FIRST < found.earliest < LAST:
            return _bounded(found.earliest) if found else None
        return text(value)

    def instant(self, value: Any) -> str | None:
        """Instant in UTC, to order what happened on one day."""
        try:
            moment = read_moment(text(value), self.zone).starts_at.astimezone(UTC)
        except (InputError, OverflowError):
            return None
        return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"

    def period(self, value: Any) -> Json | None:
        """Period of days; an end that cannot be read is marked, since no end means still going on."""
        if not isinstance(value, Mapping | list):
            return None
        given = one(value)
        start, end = self.day(given.get("start")), self.day(given.get("end"))
        found: dict[str, Any] = {"start": start} if start else {}
        if "end" in given:
            found |= {"end": end} if end else {"_end": UNREADABLE}
        return found

    def partial_period(self, value: Any) -> Json:
        """Period whose ends may be months or years."""
        given = one(value)
        found = {name: self.partial(given.get(name)) for name in ("start", "end")}
        return {name: day for name, day in found.items() if day}

    def reference(self, value: Any) -> Json:
        """Reference to a resource of the record; one without `reference` for any other."""
        target = self.record.find(reference_text(value))
        return {"reference": self.names[id(target)]} if target is not None else {"display": "not in the record"}

    def references(self, value: Any) -> list[Json]:
        """All of a list."""
        return [self.reference(item) for item in objects(value)]

    def person(self, value: Any) -> Json | None:
        """Reference to a clinician, the same for all names of one person, also through a PractitionerRole."""
        given = reference_text(value)
        role = self.record.find(given)
        name = (reference_text(role.get("practitioner")) if role else "") or given
        if not name:
            return None
        known = next((known for known in self.people if same_target(known, name)), None)
        if known is None:
            self.people.append(name)
        return {"reference": known or name}

    def contained_drug(self, resource: Json) -> Any:
        """The drug's CodeableConcept, also through a Medication, contained or in the record."""
        if "medicationCodeableConcept" in resource:
            return resource.get("medicationCodeableConcept")
        reference = reference_text(resource.get("medicationReference"))
        inside = {f"#{text(item.get('id'))}": item for item in objects(resource.get("contained"))}
        target = inside.get(reference) or self.record.find(reference)
        return target.get("code") if target else None

    def answer(self, value: Any) -> bool | Json | None:
        """A coded answer: true, false, None for one that says nothing, else its CodeableConcept."""
        found = read_concept(value) or {"coding": []}
        named = {f"{coding['system']}|{coding['code']}" for coding in found["coding"]}
        if named & {*self.answers.yes} and not named & {*self.answers.no}:
            return True
        if named & {*self.answers.no} and not named & {*self.answers.yes}:
            return False
        return None if named & {*self.answers.unknown, *self.answers.yes} else found


def _bounded(day: date) -> str:
    return max(FIRST, min(day, LAST)).isoformat()


def read_code(value: Any) -> str | None:
    """A code or other text."""
    return text(value) or None


def read_flag(value: Any) -> bool | None:
    """A boolean."""
    return value if isinstance(value, bool) else None


def read_concept(value: Any) -> Json | None:
    """Codes that name their system, the system by its canonical name."""
    coded = [normalise_coding(coding) for coding in codings(value) if text(coding.get("code"))]
    found = [
        {"system": text(coding.get("system")), "code": text(coding["code"])}
        for coding in coded
        if text(coding.get("system"))
    ]
    words = text(one(value).get("text"))
    if value is None or not isinstance(value, Mapping | list):
        return None
    return {"coding": found, **({"text": words} if words else {})}


def read_concepts(value: Any) -> list[Json]:
    """All of a list."""
    return [found for item in objects(value) if (found := read_concept(item)) is not None]


def read_status(value: Any) -> Json | None:
    """Codes of a status concept, whatever their system."""
    codes = [text(coding.get("code")) for coding in objects(one(value).get("coding"))]
    return {"coding": [{"code": code} for code in codes if code]} if any(codes) else None


def read_statuses(value: Any) -> list[Json]:
    """All of a list."""
    return [found for item in objects(value) if (found := read_status(item)) is not None]


def read_amount(value: Any) -> int | Decimal | None:
    """A number that can be calculated with."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        return None
    is_small = (isinstance(value, int) or value.is_finite()) and -MAX_NUMBER <= value <= MAX_NUMBER
    return value if is_small else None


def is_amount(value: Any) -> bool:
    """Whether a value is a number above zero."""
    found = read_amount(value)
    return found is not None and found > 0


def read_count(value: Any) -> int | None:
    """A whole number of the size FHIR allows."""
    found = whole_number(value)
    return found if found is not None and -MAX_NUMBER <= found <= MAX_NUMBER else None


def _whole(value: Any) -> int | None:
    """A whole number, also one written with zeros behind the point."""
    if isinstance(value, Decimal):
        found = read_amount(value)
        return int(found) if found is not None and found == int(found) else None
    return whole_number(value)


def read_length(value: Any) -> Json | None:
    """A Duration as days."""
    quantity = one(value)
    factor = _DAYS.get(text(quantity.get("code")) or text(quantity.get("unit")))
    number = _whole(quantity.get("value"))
    if not factor or number is None:
        return None
    return {"value": min(number * factor, MAX_DAYS), "code": "d"}


def read_supply(value: Any) -> Json | None:
    """Days that a dispense lasts."""
    number = _whole(one(value).get("value"))
    return None if number is None else {"value": min(number, MAX_DAYS)}


def read_age_element(value: Any) -> Json | None:
    """An Age in whole years, months, weeks or days."""
    found = read_age(value)
    if found is None:
        return None
    number, unit = found
    return {"value": max(-1, min(number, _MAX_AGE[unit])), "code": _AGE_UNITS[unit]}


def read_range(value: Any) -> Json | None:
    """A Range of Ages; None unless both ends can be read."""
    low, high = (read_age_element(one(value).get(name)) for name in ("low", "high"))
    return {"low": low, "high": high} if low and high else None


def named(resources: Iterable[Json]) -> dict[int, str]:
    """`Type/id` of each resource by identity; one without id gets a name that no resource has."""
    found: dict[int, str] = {}
    for position, resource in enumerate(resources):
        key = reference_of(resource)
        found[id(resource)] = key if text(resource.get("id")) else f"{key}unnamed.{position}"
    return found


def instant_or(value: str | None) -> str:
    """The instant, or the far past where there is none."""
    return value or "0001-01-01T00:00:00.000Z"
