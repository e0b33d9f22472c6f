"""Reading the chart: one exchange with the EHR, every resource kept byte for byte.

The result is a manifest object that names each resource version by digest; forms and rules are
evaluated over the snapshot it describes, never over a live server.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import provenance
from gateway.cases.facts import Facts
from gateway.cases.states import CaseState
from gateway.clients.ehr import Fetched
from gateway.clients.ehr_chart import CHART_TYPES
from gateway.errors import EhrRejected, InputError, NotFound
from gateway.fhir import Json
from gateway.fhir.json import parse_json
from gateway.fhir.reading import text
from gateway.fhir.references import read_reference, reference_text
from gateway.flows import ledger
from gateway.flows.instruments_wording import counts_here
from gateway.flows.intercept_draft import is_saved_draft
from gateway.flows.ledger import Act, Item
from gateway.flows.orders import CLOSED_STATUSES, is_expedited, patient_reference, service_of
from gateway.flows.services import Services
from gateway.flows.subjects import labels
from gateway.profiles.pas_2_2_1 import service_days
from gateway.reasoning.record import RecordSnapshot, reference_of, version_of
from gateway.store.rows import CaseRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """One resource of a snapshot."""

    reference: str
    """`Type/id` in the EHR."""
    digest: str
    """Digest of its exact bytes."""
    full_url: str
    """Absolute address in the EHR."""
    resource: Json
    """What the bytes mean."""
    raw: bytes
    """The exact bytes."""


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """The chart as it was read, with its bytes. Not to be changed: steps of one case share it."""

    kept: tuple[Kept, ...]
    """Every resource, in the order read."""
    findings: tuple[str, ...]
    """What could not be read, in words without patient data."""

    @cached_property
    def record(self) -> RecordSnapshot:
        """The snapshot as rules and forms see it."""
        return RecordSnapshot([item.resource for item in self.kept], [item.full_url for item in self.kept])

    def get(self, reference: str) -> Kept | None:
        """The resource of a reference (relative, absolute or versioned), or None."""
        wanted = read_reference(reference).relative
        return next((item for item in self.kept if item.reference == wanted), None)

    def require(self, reference: str) -> Kept:
        """The resource of a reference; NotFound when it was not read."""
        found = self.get(reference)
        if found is None:
            raise NotFound("A resource that the request needs is not in the chart; check the order in the EHR.")
        return found


def extract(services: Services, case: CaseRow, facts: Facts) -> CaseRow:
    """Read the patient's chart and the order as they stand now, and move to `checking`.

    Raises EhrError; NotFound where the order or the patient is gone.
    """
    ehr = services.ehr(case.ehr_id)
    patient_id = case.patient_reference.partition("/")[2]
    order, is_saved = read_order(services, case, facts)
    _require_usable(order.resource, case)
    chart = ehr.chart(patient_id, (*CHART_TYPES, *facts.further_types))
    found = _unique([order, *chart.fetched, *_roles(services, case, order.resource)])
    fetched = [item for item in found if counts_here(services.settings, item.resource)]
    manifest = provenance.salted_record(
        "extract",
        {
            "resources": [resource_line(services, case, item) for item in fetched],
            "exchanges": [exchange_line(record) for record in chart.exchanges],
            "findings": [finding.line for finding in chart.findings],
        },
    )
    items = tuple(Item.resource(versioned_address(services, case, item), item.raw) for item in fetched)
    act = Act(
        verb="ehr-extract",
        about=items,
        sources=(Item.body(manifest, "application/json"),),
        note={"count": len(items)},
    )
    patient = next((item.resource for item in fetched if reference_of(item.resource) == case.patient_reference), None)
    is_signed = is_saved and order.resource.get("status") != "draft"
    signed_at = case.signed_at or (services.clock.now() if is_signed else None)
    return ledger.append(
        services,
        case,
        act,
        to=CaseState.CHECKING if case.state == CaseState.RECEIVED else None,
        facts=replace(
            facts.succeeded("extract"),
            snapshot=hashlib.sha256(manifest).hexdigest(),
            is_unsaved=not is_saved,
            look_at="" if signed_at else facts.look_at,
        ),
        changes={**labels(patient), **_service(order.resource), "signed_at": signed_at},
    )


def read_order(services: Services, case: CaseRow, facts: Facts) -> tuple[Fetched, bool]:
    """The order as it stands in the EHR, and True; as the hook brought it, and False, while it is not there yet.

    Raises EhrError; NotFound for an order that was there and is gone.
    """
    try:
        found = services.ehr(case.ehr_id).read(*case.order_reference.split("/", 1))
        if not facts.is_unsaved or is_saved_draft(case, facts, found.resource):
            return found, True
    except NotFound:
        if not facts.is_unsaved:
            raise
    raw = ledger.load_object(services, case, facts.order_digest)
    return Fetched(resource=parse_json(raw), raw=raw, version="", etag=""), False


def _require_usable(order: Json, case: CaseRow) -> None:
    """The order as it stands in the EHR is open and this patient's. Raises InputError: a person has to look (T15)."""
    if read_reference(patient_reference(order)).relative != case.patient_reference:
        raise InputError(
            "The order in the EHR is another patient's than when it was posted; cancel this case and correct it.",
            code="patient.mismatch",
        )
    if text(order.get("status")) in CLOSED_STATUSES:
        raise InputError(
            "The order is closed in the EHR; cancel this case, or open the order again and check the case again.",
            code="order.status",
        )


