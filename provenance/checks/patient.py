"""Is everything in the case about one and the same patient?

The case's patient is the Patient resource that an event first received. Later Patient resources (other
versions, the one rewritten for the payer) must be the same by reference or share an identifier. Every
resource that names a patient must name this one, and so must the Bundles that were sent.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from provenance.canonical import parse_strict
from provenance.checks.coverage import raws_of
from provenance.codes import Code
from provenance.errors import StrictJsonError
from provenance.evidence import Evidence
from provenance.identifiers import Identifier
from provenance.package import DOCUMENT, SUBMISSION
from provenance.report import Finding

_NAMES_PATIENT: Final = ("subject", "patient", "beneficiary", "for")
_OTHER_SUBJECTS: Final = frozenset({"Group", "Location", "Device", "Organization", "Practitioner", "Medication"})


@dataclass(slots=True, kw_only=True)
class Patient:
    """What is known about the patient of the case."""

    references: set[str] = field(default_factory=set)
    """Absolute references without version, and `urn:uuid:…`."""
    identifiers: set[Identifier] = field(default_factory=set)

    def is_called(self, reference: str, base: str) -> bool:
        """Whether a reference, as written in a resource that lives under `base`, means this patient."""
        plain = reference.partition("/_history/")[0]
        if plain in self.references or (base and f"{base}/{plain}" in self.references):
            return True
        # A relative reference in a resource without a home of its own (urn:uuid) is compared by its tail.
        return not base and "://" not in plain and any(known.endswith(f"/{plain}") for known in self.references)

    def shares(self, others: set[Identifier]) -> bool:
        """Whether one identifier is the same."""
        return bool(self.identifiers & others)

    def contradicts(self, others: set[Identifier]) -> bool:
        """Whether identifiers of one system are given on both sides and none of them agrees."""
        ours, theirs = _by_system(self.identifiers), _by_system(others)
        return not self.shares(others) and any(ours[system] != theirs[system] for system in ours.keys() & theirs.keys())


@dataclass(frozen=True, slots=True, kw_only=True)
class _Resource:
    path: str
    seq: int | None
    reference: str
    value: Mapping[str, Any]

    @property
    def kind(self) -> str:
        return str(self.value.get("resourceType", ""))

    @property
    def base(self) -> str:
        """Server base of a resource with an absolute reference; empty for `urn:uuid:`."""
        plain = self.reference.partition("/_history/")[0]
        return plain.rsplit("/", 2)[0] if "://" in plain and plain.count("/") >= 4 else ""


def check_patient(evidence: Evidence, expected: str | None) -> Iterator[Finding]:
    """PATIENT_MISMATCH. `expected` is `SYSTEM|VALUE` of the patient asked for; None asks for nobody in particular."""
    patient = Patient()
    resources = list(_targets(evidence))
    for resource in resources:
        if resource.kind == "Patient":
            yield from _meet(patient, resource)
    for resource in resources:
        yield from _check_resource(patient, resource)
    for path in evidence.files:
        if path.startswith("bundle/"):
            yield from _check_bundle(patient, evidence, path)
    if expected is not None and not any(identifier.answers_to(expected) for identifier in patient.identifiers):
        yield Finding(code=Code.PATIENT_MISMATCH, detail="the case is not about the patient asked for")


def pseudonym(evidence: Evidence) -> str:
    """`ni:` digest of the patient record that the case first received; empty when it received none."""
    for event in evidence.events:
        for target in event.targets:
            if target.type == "Patient":
                return target.ni
    return ""


def _targets(evidence: Evidence) -> Iterator[_Resource]:
    for event in evidence.events:
        for n, (target, raw) in enumerate(zip(event.targets, raws_of(event), strict=False)):
            body = None if target.is_body else evidence.content(raw)
            if body is None:
                continue
            try:
                value = evidence.canonical(raw, body)[0]
            except StrictJsonError:
                continue
            if isinstance(value, dict) and value.get("resourceType") != "Bundle":
                path = f"{event.path}#target[{n}]"
                yield _Resource(path=path, seq=event.seq, reference=target.reference, value=value)


def _meet(patient: Patient, resource: _Resource) -> Iterator[Finding]:
    identifiers = _identifiers(resource.value)
    is_first = not patient.references
    is_known = patient.is_called(resource.reference, "") or patient.shares(identifiers)
    if not is_first and (not is_known or patient.contradicts(identifiers)):
        yield _mismatch(resource.path, resource.seq, "a second patient in one case")
        return
    patient.references.add(resource.reference.partition("/_history/")[0])
    patient.identifiers |= identifiers


def _check_resource(patient: Patient, resource: _Resource) -> Iterator[Finding]:
    for name in _NAMES_PATIENT:
        reference = resource.value.get(name)
        if isinstance(reference, dict) and not _means(patient, reference, resource.base):
            yield _mismatch(resource.path, resource.seq, f"{resource.kind}.{name} is not the patient of the case")


def _means(patient: Patient, reference: Mapping[str, Any], base: str) -> bool:
    text = reference.get("reference")
    if isinstance(text, str) and text:
        if _kind_of(text, reference) in _OTHER_SUBJECTS:
            return True
        if not patient.references:
            # No Patient was received: the first resource that names one stands for it.
            patient.references.add(f"{base}/{text}" if base and "://" not in text else text)
        return patient.is_called(text, base)
    identifier = Identifier.read(reference.get("identifier"))
    return reference.get("type") in _OTHER_SUBJECTS or (identifier is not None and identifier in patient.identifiers)


def _kind_of(text: str, reference: Mapping[str, Any]) -> str:
    parts = text.partition("/_history/")[0].split("/")
    return parts[-2] if len(parts) >= 2 else str(reference.get("type", ""))


def _check_bundle(patient: Patient, evidence: Evidence, path: str) -> Iterator[Finding]:
    """Sent Bundles are about the patient; a payer's answer may use its own ids, but not contradict identifiers."""
    try:
        bundle = parse_strict(evidence.files[path])
    except StrictJsonError:
        return
    entries = _rows(bundle.get("entry")) if isinstance(bundle, dict) else []
    found = [_entry(path, n, entry) for n, entry in enumerate(entries)]
    here = Patient(references=set(patient.references), identifiers=set(patient.identifiers))
    for resource in found:
        if resource.kind == "Patient":
            identifiers = _identifiers(resource.value)
            if patient.contradicts(identifiers) or (
                path in (DOCUMENT, SUBMISSION) and not _is_known(patient, resource)
            ):
                yield _mismatch(resource.path, None, "a Bundle about another patient")
                continue
            here.references.add(resource.reference)
    if path in (DOCUMENT, SUBMISSION):
        for resource in found:
            yield from _check_resource(here, resource)


def _is_known(patient: Patient, resource: _Resource) -> bool:
    return (
        not patient.references
        or patient.is_called(resource.reference, "")
        or patient.shares(_identifiers(resource.value))
    )


def _entry(path: str, n: int, entry: Mapping[str, Any]) -> _Resource:
    value = entry.get("resource")
    full_url = entry.get("fullUrl")
    return _Resource(
        path=f"{path}#entry[{n}]",
        seq=None,
        reference=full_url if isinstance(full_url, str) else "",
        value=value if isinstance(value, dict) else {},
    )


def _identifiers(value: Mapping[str, Any]) -> set[Identifier]:
    read = (Identifier.read(item) for item in _rows(value.get("identifier")))
    return {identifier for identifier in read if identifier is not None}


def _by_system(identifiers: set[Identifier]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for identifier in identifiers:
        found.setdefault(identifier.system, set()).add(identifier.value)
    return found


def _rows(value: Any) -> list[Mapping[str, Any]]:
    return [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []


def _mismatch(path: str, seq: int | None, detail: str) -> Finding:
    return Finding(code=Code.PATIENT_MISMATCH, seq=seq, path=path, detail=detail)
