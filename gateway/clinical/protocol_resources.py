"""The resources that starting conservative care proposes, as drafts; nothing here is final before a clinician signs.

References between them are `urn:uuid:` of their business identifiers, which the one who writes them replaces by the
ids that the EHR gave. Source: spec/clinical.md §2.1.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from gateway.clinical.concepts import Concepts, Measure
from gateway.clinical.protocol import Choice, Milestone, OutcomePlan, Protocol
from gateway.clinical.protocol_names import IDENTIFIERS, urn_of
from gateway.fhir.codes import CPT, RXNORM, SNOMED

UCUM = "http://unitsofmeasure.org"
OBSERVATION_CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category"
MEDICATION_CATEGORY = "http://terminology.hl7.org/CodeSystem/medicationrequest-category"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reported:
    """A drug that the patient says to take already."""

    ingredient: str
    """RxNorm ingredient."""
    label: str
    """Our own label."""
    since: date
    """First day, as reported."""
    as_needed: bool
    """Taken as needed only; kept as said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Everything a new timer is made from."""

    timer_id: str
    """UUID of the timer; the identifiers of its resources follow from it."""
    patient: str
    """`Patient/id`."""
    problem: str
    """`Condition/id` of the problem treated."""
    practitioner: str
    """`Practitioner/id` who orders; empty where none is named."""
    owner: str
    """Reference of the coordinator; empty for the orderer."""
    screened_by: str
    """Reference of the person who screened; empty where the EHR does not know them."""
    day_zero: date
    """Day 0 at the practice."""
    days: int
    """Days to the decision."""
    zone: str
    """IANA zone of the practice."""
    at: datetime
    """When it is started."""
    choice: Choice | None
    """Drug that a person chose; None where none was wanted."""
    reported: Reported | None
    """Drug taken already; None where none was told."""
    outcome: OutcomePlan | None
    """When the outcome is measured."""
    measure: Measure | None
    """What is measured."""
    region: str = ""
    """Part of the body, our word for it."""

    @property
    def ends_on(self) -> date:
        """Day of the decision."""
        return self.day_zero + timedelta(days=self.days)


def build_drafts(start: Start, protocol: Protocol, concepts: Concepts) -> dict[str, dict[str, Any]]:
    """Key → draft, in the order in which they can be written: what others point to comes first.

    Keys: `goal`, `drug`, `statement`, `referral`, `score-1`…, `screen-…`, `plan`, `timer`.
    """
    return dict(_drafts(start, protocol, concepts))


def _drafts(start: Start, protocol: Protocol, concepts: Concepts) -> Iterator[tuple[str, dict[str, Any]]]:
    links: list[str] = []
    yield "goal", _goal(start, protocol)
    if start.choice is not None:
        links.append("drug")
        yield "drug", _drug(start, start.choice, protocol)
    if start.reported is not None:
        yield "statement", _statement(start, start.reported)
    links.append("referral")
    yield "referral", _referral(start, protocol)
    for number, window in enumerate(start.outcome.windows if start.outcome else (), 1):
        links.append(f"score-{number}")
        yield f"score-{number}", _score_task(start, concepts, number, window)
    for screen in concepts.red_flags.screens:
        yield f"screen-{screen}", _screen(start, concepts, screen)
    yield "plan", _plan(start, protocol, concepts, links)
    yield "timer", _timer(start, protocol, concepts)


def _head(start: Start, key: str, kind: str) -> dict[str, Any]:
    identifier = {"system": IDENTIFIERS, "value": urn_of(start.timer_id, key)}
    return {"resourceType": kind, "identifier": [identifier]}


def local_instant(at: datetime, zone: str) -> str:
    """An instant with the practice's offset, whole seconds."""
    return at.astimezone(ZoneInfo(zone)).replace(microsecond=0).isoformat()


def _period(start: Start) -> dict[str, str]:
    return {"start": start.day_zero.isoformat(), "end": start.ends_on.isoformat()}


def _reference(text: str) -> dict[str, str]:
    return {"reference": text}


def _local(concepts: Concepts, code: str, text: str = "") -> dict[str, Any]:
    return {"coding": [{"system": concepts.local_system, "code": code}], "text": text or code.replace("-", " ")}


