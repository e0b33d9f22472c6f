"""Drafts of the conservative-care protocol: what they hold, what a phase makes of them, which drug stands first."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from gateway.clinical.chart import open_chart
from gateway.clinical.milestones import known_needs
from gateway.clinical.protocol import parse_protocol
from gateway.clinical.protocol_choice import offer_drugs
from gateway.clinical.protocol_names import resolved, urn_of
from gateway.clinical.protocol_phases import in_phase, is_due, kind_of, with_sessions
from gateway.clinical.protocol_resources import Reported
from gateway.errors import SettingsError
from gateway.fhir.check import check_structure
from gateway.fhir.json import dump_json
from gateway.reasoning.record import RecordSnapshot
from tests.care_resources import CONCEPTS, PROTOCOL, SIGNED, TIMER, drafts, everything
from tests.clinical_charts import ICD, LOCAL, RULES, RX, ZONE, base, concept


def test_everything_has_the_structure_of_r4() -> None:
    found = dict(everything())
    assert len(found) > 50
    assert {name: problems for name, item in found.items() if (problems := check_structure(dump_json(item)))} == {}


def test_nothing_is_final_before_a_clinician_signs() -> None:
    status = {key: draft.get("status", draft.get("lifecycleStatus")) for key, draft in drafts().items()}
    assert status == {
        "goal": "proposed",
        "drug": "draft",
        "referral": "draft",
        **{f"score-{number}": "draft" for number in (1, 2, 3)},
        **{f"screen-rf{number}": "preliminary" for number in range(1, 7)},
        "plan": "draft",
        "timer": "draft",
    }
    assert drafts()["drug"]["intent"] == "proposal"


def test_a_screen_names_who_asked_and_nobody_else() -> None:
    assert "performer" not in drafts(screened_by="")["screen-rf1"]
    assert drafts(screened_by="Practitioner/ma")["screen-rf1"]["performer"] == [{"reference": "Practitioner/ma"}]


def test_no_drug_is_proposed_that_nobody_chose() -> None:
    assert "drug" not in drafts(choice=None)
    references = [item.get("reference") for item in drafts(choice=None)["plan"]["activity"]]
    assert {"reference": urn_of(TIMER, "drug")} not in references


def test_the_plan_runs_from_day_0_to_day_42_in_days_of_the_practice() -> None:
    plan, timer = drafts()["plan"], drafts()["timer"]
    assert plan["period"] == timer["restriction"]["period"] == {"start": "2026-03-08", "end": "2026-04-19"}
    assert timer["executionPeriod"] == {"start": "2026-03-08T11:30:00-07:00"}
    assert timer["focus"] == {"reference": urn_of(TIMER, "plan")}
    assert [item["coding"][0]["code"] for item in plan["category"]] == ["assess-plan", "conservative-management"]


@pytest.mark.parametrize("number, window", [(1, ("2026-03-08", "2026-03-15")), (3, ("2026-04-12", "2026-04-19"))])
def test_a_score_is_asked_for_within_its_window(number: int, window: tuple[str, str]) -> None:
    task = drafts()[f"score-{number}"]
    assert tuple(task["restriction"]["period"].values()) == window
    assert task["focus"]["identifier"]["value"] == task["input"][0]["valueCanonical"]


def test_every_activity_holds_a_reference_or_a_detail_and_never_both() -> None:
    signed = in_phase(drafts()["plan"], "plan", SIGNED)
    assert signed is not None
    for plan in (drafts()["plan"], signed, with_sessions(signed, urn_of(TIMER, "referral"), ("Procedure/1",))):
        assert plan is not None
        assert all(("reference" in item) != ("detail" in item) for item in plan["activity"])


def test_a_signature_makes_orders_of_drafts_and_lets_advice_begin() -> None:
    made = drafts()
    drug, plan = in_phase(made["drug"], "drug", SIGNED), in_phase(made["plan"], "plan", SIGNED)
    assert drug is not None
    assert plan is not None
    assert (drug["status"], drug["intent"]) == ("active", "order")
    assert drug["requester"] == {"reference": "Practitioner/signer"}
    assert drug["authoredOn"] == "2026-03-08T14:30:00-07:00"
    assert {item["detail"]["status"] for item in plan["activity"] if "detail" in item} == {"in-progress"}
    assert made["drug"]["status"] == "draft", "what was given is not changed"


@pytest.mark.parametrize(
    "key, status, phase",
    [
        ("drug", "active", "cancelled"),
        ("drug", "completed", "signed"),
        ("referral", "revoked", "signed"),
        ("plan", "completed", "cancelled"),
        ("timer", "completed", "cancelled"),
        ("score-1", "completed", "cancelled"),
        ("drug", "draft", "draft"),
        ("screen-rf1", "final", "signed"),
    ],
)
def test_what_somebody_moved_on_in_the_ehr_is_left_alone(key: str, status: str, phase: str) -> None:
    assert in_phase({**drafts()[key], "status": status}, key, replace(SIGNED, phase=phase)) is None


def test_the_timer_says_why_it_ended() -> None:
    change = replace(SIGNED, phase="cancelled", reason="red-flag", reason_system=LOCAL)
    timer = in_phase(drafts()["timer"], "timer", change)
    assert timer is not None
    assert timer["statusReason"]["coding"] == [{"system": LOCAL, "code": "red-flag"}]
    assert timer["executionPeriod"]["end"] == "2026-03-08T14:30:00-07:00"


def test_sessions_are_linked_once() -> None:
    plan = resolved(drafts()["plan"], {urn_of(TIMER, "referral"): "ServiceRequest/r"})
    linked = with_sessions(plan, "ServiceRequest/r", ("Procedure/1", "Procedure/2"))
    assert linked is not None
    (own,) = [item for item in linked["activity"] if "outcomeReference" in item]
    assert own["reference"] == {"reference": "ServiceRequest/r"}
    assert with_sessions(linked, "ServiceRequest/r", ("Procedure/2",)) is None
    assert with_sessions(plan, "ServiceRequest/other", ("Procedure/1",)) is None


def test_what_a_patient_says_to_take_is_kept_as_said() -> None:
    reported = Reported(ingredient="5640", label="ibuprofen", since=date(2026, 3, 1), as_needed=True)
    statement = drafts(reported=reported)["statement"]
    assert statement["dosage"] == [{"text": "as reported by the patient", "asNeededBoolean": True}]
    assert statement["effectivePeriod"] == {"start": "2026-03-01"}
    assert "taken" not in statement


def test_identifiers_are_the_same_at_every_try_and_differ_between_timers() -> None:
    assert drafts() == drafts()
    other = drafts(timer_id="7f1d8b36-52f0-4f0e-9d5b-6c0f5a1e7c21")
    assert not {item["identifier"][0]["value"] for item in drafts().values()} & {
        item["identifier"][0]["value"] for item in other.values()
    }


CAUTIONS: list[tuple[str, list[dict[str, Any]], str]] = [
    (
        "allergy",
        [
            {
                "resourceType": "AllergyIntolerance",
                "clinicalStatus": concept("active"),
                "code": concept("5640", RX),
            }
        ],
        "NSAID allergy or intolerance",
    ),
    (
        "problem",
        [
            {
                "resourceType": "Condition",
                "clinicalStatus": concept("active"),
                "code": concept("I50.9", ICD),
            }
        ],
        "heart failure",
    ),
    (
        "drug",
        [
            {
                "resourceType": "MedicationStatement",
                "status": "active",
                "medicationCodeableConcept": concept("11289", RX),
            }
        ],
        "anticoagulant or antiplatelet use",
    ),
    (
        "kidney",
        [
            {
                "resourceType": "Observation",
                "status": "final",
                "code": concept(loinc, "http://loinc.org"),
                "effectiveDateTime": day,
                "valueQuantity": {"value": Decimal(value)},
            }
            for loinc, day, value in (("98979-8", "2026-01-20", "59.9"), ("98979-8", "2025-12-20", "71"))
        ],
        "eGFR below 60",
    ),
    (
        "pressure",
        [
            {
                "resourceType": "Observation",
                "status": "final",
                "code": concept("85354-9", "http://loinc.org"),
                "effectiveDateTime": "2026-02-01",
                "component": [
                    {"code": concept("8480-6", "http://loinc.org"), "valueQuantity": {"value": 160}},
                    {"code": concept("8462-4", "http://loinc.org"), "valueQuantity": {"value": 80}},
                ],
            }
        ],
        "uncontrolled blood pressure",
    ),
]
NO_CAUTION: list[tuple[str, list[dict[str, Any]]]] = [
    ("nothing", []),
    (
        "resolved allergy",
        [
            {
                "resourceType": "AllergyIntolerance",
                "clinicalStatus": concept("resolved"),
                "code": concept("5640", RX),
            }
        ],
    ),
    (
        "better kidney since",
        [
            {
                "resourceType": "Observation",
                "status": "final",
                "code": concept("98979-8", "http://loinc.org"),
                "effectiveDateTime": day,
                "valueQuantity": {"value": value},
            }
            for day, value in (("2026-01-20", 60), ("2025-12-20", 40))
        ],
    ),
    (
        "old pressure",
        [
            {
                "resourceType": "Observation",
                "status": "final",
                "code": concept("85354-9", "http://loinc.org"),
                "effectiveDateTime": "2025-06-01",
                "component": [{"code": concept("8480-6", "http://loinc.org"), "valueQuantity": {"value": 190}}],
            }
        ],
    ),
    (
        "stopped drug",
        [
            {
                "resourceType": "MedicationRequest",
                "status": "stopped",
                "medicationCodeableConcept": concept("11289", RX),
            }
        ],
    ),
]


def _offer(extra: list[dict[str, Any]], birth: str = "1980-01-01") -> Any:
    chart = base()
    chart["p"]["birthDate"] = birth
    record = RecordSnapshot([*chart.values(), *({**item, "id": f"x{number}"} for number, item in enumerate(extra))])
    region = CONCEPTS.region[0]
    opened = open_chart(record, chart["order"], RULES["ill-novitas"], CONCEPTS, region, ZONE, date(2026, 2, 16))
    return offer_drugs(opened, PROTOCOL)


@pytest.mark.parametrize("extra, label", [row[1:] for row in CAUTIONS], ids=[row[0] for row in CAUTIONS])
def test_a_caution_puts_alternatives_first(extra: list[dict[str, Any]], label: str) -> None:
    offer = _offer(extra)
    assert [item.label for item in offer.cautions] == [label]
    assert offer.choices[0].key.startswith("acetaminophen")
    assert len(offer.choices) == len(PROTOCOL.choice), "nothing is taken away"


@pytest.mark.parametrize("extra", [row[1] for row in NO_CAUTION], ids=[row[0] for row in NO_CAUTION])
def test_without_a_caution_the_first_line_stands_first(extra: list[dict[str, Any]]) -> None:
    offer = _offer(extra)
    assert offer.cautions == ()
    assert offer.choices[0].key == "naproxen-500"


@pytest.mark.parametrize("birth, expected", [("1961-02-16", 1), ("1961-02-17", 0)])
def test_caution_begins_with_the_birthday(birth: str, expected: int) -> None:
    assert len(_offer([], birth).cautions) == expected


@pytest.mark.parametrize(
    "days, expected",
    [
        (
            42,
            {
                "start": 0,
                "midpoint": 24,
                "projection": 35,
                "dry-run": 39,
                "decision": 42,
                "close-out": 56,
                "expiry": 84,
            },
        ),
        (28, {"start": 0, "midpoint": 24, "dry-run": 25, "decision": 28, "close-out": 42, "expiry": 70}),
    ],
)
def test_a_shorter_rule_has_a_shorter_calendar(days: int, expected: dict[str, int]) -> None:
    calendar = {item.name: day for item, day in PROTOCOL.calendar(days)}
    assert expected.items() <= calendar.items()
    assert list(calendar.values()) == sorted(calendar.values())
    assert ("projection" in calendar) is (days == 42)


@pytest.mark.parametrize("rule", sorted(RULES))
def test_every_rule_row_has_a_measure_with_windows_and_advice(rule: str) -> None:
    assert PROTOCOL.outcome_of(RULES[rule].outcome.measures) is not None
    for region in (*CONCEPTS.region, None):
        assert PROTOCOL.advice_for(region.name if region else "elsewhere")


def test_advice_is_that_of_the_part_of_the_body() -> None:
    texts = {
        region: [
            item["detail"]["description"] for item in drafts(region=region)["plan"]["activity"] if "detail" in item
        ]
        for region in ("neck", "elsewhere")
    }
    assert any("Screen" in text for text in texts["neck"])
    assert not any("Screen" in text for text in texts["elsewhere"])
    assert len(texts["elsewhere"]) == 2


def test_every_question_of_the_data_can_be_answered_and_every_kind_has_phases() -> None:
    assert {need for item in PROTOCOL.milestone for need in item.needs} <= known_needs()
    assert all(CONCEPTS.drug_of(choice.product) is not None for choice in PROTOCOL.choice)
    assert all(is_due(key, "signed") for key in drafts())
    assert kind_of("score-2") == "score"


@pytest.mark.parametrize(
    "content, path", [("[", "not TOML"), ("adherence_prompt_percent = []", "expires"), ("x = 1", "expires")]
)
def test_a_broken_protocol_names_the_key(content: str, path: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse_protocol(content)
    assert path in caught.value.diagnostics()