def _service(order: Json) -> dict[str, Any]:
    """What lists show and rules are chosen by, from the order as it stands now."""
    code, words = service_of(order)
    return {
        "service_code": code,
        "service_display": words,
        "is_expedited": is_expedited(order),
        "service_on": service_days(order)[0],
    }


def _roles(services: Services, case: CaseRow, order: Json) -> tuple[Fetched, ...]:
    """Roles of the requesting practitioner: a request names people in their role, orders often do not."""
    requester = read_reference(reference_text(order.get("requester")))
    if requester.type != "Practitioner":
        return ()
    ehr = services.ehr(case.ehr_id)
    try:
        found = ehr.search("PractitionerRole", {"practitioner": requester.id})
        return (*found.fetched, *ehr.follow(found.resources).fetched)
    except EhrRejected:
        return ()  # an EHR that does not offer the search; the request is built without a role


def load_snapshot(services: Services, case: CaseRow, facts: Facts) -> Snapshot:
    """The snapshot of the case, its bytes checked against their digests when they were read."""
    key = (case.tenant_id, case.case_id, facts.snapshot)
    found: Snapshot = services.snapshots.get(key, lambda: _read_snapshot(services, case, facts))
    return found


def _read_snapshot(services: Services, case: CaseRow, facts: Facts) -> Snapshot:
    with services.store.read() as tx:
        manifest = parse_json(tx.objects.get(case.tenant_id, case.case_id, facts.snapshot))
        digests = [line["digest"] for line in manifest["resources"]]
        bodies = tx.objects.get_all(case.tenant_id, case.case_id, digests)
    kept = tuple(
        Kept(
            reference=line["reference"],
            digest=line["digest"],
            full_url=line["full_url"],
            resource=parse_json(bodies[line["digest"]]),
            raw=bodies[line["digest"]],
        )
        for line in manifest["resources"]
    )
    return Snapshot(kept=kept, findings=tuple(manifest["findings"]))


def _unique(fetched: Sequence[Fetched]) -> list[Fetched]:
    return list({reference_of(item.resource): item for item in reversed(fetched)}.values())[::-1]


def resource_line(services: Services, case: CaseRow, item: Fetched) -> dict[str, Any]:
    """A resource as the manifest names it."""
    return {
        "reference": reference_of(item.resource),
        "version": item.version or version_of(item.resource),
        "full_url": services.address(case.ehr_id, reference_of(item.resource)),
        "digest": hashlib.sha256(item.raw).hexdigest(),
    }


def versioned_address(services: Services, case: CaseRow, item: Fetched) -> str:
    """Absolute address with the version that was read, where the server names one."""
    address = services.address(case.ehr_id, reference_of(item.resource))
    version = item.version or version_of(item.resource)
    return f"{address}/_history/{version}" if version else address


def exchange_line(record: Any) -> dict[str, Any]:
    """An exchange with the EHR as the manifest names it."""
    return {
        "method": record.method,
        "path": record.url_path_template,
        "status": record.status,
        "etag": record.etag or "",
        "response_digest": record.response_digest,
        "at": record.at.isoformat(),
    }


def references_in(resource: Json) -> Iterator[str]:
    """Every `reference` text inside a resource, in document order."""
    stack: list[Any] = [resource]
    while stack:
        value = stack.pop()
        if isinstance(value, dict):
            if isinstance(value.get("reference"), str):
                yield value["reference"]
            stack.extend(reversed(value.values()))
        elif isinstance(value, list):
            stack.extend(reversed(value))


def as_text(value: Any) -> str:
    """Compact JSON text of plain words and numbers, for small objects that people may read."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)
