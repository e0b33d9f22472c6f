"""order-sign: a provisional case for each draft order, and the payer's word on it while time allows.

The payer is asked in a thread that records the answer on the case whenever it comes; the hook takes along what
is there in time, and the rest is written back once the order is in the EHR. Source: spec/crd.md §9, §10, §14.
"""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from gateway.cases.facts import read_facts
from gateway.cases.states import CaseState
from gateway.clients.slices import slice_path
from gateway.errors import Conflict, GatewayError
from gateway.fhir import Json
from gateway.fhir.bundle import BundleIndex, build_bundle
from gateway.fhir.json import dump_json, parse_object
from gateway.flows import ledger, need
from gateway.flows.actors import Actor
from gateway.flows.facade import READABLE
from gateway.flows.intake import Brought, Posted, accept_drafts
from gateway.flows.intercept_budget import Budget
from gateway.flows.intercept_chart import HookChart
from gateway.flows.intercept_draft import content_of
from gateway.flows.intercept_house import house_of
from gateway.flows.intercept_record import read_record, write_record
from gateway.flows.ledger import Act, Item
from gateway.flows.lookup import Lookup
from gateway.flows.orders import CLOSED_STATUSES, PostedOrder
from gateway.flows.services import Services
from gateway.logs import get_logger
from gateway.profiles import crd_2_2_1 as crd
from gateway.profiles.crd_serving import HookCall
from gateway.reasoning.record import reference_of
from gateway.store.rows import CaseRow

AFTER_ANSWER = timedelta(seconds=1)
"""A job first moves a case on so long after the hook's last moment: until then the hook itself is at work on it."""
LEAST_SECONDS = 0.2
"""With less time left a payer is not asked any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A draft order and its case."""

    order: Json
    """The order as the hook sent it."""
    case: CaseRow
    """Its case."""
    is_new: bool
    """This hook opened it."""


def open_cases(
    services: Services, actor: Actor, ehr_id: str, call: HookCall, raw: bytes, chart: HookChart, budget: Budget
) -> tuple[Opened, ...]:
    """The case of each draft order; orders of which patient, coverage or payer cannot be told have none."""
    asked = [item for item in chart.resources if item.get("resourceType") in READABLE]
    record = write_record(services, ehr_id, asked)
    posted = Posted(raw=without_access(raw), media_type="application/json", resource={})
    index = BundleIndex(build_bundle("collection", [(_url(chart, item), item) for item in asked]))
    orders = [
        PostedOrder(resource=order, reference=reference_of(order), expression="context.draftOrders", index=index)
        for order in call.orders
        if order.get("status") not in CLOSED_STATUSES
    ]
    brought = Brought(record=record, wake=_after_hook(services, budget))
    try:
        accepted = accept_drafts(services, actor, posted, orders, Lookup(services, ehr_id), brought)
    except Conflict:  # the same hook came twice at this moment; the other one opened them
        accepted = accept_drafts(services, actor, posted, orders, Lookup(services, ehr_id), brought)
    by_order = {item.case.order_reference: item for item in accepted}
    found = ((order.resource, by_order.get(order.reference)) for order in orders)
    opened = (Opened(order=order, case=item.case, is_new=item.is_new) for order, item in found if item is not None)
    return tuple(_refresh(services, actor, item, brought) for item in opened)


def without_access(raw: bytes) -> bytes:
    """The request as it came, byte for byte, save the EHR's token, which is never kept (security T1)."""
    for _, piece in slice_path(raw, ("fhirAuthorization",)):
        if b'"' in piece and piece != b'""':  # what holds no text holds no token, and may stand elsewhere as well
            raw = raw.replace(piece, b"null")
    return raw


def _url(chart: HookChart, resource: Json) -> str:
    return f"{chart.base}/{reference_of(resource)}" if resource.get("id") else ""


