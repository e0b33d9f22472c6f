"""Telling the EHR: coverage-information on the order, one Task and one ClaimResponse per case, each completed form.

An order is only ever annotated: the newest version is read, the annotation merged, and the update names
the version it rests on. Task and ClaimResponse are found again by the case's identifier, so that a
repeat after a crash changes one and the same resource. Source: spec/crd.md §9, pas:use-4.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from gateway.cases.facts import Facts, WriteBack
from gateway.clients.ehr import EhrClient, Written
from gateway.errors import Conflict
from gateway.fhir import Json
from gateway.fhir.json import parse_json
from gateway.flows import ledger
from gateway.flows.ledger import Act, Item
from gateway.flows.packet import own_key
from gateway.flows.request import BUNDLE_SYSTEM
from gateway.flows.services import Services
from gateway.flows.subjects import CASE_SYSTEM, case_identifier
from gateway.forms.complete import in_order
from gateway.profiles import crd_2_2_1 as crd
from gateway.store.rows import CaseRow

TRIES = 4
"""How often a write is decided again when the resource changed meanwhile."""


def write_back(services: Services, case: CaseRow, facts: Facts) -> CaseRow:
    """Write the first thing the EHR does not know yet and record it. Raises EhrError."""
    item = facts.pending_write_back()
    assert item is not None
    content = parse_json(ledger.load_object(services, case, item.digest))
    written = _write(services, case, item, content)
    done = tuple(replace(other, done=True) if other is item else other for other in facts.write_backs)
    changed = replace(facts.succeeded("write-back"), write_backs=done)
    if item.kind == "task":
        changed = replace(changed, task_id=str(written.resource.get("id", "")))
    source = Item.body(ledger.load_object(services, case, item.digest))
    act = Act(
        verb="write-back",
        about=(Item.resource(services.address(case.ehr_id, written.reference), written.fetched.raw),),
        sources=(source,),
        note={"kind": item.kind, "version": written.version},
    )
    return ledger.append(services, case, act, facts=changed)


def _write(services: Services, case: CaseRow, item: WriteBack, content: Json) -> Written:
    ehr = services.ehr(case.ehr_id)
    for _ in range(TRIES - 1):
        try:
            return _once(ehr, case, item, content)
        except Conflict:
            continue  # changed meanwhile: read again, decide again
    return _once(ehr, case, item, content)


def _once(ehr: EhrClient, case: CaseRow, item: WriteBack, content: Json) -> Written:
    if item.kind == "coverage-information":
        current = ehr.read(*case.order_reference.split("/", 1))
        merged = crd.merge_coverage_information(current.resource, content)
        return ehr.update(merged, current.etag or current.version)
    if item.kind.startswith("form-"):
        own = {"system": BUNDLE_SYSTEM, "value": f"urn:uuid:{own_key(case.case_id, item.kind)}"}
        plain = {key: value for key, value in content.items() if key != "id"}
        return _upsert(ehr, in_order({**plain, "identifier": own}), (own["system"], own["value"]))
    return _upsert(ehr, _identified(content, case), (CASE_SYSTEM, case_identifier(case)["value"]))


def _upsert(ehr: EhrClient, resource: dict[str, Any], identifier: tuple[str, str]) -> Written:
    """The resource with that identifier, made or brought up to date."""
    written = ehr.create(resource, if_none_identifier=identifier)
    if written.is_created:
        return written
    there = written.fetched
    return ehr.update({**resource, "id": there.resource["id"]}, there.etag or there.version)


def _identified(content: Json, case: CaseRow) -> dict[str, Any]:
    """`content` with the case's identifier and without an id of ours: the EHR chooses its own."""
    own = case_identifier(case)
    others = [item for item in content.get("identifier") or () if item != own]
    return {**{key: value for key, value in content.items() if key != "id"}, "identifier": [own, *others]}