def _goal(start: Start, protocol: Protocol) -> dict[str, Any]:
    return {
        **_head(start, "goal", "Goal"),
        "lifecycleStatus": "proposed",
        "description": {"text": protocol.plan.goal},
        "subject": _reference(start.patient),
        "startDate": start.day_zero.isoformat(),
        "target": [{"dueDate": start.ends_on.isoformat()}],
        "addresses": [_reference(start.problem)],
    }


def _drug(start: Start, choice: Choice, protocol: Protocol) -> dict[str, Any]:
    repeat = {
        "boundsPeriod": _period(start),
        "frequency": choice.times_a_day,
        "period": 1,
        "periodUnit": "d",
    }
    dose = {"value": choice.dose, "unit": choice.unit, "system": UCUM, "code": choice.unit}
    route = {"coding": [{"system": protocol.route.system, "code": protocol.route.code}], "text": protocol.route.text}
    supply = {"value": start.days, "unit": "day", "system": UCUM, "code": "d"}
    return {
        **_head(start, "drug", "MedicationRequest"),
        "status": "draft",
        "intent": "proposal",
        "category": [{"coding": [{"system": MEDICATION_CATEGORY, "code": "outpatient"}]}],
        "reportedBoolean": False,
        "medicationCodeableConcept": {
            "coding": [{"system": RXNORM, "code": choice.product}],
            "text": choice.label,
        },
        "subject": _reference(start.patient),
        "authoredOn": local_instant(start.at, start.zone),
        **_requester(start),
        "reasonReference": [_reference(start.problem)],
        "dosageInstruction": [
            {
                "text": choice.text,
                "timing": {"repeat": repeat},
                "asNeededBoolean": False,
                "route": route,
                "doseAndRate": [{"doseQuantity": dose}],
            }
        ],
        "dispenseRequest": {"expectedSupplyDuration": supply},
    }


def _requester(start: Start) -> dict[str, Any]:
    return {"requester": _reference(start.practitioner)} if start.practitioner else {}


def _statement(start: Start, reported: Reported) -> dict[str, Any]:
    return {
        **_head(start, "statement", "MedicationStatement"),
        "status": "unknown",
        "medicationCodeableConcept": {
            "coding": [{"system": RXNORM, "code": reported.ingredient}],
            "text": reported.label,
        },
        "subject": _reference(start.patient),
        "effectivePeriod": {"start": reported.since.isoformat()},
        "dateAsserted": local_instant(start.at, start.zone),
        "informationSource": _reference(start.patient),
        "reasonReference": [_reference(start.problem)],
        "dosage": [{"text": "as reported by the patient", "asNeededBoolean": reported.as_needed}],
    }


def _referral(start: Start, protocol: Protocol) -> dict[str, Any]:
    therapy = protocol.therapy
    ends = start.day_zero + timedelta(weeks=therapy.weeks)
    repeat = {
        "boundsPeriod": {"start": start.day_zero.isoformat(), "end": ends.isoformat()},
        "frequency": therapy.times_a_week,
        "period": 1,
        "periodUnit": "wk",
    }
    return {
        **_head(start, "referral", "ServiceRequest"),
        "status": "draft",
        "intent": "order",
        "category": [
            {"coding": [{"system": SNOMED, "code": therapy.category_snomed}], "text": therapy.label},
        ],
        "code": {"coding": [{"system": CPT, "code": therapy.code}], "text": therapy.label},
        "orderDetail": [{"coding": [{"system": CPT, "code": code}]} for code in therapy.details],
        "subject": _reference(start.patient),
        "occurrenceTiming": {"repeat": repeat},
        "authoredOn": local_instant(start.at, start.zone),
        **_requester(start),
        "reasonReference": [_reference(start.problem)],
    }


def _score_task(start: Start, concepts: Concepts, number: int, window: tuple[int, int]) -> dict[str, Any]:
    assert start.outcome is not None
    first, last = (start.day_zero + timedelta(days=day) for day in window)
    canonical = next(iter(start.measure.questionnaires), "") if start.measure else ""
    label = start.measure.label if start.measure else "outcome"
    asked: dict[str, Any] = {}
    if canonical:
        identifier = {"system": IDENTIFIERS, "value": canonical}
        asked = {
            "focus": {"type": "Questionnaire", "identifier": identifier, "display": label},
            "input": [{"type": {"text": "questionnaire"}, "valueCanonical": canonical}],
        }
    return {
        **_task(start, f"score-{number}", "draft"),
        "code": _local(concepts, start.outcome.task, f"{label} score"),
        **asked,
        "restriction": {"period": {"start": first.isoformat(), "end": last.isoformat()}},
    }