def _refresh(services: Services, actor: Actor, item: Opened, brought: Brought) -> Opened:
    """A draft that was changed since it was last seen takes the place of the old one, and is checked anew."""
    facts = read_facts(item.case.facts)
    content = content_of(item.order)
    if item.is_new or not facts.is_unsaved or facts.content == content or item.case.state not in _REFRESHED:
        return item
    body = dump_json(item.order)
    act = Act(
        verb="order-entry",
        about=(Item.resource(services.address(item.case.ehr_id, item.case.order_reference), body),),
        actor=actor,
        note={"reason": "the draft was changed"},
    )
    changed = replace(
        facts, order_digest=act.about[0].digest, content=content, snapshot="", need="", evaluation="", verdict="",
        lines=(), held_until="", forms_fetched=False, document="", coverage_information="",
    )  # fmt: skip
    try:
        case = ledger.append(services, item.case, act, to=CaseState.CHECKING, facts=changed, wake=brought.wake)
    except Conflict:
        return item  # it moved at this moment; the next look at the order finds the change
    return replace(item, case=case)


_REFRESHED = frozenset({"held", "documenting", "ready", "needs_attention", "not_required", "not_covered", "documented"})


def ask_payers(services: Services, opened: tuple[Opened, ...], user: str, budget: Budget) -> dict[str, Future[CaseRow]]:
    """Begin to ask about every case whose payer has not been asked; case id → the case with the answer.

    `user` is the reference of who signs; it stands in where a draft names no requester yet.
    """
    pool = house_of(services).askers
    return {
        item.case.case_id: pool.submit(_ask, services, item.case, user, budget.left_seconds)
        for item in opened
        if item.is_new and budget.left_seconds > LEAST_SECONDS
    }


def _ask(services: Services, case: CaseRow, user: str, seconds: float) -> CaseRow:
    """Ask, however long the payer takes, and record its answer on the case as it then stands."""
    chart = read_record(ledger.load_object(services, case, read_facts(case.facts).hook))
    heard = need.hear(services, case, chart, max(seconds, LEAST_SECONDS), user)

    def once() -> CaseRow:
        now = ledger.load(services, case.tenant_id, case.case_id)
        facts = read_facts(now.facts)
        if facts.need or now.order_reference != case.order_reference:
            return now  # the case asked by itself, or its order has another id: this answer is about the past
        return need.record(services, now, facts, heard)

    return ledger.retry_on_conflict(once)


def record_advice(services: Services, actor: Actor, case_id: str, card: Json, budget: Budget) -> None:
    """The card exactly as it is shown, as an event of the case (crd:found-37)."""
    act = Act(
        verb="advice",
        about=(Item.body(dump_json(card), "application/json"),),
        note={"kind": "card", "stage": "order-sign"},
    )

    def once() -> CaseRow:
        case = ledger.load(services, actor.tenant, case_id)
        return ledger.append(services, case, act, wake=_after_hook(services, budget))

    ledger.retry_on_conflict(once)


def _after_hook(services: Services, budget: Budget) -> datetime:
    """When the case's own job begins: after the last moment of the hook."""
    return services.clock.now() + timedelta(seconds=budget.left_seconds) + AFTER_ANSWER


def annotate(
    services: Services, opened: tuple[Opened, ...], asked: dict[str, Future[CaseRow]], budget: Budget
) -> tuple[dict[str, Any], ...]:
    """System actions with the payers' coverage-information, as far as it is there when the time is over."""
    done = budget.wait_for(asked.values(), budget.left_seconds) if asked else set()
    actions = []
    for item in opened:
        future = asked.get(item.case.case_id)
        case = _answered(item.case, future) if future in done else item.case
        annotated = _annotated(services, case)
        if annotated is not None:
            merged = crd.merge_coverage_information(item.order, annotated)
            actions.append(crd.build_update_action(merged, "Added coverage information of the payer."))
    return tuple(actions)


def _answered(case: CaseRow, future: Future[CaseRow] | None) -> CaseRow:
    """The case with the payer's answer; as it was where that came to nothing, which the case's own job repeats."""
    assert future is not None
    try:
        return future.result()
    except GatewayError as error:
        get_logger().info("hook-payer-failed", case_id=case.case_id, payer=case.payer, code=error.reason)
    except Exception as error:
        get_logger().error("hook-payer-broken", case_id=case.case_id, payer=case.payer, error=type(error))
    return case


def _annotated(services: Services, case: CaseRow) -> Json | None:
    """The order with the payer's coverage-information in force; None while nothing was said."""
    facts = read_facts(case.facts)
    if not facts.coverage_information or not facts.need:
        return None
    return parse_object(ledger.load_object(services, case, facts.coverage_information))
