"""What an order is for, since when, and what belongs to the present episode."""

from __future__ import annotations

from typing import Any

import pytest

from tests.clinical_charts import (
    CPT,
    ICD,
    RULES,
    SCT,
    Change,
    both,
    concept,
    condition,
    drop,
    drug,
    element,
    judge,
    ndi,
    order,
    put,
    ref,
    session,
)

VERIFY = "http://terminology.hl7.org/CodeSystem/condition-ver-status"
CLINICAL = "http://terminology.hl7.org/CodeSystem/condition-clinical"


def _verified(code: str) -> dict[str, Any]:
    return {"verificationStatus": concept(code, VERIFY)}


def _clinical(code: str) -> dict[str, Any]:
    return {"clinicalStatus": concept(code, CLINICAL)}


def _coded(*codes: str) -> dict[str, Any]:
    return {"reasonReference": [], "reasonCode": [concept(code, ICD) for code in codes]}


@pytest.mark.parametrize(
    ("change", "verdict", "reason"),
    [
        (put(order(status="draft")), "PASS", ""),
        (put(order(status="on-hold")), "PASS", ""),
        (put(order(status="completed")), "NOT_APPLICABLE", "order_status"),
        (put(order(status="revoked")), "NOT_APPLICABLE", "order_status"),
        (put(order(intent="proposal")), "NOT_APPLICABLE", "order_intent"),
        (put(order(doNotPerform=True)), "NOT_APPLICABLE", "order_intent"),
        (put(order(code=concept("72148", CPT))), "NOT_APPLICABLE", "procedure"),
        (put(order(code={"text": "MRI cervical spine"})), "NOT_APPLICABLE", "procedure"),
        (put({"resourceType": "Patient", "id": "p", "birthDate": "2008-02-17"}), "NOT_APPLICABLE", "pediatric"),
        (put({"resourceType": "Patient", "id": "p", "birthDate": "2008-02-16"}), "PASS", ""),
        (put({"resourceType": "Patient", "id": "p", "birthDate": "2008"}), "PASS", ""),
        (put(order(**_coded("M50.11"))), "NOT_APPLICABLE", "indication"),
        (put(order(**_coded("M54.2"))), "PASS", ""),
        (put(order(**_coded("m542"))), "PASS", ""),
        (put(order(**_coded("M54.20"))), "NOT_APPLICABLE", "indication"),
    ],
)
def test_scope(change: Change, verdict: str, reason: str) -> None:
    found = judge(change)
    assert (found.verdict, found.reason) == (verdict, reason)


@pytest.mark.parametrize("kind", ["EMER", "IMP", "ACUTE", "NONAC", "OBSENC"])
def test_acute_settings_are_out_of_scope(kind: str) -> None:
    visit = {"resourceType": "Encounter", "id": "visit", "status": "in-progress", "class": {"code": kind}}
    assert judge(put(visit)).reason == "setting"


def test_an_audit_looks_at_past_orders_too() -> None:
    assert judge(put(order(status="completed")), audit=True).verdict == "PASS"


def test_an_uncoded_order_is_pointed_out() -> None:
    found = judge(put(order(code={"text": "MR of the cervical spine"})))
    assert any(note.startswith("ORDER_UNCODED") for note in found.advisories)


def test_an_order_of_the_future_counts_from_today() -> None:
    found = judge(put(order(authoredOn="2030-01-01")))
    assert found.order_on is not None
    assert found.order_on.isoformat() == "2026-11-25"
    assert any(note.startswith("DATA_ERROR") for note in found.advisories)


def test_an_order_before_any_record_counts_from_today() -> None:
    assert any(note.startswith("DATA_ERROR") for note in judge(put(order(authoredOn="0001-01-01"))).advisories)


def test_an_open_end_in_the_far_future_is_an_end() -> None:
    dose = drug()["dosageInstruction"][0]
    bounds = {"start": "2026-01-05", "end": "9999-12-31"}
    endless = drug(
        dosageInstruction=[{**dose, "timing": {"repeat": {"frequency": 2, "period": 1, "boundsPeriod": bounds}}}]
    )
    assert element(judge(put(endless)), "PHARM").value == 42


