"""What a hook brought along about an order's patient, kept with the provisional case.

It serves the payer's questions during the hook and nothing else: what a request rests on is read from the EHR
once the order is there. The EHR's token is never part of it (security T1).
"""

from __future__ import annotations

from collections.abc import Iterable

from gateway.cases.facts import Facts
from gateway.fhir import Json
from gateway.fhir.bundle import build_bundle, entries
from gateway.fhir.json import dump_json, parse_object
from gateway.flows import ledger
from gateway.flows.extract import Kept, Snapshot, load_snapshot
from gateway.flows.services import Services
from gateway.reasoning.record import reference_of
from gateway.store.rows import CaseRow


def write_record(services: Services, ehr_id: str, resources: Iterable[Json]) -> bytes:
    """The resources as one Bundle, each under its address in the EHR."""
    members = [(services.address(ehr_id, reference_of(item)), item) for item in resources if item.get("id")]
    return dump_json(build_bundle("collection", members))


def read_record(raw: bytes, findings: tuple[str, ...] = ()) -> Snapshot:
    """The Bundle that `write_record` wrote, as a chart; its resources have no bytes of their own."""
    kept = (
        Kept(
            reference=reference_of(entry.resource),
            digest="",
            full_url=entry.full_url,
            resource=entry.resource,
            raw=b"",
        )
        for entry in entries(parse_object(raw))
    )
    return Snapshot(kept=tuple(kept), findings=findings)


def visible_chart(services: Services, case: CaseRow, facts: Facts) -> Snapshot:
    """The chart that a payer may ask about: as read from the EHR, before that as the hook brought it."""
    if facts.snapshot or not facts.hook:
        return load_snapshot(services, case, facts)
    return read_record(ledger.load_object(services, case, facts.hook))
