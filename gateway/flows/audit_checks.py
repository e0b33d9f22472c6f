"""What is wrong with a chart before any rule is asked: whose it is, and what of it cannot be read.

Everything from a file or an export is hostile. A chart that may hold two people has no verdict; a part that
cannot be read is named, because a rule that does not see it would pass or fail in silence.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from gateway.clients.ehr_subject import SUBJECT_ELEMENTS
from gateway.clinical.concepts import Concepts
from gateway.clinical.dates import read_span
from gateway.fhir import Json
from gateway.fhir.codes import is_known_system
from gateway.fhir.reading import codings, text
from gateway.fhir.references import read_reference, reference_text, same_target
from gateway.flows.audit_rows import Problem, Severity
from gateway.reasoning.record import RecordSnapshot, reference_of

MOST_NAMED: Final = 5
"""Most resources that one problem names."""
DATES: Final = frozenset(
    {
        *("authored", "authoredOn", "birthDate", "date", "end", "received", "sent", "start", "whenHandedOver"),
        *("abatementDateTime", "effectiveDateTime", "onsetDateTime", "occurrenceDateTime", "performedDateTime"),
        *("effectiveInstant", "recordedDate"),
    }
)
"""Elements with a date that a rule may look at."""
CODED: Final[Mapping[str, tuple[str, Severity]]] = {
    "AllergyIntolerance": ("code", "warning"),
    "Condition": ("code", "warning"),
    "Medication": ("code", "warning"),
    "MedicationDispense": ("medicationCodeableConcept", "warning"),
    "MedicationRequest": ("medicationCodeableConcept", "warning"),
    "MedicationStatement": ("medicationCodeableConcept", "warning"),
    "Observation": ("code", "note"),
    "Procedure": ("code", "warning"),
    "ServiceRequest": ("code", "warning"),
}
"""Type → element whose code decides what the resource is, and how much it matters when nobody here knows it."""
HL7: Final = ("http://terminology.hl7.org/", "http://hl7.org/fhir/")
"""How systems begin that FHIR itself defines."""
_BLIND = "was not counted; correct it in the chart and audit again."


def check_chart(resources: Sequence[Any], record: RecordSnapshot, concepts: Concepts, zone: str) -> list[Problem]:
    """Everything found in a chart; an `error` forbids a verdict. `resources` are its entries as they came."""
    shaped = [item for item in resources if isinstance(item, Mapping) and text(item.get("resourceType"))]
    return [
        *check_patient(record),
        *_named(
            "chart.entry",
            "warning",
            "A part of the chart is no resource and " + _BLIND,
            [],
            len(resources) - len(shaped),
        ),
        *_duplicates(shaped),
        *_unreadable_dates(record, zone),
        *_unknown_codes(record, concepts),
    ]


def check_patient(record: RecordSnapshot) -> Iterator[Problem]:
    """Whether all of the chart is one patient's."""
    patients = record.of_type("Patient")
    if len(patients) > 1:
        message = "The chart holds several patients; audit each in a file of its own."
        yield Problem(code="chart.two-patients", severity="error", message=message)
        return
    foreign = [reference_of(item) for item in record.all() if not _is_own(item, record)]
    if patients and foreign:
        message = "The chart holds records of another patient; take them out, or find out whose chart this is."
        yield from _named("chart.other-patient", "error", message, foreign, len(foreign))
    if not patients:
        yield from _without_patient(record)


def _without_patient(record: RecordSnapshot) -> Iterator[Problem]:
    named = {subject for item in record.all() for subject in _subjects(item)}
    if len({read_reference(subject).relative or subject for subject in named}) > 1:
        message = "The chart names several patients; audit each in a file of its own."
        yield Problem(code="chart.two-patients", severity="error", message=message)
        return
    message = "The chart has no Patient, so that the age is not known; add it."
    yield Problem(code="chart.no-patient", severity="warning", message=message)


def _is_own(resource: Json, record: RecordSnapshot) -> bool:
    """Whether a resource names the chart's patient, or nobody."""
    patients = record.of_type("Patient")
    own = patients[0] if patients else {}
    return all(
        record.find(subject) is own or same_target(subject, reference_of(own)) for subject in _subjects(resource)
    )


def _subjects(resource: Json) -> Iterator[str]:
    """Reference texts that name a patient, or by their form may do so."""
    for element in SUBJECT_ELEMENTS:
        subject = reference_text(resource.get(element))
        if subject and read_reference(subject).type in ("Patient", "") and not subject.startswith("#"):
            yield subject


def _duplicates(resources: Sequence[Json]) -> Iterator[Problem]:
    seen: dict[str, Json] = {}
    differing = []
    for resource in resources:
        if resource.get("id") and seen.setdefault(reference_of(resource), resource) != resource:
            differing.append(reference_of(resource))
    message = "The chart holds a resource twice with different content; only the first one was read."
    yield from _named("chart.duplicate", "warning", message, differing, len(differing))


def _unreadable_dates(record: RecordSnapshot, zone: str) -> Iterator[Problem]:
    found = [reference_of(item) for item in record.all() if any(_bad_dates(item, zone))]
    message = "A date in the chart cannot be read as a FHIR date; what hangs on it " + _BLIND
    yield from _named("chart.date", "warning", message, found, len(found))


def _bad_dates(value: Any, zone: str) -> Iterator[bool]:
    """True for each date that cannot be read. Every node of every chart comes by: plain types, no abstract ones."""
    stack = [value]
    while stack:
        inner = stack.pop()
        if isinstance(inner, list):
            stack.extend(inner)
        elif isinstance(inner, dict):
            for name, item in inner.items():
                if isinstance(item, dict | list):
                    stack.append(item)
                elif name in DATES and item is not None and read_span(item, zone) is None:
                    yield True


def _unknown_codes(record: RecordSnapshot, concepts: Concepts) -> Iterator[Problem]:
    found: dict[Severity, list[str]] = {"warning": [], "note": []}
    mapped = {row.system for row in concepts.order.code_map}
    known = {concepts.local_system, *mapped}
    for kind, (element, severity) in CODED.items():
        for resource in record.of_type(kind):
            named = [text(coding.get("system")) for coding in codings(resource.get(element))]
            if named and not any(_is_known(system, known) for system in named):
                found[severity].append(reference_of(resource))
    message = "A resource is coded only in a system that is not known here, so that it " + _BLIND
    for severity, references in found.items():
        yield from _named("chart.code-system", severity, message, references, len(references))


def _is_known(system: str, own: set[str]) -> bool:
    return system in own or is_known_system(system) or system.startswith(HL7)


def _named(code: str, severity: Severity, message: str, references: list[str], count: int) -> Iterator[Problem]:
    """One problem for any number of resources; nothing for none."""
    if count > 0:
        more = f" ({count} resources)" if count > 1 else ""
        evidence = tuple(references[:MOST_NAMED])
        yield Problem(code=code, severity=severity, message=message + more, evidence=evidence)
