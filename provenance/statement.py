"""Statements: one signed Provenance per activity of a case, each bound to the one before it.

`Provenance.signature` covers the targets only (FHIR). One private protected header member binds the rest:
the case, the number in the case, the signature before, the digest of the Provenance itself and the exact
bytes of every target. Building is pure: same inputs and signer, same statement (ECDSA's own randomness
apart), so a ledger may sign outside its transaction and sign again when another event came first.
Source: spec/provenance.md §3, §5.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from provenance.activities import ACTIVITIES, ROLES, SIGNATURE_TYPES, VERIFICATION, Activity, role_system
from provenance.canonical import b64u, canonicalise, digest, dump_plain, jcs, ni_uri
from provenance.errors import StatementError
from provenance.fhir_signature import commitments, instant, require_valid, signature_element
from provenance.jws import Signer, sign_detached
from provenance.narrative import statement_narrative
from provenance.parties import Agent, Party
from provenance.urls import (
    BINDING,
    CANONICAL_JSON,
    EVENT_TARGET_FORMAT,
    TARGET_ELEMENT,
    URI,
    V3_ACT_REASON,
)

BODY_TYPE: Final = "Binary"
"""Type of a target that is signed as bytes, not as a resource."""
ENTITY_ROLES: Final = frozenset({"derivation", "revision", "quotation", "source", "removal"})
CASE_TAG: Final = re.compile(r"[A-Za-z0-9_-]{22}")
UNBOUND_MEMBERS: Final = ("signature", "id", "meta")
"""Members of a Provenance that its digest leaves out: a server may set id and meta."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What an activity made or received.

    A FHIR resource is addressed by its canonical form; a body, a document or a Binary (`resource_json`
    false, or type Binary) by its bytes.
    """

    reference: str
    """`urn:uuid:…` or absolute URL, with `/_history/v` where a version is known."""
    type: str
    """FHIR type of the resource; a body is always stated as Binary."""
    raw: bytes
    """The exact bytes as received or sent."""
    resource_json: bool = True
    """Whether the bytes are one FHIR resource in JSON."""
    elements: tuple[str, ...] = ()
    """Ids of the elements inside the resource that the activity is about, e.g. of answers."""

    @property
    def is_body(self) -> bool:
        """Whether it is signed as bytes."""
        return not self.resource_json or self.type == BODY_TYPE


@dataclass(frozen=True, slots=True, kw_only=True)
class Entity:
    """What an activity used."""

    role: str
    """derivation, revision, quotation, source or removal."""
    reference: str
    """`urn:uuid:…` or absolute URL; empty when there is only the digest."""
    type: str
    """FHIR type; Binary for anything that is not a resource."""
    digest_uri: str
    """`ni:///sha-256;…` of the target of an earlier event, or of an object in the package."""
    display: str = ""
    """What it is, for people; no patient data."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedEvent:
    """A finished statement."""

    provenance: Mapping[str, Any]
    """The Provenance resource."""
    body: bytes
    """Its exact bytes: what is stored, exported and listed."""
    jws: str
    """The compact detached JWS; the next event names it."""
    jws_digest: str
    """base64url SHA-256 of `jws`."""
    target_digests: tuple[str, ...]
    """`ni:` uri of each target, in order: what later entities refer to."""
    raw_digests: tuple[str, ...]
    """Hexadecimal SHA-256 of the exact bytes of each target, in order: the names of the object files."""


