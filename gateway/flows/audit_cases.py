"""The last orders that this gateway saw, audited over the charts as they were read for their cases."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from gateway.cases.facts import read_facts
from gateway.errors import GatewayError, NotFound
from gateway.flows.actors import Actor
from gateway.flows.audit_chart import ChartContent, audit_chart, known_services
from gateway.flows.audit_plan import AuditPlan
from gateway.flows.audit_rows import ChartRow, refused
from gateway.flows.extract import load_snapshot
from gateway.flows.rule_rows import rules_for
from gateway.flows.services import Services
from gateway.logs import get_logger
from gateway.policy.access import require_access
from gateway.store.rows import CaseRow
from gateway.store.rule_decisions import EVERY_PAYER

LAST: Final = 25
"""Orders of a quick audit (spec/clinical.md §8)."""
PLACE: Final = "case"
"""Where the charts of this audit come from."""


@dataclass(kw_only=True)
class CaseAudit:
    """An audit over cases; iterate over `rows()` once."""

    plan: AuditPlan
    """What is asked."""
    services: Services
    """The opened house."""
    cases: tuple[CaseRow, ...]
    """The cases, newest first."""
    actor: Actor
    """Who audits; each chart that is read leaves a line in the log with the actor's id."""
    skipped: list[str] = field(default_factory=list)
    """Nothing is skipped."""
    others: int = 0
    """Not known."""

    @property
    def total(self) -> int:
        """Charts to read."""
        return len(self.cases)

    def rows(self) -> Iterator[ChartRow]:
        """A row for each case; one whose chart was not read yet says so."""
        for case in self.cases:
            yield from self._audit(case)

    def _audit(self, case: CaseRow) -> list[ChartRow]:
        get_logger().info("chart-audited", case_id=case.case_id, tenant=case.tenant_id, actor=self.actor.label)
        facts = read_facts(case.facts)
        if not facts.snapshot:
            message = "The chart was not read yet; open the case and see what it waits for."
            return [refused(case.case_id, PLACE, "case.unread", message)]
        try:
            snapshot = load_snapshot(self.services, case, facts)
        except GatewayError as error:
            return [refused(case.case_id, PLACE, error.reason, error.diagnostics())]
        content = ChartContent(
            name=case.case_id,
            path=PLACE,
            resources=[item.resource for item in snapshot.kept],
            full_urls=[item.full_url for item in snapshot.kept],
            unit="patient",
            orders=frozenset({case.order_reference}),
        )
        return audit_chart(content, replace(self.plan, usable=_usable(self.services, case.payer)))


def open_case_audit(services: Services, actor: Actor, plan: AuditPlan, limit: int = LAST) -> CaseAudit:
    """The audit of the tenant's last cases about a service that rules are about, newest first.

    Leaves a line in the log, and one for each case. Raises AccessError.
    """
    require_auditor(actor)
    with services.store.read() as tx:
        cases = tx.cases.newest(actor.tenant, known_services(plan), limit)
    get_logger().info("charts-audited", tenant=actor.tenant, actor=actor.label, count=len(cases))
    return CaseAudit(plan=plan, services=services, cases=cases, actor=actor)


def require_auditor(actor: Actor) -> None:
    """Go on where the actor may audit. Raises AccessError."""
    require_access(actor.caller, "audit.read")


def house_plan(services: Services, rule_ids: Sequence[str] = (), *, is_all: bool = False) -> AuditPlan:
    """The plan of an audit by the rules of the house. Raises NotFound for a rule that it does not have."""
    if set(rule_ids) - {rule.rule_id for rule in services.rules}:
        raise NotFound("There is no rule with this id.")
    return AuditPlan(
        rules=services.rules,
        concepts=services.concepts,
        zone=services.settings.tenant.practice_zone,
        now=services.clock.now(),
        rule_ids=tuple(rule_ids),
        is_all=is_all,
        usable=_usable(services, EVERY_PAYER),
    )


def _usable(services: Services, payer: str) -> frozenset[tuple[str, str]]:
    """Id and version of the rows that may be chosen for a payer."""
    return frozenset((rule.rule_id, rule.version) for rule in rules_for(services, payer))
