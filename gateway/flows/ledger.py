"""The case's ledger: one signed event per act, committed together with the case it changes.

An event is built and signed before the transaction and inserted with compare-and-set on the case's
version and the event's number, so that no key is used inside a transaction and no act is recorded
twice. What an event is about, and what it rests on, is kept byte for byte in the same transaction.
Source: spec/provenance.md §3, §5; style.md §3.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, TypeVar

import provenance
from gateway.cases.facts import Facts, read_facts
from gateway.cases.states import CaseState, require_transition
from gateway.errors import Conflict
from gateway.flows.actors import GATEWAY, Actor
from gateway.flows.moves import standing
from gateway.flows.services import CASE_QUEUE, Services
from gateway.logs import get_logger
from gateway.store import Tx
from gateway.store.rows import CaseRow, EventRow, NoteValue

T = TypeVar("T")
ADVANCE = "advance"
"""Name of that job; its ids are tenant and case."""
FHIR_JSON = "application/fhir+json"
MOVING: ContextVar[str] = ContextVar("moving", default="")
"""Id of the case that this thread is moving on: its steps need no further job, the loop goes on by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """Bytes that an event is about or rests on."""

    reference: str
    """Absolute address or `urn:uuid:`."""
    type: str
    """FHIR type; Binary for a body."""
    raw: bytes = field(repr=False)
    """Exact bytes."""
    media_type: str = FHIR_JSON
    """Media type under which they are kept."""
    elements: tuple[str, ...] = ()
    """Ids of the elements concerned, e.g. of answers."""
    role: str = "source"
    """Role when it is something that the event rests on: source, derivation, revision or removal."""

    @classmethod
    def resource(cls, reference: str, raw: bytes, *, elements: Sequence[str] = (), role: str = "source") -> Item:
        """A FHIR resource in JSON under its absolute address; the type is read from the address."""
        plain = reference.split("/_history/")[0]
        return cls(reference=reference, type=plain.rsplit("/", 2)[-2], raw=raw, elements=tuple(elements), role=role)

    @classmethod
    def local(cls, kind: str, raw: bytes, key: str, *, elements: Sequence[str] = (), role: str = "source") -> Item:
        """A FHIR resource that the gateway made, under `urn:uuid:<key>`."""
        return cls(reference=f"urn:uuid:{key}", type=kind, raw=raw, elements=tuple(elements), role=role)

    @classmethod
    def body(cls, raw: bytes, media_type: str = FHIR_JSON, *, role: str = "source") -> Item:
        """Bytes that are not one resource: a message as sent or received, a manifest, a trace."""
        digest = hashlib.sha256(raw).digest()[:16]
        reference = f"urn:uuid:{_uuid_text(digest)}"
        return cls(reference=reference, type="Binary", raw=raw, media_type=media_type, role=role)

    @property
    def digest(self) -> str:
        """Hex SHA-256 of the exact bytes: the name under which they are kept."""
        return hashlib.sha256(self.raw).hexdigest()

    def as_target(self) -> provenance.Target:
        """The item as target of an event."""
        return provenance.Target(
            reference=self.reference,
            type=self.type,
            raw=self.raw,
            resource_json=self.type != "Binary",
            elements=self.elements,
        )

    def as_entity(self) -> provenance.Entity:
        """The item as something an event rests on."""
        raw = self.raw if self.type == "Binary" else provenance.jcs(self.raw)
        uri = provenance.ni_uri(provenance.digest(raw))
        return provenance.Entity(role=self.role, reference=self.reference, type=self.type, digest_uri=uri)


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """Something that happened in a case."""

    verb: str
    """Activity code of spec/provenance.md §3.1."""
    about: tuple[Item, ...]
    """Targets, at least one."""
    sources: tuple[Item, ...] = ()
    """What it rests on."""
    actor: Actor = GATEWAY
    """Who did it."""
    payer: str = ""
    """Name of the payer that wrote what the act is about; empty for what we send."""
    occurred: datetime | None = None
    """When it happened; None means when it is recorded."""
    policy: tuple[str, ...] = ()
    """Canonicals of the policy applied."""
    note: Mapping[str, NoteValue] = field(default_factory=dict)
    """Small facts for people; keys of gateway/store/notes.py."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewCase:
    """A case about to be opened, with what it starts from."""

    row: CaseRow
    """The row to store."""
    facts: Facts
    """Its first facts."""
    actor: Actor
    """Who posted the order."""
    task: bytes
    """The case as a Task."""
    order: bytes
    """The order as JSON."""
    order_address: str
    """Absolute address of the order in the EHR."""
    body: bytes
    """The posted body."""
    body_type: str
    """Its media type."""
    objects: tuple[tuple[bytes, str], ...] = ()
    """Further bytes to keep, as (bytes, media type)."""
    wake: datetime | None = None
    """When a job first moves the case on; None: at once."""


def append(
    services: Services,
    case: CaseRow,
    act: Act,
    *,
    to: CaseState | None = None,
    next_action: str = "",
    facts: Facts | None = None,
    objects: Iterable[tuple[bytes, str]] = (),
    changes: Mapping[str, Any] | None = None,
    wake: datetime | None = None,
    also: Callable[[Tx], None] | None = None,
) -> CaseRow:
    """Record `act` and change the case with it, in one transaction; the case is then moved on by a job.

    `to` is the new state (None: it stays), `objects` are further bytes to keep as (bytes, media type),
    `wake` is when the case is due next (None: nothing is owed after the job), `also` runs inside the
    transaction. Raises Conflict when the case changed meanwhile: load it again and decide again.
    """
    if to is not None and to.value != case.state:
        require_transition(CaseState(case.state), to)
    with services.store.read() as tx:
        last = tx.events.last(case.tenant_id, case.case_id)
    signed = _sign(services, case, act, last)
    event = _event_row(services, case, act, signed, seq=last.seq + 1 if last else 0, to=to)
    fields = {**(standing(to, next_action) if to is not None else {}), **(changes or {})}
    if to is None and next_action:
        fields["next_action"] = next_action
    if facts is not None:
        fields["facts"] = facts.to_text()
    with services.store.begin() as tx:
        due_at = wake or _kept_timer(services, case, to, facts) or services.clock.now()
        changed = tx.cases.update(case.tenant_id, case.case_id, case.version, due_at=due_at, **fields)
        _keep(tx, changed, act, signed, objects)
        tx.events.append(event)
        if also is not None:
            also(tx)
        if wake is not None or MOVING.get() != case.case_id:
            enqueue(services, tx, changed, wake)
    get_logger().info(
        "event",
        case_id=case.case_id,
        verb=act.verb,
        seq=event.seq,
        from_state=case.state,
        to_state=changed.state,
        payer=case.payer,
    )
    return changed


def _kept_timer(services: Services, case: CaseRow, to: CaseState | None, facts: Facts | None) -> datetime | None:
    """The timer of a held case survives acts that do not move it."""
    if case.state != CaseState.HELD or to not in (None, CaseState.HELD):
        return None
    until = held_until(facts or read_facts(case.facts))
    return until if until is not None and until > services.clock.now() else None


def held_until(facts: Facts) -> datetime | None:
    """When a held case is looked at again; None where no time was set."""
    return datetime.fromisoformat(facts.held_until) if facts.held_until else None


def open_cases(services: Services, drafts: Sequence[NewCase]) -> None:
    """Store new cases with their first two events, all or none. Raises Conflict where an order has its case already."""
    prepared = [(draft, _first_events(services, draft)) for draft in drafts]
    with services.store.begin() as tx:
        for draft, events in prepared:
            tx.cases.insert(_with_facts(draft))
            for act, signed, row in events:
                _keep(tx, draft.row, act, signed, draft.objects)
                tx.events.append(row)
            enqueue(services, tx, draft.row, draft.wake)


def set_waiting(
    services: Services,
    case: CaseRow,
    facts: Facts,
    due_at: datetime | None,
    why: str = "",
    changes: Mapping[str, Any] | None = None,
) -> CaseRow:
    """Change a case's facts and its next due instant without an event: bookkeeping of tries, never a transition."""
    fields: dict[str, Any] = {"facts": facts.to_text(), "due_at": due_at, **(changes or {})}
    if why:
        fields["next_action"] = why
    with services.store.begin() as tx:
        changed = tx.cases.update(case.tenant_id, case.case_id, case.version, **fields)
        if due_at is not None:
            enqueue(services, tx, changed, due_at)
    return changed


