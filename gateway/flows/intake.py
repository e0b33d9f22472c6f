"""Accepting orders: everything a case needs is checked first, then all cases of a post are stored at once.

Nothing is stored when anything is wrong, so a refused post leaves no half-made case. The same order
again gives the same case. Source: design.md §4, §5.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from gateway.cases.facts import Facts
from gateway.cases.states import CaseState
from gateway.errors import Conflict, EhrError, EhrUnreadable, InputError
from gateway.fhir import Json
from gateway.fhir.json import dump_json
from gateway.fhir.references import reference_text
from gateway.flows import actions, intercept_signed, ledger
from gateway.flows.actors import Actor
from gateway.flows.intercept_draft import content_of
from gateway.flows.lookup import Lookup
from gateway.flows.orders import (
    OrderPointer,
    PostedOrder,
    coverage_references,
    is_expedited,
    is_id,
    order_identity,
    patient_reference,
    read_posted,
    service_of,
)
from gateway.flows.services import Services
from gateway.flows.subjects import case_task, labels
from gateway.logs import get_logger
from gateway.policy.access import require_access
from gateway.policy.routing import RouteProblem, decide_route
from gateway.store.rows import CaseRow

PROVISIONAL = frozenset({"held", "documenting", "ready", "needs_attention"})
"""States in which a case may wait for its order to be signed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Posted:
    """A posted body."""

    raw: bytes
    """Exact bytes."""
    media_type: str
    """Media type without parameters."""
    resource: Json
    """What the bytes mean."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """One order's case and whether this post made it."""

    case: CaseRow
    """The case as it stands."""
    is_new: bool
    """False: the order had its case already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Brought:
    """What a hook brings besides the orders."""

    record: bytes
    """What is known of the patient, as `intercept_record` writes it."""
    wake: datetime
    """When a job first moves the cases on: after the hook is answered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Checked:
    """An order of which everything needed is known."""

    posted: PostedOrder
    ehr_id: str
    patient: Json
    patient_reference: str
    coverage: Json
    payer: str


def accept_orders(services: Services, actor: Actor, posted: Posted) -> tuple[Accepted, ...]:
    """One case for each order in the body, all stored or none.

    Raises InputError (`order.*`, `patient.*`, `coverage.*`, `payer.*`, `ehr.*`, `reference.*`) that says what
    to send instead, EhrError where a referenced resource has to be read and cannot be.
    """
    require_access(actor.caller, "order.post")
    orders, lookup = _orders(services, actor, posted.resource)
    checked = [_check(services, order, lookup) for order in orders]
    _require_distinct(checked)
    for _ in range(3):
        try:
            return _store_all(services, actor, posted, checked)
        except Conflict:
            continue  # the same order came twice at the same moment: the other post won
    raise Conflict("The same order is being posted by somebody else; look at the case list.", code="order.race")


def accept_drafts(
    services: Services, actor: Actor, posted: Posted, orders: Sequence[PostedOrder], lookup: Lookup, brought: Brought
) -> tuple[Accepted, ...]:
    """A provisional case for each draft order of a hook; orders of which something is missing get none.

    Raises Conflict where somebody else opens the same cases at this moment.
    """
    require_access(actor.caller, "hook.call")
    checked: dict[str, _Checked] = {}
    for order in orders:
        try:
            item = _check(services, order, lookup)
        except (InputError, EhrError) as error:
            get_logger().info("hook-order-left-out", ehr=lookup.ehr_id, code=error.reason)
            continue
        checked.setdefault(_order_key(item), item)
    return _store_all(services, actor, posted, list(checked.values()), brought)


def _orders(services: Services, actor: Actor, body: Json) -> tuple[tuple[PostedOrder, ...], Lookup]:
    """The orders and where what they refer to is looked up: only ever an EHR of the caller's own tenant."""
    found = read_posted(body)
    if actor.tenant != services.settings.tenant.id:
        raise _not_registered("No EHR is registered for your tenant; ask the operator.", "")
    if not isinstance(found, OrderPointer):
        return found, Lookup(services, services.settings.tenant.ehr)
    ehr_id = services.ehr_by_url(actor.tenant, found.server)
    if ehr_id is None:
        raise _not_registered(
            "This fhirServer is not registered for you; ask the operator to add it under `ehr` in the settings.",
            "fhirServer",
        )
    lookup = Lookup(services, ehr_id)
    return _read_order(lookup, found.reference), lookup