def _task(start: Start, key: str, status: str) -> dict[str, Any]:
    at = local_instant(start.at, start.zone)
    owner = start.owner or start.practitioner
    return {
        **_head(start, key, "Task"),
        "status": status,
        "intent": "order",
        "for": _reference(start.patient),
        "authoredOn": at,
        "lastModified": at,
        **_requester(start),
        **({"owner": _reference(owner)} if owner else {}),
    }


def _screen(start: Start, concepts: Concepts, screen: str) -> dict[str, Any]:
    """One explicit *no*; a screen without an answer would not be one (spec/clinical.md §4.3).

    Nobody stands as its performer but who asked: not the clinician of the order where the EHR does not know who did.
    """
    label = next((flag.label for flag in concepts.red_flag if flag.screen == screen), screen)
    by = start.screened_by
    return {
        **_head(start, f"screen-{screen}", "Observation"),
        "status": "preliminary",
        "category": [{"coding": [{"system": OBSERVATION_CATEGORY, "code": "survey"}]}],
        "code": _local(concepts, screen, f"red-flag screen: {label}"),
        "subject": _reference(start.patient),
        "effectiveDateTime": local_instant(start.at, start.zone),
        **({"performer": [_reference(by)]} if by else {}),
        "valueBoolean": False,
    }


def _plan(start: Start, protocol: Protocol, concepts: Concepts, links: list[str]) -> dict[str, Any]:
    """Every activity holds a reference or a detail, never both (cpl-3)."""
    details = [
        {
            "kind": "ServiceRequest",
            "code": _local(concepts, advice.code),
            "reasonReference": [_reference(start.problem)],
            "status": "not-started",
            "scheduledPeriod": _period(start),
            "description": advice.text,
        }
        for advice in protocol.advice_for(start.region)
    ]
    words = f"{protocol.plan.title}: day 0 is {start.day_zero.isoformat()}, decision on {start.ends_on.isoformat()}."
    return {
        **_head(start, "plan", "CarePlan"),
        "text": {"status": "generated", "div": f'<div xmlns="http://www.w3.org/1999/xhtml">{words}</div>'},
        "status": "draft",
        "intent": "plan",
        "category": [
            {"coding": [{"system": category.system, "code": category.code}]} for category in protocol.plan.categories
        ],
        "title": protocol.plan.title,
        "subject": _reference(start.patient),
        "period": _period(start),
        "created": local_instant(start.at, start.zone),
        **({"author": _reference(start.practitioner)} if start.practitioner else {}),
        "addresses": [_reference(start.problem)],
        "goal": [_reference(urn_of(start.timer_id, "goal"))],
        "activity": [
            *({"reference": _reference(urn_of(start.timer_id, key))} for key in links),
            *({"detail": detail} for detail in details),
        ],
    }


def _timer(start: Start, protocol: Protocol, concepts: Concepts) -> dict[str, Any]:
    return {
        **_task(start, "timer", "draft"),
        "code": _local(concepts, protocol.plan.timer),
        "focus": _reference(urn_of(start.timer_id, "plan")),
        "executionPeriod": {"start": local_instant(start.at, start.zone)},
        "restriction": {"period": _period(start)},
    }


def build_alert(
    start: Start, protocol: Protocol, concepts: Concepts, milestone: Milestone, lines: tuple[str, ...], due_on: date
) -> dict[str, Any]:
    """A Task that asks its owner for what a milestone found missing; the plan is its focus."""
    alert = {
        **_task(start, f"alert-{milestone.name}", "requested"),
        "code": _local(concepts, protocol.plan.alert),
        "description": f"{milestone.title}: {' '.join(lines)}",
        "focus": _reference(urn_of(start.timer_id, "plan")),
        "restriction": {"period": {"start": due_on.isoformat()}},
        "performerType": [{"text": milestone.owner}],
    }
    if milestone.owner == "clinician" and start.practitioner:
        alert["owner"] = _reference(start.practitioner)
    if milestone.owner == "patient":
        alert["owner"] = _reference(start.patient)
    return alert
