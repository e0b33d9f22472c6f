"""Asking the payer what the order needs: CRD discovery, the order-sign hook, its coverage-information.

The answer's action is a value of `gateway.policy.need`; what the case does with it is settled by
`gateway.flows.evaluate`, together with our own clinical rule.
"""

from __future__ import annotations

import hashlib
import random
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from gateway.cases.decisions import NeedAction
from gateway.cases.facts import Facts, WriteBack
from gateway.clients.payer import Exchange
from gateway.errors import InputError, PayerRejected, PayerUnreadable
from gateway.fhir import Json
from gateway.fhir.json import dump_json, parse_json
from gateway.fhir.references import read_reference, reference_text
from gateway.flows import facade, ledger
from gateway.flows.extract import Snapshot, load_snapshot
from gateway.flows.ledger import Act, Item
from gateway.flows.services import Services
from gateway.policy.need import decide_need
from gateway.policy.retry import Failure, FailureKind, RetryAt, RetryLimits, decide_retry
from gateway.profiles import crd_2_2_1 as crd
from gateway.profiles.guides import crd_guide
from gateway.store.rows import CaseRow

TOKEN_LIFE = timedelta(seconds=30)
"""Lifetime of the token that lets the payer read the chart during the hook (crd:found-22)."""


def ask_payer(services: Services, case: CaseRow, facts: Facts) -> CaseRow:
    """Call the payer's order-sign service and keep its coverage-information.

    Raises PayerError; PayerUnreadable where the answer changes anything else of the order.
    """
    return record(services, case, facts, hear(services, case, load_snapshot(services, case, facts)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What the payer said about an order."""

    exchange: Exchange
    """The call and its answer."""
    annotated: Json | None
    """The order with coverage-information; None where the answer has none."""


def hear(
    services: Services, case: CaseRow, snapshot: Snapshot, seconds: float | None = None, user: str = ""
) -> Heard | None:
    """Ask the payer over a chart that is at hand and record nothing; None where it offers no coverage discovery.

    `seconds` bounds the call (None: as the payer's row says); `user` stands in for an order without requester.
    Raises as `ask_payer` does.
    """
    row = services.payer_row(case.payer)
    if row.crd is None:
        return None
    client = services.payer(case.payer)
    service = crd.find_service(crd.read_discovery(_body(client.discover())), "order-sign", row.crd.service_id)
    if service is None:
        return None
    request = dump_json(_hook_request(services, case, snapshot, service, user))
    exchange = client.call_hook(service.id, request, seconds)
    order = snapshot.require(case.order_reference).resource
    return Heard(exchange=exchange, annotated=_annotated(exchange, order))


def record(services: Services, case: CaseRow, facts: Facts, heard: Heard | None) -> CaseRow:
    """Keep what the payer said, or that it offers no coverage discovery, as an event of the case."""
    if heard is None:
        return _no_discovery(services, case, facts)
    return _record(services, case, facts, heard.exchange, heard.annotated)


def _body(exchange: Exchange) -> Json:
    if not 200 <= exchange.status < 300:
        raise PayerRejected(
            f"The payer answered the coverage question with HTTP {exchange.status}.",
            http_answer=exchange.status,
            body=exchange.response_bytes,
            retry_after_seconds=exchange.retry_after_seconds,
        )
    try:
        body = parse_json(exchange.response_bytes)
    except InputError:
        raise PayerUnreadable("The payer's answer is not JSON.", body=exchange.response_bytes) from None
    if not isinstance(body, Mapping):
        raise PayerUnreadable("The payer's answer is not a JSON object.", body=exchange.response_bytes)
    return body


def _hook_request(
    services: Services, case: CaseRow, snapshot: Snapshot, service: crd.CdsService, user: str
) -> dict[str, Any]:
    order = snapshot.require(case.order_reference).resource
    encounter = read_reference(reference_text(order.get("encounter"))).id
    patient_id = case.patient_reference.partition("/")[2]
    context: dict[str, Any] = {"userId": _user(order, user), "patientId": patient_id}
    if encounter:
        context["encounterId"] = encounter
    context["draftOrders"] = crd.build_orders_bundle(services.facade_url, [order])
    prefetch = crd.fill_prefetch(
        service.prefetch,
        context,
        facade.finder(snapshot, case),
        today=services.today(),
        coverage=snapshot.require(case.coverage_reference).resource,
        base=services.facade_url,
    )
    token = facade.issue_token(services, case, TOKEN_LIFE)
    row = services.payer_row(case.payer)
    guide = crd_guide(row.crd.version if row.crd else crd.VERSION)
    request = crd.HookRequest(
        hook_instance=str(uuid.uuid4()),
        fhir_server=services.facade_url,
        authorization=crd.HookAuthorization(
            access_token=token,
            expires_in_seconds=int(TOKEN_LIFE.total_seconds()),
            scope="patient/Patient.rs patient/Coverage.rs patient/ServiceRequest.rs",
            subject=f"payer-{case.payer}",
            patient=patient_id,
        ),
        service=service,
        requested_version=guide.requested_version,
        configuration=crd.build_configuration(service),
    )
    return crd.build_order_sign_request(
        request,
        user=context["userId"],
        patient_id=patient_id,
        orders=[order],
        encounter_id=encounter,
        prefetch=prefetch,
        draft=guide.sends_draft,
    )


def _user(order: Json, otherwise: str) -> str:
    for name in ("requester", "orderer", "prescriber", "sender"):
        reference = read_reference(reference_text(order.get(name)))
        if reference.type in ("Practitioner", "PractitionerRole"):
            return reference.relative
    if otherwise:
        return otherwise
    raise InputError(
        "The order names no practitioner as requester; set it in the EHR and check again.", code="order.requester"
    )


def _annotated(exchange: Exchange, order: Json) -> Json | None:
    """The order as the payer returned it, checked to differ in coverage-information alone; None when it did not."""
    answer = crd.read_hook_response(_body(exchange))
    for action in answer.system_actions:
        if crd.match_action(action, [order]) is None:
            continue
        if crd.order_differences(order, action.resource):
            raise PayerUnreadable(
                "The payer changed the order itself in its answer; the change was not taken. Call the payer.",
                code="payer.order-changed",
                body=exchange.response_bytes,
            )
        if crd.read_coverage_informations(action.resource):
            return action.resource
    return None


def _record(services: Services, case: CaseRow, facts: Facts, exchange: Exchange, annotated: Json | None) -> CaseRow:
    today = services.today()
    infos = crd.read_coverage_informations(annotated) if annotated else ()
    need = decide_need(infos, today, case.coverage_reference)
    kept = dump_json(annotated) if annotated else b""
    digest = hashlib.sha256(kept).hexdigest() if annotated else ""
    answer = Item.body(exchange.response_bytes, exchange.media_type or "application/json")
    act = Act(
        verb="payer-need",
        about=(answer,),
        sources=(Item.body(exchange.request_bytes, "application/json"),),
        payer=services.payer_row(case.payer).name,
        note={"action": need.action.value, "assertion_id": need.info.assertion_id if need.info else ""},
    )
    changed = replace(
        facts.succeeded("ask-payer"),
        need=answer.digest,
        need_action=need.action.value,
        need_reason=need.reason,
        assertion_id=need.info.assertion_id if need.info else "",
        satisfied_number=need.info.satisfied_pa_id if need.info else "",
        questionnaires=need.info.questionnaires if need.info else (),
        coverage_information=digest,
        forms_fetched=facts.forms_fetched and _has_forms(facts, need.info.questionnaires if need.info else ()),
    )
    if annotated:
        changed = changed.telling(WriteBack(kind="coverage-information", digest=digest))
    objects = [(kept, "application/fhir+json")] if annotated else []
    again = _ask_again(services, case, facts) if need.action is NeedAction.RETRY_LATER else None
    if again is not None:
        waiting = facts.failed("ask-payer")
        why = f"{need.reason} It is asked again by itself."
        return ledger.append(services, case, act, facts=waiting, wake=again.when, next_action=why)
    return ledger.append(services, case, act, facts=changed, objects=objects)


def _ask_again(services: Services, case: CaseRow, facts: Facts) -> RetryAt | None:
    """When to ask a payer again that could not tell for a technical reason; None when that was done often enough."""
    failure = Failure(kind=FailureKind.TRY_LATER, is_safe=True)
    limits = RetryLimits(**services.payer_row(case.payer).retry.model_dump())
    attempt = facts.attempts.get("ask-payer", 0) + 1
    found = decide_retry(failure, attempt, services.clock.now(), random.random(), limits)
    return found if isinstance(found, RetryAt) else None


def _has_forms(facts: Facts, wanted: tuple[str, ...]) -> bool:
    """Whether the forms that were fetched are still those that the payer names."""
    return set(wanted) <= set(facts.questionnaires) | {form.canonical for form in facts.forms}


def _no_discovery(services: Services, case: CaseRow, facts: Facts) -> CaseRow:
    """A payer without coverage discovery: nothing is known, so a person has to say what is needed."""
    body = dump_json({"crd": "not offered", "payer": case.payer})
    act = Act(verb="payer-need", about=(Item.body(body, "application/json"),), note={"reason": "no order-sign service"})
    need = decide_need((), services.today(), case.coverage_reference)
    changed = replace(
        facts.succeeded("ask-payer"),
        need=hashlib.sha256(body).hexdigest(),
        need_action=need.action.value,
        need_reason=need.reason,
    )
    return ledger.append(services, case, act, facts=changed)
