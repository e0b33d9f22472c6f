"""Resources of the conservative-care protocol in every phase, for tests of their content and their validity."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

from gateway.clinical.concepts import packaged_concepts
from gateway.clinical.protocol import packaged_protocol
from gateway.clinical.protocol_names import resolved, urn_of
from gateway.clinical.protocol_phases import Change, in_phase
from gateway.clinical.protocol_resources import Reported, Start, build_alert, build_drafts
from gateway.clinical.protocol_visits import Visit, build_procedure
from gateway.fhir.codes import CPT
from tests.clinical_charts import LOCAL, ZONE

PROTOCOL = packaged_protocol()
CONCEPTS = packaged_concepts()
AT = datetime(2026, 3, 8, 18, 30, tzinfo=UTC)
"""The morning on which the clocks go forward at the practice."""
TIMER = "6f1d8b36-52f0-4f0e-9d5b-6c0f5a1e7c21"
SIGNED = Change(phase="signed", at=AT + timedelta(hours=3), zone=ZONE, signer="Practitioner/signer")


def start(**changes: Any) -> Start:
    """A start with a drug, by a person of the EHR."""
    outcome = PROTOCOL.outcome_of(("NDI",))
    given: dict[str, Any] = {
        "timer_id": TIMER,
        "patient": "Patient/p",
        "problem": "Condition/neck",
        "practitioner": "Practitioner/doctor",
        "owner": "PractitionerRole/coordinator",
        "screened_by": "Practitioner/nurse",
        "day_zero": date(2026, 3, 8),
        "days": 42,
        "zone": ZONE,
        "at": AT,
        "choice": PROTOCOL.choice_named("naproxen-500"),
        "reported": None,
        "outcome": outcome,
        "measure": CONCEPTS.measure_named("NDI"),
    }
    return Start(**given | changes)


def drafts(**changes: Any) -> dict[str, dict[str, Any]]:
    """The drafts of a start."""
    return build_drafts(start(**changes), PROTOCOL, CONCEPTS)


def everything() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every resource in every phase it has, as the EHR would be asked to keep it."""
    reported = Reported(ingredient="5640", label="ibuprofen", since=date(2026, 3, 1), as_needed=True)
    made = drafts(reported=reported)
    written = {urn_of(TIMER, key): f"{draft['resourceType']}/{key}" for key, draft in made.items()}
    alert = build_alert(start(), PROTOCOL, CONCEPTS, PROTOCOL.milestone[1], ("No score.",), date(2026, 3, 16))
    for key, draft in {**made, "alert-baseline": alert}.items():
        current = resolved(draft, written)
        yield f"{key}-draft", current
        for phase in ("signed", "completed", "cancelled", "failed", "declined"):
            change = replace(SIGNED, phase=phase, reason="red-flag", reason_system=LOCAL)
            changed = in_phase(current, key, change)
            if changed is not None:
                yield f"{key}-{phase}", changed
            signed = in_phase(current, key, SIGNED)
            after = in_phase(signed, key, change) if signed is not None and phase != "signed" else None
            if after is not None:
                yield f"{key}-signed-{phase}", after
    visit = Visit(day=date(2026, 3, 12), code="97110", status="attended", counts=True)
    identifier = {"system": "urn:ietf:rfc:3986", "value": urn_of(TIMER, "visit-1")}
    yield "visit", build_procedure(visit, identifier, "Patient/p", "Condition/neck", "ServiceRequest/referral", CPT)
