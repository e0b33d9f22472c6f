"""Milestones over charts that lack one thing: each finds exactly that, and nothing where all is there."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from gateway.clinical.chart import open_chart
from gateway.clinical.concepts import packaged_concepts
from gateway.clinical.evaluate import evaluate
from gateway.clinical.milestones import judge_milestone
from gateway.clinical.milestones_view import Progress, Timed, read_progress
from gateway.clinical.protocol import packaged_protocol
from gateway.reasoning.record import RecordSnapshot
from tests.clinical_charts import RULES, SCT, ZONE, Change, base, both, concept, drop, drug, ndi, observation, put

PROTOCOL = packaged_protocol()
CONCEPTS = packaged_concepts()
RULE = RULES["default-strict"]
DAY_ZERO = date(2026, 1, 5)


def booking(day: str, **changes: Any) -> dict[str, Any]:
    """A therapy appointment."""
    return {
        "resourceType": "Appointment",
        "status": "booked",
        "serviceType": [concept("91251008", SCT)],
        "start": f"{day}T16:30:00-08:00",
        **changes,
    }


def screens(day: str, **answers: bool) -> Change:
    """All screens answered on a day."""
    rows = [
        observation(f"rf{number}", day, valueBoolean=answers.get(f"rf{number}", False), id=f"rf{number}-{day}")
        for number in range(1, 7)
    ]
    return put(*rows)


def look(day: int, *changes: Change, booked: tuple[dict[str, Any], ...] = (), days: int = 42) -> Progress:
    """Progress on a day of the protocol; nothing dated later is in the chart."""
    chart = base()
    both(*changes)(chart)
    today = DAY_ZERO + timedelta(days=day)
    past = [item for item in chart.values() if _day(item) <= today.isoformat() or item["id"] in ("order", "visit")]
    record = RecordSnapshot(past)
    outcome = PROTOCOL.outcome_of(RULE.outcome.measures)
    timed = Timed(day_zero=DAY_ZERO, days=days, today=today, outcome=outcome)
    noon = datetime.combine(today, time(12), ZoneInfo(ZONE))
    end = max(noon, datetime.combine(timed.ends_on, time(12), ZoneInfo(ZONE)))
    order = {**chart["order"], "authoredOn": noon.isoformat(), "encounter": {"reference": "Encounter/none"}}
    found = evaluate(record, order, RULE, CONCEPTS, ZONE, noon)
    at_end = evaluate(record, {**order, "authoredOn": end.isoformat()}, RULE, CONCEPTS, ZONE, end)
    opened = open_chart(record, order, RULE, CONCEPTS, CONCEPTS.region[0], ZONE, today)
    return read_progress(opened, timed, found, at_end, booked)


def _day(item: dict[str, Any]) -> str:
    known = ("performedDateTime", "authored", "effectiveDateTime", "whenHandedOver", "authoredOn")
    return next((str(item[name])[:10] for name in known if name in item), "")


def ask(name: str, progress: Progress) -> tuple[str, ...]:
    """What a milestone finds missing."""
    milestone = PROTOCOL.milestone_named(name)
    assert milestone is not None
    return judge_milestone(milestone, progress).missing


SCREENED = screens("2026-01-05")
AGAIN = screens("2026-01-26")
DISPENSED: Change = put(
    {
        "resourceType": "MedicationDispense",
        "id": "fill",
        "status": "completed",
        "medicationCodeableConcept": concept("198014", "http://www.nlm.nih.gov/research/umls/rxnorm"),
        "whenHandedOver": "2026-01-20",
        "daysSupply": {"value": 28},
        "authorizingPrescription": [{"reference": "MedicationRequest/drug"}],
    }
)
STATUS_ACTIVE = concept("active", "http://terminology.hl7.org/CodeSystem/condition-clinical")
COMPLETE: list[tuple[str, int, tuple[Change, ...]]] = [
    ("start", 0, (SCREENED,)),
    ("baseline", 8, ()),
    ("first-visit", 15, ()),
    ("midpoint", 24, (AGAIN, DISPENSED)),
    ("sessions", 28, ()),
    ("coverage", 30, ()),
    ("projection", 35, ()),
]


@pytest.mark.parametrize("name, day, changes", COMPLETE, ids=[row[0] for row in COMPLETE])
def test_nothing_is_missing_where_all_is_there(name: str, day: int, changes: tuple[Change, ...]) -> None:
    assert ask(name, look(day, *changes)) == ()


def late_drug(start: str) -> Change:
    """The drug only from a later day, for four weeks."""
    bounds = {"start": start, "end": (date.fromisoformat(start) + timedelta(days=20)).isoformat()}
    dose = drug()["dosageInstruction"][0]
    timing = {"repeat": {**dose["timing"]["repeat"], "boundsPeriod": bounds}}
    return put(drug(authoredOn=f"{start}T10:00:00-08:00", dosageInstruction=[{**dose, "timing": timing}]))


LACKING: list[tuple[str, int, tuple[Change, ...], str]] = [
    ("start", 0, (), "Not every red-flag screen"),
    ("start", 0, (screens("2026-01-05", rf2=True),), "answered with yes"),
    ("start", 0, (SCREENED, drop("drug")), "No drug or accepted alternative"),
    ("start", 0, (SCREENED, drop("plan")), "No activity advice"),
    ("baseline", 8, (drop("ndi-2026-01-07"),), "No baseline score"),
    ("baseline", 8, (drop("referral"),), "therapy request is not signed"),
    ("first-visit", 15, (drop("s2026"),), "No therapy visit is booked"),
    ("midpoint", 24, (drop("ndi-2026-01-26"), AGAIN, DISPENSED), "No midpoint score"),
    ("midpoint", 24, (SCREENED, DISPENSED), "not repeated since the start"),
    ("midpoint", 24, (AGAIN,), "whether the drug is tolerated"),
    ("sessions", 28, (drop("s2026"),), "No therapy session is on file"),
    ("sessions", 28, (drop("s2026-01-14", "s2026-01-19", "s2026-01-2"),), "2 of 6 therapy sessions"),
    ("coverage", 30, (late_drug("2026-01-25"),), "covers 20 of 28 days"),
    ("projection", 35, (drop("s2026-01-2", "s2026-02"),), "3 of 6 therapy sessions"),
]


@pytest.mark.parametrize("name, day, changes, words", LACKING, ids=[f"{row[0]}: {row[3]}" for row in LACKING])
def test_a_milestone_finds_what_is_missing_and_nothing_else(
    name: str, day: int, changes: tuple[Change, ...], words: str
) -> None:
    (line,) = ask(name, look(day, *changes))
    assert words in line


def test_the_dry_run_lists_what_would_fail_on_the_decision_day() -> None:
    lines = ask("dry-run", look(39, drop("s2026-01-2", "s2026-02", "visit")))
    assert [any(word in line for line in lines) for word in ("therapy sessions", "NDI", "medication")] == [
        True,
        True,
        False,
    ]
    assert not any("42 days" in line for line in lines), "time alone is no gap three days before its end"


def test_booked_visits_count_for_the_projection_and_cancelled_ones_do_not() -> None:
    few = drop("s2026-01-2", "s2026-02")
    ahead = tuple(booking(f"2026-02-{day}") for day in ("10", "12", "13"))
    assert look(35, few, booked=ahead).projected == 6
    assert ask("projection", look(35, few, booked=ahead)) == ()
    void = tuple({**item, "status": "cancelled"} for item in ahead)
    other = tuple({**item, "serviceType": [concept("394914008", SCT)]} for item in ahead)
    behind = tuple(booking(f"2026-03-{day}") for day in ("10", "12", "13"))
    assert look(35, few, booked=void).projected == look(35, few, booked=other).projected == 3
    assert look(35, few, booked=behind).projected == 3, "a visit behind the decision day comes too late"
    assert ask("first-visit", look(15, drop("s2026"), booked=(booking("2026-01-21"),))) == ()


@pytest.mark.parametrize(
    "baseline, later, improving", [(22, 17, False), (22, 16, True), (20, 25, False), (6, 4, False)]
)
def test_improvement_is_more_than_the_plateau_in_absolute_points(baseline: int, later: int, improving: bool) -> None:
    changes = (drop("ndi"), put(ndi("2026-01-07", baseline), ndi("2026-01-26", later)))
    assert look(21, *changes).is_improving is improving


def test_adherence_is_by_fills_since_the_first_order_and_never_a_verdict() -> None:
    assert look(30).adherence_percent == 0
    filled = look(30, DISPENSED)
    assert (filled.covered_by_fill, filled.since_first_order, filled.adherence_percent) == (15, 30, 50)
    assert filled.covered == look(30).covered, "the rule's own covered days are another number"
    assert look(30, drop("drug")).adherence_percent is None


ALARMS: list[tuple[str, Change, str]] = [
    (
        "a sign",
        put(observation("hoffmann", "2026-01-20", "right", valueCodeableConcept=concept("52101004", SCT))),
        "red-flag",
    ),
    ("a screen", screens("2026-01-20", rf6=True), "red-flag"),
    (
        "a diagnosis",
        put(
            {
                "resourceType": "Condition",
                "id": "root",
                "clinicalStatus": STATUS_ACTIVE,
                "code": concept("M54.12", "http://hl7.org/fhir/sid/icd-10-cm"),
                "recordedDate": "2026-01-20",
            }
        ),
        "new-diagnosis",
    ),
    (
        "an emergency",
        put(
            {
                "resourceType": "Encounter",
                "id": "er",
                "status": "finished",
                "class": {"code": "EMER"},
                "period": {"start": "2026-01-20T03:00:00-08:00"},
            }
        ),
        "emergency-visit",
    ),
]


@pytest.mark.parametrize("change, kind", [row[1:] for row in ALARMS], ids=[row[0] for row in ALARMS])
def test_what_reopens_the_panel(change: Change, kind: str) -> None:
    assert look(20).alarms == ()
    assert {name for name, _ in look(20, change).alarms} == {kind}


def test_a_question_nobody_knows_is_never_passed_silently() -> None:
    milestone = PROTOCOL.milestone[0].model_copy(update={"needs": ("weather",)})
    assert judge_milestone(milestone, look(8)).missing == ("This gateway does not know how to check “weather”.",)


def test_a_late_baseline_is_taken_with_a_warning() -> None:
    milestone = PROTOCOL.milestone_named("baseline")
    assert milestone is not None
    judged = judge_milestone(milestone, look(8, drop("ndi")))
    assert judged.warnings == ("A baseline until 2026-01-19 is taken late, with a warning.",)
    assert judge_milestone(milestone, look(8)).warnings == ()


def test_without_a_measure_no_score_is_asked_for() -> None:
    progress = look(24, drop("ndi"), AGAIN, DISPENSED)
    timed = replace(progress.timed, outcome=None)
    assert ask("midpoint", replace(progress, timed=timed)) == ()
    assert ask("baseline", replace(progress, timed=timed)) == ()
