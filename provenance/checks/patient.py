"""Is everything in the case about one and the same patient?

The case's patient is the Patient that an event received and that resources name as theirs. Later Patient
resources (other versions, the one rewritten for the payer) must be the same by reference or share an
identifier; a Patient named as the subscriber of a coverage may be somebody else. Every resource that names a
patient must name this one, and so must the Bundles that were sent.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
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
_NAMES_SUBSCRIBER: Final = ("subscriber", "policyHolder")
_OTHER_SUBJECTS: Final = frozenset({"Group", "Location", "Device", "Organization", "Practitioner", "Medication"})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Resource:
    """A resource and where it was found."""

    path: str
    seq: int | None
    reference: str
    """Its own absolute or `urn:uuid:` reference."""
    value: Mapping[str, Any]

    @property
    def kind(self) -> str:
        return str(self.value.get("resourceType", ""))

    @property
    def base(self) -> str:
        """Server base of a resource with an absolute reference; empty for `urn:uuid:`."""
        parts = _unversioned(self.reference).rsplit("/", 2)
        return parts[0] if len(parts) == 3 and "://" in parts[0] else ""

    @property
    def identifiers(self) -> set[Identifier]:
        read = (Identifier.read(item) for item in _rows(self.value.get("identifier")))
        return {identifier for identifier in read if identifier is not None}

    def names(self, members: Sequence[str]) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Member and Reference for each of these members that holds one."""
        for member in members:
            reference = self.value.get(member)
            if isinstance(reference, dict):
                yield member, reference

    def absolute(self, text: str) -> str:
        """A reference in this resource made absolute where the resource has a home."""
        plain = _unversioned(text)
        return f"{self.base}/{plain}" if self.base and ":" not in plain else plain


@dataclass(slots=True, kw_only=True)
class _Patient:
    """What is known about the patient of the case."""

    references: set[str] = field(default_factory=set)
    """Every name of the patient, whole and, for relative references, its tail (`Patient/p1`)."""
    identifiers: set[Identifier] = field(default_factory=set)

    def is_called(self, reference: str) -> bool:
        """Whether this reference means the patient; a relative one is compared by its tail."""
        return _unversioned(reference) in self.references

    def call(self, reference: str) -> None:
        """Adds a name of the patient."""
        self.references |= _names(reference)

    def is_same(self, resource: _Resource) -> bool:
        """Whether a Patient resource is the same person: by reference or identifier, and without contradiction."""
        known = self.is_called(resource.reference) or bool(self.identifiers & resource.identifiers)
        return known and not self.contradicts(resource.identifiers)

    def contradicts(self, others: set[Identifier]) -> bool:
        """Whether identifiers of one system are given on both sides and none of them agrees."""
        shared = {identifier.system for identifier in self.identifiers} & {other.system for other in others}
        return bool(shared) and not self.identifiers & others

    def met(self, resource: _Resource) -> None:
        """Adds what a Patient resource says about the person."""
        self.call(resource.reference)
        self.identifiers |= resource.identifiers


def check_patient(evidence: Evidence, expected: str | None) -> Iterator[Finding]:
    """PATIENT_MISMATCH. `expected` is `SYSTEM|VALUE` of the patient asked for; None asks for nobody in particular."""
    resources = list(_targets(evidence))
    patient = _Patient()
    yield from _meet_all(patient, resources)
    for resource in resources:
        yield from _check_resource(patient, resource)
    for path in sorted(evidence.files):
        if path.startswith("bundle/"):
            yield from _check_bundle(patient, path, evidence.files[path])
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


def _meet_all(patient: _Patient, resources: Sequence[_Resource]) -> Iterator[Finding]:
    """Learns the patient from the Patient resources of the case; any that is somebody else is a finding."""
    people = [resource for resource in resources if resource.kind == "Patient"]
    named = _named(resources, _NAMES_PATIENT)
    first = next((person for person in people if _is_named(person, named)), people[0] if people else None)
    if first is None:
        # No Patient was received: the first reference to one stands for it, an absolute one before a relative one.
        for reference in sorted(named, key=lambda name: ":" not in name)[:1]:
            patient.call(reference)
        return
    patient.met(first)
    subscribers = _named(resources, _NAMES_SUBSCRIBER)
    for person in people:
        if patient.is_same(person):
            patient.met(person)
        elif not _is_named(person, subscribers):
            yield _mismatch(person, "a second patient in one case")


