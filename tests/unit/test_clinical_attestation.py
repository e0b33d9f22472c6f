"""Codes that may be chosen beside a red flag: what speaks for each, and what against a choice."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest

from gateway.clinical.attestation import (
    Choices,
    Offer,
    build_condition,
    check_choices,
    finding_lines,
    free_texts,
    make_offers,
    statement_of,
    weighty_codes,
)
from gateway.clinical.concepts import packaged_concepts
from gateway.clinical.instruments import RedFlagTemplate, instruments, red_flags_of, require_instrument, weight_of

CONCEPTS = packaged_concepts()
LOCAL = CONCEPTS.local_system
SNOMED = "http://snomed.info/sct"
SINCE, UNTIL = date(2026, 1, 1), date(2026, 1, 31)
RED_FLAGS = red_flags_of(CONCEPTS.red_flags.catalog, [f"RF{number}" for number in range(1, 7)])
BY_CATEGORY = {getattr(item.template, "category", ""): item for item in RED_FLAGS}


def finding(code: str, value: dict[str, Any], system: str = LOCAL, on: str = "2026-01-08") -> dict[str, Any]:
    """One observation."""
    return {
        "resourceType": "Observation",
        "id": code,
        "status": "final",
        "code": {"coding": [{"system": system, "code": code}], "text": code},
        "effectiveDateTime": on,
        **value,
    }


def coded(code: str, system: str = SNOMED) -> dict[str, Any]:
    return {"valueCodeableConcept": {"coding": [{"system": system, "code": code}], "text": code}}


PRESENT, ABSENT, NORMAL = coded("52101004"), coded("2667000"), coded("17621005")


def template(category: str) -> RedFlagTemplate:
    found = BY_CATEGORY[category].template
    assert isinstance(found, RedFlagTemplate)
    return found


def offers(category: str, *findings: dict[str, Any]) -> dict[str, Offer]:
    made = make_offers(template(category), findings, CONCEPTS, SINCE, UNTIL)
    return {offer.candidate.code: offer for offer in made}


def test_free_text_speaks_for_no_code_and_is_shown_once() -> None:
    history = finding("cancer-history", {"valueString": "Breast, 2019"})
    lesion = finding("suspicious-lesion", {"valueBoolean": True})
    made = offers("RF4", history, lesion, finding("266987004", PRESENT, system=SNOMED))
    assert [item.line for item in free_texts(made.values())] == ["cancer-history: Breast, 2019, 2026-01-08"]
    said = {code: [item.reference for item in offer.evidence] for code, offer in made.items()}
    assert said["Z85.3"] == said["Z85.118"] == said["Z85.46"] == []
    assert said["Z85.9"] == ["Observation/266987004"]
    assert said["C79.51"] == ["Observation/suspicious-lesion"]
    assert said["R63.4"] == []


def test_there_is_one_template_for_each_category_and_each_notice_is_there() -> None:
    assert list(BY_CATEGORY) == ["RF1", "RF2", "RF3", "RF4", "RF5", "RF6"]
    assert [flag.screen for flag in CONCEPTS.red_flag] == [template(category).screen for category in BY_CATEGORY]
    assert "emergency now" in template("RF6").alert
    assert "artery" in CONCEPTS.red_flags.notice


def test_every_template_asks_all_six_screens_as_explicit_answers() -> None:
    for item in RED_FLAGS:
        screens = next(one for one in item.questionnaire["item"] if one["linkId"] == "screens")["item"]
        assert [one["linkId"] for one in screens] == list(CONCEPTS.red_flags.screens)
        assert all(one["required"] and one["type"] == "boolean" for one in screens)


def test_no_template_presets_an_answer() -> None:
    for item in instruments():
        text = str(item.questionnaire)
        assert "'initial'" not in text
        assert "initialSelected" not in text
        assert "initialExpression" not in text


@pytest.mark.parametrize(
    ("value", "speaks"),
    [
        (PRESENT, True),
        (ABSENT, False),
        (NORMAL, False),
        ({}, False),
        ({"valueBoolean": True}, True),
        ({"valueBoolean": False}, False),
    ],
)
def test_only_a_positive_finding_speaks_for_a_code(value: dict[str, Any], speaks: bool) -> None:
    found = offers("RF2", finding("hoffmann", value))["R29.2"].evidence
    assert bool(found) is speaks
    assert [item.reference for item in found] == (["Observation/hoffmann"] if speaks else [])


@pytest.mark.parametrize("on", ["2025-12-31", "2026-02-01", "", "soon"])
def test_findings_outside_the_days_speak_for_nothing(on: str) -> None:
    assert offers("RF2", finding("hoffmann", PRESENT, on=on))["R29.2"].evidence == ()


@pytest.mark.parametrize(
    ("code", "value", "speaks"),
    [
        ("strength-triceps", "mrc-4", True),
        ("strength-triceps", "mrc-5", False),
        ("light-touch-c7", "sensation-reduced", True),
        ("light-touch-c7", "sensation-normal", False),
        ("reflex-triceps", "reflex-1", True),
        ("reflex-triceps", "reflex-2", False),
        ("reflex-triceps", "reflex-4", True),
    ],
)
def test_a_normal_grade_speaks_for_nothing(code: str, value: str, speaks: bool) -> None:
    made = offers("RF1", finding(code, coded(value, LOCAL)))
    assert any(offer.evidence for offer in made.values()) is speaks


@pytest.mark.parametrize(
    ("category", "codes", "confirmed", "weighed", "words"),
    [
        ("RF2", ("R29.2",), (), (), ""),
        ("RF2", (), (), (), ""),
        ("RF2", ("R26.0",), (), (), "no finding is recorded"),
        ("RF2", ("M47.12",), (), (), "suspected disease is not coded"),
        ("RF2", ("M47.12",), ("M47.12",), (), ""),
        ("RF2", ("G95.20",), ("G95.20",), (), "second confirmation"),
        ("RF2", ("G95.20",), (), ("G95.20",), "suspected disease is not coded"),
        ("RF2", ("G95.20",), ("G95.20",), ("G95.20",), ""),
        ("RF2", ("G99.2",), ("G99.2",), ("G99.2",), "stands second only"),
        ("RF2", ("M47.12", "G99.2"), ("M47.12", "G99.2"), ("G99.2",), ""),
        ("RF4", ("C79.51",), ("C79.51",), (), "second confirmation"),
        ("RF4", ("C79.51",), ("C79.51",), ("C79.51",), ""),
        ("RF1", ("M54.12", "M50.122"), ("M54.12", "M50.122"), (), "exclude each other"),
        ("RF1", ("M54.12",), ("M54.12",), (), ""),
        ("RF2", ("Z99.9",), (), (), "not offered"),
    ],
)
def test_a_choice_is_checked(
    category: str, codes: tuple[str, ...], confirmed: tuple[str, ...], weighed: tuple[str, ...], words: str
) -> None:
    made = make_offers(template(category), [finding("hoffmann", PRESENT)], CONCEPTS, SINCE, UNTIL)
    choices = Choices(codes=codes, confirmed=frozenset(confirmed), weighed=frozenset(weighed))
    found = " ".join(check_choices(made, choices))
    assert words in found if words else found == ""


@pytest.mark.parametrize(
    ("code", "group"),
    [("C79.51", "HCC 18"), ("G95.9", "HCC 182"), ("G99.2", "HCC 182"), ("C50.911", "cancer"), ("M54.2", "")],
)
def test_codes_with_weight_are_known(code: str, group: str) -> None:
    assert group in weight_of(code) if group else weight_of(code) == ""


def test_chosen_codes_with_weight_are_named_for_the_log() -> None:
    made = make_offers(template("RF2"), [], CONCEPTS, SINCE, UNTIL)
    assert weighty_codes(Choices(codes=("R29.2", "G95.9")), made) == ("G95.9",)


def test_a_statement_says_every_finding_code_and_the_shorter_time_only_where_asked() -> None:
    at = datetime(2026, 1, 8, 18, tzinfo=UTC)
    lines = finding_lines([finding("hoffmann", PRESENT)])
    plain = statement_of(template("RF2"), "Imogen Mockford", "ServiceRequest/1", lines, Choices(codes=("R29.2",)), at)
    assert "hoffmann: 52101004, 2026-01-08" in plain
    assert "Codes: R29.2." in plain
    assert "Expedited" not in plain
    urgent = statement_of(template("RF2"), "Imogen Mockford", "ServiceRequest/1", lines, Choices(is_expedited=True), at)
    assert "jeopardize" in urgent


def test_a_chosen_code_becomes_a_confirmed_problem_with_its_evidence() -> None:
    offer = offers("RF2", finding("hoffmann", PRESENT))["R29.2"]
    who = {"reference": "Practitioner/1"}
    made = build_condition(offer, {"subject": {"reference": "Patient/1"}}, ["Observation/1"], who, datetime.now(UTC))
    assert made["code"]["coding"][0]["code"] == "R29.2"
    assert made["evidence"] == [{"detail": [{"reference": "Observation/1"}]}]
    assert made["asserter"] == who


def test_the_shoulder_and_the_back_have_no_templates_of_the_neck() -> None:
    others = [*red_flags_of("shoulder", ["RF1"]), *red_flags_of("lumbar-spine", ["RF6"])]
    assert others
    assert not {item.slug for item in others} & {item.slug for item in RED_FLAGS}
    assert red_flags_of("elbow", ["RF1"]) == ()
    assert require_instrument("neuro-exam-cervical").template.kind == "exam"
