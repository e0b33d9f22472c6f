"""Accepting orders: everything a case needs is checked first, then all cases of a post are stored at once.

Nothing is stored when anything is wrong, so a refused post leaves no half-made case. The same order
again gives the same case. Source: design.md §4, §5.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from gateway.cases.facts import Facts
from gateway.cases.states import CaseState
from gateway.clients.ehr import EhrClient
from gateway.errors import Conflict, EhrRejected, InputError, NotFound
from gateway.fhir import Json
from gateway.fhir.json import dump_json
from gateway.fhir.references import read_reference
from gateway.flows import ledger
from gateway.flows.actors import Actor
from gateway.flows.orders import (
    OrderPointer,
    PostedOrder,
    coverage_references,
    is_id,
    order_identity,
    patient_reference,
    read_posted,
    service_of,
)
from gateway.flows.services import Services
from gateway.flows.subjects import case_task, labels
from gateway.policy.access import require_access
from gateway.policy.routing import RouteProblem, decide_route
from gateway.store.rows import CaseRow


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
class _Checked:
    """An order of which everything needed is known."""

    posted: PostedOrder
    ehr_id: str
    patient: Json | None
    patient_reference: str
    coverage: Json
    payer: str


def accept_orders(services: Services, actor: Actor, posted: Posted) -> tuple[Accepted, ...]:
    """One case for each order in the body, all stored or none.

    Raises InputError (`order.*`, `patient.*`, `coverage.*`, `payer.*`, `ehr.*`) that says what to
    send instead, EhrError where a referenced resource has to be read and cannot be.
    """
    require_access(actor.caller, "order.post")
    checked = [_check(services, order, ehr_id) for order, ehr_id in _orders(services, actor, posted.resource)]
    for _ in range(3):
        try:
            return _store_all(services, actor, posted, checked)
        except Conflict:
            continue  # the same order came twice at the same moment: the other post won
    raise Conflict("The same order is being posted by somebody else; look at the case list.", code="order.race")


def _orders(services: Services, actor: Actor, body: Json) -> list[tuple[PostedOrder, str]]:
    found = read_posted(body)
    if not isinstance(found, OrderPointer):
        return [(order, services.settings.tenant.ehr) for order in found]
    ehr_id = services.ehr_by_url(actor.tenant, found.server)
    if ehr_id is None:
        raise InputError(
            "This fhirServer is not registered for you; ask the operator to add it under `ehr` in the settings.",
            code="ehr.not-registered",
            expression="fhirServer",
            status=422,
        )
    order = _read(services.ehr(ehr_id), found.reference, "order")
    return [(order, ehr_id) for order in _as_posted(order)]


def _as_posted(order: Json) -> tuple[PostedOrder, ...]:
    posted = read_posted(order)
    assert not isinstance(posted, OrderPointer)
    return posted


def _check(services: Services, order: PostedOrder, ehr_id: str) -> _Checked:
    """Steps: (1) the patient is named; (2) a coverage is found; (3) it is the patient's; (4) its payer is known."""
    patient = _patient(order)  # (1)
    coverages = _coverages(services, order, ehr_id, patient)  # (2)
    for coverage in coverages:
        _require_same_patient(order, coverage, patient)  # (3)
    route = decide_route(  # (4)
        coverages, _finder(services, order, ehr_id), services.directory.by_identifier, services.clock.now().date()
    )
    if route.slug is None or route.coverage is None:
        code = "payer.unknown" if route.problem is RouteProblem.UNKNOWN else f"coverage.{route.problem}"
        raise InputError(route.next_action, code=code, expression=f"{order.expression}.insurance", status=422)
    return _Checked(
        posted=order,
        ehr_id=ehr_id,
        patient=_companion(order, patient),
        patient_reference=patient,
        coverage=route.coverage,
        payer=route.slug,
    )


def _patient(order: PostedOrder) -> str:
    reference = read_reference(patient_reference(order.resource))
    if reference.type != "Patient" or not is_id(reference.id):
        raise InputError(
            "The order names no patient; set subject to a Patient of the EHR.",
            code="patient.missing",
            expression=f"{order.expression}.subject",
            status=422,
        )
    return reference.relative


