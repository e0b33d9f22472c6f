"""Everything else in the chart: what an honest reader must leave aside."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

from gateway.demo.charts_care import add_condition, add_note, add_visit
from gateway.demo.charts_recipe import load_table
from gateway.demo.charts_sheet import Sheet
from gateway.demo.charts_treatment import add_prescription, add_referral, add_session


def add_distractors(sheet: Sheet) -> None:
    """Other problems, drugs, the knee, the back, the annual visit, vital signs and laboratory values."""
    rows = load_table("distractors")
    _add_problems(sheet, rows)
    for row in rows["drugs"]:
        if row["group"] not in sheet.recipe.without:
            add_prescription(sheet, f"other-drug:{row['concept']}", row, problem=row["problem"])
    _add_knee(sheet, rows["knee"])
    _add_lumbar(sheet, rows["lumbar"])
    _add_wellness(sheet, rows["wellness"])
    for row in rows["measurements"]:
        _measure(sheet, f"laboratory:{row['concept']}", row["concept"], "laboratory", rows["wellness"]["on"], row)
    for day in (rows["wellness"]["on"], sheet.recipe.order_on):
        _add_vitals(sheet, day, rows["vitals"])


def _add_problems(sheet: Sheet, rows: Mapping[str, Any]) -> None:
    for row in rows["problems"]:
        facts = {"onsetDateTime": row["onset"]}
        if row.get("ended"):
            facts["abatementDateTime"] = row["ended"]
        state = "resolved" if row.get("ended") else "active"
        add_condition(sheet, row["name"], row["name"], recorded_on=row["recorded_on"], facts=facts, state=state)


def _add_knee(sheet: Sheet, row: Mapping[str, Any]) -> None:
    """Therapy of the knee under the very codes the neck is treated with."""
    period = {"start": sheet.at(row["referral_on"], "08:30"), "end": sheet.at(row["referral_on"], "08:50")}
    add_visit(sheet, "knee-visit", "knee-visit", period, problem="knee-arthritis")
    add_referral(sheet, "knee-referral", row["referral_on"], problem="knee-arthritis", status="completed")
    for day in row["sessions_on"]:
        if day < sheet.recipe.order_on:
            add_session(sheet, f"knee:{day}", day, "08:30", problem="knee-arthritis", referral="knee-referral")
    exercise = sheet.concept("home-exercise", text="home exercise, knee")
    _add_procedure(sheet, "knee-exercise", exercise, sheet.at(row["exercise_on"], "08:40"), "therapist")
    _add_procedure(
        sheet, "knee-radiograph", sheet.concept("knee-radiograph"), sheet.at(row["radiograph_on"], "09:05"), "doctor"
    )
    reminder = {
        "status": "completed",
        "category": [sheet.concept("reminder")],
        "subject": sheet.ref("patient"),
        "sent": sheet.at(row["reminder_on"], "09:00"),
        "recipient": [sheet.ref("patient")],
        "payload": [{"contentString": row["reminder_text"]}],
    }
    sheet.add("knee-reminder", "Communication", reminder)


def _add_procedure(sheet: Sheet, name: str, code: Mapping[str, Any], when: str, performer: str) -> None:
    body = {
        "status": "completed",
        "code": code,
        "subject": sheet.ref("patient"),
        "performedDateTime": when,
        "performer": [{"actor": sheet.ref(performer)}],
        "reasonReference": [sheet.ref("knee-arthritis")],
    }
    sheet.add(name, "Procedure", body)


def _add_lumbar(sheet: Sheet, row: Mapping[str, Any]) -> None:
    """An old scan of another region with its report."""
    order = {
        "status": "completed",
        "intent": "order",
        "category": [sheet.concept("imaging")],
        "code": sheet.concept("lumbar-mri"),
        "subject": sheet.ref("patient"),
        "authoredOn": sheet.at(row["ordered_on"], "10:00"),
        "requester": sheet.ref("doctor"),
        "reasonReference": [sheet.ref("low-back-pain")],
    }
    reference = sheet.add("lumbar-order", "ServiceRequest", order)
    report = {
        "basedOn": [reference],
        "status": "final",
        "category": [sheet.concept("radiology")],
        "code": sheet.concept("imaging-report"),
        "subject": sheet.ref("patient"),
        "effectiveDateTime": sheet.at(row["reported_on"], "15:00"),
        "issued": sheet.at(row["reported_on"], "17:00"),
        "performer": [sheet.ref("clinic")],
        "conclusion": row["conclusion"],
    }
    sheet.add("lumbar-report", "DiagnosticReport", report)


def _add_wellness(sheet: Sheet, row: Mapping[str, Any]) -> None:
    day: date = row["on"]
    period = {"start": sheet.at(day, "13:00"), "end": sheet.at(day, "13:40")}
    add_visit(sheet, "wellness-visit", "wellness-visit", period)
    add_note(sheet, "wellness-note", day, row["note"], visit="wellness-visit")
    _add_intake(sheet, day, row)
    vaccine = {
        "status": "completed",
        "vaccineCode": sheet.concept("influenza-vaccine"),
        "patient": sheet.ref("patient"),
        "occurrenceDateTime": row["immunized_on"].isoformat(),
        "primarySource": True,
    }
    sheet.add("vaccine", "Immunization", vaccine)
    allergy = {
        "clinicalStatus": sheet.concept("allergy-active"),
        "verificationStatus": sheet.concept("allergy-confirmed"),
        "type": "allergy",
        "category": ["medication"],
        "code": sheet.concept("penicillin-allergy"),
        "patient": sheet.ref("patient"),
        "recordedDate": row["allergy_recorded_on"].isoformat(),
    }
    sheet.add("allergy", "AllergyIntolerance", allergy)


def _add_intake(sheet: Sheet, on: date, row: Mapping[str, Any]) -> None:
    """A form of the practice that is no score of anything."""
    answers = [{"linkId": key, "answer": [{"valueBoolean": value}]} for key, value in row["intake"].items()]
    body = {
        "questionnaire": row["intake_form"],
        "status": "completed",
        "subject": sheet.ref("patient"),
        "authored": sheet.at(on, "12:50"),
        "author": sheet.ref("patient"),
        "source": sheet.ref("patient"),
        "item": answers,
    }
    sheet.add("intake", "QuestionnaireResponse", body)


def _measure(sheet: Sheet, name: str, concept: str, category: str, on: date, row: Mapping[str, Any]) -> None:
    body = {
        "status": "final",
        "category": [sheet.concept(category)],
        "code": sheet.concept(concept),
        "subject": sheet.ref("patient"),
        "effectiveDateTime": sheet.at(on, "08:00" if category == "laboratory" else "09:32"),
        "performer": [sheet.ref("doctor")],
        "valueQuantity": sheet.quantity(row["value"], row["unit"]),
    }
    sheet.add(name, "Observation", body)


def _add_vitals(sheet: Sheet, on: date, row: Mapping[str, str]) -> None:
    units = {"weight": ("weight", "kg"), "heart_rate": ("heart-rate", "/min"), "temperature": ("temperature", "Cel")}
    for key, (concept, unit) in units.items():
        _measure(sheet, f"{concept}:{on}", concept, "vital-signs", on, {"value": row[key], "unit": unit})
    parts = [
        {"code": sheet.concept(concept), "valueQuantity": sheet.quantity(row[concept], "mm[Hg]")}
        for concept in ("systolic", "diastolic")
    ]
    body = {
        "status": "final",
        "category": [sheet.concept("vital-signs")],
        "code": sheet.concept("blood-pressure"),
        "subject": sheet.ref("patient"),
        "effectiveDateTime": sheet.at(on, "09:32"),
        "performer": [sheet.ref("doctor")],
        "component": parts,
    }
    sheet.add(f"blood-pressure:{on}", "Observation", body)
