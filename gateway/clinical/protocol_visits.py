"""Visits of an outside clinic, read from a file that staff hand in: what it says, matched to one patient.

Everything in the file is hostile until it was looked at: its size, its dates, its cells, and whose visits they are.
A file with one visit of somebody else is refused whole. Source: spec/clinical.md §2.1, §2.2; security T3, T32.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from gateway.clinical.concepts import service_codes
from gateway.clinical.dates import read_day, read_period_start
from gateway.errors import InputError, TooLarge
from gateway.fhir import Json
from gateway.fhir.bundle import resources
from gateway.fhir.json import parse_object
from gateway.fhir.reading import codings, objects, one, text, texts
from gateway.fhir.references import read_reference, reference_text
from gateway.reasoning.record import reference_of

MAX_BYTES = 1024 * 1024
"""Largest file that is read."""
MAX_VISITS = 200
"""Most visits of one file: more than anybody has in one protocol."""
COLUMNS = ("mrn", "birth_date", "date", "code", "status")
"""Columns of a CSV file, in any order; others are refused."""
ATTENDED = frozenset({"completed", "finished", "attended"})
"""Words for a visit that took place."""
MISSED = frozenset({"not-done", "no-show", "noshow", "cancelled", "canceled", "entered-in-error", "stopped"})
"""Words for a visit that did not; it is shown and never counted."""
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
WRONG_PATIENT = "The file holds visits of another patient; nothing of it was taken. Ask the clinic for the right file."


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Whose visits are expected."""

    numbers: frozenset[tuple[str, str]]
    """(system, value) of the record and member numbers by which the patient is known."""
    birth_date: str
    """Birth date as in the chart, whole; empty where the chart has none."""
    name: tuple[str, str]
    """Family name and first given name, folded; empty texts where the chart has none."""

    @property
    def values(self) -> frozenset[str]:
        """The numbers without their systems."""
        return frozenset(value for _, value in self.numbers)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """Which days and codes make sense."""

    first: date
    """Earliest day that may matter."""
    today: date
    """No visit lies behind it."""
    zone: str
    """IANA zone in which days are read."""
    counted: frozenset[str]
    """Services that count as a session (CPT)."""
    shown: frozenset[str]
    """Services that are known and never count, such as an evaluation (CPT)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """One visit of the file."""

    day: date
    """Local day."""
    code: str
    """Service (CPT)."""
    status: str
    """attended or missed."""
    counts: bool
    """Whether it would count as a session."""
    why_not: str = ""
    """Why it would not, in words; empty where it would."""


def read_person(patient: Json, coverages: Iterable[Json] = ()) -> Person:
    """Who a chart's Patient is, for matching; `coverages` add the member numbers."""
    listed = [*objects(patient.get("identifier"))]
    listed += [item for coverage in coverages for item in objects(coverage.get("identifier"))]
    numbers = {(text(item.get("system")), text(item.get("value"))) for item in listed if item.get("value")}
    numbers |= {("", text(coverage.get("subscriberId"))) for coverage in coverages if _is_own(coverage)}
    name = next((item for item in objects(patient.get("name")) if item.get("family")), {})
    given = next(iter(texts(name.get("given"))), "")
    birth = text(patient.get("birthDate"))
    return Person(
        numbers=frozenset(numbers),
        birth_date=birth if len(birth) == 10 else "",
        name=(text(name.get("family")).casefold(), given.casefold()),
    )


def _is_own(coverage: Json) -> bool:
    """Whether the subscriber of a coverage is the patient: children, and twins of one birth date, share a number."""
    codes = {text(coding.get("code")) for coding in codings(coverage.get("relationship"))}
    return bool(coverage.get("subscriberId")) and codes == {"self"}


def read_visits(raw: bytes, media_type: str, person: Person, bounds: Bounds) -> tuple[Visit, ...]:
    """The visits of a file, oldest first, one for each day and service.

    `media_type` is `text/csv` or a FHIR JSON type. Raises TooLarge, or InputError that says which line is wrong and
    what to do; no value of the file is repeated.
    """
    if len(raw) > MAX_BYTES:
        raise TooLarge("A file of visits has at most one megabyte; export only this patient's visits.")
    is_csv = media_type.partition(";")[0].strip().lower() == "text/csv"
    found = list(_from_csv(raw, person, bounds) if is_csv else _from_bundle(raw, person, bounds))
    if not found:
        raise InputError("The file holds no visit.", code="visits.none", status=422)
    unique = {(visit.day, visit.code, visit.status): visit for visit in found}
    return tuple(sorted(unique.values(), key=lambda visit: (visit.day, visit.code, visit.status)))


def _from_csv(raw: bytes, person: Person, bounds: Bounds) -> Iterator[Visit]:
    """Steps: (1) UTF-8 text; (2) the header; (3) no cell that a spreadsheet would run; (4) whose; (5) what and when."""
    try:
        reader = csv.reader(io.StringIO(raw.decode("utf-8-sig"), newline=""), strict=True)  # (1)
        lines = [line for line in reader if any(cell.strip() for cell in line)]
    except (UnicodeDecodeError, csv.Error):
        raise InputError("The file is not CSV in UTF-8; save it anew.", code="visits.csv", status=422) from None
    header = tuple(cell.strip().casefold() for cell in lines[0]) if lines else ()
    if sorted(header) != sorted(COLUMNS):  # (2)
        raise InputError(
            f"The first line must name exactly these columns: {', '.join(COLUMNS)}.", code="visits.columns", status=422
        )
    _require_few(len(lines) - 1)
    for number, line in enumerate(lines[1:], 2):
        if len(line) != len(header):
            raise _bad(number, "has another number of cells than the first line", "visits.cells")
        if any(cell.lstrip(" ").startswith(_FORMULA) or "\0" in cell for cell in line):  # (3)
            raise _bad(number, "has a cell that begins like a formula", "visits.formula")
        row = {name: cell.strip() for name, cell in zip(header, line, strict=True)}
        if row["mrn"] not in person.values or not _born(row["birth_date"], person):  # (4)
            raise InputError(WRONG_PATIENT, code="visits.patient", status=422)
        yield _visit(row["date"], row["code"], row["status"], f"Line {number}", bounds)  # (5)


