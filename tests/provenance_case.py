"""A clean case of 26 events, built the way the gateway builds one, for the tests of `provenance`.

Everything in it is invented. `CaseBuilder` records events like the gateway's ledger does: number, predecessor,
objects. `build_case()` returns the contents of a package and everything that a test needs to change it.
"""

from __future__ import annotations

import functools
import io
import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from provenance import (
    NPI,
    Agent,
    DocumentEntry,
    Entity,
    Identifier,
    KeyRing,
    PackageContents,
    Party,
    SignedEvent,
    Target,
    assemble_document,
    build_event,
    digest,
    digest_hex,
    gateway_device,
    ni_uri,
    organization,
    practitioner_role,
    seal_document,
    write_package,
)

START = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
CASE_TAG = "AAECAwQFBgcICQoLDA0ODw"
EHR = "https://ehr.example.org/fhir"
MRN = "https://ehr.example.org/mrn"
TENANT = Identifier(system=NPI, value="1234567893")
OTHER_TENANT = Identifier(system=NPI, value="1999999984")
PAYER = organization(Identifier(system="urn:oid:2.16.840.1.113883.6.300", value="00001"), "Example Payer")


@functools.cache
def key_ring(value: str = TENANT.value) -> KeyRing:
    """A ring made once per run: RSA keys take a while."""
    folder = Path(tempfile.mkdtemp(prefix="pa-keys-")) / "keys"
    return KeyRing.create(folder, "Example Clinic", NPI, value, START, allow_development=True)


def dump(value: Any) -> bytes:
    """JSON as a server may write it: with spaces, so that raw and canonical bytes differ."""
    return json.dumps(value, ensure_ascii=False, indent=1).encode()


def uuid(number: int) -> str:
    """A fixed `urn:uuid:`."""
    return f"urn:uuid:00000000-0000-4000-8000-{number:012d}"


@dataclass(kw_only=True)
class CaseBuilder:
    """A ledger in memory."""

    ring: KeyRing
    case_tag: str = CASE_TAG
    who: Party = field(init=False)
    events: list[SignedEvent] = field(default_factory=list)
    objects: dict[str, bytes] = field(default_factory=dict)
    document: bytes | None = None
    submission: bytes | None = None
    responses: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.who = organization(self.ring.tenant, self.ring.tenant_name)

    @property
    def now(self) -> datetime:
        return START + timedelta(minutes=len(self.events))

    def gateway(self, role: str = "assembler") -> Agent:
        return Agent(role=role, who=gateway_device("0.1.0"), on_behalf_of=self.who)

    def keep(self, body: bytes) -> str:
        self.objects[digest_hex(body)] = body
        return ni_uri(digest(body))

    def record(
        self,
        activity: str,
        targets: Sequence[Target],
        *,
        agents: Sequence[Agent] = (),
        entities: Sequence[Entity] = (),
        **more: Any,
    ) -> SignedEvent:
        previous = self.events[-1].jws if self.events else None
        arguments: dict[str, Any] = {
            "case_tag": self.case_tag,
            "seq": len(self.events),
            "previous_jws": previous,
            "activity": activity,
            "recorded": self.now,
            "agents": [self.gateway(), *agents],
            "targets": targets,
            "entities": entities,
            "signer": self.ring.signer("event"),
            "signer_who": self.who,
            **more,
        }
        event = build_event(**arguments)
        for target in targets:
            self.keep(target.raw)
        self.events.append(event)
        return event

    def contents(self) -> PackageContents:
        return PackageContents(
            case_tag=self.case_tag,
            tenant=self.ring.tenant,
            tenant_name=self.ring.tenant_name,
            events=[event.body for event in self.events],
            objects=dict(self.objects),
            document=self.document,
            submission=self.submission,
            responses=list(self.responses),
            certificates=self.ring.certificates(),
            revocation=self.ring.revocation_lists(self.now),
        )

    def package(self, **changes: Any) -> bytes:
        return pack(replace(self.contents(), **changes), self.ring, self.now)


def pack(contents: PackageContents, ring: KeyRing, now: datetime = START) -> bytes:
    """The package's bytes."""
    out = io.BytesIO()
    write_package(out, contents, signer=ring.signer("seal"), created_at=now)
    return out.getvalue()


def entity(event: SignedEvent, kind: str, reference: str, role: str = "source", n: int = 0) -> Entity:
    """An input that an earlier event made."""
    return Entity(role=role, reference=reference, type=kind, digest_uri=event.target_digests[n])