def _coverages(services: Services, order: PostedOrder, ehr_id: str, patient: str) -> list[Json]:
    """Coverages the order names, else those that came along, else the patient's active ones in the EHR."""
    named = coverage_references(order.resource)
    if named:
        find = _finder(services, order, ehr_id)
        return [_require_found(find(reference), order) for reference in named]
    along = [item for item in order.companions if item["resourceType"] == "Coverage" and _is_for(item, patient)]
    if along:
        return along
    patient_id = patient.partition("/")[2]
    found = services.ehr(ehr_id).search("Coverage", {"patient": patient_id, "status": "active"}, patient_id=patient_id)
    if not found:
        raise InputError(
            "The order has no coverage and the patient has no active one in the EHR; add the coverage.",
            code="coverage.missing",
            expression=f"{order.expression}.insurance",
            status=422,
        )
    return [item.resource for item in found]


def _require_found(coverage: Json | None, order: PostedOrder) -> Json:
    if coverage is None or coverage.get("resourceType") != "Coverage":
        raise InputError(
            "A coverage that the order names is neither in the body nor in the EHR; send it along or correct it.",
            code="reference.unresolvable",
            expression=f"{order.expression}.insurance",
            status=422,
        )
    return coverage


def _is_for(coverage: Json, patient: str) -> bool:
    beneficiary = coverage.get("beneficiary") or {}
    return read_reference(str(beneficiary.get("reference", ""))).relative == patient


def _require_same_patient(order: PostedOrder, coverage: Json, patient: str) -> None:
    if not _is_for(coverage, patient):
        raise InputError(
            "The order's patient is not the beneficiary of its coverage; check whose coverage this is.",
            code="patient.mismatch",
            expression=f"{order.expression}.insurance",
            status=422,
        )


class _finder:
    """Finds a referenced resource in the post, else in the EHR. None when it is nowhere."""

    def __init__(self, services: Services, order: PostedOrder, ehr_id: str) -> None:
        self._services = services
        self._order = order
        self._ehr_id = ehr_id

    def __call__(self, reference: str) -> Json | None:
        """The resource that `reference` names."""
        read = read_reference(reference)
        if not read.type or not is_id(read.id):
            return None
        return _companion(self._order, read.relative) or self._from_ehr(read.relative)

    def _from_ehr(self, reference: str) -> Json | None:
        try:
            return _read(self._services.ehr(self._ehr_id), reference, "referenced resource")
        except InputError:
            return None


def _companion(order: PostedOrder, reference: str) -> Json | None:
    kind, _, resource_id = reference.partition("/")
    fits = (item for item in order.companions if item["resourceType"] == kind and item.get("id") == resource_id)
    return next(fits, None)


def _read(ehr: EhrClient, reference: str, what: str) -> Json:
    kind, _, resource_id = reference.partition("/")
    try:
        return ehr.read(kind, resource_id).resource
    except (NotFound, EhrRejected) as error:
        if isinstance(error, EhrRejected) and error.http_answer not in (400, 404, 410):
            raise
        message = f"The {what} is not in the EHR under this reference; check the id."
        raise InputError(message, code="reference.unresolvable", status=422) from None


def _store_all(services: Services, actor: Actor, posted: Posted, checked: Sequence[_Checked]) -> tuple[Accepted, ...]:
    with services.store.read() as tx:
        known = {key: tx.cases.by_order_key(actor.tenant, key) for key in map(_order_key, checked)}
    drafts = {
        _order_key(item): _draft(services, actor, posted, item) for item in checked if not known[_order_key(item)]
    }
    if drafts:
        ledger.open_cases(services, list(drafts.values()))
    with services.store.read() as tx:
        cases = [tx.cases.by_order_key(actor.tenant, _order_key(item)) for item in checked]
    return tuple(
        Accepted(case=case, is_new=case.order_key in drafts) for case in dict.fromkeys(cases) if case is not None
    )


def _order_key(item: _Checked) -> str:
    identity = order_identity(item.posted.resource, item.ehr_id)
    coverage = str(item.coverage.get("id", ""))
    return hashlib.sha256("\n".join((item.ehr_id, identity, coverage)).encode()).hexdigest()


def _draft(services: Services, actor: Actor, posted: Posted, item: _Checked) -> ledger.NewCase:
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
        signed_at=None if order.get("status") == "draft" else now,
        created_at=now,
        updated_at=now,
        due_at=now,
        next_action="The gateway asks the payer what is needed.",
        service_code=code,
        service_display=words,
        is_expedited=order.get("priority") in ("urgent", "asap", "stat"),
        **labels(item.patient),
    )
    facts = Facts(
        body=hashlib.sha256(posted.raw).hexdigest(),
        body_type=posted.media_type,
        order_digest=hashlib.sha256(body).hexdigest(),
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
    )
