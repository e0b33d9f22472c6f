"""A completed form as a Bundle of its own, for a performer or for whoever files it with a claim."""

from __future__ import annotations

from typing import Any

from gateway.cases.facts import read_facts
from gateway.cases.states import CaseState
from gateway.errors import NotFound
from gateway.fhir import Json
from gateway.fhir.json import parse_json
from gateway.flows import ledger
from gateway.flows.actors import Actor
from gateway.flows.extract import load_snapshot
from gateway.flows.services import Services
from gateway.policy.access import CaseFacts, require_access
from gateway.profiles.dtr_response_bundle import build_response_bundle


def export(services: Services, actor: Actor, case_id: str, form_id: str) -> dict[str, Any]:
    """The `DTR-QRBundle` of one completed form. NotFound; InputError `dtr.response` while it is not completed."""
    case = ledger.load(services, actor.tenant, case_id)
    require_access(actor.caller, "form.read", CaseFacts(tenant=case.tenant_id, state=CaseState(case.state)))
    facts = read_facts(case.facts)
    form = facts.form(form_id)
    if form is None or not form.response:
        raise NotFound("The case has no such form, or it is still being prepared.")
    snapshot = load_snapshot(services, case, facts)

    def find(reference: str) -> Json | None:
        kept = snapshot.get(reference)
        return kept.resource if kept is not None else None

    response = parse_json(ledger.load_object(services, case, form.response))
    bundle, _ = build_response_bundle(response, find, services.settings.ehr[case.ehr_id].base_url, services.clock.now())
    return bundle
