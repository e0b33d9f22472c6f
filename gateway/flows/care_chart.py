"""The chart as a running timer sees it: read fresh, judged as of today.

An order that waits for conservative care is decided on the day on which it is looked at, not on the day on which it
was written: the request leaves on that day. Source: spec/clinical.md §1.5, §2.2.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import date, datetime, time
from zoneinfo import ZoneInfo

from gateway.cases.facts import read_facts
from gateway.clients.ehr import Extract, Fetched
from gateway.clinical.chart import Chart, open_chart
from gateway.clinical.concepts import read_order_code
from gateway.clinical.evaluate import Evaluation, evaluate
from gateway.clinical.milestones_view import Progress, Timed, read_progress
from gateway.clinical.protocol import OutcomePlan, packaged_protocol
from gateway.clinical.rules import Rule
from gateway.errors import Conflict, EhrRejected, NotFound
from gateway.fhir import Json
from gateway.flows.care_day import as_of
from gateway.flows.evaluate import rule_for
from gateway.flows.extract import Kept, Snapshot, read_order
from gateway.flows.instruments_wording import counts_here
from gateway.flows.services import Services
from gateway.reasoning.record import reference_of
from gateway.store.care_rows import TimerRow
from gateway.store.rows import CaseRow

NO_RULE_CODE = "care.no-rule"
NO_RULE = "No clinical rule applies to this order, so there is nothing to wait for."


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One look at a patient's chart."""

    snapshot: Snapshot
    """What was read, with its bytes."""
    order: Json
    """The order as if it were written now."""
    rule: Rule
    """Rule row."""
    chart: Chart
    """The chart as the rule sees it."""
    found: Evaluation
    """What the rule says."""
    zone: str
    """IANA zone of the practice."""
    today: date
    """The day at the practice."""
    appointments: tuple[Json, ...] = ()
    """Appointments of the patient; empty where the EHR does not offer them."""

    @property
    def outcome(self) -> OutcomePlan | None:
        """When the outcome is measured under this rule."""
        return packaged_protocol().outcome_of(self.rule.outcome.measures)


def read_now(services: Services, case: CaseRow, *, with_appointments: bool = True) -> Reading:
    """Read the chart from the EHR and judge it as of today. Raises EhrError; Conflict where no rule applies."""
    ehr = services.ehr(case.ehr_id)
    patient_id = case.patient_reference.partition("/")[2]
    order, _ = read_order(services, case, read_facts(case.facts))
    read = (item for item in ehr.chart(patient_id).fetched if counts_here(services.settings, item.resource))
    fetched = {reference_of(item.resource): item for item in (*read, order)}
    snapshot = Snapshot(kept=tuple(_kept(services, case, item) for item in fetched.values()), findings=())
    found = _appointments(services, case, patient_id) if with_appointments else Extract()
    return judge(services, case, snapshot, found.resources)


def judge(services: Services, case: CaseRow, snapshot: Snapshot, appointments: tuple[Json, ...] = ()) -> Reading:
    """What the rule says of a snapshot today, also where the clinician closed the order and will write a new one.

    Raises Conflict where no rule applies, NotFound without the order.
    """
    now = services.clock.now()
    zone = services.zone_of(snapshot.record)
    order = as_of(snapshot.require(case.order_reference).resource, now, zone)
    rule = rule_for(services, case, snapshot, order)
    if rule is None:
        raise Conflict(NO_RULE, code=NO_RULE_CODE)
    found = evaluate(snapshot.record, order, rule, services.concepts, zone, now, audit=True)
    region = services.concepts.region_of(read_order_code(order, services.concepts) or "")
    if found.verdict == "NOT_APPLICABLE" or region is None:
        raise Conflict(NO_RULE, code=NO_RULE_CODE)
    today = now.astimezone(ZoneInfo(zone)).date()
    return Reading(
        snapshot=snapshot,
        order=order,
        rule=rule,
        chart=open_chart(snapshot.record, order, rule, services.concepts, region, zone, today),
        found=found,
        zone=zone,
        today=today,
        appointments=appointments,
    )


def progress_of(services: Services, timer: TimerRow, reading: Reading) -> Progress:
    """How far the timer has come; what the rule would say on the decision day is asked with nothing new recorded."""
    timed = Timed(day_zero=timer.started_on, days=timer.days, today=reading.today, outcome=reading.outcome)
    at_end = reading.found
    if timed.ends_on > reading.today:
        noon = datetime.combine(timed.ends_on, time(12), ZoneInfo(reading.zone))
        order = as_of(reading.order, noon, reading.zone)
        record = reading.snapshot.record
        at_end = evaluate(record, order, reading.rule, services.concepts, reading.zone, noon, audit=True)
    return read_progress(reading.chart, timed, reading.found, at_end, reading.appointments)


def _kept(services: Services, case: CaseRow, item: Fetched) -> Kept:
    reference = reference_of(item.resource)
    digest = hashlib.sha256(item.raw).hexdigest()
    address = services.address(case.ehr_id, reference)
    return Kept(reference=reference, digest=digest, full_url=address, resource=item.resource, raw=item.raw)


def _appointments(services: Services, case: CaseRow, patient_id: str) -> Extract:
    """Appointments of the patient; none where the EHR does not offer the search."""
    try:
        return services.ehr(case.ehr_id).search("Appointment", {"patient": patient_id}, patient_id=patient_id)
    except (EhrRejected, NotFound):
        return Extract()
