"""Small invented charts for the clinical tests: a complete one, to be changed at one place."""

from __future__ import annotations

import copy
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

from gateway.clinical.evaluate import Evaluation, evaluate
from gateway.clinical.rules import Rule, load_concepts, load_rules
from gateway.reasoning.record import RecordSnapshot

Json = dict[str, Any]

ZONE = "America/Los_Angeles"
NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
LOCAL = load_concepts().local_system
ICD = "http://hl7.org/fhir/sid/icd-10-cm"
CPT = "http://www.ama-assn.org/go/cpt"
RX = "http://www.nlm.nih.gov/research/umls/rxnorm"
SCT = "http://snomed.info/sct"
RULES = {rule.rule_id: rule for rule in load_rules()}


def concept(code: str, system: str = LOCAL) -> Json:
    """A CodeableConcept with one coding."""
    return {"coding": [{"system": system, "code": code}]}


def ref(text: str) -> Json:
    """A Reference."""
    return {"reference": text}


def condition(**changes: Any) -> Json:
    """The neck problem, active since 5 January."""
    return {
        "resourceType": "Condition",
        "id": "neck",
        "clinicalStatus": concept("active", "http://terminology.hl7.org/CodeSystem/condition-clinical"),
        "verificationStatus": concept("confirmed", "http://terminology.hl7.org/CodeSystem/condition-ver-status"),
        "code": concept("M54.2", ICD),
        "subject": ref("Patient/p"),
        "onsetDateTime": "2026-01-05",
        **changes,
    }


def drug(**changes: Any) -> Json:
    """Naproxen twice a day from 5 January for 42 days."""
    dose = {
        "timing": {
            "repeat": {"boundsPeriod": {"start": "2026-01-05", "end": "2026-02-16"}, "frequency": 2, "period": 1}
        },
        "asNeededBoolean": False,
        "doseAndRate": [{"doseQuantity": {"value": 500, "unit": "mg"}}],
    }
    return {
        "resourceType": "MedicationRequest",
        "id": "drug",
        "status": "active",
        "intent": "order",
        "medicationCodeableConcept": concept("198014", RX),
        "authoredOn": "2026-01-05T10:00:00-08:00",
        "reasonReference": [ref("Condition/neck")],
        "dosageInstruction": [dose],
        **changes,
    }


def session(day: str, number: int = 0, **changes: Any) -> Json:
    """One attended therapy session."""
    return {
        "resourceType": "Procedure",
        "id": f"s{day}-{number}",
        "status": "completed",
        "code": concept("97110", CPT),
        "performedDateTime": day,
        "basedOn": [ref("ServiceRequest/referral")],
        **changes,
    }


def ndi(day: str, raw: int, name: str = "", blanks: int = 0, **changes: Any) -> Json:
    """A questionnaire of ten items whose sum is `raw`, with blanks at the end."""
    values = [min(5, max(0, raw - 5 * place)) for place in range(10 - blanks)]
    items = [
        {"linkId": f"ndi-{place}", "answer": [{"valueCoding": {"system": LOCAL, "code": f"ordinal-{value}"}}]}
        for place, value in enumerate(values, 1)
    ]
    return {
        "resourceType": "QuestionnaireResponse",
        "id": name or f"ndi-{day}",
        "status": "completed",
        "questionnaire": "urn:oid:2.25.94492686211768030265051248232142081200.4|1.0.0",
        "authored": f"{day}T09:00:00-08:00",
        "item": items,
        **changes,
    }


def observation(code: str, day: str, side: str = "", **changes: Any) -> Json:
    """One observation with a local code; `side` right, left or empty."""
    sides = {"right": "24028007", "left": "7771000"}
    components = [{"code": concept("side"), "valueCodeableConcept": concept(sides[side], SCT)}] if side else []
    return {
        "resourceType": "Observation",
        "id": f"{code}-{day}-{side}",
        "status": "final",
        "code": concept(code),
        "effectiveDateTime": f"{day}T09:45:00-08:00",
        "component": components + changes.pop("component", []),
        **changes,
    }


def order(**changes: Any) -> Json:
    """The imaging order of 16 February, day 42."""
    return {
        "resourceType": "ServiceRequest",
        "id": "order",
        "status": "active",
        "intent": "order",
        "code": concept("72141", CPT),
        "subject": ref("Patient/p"),
        "encounter": ref("Encounter/visit"),
        "authoredOn": "2026-02-16T10:00:00-08:00",
        "requester": ref("Practitioner/doctor"),
        "reasonReference": [ref("Condition/neck")],
        **changes,
    }


def base() -> dict[str, Json]:
    """The complete chart, by resource id."""
    patient = {"resourceType": "Patient", "id": "p", "birthDate": "1950-01-01"}
    referral = {
        "resourceType": "ServiceRequest",
        "id": "referral",
        "status": "active",
        "intent": "order",
        "code": concept("97110", CPT),
        "authoredOn": "2026-01-07",
        "reasonReference": [ref("Condition/neck")],
    }
    visit = {
        "resourceType": "Encounter",
        "id": "visit",
        "status": "in-progress",
        "class": {"code": "AMB"},
        "period": {"start": "2026-02-16T09:30:00-08:00"},
        "participant": [{"individual": ref("Practitioner/doctor")}],
    }
    advice = {
        "resourceType": "CarePlan",
        "id": "plan",
        "status": "active",
        "addresses": [ref("Condition/neck")],
        "activity": [
            {
                "detail": {
                    "code": concept("ergonomic-advice"),
                    "status": "in-progress",
                    "scheduledPeriod": {"start": "2026-01-05"},
                }
            }
        ],
    }
    days = [
        "2026-01-12",
        "2026-01-14",
        "2026-01-19",
        "2026-01-21",
        "2026-01-26",
        "2026-01-28",
        "2026-02-02",
        "2026-02-04",
    ]
    scores = [ndi("2026-01-07", 22), ndi("2026-01-26", 21), ndi("2026-02-16", 20)]
    every = [patient, condition(), order(), referral, visit, advice, drug(), *map(session, days), *scores]
    return {resource["id"]: copy.deepcopy(resource) for resource in every}


Change = Callable[[dict[str, Json]], Any]


def judge(change: Change = lambda chart: None, rule: str | Rule = "ill-novitas", **more: Any) -> Evaluation:
    """The verdict on the complete chart after `change` was applied to it."""
    chart = base()
    change(chart)
    record = RecordSnapshot(chart.values())
    row = RULES[rule] if isinstance(rule, str) else rule
    return evaluate(record, chart["order"], row, load_concepts(), ZONE, NOW, **more)


def element(evaluation: Evaluation, name: str) -> Any:
    """One element of an evaluation."""
    return next(item for item in evaluation.elements if item.element == name)


def put(*resources: Json) -> Change:
    """A change that adds or replaces resources."""
    return lambda chart: chart.update({resource["id"]: resource for resource in resources})


def drop(*names: str) -> Change:
    """A change that removes every resource whose id begins with one of `names`."""

    def change(chart: dict[str, Json]) -> None:
        for key in [key for key in chart if key.startswith(names)]:
            del chart[key]

    return change


def both(*changes: Change) -> Change:
    """Several changes, one after the other."""

    def change(chart: dict[str, Json]) -> None:
        for each in changes:
            each(chart)

    return change


def days_from(start: str, number: int) -> list[str]:
    """`number` consecutive days from `start`."""
    first = date.fromisoformat(start)
    return [(first + timedelta(days=step)).isoformat() for step in range(number)]