def body(number: int, raw: bytes) -> Target:
    """A body as a target."""
    return Target(reference=uuid(number), type="Binary", raw=raw, resource_json=False)


def resource(value: dict[str, Any], reference: str = "") -> Target:
    """A resource of the EHR (by its id) or of the gateway (by `reference`)."""
    kind = value["resourceType"]
    return Target(reference=reference or f"{EHR}/{kind}/{value.get('id')}/_history/1", type=kind, raw=dump(value))


def patient(**changes: Any) -> dict[str, Any]:
    return {
        "resourceType": "Patient",
        "id": "p1",
        "identifier": [{"system": MRN, "value": "M-1"}],
        "name": [{"family": "Example", "given": ["Ada"]}],
        **changes,
    }


def observation(number: int, value: str = "91.50") -> bytes:
    text = dump(
        {
            "resourceType": "Observation",
            "id": f"o{number}",
            "status": "final",
            "code": {"text": "Neck disability index"},
            "subject": {"reference": "Patient/p1"},
            "valueQuantity": {"value": "VALUE", "unit": "%"},
        }
    )
    return text.replace(b'"VALUE"', value.encode())


def build_case(
    ring: KeyRing | None = None,
    case_tag: str = CASE_TAG,
    alter: Callable[[list[DocumentEntry]], list[DocumentEntry]] = list,
    also: Sequence[Target] = (),
) -> CaseBuilder:
    """A case from the order to the payer's answer, written back: 26 events.

    `alter` changes the entries of the document before it is sealed; `also` is read from the EHR together with
    the patient and goes into the document.
    """
    case = CaseBuilder(ring=ring or key_ring(), case_tag=case_tag)
    task = {"resourceType": "Task", "status": "requested", "intent": "order", "for": {"reference": f"{EHR}/Patient/p1"}}
    case.record("case-open", [resource(task, uuid(1))])
    order = {
        "resourceType": "ServiceRequest",
        "id": "sr1",
        "status": "active",
        "intent": "order",
        "code": {"text": "MRI of the cervical spine"},
        "subject": {"reference": "Patient/p1"},
    }
    hook = case.keep(b'{"hook":"order-sign","hookInstance":"1"}')
    order_target = resource(order)
    ordered = case.record(
        "order-entry",
        [order_target],
        entities=[Entity(role="source", reference=uuid(900), type="Binary", digest_uri=hook)],
    )
    case.record(
        "ehr-extract",
        [
            resource(patient()),
            resource(
                {"resourceType": "Coverage", "id": "c1", "status": "active", "beneficiary": {"reference": "Patient/p1"}}
            ),
            *also,
        ],
    )
    observations: list[tuple[SignedEvent, Target]] = []
    for number in range(1, 9):
        raw = observation(number)
        target = Target(reference=f"{EHR}/Observation/o{number}/_history/1", type="Observation", raw=raw)
        observations.append((case.record("ehr-extract", [target]), target))
    case.record("ehr-extract", [body(20, b"%PDF-1.7 an invented scan")])
    case.record("payer-need", [body(21, b'{"cards":[]}')], agents=[Agent(role="author", who=PAYER)])
    form = case.record(
        "form-receive", [body(22, b'{"resourceType":"Parameters"}')], agents=[Agent(role="author", who=PAYER)]
    )
    answers = {
        "resourceType": "QuestionnaireResponse",
        "status": "in-progress",
        "subject": {"reference": f"{EHR}/Patient/p1"},
        "item": [{"linkId": "1", "answer": [{"id": "a1", "valueDecimal": 91.5}]}],
    }
    library = case.keep(b'{"resourceType":"Library","url":"https://payer.example.org/Library/neck"}')
    draft_target = resource(answers, uuid(30))
    draft = case.record(
        "populate-auto-client",
        [replace(draft_target, elements=("a1",))],
        entities=[
            entity(form, "Binary", uuid(22)),
            *(entity(event, "Observation", target.reference) for event, target in observations),
            Entity(
                role="source", reference="https://payer.example.org/Library/neck", type="Library", digest_uri=library
            ),
        ],
    )
    held = resource({**task, "status": "on-hold"}, uuid(1))
    case.record("hold", [held])
    human = practitioner_role(
        key="reviewer", name="Dr. Invented", npi="1999999992", employer=case.who, role="physician"
    )
    context = case.keep(b'{"kind":"auth-context","salt":"AAECAwQFBgcICQoLDA0ODw"}')
    person_did: dict[str, Any] = {"agents": [Agent(role="author", who=human)]}
    typed = {**answers, "item": [*answers["item"], {"linkId": "2", "answer": [{"id": "a2", "valueBoolean": True}]}]}
    manual_target = resource(typed, uuid(31))
    manual = case.record(
        "manual-answer",
        [replace(manual_target, elements=("a2",))],
        entities=[
            entity(draft, "QuestionnaireResponse", uuid(30), "revision"),
            Entity(role="source", reference=uuid(901), type="Binary", digest_uri=context),
        ],
        **person_did,
    )
    guidance = {"resourceType": "GuidanceResponse", "status": "success", "moduleUri": "https://example.org/rule"}
    judged_target = resource({**guidance, "subject": {"reference": f"{EHR}/Patient/p1"}}, uuid(32))
    judged = case.record(
        "evaluate",
        [judged_target, body(33, b'{"kind":"trace","salt":"AAECAwQFBgcICQoLDA0ODw"}')],
        entities=[entity(manual, "QuestionnaireResponse", uuid(31))],
        policy=["https://payer.example.org/policy/neck|2026"],
    )
    case.record(
        "red-flag-attest", [replace(manual_target, elements=("a2",))], agents=[Agent(role="attester", who=human)]
    )
    composition = {
        "resourceType": "Composition",
        "status": "final",
        "type": {"text": "Prior authorization packet"},
        "subject": {"reference": f"{EHR}/Patient/p1"},
        "date": "2026-11-01T12:00:00Z",
        "author": [{"reference": uuid(41)}],
        "title": "Prior authorization packet",
    }
    tenant = {
        "resourceType": "Organization",
        "identifier": [case.ring.tenant.as_fhir()],
        "active": True,
        "name": case.ring.tenant_name,
    }
    composed, employer = resource(composition, uuid(40)), resource(tenant, uuid(41))
    patient_target = resource(patient())
    assembled = case.record(
        "assemble",
        [composed, employer],
        agents=[Agent(role="author", who=case.who)],
        entities=[
            entity(ordered, "ServiceRequest", order_target.reference),
            entity(judged, "GuidanceResponse", uuid(32)),
        ],
    )
    inside = [
        composed,
        employer,
        patient_target,
        *also,
        order_target,
        *(t for _, t in observations),
        manual_target,
        judged_target,
    ]
    entries = [DocumentEntry(full_url=target.reference.partition("/_history/")[0], raw=target.raw) for target in inside]
    entries.append(DocumentEntry(full_url=uuid(50), raw=assembled.body))
    identifier = Identifier(system="urn:ietf:rfc:3986", value=uuid(60))
    plain = assemble_document(identifier=identifier, timestamp=case.now, entries=alter(entries))
    case.document = seal_document(plain, case.ring.signer("seal"), case.now, case.ring.tenant)
    sealed = case.record(
        "seal",
        [Target(reference=uuid(60), type="Bundle", raw=case.document)],
        agents=[Agent(role="custodian", who=case.who)],
        entities=[entity(assembled, "Composition", uuid(40), "derivation")],
    )
    case.record("release", [resource({**task, "status": "accepted"}, uuid(1))], **person_did)
    claim_patient = {"fullUrl": uuid(70), "resource": patient(id="x1")}
    claim = {"fullUrl": uuid(71), "resource": {"resourceType": "Claim", "patient": {"reference": uuid(70)}}}
    case.submission = dump({"resourceType": "Bundle", "type": "collection", "entry": [claim, claim_patient]})
    sent = case.record("submit", [body(61, case.submission)], entities=[entity(sealed, "Bundle", uuid(60))])
    case.responses.append(b'{"resourceType":"Bundle","type":"collection"}')
    answered = case.record(
        "payer-response",
        [body(62, case.responses[0])],
        agents=[Agent(role="author", who=PAYER)],
        entities=[entity(sent, "Binary", uuid(61))],
    )
    case.record("write-back", [body(63, b'{"resourceType":"Task"}')], entities=[entity(answered, "Binary", uuid(62))])
    case.record(
        "case-close",
        [resource({**task, "status": "completed"}, uuid(1))],
        agents=[Agent(role="custodian", who=case.who)],
    )
    return case


@functools.cache
def clean_case() -> CaseBuilder:
    """The clean case, built once; never changed by a test."""
    return build_case()


@functools.cache
def clean_package() -> bytes:
    """The clean case's package."""
    return clean_case().package()


@functools.cache
def anchors() -> bytes:
    """The anchors of the clean case's organization."""
    return key_ring().export_anchors()
