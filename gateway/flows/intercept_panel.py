"""What a hook says about one order: the rule that applies, its verdict on the chart at hand, and the panel.

Decides and does nothing. Source: spec/clinical.md §1.7, §1.8, §6.1.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.clinical.chart import order_day
from gateway.clinical.concepts import read_order_code
from gateway.clinical.evaluate import Evaluation, evaluate
from gateway.clinical.panel import Panel, build_panel, panel_key
from gateway.clinical.panel_category import category_of
from gateway.clinical.practice import practice_state
from gateway.clinical.rules import Rule, choose_rule
from gateway.fhir import Json
from gateway.fhir.reading import objects, one, text
from gateway.fhir.references import reference_text
from gateway.flows.intercept_chart import HookChart
from gateway.flows.orders import CLOSED_STATUSES
from gateway.flows.rule_rows import rules_for
from gateway.flows.services import Services
from gateway.policy.routing import Route, decide_route
from gateway.reasoning.record import reference_of

UNCODED = "ORDER_UNCODED"
"""Advisory for an order that looks like one in scope and carries no known code."""
UNCODED_TITLE = "The order carries no code that payers know"
REMARKS = {"CODE_REDUNDANT": "Two diagnoses of the order say the same"}
"""Advisory that has a card of its own where no panel carries it → first line of that card."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """What there is to say about an order; at least one of `panel` and `remark`."""

    order: str
    """`Type/id`."""
    panel: Panel | None
    """The panel; None where nothing is missing, or the order cannot be judged for want of a code."""
    key: str
    """Digest by which the same panel is known again."""
    category: str = ""
    """Red-flag category at which its template opens; empty for none in particular."""
    advisories: tuple[str, ...] = ()
    """Remarks that decide nothing."""
    remark: str = ""
    """What else is worth a card of its own: a sentence; empty beside a panel."""
    remark_title: str = ""
    """First line of that card."""


def is_clinical(services: Services, order: Json) -> bool:
    """Whether our rules may have something to say about an order, going by what is ordered alone."""
    if order.get("resourceType") != "ServiceRequest" or text(order.get("status")) in CLOSED_STATUSES:
        return False
    code = read_order_code(order, services.concepts)
    return services.concepts.region_of(code or "") is not None or bool(_looks_uncoded(services, order))


def advise(services: Services, chart: HookChart, order: Json, patient: str) -> Advice | None:
    """The advice on an order; None where there is none to give. `patient` names the patient in the panel's key."""
    code = read_order_code(order, services.concepts)
    if services.concepts.region_of(code or "") is None:
        sentence = _looks_uncoded(services, order)
        key = "\x1f".join((patient, UNCODED, reference_of(order)))
        return _remark(order, key, UNCODED_TITLE, sentence) if sentence else None
    rule = _choose(services, chart, order, code or "")
    if rule is None:
        return None
    now, zone = services.clock.now(), services.zone_of(chart.record)
    found = evaluate(chart.record, order, rule, services.concepts, zone, now)
    panel = build_panel(found, rule, services.today(), services.concepts.drug_rules.first_line)
    if panel is None:
        return _remark_of(order, patient, found)
    return Advice(
        order=reference_of(order),
        panel=panel,
        key=panel_key(patient, code or "", found),
        category=_category(services, chart, order, rule, found),
        advisories=found.advisories,
    )


def _remark(order: Json, key: str, title: str, sentence: str) -> Advice:
    return Advice(order=reference_of(order), panel=None, key=key, remark=sentence, remark_title=title)


def _remark_of(order: Json, patient: str, found: Evaluation) -> Advice | None:
    """A card of its own for an advisory that asks for a correction although nothing is missing."""
    for advisory in found.advisories if found.verdict != "NOT_APPLICABLE" else ():
        code, _, sentence = advisory.partition(": ")
        if code in REMARKS:
            key = "\x1f".join((patient, code, reference_of(order)))
            return _remark(order, key, REMARKS[code], f"{sentence[:1].upper()}{sentence[1:]}.")
    return None


def route_of(services: Services, chart: HookChart, order: Json) -> Route:
    """The payer of an order, from its own coverages, else from the patient's active ones."""
    named = [chart.find(reference_text(item)) for item in objects(order.get("insurance"))]
    own = [item for item in named if item is not None and item.get("resourceType") == "Coverage"]
    coverages = own or list(chart.record.of_type("Coverage"))
    return decide_route(coverages, chart.find, services.directory.by_identifier, services.today())


def _choose(services: Services, chart: HookChart, order: Json, code: str) -> Rule | None:
    route = route_of(services, chart, order)
    classes = objects(one(route.coverage).get("class"))
    return choose_rule(
        rules_for(services, route.slug or ""),
        payor_identifiers=services.payer_row(route.slug).identifiers if route.slug else (),
        plan_ids=tuple(text(item.get("value")) for item in classes),
        state=practice_state(chart.record),
        code=code,
        on=order_day(order, services.zone_of(chart.record), services.clock.now())[0],
    )


def _category(services: Services, chart: HookChart, order: Json, rule: Rule, found: Evaluation) -> str:
    """Category at which the red-flag template opens; empty unless an exception is begun or called for."""
    if found.red_flag != "incomplete":
        return ""
    return category_of(found, chart.record, order, rule, services.concepts)


def _looks_uncoded(services: Services, order: Json) -> str:
    """A sentence for an order whose words say what its code does not; empty for any other."""
    if read_order_code(order, services.concepts) is not None:
        return ""
    words = text(one(order.get("code")).get("text")).lower()
    asked = (region.uncoded_words for region in services.concepts.region if region.uncoded_words)
    if not any(all(word in words for word in each) for each in asked):
        return ""
    return (
        "The order looks like imaging that payers ask about, but carries no code that is known here. Add its CPT code."
    )
