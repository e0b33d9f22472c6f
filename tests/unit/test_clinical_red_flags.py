"""Red-flag exceptions and findings of the examination."""

from __future__ import annotations

from typing import Any

import pytest

from tests.clinical_charts import (
    ICD,
    RULES,
    SCT,
    Change,
    both,
    concept,
    condition,
    drop,
    element,
    judge,
    observation,
    order,
    put,
    ref,
)

PRESENT = {"valueCodeableConcept": concept("52101004", SCT)}
ABSENT = {"valueCodeableConcept": concept("2667000", SCT)}
NORMAL = {"valueCodeableConcept": concept("17621005", SCT)}
DAY = "2026-02-16"
NOTHING = drop("drug", "plan", "s2026", "referral", "ndi")


def _screens(*yes: str, day: str = DAY) -> list[dict[str, Any]]:
    return [observation(f"rf{n}", day, valueBoolean=f"rf{n}" in yes) for n in range(1, 7)]


def _impression(*categories: str, **changes: Any) -> dict[str, Any]:
    return {
        "resourceType": "ClinicalImpression",
        "id": "impression",
        "status": "completed",
        "code": concept("red-flag-attestation"),
        "effectiveDateTime": f"{DAY}T09:45:00-08:00",
        "assessor": ref("Practitioner/doctor"),
        "finding": [{"itemCodeableConcept": concept(code)} for code in categories or ("rf2",)],
        **changes,
    }


def _attested(**changes: Any) -> dict[str, Any]:
    return {
        "resourceType": "Provenance",
        "id": "attestation",
        "target": [ref("ClinicalImpression/impression")],
        "agent": [{"type": concept("attester"), "who": ref("Practitioner/doctor")}],
        **changes,
    }


def _myelopathy(day: str = DAY) -> list[dict[str, Any]]:
    return [
        observation("hoffmann", day, "right", **PRESENT),
        observation("gait-ataxia", day, **PRESENT),
        observation("bladder-bowel", day, **NORMAL),
    ]


COMPLETE = both(NOTHING, put(*_myelopathy(), _impression(), _attested()))


def test_a_complete_attested_exception_waives_everything() -> None:
    found = judge(COMPLETE)
    assert (found.verdict, found.reason, found.red_flag) == ("RED_FLAG_BYPASS", "RF2", "complete_attested")
    assert {item.status for item in found.elements if item.element != "RED_FLAG"} == {"waived"}
    assert set(element(found, "RED_FLAG").evidence) == {
        "ClinicalImpression/impression",
        "Provenance/attestation",
        f"Observation/hoffmann-{DAY}-right",
        f"Observation/gait-ataxia-{DAY}-",
        f"Observation/bladder-bowel-{DAY}-",
    }


@pytest.mark.parametrize(
    ("change", "missing"),
    [
        (drop("attestation"), "attestation of a clinician"),
        (put(_attested(agent=[{"type": concept("author"), "who": ref("Practitioner/doctor")}])), "attestation"),
        (put(_attested(agent=[{"type": concept("attester"), "who": ref("Practitioner/other")}])), "attestation"),
        (put(_impression(assessor=ref("Practitioner/other"))), "attestation"),
        (put(_impression(status="in-progress")), "completed and recent"),
        (put(_impression(effectiveDateTime="2026-02-01")), "completed and recent"),
        (drop("bladder"), "bladder and bowel"),
        (put(observation("hoffmann", DAY, **PRESENT, id=f"hoffmann-{DAY}-right")), "sign of the long tracts"),
        (
            both(drop("hoffmann", "gait"), put(observation("hoffmann", DAY, "right", **ABSENT))),
            "sign of the long tracts",
        ),
        (both(drop("hoffmann", "gait", "bladder"), put(*_myelopathy("2026-02-01"))), "sign of the long tracts"),
        (put(observation("clonus", DAY, "left", **PRESENT)), "sign of the long tracts"),
    ],
)
def test_whatever_is_missing_is_said(change: Change, missing: str) -> None:
    found = judge(both(COMPLETE, change))
    assert found.verdict == "RED_FLAG_INCOMPLETE"
    assert any(missing in line for line in found.red_flag_lines)