def _named(resources: Sequence[_Resource], members: Sequence[str]) -> dict[str, None]:
    """References to people that these members give, absolute where they can be, in order of appearance."""
    found: dict[str, None] = {}
    for resource in resources:
        for _member, reference in resource.names(members):
            text = reference.get("reference")
            if isinstance(text, str) and _kind_of(text, reference) not in _OTHER_SUBJECTS:
                found[resource.absolute(text)] = None
    return found


def _is_named(person: _Resource, named: Mapping[str, None]) -> bool:
    return any(name in named for name in _names(person.reference))


def _names(reference: str) -> set[str]:
    """A reference without its version, and its tail, by which relative references call it."""
    plain = _unversioned(reference)
    return {plain, "/".join(plain.split("/")[-2:])}


def _check_resource(patient: _Patient, resource: _Resource) -> Iterator[Finding]:
    for member, reference in resource.names(_NAMES_PATIENT):
        if not _means(patient, resource, reference):
            yield _mismatch(resource, f"{resource.kind}.{member} is not the patient of the case")


def _means(patient: _Patient, holder: _Resource, reference: Mapping[str, Any]) -> bool:
    text = reference.get("reference")
    identifier = Identifier.read(reference.get("identifier"))
    if not isinstance(text, str) or not text:
        return reference.get("type") in _OTHER_SUBJECTS or identifier in patient.identifiers
    if text.startswith("#"):
        inside = [item for item in _rows(holder.value.get("contained")) if f"#{item.get('id')}" == text]
        people = [_Resource(path="", seq=None, reference="", value=item) for item in inside]
        return any(person.kind in _OTHER_SUBJECTS or patient.is_same(person) for person in people)
    return _kind_of(text, reference) in _OTHER_SUBJECTS or patient.is_called(holder.absolute(text))


def _kind_of(text: str, reference: Mapping[str, Any]) -> str:
    parts = _unversioned(text).split("/")
    return parts[-2] if len(parts) >= 2 else str(reference.get("type", ""))


def _check_bundle(patient: _Patient, path: str, body: bytes) -> Iterator[Finding]:
    """What we sent is about the patient; a payer's answer may use its own ids, but not contradict identifiers."""
    resources = list(_entries(path, body))
    subscribers = _named(resources, _NAMES_SUBSCRIBER)
    here = _Patient(references=set(patient.references), identifiers=set(patient.identifiers))
    is_ours = path in (DOCUMENT, SUBMISSION)
    for person in resources:
        if person.kind != "Patient" or (_is_named(person, subscribers) and not patient.is_same(person)):
            continue
        if patient.contradicts(person.identifiers) or (is_ours and patient.references and not patient.is_same(person)):
            yield _mismatch(person, "a Bundle about another patient")
        here.call(person.reference)
    for resource in resources if is_ours else ():
        yield from _check_resource(here, resource)


def _entries(path: str, body: bytes) -> Iterator[_Resource]:
    try:
        bundle = parse_strict(body)
    except StrictJsonError:
        return
    for n, entry in enumerate(_rows(bundle.get("entry")) if isinstance(bundle, dict) else []):
        value, full_url = entry.get("resource"), entry.get("fullUrl")
        yield _Resource(
            path=f"{path}#entry[{n}]",
            seq=None,
            reference=full_url if isinstance(full_url, str) else "",
            value=value if isinstance(value, dict) else {},
        )


def _unversioned(reference: str) -> str:
    return reference.partition("/_history/")[0]


def _rows(value: Any) -> list[Mapping[str, Any]]:
    return [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []


def _mismatch(resource: _Resource, detail: str) -> Finding:
    return Finding(code=Code.PATIENT_MISMATCH, seq=resource.seq, path=resource.path, detail=detail)
