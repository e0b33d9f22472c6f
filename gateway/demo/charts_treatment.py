"""Treatment of the neck problem: drugs, therapy, disability scores and advice."""

from __future__ import annotations

import random
from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

from gateway.demo.charts_sheet import Sheet


def add_treatment(sheet: Sheet) -> None:
    """Drugs, therapy, advice and scores of the neck problem, each only where the recipe has it."""
    recipe = sheet.recipe
    for position, row in enumerate(recipe.drugs):
        add_prescription(sheet, f"drug:{position}", row, problem="problem", visit="first-visit")
    for position, row in enumerate(recipe.statements):
        _add_statement(sheet, f"statement:{position}", row)
    if recipe.referral_on:
        add_referral(sheet, "referral", recipe.referral_on, problem="problem", status="active")
    for day in recipe.sessions_on:
        add_session(sheet, f"session:{day}", day, "16:30", problem="problem", referral="referral")
    for row in recipe.ndi:
        _add_score(sheet, row["on"], row["total"])
    if recipe.advice:
        _add_advice(sheet, recipe.advice)


def add_prescription(sheet: Sheet, name: str, row: Mapping[str, Any], *, problem: str, visit: str = "") -> None:
    """A drug order with a half-open supply period; ordered in `visit` where that fell on the same day."""
    start: date = row["on"]
    end = start + timedelta(days=row["days"])
    same_visit = visit and sheet.has(visit) and start == sheet.recipe.first_visit_on
    body = {
        "status": "completed" if row.get("ended") else "active",
        "intent": "order",
        "category": [sheet.concept("outpatient")],
        "reportedBoolean": False,
        "medicationCodeableConcept": sheet.concept(row["concept"]),
        "subject": sheet.ref("patient"),
        "encounter": sheet.ref(visit) if same_visit else None,
        "authoredOn": sheet.at(start, "10:20"),
        "requester": sheet.ref("doctor"),
        "reasonReference": [sheet.ref(problem)],
        "dosageInstruction": [_dosage(sheet, row, start, end)],
        "dispenseRequest": {
            "validityPeriod": {"start": start.isoformat()},
            "numberOfRepeatsAllowed": 0,
            "quantity": sheet.quantity(row["days"] * row["times_a_day"], "tablet", "{tbl}"),
            "expectedSupplyDuration": sheet.quantity(row["days"], "day", "d"),
        },
    }
    sheet.add(name, "MedicationRequest", body)


def _dosage(sheet: Sheet, row: Mapping[str, Any], start: date, end: date) -> dict[str, Any]:
    bounds = {"start": start.isoformat(), "end": end.isoformat()}
    repeat = {"boundsPeriod": bounds, "frequency": row["times_a_day"], "period": 1, "periodUnit": "d"}
    return {
        "text": f"{row['dose']} mg by mouth, {row['times_a_day']} time(s) a day",
        "timing": {"repeat": repeat},
        "asNeededBoolean": False,
        "route": sheet.concept("oral"),
        "doseAndRate": [{"doseQuantity": sheet.quantity(row["dose"], "mg")}],
    }


def _add_statement(sheet: Sheet, name: str, row: Mapping[str, Any]) -> None:
    """What the patient says about a drug: a start date, no dose, no end."""
    body = {
        "status": "active",
        "medicationCodeableConcept": sheet.concept(row["concept"]),
        "subject": sheet.ref("patient"),
        "effectivePeriod": {"start": row["on"].isoformat()},
        "dateAsserted": row["on"].isoformat(),
        "informationSource": sheet.ref("patient"),
        "reasonReference": [sheet.ref("problem")],
    }
    sheet.add(name, "MedicationStatement", body)


def add_referral(sheet: Sheet, name: str, on: date, *, problem: str, status: str) -> None:
    """An order for physical therapy with two modalities."""
    body = {
        "status": status,
        "intent": "order",
        "category": [sheet.concept("physical-therapy")],
        "code": sheet.concept("therapeutic-exercise"),
        "orderDetail": [sheet.concept("manual-therapy")],
        "subject": sheet.ref("patient"),
        "authoredOn": sheet.at(on, "11:00"),
        "requester": sheet.ref("doctor"),
        "performer": [sheet.ref("therapist")],
        "reasonReference": [sheet.ref(problem)],
    }
    sheet.add(name, "ServiceRequest", body)