def build_event(
    *,
    case_tag: str,
    seq: int,
    previous_jws: str | None,
    activity: str,
    recorded: datetime,
    agents: Sequence[Agent],
    targets: Sequence[Target],
    signer: Signer,
    signer_who: Party,
    entities: Sequence[Entity] = (),
    occurred: datetime | str | None = None,
    data_operation: str | None = None,
    reason: str | None = "COVAUTH",
    policy: Sequence[str] = (),
    signature_types: Sequence[str] = (),
) -> SignedEvent:
    """The signed statement of one activity.

    `seq` counts from 0 within the case; `previous_jws` is None exactly there. `recorded` is an aware
    instant, kept to whole seconds. `occurred` is when the thing happened (a FHIR dateTime is kept as it is);
    None means when it was recorded. `data_operation` replaces the v3 code of the activity's row,
    `signature_types` adds to its purposes. `signer_who` is the party whose identifier the certificate carries.
    Errors: StatementError for a statement that would not verify; StrictJsonError for a target that is not
    strict JSON. Source: spec/provenance.md §3, §5.
    """
    row = _row(activity)
    _require_place(case_tag, seq, previous_jws)
    _require_agents(agents, signer_who)
    _require_inputs(targets, entities)
    prepared = [_Prepared.of(target) for target in targets]
    sig_t = instant(recorded)
    require_valid(signer, recorded)
    kinds = _kinds(row, signature_types)
    provenance = _provenance(row, data_operation, sig_t, occurred, agents, prepared, entities, reason, policy)
    header = _header(case_tag, seq, previous_jws, sig_t, kinds, provenance, prepared, signer)
    jws = sign_detached(header, payload_of([item.signed for item in prepared]), signer)
    provenance["signature"] = [signature_element(kinds, sig_t, signer_who, EVENT_TARGET_FORMAT, jws)]
    return SignedEvent(
        provenance=provenance,
        body=dump_plain(provenance),
        jws=jws,
        jws_digest=jws_digest(jws),
        target_digests=tuple(item.ni for item in prepared),
        raw_digests=tuple(item.raw_sha256.hex() for item in prepared),
    )


def jws_digest(jws: str) -> str:
    """base64url SHA-256 of a compact JWS: what the next event and the log call it."""
    return b64u(digest(jws.encode("ascii")))


def provenance_digest(provenance: Mapping[str, Any]) -> str:
    """base64url SHA-256 of a Provenance without signature, id and meta. Errors: StrictJsonError."""
    bound = {name: value for name, value in provenance.items() if name not in UNBOUND_MEMBERS}
    return b64u(digest(jcs(dump_plain(bound))))


def payload_of(parts: Sequence[bytes]) -> bytes:
    """What a signature covers: one target bare, several as a JSON array. Parts are canonical already."""
    return parts[0] if len(parts) == 1 else b"[" + b",".join(parts) + b"]"


@dataclass(frozen=True, slots=True)
class _Prepared:
    target: Target
    ni: str
    raw_sha256: bytes
    signed: bytes
    """The target's part of the payload."""

    @classmethod
    def of(cls, target: Target) -> _Prepared:
        raw_sha256 = hashlib.sha256(target.raw).digest()
        if target.is_body:
            ni = ni_uri(raw_sha256)
            return cls(target, ni, raw_sha256, f'"{ni}"'.encode())
        value, canonical = canonicalise(target.raw)
        if not isinstance(value, dict) or value.get("resourceType") != target.type:
            raise StatementError("a target is not a resource of the type it is stated as")
        return cls(target, ni_uri(digest(canonical)), raw_sha256, canonical)

    def as_reference(self) -> dict[str, Any]:
        kind = BODY_TYPE if self.target.is_body else self.target.type
        reference = _addressed(self.target.reference, kind, self.ni)
        if not self.target.elements:
            return reference
        marks = [{"url": TARGET_ELEMENT, "valueUri": element} for element in self.target.elements]
        return {"extension": marks, **reference}


def _provenance(
    row: Activity,
    data_operation: str | None,
    sig_t: str,
    occurred: datetime | str | None,
    agents: Sequence[Agent],
    prepared: Sequence[_Prepared],
    entities: Sequence[Entity],
    reason: str | None,
    policy: Sequence[str],
) -> dict[str, Any]:
    happened = occurred if isinstance(occurred, str) else sig_t if occurred is None else instant(occurred)
    resource: dict[str, Any] = {"resourceType": "Provenance"}
    resource["text"] = statement_narrative(row.display, sig_t, agents, len(prepared), len(entities))
    if contained := _contained(agents):
        resource["contained"] = contained
    resource["target"] = [item.as_reference() for item in prepared]
    resource["occurredDateTime"] = happened
    resource["recorded"] = sig_t
    if policy:
        resource["policy"] = list(policy)
    if reason:
        resource["reason"] = [{"coding": [{"system": V3_ACT_REASON, "code": reason}]}]
    resource["activity"] = {"coding": row.codings(data_operation)}
    resource["agent"] = [_agent(agent) for agent in agents]
    if entities:
        resource["entity"] = [_entity(entity) for entity in entities]
    return resource


