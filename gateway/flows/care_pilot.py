"""The pilot switch: for whose orders the timer is offered, and for whose a packet leaves by itself. Two switches.

Source: spec/clinical.md §8 (pilot by practitioner).
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

from gateway.cases.facts import Facts
from gateway.errors import Conflict, GatewayError
from gateway.fhir.json import parse_json
from gateway.fhir.references import read_reference, reference_text
from gateway.flows import ledger
from gateway.flows.extract import load_snapshot
from gateway.flows.services import Services
from gateway.policy.release import Release
from gateway.reasoning.record import RecordSnapshot
from gateway.store.rows import CaseRow

WAITS = "Packets of this clinician are released by a person; automatic sending is not switched on for them."


def require_timer(services: Services, practitioner: str) -> None:
    """Go on where the timer is switched on for the clinician who ordered; Conflict otherwise."""
    pilot = services.settings.pilot
    if not _is_on(pilot.timer, pilot.timer_practitioners, practitioner):
        raise Conflict(
            "The conservative-care timer is not switched on for this clinician; see `pilot` in the settings.",
            code="pilot.timer",
        )


def restrict(services: Services, case: CaseRow, facts: Facts, decided: Release) -> Release:
    """The release decision, made to wait for a person where automatic sending is off for the clinician."""
    pilot = services.settings.pilot
    if pilot.submission == "everybody" or not decided.now:
        return decided
    if _is_on(pilot.submission, pilot.submission_practitioners, practitioner_of(services, case, facts)):
        return decided
    return Release(now=False, reasons=(*decided.reasons, WAITS), person_may_release=decided.person_may_release)


def practitioner_of(services: Services, case: CaseRow, facts: Facts) -> str:
    """`Practitioner/id` who ordered, as the chart was last read; empty where that cannot be told."""
    try:
        if facts.snapshot:
            record = load_snapshot(services, case, facts).record
            return orderer(record, reference_text((record.find(case.order_reference) or {}).get("requester")))
        order = parse_json(ledger.load_object(services, case, facts.order_digest))
    except GatewayError:
        return ""
    return orderer(RecordSnapshot([]), reference_text(order.get("requester")))


def orderer(record: RecordSnapshot, reference: str) -> str:
    """`Practitioner/id` behind a requester, also through a PractitionerRole of the record; empty for anything else."""
    read = read_reference(reference)
    if read.type == "PractitionerRole":
        role = record.find(reference) or {}
        read = read_reference(reference_text(role.get("practitioner")))
    return read.relative if read.type == "Practitioner" else ""


def _is_on(mode: Literal["everybody", "listed"], listed: Collection[str], practitioner: str) -> bool:
    return mode == "everybody" or (bool(practitioner) and practitioner in listed)
