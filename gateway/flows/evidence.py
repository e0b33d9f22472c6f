"""Exporting a case's evidence as one package that `pa-verify` checks without us, and checking it here."""

from __future__ import annotations

import io

import provenance
from gateway.cases.facts import read_facts
from gateway.cases.states import CaseState
from gateway.flows import ledger
from gateway.flows.actors import Actor
from gateway.flows.services import Services
from gateway.logs import get_logger
from gateway.policy.access import CaseFacts, require_access
from gateway.store.rows import CaseRow


def export_evidence(services: Services, actor: Actor, case_id: str) -> bytes:
    """The evidence package of a case, as a zip's bytes. NotFound, AccessError; IntegrityError for damaged bytes."""
    case = ledger.load(services, actor.tenant, case_id)
    require_access(actor.caller, "case.evidence", CaseFacts(tenant=case.tenant_id, state=CaseState(case.state)))
    get_logger().info("evidence-exported", case_id=case.case_id)
    return build_package(services, case)


def build_package(services: Services, case: CaseRow) -> bytes:
    """The evidence package of a case; the caller has checked who asks."""
    facts = read_facts(case.facts)
    with services.store.read() as tx:
        events = tx.events.list(case.tenant_id, case.case_id)
        objects = {
            row.digest: tx.objects.get(case.tenant_id, case.case_id, row.digest)
            for row in tx.objects.list(case.tenant_id, case.case_id)
        }
        submissions = tx.submissions.for_case(case.tenant_id, case.case_id)
    statements = [objects.pop(event.provenance_digest) for event in events]
    submission = next((row for row in submissions if row.submission_id == facts.sent), None)
    taken = {event.object_digest for event in events if event.verb == "payer-response"}
    responses = [objects[row.response_digest] for row in submissions if row.response_digest in taken & objects.keys()]
    tenant = services.tenant_party.identifier
    assert tenant is not None
    contents = provenance.PackageContents(
        case_tag=case.case_tag,
        tenant=tenant,
        tenant_name=services.settings.tenant.name,
        events=statements,
        objects=objects,
        document=objects.get(facts.document),
        submission=objects.get(submission.request_digest) if submission else None,
        responses=responses,
        certificates=services.keys.certificates(),
        revocation=services.keys.revocation_lists(services.clock.now()),
    )
    out = io.BytesIO()
    provenance.write_package(out, contents, signer=services.keys.signer("seal"), created_at=services.clock.now())
    return out.getvalue()


def export_anchors(services: Services) -> bytes:
    """The anchors an auditor needs, to be handed over apart from the packages."""
    return services.keys.export_anchors(services.clock.now())


def verify(services: Services, case: CaseRow) -> provenance.Report:
    """What `pa-verify` says of the case's package with our own anchors; the audited party's own view."""
    return provenance.verify_package(build_package(services, case), export_anchors(services))
