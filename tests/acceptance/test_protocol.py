"""Six weeks of conservative care with a simulated clock: every milestone once, restarts, and a packet at the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from gateway.flows import care, care_start
from gateway.web.chips import case_chip
from tests.care_house import Patient, chart, clinician, confirmed, local
from tests.flows_house import STAFF, House, open_house

MILESTONES = {
    "start": 0,
    "baseline": 8,
    "first-visit": 15,
    "midpoint": 24,
    "sessions": 28,
    "coverage": 30,
    "projection": 35,
    "dry-run": 39,
    "decision": 42,
    "close-out": 56,
    "expiry": 84,
}
"""Rows of spec/clinical.md §2.2 and the day on which each is due."""
NO_FORM = """
id = "default"
title = "Authorization wanted, no form"
payer = "*"
default = true

[crd]
covered = "covered"
pa_needed = "auth-needed"

[submit]
decision = "approved"
"""
DIARY: dict[int, list[tuple[str, Any]]] = {
    3: [("score", 22)],
    5: [("book", 7)],
    **{day: [("session", None)] for day in (7, 9, 14, 16, 23, 28, 30)},
    21: [("session", None), ("score", 21), ("screens", None), ("visit", None)],
    38: [("score", 20)],
    42: [("visit", None)],
}
"""Day → what is recorded on it: eight sessions, three scores without progress, the visit at the end."""


@contextmanager
def _patient(folder: Path) -> Iterator[Patient]:
    """A patient whose payer wants an authorization and no form, so that nobody is needed at the end."""
    bundle = chart()
    (folder / "scenarios").mkdir()
    (folder / "scenarios" / "default.toml").write_text(NO_FORM)
    with open_house(folder, [bundle], scenarios=folder / "scenarios") as house:
        yield Patient(house, bundle)


def _start(patient: Patient, **said: Any) -> str:
    """Hand the order in, start the timer, sign the drafts; all on day 0."""
    house: House = patient.house
    house.clock.instant = local(0, "10:00")
    case_id = patient.post()
    patient.settle()
    assert house.case(case_id).state == "held", house.case(case_id).next_action
    care_start.start(house.services, STAFF, case_id, confirmed(**said))
    patient.settle()
    care.sign(house.services, clinician(patient.bundle), case_id, frozenset({"drug", "referral"}))
    patient.settle()
    return case_id


def _live(patient: Patient, after: int, until: int) -> None:
    """What the diary has behind one day and up to another is in the EHR by then."""
    for day in sorted(DIARY):
        for what, value in DIARY[day] if after < day <= until else ():
            if what == "score":
                patient.score(day, value)
            elif what == "book":
                patient.book(value)
            else:
                getattr(patient, what)(day)


def _fired(patient: Patient, case_id: str) -> Counter[str]:
    """Milestones in the signed history, each with how often it is there."""
    events = patient.house.events(case_id)
    return Counter(str(event.note["stage"]) for event in events if event.note.get("kind") == "milestone")


@pytest.mark.timeout(180)
def test_six_weeks_with_restarts_end_in_a_packet_that_leaves_by_itself(tmp_path: Path) -> None:
    with _patient(tmp_path) as patient:
        case_id = _start(patient)
        before = len(patient.house.payers.sent("/$submit"))
        days = [-1, *(day for day in MILESTONES.values() if day < 42), 41, 42]
        for last, day in pairwise(days):
            patient.house.restart()
            _live(patient, last, day)
            patient.at(day, "19:00")
            due = {name for name, on in MILESTONES.items() if on <= day and name != "decision"}
            assert _fired(patient, case_id) == Counter(due), f"day {day}"
            if 0 < day < 42:
                chip = case_chip(patient.house.case(case_id), patient.house.facts(case_id))
                assert chip.word == f"On hold: day {day} of 42"
            if day < 42:
                assert patient.house.case(case_id).state == "held", f"day {day}"
                assert len(patient.house.payers.sent("/$submit")) == before
        case = patient.house.case(case_id)
        assert (case.state, bool(case.authorization_number)) == ("approved", True)
        assert len(patient.house.payers.sent("/$submit")) == before + 1
        patient.at(43)
        outcomes = {name: row.outcome for name, row in patient.rows(case_id).items()}
        assert outcomes.pop("watch") == "void"
        assert outcomes == dict.fromkeys(MILESTONES, "met") | {
            "dry-run": "missing",
            "close-out": "void",
            "expiry": "void",
        }
        timer = patient.timer(case_id)
        assert (timer.state, timer.reason) == ("completed", "satisfied")
        (task,) = patient.find("Task", code={"coding": [_local("conservative-care-timer")], "text": _TIMER})
        assert task["status"] == "completed"
        assert task["restriction"]["period"] == {"start": "2026-03-02", "end": "2026-04-13"}


_TIMER = "conservative care timer"


def _local(code: str) -> dict[str, str]:
    return {"system": "urn:oid:2.25.94492686211768030265051248232142081200.2", "code": code}
