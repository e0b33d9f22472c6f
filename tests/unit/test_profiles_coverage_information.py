"""The coverage-information extension in every version, and its merging."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from gateway.fhir.extensions import extension_value, extensions
from gateway.profiles.crd_2_2_1 import (
    in_force,
    merge_coverage_information,
    read_coverage_informations,
    without_coverage_information,
)
from tests.pas_samples import COVERAGE_INFORMATION, coverage_information

CODES = "http://hl7.org/fhir/us/davinci-crd/CodeSystem/temp"


def order(*repetitions: dict[str, Any], **elements: Any) -> dict[str, Any]:
    whole: dict[str, Any] = {"resourceType": "ServiceRequest", "id": "o", **elements}
    return {**whole, "extension": list(repetitions)} if repetitions else whole


def extended(extension: dict[str, Any], *parts: dict[str, Any]) -> dict[str, Any]:
    return {**extension, "extension": [*extension["extension"], *parts]}


def ids(resource: dict[str, Any]) -> list[tuple[str, str]]:
    return [(info.coverage, info.assertion_id) for info in read_coverage_informations(resource)]


def test_all_parts_of_2_2_are_read() -> None:
    detail = {
        "url": "detail",
        "extension": [
            {"url": "category", "valueCode": "cat-limitation"},
            {"url": "code", "valueCodeableConcept": {"coding": [{"code": "allowed-quantity"}], "text": "how many"}},
            {"url": "value", "valueQuantity": {"value": 3}},
            {"url": "qualification", "valueString": "a year"},
        ],
    }
    whole = extended(
        coverage_information(covered="covered", pa_needed="satisfied", doc_purpose="withorder"),
        {"url": "doc-needed", "valueCode": "clinical"},
        {"url": "doc-needed", "valueCode": "patient"},
        {"url": "info-needed", "valueCode": "performer"},
        {"url": "billingCode", "valueCoding": {"system": "http://www.ama-assn.org/go/cpt", "code": "72141"}},
        {"url": "reason", "valueCodeableConcept": {"coding": [{"system": CODES, "code": "gold-card"}]}},
        detail,
        {"url": "dependency", "valueReference": {"reference": "ServiceRequest/2"}},
        {"url": "questionnaire", "valueCanonical": "https://p.example.org/Questionnaire/a|1"},
        {"url": "satisfied-pa-id", "valueString": "PA-9"},
        {"url": "contact", "valueContactDetail": {"name": "Desk", "telecom": [{"system": "phone", "value": "555"}]}},
        {"url": "expiry-date", "valueDate": "2026-06-01"},
    )
    (info,) = read_coverage_informations(order(whole))
    assert (info.coverage, info.covered, info.pa_needed, info.assertion_id) == (
        "Coverage/cov1",
        "covered",
        "satisfied",
        "A-1",
    )
    assert (info.doc_needed, info.doc_purpose, info.info_needed) == (
        ("clinical", "patient"),
        ("withorder",),
        ("performer",),
    )
    assert [code["code"] for code in info.billing_codes] == ["72141"]
    assert [reason.code for reason in info.reasons] == ["gold-card"]
    (found,) = info.details
    assert (found.category, found.code, found.text, found.value, found.qualification) == (
        "cat-limitation",
        "allowed-quantity",
        "how many",
        {"value": 3},
        "a year",
    )
    assert (info.dependency, info.questionnaires) == (
        ("ServiceRequest/2",),
        ("https://p.example.org/Questionnaire/a|1",),
    )
    assert (info.date, info.expiry_date, info.satisfied_pa_id) == (date(2026, 3, 1), date(2026, 6, 1), "PA-9")
    assert info.contacts == ("Desk 555",)
    assert info.warnings == ()
    assert info.raw is whole


def test_2_0_1_spellings_are_read() -> None:
    whole = extended(
        coverage_information(covered="covered", pa_needed="auth-needed"),
        {"url": "doc-needed", "valueCode": "both"},
        {"url": "contact", "valueContactPoint": {"system": "url", "value": "https://p.example.org/help"}},
        {"url": "response", "valueReference": {"reference": "QuestionnaireResponse/1"}},
    )
    (info,) = read_coverage_informations(order(whole))
    assert info.doc_needed == ("clinical", "admin")
    assert info.contacts == ("https://p.example.org/help",)
    assert info.responses == ("QuestionnaireResponse/1",)


ODD: list[dict[str, Any]] = [
    {"url": COVERAGE_INFORMATION},
    {"url": COVERAGE_INFORMATION, "extension": "x"},
    {
        "url": COVERAGE_INFORMATION,
        "extension": [None, {"url": "covered", "valueCode": 3}, {"url": "coverage", "valueString": "x"}],
    },
    {
        "url": COVERAGE_INFORMATION,
        "extension": [{"url": "detail"}, {"url": "reason", "valueString": "x"}, {"url": "date"}],
    },
]


@pytest.mark.parametrize("extension", ODD)
def test_odd_extensions_are_read_and_warned_of(extension: dict[str, Any]) -> None:
    (info,) = read_coverage_informations(order(extension))
    assert "no coverage named" in info.warnings


BREACHES = [
    ("q1", coverage_information(covered="covered"), {"url": "questionnaire", "valueCanonical": "u|1"}),
    ("q2", coverage_information(covered="not-covered", pa_needed="auth-needed"), {}),
    ("q3", coverage_information(covered="conditional"), {}),
    ("q4", coverage_information(covered="covered", pa_needed="no-auth", doc_purpose="withpa"), {}),
    ("q5", coverage_information(covered="covered", pa_needed="satisfied"), {}),
    ("q6", coverage_information(covered="conditional", info_needed="OTH"), {}),
    ("q9", coverage_information(covered="indeterminate"), {}),
]


@pytest.mark.parametrize(("name", "extension", "more"), BREACHES, ids=[case[0] for case in BREACHES])
def test_breach_of_an_invariant_is_a_warning_and_drops_nothing(
    name: str, extension: dict[str, Any], more: dict[str, Any]
) -> None:
    (info,) = read_coverage_informations(order(extended(extension, *([more] if more else []))))
    assert any(warning.startswith(name) for warning in info.warnings)
    assert info.covered


@pytest.mark.requirement("crd:resp-33")
def test_merge_replaces_a_group_as_a_whole() -> None:
    current = order(
        coverage_information(assertion="A", covered="covered"),
        coverage_information(assertion="A", covered="conditional"),
        coverage_information("Coverage/2", "B", covered="covered"),
        status="active",
    )
    answer = order(
        coverage_information("https://e.org/fhir/Coverage/cov1/_history/3", "A", covered="not-covered"),
        coverage_information(assertion="C", covered="covered"),
        status="draft",
    )
    merged = merge_coverage_information(current, answer)
    assert ids(merged) == [
        ("Coverage/2", "B"),
        ("https://e.org/fhir/Coverage/cov1/_history/3", "A"),
        ("Coverage/cov1", "C"),
    ]
    assert merged["status"] == "active", "only the extension is taken over"


@pytest.mark.requirement("crd:resp-37")
def test_merge_keeps_other_extensions_and_groups_and_changes_no_input() -> None:
    other = {"url": "urn:x", "valueString": "y"}
    current = order(other, coverage_information(assertion="A"))
    before = str(current)
    merged = merge_coverage_information(current, order(coverage_information("Coverage/2", "A")))
    assert extensions(merged, "urn:x") == (other,)
    assert ids(merged) == [("Coverage/cov1", "A"), ("Coverage/2", "A")]
    assert str(current) == before


def test_merge_is_idempotent_and_writes_the_extension_in_its_place() -> None:
    answer = order(coverage_information())
    once = merge_coverage_information({"resourceType": "ServiceRequest", "id": "o", "status": "active"}, answer)
    assert merge_coverage_information(once, answer) == once
    assert list(once) == ["resourceType", "id", "extension", "status"]
    assert merge_coverage_information(order(), order()) == order()


def test_taking_the_extension_off() -> None:
    assert without_coverage_information(order(coverage_information(), status="active")) == order(status="active")


def test_expired_assertions_are_not_in_force() -> None:
    ended = extended(coverage_information(), {"url": "expiry-date", "valueDate": "2026-03-01"})
    infos = read_coverage_informations(order(ended, coverage_information(assertion="B")))
    assert [info.assertion_id for info in in_force(infos, date(2026, 3, 1))] == ["A-1", "B"]
    assert [info.assertion_id for info in in_force(infos, date(2026, 3, 2))] == ["B"]


def test_extension_value_of_the_published_spelling() -> None:
    assert extension_value(coverage_information(pa_needed="no-auth"), "pa-needed") == "no-auth"