def test_clonus_with_its_beats_is_complete() -> None:
    beats = [{"code": concept("clonus-beats"), "valueInteger": 5}]
    change = put(observation("clonus", DAY, "left", **PRESENT, component=beats))
    assert judge(both(COMPLETE, change)).verdict == "RED_FLAG_BYPASS"


def test_an_assessor_may_be_named_by_role_or_by_the_encounter() -> None:
    role = {"resourceType": "PractitionerRole", "id": "role", "practitioner": ref("Practitioner/doctor")}
    by_role = put(role, order(requester=ref("PractitionerRole/role")))
    by_encounter = put(order(requester=ref("Practitioner/someone")))
    assert judge(both(COMPLETE, by_role)).verdict == "RED_FLAG_BYPASS"
    assert judge(both(COMPLETE, by_encounter)).verdict == "RED_FLAG_BYPASS"


def test_findings_may_be_fourteen_days_old() -> None:
    change = both(NOTHING, put(*_myelopathy("2026-02-02"), _impression(effectiveDateTime="2026-02-02"), _attested()))
    assert judge(change).verdict == "RED_FLAG_BYPASS"


def test_a_deleted_impression_is_nothing() -> None:
    change = both(COMPLETE, drop("hoffmann", "gait"), put(_impression(status="entered-in-error")))
    assert judge(change).red_flag == "none"


def test_a_category_that_the_row_does_not_accept_does_not_bypass() -> None:
    rule = RULES["ill-cgs"].overlaid({"red_flags": {"accept": ["RF1"]}})
    assert judge(COMPLETE, rule).verdict == "RED_FLAG_INCOMPLETE"


@pytest.mark.parametrize(
    ("change", "state"),
    [
        (put(*_screens()), "none"),
        (put(*_screens("rf3")), "incomplete"),
        (put(*_screens("rf3", day="2026-02-01"), *_screens()), "none"),
        (put(*_screens(), observation("hoffmann", DAY, "left", **PRESENT)), "incomplete"),
        (
            put(observation("hoffmann", DAY, "left", **ABSENT), observation("hoffmann", DAY, "right", **PRESENT)),
            "incomplete",
        ),
        (put(observation("lhermitte", "2026-01-10", **PRESENT), observation("lhermitte", DAY, **ABSENT)), "none"),
        (put(observation("hoffmann", "2025-08-01", "left", **PRESENT)), "none"),
        (put(order(reasonCode=[concept("C79.51", ICD)])), "incomplete"),
        (put(*_screens(), order(reasonCode=[concept("C79.51", ICD)])), "incomplete"),
        (put(order(reasonCode=[concept("R29.2", ICD)])), "incomplete"),
        (put(*_screens(), order(reasonCode=[concept("R29.2", ICD)])), "none"),
        (put(order(reasonCode=[concept("M47.22", ICD)])), "none"),
        (put(order(priority="stat")), "none"),
    ],
)
def test_what_raises_the_question(change: Change, state: str) -> None:
    assert judge(change).red_flag == state


def test_a_trigger_as_first_reason_lists_the_encounters_diagnosis() -> None:
    visit = {
        "resourceType": "Encounter",
        "id": "visit",
        "status": "in-progress",
        "diagnosis": [{"condition": ref("Condition/neck"), "rank": 1}],
    }
    change = both(NOTHING, put(visit, order(reasonReference=[], reasonCode=[concept("G95.20", ICD)])))
    found = judge(change)
    assert (found.verdict, found.indication) == ("RED_FLAG_INCOMPLETE", "M54.2")
    assert "DURATION" in {item.element for item in found.elements}


