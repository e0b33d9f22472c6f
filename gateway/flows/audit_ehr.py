"""Charts audited straight from the EHR: orders found by service and date, each patient's chart read once.

What the EHR does not let us read is said beside the verdict: absence there proves nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date
from typing import Final

from gateway.clients.ehr import CHART_TYPES, EhrClient, Extract, Finding
from gateway.clients.ehr_records import BLIND
from gateway.clinical.concepts import read_order_code
from gateway.clinical.dates import read_day
from gateway.errors import GatewayError
from gateway.fhir import Json
from gateway.fhir.reading import text
from gateway.fhir.references import read_reference, reference_text
from gateway.flows.actors import Actor
from gateway.flows.audit_chart import ChartContent, audit_chart, known_services
from gateway.flows.audit_plan import AuditPlan
from gateway.flows.audit_rows import ChartRow, Problem, refused
from gateway.flows.services import Services
from gateway.logs import get_logger
from gateway.policy.access import require_access
from gateway.reasoning.record import reference_of

READERS: Final = 4
"""Charts read at the same time."""
_DROPPED: Final = frozenset({"foreign-patient", "no-subject", "subsetted", "unnamed", "merged-patient"})
"""Findings after which something that came from the EHR was not counted, or may be another person's."""


@dataclass(kw_only=True)
class EhrAudit:
    """An audit over an EHR; iterate over `rows()` once."""

    plan: AuditPlan
    """What is asked."""
    client: EhrClient
    """The EHR."""
    charts: dict[str, frozenset[str]]
    """Patient id → the orders to audit, by `ServiceRequest/id`; newest order first."""
    homeless: tuple[str, ...] = ()
    """Orders that name no patient of this EHR."""
    skipped: list[str] = field(default_factory=list)
    """Nothing is skipped."""
    others: int = 0
    """Not known."""

    @property
    def total(self) -> int:
        """Charts to read."""
        return len(self.charts)

    def rows(self) -> Iterator[ChartRow]:
        """Every row, in the order of `charts`. A chart that cannot be read is a row that says why."""
        base = self.client.endpoint.id
        for order in self.homeless:
            message = "The order names no patient of this EHR; correct it there."
            yield refused(order, base, "order.no-patient", message, (order,))
        with ThreadPoolExecutor(READERS) as readers:
            for rows in readers.map(self._read, self.charts):
                yield from rows

    def _read(self, patient: str) -> list[ChartRow]:
        base = self.client.endpoint.id
        try:
            extract = self.client.chart(patient)
        except GatewayError as error:
            return [refused(patient, base, error.reason, error.diagnostics())]
        content = ChartContent(
            name=patient,
            path=base,
            resources=extract.resources,
            full_urls=[item.full_url for item in extract],
            unit="patient",
            orders=self.charts[patient],
            problems=tuple(_problems(extract)),
        )
        return audit_chart(content, self.plan)


def open_ehr_audit(
    services: Services,
    actor: Actor,
    ehr_id: str,
    plan: AuditPlan,
    *,
    codes: Sequence[str] = (),
    since: date | None = None,
    limit: int = 0,
) -> EhrAudit:
    """The audit of an EHR's orders of `codes` (all that rules are about when empty) from `since` on, newest first.

    `limit` keeps the newest so many orders; 0 keeps all. Leaves a line in the log. Raises AccessError; NotFound for
    an EHR that is not registered, and its errors where the orders cannot be searched.
    """
    require_access(actor.caller, "audit.read")
    client = services.ehr(ehr_id)
    wanted = frozenset(codes) or known_services(plan)
    pairs = [("code", ",".join(sorted(wanted)))]
    pairs += [("authored", f"ge{since.isoformat()}")] if since else []
    found = [order for order in client.search("ServiceRequest", pairs).resources if _fits(order, plan, wanted, since)]
    newest = sorted(found, key=lambda order: text(order.get("authoredOn")), reverse=True)[: limit or None]
    charts: dict[str, set[str]] = {}
    homeless = []
    for order in newest:
        patient = read_reference(client.endpoint.relative(reference_text(order.get("subject"))) or "")
        if patient.type == "Patient":
            charts.setdefault(patient.id, set()).add(reference_of(order))
        else:
            homeless.append(reference_of(order))
    get_logger().info("charts-audited", ehr=ehr_id, tenant=actor.tenant, actor=actor.label, count=len(newest))
    frozen = {patient: frozenset(orders) for patient, orders in charts.items()}
    return EhrAudit(plan=plan, client=client, charts=frozen, homeless=tuple(homeless))


def _fits(order: Json, plan: AuditPlan, codes: frozenset[str], since: date | None) -> bool:
    """Whether an order is meant: the search may answer wider, and a day too early."""
    if order.get("resourceType") != "ServiceRequest" or order.get("status") == "entered-in-error":
        return False
    if read_order_code(order, plan.concepts) not in codes:
        return False
    day = read_day(order.get("authoredOn"), plan.zone)
    return since is None or day is None or day >= since


def _problems(extract: Extract) -> Iterator[Problem]:
    """What was noticed while reading, without the server's own words."""
    unseen = sorted({item.resource_type for item in extract.findings if item.kind in BLIND} & set(CHART_TYPES))
    if unseen:
        message = f"The EHR does not let us read {', '.join(unseen)}; what is not seen there may exist."
        yield Problem(code="ehr.unseen", severity="warning", message=message)
    dropped = [item for item in extract.findings if item.kind in _DROPPED]
    for kind in sorted({item.kind for item in dropped}):
        own = [_concerned(item) for item in dropped if item.kind == kind]
        message = (
            f"Of what the EHR sent, {len(own)} record(s) were not counted or need a look: {kind.replace('-', ' ')}."
        )
        yield Problem(code=f"ehr.{kind}", severity="warning", message=message, evidence=tuple(own[:5]))


def _concerned(finding: Finding) -> str:
    return finding.reference or finding.resource_type