def _not_registered(message: str, expression: str) -> InputError:
    return InputError(message, code="ehr.not-registered", expression=expression, status=422)


def _read_order(lookup: Lookup, reference: str) -> tuple[PostedOrder, ...]:
    orders = read_posted(lookup.order(reference))
    if isinstance(orders, OrderPointer) or [order.reference for order in orders] != [reference]:
        raise EhrUnreadable("The EHR answered with something else than the order.", code="ehr.unreadable")
    return orders


def _check(services: Services, order: PostedOrder, lookup: Lookup) -> _Checked:
    """Steps: (1) the patient is known; (2) a coverage is found; (3) it is the patient's; (4) its payer is known."""
    reference, patient = _patient(order, lookup)  # (1)
    coverages = _coverages(order, lookup, reference)  # (2)
    for coverage in coverages:
        _require_same_patient(order, lookup, coverage, reference)  # (3)
    route = decide_route(  # (4)
        coverages,
        lambda named: lookup.find(order, named),
        services.directory.by_identifier,
        services.today(),
    )
    where = f"{order.expression}.insurance"
    if route.slug is None or route.coverage is None:
        code = "payer.unknown" if route.problem is RouteProblem.UNKNOWN else f"coverage.{route.problem}"
        raise InputError(route.next_action, code=code, expression=where, status=422)
    if not is_id(route.coverage.get("id")):
        message = "The coverage has no id; send it as it is stored in the EHR."
        raise InputError(message, code="coverage.id", expression=where, status=422)
    return _Checked(
        posted=order,
        ehr_id=lookup.ehr_id,
        patient=patient,
        patient_reference=reference,
        coverage=route.coverage,
        payer=route.slug,
    )


def _patient(order: PostedOrder, lookup: Lookup) -> tuple[str, Json]:
    """`Patient/id` at the EHR and the patient. Raises InputError."""
    where = f"{order.expression}.subject"
    named = patient_reference(order.resource)
    if not named:
        message = "The order names no patient; set subject to a Patient of the EHR."
        raise InputError(message, code="patient.missing", expression=where, status=422)
    identity = lookup.identity(order, named, order.resource)
    found = lookup.find(order, named, order.resource) if identity.startswith("Patient/") else None
    if found is None or found.get("resourceType") != "Patient":
        message = "The patient that the order names is neither in the body nor in the EHR; correct subject."
        raise InputError(message, code="reference.unresolvable", expression=where, status=422)
    return identity, found


def _coverages(order: PostedOrder, lookup: Lookup, patient: str) -> list[Json]:
    """Coverages the order names, else those that came along, else the patient's active ones in the EHR."""
    named = coverage_references(order.resource)
    if named:
        return [_require_found(lookup.find(order, reference, order.resource), order) for reference in named]
    along = [entry.resource for entry in order.index.entries if entry.resource.get("resourceType") == "Coverage"]
    found = [item for item in along if _beneficiary(order, lookup, item) == patient]
    found = found or lookup.active_coverages(patient)
    if not found:
        raise InputError(
            "The order has no coverage and the patient has no active one in the EHR; add the coverage.",
            code="coverage.missing",
            expression=f"{order.expression}.insurance",
            status=422,
        )
    return found


def _require_found(coverage: Json | None, order: PostedOrder) -> Json:
    if coverage is None or coverage.get("resourceType") != "Coverage":
        raise InputError(
            "A coverage that the order names is neither in the body nor in the EHR; send it along or correct it.",
            code="reference.unresolvable",
            expression=f"{order.expression}.insurance",
            status=422,
        )
    return coverage


def _beneficiary(order: PostedOrder, lookup: Lookup, coverage: Json) -> str:
    return lookup.identity(order, reference_text(coverage.get("beneficiary")), coverage)


def _require_same_patient(order: PostedOrder, lookup: Lookup, coverage: Json, patient: str) -> None:
    if _beneficiary(order, lookup, coverage) != patient:
        raise InputError(
            "The order's patient is not the beneficiary of its coverage; check whose coverage this is.",
            code="patient.mismatch",
            expression=f"{order.expression}.insurance",
            status=422,
        )