def test_a_missing_screen_is_a_remark_only() -> None:
    found = judge()
    assert found.verdict == "PASS"
    assert any(note.startswith("SCREEN_MISSING") for note in found.advisories)
    assert not any(note.startswith("SCREEN_MISSING") for note in judge(put(*_screens())).advisories)


def _strength(grade: str, day: str, side: str = "left") -> dict[str, Any]:
    return observation("strength-triceps", day, side, valueCodeableConcept=concept(grade))


@pytest.mark.parametrize(
    ("grades", "state"),
    [
        (["mrc-4"], "none"),
        (["mrc-3"], "incomplete"),
        (["mrc-4", "mrc-4"], "none"),
        (["mrc-4", "mrc-4-minus"], "incomplete"),
        (["mrc-4-minus", "mrc-4"], "none"),
        (["mrc-5", "mrc-3", "mrc-5"], "none"),
        (["mrc-5", "mrc-4", "mrc-4-plus"], "incomplete"),
    ],
)
def test_weakness_by_examination(grades: list[str], state: str) -> None:
    days = ["2026-01-10", "2026-01-25", "2026-02-10"]
    exams = [_strength(grade, day) for grade, day in zip(grades, days, strict=False)]
    assert judge(put(*exams)).red_flag == state


def test_a_worse_sign_moves_the_treatment_anchor_where_the_row_says_so() -> None:
    worse = [
        observation("light-touch-c7", "2026-01-06", "left", valueCodeableConcept=concept("sensation-normal")),
        observation("light-touch-c7", "2026-01-20", "left", valueCodeableConcept=concept("sensation-reduced")),
    ]
    found = judge(put(*worse), "ill-evicore")
    assert element(found, "DURATION").value == 27
    assert element(found, "REEVAL").status == "unmet"
    assert judge(put(*worse), "ill-carelon").verdict == "PASS"
    assert judge(put(worse[1]), "ill-evicore").verdict == "PASS"


# ---------------------------------------------------------------------- support of a root diagnosis


def _symptom(*where: str, side: str = "left") -> dict[str, Any]:
    parts = [{"code": concept("radiation"), "valueCodeableConcept": concept(place)} for place in where]
    return observation("arm-symptom", "2026-02-10", side, **PRESENT, component=parts)


def _reflex(grade: str, side: str = "left", code: str = "reflex-triceps") -> dict[str, Any]:
    return observation(code, "2026-02-10", side, valueCodeableConcept=concept(grade))


def _touch(root: str, value: str = "sensation-reduced", side: str = "left") -> dict[str, Any]:
    return observation(f"light-touch-{root}", "2026-02-10", side, valueCodeableConcept=concept(value))


SPURLING = observation("spurling", "2026-02-10", "left", **PRESENT)
RADICULAR = put(condition(code=concept("M54.12", ICD)))


@pytest.mark.parametrize(
    ("findings", "level"),
    [
        ([], "none"),
        ([_symptom("digit-3")], "weak"),
        ([_symptom("digit-3"), SPURLING], "moderate"),
        ([_symptom("shoulder"), SPURLING], "weak"),
        ([_symptom("digit-3"), _strength("mrc-4", "2026-02-10")], "strong"),
        ([_symptom("digit-3"), _strength("mrc-4-plus", "2026-02-10")], "strong"),
        ([_symptom("digit-3"), _strength("mrc-5", "2026-02-10")], "weak"),
        ([_symptom("digit-3"), _touch("c7")], "strong"),
        ([_symptom("digit-1"), _touch("c7")], "weak"),
        ([_symptom("digit-3"), _touch("c7", side="right")], "weak"),
        ([_symptom("digit-3"), _reflex("reflex-1"), _reflex("reflex-2", "right")], "strong"),
        ([_symptom("digit-3"), _reflex("reflex-1"), _reflex("reflex-1", "right")], "weak"),
        ([_symptom("digit-3"), _reflex("reflex-1")], "strong"),
        ([_symptom("digit-3"), _reflex("reflex-2")], "weak"),
        ([_symptom("digit-3"), _touch("c7"), _touch("c8")], "strong"),
        ([_symptom("digit-3"), _touch("c5"), _touch("c7")], "discordant"),
        ([_symptom("digit-3"), _touch("c7"), observation("hoffmann", "2026-02-10", "left", **PRESENT)], "discordant"),
        ([_symptom("forearm"), _touch("t1")], "strong"),
        ([_symptom("digit-5"), _touch("c8")], "strong"),
    ],
)
def test_level_of_support(findings: list[Any], level: str) -> None:
    found = element(judge(both(RADICULAR, put(*findings))), "CODE_SUPPORT")
    assert found.value == level
    assert found.status == ("met" if level == "strong" else "unmet")