def test_a_draft_without_a_date_counts_from_today() -> None:
    draft = order(status="draft")
    del draft["authoredOn"]
    found = judge(put(draft))
    assert found.order_on is not None
    assert found.order_on.isoformat() == "2026-11-25"


@pytest.mark.parametrize(
    "change",
    [
        put(order(**_coded())),
        put(order(**_coded()), condition(**_clinical("resolved"))),
        put(order(), condition(**_verified("entered-in-error"))),
        put(order(), condition(code={"text": "neck pain"})),
        put(order(), condition(code=concept("81680005", SCT))),
    ],
)
def test_no_diagnosis_is_the_only_thing_listed(change: Change) -> None:
    found = judge(change)
    assert (found.verdict, found.indeterminate, found.unmet) == ("INDETERMINATE", ("INDICATION",), ())


def test_the_encounters_diagnosis_stands_in() -> None:
    visit = {
        "resourceType": "Encounter",
        "id": "visit",
        "status": "in-progress",
        "diagnosis": [{"condition": ref("Condition/neck"), "rank": 1}],
    }
    assert judge(put(order(**_coded()), visit)).verdict == "PASS"
    recorded = condition(category=[concept("encounter-diagnosis")], encounter=ref("Encounter/visit"))
    assert judge(put(order(**_coded()), recorded)).verdict == "PASS"


def test_both_codes_listed_take_the_rule_of_the_diagnosis() -> None:
    found = judge(put(order(**_coded("M54.2", "M54.12"))))
    assert found.indication == "M54.12"
    assert any(note.startswith("CODE_REDUNDANT") for note in found.advisories)
    assert element(found, "CODE_SUPPORT").status == "unmet"


@pytest.mark.parametrize(
    ("neck", "onset"),
    [
        ({}, "met"),
        (_verified("unconfirmed"), "met"),
        (_verified("provisional"), "met"),
        (_clinical("recurrence"), "met"),
        ({"clinicalStatus": {}}, "met"),
    ],
)
def test_conditions_that_count(neck: dict[str, Any], onset: str) -> None:
    change = both(drop("drug", "plan", "s2026"), put(condition(**neck)))
    assert element(judge(change), "DURATION").status == onset


@pytest.mark.parametrize(
    "other",
    [
        {**_verified("entered-in-error"), "clinicalStatus": {}},
        _verified("refuted"),
        _clinical("resolved"),
        _clinical("remission"),
        {"abatementDateTime": "2025-12-01"},
        {"clinicalStatus": {}, "abatementString": "last year"},
    ],
)
def test_an_older_problem_that_does_not_count_gives_no_onset(other: dict[str, Any]) -> None:
    old = condition(id="old", onsetDateTime="2025-06-01", **other)
    change = both(
        drop("drug", "plan", "s2026"), put(condition(onsetDateTime="2026-02-01"), old, order(**_coded("M54.2")))
    )
    found = element(judge(change), "DURATION")
    assert (found.status, found.value) == ("unmet", 15)


def test_the_problem_named_by_the_order_comes_first() -> None:
    older = condition(id="older", onsetDateTime="2025-12-01")
    change = both(drop("drug", "plan", "s2026"), put(condition(onsetDateTime="2026-02-01"), older))
    assert element(judge(change), "DURATION").value == 15
    unnamed = both(change, put(order(**_coded("M54.2"))))
    assert element(judge(unnamed), "DURATION").value == 77


@pytest.mark.parametrize(
    ("ended", "days"), [("2026-01-22", 42), ("2026-01-18", 42), ("2026-01-17", 15), ("2026-02-10", 42)]
)
def test_a_symptom_that_became_a_diagnosis_keeps_its_onset(ended: str, days: int) -> None:
    symptom = condition(id="symptom", **_clinical("resolved"), abatementDateTime=ended)
    root = condition(code=concept("M54.12", ICD), onsetDateTime="2026-02-01")
    change = both(drop("drug", "plan", "s2026"), put(symptom, root))
    assert element(judge(change), "DURATION").value == days