def load(services: Services, tenant: str, case_id: str) -> CaseRow:
    """The case; NotFound, also for another tenant's."""
    with services.store.read() as tx:
        return tx.cases.get(tenant, case_id)


def load_object(services: Services, case: CaseRow, digest: str) -> bytes:
    """Exact bytes kept for the case; NotFound or IntegrityError."""
    with services.store.read() as tx:
        return tx.objects.get(case.tenant_id, case.case_id, digest)


def _first_events(services: Services, draft: NewCase) -> list[tuple[Act, provenance.SignedEvent, EventRow]]:
    row = draft.row
    body = Item.body(draft.body, draft.body_type)
    opened = Act(
        verb="case-open", about=(Item.local("Task", draft.task, row.case_id),), sources=(body,), actor=draft.actor
    )
    entered = Act(
        verb="order-entry", about=(Item.resource(draft.order_address, draft.order),), sources=(body,), actor=draft.actor
    )
    first = _sign(services, row, opened, None)
    first_row = _event_row(services, row, opened, first, seq=0, to=CaseState(row.state))
    second = _sign(services, row, entered, first_row)
    second_row = _event_row(services, row, entered, second, seq=1, to=None)
    return [(opened, first, first_row), (entered, second, second_row)]


def _with_facts(draft: NewCase) -> CaseRow:
    return replace(draft.row, facts=draft.facts.to_text())