def _born(value: str, person: Person) -> bool:
    return bool(person.birth_date) and value == person.birth_date


def _from_bundle(raw: bytes, person: Person, bounds: Bounds) -> Iterator[Visit]:
    """Procedures of a FHIR Bundle whose one Patient is the expected one."""
    bundle = parse_object(raw)
    if bundle.get("resourceType") != "Bundle":
        raise InputError("A FHIR Bundle or a CSV file is expected.", code="visits.kind", status=422)
    patients = resources(bundle, "Patient")
    if len(patients) != 1 or not _is_person(patients[0], person):
        raise InputError(WRONG_PATIENT, code="visits.patient", status=422)
    procedures = resources(bundle, "Procedure")
    _require_few(len(procedures))
    names = _names(bundle, patients[0])
    for number, procedure in enumerate(procedures, 1):
        if reference_text(procedure.get("subject")) not in names:
            raise InputError(WRONG_PATIENT, code="visits.patient", status=422)
        codes = sorted(service_codes(procedure.get("code")))
        day = read_period_start(procedure, "performed", bounds.zone)
        status = text(procedure.get("status"))
        yield _visit(day.isoformat() if day else "", _best(codes, bounds), status, f"Procedure {number}", bounds)


def _is_person(patient: Json, person: Person) -> bool:
    """Same birth date and a number that both know; where their numbers are of different systems, the same name.

    Two numbers of one system that differ are two people, whatever their names.
    """
    other = read_person(patient)
    if not person.birth_date or other.birth_date != person.birth_date:
        return False
    if other.values & person.values:
        return True
    shared = {system for system, _ in other.numbers} & {system for system, _ in person.numbers}
    return not shared and all(person.name) and other.name == person.name


def _names(bundle: Json, patient: Json) -> frozenset[str]:
    """References under which the Bundle's entries may name the patient."""
    own = {reference_of(patient)} if patient.get("id") else set()
    for entry in objects(bundle.get("entry")):
        if one(entry.get("resource")) is patient and text(entry.get("fullUrl")):
            url = text(entry.get("fullUrl"))
            own |= {url, read_reference(url).relative} - {""}
    return frozenset(own)


def _best(codes: Iterable[str], bounds: Bounds) -> str:
    """The code that counts, else one that is known, else any."""
    listed = list(codes)
    known = [code for code in listed if code in bounds.counted] or [code for code in listed if code in bounds.shown]
    return next(iter(known or listed), "")


def _visit(day_text: str, code: str, status: str, where: str, bounds: Bounds) -> Visit:
    """One visit; InputError for a day that cannot be, a status or a code that nobody here knows."""
    day = read_day(day_text, bounds.zone) if len(day_text) == 10 else None
    if day is None:
        raise _bad(where, "has no whole date (year-month-day)", "visits.date")
    if day > bounds.today:
        raise _bad(where, "lies in the future", "visits.future")
    if day < bounds.first:
        raise _bad(where, "lies before the time that counts for this order", "visits.old")
    word = status.casefold()
    if word not in ATTENDED | MISSED:
        raise _bad(where, "does not say whether the visit took place (completed or no-show)", "visits.status")
    if code not in bounds.counted | bounds.shown:
        raise _bad(where, "names a service that is not a therapy code known here", "visits.code")
    if word in MISSED:
        return Visit(day=day, code=code, status="missed", counts=False, why_not="did not take place")
    if code not in bounds.counted:
        return Visit(day=day, code=code, status="attended", counts=False, why_not="an evaluation is no session")
    return Visit(day=day, code=code, status="attended", counts=True)


def _require_few(number: int) -> None:
    if number > MAX_VISITS:
        raise TooLarge(f"A file has at most {MAX_VISITS} visits; export only this patient's visits of this episode.")


def _bad(where: int | str, what: str, code: str) -> InputError:
    place = f"Line {where}" if isinstance(where, int) else where
    return InputError(f"{place} {what}; correct the file and hand it in again.", code=code, status=422)


def build_procedure(
    visit: Visit, identifier: Mapping[str, str], patient: str, problem: str, referral: str, system: str
) -> dict[str, Any]:
    """A confirmed visit as the EHR should hold it; it says that it came from another clinic."""
    return {
        "resourceType": "Procedure",
        "identifier": [dict(identifier)],
        **({"basedOn": [{"reference": referral}]} if referral else {}),
        "status": "completed",
        "code": {"coding": [{"system": system, "code": visit.code}]},
        "subject": {"reference": patient},
        "performedDateTime": visit.day.isoformat(),
        "reasonReference": [{"reference": problem}],
        "note": [{"text": "Visit at another clinic, imported from its record and confirmed by staff."}],
    }