def test_a_row_may_accept_moderate_support_or_only_certain_signs() -> None:
    moderate = RULES["ill-ngs"].overlaid({"code_support": {"M54.12": "moderate"}})
    assert element(judge(both(RADICULAR, put(_symptom("digit-3"), SPURLING)), moderate), "CODE_SUPPORT").status == "met"
    motor = RULES["ill-ngs"].overlaid({"objective_types": ["motor", "reflex"]})
    assert (
        element(judge(both(RADICULAR, put(_symptom("digit-3"), _touch("c7"))), motor), "CODE_SUPPORT").status == "unmet"
    )


def test_an_uncertain_diagnosis_is_not_codable() -> None:
    uncertain = condition(code=concept("M54.12", ICD), verificationStatus=concept("provisional"))
    found = element(judge(put(uncertain, _symptom("digit-3"), _touch("c7"))), "CODE_SUPPORT")
    assert (found.status, found.reason) == ("unmet", "uncertain_diagnosis")


# ---------------------------------------------------------------------- other categories

OTHER: list[tuple[str, list[dict[str, Any]]]] = [
    (
        "rf1",
        [
            _strength("mrc-4", DAY),
            observation("progression", DAY, valueBoolean=True),
            observation("first-noted", DAY, valueDateTime="2026-02-10"),
            observation("root-level", DAY, valueString="C7"),
        ],
    ),
    (
        "rf3",
        [
            observation("fever-history", DAY, valueBoolean=True),
            observation("bacteremia", DAY, valueBoolean=True),
            {
                "resourceType": "ServiceRequest",
                "id": "crp",
                "status": "active",
                "code": concept("1988-5", "http://loinc.org"),
            },
        ],
    ),
    (
        "rf4",
        [
            condition(id="history", code=concept("Z85.3", ICD)),
            observation("bone-risk", DAY, valueString="breast"),
            observation("night-pain", DAY, valueBoolean=True),
        ],
    ),
    (
        "rf5",
        [
            observation("injury-mechanism", DAY, valueString="fall"),
            observation("midline-tenderness", DAY, **PRESENT),
            observation("neuro-finding", DAY, **ABSENT),
            observation("nexus-result", DAY, valueBoolean=True),
        ],
    ),
    (
        "rf6",
        [
            observation("retention", DAY, valueBoolean=True),
            observation("perineal-sensation", DAY, **NORMAL),
            observation("hyperreflexia", DAY, "right", **ABSENT),
        ],
    ),
]


@pytest.mark.parametrize(("category", "findings"), OTHER)
def test_every_category_can_be_complete_and_each_part_is_needed(category: str, findings: list[dict[str, Any]]) -> None:
    attested = put(_impression(category), _attested())
    assert judge(both(NOTHING, attested, put(*findings))).reason == category.upper()
    for position in range(len(findings)):
        rest = findings[:position] + findings[position + 1 :]
        assert judge(both(NOTHING, attested, put(*rest))).verdict == "RED_FLAG_INCOMPLETE"
