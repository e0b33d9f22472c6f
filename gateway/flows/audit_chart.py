"""One chart: its orders found, each put before the rules of its day.

Pure: a record in, rows out. An order that is closed counts too, because an audit looks back.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, Literal

from gateway.clinical.chart import order_day
from gateway.clinical.concepts import read_order_code, service_codes
from gateway.clinical.dates import read_day
from gateway.clinical.evaluate import evaluate
from gateway.clinical.practice import practice_zone
from gateway.errors import GatewayError
from gateway.fhir import Json
from gateway.fhir.reading import one, text
from gateway.flows.audit_checks import check_chart
from gateway.flows.audit_plan import AuditPlan
from gateway.flows.audit_rows import ChartRow, Problem, RuleRow
from gateway.reasoning.record import RecordSnapshot, reference_of

Unit = Literal["chart", "patient"]
"""A `chart` is meant to be about one order; a `patient` may have had any number of them."""
CLOSED = frozenset({"completed", "revoked"})
"""Statuses of an order that nobody acts on any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChartContent:
    """A chart as it was read."""

    name: str
    """Name of the chart."""
    path: str
    """Where it came from."""
    resources: Sequence[Any]
    """Its resources, as parsed; what is no resource is reported."""
    full_urls: Sequence[str | None] = ()
    """fullUrl of each, where the chart was a Bundle."""
    unit: Unit = "chart"
    """What it is meant to hold."""
    orders: frozenset[str] = frozenset()
    """Only these orders, by `ServiceRequest/id`; empty for all of a service that rules are about."""
    problems: tuple[Problem, ...] = ()
    """What was found while reading it."""


def audit_chart(content: ChartContent, plan: AuditPlan) -> list[ChartRow]:
    """One row for each order of the chart, oldest first; one row that says why where there is none.

    Nothing is raised for what a chart holds.
    """
    shaped = [(item, url) for item, url in _paired(content) if isinstance(item, Mapping)]
    record = RecordSnapshot([item for item, _ in shaped], [url for _, url in shaped])
    zone = practice_zone(record, plan.zone)
    problems = (*content.problems, *check_chart(content.resources, record, plan.concepts, zone))
    if any(item.severity == "error" for item in problems):
        return [ChartRow(chart=content.name, path=content.path, problems=problems)]
    orders = _orders(record, content, plan)
    if not orders:
        return [_without_order(record, content, plan, problems)]
    several = _several(orders, plan) if content.unit == "chart" else ()
    rows = [_audit_order(record, order, content, plan, zone, (*problems, *several)) for order in orders]
    return _without_history(sorted(rows, key=lambda row: (row.order_on or date.min, row.order)), record)


def _paired(content: ChartContent) -> Iterator[tuple[Any, str | None]]:
    for place, item in enumerate(content.resources):
        yield item, content.full_urls[place] if place < len(content.full_urls) else None


def _orders(record: RecordSnapshot, content: ChartContent, plan: AuditPlan) -> list[Json]:
    """The orders of a service that rules are about; those that ask for something before all others."""
    known = known_services(plan)
    found = [
        item
        for item in record.of_type("ServiceRequest")
        if item.get("status") != "entered-in-error" and (read_order_code(item, plan.concepts) or "") in known
    ]
    found = [item for item in found if not content.orders or reference_of(item) in content.orders]
    return [item for item in found if _asks(item, plan)] or found


def known_services(plan: AuditPlan) -> frozenset[str]:
    """CPT codes of the services that the plan asks about: those of the rules it names, else all that are known."""
    named = [rule for rule in plan.rules if rule.rule_id in plan.rule_ids]
    if named:
        return frozenset(code for rule in named for code in rule.procedure.cpt)
    regions = {code for region in plan.concepts.region for code in region.procedures}
    return frozenset(regions | {code for rule in plan.rules for code in rule.procedure.cpt})


def _asks(order: Json, plan: AuditPlan) -> bool:
    scope = plan.concepts.order
    is_live = text(order.get("status")) in {*scope.statuses, *scope.audit_statuses}
    return is_live and order.get("intent") in scope.intents and order.get("doNotPerform") is not True