def test_a_relapse_starts_anew() -> None:
    before = condition(id="before", **_clinical("resolved"), onsetDateTime="2025-01-01", abatementDateTime="2026-01-10")
    again = condition(**_clinical("relapse"), onsetDateTime="2025-01-01")
    found = judge(put(before, again))
    duration = element(found, "DURATION")
    assert duration.status == "indeterminate"
    assert element(found, "PHARM").value == 0
    assert element(found, "PT_REFERRAL").status == "unmet"
    fresh = condition(**_clinical("relapse"), onsetDateTime="2026-01-11")
    assert element(judge(put(before, fresh)), "DURATION").value == 36


def test_an_active_problem_without_onset_does_not_take_an_earlier_episodes_evidence() -> None:
    before = condition(id="before", **_clinical("resolved"), onsetDateTime="2025-01-01", abatementDateTime="2026-01-10")
    now = condition()
    del now["onsetDateTime"]
    assert element(judge(put(before, now)), "PT_REFERRAL").status == "unmet"


@pytest.mark.parametrize(("day", "count"), [("2025-08-17", 1), ("2025-08-16", 0)])
def test_the_lookback_edge(day: str, count: int) -> None:
    rule = RULES["ill-novitas"].overlaid({"episode_gap_days": 999})
    change = both(drop("s2026"), put(session(day), condition(onsetDateTime="2025-01-01")))
    assert element(judge(change, rule), "PT_SESSIONS").value == count


def test_a_medication_begun_before_the_window_counts_from_its_first_day_inside() -> None:
    dose = drug()["dosageInstruction"][0]
    bounds = {"start": "2025-01-05", "end": "2025-09-16"}
    early = drug(
        authoredOn="2025-01-05",
        dosageInstruction=[{**dose, "timing": {"repeat": {"frequency": 2, "period": 1, "boundsPeriod": bounds}}}],
    )
    rule = RULES["ill-carelon"].overlaid({"episode_gap_days": 999})
    found = judge(put(early, condition(onsetDateTime="2025-01-01")), rule)
    assert element(found, "PHARM").value == 30
    assert element(found, "DURATION").value == 183


@pytest.mark.parametrize(("last", "kept"), [("2025-11-18", True), ("2025-11-17", False)])
def test_a_long_gap_ends_the_episode(last: str, kept: bool) -> None:
    earlier = [session(last), ndi("2025-11-01", 30)]
    change = both(
        drop("drug", "plan", "s2026", "referral", "ndi-2026-01"),
        put(
            condition(onsetDateTime="2025-09-01"),
            *earlier,
            session("2026-02-16", basedOn=[], reasonReference=[ref("Condition/neck")]),
        ),
        put(session(last, basedOn=[], reasonReference=[ref("Condition/neck")])),
    )
    found = judge(change)
    assert (element(found, "PT_SESSIONS").value == 2) is kept
    assert (element(found, "OUTCOME").reason != "no_follow_up") is kept
    assert element(found, "DURATION").status == "met"


def test_a_gap_before_the_order_drops_everything_but_the_onset() -> None:
    change = both(put(order(authoredOn="2026-08-01T10:00:00-07:00")))
    found = judge(change)
    assert element(found, "PT_SESSIONS").value == 0
    assert element(found, "DURATION").status == "met"
    assert element(judge(change, "ill-carelon"), "DURATION").status == "unmet"


def test_earlier_imaging_and_contrast_are_mentioned_only() -> None:
    report = {
        "resourceType": "DiagnosticReport",
        "id": "earlier",
        "status": "final",
        "code": concept("72141", CPT),
        "effectiveDateTime": "2025-06-01",
    }
    found = judge(put(report, order(code=concept("72142", CPT))))
    assert found.verdict == "PASS"
    words = {note.partition(":")[0] for note in found.advisories}
    assert {"REPEAT_IMAGING", "CONTRAST_UNJUSTIFIED", "SCREEN_MISSING"} <= words
