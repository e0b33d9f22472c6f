"""One change to a complete chart, and what each element then says."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from tests.clinical_charts import (
    CPT,
    ICD,
    LOCAL,
    RULES,
    RX,
    SCT,
    Change,
    base,
    both,
    concept,
    condition,
    drop,
    drug,
    element,
    judge,
    ndi,
    observation,
    order,
    put,
    ref,
    session,
)

VERIFY = "http://terminology.hl7.org/CodeSystem/condition-ver-status"
CLINICAL = "http://terminology.hl7.org/CodeSystem/condition-clinical"


def _onset(**fields: Any) -> Change:
    problem = condition(**fields)
    if not any(key.startswith("onsetDate") for key in fields):
        problem.pop("onsetDateTime", None)
    return put(problem)


TREATMENT = drop("drug", "plan", "s2026")
NO_TREATMENT = both(TREATMENT, drop("referral"))


@pytest.mark.parametrize(
    ("change", "status", "value"),
    [
        (_onset(onsetDateTime="2026-01-05"), "met", 42),
        (both(TREATMENT, _onset(onsetDateTime="2026-01-06")), "unmet", 41),
        (both(TREATMENT, _onset(onsetDateTime="2026-01")), "indeterminate", None),
        (both(TREATMENT, _onset(onsetDateTime="2025")), "met", None),
        (both(TREATMENT, _onset(onsetDateTime="2026-01-05T23:30:00-08:00")), "met", 42),
        (both(TREATMENT, _onset(onsetDateTime="2026-01-06T07:30:00Z")), "met", 42),
        (both(TREATMENT, _onset(onsetPeriod={"start": "2025-12-20", "end": "2026-01-20"})), "met", 58),
        (both(TREATMENT, _onset(onsetPeriod={"end": "2026-01-20"})), "indeterminate", None),
        (both(TREATMENT, _onset(onsetAge={"value": 75, "code": "a"})), "met", None),
        (both(TREATMENT, _onset(onsetAge={"value": 76, "code": "a"})), "indeterminate", None),
        (both(TREATMENT, _onset(onsetString="a while ago")), "indeterminate", None),
        (both(TREATMENT, _onset(recordedDate="2025-01-01")), "indeterminate", None),
        (both(TREATMENT, _onset(onsetDateTime="2026-03-01")), "indeterminate", None),
        (both(TREATMENT, _onset(onsetDateTime="1940-01-01")), "indeterminate", None),
        (_onset(onsetString="a while ago"), "met", 42),
    ],
)
def test_duration_by_onset_or_treatment(change: Change, status: str, value: int | None) -> None:
    found = element(judge(change), "DURATION")
    assert found.status == status
    if value is not None:
        assert found.value == value


@pytest.mark.parametrize(
    ("change", "status", "reason"),
    [
        (put(), "met", "documented"),
        (NO_TREATMENT, "unmet", "not_documented"),
        (both(drop("drug", "plan"), _onset(onsetDateTime="2020-01-01")), "unmet", "too_short"),
        (drop("plan"), "met", "documented"),
    ],
)
def test_duration_by_treatment_only(change: Change, status: str, reason: str) -> None:
    found = element(judge(change, "ill-carelon"), "DURATION")
    assert (found.status, found.reason) == (status, reason)


def test_a_referral_is_no_treatment() -> None:
    found = element(judge(both(TREATMENT), "ill-carelon"), "DURATION")
    assert found.status == "unmet"


def _end(end: str) -> list[dict[str, Any]]:
    dose = drug()["dosageInstruction"][0]
    bounds = {"start": "2026-01-05", "end": end}
    return [{**dose, "timing": {"repeat": {"frequency": 2, "period": 1, "boundsPeriod": bounds}}}]


def _dose(**changes: Any) -> list[dict[str, Any]]:
    return [{**drug()["dosageInstruction"][0], **changes}]


@pytest.mark.parametrize(
    ("change", "status", "value"),
    [
        (put(), "met", 42),
        (put(drug(dosageInstruction=_end("2026-02-02"))), "met", 28),
        (put(drug(dosageInstruction=_end("2026-02-01"))), "unmet", 27),
        (put(drug(status="stopped", dosageInstruction=_end("2026-01-20"))), "unmet", 15),
        (put(drug(status="draft")), "unmet", 0),
        (put(drug(status="cancelled")), "unmet", 0),
        (put(drug(status="entered-in-error")), "unmet", 0),
        (put(drug(intent="proposal")), "unmet", 0),
        (put(drug(doNotPerform=True)), "unmet", 0),
        (put(drug(medicationCodeableConcept={"text": "take ibuprofen"})), "unmet", 0),
        (put(drug(medicationCodeableConcept=concept("314076", RX))), "indeterminate", 0),
        (put(drug(medicationCodeableConcept=concept("314076", RX), reasonReference=[])), "unmet", 0),
        (put(drug(reasonReference=[])), "met", 42),
        (put(drug(reasonReference=[], reasonCode=[concept("M17.11", ICD)])), "unmet", 0),
        (put(drug(reasonReference=[ref("Condition/gone")])), "indeterminate", 0),
        (put(drug(dosageInstruction=_dose(doseAndRate=[]))), "unmet", 0),
        (put(drug(dosageInstruction=_dose(asNeededBoolean=True))), "unmet", 0),
        (put(drug(authoredOn="2026-01-04")), "unmet", 0),
        (drop("drug"), "unmet", 0),
    ],
)
def test_medication_orders(change: Change, status: str, value: int) -> None:
    found = element(judge(change, "ill-cgs"), "PHARM")
    assert (found.status, found.value) == (status, value)


def test_an_end_that_cannot_be_computed() -> None:
    open_ended = drug(dosageInstruction=_dose(timing={"repeat": {"frequency": 2, "period": 1}}))
    assert element(judge(put(open_ended), "ill-cgs"), "PHARM").status == "indeterminate"
    assert element(judge(put(open_ended), "ill-novitas"), "PHARM").status == "unmet"
    supply = {**open_ended, "dispenseRequest": {"expectedSupplyDuration": {"value": 6, "code": "wk"}}}
    assert element(judge(put(supply), "ill-novitas"), "PHARM").value == 42
    bounded = drug(
        dosageInstruction=_dose(
            timing={"repeat": {"frequency": 2, "period": 1, "boundsDuration": {"value": 30, "code": "d"}}}
        )
    )
    assert element(judge(put(bounded), "ill-novitas"), "PHARM").value == 30


def _dispense(day: str, days: int, **changes: Any) -> dict[str, Any]:
    return {
        "resourceType": "MedicationDispense",
        "id": f"d{day}",
        "status": "completed",
        "medicationCodeableConcept": concept("198014", RX),
        "whenHandedOver": day,
        "daysSupply": {"value": days},
        "authorizingPrescription": [ref("MedicationRequest/drug")],
        **changes,
    }


def _statement(**changes: Any) -> dict[str, Any]:
    return {
        "resourceType": "MedicationStatement",
        "id": "statement",
        "status": "active",
        "medicationCodeableConcept": concept("5640", RX),
        "effectivePeriod": {"start": "2026-01-05"},
        **changes,
    }


def test_kinds_of_evidence_nest() -> None:
    dispensed = both(drop("drug"), put(_dispense("2026-01-05", 30, reasonCode=[])))
    stated = both(drop("drug"), put(_statement()))
    statuses = {
        row: (element(judge(dispensed, row), "PHARM").status, element(judge(stated, row), "PHARM").status)
        for row in ("ill-cgs", "ill-evicore", "ill-carelon")
    }
    assert statuses == {
        "ill-cgs": ("unmet", "unmet"),
        "ill-evicore": ("met", "unmet"),
        "ill-carelon": ("met", "met"),
    }


@pytest.mark.parametrize(
    ("period", "status", "value"),
    [
        ({"start": "2026-01-05", "end": "2026-02-01"}, "active", 28),
        ({"start": "2026-01-05", "end": "2026-01-31"}, "active", 27),
        ({"start": "2026-01-05"}, "active", 42),
        ({"start": "2026-02-10", "end": "2026-03-10"}, "active", 6),
    ],
)
def test_a_statement_counts_with_its_last_day(period: dict[str, str], status: str, value: int) -> None:
    change = both(drop("drug"), put(_statement(effectivePeriod=period, status=status)))
    assert element(judge(change, "ill-carelon"), "PHARM").value == value


def test_as_needed_counts_only_on_days_that_were_taken() -> None:
    prn = drug(dosageInstruction=_dose(asNeededBoolean=True))
    taken = _dispense("2026-01-10", 30)
    assert element(judge(put(prn, taken), "ill-cgs"), "PHARM").value == 30
    other = _dispense("2026-01-10", 30, medicationCodeableConcept=concept("5640", RX))
    assert element(judge(put(prn, other), "ill-cgs"), "PHARM").value == 0


def test_overlapping_agents_are_counted_once() -> None:
    second = drug(id="drug2", medicationCodeableConcept=concept("197806", RX))
    found = element(judge(put(second), "ill-cgs"), "PHARM")
    assert found.value == 42
    assert found.evidence == ("MedicationRequest/drug", "MedicationRequest/drug2")


@pytest.mark.parametrize(
    ("row", "reason", "second", "status"),
    [
        ("ill-cgs", "ineffective", False, "unmet"),
        ("ill-cgs", "intolerance", False, "unmet"),
        ("ill-cgs", "other", False, "met"),
        ("ill-cgs", "ineffective", True, "met"),
        ("ill-novitas", "ineffective", False, "met"),
    ],
)
def test_a_second_agent_after_the_first_failed(row: str, reason: str, second: bool, status: str) -> None:
    first = drug(status="stopped", statusReason=concept(reason), dosageInstruction=_end("2026-02-10"))
    other = drug(id="drug2", authoredOn="2026-02-10", medicationCodeableConcept=concept("197806", RX))
    found = element(judge(put(first, *([other] if second else [])), row), "PHARM")
    assert found.status == status
    if status == "unmet":
        assert (found.reason, found.value, found.threshold) == ("second_agent", 1, 2)


def test_an_agent_that_was_started_again_needs_no_second_one() -> None:
    first = drug(status="stopped", statusReason=concept("ineffective"), dosageInstruction=_end("2026-01-20"))
    again = drug(id="drug2", authoredOn="2026-01-20")
    assert element(judge(put(first, again), "ill-cgs"), "PHARM").status == "met"


def _contraindicated(code: str = "N18.32", **changes: Any) -> dict[str, Any]:
    return condition(id="other", code=concept(code, ICD), onsetDateTime="2020-01-01", **changes)


@pytest.mark.parametrize(
    ("problem", "agent", "status"),
    [
        (_contraindicated(), "161", "met"),
        (_contraindicated("K25.4"), "161", "met"),
        (_contraindicated("O09.90"), "161", "met"),
        (_contraindicated("I10"), "161", "unmet"),
        (_contraindicated(), "198014", "unmet"),
        (_contraindicated(clinicalStatus=concept("resolved", CLINICAL)), "161", "unmet"),
        (_contraindicated(verificationStatus=concept("refuted", VERIFY)), "161", "unmet"),
    ],
)
def test_a_contraindication_waives_with_one_alternative(problem: Any, agent: str, status: str) -> None:
    short = drug(authoredOn="2026-02-10", medicationCodeableConcept=concept(agent, RX))
    found = element(judge(put(problem, short), "ill-cgs"), "PHARM")
    assert found.status == status
    if status == "met":
        assert found.reason == "waived_alternative"


def test_an_allergy_to_the_first_choice_is_a_contraindication() -> None:
    allergy = {
        "resourceType": "AllergyIntolerance",
        "id": "allergy",
        "clinicalStatus": concept("active"),
        "code": concept("5640", RX),
    }
    short = drug(authoredOn="2026-02-10", medicationCodeableConcept=concept("161", RX))
    assert element(judge(put(allergy, short), "ill-cgs"), "PHARM").reason == "waived_alternative"
    assert element(judge(both(put(allergy), drop("drug")), "ill-cgs"), "PHARM").status == "unmet"


def _referral(**changes: Any) -> Change:
    return put({**base()["referral"], **changes})


@pytest.mark.parametrize(
    ("change", "status"),
    [
        (put(), "met"),
        (drop("referral"), "unmet"),
        (_referral(status="draft"), "unmet"),
        (_referral(status="revoked"), "unmet"),
        (_referral(authoredOn="2026-02-17"), "unmet"),
        (_referral(authoredOn="2026-02-16"), "met"),
        (_referral(authoredOn="2026-01-04"), "unmet"),
        (_referral(code=concept("97001", CPT)), "unmet"),
        (_referral(code=concept("97001", CPT), category=[concept("91251008", SCT)]), "met"),
        (_referral(reasonReference=[]), "indeterminate"),
        (_referral(reasonReference=[], reasonCode=[concept("M54.12", ICD)]), "met"),
        (_referral(reasonReference=[], reasonCode=[concept("M17.11", ICD)]), "unmet"),
        (_referral(reasonReference=[], bodySite=[concept("122494005", SCT)]), "met"),
        (_referral(reasonReference=[], bodySite=[concept("72696002", SCT)]), "unmet"),
    ],
)
def test_referral(change: Change, status: str) -> None:
    assert element(judge(change), "PT_REFERRAL").status == status


@pytest.mark.parametrize(
    ("change", "status", "value"),
    [
        (put(), "met", 8),
        (drop("s2026-02", "s2026-01-28"), "unmet", 5),
        (drop("s2026"), "unmet", 0),
        (both(drop("s2026-02", "s2026-01-28"), put(session("2026-01-12", 1))), "unmet", 5),
        (both(drop("s2026-02", "s2026-01-28"), put(session("2026-02-17"))), "unmet", 5),
        (both(drop("s2026-02", "s2026-01-28"), put(session("2026-02-16"))), "met", 6),
        (both(drop("s2026-02", "s2026-01-28"), put(session("2026-02-05", status="not-done"))), "unmet", 5),
        (both(drop("s2026-02", "s2026-01-28"), put(session("2026-02-05", code=concept("97161", CPT)))), "unmet", 5),
        (both(drop("s2026-02", "s2026-01-28"), put(session("2026-02-05", basedOn=[]))), "indeterminate", 5),
        (_referral(reasonReference=[], reasonCode=[concept("M17.11", ICD)]), "unmet", 0),
    ],
)
def test_sessions(change: Change, status: str, value: int) -> None:
    found = element(judge(change), "PT_SESSIONS")
    assert (found.status, found.value) == (status, value)


def test_therapy_visits_and_claim_lines_are_sessions_too() -> None:
    visit = {
        "resourceType": "Encounter",
        "id": "pt",
        "status": "finished",
        "type": [concept("91251008", SCT)],
        "period": {"start": "2026-02-05T09:00:00-08:00"},
        "reasonReference": [ref("Condition/neck")],
    }
    claim = {
        "resourceType": "ExplanationOfBenefit",
        "id": "claim",
        "status": "active",
        "diagnosis": [{"sequence": 1, "diagnosisCodeableConcept": concept("M54.2", ICD)}],
        "item": [
            {"productOrService": concept("97140", CPT), "servicedDate": "2026-02-06", "diagnosisSequence": [1]},
            {"productOrService": concept("97161", CPT), "servicedDate": "2026-02-07", "diagnosisSequence": [1]},
        ],
    }
    change = both(drop("s2026-02", "s2026-01-28", "s2026-01-26"), put(visit, claim))
    assert element(judge(change), "PT_SESSIONS").value == 6


def test_the_plan_may_ask_for_more_sessions() -> None:
    coverage = {
        "resourceType": "Coverage",
        "id": "cover",
        "status": "active",
        "class": [{"type": concept("plan"), "value": "P8"}],
    }
    rule = RULES["ill-evicore"].overlaid({"pt": {"min_sessions": {"by_plan": {"P8": 9}}}})
    assert element(judge(put(coverage), rule), "PT_SESSIONS").threshold == 9
    assert element(judge(put({**coverage, "status": "cancelled"}), rule), "PT_SESSIONS").threshold == 6


def test_home_exercise_stands_in_only_where_the_row_says_so() -> None:
    exercise = {
        "resourceType": "Procedure",
        "id": "home",
        "status": "completed",
        "code": concept("home-exercise"),
        "performedDateTime": "2026-01-12",
        "reasonReference": [ref("Condition/neck")],
    }
    change = both(drop("s2026"), put(exercise))
    assert element(judge(change), "PT_SESSIONS").status == "unmet"
    rule = RULES["ill-novitas"].overlaid({"pt": {"hep_substitutes": True}})
    assert element(judge(change, rule), "PT_SESSIONS").reason == "home_exercise"


def _series(*scores: dict[str, Any]) -> Change:
    return both(drop("ndi"), put(*scores))


@pytest.mark.parametrize(
    ("raws", "status", "reason"),
    [
        ((22, 20), "met", "documented"),
        ((22, 18), "met", "documented"),
        ((22, 17), "met", "documented"),
        ((22, 16), "unmet", "OUTCOME_IMPROVING"),
        ((40, 36), "met", "documented"),
        ((6, 4), "unmet", "OUTCOME_MINIMAL"),
        ((20, 25), "met", "documented"),
        ((0, 1), "unmet", "OUTCOME_MINIMAL"),
        ((5, 5), "met", "documented"),
    ],
)
def test_plateau_in_percentage_points(raws: tuple[int, int], status: str, reason: str) -> None:
    found = element(judge(_series(ndi("2026-01-07", raws[0]), ndi("2026-02-16", raws[1]))), "OUTCOME")
    assert (found.status, found.reason) == (status, reason)


@pytest.mark.parametrize(
    ("raws", "status"),
    [((22, 20), "met"), ((22, 18), "unmet"), ((22, 17), "unmet"), ((40, 36), "met"), ((20, 25), "met")],
)
def test_plateau_in_per_cent_of_the_baseline(raws: tuple[int, int], status: str) -> None:
    rule = RULES["ill-novitas"].overlaid({"outcome": {"plateau": {"mode": "relative_pct"}}})
    change = _series(ndi("2026-01-07", raws[0]), ndi("2026-02-16", raws[1]))
    assert element(judge(change, rule), "OUTCOME").status == status


@pytest.mark.parametrize(
    ("scores", "status", "reason"),
    [
        ([], "unmet", "not_documented"),
        ([ndi("2026-01-07", 22)], "unmet", "no_follow_up"),
        ([ndi("2026-01-20", 22), ndi("2026-02-16", 22)], "unmet", "follow_up_too_early"),
        ([ndi("2026-01-19", 22), ndi("2026-02-16", 22)], "met", "documented"),
        ([ndi("2026-01-07", 22), ndi("2026-02-16", 20, blanks=2)], "met", "documented"),
        ([ndi("2026-01-07", 22), ndi("2026-02-16", 20, blanks=3)], "unmet", "no_follow_up"),
        ([ndi("2026-01-07", 22), ndi("2026-02-16", 22, status="in-progress")], "unmet", "no_follow_up"),
        ([ndi("2026-01-07", 22), ndi("2026-02-17", 22)], "unmet", "no_follow_up"),
        ([ndi("2025-08-18", 22), ndi("2026-02-16", 22)], "unmet", "no_follow_up"),
    ],
)
def test_which_scores_make_a_pair(scores: list[Any], status: str, reason: str) -> None:
    found = element(judge(_series(*scores)), "OUTCOME")
    assert (found.status, found.reason) == (status, reason)


@pytest.mark.parametrize(("last", "status"), [("2026-02-14", "met"), ("2026-02-13", "unmet")])
def test_the_age_of_the_decision_score(last: str, status: str) -> None:
    change = both(_series(ndi("2026-01-07", 22), ndi(last, 22)), put(order(authoredOn="2026-03-16T10:00:00-07:00")))
    assert element(judge(change), "OUTCOME").status == status


def test_of_several_scores_on_one_day_the_amended_then_the_latest_counts() -> None:
    scores = [
        ndi("2026-01-07", 22),
        ndi("2026-02-16", 5, "first", authored="2026-02-16T08:00:00-08:00"),
        ndi("2026-02-16", 20, "second", authored="2026-02-16T09:00:00-08:00"),
    ]
    assert "40 %" in element(judge(_series(*scores)), "OUTCOME").value
    scores.append(ndi("2026-02-16", 21, "third", authored="2026-02-16T07:00:00-08:00", status="amended"))
    assert "42 %" in element(judge(_series(*scores)), "OUTCOME").value


def _total(day: str, quantity: dict[str, Any], code: str = "82237-9", name: str = "t") -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "id": f"{name}{day}",
        "status": "final",
        "code": concept(code, "http://loinc.org"),
        "effectiveDateTime": day,
        "valueQuantity": quantity,
    }


@pytest.mark.parametrize(
    ("quantity", "status", "reason"),
    [
        ({"value": 20, "code": "{score}"}, "met", "documented"),
        ({"value": 40, "unit": "%"}, "met", "documented"),
        ({"value": 20}, "unmet", "no_follow_up"),
        ({"value": 60, "code": "{score}"}, "unmet", "no_follow_up"),
        ({"value": 101, "code": "%"}, "unmet", "no_follow_up"),
    ],
)
def test_a_total_needs_its_unit(quantity: dict[str, Any], status: str, reason: str) -> None:
    found = element(judge(_series(ndi("2026-01-07", 22), _total("2026-02-16", quantity))), "OUTCOME")
    assert (found.status, found.reason) == (status, reason)


def test_totals_without_units_are_to_be_verified() -> None:
    found = element(judge(_series(_total("2026-02-16", {"value": 20}))), "OUTCOME")
    assert (found.reason, found.evidence) == ("needs_verification", ("Observation/t2026-02-16",))


PAIN = [_total("2026-01-07", {"value": 7}, "72514-3", "v"), _total("2026-02-16", {"value": 6}, "72514-3", "v")]


def test_another_measure_is_used_only_without_a_pair_of_the_first() -> None:
    improving = [ndi("2026-01-07", 22), ndi("2026-02-16", 10)]
    assert element(judge(_series(*improving, *PAIN)), "OUTCOME").reason == "OUTCOME_IMPROVING"
    found = element(judge(_series(ndi("2026-01-07", 22), *PAIN)), "OUTCOME")
    assert (found.status, found.evidence) == ("met", ("Observation/v2026-01-07", "Observation/v2026-02-16"))
    assert element(judge(_series(*PAIN), "ill-cgs"), "OUTCOME").status == "unmet"


@pytest.mark.parametrize(
    ("values", "status"),
    [((7, 5), "unmet"), ((7, "5.1"), "met"), ((4, 3), "met"), ((4, "2.9"), "unmet"), ((5, 8), "met")],
)
def test_pain_scale(values: tuple[Any, Any], status: str) -> None:
    days = ("2026-01-07", "2026-02-16")
    pair = [_total(day, {"value": Decimal(value)}, "72514-3", "v") for day, value in zip(days, values, strict=True)]
    assert element(judge(_series(*pair)), "OUTCOME").status == status


def test_a_pair_has_one_code_and_millimetres_are_read() -> None:
    mixed = [_total("2026-01-07", {"value": 7}, "72514-3", "v"), _total("2026-02-16", {"value": 6}, "38214-3", "v")]
    assert element(judge(_series(*mixed)), "OUTCOME").status == "unmet"
    analog = [
        _total("2026-01-07", {"value": 70, "code": "mm"}, "38214-3", "v"),
        _total("2026-02-16", {"value": 65, "code": "mm"}, "38214-3", "v"),
    ]
    assert element(judge(_series(*analog)), "OUTCOME").value == "7 → 6.5"


def _psfs(day: str, value: str, activities: int = 3) -> dict[str, Any]:
    parts = [{"code": concept("psfs-activity"), "valueQuantity": {"value": 4}} for _ in range(activities)]
    return observation("psfs-mean", day, valueQuantity={"value": Decimal(value)}, component=parts)


@pytest.mark.parametrize(
    ("first", "last", "status"),
    [
        (("4", 3), ("5", 3), "met"),
        (("4", 3), ("6", 3), "unmet"),
        (("7.5", 3), ("8.1", 3), "unmet"),
        (("4", 2), ("5", 3), "unmet"),
    ],
)
def test_function_scale_where_higher_is_better(first: Any, last: Any, status: str) -> None:
    change = _series(_psfs("2026-01-07", *first), _psfs("2026-02-16", *last))
    assert element(judge(change, "ill-ngs"), "OUTCOME").status == status


@pytest.mark.parametrize(
    ("limits", "day", "status"), [(1, "2026-02-10", "met"), (0, "2026-02-10", "unmet"), (1, "2026-01-16", "unmet")]
)
def test_pain_with_a_narrative(limits: int, day: str, status: str) -> None:
    narrative = {
        "resourceType": "DocumentReference",
        "id": "story",
        "status": "current",
        "type": concept("functional-narrative"),
        "date": f"{day}T10:00:00-08:00",
        "context": {"event": [concept("adl-limit")] * limits},
    }
    found = element(judge(_series(*PAIN, narrative), "ill-evicore"), "OUTCOME")
    assert found.status == status
    if status == "met":
        assert found.evidence[-1] == "DocumentReference/story"


def _advice(**changes: Any) -> dict[str, Any]:
    return {
        "resourceType": "Communication",
        "id": "advice",
        "status": "completed",
        "topic": concept("activity-restriction"),
        "sent": "2026-01-10T10:00:00-08:00",
        **changes,
    }


@pytest.mark.parametrize(
    ("change", "status"),
    [
        (drop("plan"), "unmet"),
        (both(drop("plan"), put(_advice())), "met"),
        (both(drop("plan"), put(_advice(status="in-progress"))), "unmet"),
        (both(drop("plan"), put(_advice(sent="2026-02-17"))), "unmet"),
        (both(drop("plan"), put(_advice(topic=concept("reminder")))), "unmet"),
        (
            both(
                drop("plan"),
                put(_advice(about=[ref("Condition/knee")]), condition(id="knee", code=concept("M17.11", ICD))),
            ),
            "unmet",
        ),
        (put({**base()["plan"], "status": "entered-in-error"}), "unmet"),
        (
            put(
                {
                    **base()["plan"],
                    "activity": [{"detail": {"code": concept("ergonomic-advice"), "status": "in-progress"}}],
                }
            ),
            "unmet",
        ),
        (put({**base()["plan"], "addresses": []}), "met"),
    ],
)
def test_activity_advice(change: Change, status: str) -> None:
    assert element(judge(change), "ACTIVITY").status == status


def _visit(day: str, **changes: Any) -> dict[str, Any]:
    return {
        "resourceType": "Encounter",
        "id": "later",
        "status": "finished",
        "class": {"code": "AMB"},
        "period": {"start": f"{day}T09:00:00-08:00"},
        "reasonReference": [ref("Condition/neck")],
        **changes,
    }


@pytest.mark.parametrize(
    ("extra", "status"),
    [
        ([], "unmet"),
        ([_visit("2026-02-16")], "met"),
        ([_visit("2026-02-15")], "unmet"),
        ([_visit("2026-02-16", reasonReference=[])], "indeterminate"),
        ([_visit("2026-02-16", reasonReference=[], reasonCode=[concept("M17.11", ICD)])], "unmet"),
        ([_visit("2026-02-16", type=[concept("91251008", SCT)])], "unmet"),
        ([_visit("2026-02-16", status="planned")], "unmet"),
        (
            [
                _advice(
                    topic=concept("x"), sent="2026-02-16", recipient=[ref("Patient/p")], about=[ref("Condition/neck")]
                )
            ],
            "met",
        ),
        ([_advice(topic=concept("x"), sent="2026-02-16", about=[ref("Condition/neck")])], "unmet"),
    ],
)
def test_reevaluation_by_another_contact(extra: list[Any], status: str) -> None:
    change = both(drop("visit"), put(*extra))
    assert element(judge(change, "default-strict"), "REEVAL").status == status


def test_reevaluation_is_asked_only_where_the_row_says_so() -> None:
    assert not any(item.element == "REEVAL" for item in judge().elements)


def test_elements_that_a_row_does_not_ask_are_not_required() -> None:
    rule = RULES["ill-novitas"].overlaid({"required_elements": ["DURATION"], "activity": {"required": False}})
    found = judge(NO_TREATMENT, rule)
    assert element(found, "PHARM").status == "not_required"
    assert found.verdict == "PASS"


@pytest.mark.threat("T27")
@pytest.mark.parametrize("row", sorted(RULES))
def test_evidence_of_one_element_never_leaks_into_another(row: str) -> None:
    kinds = {
        "PHARM": {"MedicationRequest"},
        "PT_REFERRAL": {"ServiceRequest"},
        "PT_SESSIONS": {"Procedure"},
        "OUTCOME": {"QuestionnaireResponse"},
        "ACTIVITY": {"CarePlan"},
        "REEVAL": {"Encounter"},
    }
    found = judge(put(_total("2026-02-01", {"value": 3}, "8310-5", "unrelated")), row)
    for item in found.elements:
        own = {reference.partition("/")[0] for reference in item.evidence}
        assert own <= kinds.get(item.element, {"Condition", "MedicationRequest", "CarePlan"})
        assert "Observation/unrelated2026-02-01" not in item.evidence
        assert item.evidence


def test_local_codes_are_of_our_own_system() -> None:
    assert LOCAL.startswith("urn:oid:")