def add_session(sheet: Sheet, name: str, on: date, clock: str, *, problem: str, referral: str) -> None:
    """An attended therapy visit of three quarters of an hour."""
    hour, minute = (int(part) for part in clock.split(":"))
    ends = f"{hour + (minute + 45) // 60:02d}:{(minute + 45) % 60:02d}"
    body = {
        "basedOn": [sheet.ref(referral)] if sheet.has(referral) else None,
        "status": "completed",
        "code": sheet.concept("therapeutic-exercise"),
        "subject": sheet.ref("patient"),
        "performedPeriod": {"start": sheet.at(on, clock), "end": sheet.at(on, ends)},
        "performer": [{"actor": sheet.ref("therapist")}],
        "reasonReference": [sheet.ref(problem)],
    }
    sheet.add(name, "Procedure", body)


def _add_score(sheet: Sheet, on: date, total: int) -> None:
    """A filled-in neck disability form; the items' answers add up to `total`."""
    items = [
        {"linkId": f"ndi-{position}", "answer": [{"valueCoding": _ordinal(sheet, value)}]}
        for position, value in enumerate(_spread(total, f"{sheet.recipe.chart_id}/{on}"), start=1)
    ]
    body = {
        "questionnaire": sheet.url("ndi"),
        "status": "completed",
        "subject": sheet.ref("patient"),
        "authored": sheet.at(on, "09:10"),
        "author": sheet.ref("patient"),
        "source": sheet.ref("patient"),
        "item": items,
    }
    sheet.add(f"score:{on}", "QuestionnaireResponse", body)


def _ordinal(sheet: Sheet, value: int) -> dict[str, Any]:
    extension = [{"url": sheet.url("ordinal"), "valueDecimal": value}]
    return {"extension": extension, "system": sheet.system("local"), "code": f"ordinal-{value}"}


def _spread(total: int, seed: str, *, items: int = 10, highest: int = 5) -> list[int]:
    """Ten answers of 0 to 5 that add up to `total`, uneven but always the same for one seed."""
    chance = random.Random(seed)
    answers = [0] * items
    for _ in range(total):
        open_items = [position for position in range(items) if answers[position] < highest]
        answers[chance.choice(open_items)] += 1
    return answers


def _add_advice(sheet: Sheet, row: Mapping[str, Any]) -> None:
    """Activity advice in the form the recipe names; a care plan brings its timer Task along."""
    builders = {"care-plan": _advice_plan, "procedure": _advice_procedure, "communication": _advice_message}
    builders[row["form"]](sheet, row)


def _advice_plan(sheet: Sheet, row: Mapping[str, Any]) -> None:
    on: date = row["on"]
    period = {"start": on.isoformat(), "end": (on + timedelta(days=42)).isoformat()}
    detail = {
        "kind": "ServiceRequest",
        "code": sheet.concept(row["concept"]),
        "reasonReference": [sheet.ref("problem")],
        "status": "in-progress",
        "scheduledPeriod": period,
        "description": row["text"],
    }
    plan = {
        "status": "active",
        "intent": "plan",
        "category": [sheet.concept("assess-plan"), sheet.concept("conservative-management")],
        "subject": sheet.ref("patient"),
        "period": period,
        "created": sheet.at(on, "10:35"),
        "author": sheet.ref("doctor"),
        "addresses": [sheet.ref("problem")],
        "activity": [{"detail": detail}],
    }
    reference = sheet.add("plan", "CarePlan", plan)
    timer = {
        "status": "in-progress",
        "intent": "order",
        "code": sheet.concept("conservative-care-timer"),
        "focus": reference,
        "for": sheet.ref("patient"),
        "executionPeriod": {"start": sheet.at(on, "10:35")},
        "authoredOn": sheet.at(on, "10:35"),
        "requester": sheet.ref("doctor"),
        "restriction": {"period": period},
    }
    sheet.add("timer", "Task", timer)


def _advice_procedure(sheet: Sheet, row: Mapping[str, Any]) -> None:
    body = {
        "status": "completed",
        "code": sheet.concept(row["concept"]),
        "subject": sheet.ref("patient"),
        "performedDateTime": sheet.at(row["on"], "10:35"),
        "performer": [{"actor": sheet.ref("doctor")}],
        "reasonReference": [sheet.ref("problem")],
    }
    sheet.add("advice", "Procedure", body)


def _advice_message(sheet: Sheet, row: Mapping[str, Any]) -> None:
    body = {
        "status": "completed",
        "category": [sheet.concept("instruction")],
        "subject": sheet.ref("patient"),
        "topic": sheet.concept(row["concept"]),
        "sent": sheet.at(row["on"], "10:35"),
        "recipient": [sheet.ref("patient")],
        "sender": sheet.ref("doctor"),
        "reasonReference": [sheet.ref("problem")],
        "payload": [{"contentString": row["text"]}],
    }
    sheet.add("advice", "Communication", body)
