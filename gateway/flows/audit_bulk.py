"""A bulk export read line by line: which lines belong to which patient, without keeping any of them.

Two passes: the first finds the patients who have an order that rules are about, the second remembers where
their lines stand. Only places are kept, so an export may be larger than the memory.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from gateway.clients.ehr_chart import references_in
from gateway.clients.ehr_subject import SHARED_TYPES, SUBJECT_ELEMENTS
from gateway.clinical.concepts import read_order_code
from gateway.errors import InputError
from gateway.fhir import Json
from gateway.fhir.json import parse_object
from gateway.fhir.reading import objects, text
from gateway.fhir.references import read_reference, reference_text
from gateway.flows.audit_chart import known_services
from gateway.flows.audit_plan import AuditPlan
from gateway.flows.audit_rows import ChartRow, refused
from gateway.flows.audit_sources import MAX_BYTES, BundleSource, PatientSource, Piece, read_piece
from gateway.reasoning.record import reference_of

HOPS: Final = 2
"""How far shared resources are followed: a role, then its practitioner, organization and place."""
Shared = Mapping[str, Piece]
"""`Type/id` of what belongs to no patient → its line."""


@dataclass(kw_only=True)
class Export:
    """Where everything in one export stands."""

    folder: str
    """Folder of the export."""
    files: tuple[str, ...]
    """Its files."""
    lines: dict[str, array[int]] = field(default_factory=dict)
    """Patient id → number of file, first byte and size of each line."""
    shared: dict[str, Piece] = field(default_factory=dict)
    """`Type/id` of what belongs to no patient → its line."""
    stated: dict[str, array[int]] = field(default_factory=dict)
    """`Type/id` → where the Provenance stands that is about it."""
    bundles: list[BundleSource] = field(default_factory=list)
    """Lines that are charts of their own."""
    rows: list[ChartRow] = field(default_factory=list)
    """What could not be read, a row for each file and kind of fault."""
    others: int = 0
    """Patients without an order that rules are about."""

    def sources(self) -> Iterator[PatientSource | BundleSource]:
        """One chart for each patient with an order, by id; then the charts that are lines."""
        for patient, places in sorted(self.lines.items()):
            pieces = tuple(
                Piece(path=self.files[places[at]], offset=places[at + 1], size=places[at + 2])
                for at in range(0, len(places), 3)
            )
            yield PatientSource(name=patient, path=self.folder, pieces=pieces)
        yield from self.bundles


def read_export(folder: str, files: Sequence[str], plan: AuditPlan) -> Export:
    """The places of an export's lines. Nothing is raised for what a file holds; it becomes a row.

    InputError for a file that cannot be read at all.
    """
    export = Export(folder=folder, files=tuple(files))
    known = known_services(plan)
    for number, path in enumerate(files):
        for line in _lines(path, number):
            if b'"ServiceRequest"' in line.body or b'"Provenance"' in line.body:
                _note(export, line, plan, known)
    for number, path in enumerate(files):
        faults: dict[str, list[int]] = {}
        for line in _lines(path, number):
            fault = _keep(export, line)
            if fault:
                faults.setdefault(fault, []).append(line.row)
        export.rows.extend(_fault_row(path, fault, rows) for fault, rows in faults.items())
    return export


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    number: int
    """Number of the file."""
    path: str
    row: int
    """Number of the line, from 1."""
    offset: int
    size: int
    body: bytes
    """Empty for a line that is too long."""

    @property
    def place(self) -> tuple[int, int, int]:
        return self.number, self.offset, self.size

    @property
    def piece(self) -> Piece:
        return Piece(path=self.path, offset=self.offset, size=self.size)


def _lines(path: str, number: int) -> Iterator[_Line]:
    """Lines of a file that are not blank; of one that is too long only the place."""
    try:
        with open(path, "rb") as opened:
            offset, row = 0, 0
            while body := opened.readline(MAX_BYTES + 1):
                row, start, size = row + 1, offset, len(body)
                while not body.endswith(b"\n") and (rest := opened.readline(MAX_BYTES)):
                    size, body = size + len(rest), rest if rest.endswith(b"\n") else b" "
                offset += size
                whole = body if size == len(body) else b""
                if whole.strip() or size > MAX_BYTES:
                    yield _Line(number=number, path=path, row=row, offset=start, size=size, body=whole)
    except OSError as error:
        raise InputError(f"{Path(path).name} cannot be read: {error.strerror}.", code="bulk.file") from None


def _note(export: Export, line: _Line, plan: AuditPlan, known: frozenset[str]) -> None:
    """First pass: patients with an order, and what a Provenance is about."""
    resource = _parsed(line.body) or {}
    if resource.get("resourceType") == "Provenance":
        for target in map(reference_text, objects(resource.get("target"))):
            export.stated.setdefault(read_reference(target).relative, array("Q")).extend(line.place)
    if resource.get("resourceType") != "ServiceRequest":
        return
    if resource.get("status") != "entered-in-error" and (read_order_code(resource, plan.concepts) or "") in known:
        for patient in _patients(resource):
            export.lines.setdefault(patient, array("Q"))


def _keep(export: Export, line: _Line) -> str:
    """Second pass: remember where a line belongs; a word for what is wrong with it, empty for nothing."""
    if not line.body:
        return "bulk.size"
    resource = _parsed(line.body)
    kind = text(resource.get("resourceType")) if resource else ""
    if resource is None or not kind:
        return "bulk.line"
    if kind == "Bundle":
        name = text(resource.get("id")) or f"{Path(line.path).stem}:{line.row}"
        export.bundles.append(BundleSource(name=name, path=line.path, piece=line.piece))
        return ""
    patients = _patients(resource)
    for patient in patients:
        if patient in export.lines:
            export.lines[patient].extend(line.place)
            export.lines[patient].extend(export.stated.get(reference_of(resource), ()))
        elif kind == "Patient":
            export.others += 1
    if kind == "Provenance" and not patients:
        return ""
    if not patients and kind in SHARED_TYPES:
        export.shared[reference_of(resource)] = line.piece
        return ""
    return "" if patients or kind == "Group" else "bulk.no-patient"


def _parsed(body: bytes) -> Json | None:
    """The object of a line as far as sorting needs it; the strict reader comes later."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _patients(resource: Json) -> set[str]:
    """Ids of the patients that a resource names as its subject."""
    if resource.get("resourceType") == "Patient":
        return {text(resource.get("id"))} - {""}
    named = [read_reference(reference_text(resource.get(element))) for element in SUBJECT_ELEMENTS]
    return {reference.id for reference in named if reference.type == "Patient"}


_FAULTS: Final = {
    "bulk.line": "cannot be read as FHIR resources",
    "bulk.size": f"are longer than {MAX_BYTES // 1024 // 1024} MB",
    "bulk.no-patient": "name no patient and belong to no chart",
}


def _fault_row(path: str, fault: str, rows: list[int]) -> ChartRow:
    first = f"{len(rows)}, the first is line {rows[0]}"
    message = f"Lines of the export that {_FAULTS[fault]}: {first}. Correct the export and audit it again."
    return refused(Path(path).stem, path, fault, message)


def read_patient(source: PatientSource, shared: Shared) -> list[Any]:
    """Resources of one patient and, as far as they lead there, what belongs to nobody. Raises InputError."""
    own = [parse_object(read_piece(piece)) for piece in dict.fromkeys(source.pieces)]
    found: dict[str, Any] = {}
    layer: list[Any] = own
    for _ in range(HOPS):
        named = {read_reference(reference).relative for item in layer for reference in references_in(item)}
        wanted = sorted((named & shared.keys()) - found.keys())
        layer = [parse_object(read_piece(shared[reference])) for reference in wanted]
        found.update(zip(wanted, layer, strict=True))
    return [*own, *found.values()]
