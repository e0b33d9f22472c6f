"""One payer form of a case: its package, whom it is for, what it runs with, and what is recorded of it.

Shared by the flows that fetch, fill, continue and complete forms; nothing here changes a case.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

from gateway.cases.decisions import NEEDS_AUTHORIZATION, NeedAction
from gateway.cases.facts import Facts, FormFact, WriteBack, read_facts
from gateway.cases.states import CaseState
from gateway.errors import Conflict, NotFound
from gateway.fhir import Json
from gateway.fhir.json import parse_json
from gateway.fhir.references import reference_text
from gateway.flows import ledger
from gateway.flows.actors import Actor
from gateway.flows.extract import Snapshot
from gateway.flows.ledger import Item
from gateway.flows.logic import IsolatedDefines
from gateway.flows.logic_codes import with_codes
from gateway.flows.packet import own_key
from gateway.flows.services import Services
from gateway.forms import adaptive
from gateway.forms.launch import LaunchContext
from gateway.forms.parts import forms_of
from gateway.forms.populate import Draft
from gateway.forms.session import FormSession
from gateway.policy.access import CaseFacts, require_access
from gateway.profiles.dtr_guide import DtrGuide, OriginAuthor, dtr_guide
from gateway.profiles.dtr_package import FormPackageParts, read_package_answer
from gateway.reasoning.record import RecordSnapshot, reference_of
from gateway.store.rows import CaseRow

_S = CaseState
OUT_OF_FORCE = (
    "The payer's form is no longer in force and it sent no other; it was told so. Ask it for the current one."
)
CONTINUE = "Continue the payer's form: this sends your answers to the payer, who then asks the next questions."


def load_received(services: Services, case: CaseRow, form: FormFact) -> FormPackageParts:
    """The package a form came in, read again from its exact bytes."""
    return with_codes(
        services, case, load_part(services, case, form.package, form.position, form.part), form.value_sets
    )


def load_part(services: Services, case: CaseRow, package: str, position: int, part: int) -> FormPackageParts:
    """One form of a package answer: the package at a position, the form in it by number."""
    answer = read_package_answer(parse_json(ledger.load_object(services, case, package)))
    return forms_of(answer.packages[position])[part]


def load_package(services: Services, case: CaseRow, form: FormFact) -> FormPackageParts:
    """The package with the questions as they stand: those of an adaptive form are carried by its response."""
    received = load_received(services, case, form)
    if not form.is_adaptive:
        return received
    digest = form.response or form.earlier
    working = parse_json(ledger.load_object(services, case, digest)) if digest else None
    return adaptive.opened(received, working)


def trace_of(draft: Draft) -> dict[str, Any]:
    """Why each answer is what it is, as a small object: kept beside the answers, never sent to the payer."""
    return {
        "evaluated_at": draft.evaluated_at,
        "record": draft.record_digest,
        "answers": [
            {
                "link_id": answer.link_id,
                "origin": answer.origin,
                "sources": list(dict.fromkeys(source.reference for source in answer.sources if source.reference)),
                "element": answer.element,
                "version": answer.source_version,
                "expression": answer.expression[:500],
                "library": answer.library,
                "define": answer.define,
                "reason_if_empty": answer.reason_if_empty,
            }
            for answer in draft.answers
        ],
        "problems": [{"code": item.code, "link_id": item.link_id} for item in draft.problems],
        "findings": list(draft.findings),
    }


def author_of(actor: Actor) -> OriginAuthor:
    """The person as author of answers: their Practitioner where the EHR has one, and their role in words."""
    role = "clinician" if "clinician" in actor.roles else "administrative staff"
    return OriginAuthor(practitioner=actor.practitioner, roles=({"text": role},))


def open_form(
    services: Services, actor: Actor, case_id: str, form_id: str, action: str
) -> tuple[CaseRow, Facts, FormFact]:
    case = ledger.load(services, actor.tenant, case_id)
    require_access(actor.caller, action, CaseFacts(tenant=case.tenant_id, state=_S(case.state)))
    facts = read_facts(case.facts)
    form = facts.form(form_id)
    if form is None or not form.response:
        raise NotFound("The case has no such form, or it is still being prepared.")
    if form.status == "completed":
        raise Conflict("This form is completed.", code="form.closed")
    return case, facts, form


def require_seen(form: FormFact, seen: str) -> None:
    """Conflict where a person was shown other answers than those on file. Nothing is known of an empty `seen`."""
    if seen and seen != form.response:
        raise Conflict("The answers changed since you looked at them. Look at them again.", code="form.changed")


def launch_of(services: Services, case: CaseRow, snapshot: Snapshot) -> LaunchContext:
    order = snapshot.require(case.order_reference).resource
    encounter = snapshot.get(reference_text(order.get("encounter")))
    requester = snapshot.get(reference_text(order.get("requester")))
    return LaunchContext(
        patient=snapshot.require(case.patient_reference).resource,
        order=order,
        coverage=snapshot.require(case.coverage_reference).resource,
        user=requester.resource if requester else None,
        encounter=encounter.resource if encounter else None,
        practice_zone=services.zone_of(snapshot.record),
    )


def session_of(services: Services, case: CaseRow, parts: FormPackageParts, snapshot: Snapshot) -> FormSession:
    launch = launch_of(services, case, snapshot)
    return FormSession(
        package=parts,
        launch=launch,
        record=snapshot.record,
        now=services.clock.now(),
        evaluator=evaluator_of(services, case, parts, launch, snapshot.record),
        guide=guide_of(services, case),
    )


def evaluator_of(
    services: Services, case: CaseRow, parts: FormPackageParts, launch: LaunchContext, record: RecordSnapshot
) -> IsolatedDefines | None:
    """What runs the CQL of a form, in a process of its own; None for a form without libraries.

    What happens after an error in it is said by the payer's row (spec/dtr.md §6.6).
    """
    if not parts.libraries:
        return None
    row = services.payer_row(case.payer)
    return IsolatedDefines(
        parts.libraries,
        parts.value_sets,
        record,
        now=launch.local(services.clock.now()),
        order=launch.order,
        contexts=launch.environment(),
        patient=reference_of(launch.patient),
        on_error=row.dtr.on_engine_error if row.dtr else "stop",
    )


def guide_of(services: Services, case: CaseRow) -> DtrGuide:
    row = services.payer_row(case.payer)
    return dtr_guide(row.dtr.version if row.dtr else "2.2.0")


def sources_of(draft: Draft, snapshot: Snapshot) -> tuple[Item, ...]:
    named = dict.fromkeys(source.reference for answer in draft.answers for source in answer.sources)
    found: Iterable[Any] = (snapshot.get(reference) for reference in named if reference)
    return tuple(Item.resource(item.full_url, item.raw) for item in found if item is not None)


def response_item(
    case: CaseRow, form: FormFact, body: bytes, role: str = "source", elements: Sequence[str] = ()
) -> Item:
    key = own_key(case.case_id, f"form-{form.form_id}")
    return Item.local("QuestionnaireResponse", body, key, role=role, elements=elements)


def answer_ids(response: Json, link_ids: Iterable[str] | None = None) -> tuple[str, ...]:
    """Ids of the answers to these questions, or of all answers; what a statement says it is about."""
    wanted = None if link_ids is None else {link_id.partition("@")[0] for link_id in link_ids}
    found: list[str] = []
    stack: list[Any] = list(response.get("item") or ())
    while stack:
        item = stack.pop(0)
        for answer in item.get("answer") or ():
            if answer.get("id") and (wanted is None or item.get("linkId") in wanted):
                found.append(str(answer["id"]))
            stack.extend(answer.get("item") or ())
        stack.extend(item.get("item") or ())
    return tuple(found)


def todo(facts: Facts) -> str:
    """What people have to do about the forms, in one sentence."""
    open_count = sum(len(form.open_required) for form in facts.forms)
    waiting = [form.title for form in facts.forms if form.status != "completed"]
    if facts.forms_named:
        return "The payer named another form; it is being fetched."
    if not waiting:
        return "The forms are complete."
    if any(form.is_ended for form in facts.forms if form.status != "completed"):
        return OUT_OF_FORCE
    if open_count:
        return f"Answer {open_count} open question{'s' if open_count != 1 else ''} of the payer's form."
    if all(form.is_adaptive for form in facts.forms if form.status != "completed"):
        return CONTINUE
    return "Review the payer's form and complete it."


def after_forms(facts: Facts) -> CaseState | None:
    """Where the case goes when all forms are done; None while one is open."""
    if any(form.status != "completed" for form in facts.forms):
        return None
    if NeedAction(facts.need_action) in NEEDS_AUTHORIZATION:
        return _S.READY
    return _S.DOCUMENTED if facts.need_action == NeedAction.DOCUMENT_ONLY else _S.CHECKING


def to_be_saved(services: Services, case: CaseRow, facts: Facts, form: FormFact) -> Facts:
    """The facts with a completed form to be saved in the EHR, where the EHR keeps such (dtr:spec-152)."""
    row = services.settings.ehr.get(case.ehr_id)
    if row is None or not row.keeps_forms:
        return facts
    told = WriteBack(kind=f"form-{form.form_id}", digest=form.response)
    return facts.telling(told)


def digest_of(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()