def _without_order(
    record: RecordSnapshot, content: ChartContent, plan: AuditPlan, problems: tuple[Problem, ...]
) -> ChartRow:
    message, code = "The chart holds no order of a service that a rule is about.", "chart.no-order"
    lookalikes = [reference_of(item) for item in record.of_type("ServiceRequest") if _looks_like_one(item, plan)]
    if lookalikes:
        message = "An order looks like imaging that a rule is about but carries no code that is known here; code it."
        code = "order.uncoded"
    problem = Problem(code=code, severity="error", message=message, evidence=tuple(lookalikes[:1]))
    return ChartRow(chart=content.name, path=content.path, problems=(*problems, problem))


def _looks_like_one(order: Json, plan: AuditPlan) -> bool:
    words = text(one(order.get("code")).get("text")).lower()
    return not service_codes(order.get("code")) and any(
        region.uncoded_words and all(word in words for word in region.uncoded_words) for region in plan.concepts.region
    )


def _several(orders: Sequence[Json], plan: AuditPlan) -> tuple[Problem, ...]:
    """A chart that is meant to be about one order and holds two about one part of the body."""
    regions = [plan.concepts.region_of(read_order_code(order, plan.concepts) or "") for order in orders]
    names = [region.procedures for region in regions if region]
    if len(set(names)) == len(orders):
        return ()
    message = "The chart holds several orders for one service; each was audited, see which one is meant."
    evidence = tuple(map(reference_of, orders))
    return (Problem(code="chart.several-orders", severity="warning", message=message, evidence=evidence[:5]),)


def _audit_order(
    record: RecordSnapshot,
    order: Json,
    content: ChartContent,
    plan: AuditPlan,
    zone: str,
    problems: tuple[Problem, ...],
) -> ChartRow:
    base = ChartRow(chart=content.name, path=content.path, order=reference_of(order), problems=problems)
    undated = _undated(order, zone)
    if undated:
        return replace(base, problems=(*problems, undated))
    order_on, _ = order_day(order, zone, plan.now)
    base = replace(base, order_on=order_on)
    rules = plan.rules_for(record, order, read_order_code(order, plan.concepts) or "", order_on)
    if isinstance(rules, Problem):
        return replace(base, problems=(*problems, rules))
    found: list[RuleRow] = []
    for rule in rules:
        try:
            result = evaluate(record, order, rule, plan.concepts, zone, plan.now, audit=True)
        except Exception as error:  # Defensive: one chart must not end the audit of the others
            return replace(base, problems=(*problems, failed(error)))
        found.append(RuleRow(found=result, is_overlaid=rule.rule_id in plan.overlaid))
    return replace(base, rules=tuple(found), problems=(*problems, *_data_errors(found)))


def failed(error: Exception) -> Problem:
    """The problem of a chart over which the audit itself failed; nothing of the chart is repeated."""
    if isinstance(error, GatewayError):
        return Problem(code=error.reason, severity="error", message=error.diagnostics())
    message = f"The chart could not be audited ({type(error).__name__}); report it, the other charts are not affected."
    return Problem(code="chart.failed", severity="error", message=message)


def _undated(order: Json, zone: str) -> Problem | None:
    """Why the day of an order is not known; a draft may lack one, it counts as of today."""
    if "authoredOn" not in order and order.get("status") == "draft":
        return None
    if read_day(order.get("authoredOn"), zone) is not None:
        return None
    message = "The order has no date that names a day; a verdict needs the day it was written."
    return Problem(code="order.date", severity="error", message=message, evidence=(reference_of(order),))


def _data_errors(found: Sequence[RuleRow]) -> Iterator[Problem]:
    """Contradictions that the evaluation met: an order in the future, an onset before birth."""
    said = dict.fromkeys(line for row in found for line in row.found.advisories if line.startswith("DATA_ERROR"))
    for line in said:
        sentence = line.partition(": ")[2]
        yield Problem(code="chart.data-error", severity="warning", message=f"{sentence[:1].upper()}{sentence[1:]}.")


def _without_history(rows: list[ChartRow], record: RecordSnapshot) -> list[ChartRow]:
    """The rows without closed orders of a time for which there is no rule, where there is another order."""
    old = [
        row for row in rows if _has(row, "rule.none") and text((record.find(row.order) or {}).get("status")) in CLOSED
    ]
    if not old or len(old) == len(rows):
        return rows
    message = "An earlier, closed order was not audited: no rule about it was in force on its day."
    note = Problem(code="order.history", severity="note", message=message, evidence=tuple(row.order for row in old[:5]))
    return [replace(row, problems=(*row.problems, note)) for row in rows if row not in old]


def _has(row: ChartRow, code: str) -> bool:
    return any(problem.code == code for problem in row.problems)