def _header(
    case_tag: str,
    seq: int,
    previous_jws: str | None,
    sig_t: str,
    kinds: Sequence[str],
    provenance: Mapping[str, Any],
    prepared: Sequence[_Prepared],
    signer: Signer,
) -> dict[str, Any]:
    binding = {
        "v": 1,
        "case": case_tag,
        "seq": seq,
        "prev": None if previous_jws is None else jws_digest(previous_jws),
        "pd": provenance_digest(provenance),
        "raw": [b64u(item.raw_sha256) for item in prepared],
    }
    return {
        "canon": CANONICAL_JSON,
        "sigT": sig_t,
        "srCms": commitments(kinds),
        "typ": "JOSE",
        "x5t#S256": signer.x5t,
        BINDING: binding,
    }


def _row(activity: str) -> Activity:
    try:
        return ACTIVITIES[activity]
    except KeyError as error:
        raise StatementError("an activity that is not in the table") from error


def _require_place(case_tag: str, seq: int, previous_jws: str | None) -> None:
    if not CASE_TAG.fullmatch(case_tag):
        raise StatementError("a case tag is 128 random bits as 22 base64url characters")
    if seq < 0 or (seq == 0) != (previous_jws is None):
        raise StatementError("the first event is number 0 and has no predecessor; every other one has")


def _require_agents(agents: Sequence[Agent], signer_who: Party) -> None:
    for agent in agents:
        if agent.role not in ROLES:
            raise StatementError("an agent role that is not a participant type")
        if agent.who.type == "Practitioner":
            raise StatementError("people act in a role: use PractitionerRole")
        if agent.who.type == "Device" and agent.on_behalf_of is None:
            raise StatementError("a Device acts on behalf of an organization")
    parties = [party for agent in agents for party in (agent.who, agent.on_behalf_of) if party is not None]
    if signer_who.identifier is None or all(party.identifier != signer_who.identifier for party in parties):
        raise StatementError("the signer is an agent of the event, or somebody an agent acts for, by identifier")


def _require_inputs(targets: Sequence[Target], entities: Sequence[Entity]) -> None:
    if not targets or not all(target.reference for target in targets):
        raise StatementError("an event has at least one target, each with a reference")
    for entity in entities:
        if entity.role not in ENTITY_ROLES or not entity.digest_uri.startswith("ni:///"):
            raise StatementError("an entity has a role of R4 and a digest")


def _kinds(row: Activity, more: Sequence[str]) -> tuple[str, ...]:
    kinds = dict.fromkeys((VERIFICATION, *row.signature_types, *more))
    if unknown := kinds.keys() - SIGNATURE_TYPES.keys():
        raise StatementError(f"{len(unknown)} signature types that are not in the table")
    return tuple(kinds)


def _contained(agents: Sequence[Agent]) -> list[dict[str, Any]]:
    parties = [party for agent in agents for party in (agent.who, agent.on_behalf_of) if party is not None]
    by_reference = {party.reference: dict(party.contained) for party in parties if party.contained is not None}
    return list(by_reference.values())


def _agent(agent: Agent) -> dict[str, Any]:
    coding = {"system": role_system(agent.role), "code": agent.role}
    element: dict[str, Any] = {"type": {"coding": [coding]}, "who": agent.who.as_reference()}
    if agent.on_behalf_of is not None:
        element["onBehalfOf"] = agent.on_behalf_of.as_reference()
    return element


def _entity(entity: Entity) -> dict[str, Any]:
    what = _addressed(entity.reference, entity.type, entity.digest_uri)
    return {"role": entity.role, "what": {**what, "display": entity.display} if entity.display else what}


def _addressed(reference: str, kind: str, ni: str) -> dict[str, Any]:
    named: dict[str, Any] = {"reference": reference} if reference else {}
    return {**named, "type": kind, "identifier": {"system": URI, "value": ni}}
