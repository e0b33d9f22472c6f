"""Withdrawing a request at the payer: a restatement of it with every item cancelled, sent like any other request.

Source: spec/pas.md §8 (cancel everything), pas:spec-69, spec-70.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace

from gateway.cases.facts import Facts
from gateway.cases.states import CaseState
from gateway.errors import NotFound
from gateway.fhir import Json
from gateway.fhir.json import dump_json, parse_json
from gateway.flows import ledger
from gateway.flows.actors import Actor
from gateway.flows.inquiry import pas_version
from gateway.flows.ledger import Act, Item
from gateway.flows.outcome import in_force
from gateway.flows.request import BUNDLE_SYSTEM, claim_identifier
from gateway.flows.services import Services
from gateway.flows.subjects import case_task
from gateway.profiles import pas_2_2_1 as pas
from gateway.store import Tx
from gateway.store.rows import CaseRow, SubmissionRow


def withdraw(services: Services, case: CaseRow, facts: Facts, actor: Actor, reason: str) -> CaseRow:
    """Store the intent to withdraw the request in force, and move to `submitting`. Nothing is sent here.

    NotFound where the payer takes no electronic requests any more.
    """
    prior = in_force(services, case, facts)[0]
    submission_id = services.new_id()
    update = _update(services, case, submission_id)
    sent: Json = parse_json(ledger.load_object(services, case, prior.request_digest))
    body = dump_json(pas_version(services, case).build_update_bundle(sent, update, services.new_id))
    row = SubmissionRow(
        tenant_id=case.tenant_id,
        submission_id=submission_id,
        case_id=case.case_id,
        kind="cancel",
        endpoint=prior.endpoint,
        request_digest=hashlib.sha256(body).hexdigest(),
        created_at=services.clock.now(),
        bundle_identifier="|".join(update.bundle_identifier),
        claim_identifier="|".join(update.claim_identifier),
    )
    task = case_task(replace(case, state=CaseState.SUBMITTING.value))
    act = Act(
        verb="cancel",
        about=(Item.local("Task", task, case.case_id),),
        actor=actor,
        note={"reason": reason.strip()[:400], "submission_id": submission_id},
    )
    return ledger.append(
        services,
        case,
        act,
        to=CaseState.SUBMITTING,
        next_action="The request is being withdrawn at the payer.",
        facts=replace(facts, submission_id=submission_id),
        objects=[(body, "application/fhir+json")],
        also=lambda tx: _insert(tx, row),
    )


def _insert(tx: Tx, row: SubmissionRow) -> None:
    tx.submissions.insert(row)


def _update(services: Services, case: CaseRow, submission_id: str) -> pas.ClaimUpdate:
    payer = services.payer_row(case.payer)
    if payer.pas is None:
        raise NotFound("This payer takes no electronic requests; withdraw the request by phone.")
    claim_id = f"PA-{case.case_id[:8].upper()}-{submission_id[:8].upper()}"
    return pas.ClaimUpdate(
        bundle_identifier=(BUNDLE_SYSTEM, f"urn:uuid:{services.new_id()}"),
        claim_identifier=claim_identifier(services, claim_id),
        created_at=services.clock.now(),
        codes=pas.PasCodes(**payer.pas.codes.model_dump()),
        cancel_all=True,
    )
