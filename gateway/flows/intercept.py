"""Answering an EHR's hook: advice on the orders, the payer's word on them, and never an obstacle.

Whatever goes wrong on our side or the payer's ends in an answer without cards and a line in the log: a clinician
is never kept from signing (spec/clinical.md, design stance; spec/crd.md §14).
"""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any

from gateway.clients.hook_trust import TrustedCaller
from gateway.errors import AccessError, GatewayError, InputError
from gateway.fhir import Json
from gateway.flows.actors import Actor
from gateway.flows.intercept_budget import Budget
from gateway.flows.intercept_cards import build_cards
from gateway.flows.intercept_cases import Opened, annotate, ask_payers, open_cases, record_advice
from gateway.flows.intercept_chart import HookChart, gather, is_of
from gateway.flows.intercept_clients import actor_of
from gateway.flows.intercept_house import house_of
from gateway.flows.intercept_panel import Advice, advise, is_clinical
from gateway.flows.services import Services
from gateway.logs import get_logger
from gateway.profiles.crd_2_2_1 import build_hook_response
from gateway.profiles.crd_services import COVERAGE_INFO, GUIDELINE
from gateway.profiles.crd_serving import HookCall, read_hook_call
from gateway.reasoning.record import reference_of
from gateway.store.rows import CaseRow

SIGNING = "order-sign"
"""The hook that opens cases and asks payers; the others write nothing."""
RESERVED_SECONDS = 0.4
"""Kept of the time for writing the answer once the orders are judged."""
UNSOLICITED = "unsolicited-determ"
"""Switched off, a call is a what-if: nothing of it may reach a real order (crd:found-35)."""


def answer_hook(
    services: Services, caller: TrustedCaller, hook: str, body: Any, raw: bytes, budget: Budget
) -> dict[str, Any]:
    """The answer to a hook; `raw` are the exact bytes of the request and `body` what they mean.

    Raises InputError for a call that cannot be understood, that names another FHIR server than the caller's
    registered one, or orders of another patient. Everything later ends in an answer.
    """
    actor = actor_of(caller)
    call = read_hook_call(body, hook)
    _require_registered(services, caller, call)
    _require_one_patient(services, caller, call)
    try:
        answer = _answer(services, actor, caller.ehr_id, call, raw, budget)
    except GatewayError as error:
        get_logger().warning("hook-without-answer", ehr=caller.ehr_id, code=error.reason)
        answer = build_hook_response()
    except Exception as error:
        get_logger().error("hook-broken", ehr=caller.ehr_id, error=type(error))
        answer = build_hook_response()
    get_logger().info(
        "hook-answered",
        ehr=caller.ehr_id,
        stage=hook,
        count=len(answer["cards"]),
        seconds=round(budget.own_seconds, 3),
    )
    return answer


def _answer(
    services: Services, actor: Actor, ehr_id: str, call: HookCall, raw: bytes, budget: Budget
) -> dict[str, Any]:
    """Steps: (1) the chart; (2) cases, so that payers are asked at once; (3) our advice meanwhile; (4) the payers."""
    judged = [order for order in _asked(call) if is_clinical(services, order)] if call.wants(GUIDELINE) else []
    is_signing = call.hook == SIGNING and call.wants(UNSOLICITED) and bool(call.orders)
    if not judged and not is_signing:
        return build_hook_response()
    chart = gather(services, ehr_id, call, budget, is_clinical=bool(judged))  # (1)
    opened = _open(services, actor, ehr_id, call, raw, chart, budget) if is_signing else ()  # (2)
    asked = ask_payers(services, opened, call.user, budget) if call.wants(COVERAGE_INFO) else {}
    cards = _cards(services, actor, ehr_id, call, chart, judged, opened, budget)  # (3)
    _record(services, actor, cards, budget)
    actions = _actions(services, ehr_id, opened, asked, budget) if call.wants(COVERAGE_INFO) else ()  # (4)
    return build_hook_response([card for card, _ in cards], actions)


def _asked(call: HookCall) -> tuple[Json, ...]:
    """The orders the hook is about: those just selected, else all."""
    return tuple(order for order in call.orders if not call.selections or reference_of(order) in call.selections)


