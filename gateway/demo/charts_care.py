"""The course of the neck problem: the problem itself, visits, notes and the imaging order."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

from gateway.demo.charts_sheet import Sheet


def add_problem(sheet: Sheet) -> None:
    """The neck problem itself, as a problem-list entry."""
    recipe = sheet.recipe
    add_condition(sheet, "problem", recipe.indication, recorded_on=recipe.recorded_on, facts=recipe.onset)


def add_condition(
    sheet: Sheet, name: str, concept: str, *, recorded_on: date, facts: Mapping[str, Any], state: str = "active"
) -> None:
    """A problem-list Condition with its onset (and end) in `facts`."""
    body = {
        "clinicalStatus": sheet.concept(state),
        "verificationStatus": sheet.concept("confirmed"),
        "category": [sheet.concept("problem")],
        "code": sheet.concept(concept),
        "subject": sheet.ref("patient"),
        **facts,
        "recordedDate": recorded_on.isoformat(),
        "recorder": sheet.ref("doctor"),
    }
    sheet.add(name, "Condition", body)


def add_visits(sheet: Sheet) -> None:
    """The first visit, where there was one, and the visit of the order, which is still open."""
    recipe = sheet.recipe
    if recipe.first_visit_on:
        day = recipe.first_visit_on
        period = {"start": sheet.at(day, "10:00"), "end": sheet.at(day, "10:40")}
        add_visit(sheet, "first-visit", "new-problem-visit", period, problem="problem")
    add_visit(sheet, "visit", "follow-up-visit", {"start": sheet.at(recipe.order_on, "09:30")}, problem="problem")


def add_visit(sheet: Sheet, name: str, concept: str, period: Mapping[str, str], *, problem: str = "") -> None:
    """An office visit; open when the period has no end."""
    body = {
        "status": "finished" if "end" in period else "in-progress",
        "class": sheet.coding("ambulatory"),
        "type": [sheet.concept(concept)],
        "subject": sheet.ref("patient"),
        "participant": [{"individual": sheet.ref("doctor")}],
        "period": dict(period),
        "diagnosis": [{"condition": sheet.ref(problem), "rank": 1}] if problem else None,
        "location": [{"location": sheet.ref("location")}],
        "serviceProvider": sheet.ref("clinic"),
    }
    sheet.add(name, "Encounter", body)


def add_notes(sheet: Sheet) -> None:
    """Progress notes about the neck, tied to the visit of their day."""
    visits = {sheet.recipe.order_on: "visit"}
    if sheet.recipe.first_visit_on:
        visits[sheet.recipe.first_visit_on] = "first-visit"
    for row in sheet.recipe.notes:
        add_note(sheet, f"note:{row['on']}", row["on"], row["text"], visit=visits.get(row["on"], ""))


def add_note(sheet: Sheet, name: str, on: date, text: str, *, visit: str = "") -> None:
    """A plain-text progress note with its content inline."""
    attachment = {
        "contentType": "text/plain",
        "language": "en",
        "data": base64.b64encode(text.encode()).decode(),
        "title": "Progress note",
        "creation": sheet.at(on, "12:00"),
    }
    body = {
        "status": "current",
        "type": sheet.concept("progress-note"),
        "category": [sheet.concept("clinical-note")],
        "subject": sheet.ref("patient"),
        "date": sheet.at(on, "12:00"),
        "author": [sheet.ref("doctor")],
        "content": [{"attachment": attachment}],
        "context": {"encounter": [sheet.ref(visit)]} if visit else None,
    }
    sheet.add(name, "DocumentReference", body)


def add_order(sheet: Sheet) -> None:
    """The imaging order that everything is about; added last, so that it can point at an attestation."""
    recipe = sheet.recipe
    placer = {
        "type": sheet.concept("placer"),
        "system": sheet.practice["order_system"],
        "value": f"SYN-ORD-{recipe.chart_id.upper()}",
    }
    reason = {"reasonCode": [sheet.concept(recipe.order_reason)]} if recipe.order_reason else None
    until = recipe.order_on + timedelta(days=30)
    body = {
        "identifier": [placer],
        "status": "active",
        "intent": "order",
        "category": [sheet.concept("imaging")],
        "priority": recipe.order_priority,
        "code": sheet.concept(recipe.order_code),
        "subject": sheet.ref("patient"),
        "encounter": sheet.ref("visit"),
        "occurrencePeriod": {"start": recipe.order_on.isoformat(), "end": until.isoformat()},
        "authoredOn": sheet.ordered_at(),
        "requester": sheet.ref("doctor"),
        **(reason or {"reasonReference": [sheet.ref("problem")]}),
        "insurance": [sheet.ref("coverage")],
        "supportingInfo": [sheet.ref("attestation")] if sheet.has("attestation") else None,
        "bodySite": [sheet.concept(recipe.order_site)],
    }
    sheet.add("order", "ServiceRequest", body)