def _sign(services: Services, case: CaseRow, act: Act, last: EventRow | None) -> provenance.SignedEvent:
    tenant = services.tenant_party
    return provenance.build_event(
        case_tag=case.case_tag,
        seq=last.seq + 1 if last else 0,
        previous_jws=last.jws if last else None,
        activity=act.verb,
        recorded=max(services.clock.now(), last.at) if last else services.clock.now(),
        occurred=act.occurred,
        agents=_agents(services, act),
        targets=[item.as_target() for item in act.about],
        entities=[item.as_entity() for item in act.sources],
        policy=act.policy,
        signer=services.keys.signer("event"),
        signer_who=tenant,
    )


DEVICE_ROLES = {
    "order-entry": "transmitter",
    "submit": "transmitter",
    "evaluate": "performer",
    "write-back": "performer",
    "populate-auto-client": "author",
    "advice": "author",
}
"""Role of the gateway in an activity where it is more than the assembler (spec/provenance.md §3.1)."""
PERSON_ROLES = {"red-flag-attest": ("attester", "legal")}
"""Roles of a person in an activity where they are not the author."""
TENANT_ROLES = {"submit": "performer", "assemble": "author", "seal": "custodian"}
"""Role of the organization in an activity, besides being the one acted for."""


def _agents(services: Services, act: Act) -> list[provenance.Agent]:
    """Who took part: the gateway always, the organization, a person, a payer as the activity has it."""
    tenant = services.tenant_party
    device = provenance.gateway_device(services.version)
    agents = [provenance.Agent(role="assembler", who=device, on_behalf_of=tenant)]
    if act.verb in DEVICE_ROLES:
        agents.append(provenance.Agent(role=DEVICE_ROLES[act.verb], who=device, on_behalf_of=tenant))
    if act.verb in TENANT_ROLES:
        agents.append(provenance.Agent(role=TENANT_ROLES[act.verb], who=tenant))
    if act.actor.kind == "user":
        for role in PERSON_ROLES.get(act.verb, ("author",)):
            agents.append(provenance.Agent(role=role, who=_person(services, act), on_behalf_of=tenant))
    elif act.actor.kind in ("client", "ehr"):
        agents.append(provenance.Agent(role="author", who=tenant))
    if act.payer:
        agents.append(provenance.Agent(role="author", who=provenance.organization(None, act.payer)))
    return agents


def _person(services: Services, act: Act) -> provenance.Party:
    return provenance.practitioner_role(
        key="person",
        name=act.actor.name or act.actor.id,
        practitioner=services.practitioner_address(act.actor.practitioner),
        employer=services.tenant_party,
    )


def _event_row(
    services: Services, case: CaseRow, act: Act, signed: provenance.SignedEvent, *, seq: int, to: CaseState | None
) -> EventRow:
    return EventRow(
        tenant_id=case.tenant_id,
        case_id=case.case_id,
        seq=seq,
        at=datetime.fromisoformat(signed.provenance["recorded"]),
        actor=act.actor.label,
        verb=act.verb,
        from_state="" if seq == 0 else case.state,
        to_state=to.value if to is not None else case.state,
        object_digest=act.about[0].digest,
        provenance_digest=hashlib.sha256(signed.body).hexdigest(),
        jws=signed.jws,
        jws_digest=hashlib.sha256(signed.jws.encode()).hexdigest(),
        note=act.note,
    )


def _keep(
    tx: Tx, case: CaseRow, act: Act, signed: provenance.SignedEvent, objects: Iterable[tuple[bytes, str]]
) -> None:
    named = [(item.raw, item.media_type) for item in (*act.about, *act.sources)]
    tx.objects.put_all(case.tenant_id, case.case_id, [(signed.body, FHIR_JSON), *named, *objects])


def enqueue(services: Services, tx: Tx, case: CaseRow, wake: datetime | None) -> None:
    """In the caller's transaction, a job that moves this version of the case on: at once, or at `wake`."""
    ids = (case.tenant_id, case.case_id)
    key = f"case:{case.case_id}:{case.version}"
    if wake is None:
        services.jobs.enqueue(tx.connection, CASE_QUEUE, ADVANCE, ids, key)
    else:
        services.jobs.enqueue_at(tx.connection, CASE_QUEUE, ADVANCE, ids, key, wake)


def append_done(services: Services, case: CaseRow, act: Act) -> CaseRow:
    """Record what was done outside already, on the case as it stands now, however it has changed meanwhile."""
    return retry_on_conflict(lambda: append(services, load(services, case.tenant_id, case.case_id), act))


def retry_on_conflict(action: Callable[[], T], tries: int = 5) -> T:
    """Run a load-decide-append action again while somebody else changed the case meanwhile."""
    for _ in range(tries - 1):
        try:
            return action()
        except Conflict as error:
            if not error.reason.startswith("conflict"):
                raise
    return action()


def _uuid_text(digest: bytes) -> str:
    return str(uuid.UUID(bytes=digest, version=4))