def _open(
    services: Services, actor: Actor, ehr_id: str, call: HookCall, raw: bytes, chart: HookChart, budget: Budget
) -> tuple[Opened, ...]:
    """The cases; none where that fails: the advice is given all the same."""
    try:
        return open_cases(services, actor, ehr_id, call, raw, chart, budget)
    except GatewayError as error:
        get_logger().warning("hook-without-case", ehr=ehr_id, code=error.reason)
        return ()


def _actions(
    services: Services, ehr_id: str, opened: tuple[Opened, ...], asked: dict[str, Future[CaseRow]], budget: Budget
) -> tuple[dict[str, Any], ...]:
    """The payers' word; nothing where that fails: cards that count as shown are shown."""
    try:
        return annotate(services, opened, asked, budget)
    except GatewayError as error:
        get_logger().warning("hook-without-actions", ehr=ehr_id, code=error.reason)
        return ()


def _cards(
    services: Services,
    actor: Actor,
    ehr_id: str,
    call: HookCall,
    chart: HookChart,
    judged: list[Json],
    opened: tuple[Opened, ...],
    budget: Budget,
) -> tuple[tuple[dict[str, Any], str], ...]:
    cases = {reference_of(item.order): item.case.case_id for item in opened}
    patient = f"{ehr_id}|Patient/{call.patient_id}"
    placed = [_in_encounter(order, call.encounter_id) for order in judged]
    found = _judge(services, chart, placed, patient, budget)
    advice = [(item, cases.get(item.order, "")) for item in found]
    return build_cards(services, call, actor.tenant, advice, chart.unseen)


def _judge(services: Services, chart: HookChart, orders: list[Json], patient: str, budget: Budget) -> list[Advice]:
    """The advice on each order, in their order; an order that takes too long to judge has none."""
    pool = house_of(services).judges
    started = [pool.submit(_advise, services, chart, order, patient) for order in orders]
    done = budget.wait_for_own(started, max(0.0, budget.left_seconds - RESERVED_SECONDS))
    if len(done) < len(started):
        get_logger().warning("hook-judging-late", count=len(started) - len(done))
    found = [future.result() for future in started if future in done and not future.cancelled()]
    return [item for item in found if item is not None]


def _record(services: Services, actor: Actor, cards: tuple[tuple[dict[str, Any], str], ...], budget: Budget) -> None:
    """What was shown becomes an event of its case; failing to keep it does not keep it from being shown."""
    for card, case_id in cards:
        if not case_id:
            continue
        try:
            record_advice(services, actor, case_id, card, budget)
        except GatewayError as error:
            get_logger().warning("advice-not-recorded", case_id=case_id, code=error.reason)


def _in_encounter(order: Json, encounter_id: str) -> Json:
    """The order in the encounter of the hook, where a draft does not name its own yet: the setting decides scope."""
    if not encounter_id or order.get("encounter"):
        return order
    return {**order, "encounter": {"reference": f"Encounter/{encounter_id}"}}


def _advise(services: Services, chart: HookChart, order: Json, patient: str) -> Advice | None:
    """The advice on one order; None also where it cannot be judged, which must not cost the others theirs."""
    try:
        return advise(services, chart, order, patient)
    except GatewayError as error:
        get_logger().warning("hook-order-not-judged", code=error.reason)
    except Exception as error:
        get_logger().error("hook-order-broken", error=type(error))
    return None


def _require_registered(services: Services, caller: TrustedCaller, call: HookCall) -> None:
    """The FHIR server of a call is the one registered for its caller, or none (security T1)."""
    own = services.settings.ehr[caller.ehr_id].base_url.rstrip("/")
    if call.server not in ("", own):
        raise InputError(
            "This fhirServer is not registered for the caller; nothing was read from it. Ask the operator to add it.",
            code="hook.fhir-server",
            expression="fhirServer",
            status=422,
        )
    if caller.tenant != services.settings.tenant.id:
        raise AccessError("No EHR is registered for this tenant.", code="hook.tenant")


def _require_one_patient(services: Services, caller: TrustedCaller, call: HookCall) -> None:
    """Every draft order is the context's patient's (security T15)."""
    base = services.settings.ehr[caller.ehr_id].base_url.rstrip("/")
    if not all(is_of(order, call.patient_id, base) for order in call.orders):
        raise InputError(
            "A draft order is not for the patient of the context; check whose order this is.",
            code="hook.patient-mismatch",
            expression="context.draftOrders",
            status=422,
        )