def _require_distinct(checked: Sequence[_Checked]) -> None:
    """Two orders of one post must not read as the same order: one of them would be lost without a word."""
    seen: dict[str, str] = {}
    for item in checked:
        if seen.setdefault(_order_key(item), item.posted.reference) != item.posted.reference:
            raise InputError(
                "Two orders carry the same business identifier; give each its own.",
                code="order.identity",
                expression=f"{item.posted.expression}.identifier",
                status=422,
            )


def _store_all(
    services: Services, actor: Actor, posted: Posted, checked: Sequence[_Checked], brought: Brought | None = None
) -> tuple[Accepted, ...]:
    """Store what is new, all or none; `brought` marks drafts of a hook, else the orders are as the EHR has them."""
    with services.store.read() as tx:
        known = {key: tx.cases.by_order_key(actor.tenant, key) for key in map(_order_key, checked)}
    is_saved = brought is None
    known |= {_order_key(item): _own(services, actor, item, known[_order_key(item)], is_saved) for item in checked}
    drafts = {
        _order_key(item): _draft(services, actor, posted, item, brought)
        for item in checked
        if not known[_order_key(item)]
    }
    if drafts:
        ledger.open_cases(services, list(drafts.values()))
    if brought is None:
        for item in checked:
            _note_signature(services, actor, known[_order_key(item)], item)
    with services.store.read() as tx:
        cases = [tx.cases.by_order_key(actor.tenant, _order_key(item)) for item in checked]
    return tuple(
        Accepted(case=case, is_new=case.order_key in drafts) for case in dict.fromkeys(cases) if case is not None
    )


def _own(services: Services, actor: Actor, item: _Checked, case: CaseRow | None, is_saved: bool) -> CaseRow | None:
    """The order's case; an order that has another id by now takes over the provisional case of its draft."""
    place = (item.ehr_id, f"Coverage/{item.coverage['id']}")
    return intercept_signed.take_over(services, actor, case, place, item.posted.resource, is_saved=is_saved)


def _note_signature(services: Services, actor: Actor, case: CaseRow | None, item: _Checked) -> None:
    """An order that was a draft and comes again signed: its case is checked again, with the order as it stands."""
    is_draft = item.posted.resource.get("status") == "draft"
    if case is None or case.signed_at is not None or is_draft or case.state not in PROVISIONAL:
        return
    try:
        actions.check_again(services, actor, case.case_id, "the order was signed")
    except Conflict:
        return  # it moved meanwhile; the next step reads the order itself


def _order_key(item: _Checked) -> str:
    identity = order_identity(item.posted.resource, item.ehr_id)
    return intercept_signed.order_key(item.ehr_id, identity, str(item.coverage.get("id", "")))


def _draft(services: Services, actor: Actor, posted: Posted, item: _Checked, brought: Brought | None) -> ledger.NewCase:
    now = services.clock.now()
    order = item.posted.resource
    body = dump_json(order)
    code, words = service_of(order)
    row = CaseRow(
        tenant_id=actor.tenant,
        case_id=services.new_id(),
        order_key=_order_key(item),
        order_identity=order_identity(order, item.ehr_id),
        ehr_id=item.ehr_id,
        order_reference=item.posted.reference,
        patient_reference=item.patient_reference,
        coverage_reference=f"Coverage/{item.coverage['id']}",
        payer=item.payer,
        state=CaseState.RECEIVED.value,
        case_tag=services.new_case_tag(),
        signed_at=None if order.get("status") == "draft" or brought else now,
        created_at=now,
        updated_at=now,
        due_at=brought.wake if brought else now,
        next_action="The gateway asks the payer what is needed.",
        service_code=code,
        service_display=words,
        is_expedited=is_expedited(order),
        **labels(item.patient),
    )
    facts = Facts(
        body=hashlib.sha256(posted.raw).hexdigest(),
        body_type=posted.media_type,
        order_digest=hashlib.sha256(body).hexdigest(),
        hook=hashlib.sha256(brought.record).hexdigest() if brought else "",
        is_unsaved=brought is not None,
        content=content_of(order) if brought else "",
        look_at=intercept_signed.first_look(now) if brought else "",
    )
    return ledger.NewCase(
        row=row,
        facts=facts,
        actor=actor,
        task=case_task(row),
        order=body,
        order_address=services.address(item.ehr_id, item.posted.reference),
        body=posted.raw,
        body_type=posted.media_type,
        objects=((brought.record, "application/fhir+json"),) if brought else (),
        wake=brought.wake if brought else None,
    )
